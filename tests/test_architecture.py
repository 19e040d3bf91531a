"""Imports point down the street only, and the light parts stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
STREET = """
errors files journal progress shown records stats presets sections config stages study plots calling models
tasks distill
sampling steps judging serving internals organism reading answers audit_counts audit_result audit
audit_scales audit_inference_result audit_inference margins_result margins panel sheet judge_controls
locks commitment directions hedge_result hedge knowledge probe contrasts report jobs probing
analysis_stages pipeline instruments judge_controls_run cli_options cli_judging cli
"""
ORDER = STREET.split()
LIGHT = (
    "stats answers audit audit_scales audit_inference margins panel sheet judge_controls commitment hedge "
    "knowledge probe report study contrasts plots"
)
ANALYSES = {
    "answers",
    "audit",
    "audit_inference",
    "audit_scales",
    "commitment",
    "hedge",
    "judge_controls",
    "knowledge",
    "margins",
    "panel",
    "probe",
}


def _imports() -> Iterator[tuple[str, str, bool]]:
    """(room, imported room, whether inside `study`'s conveniences)."""
    for path in (ROOT / "src" / "mechcot").rglob("*.py"):
        room = path.relative_to(ROOT / "src" / "mechcot").parts[0].removesuffix(".py")
        if room.startswith("__") or path.name == "__main__.py":  # a door, not a room
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mechcot":
                parts = str(node.module).split(".")
                for name in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
                    if not name.startswith("__"):
                        yield room, name, room == "study"


def test_every_room_is_known_and_imports_only_those_before_it() -> None:
    wrong = [
        (room, name)
        for room, name, convenience in _imports()
        if ORDER.index(name) > ORDER.index(room) and not convenience
    ]
    assert wrong == []


def test_analyses_do_not_import_one_another() -> None:
    assert [(a, b) for a, b, _ in _imports() if a in ANALYSES and b in ANALYSES and a != b] == []


def test_statistics_analyses_and_report_load_no_torch() -> None:
    code = (
        f"import sys; [__import__('mechcot.' + name) for name in {LIGHT!r}.split()]; "
        "print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
