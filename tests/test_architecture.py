"""The house: arrows point down, floor by floor; an analysis knows itself; the light parts stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "mechcot"
FLOORS = (
    "core",
    "stats study tasks models asking",
    "steps sampling serving distill judging reading probe report",
    "analyses",
    "pipeline",
    "__init__ plots cli",
    "__main__",
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
COMPOSE = (
    "registry",
    "displays",
    "sections",
    "summary",
    "headline",
    "method",
    "controls",
    "claims",
    "viewer",
    "sharing",
)
"""What puts analyses together; all else in `analyses` knows itself and what they share."""
SHARED = ("form", "arm_steps", "arms", "both_ways", "claimed", "strata", "handed_out")
LIGHT = [
    "stats",
    "study",
    "probe",
    "report",
    "analyses.registry",
    "analyses.sections",
    "plots",
    "pipeline.run",
    "pipeline.further",
    "analyses.judge_controls.run",
    "cli.commands",
]


def _imports() -> Iterator[tuple[Path, list[str], list[str]]]:
    """(file, its place, the place that it imports); imports inside functions and for types count."""
    for path in SRC.rglob("*.py"):
        place = list(path.relative_to(SRC).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mechcot":
                target = str(node.module).split(".")[1:]
                for name in [target] if target else [[alias.name] for alias in node.names]:
                    yield path, place, name if name[0] in FLOOR else ["__init__"]
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("mechcot") for alias in node.names), path


def test_arrows_point_down_floor_by_floor() -> None:
    up = []
    for path, place, target in _imports():
        if target[0] != place[0] and FLOOR[target[0]] >= FLOOR[place[0]]:
            up.append(f"{path.relative_to(SRC)} -> {'.'.join(target)}")
    assert up == []


def test_every_room_has_its_floor_and_there_are_few() -> None:
    there = {path.stem for path in SRC.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert there == FLOOR.keys()
    assert len(there) + 1 <= 21


def test_analyses_do_not_import_one_another() -> None:
    wrong = []
    for path, place, target in _imports():
        inside = place[0] == target[0] == "analyses" and len(target) > 1 and place[1] not in COMPOSE
        if inside and target[1] not in (place[1], *SHARED):
            wrong.append(f"{path.relative_to(SRC)} -> {'.'.join(target)}")
    assert wrong == []


def test_no_room_stands_in_a_circle_of_files() -> None:
    """Inside rooms too, and with imports inside functions and for types: no file waits for itself."""
    files = {
        ".".join(p.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): p
        for p in SRC.rglob("*.py")
    }
    needs: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mechcot"):
                base = ".".join(str(node.module).split(".")[1:])
                for alias in node.names:
                    full = f"{base}.{alias.name}".strip(".")
                    needs[name].add(full if full in files else base)
    done: set[str] = set()
    while ready := {name for name in needs.keys() - done if needs[name] - {name, ""} <= done}:
        done |= ready
    assert sorted(needs.keys() - done) == []


def test_no_function_takes_more_than_eight_parameters_and_no_file_is_long() -> None:
    """The command line's functions are its options; everything else takes a dataclass before that."""
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 410, path
        if path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                assert len(set(named) - {"self", "cls"}) <= 8, f"{path}: {node.name}"


def test_statistics_analyses_and_report_load_no_torch() -> None:
    code = (
        f"import sys; [__import__('mechcot.' + name) for name in {LIGHT!r}]; "
        "print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_results_have_one_shape() -> None:
    """The dataclass is the JSON is the frame: nobody but `core.results` writes either by hand."""
    by_hand = [
        f"{path.relative_to(SRC)}: {node.name}"
        for path in sorted(SRC.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name in ("to_json", "to_frame")
    ]
    assert by_hand == ["core/results.py: to_json", "core/results.py: to_frame"]
