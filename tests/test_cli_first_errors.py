"""The first error of a command comes before what it needs is imported: modules are asked for, no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from mechcot.cli.groups import GROUPS
from mechcot.core.config import resolve, to_yaml

HEAVY = ("torch", "transformers", "pandas", "plotly", "scipy", "sklearn")
OF_A_STUDY = (
    "plan {}", "read {}", "report {}", "view {}", "show {}", "audit {}", "probe {}", "commitment {}",
    "commitment {} --steps swaps", "handover {}", "knowledge {}", "weights {}", "hedge {}", "boundary {} {}",
    "claims {}", "teacher {}", "judge {} --judge local", "judge-controls {}", "sheet draw {}",
    "sheet import {} there.csv", "likert draw {}", "likert import {} there.csv", "export {} --card cards",
    "export {} --push jane/study", "traces check --task organism {}",
)  # fmt: skip
OF_A_FILE = (
    "run new --config {}", "plan {}", "teacher new --config {}", "judge good --judge {}",
    "judge-controls good --judge {}", "judge-controls good --rewriter {}", "handover good --judge {}",
    "judge-accuracy there.csv --judge {} --out o", "probe good --spec {}",
    "commitment good --steps swaps --rewriter {}",
    "import new --arm a=there.csv --arm b=there.csv --judge {}",
    "traces make there.csv --task cotemp --variant rich --out o --judge {}",
)  # fmt: skip
OTHERS = (
    "run new --set nosuch.key=1", "run good --set nosuch.key=1", "run new --preset mouse",
    "teacher good --set nosuch.key=1", "check no/such/model", "serve-local no/such/model", "verify none",
    "distill --model no/such/model --examples there.csv --out o",
    "distill --model jane/x --examples none.csv --out o",
    "distill --model jane/x --examples there.csv --out o --set nosuch=1",
    "judge-accuracy none.csv --judge local --out o", "import new --arm a=none.csv --arm b=none.csv",
    "import new --arm a=there.csv", "export good", "export good --push mine", "export good --public --card c",
    "export good --push jane/x --kind model",
    "probe --activations store", "probe --activations store --labels none.csv", "probe --dry-run",
)  # fmt: skip
RUN = """
import json, sys
from called import called
for words in json.loads(sys.argv[1]):
    done = called(*words)
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([" ".join(words), done.returncode, done.stderr, heavy]))
    if heavy:  # all that follow would have it too
        break
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study, two with settings that cannot be used, and files of each kind."""
    (tmp_path / "there.csv").write_text("qid\n")
    good = to_yaml(resolve(preset="organism-small"))
    for name, text in (("good", good), ("broken", "arms: [1, {\n"), ("unknown", f"{good}nosuchkey: 3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.yaml").write_text(text)
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def _each_alone(folder: Path, commands: list[str]) -> list[tuple[str, int, str]]:
    """How the commands end, one after another in a process of their own: none has loaded what is heavy."""
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    words = json.dumps([command.split() for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", RUN, words, json.dumps(HEAVY)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {command: heavy for command, _, _, heavy in rows if heavy} == {}
    assert len(rows) == len(commands)
    return [(command, code, said) for command, code, said, _ in rows]


def test_a_study_that_is_not_there_or_has_wrong_settings_is_told_at_once(folder: Path) -> None:
    says = {"none": "is no study", "broken": "study.yaml", "unknown": "nosuchkey"}
    commands = [command.format(*[name] * 2) for command in OF_A_STUDY for name in says]
    for command, code, said in _each_alone(folder, commands):
        name = next(name for name in says if name in command)
        assert code in (1, 2), command
        assert says[name] in said, command
        assert said.count("\n") == 1, said


def test_a_file_that_is_not_there_or_cannot_be_used_is_told_at_once(folder: Path) -> None:
    names = ("none.yaml", "broken.yaml", "unknown.yaml")
    commands = [command.format(name) for command in OF_A_FILE for name in names]
    for command, code, said in _each_alone(folder, commands):
        assert code in (1, 2), command
        assert next(name for name in names if name in command) in said, (command, said)


def test_a_wrong_word_is_told_at_once(folder: Path) -> None:
    flags = [f"{command.format('good', 'good')} --nosuch" for command in (*OF_A_STUDY, *OTHERS)]
    for command, code, said in _each_alone(folder, [*OTHERS, *flags]):
        assert code in (1, 2), command
        assert said, command
        assert "Traceback" not in said, command


def test_no_command_is_left_out() -> None:
    tried = {command.split()[0] for command in (*OF_A_STUDY, *OF_A_FILE, *OTHERS)}
    assert tried == {name for names in GROUPS.values() for name in names}
