"""Every notebook runs from top to bottom, offline, on the shared study."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT
from mechcot import Study

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path, study: Study, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("empty")
    own = tmp_path_factory.mktemp("notebook") / "study"  # a probe writes its work into the study's folder
    shutil.copytree(study.path, own)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit notebooks without outputs"
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    env = {**os.environ, "MECHCOT_STUDY": str(own)}
    if "run_miniature" in path.read_text():
        env |= {"MECHCOT_EXAMPLES": str(ROOT / "examples")}
        env |= {"MECHCOT_MINIATURE": str(request.getfixturevalue("miniature"))}
        env |= {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}  # which that fixture sets
    client.execute(env=env)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert os.listdir(tmp_path) == []
