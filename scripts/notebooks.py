"""Run the notebooks on the organism's study and keep what they show, as they are committed.

    python scripts/notebooks.py                      # all of them; makes studies/organism if it is not there
    python scripts/notebooks.py 02 05 --study studies/organism

Figures are kept interactive and as pictures (a Chrome or Chromium is needed). What is kept is small: a
notebook over a megabyte is refused. No time, no path of this machine and nothing of stderr is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
LARGEST = 1_000_000
"""Bytes of a notebook."""


def main() -> None:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(description="Run the notebooks and keep their outputs.")
    parser.add_argument("numbers", nargs="*", metavar="NN", help="of notebooks; none: all")
    parser.add_argument("--study", type=Path, default=Path("studies/organism"), help="a finished study")
    asked = parser.parse_args()
    there = sorted((ROOT / "notebooks").glob("*.ipynb"))
    wanted = [path for path in there if not asked.numbers or path.name[:2] in asked.numbers]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.study.exists():
            shutil.copytree(asked.study, folder / "studies" / "organism")
        for path in wanted:
            kept = run(path, folder)
            print(f"{path.name}: {kept / 1000:.0f} kB")


def run(path: Path, folder: Path) -> int:
    """Run a notebook in a folder that holds `studies/organism`, and write it with what it shows.

    Returns:
        its size in bytes.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | {"MECHCOT_EXAMPLES": str(ROOT / "examples"), "COLUMNS": "110"})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                _kept(output, folder) for output in cell.outputs if output.get("name") != "stderr"
            ]
    notebook.metadata["language_info"] = {"name": "python"}
    text = nbformat.writes(notebook, version=4) + "\n"
    if len(text.encode()) > LARGEST:
        sys.exit(f"{path.name}: {len(text.encode())} bytes with its outputs; at most {LARGEST}")
    path.write_text(text, encoding="utf-8")
    return len(text.encode())


def _kept(output: Any, folder: Path) -> Any:
    """An output without what is of this machine."""
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    places = {f"{folder}/": "", f"{ROOT}/": "../", f"{cache}/": "~/.cache/"}

    def without(text: str) -> str:
        for here, there in places.items():
            text = text.replace(here, there)
        return text

    if output.output_type == "stream":
        output.text = without(output.text)
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str):
            output.data[kind] = without(value)
    return output


if __name__ == "__main__":
    main()
