"""The command line as a user meets it; in a process of its own where that makes a difference."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import mechcot
from called import called
from conftest import save_checkpoint
from mechcot import Study
from mechcot.cli.commands import EXTRAS, app, main
from mechcot.cli.groups import GROUPS


def test_help_is_light_and_shows_examples_first() -> None:
    words = [sys.executable, "-m", "mechcot", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.index("mechcot run studies/organism") < done.stdout.index("Make a study:")
    code = (
        "import sys, mechcot.cli; print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert light.stdout.strip() == "[]"


def test_every_command_stands_under_one_heading() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(typer.main.get_command(app).commands)
    listed = called("--help").stdout.partition("Make a study:")[2]
    assert re.findall(r"^  ([a-z-]+) {2,}\S", listed, re.M) == named
    assert "..." not in listed


def test_the_version_is_that_of_the_package() -> None:
    assert called("--version").stdout.split() == ["mechcot", mechcot.__version__]


def test_a_report_is_found_or_what_writes_it_is_said(study: Study, tmp_path: Path) -> None:
    assert called("report", str(study.path)).stdout.split() == ["Report:", str(study.path / "report.html")]
    shutil.copy(study.path / "study.yaml", tmp_path)
    done = called("report", str(tmp_path))
    assert (done.returncode, f"`mechcot run {tmp_path}` writes it" in done.stderr) == (1, True)


@pytest.mark.parametrize("how", ["changed", "gone"])
@pytest.mark.parametrize("file", ["arms/base/steps.parquet", "results/audit.json", "report.html"])
def test_what_is_damaged_is_named_with_what_to_do(file: str, how: str, study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study.path, copy, ignore=shutil.ignore_patterns("work", "models"))
    if how == "gone":
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(b"{}")
    for command in (["report"], ["show", "--json"], ["show"]):
        done = called(command[0], copy, *command[1:])
        assert str(copy / file) in done.stderr, command
        assert f"mechcot run {copy}" in done.stderr
        assert "Traceback" not in done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr


def test_why_analyses_are_not_there_is_said_once(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(
        study.path, copy, ignore=shutil.ignore_patterns("work", "models", "results", "report.html")
    )
    listed = called("show", copy).stdout
    assert listed.count(f"not made yet; mechcot run {copy} makes it") == 1
    assert listed.count("(not here)") >= 15
    assert len(re.findall("^Not here: ", listed, re.M)) == 1


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "report",
        "audit",
        "commitment",
        "distill",
        "verify",
        "check",
        "judge",
        "judge-controls",
        "import",
        "export",
        "judge-accuracy",
    ],
)
def test_every_command_teaches_by_example(command: str) -> None:
    done = called(command, "--help")
    assert done.returncode == 0
    assert f"mechcot {command} " in done.stdout.split("Options")[0].split("\n", 2)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "{tmp}/s", "--set", "sampling.sample=3"], 2, "'sampling.sample' is no setting"),
        (["run", "{tmp}/s", "--config", "{tmp}/none.yaml"], 2, "none.yaml: cannot be read"),
        (["run", "{tmp}/s", "--preset", "mouse"], 2, "there is no preset 'mouse'"),
        (["run", "{tmp}/file/s"], 1, "cannot be written"),
        (["run"], 2, "Missing argument"),
        (["distill", "--model", "m", "--examples", "e", "--out", "o", "--seed", "-1"], 2, "'--seed'"),
        (["verify", "{tmp}"], 1, "is no study"),
        (["plan", "{tmp}/typo.yaml"], 1, "typo.yaml: cannot be read: No such file"),
        (["audit", "{tmp}"], 1, "is no study"),
        (
            ["distill", "--model", "{tmp}/none", "--examples", "{tmp}/file", "--out", "{tmp}/o"],
            1,
            "no such folder",
        ),
    ],
)
def test_wrong_usage_is_one_message_and_its_exit_code(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = called(*[a.format(tmp=tmp_path) for a in arguments])
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s" / "study.yaml").exists()


def test_a_finished_study_is_shown_audited_and_verified(study: Study) -> None:
    shown = called("run", study.path)
    assert shown.returncode == 0, shown.stderr
    assert "difference [95 % interval]" in shown.stdout
    assert str(study.report) in shown.stdout
    as_json = json.loads(called("run", study.path, "--json").stdout)
    assert as_json == study.summary()
    assert (
        json.loads(called("audit", study.path, "--control", "terse", "--json").stdout)["after"]["arm"]
        == "terse"
    )
    assert "as they were written" in called("verify", study.path).stdout


def test_distilling_reports_its_masks_before_it_trains(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base")
    examples = tmp_path / "examples.jsonl"
    rows = [{"prompt": f"w{i} <think>", "completion": f"w{i} . </think> answer w{i}"} for i in range(8)]
    examples.write_text("\n".join(json.dumps(row) for row in rows))
    call = ["distill", "--model", base, "--examples", examples, "--out", tmp_path / "student"]
    dry = called(*call, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "8" in dry.stdout
    assert re.search(r"\nTime: about .* here, within a factor of about three: [\d,]+ tokens and ", dry.stdout)
    assert not (tmp_path / "student").exists()
    done = called(*call, "--set", "epochs=1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(dry.stdout.splitlines()[0])
    assert (tmp_path / "student" / "model.safetensors").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = ["-m", "mechcot", "run", str(tmp_path / "s"), "--preset", "organism-small"]
    arguments += ["--set", "organism.pretrain_steps=30"]
    # Started in the background of a script, the tests ignore the signal, and so would a child.
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "pretrain" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.rstrip().endswith("mechcot: stopped; the same command goes on from here")


NO_TORCH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "httpx2", "ray"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from mechcot.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["probe", "{study}"], "torch is not installed. Install it with: pip install 'mechcot[models]'"),
        (
            ["run", "{study}", "--workers", "2"],
            "ray is not installed. Install it with: pip install 'mechcot[cluster]'",
        ),
        (["show", "{study}", "answers"], ""),
        (["verify", "{study}"], ""),
    ],
)
def test_the_base_alone_says_what_is_missing_or_does_without(arguments, says, study: Study) -> None:
    words = [word.format(study=study.path) for word in arguments]
    done = subprocess.run([sys.executable, "-c", NO_TORCH, *words], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert (done.returncode == 0) == (says == "")


def test_every_package_of_an_extra_is_known_by_it() -> None:
    extras = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for extra in ("models", "train", "bridges", "judge", "serve", "cluster"):
        for line in extras["optional-dependencies"][extra]:
            package = re.match(r"[\w-]+", line)[0].replace("-", "_")
            assert package == "mechcot" or EXTRAS[package] == extra


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (MemoryError(), "there is too little memory", 1),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory:\n 9 bytes"),
            "too little memory",
            1,
        ),
        (
            ImportError("cannot import name 'x' from 'trl'", name="trl"),
            r"cannot import name.*mechcot\[train\]",
            2,
        ),
        (ImportError("AutoX requires the einops library"), r"requires the einops.*mechcot\[all\]", 2),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), r"torch is not installed", 2),
        (PermissionError(13, "Permission denied", "a.parquet"), r"a\.parquet: Permission denied", 1),
    ],
)
def test_what_the_machine_lacks_is_one_message(
    error: Exception,
    says: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    (tmp_path / "study.yaml").touch()
    monkeypatch.setattr(Study, "open", fails)
    monkeypatch.setattr("sys.argv", ["mechcot", "verify", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    err = capsys.readouterr().err
    assert re.search(says, err)
    assert err.count("\n") == 1
    assert err.startswith("mechcot: ")


def test_a_fault_of_its_own_shows_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ImportError("cannot import name 'x' from 'mechcot.core'", name="mechcot.core")

    (tmp_path / "study.yaml").touch()
    monkeypatch.setattr(Study, "open", fails)
    monkeypatch.setattr("sys.argv", ["mechcot", "verify", str(tmp_path)])
    with pytest.raises(ImportError):
        main()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["show", "nowhere"], "nowhere is no study"),
        (["read", "nowhere"], "nowhere is no study"),
        (["judge", "nowhere", "--judge", "local"], "nowhere is no study"),
        (["run", "nowhere", "--set", "sampling.heat=1"], "sampling.heat"),
        (["run", "nowhere", "--config", "no.yaml"], "no.yaml: cannot be read"),
    ],
)
def test_a_wrong_call_is_refused_before_what_is_slow_to_import_and_writes_nothing(
    call: list[str], says: str, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.argv = ['mechcot', *{call!r}]\nfrom mechcot.__main__ import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, {'pandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert says in done.stderr
    assert re.fullmatch(r"[12] set\(\)\n", done.stdout)
    assert list(tmp_path.iterdir()) == []
