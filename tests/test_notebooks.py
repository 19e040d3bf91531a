"""Every notebook runs from top to bottom, offline, on the shared study."""

from __future__ import annotations

import os
import shutil
import tempfile
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
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    env = {**os.environ, "MECHCOT_STUDY": str(own), "BROWSER_PATH": "none"}  # pictures take a second each
    if "run_miniature" in path.read_text():
        env |= {"MECHCOT_EXAMPLES": str(ROOT / "examples")}
        env |= {"MECHCOT_MINIATURE": str(request.getfixturevalue("miniature"))}
        env |= {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}  # which that fixture sets
    client.execute(env=env)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_what_it_shows(path: Path) -> None:
    """As `python scripts/notebooks.py` leaves it: small, without places, a picture beside each figure."""
    assert path.stat().st_size < 1_000_000
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "python scripts/notebooks.py"
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
    figures = [
        output.data for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert all("image/svg+xml" in figure for figure in figures)
    assert figures or path.stem == "07_real_models"
    text = "".join(str(output) for output in outputs)
    for place in (tempfile.gettempdir(), str(ROOT), str(Path.home())):
        assert f"{place}/" not in text, place
