"""Everything that README and docs show is run: blocks of Python as they stand, commands with files put in."""

import hashlib
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from conftest import save_checkpoint
from documentation import PAGES, ROOT, Command, commands, python_blocks
from judging_cases import KEY, judge_file
from log_cases import files_of_logs
from loopback import Answer, Loopback
from mechcot import Study
from mechcot.cli.commands import app
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.handover_settings import HandoverSettings
from mechcot.probe import FitSettings, ProbeSpec
from mechcot.study.activations import Activations
from test_analyses_traces import files_of

# What a block of Python has from the text around it: a page's reader brings tensors and labels of their own.
GIVEN = {
    "probes.md": """
import numpy as np, pandas as pd, mechcot
study = mechcot.Study.open("studies/organism")
rng = np.random.default_rng(0)
qid = np.repeat([f"q{i}" for i in range(40)], 5)
y = rng.integers(0, 2, 200)
X = rng.normal(size=(200, 8)) + y[:, None]
frame = pd.DataFrame({"sid": np.tile(range(5), 40), "n_steps": 5})
claims = [f"claim {i}" for i in range(200)]
subjects = [f"subject {i % 30}" for i in range(200)]
new = study.activations("distilled").layer("resid_post", 2)
""",
    "text-or-weights.md": """
from mechcot.pipeline.run import hand_over
hand_over("studies/organism", progress=False)
""",
}
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "seed_0.py"))
READING = runpy.run_path(str(ROOT / "scripts" / "reading_page.py"))
SMALLER = {"200": "10"}
"""The study has 40 questions, and every step of one is a call."""
QUICK = {"null_draws": 5, "bootstrap": 100, "folds": 2, "inner_folds": 2, "ablate": 4}
"""A probe's specification; the command and the card are asked about, not the numbers."""
APART = {"reading.md"}
"""Pages whose commands change the readings: on a copy of their own, or all analyses would be made again."""
ENDLESS = {"serve-local", "view"}  # serve until stopped, which test_serving and test_analyses_viewer do
REFUSED = {
    ("study-folder.md", "sampling.samples=8"): "was 4, now 8",
    ("steps.md", "steps.segmenter=structural"): "now 'structural'",
    # The tests' small study hedges too little for a direction; tests/test_analyses_steering.py makes one.
    ("hedge.md", "steering"): "steering",
    # The tests' small study is the organism's; tests/test_analyses_kinds.py runs them on one of text.
    ("kinds.md", "kinds.server=kinds.yaml"): "kinds: the organism's language",
    ("kinds.md", "kinds.labels=labels.csv"): "kinds: the organism's language",
    ("kinds.md", "kinds"): "kinds",
    (
        "causes.md",
        "--rewriter",
    ): "causes.rewriter: the organism's claims",  # test_analyses_causes_rewritten.py
}
"""Commands that a page shows to be refused on a study that is there, and what is said."""


@pytest.fixture(scope="module")
def copied(study: Study, tmp_path_factory) -> Path:
    """A study that commands may write to."""
    folder = tmp_path_factory.mktemp("docs") / "studies" / "organism"
    shutil.copytree(study.path, folder)
    # A hand-over of all, and all steps written anew, would take a minute each.
    few = {
        "handover": HandoverSettings(prefixes=6),
        "causes": CauseSettings(traces=12, regenerated=1, questions=6),
    }
    Study(folder, study.settings.model_copy(update=few)).save_settings()
    return folder


def _outputs(folder: Path) -> Path:
    """Traces of the questions of two files."""
    rows = [
        {"qid": f"{name}-{i}", "text": f"The relation is: {name}.\n\nThe answer is nobody."}
        for name in ("equal", "mix")
        for i in range(12)
    ]
    path = folder / "outputs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def reply(call) -> Answer:
    """What fits the schema of any call, a function of the text alone."""
    form = call.body["response_format"]["json_schema"]["schema"]
    digest = hashlib.sha256(call.user.partition("\n")[2].encode()).digest()[0]
    values = {
        name: part["enum"][digest % len(part["enum"])] if "enum" in part else _value(part)
        for name, part in form["properties"].items()
    }
    return Answer(json.dumps(values))


def _value(part):
    return {"string": "a text", "number": 0.5, "integer": 1, "boolean": True}[part["type"]]


@pytest.fixture(scope="module")
def files(copied: Path, tmp_path_factory):
    """What the pages' names stand for."""
    folder = tmp_path_factory.mktemp("files")
    base = save_checkpoint(folder / "base")
    rows = [{"prompt": f"w{i} <think>", "completion": f"w{i} . </think> answer w{i}"} for i in range(8)]
    (folder / "traces.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "quick.yaml").write_text(json.dumps(QUICK))
    store = copied / "readings" / "distilled" / "distilled" / "activations"
    index = Activations.open(store).frame()
    labels = index.assign(label=np.arange(len(index)) % 3 == 0, kind="claim")
    labels.assign(text=[f"text {i}" for i in range(len(index))]).to_parquet(folder / "steps.parquet")
    with Loopback(reply) as server:
        judge = judge_file(folder, server.url, price_in=0.0, price_out=0.0, max_failure_share=1.0)
        yield {
            "studies/organism": copied,
            "studies/mine": copied,
            "STUDY": copied,
            "study.yaml": copied / "study.yaml",
            "checkpoints/mine": base,
            "base/": base,
            "Qwen/Qwen3-8B": base,
            "traces.jsonl": folder / "traces.jsonl",
            "student/": folder / "student",
            "judge.yaml": judge,
            "kimi.yaml": judge,
            "qwen.yaml": judge,
            "kimi": judge,
            "rewriter": judge,
            "my-judge.yaml": judge,
            "DIR": store,
            "steps.parquet": folder / "steps.parquet",
            "filled.csv": folder / "filled.csv",
            "ratings.csv": folder / "ratings.csv",
            "quick.yaml": folder / "quick.yaml",
            **{path.name: path for path in files_of(folder)},
            **files_of_logs(folder),
            "outputs.jsonl": _outputs(folder),
            "answers.jsonl": _outputs(folder),
            "examples/trace-types.yaml": ROOT / "examples" / "trace-types.yaml",
            "examples/medqa-qwen3-8b.yaml": ROOT / "examples" / "medqa-qwen3-8b.yaml",
        }


@pytest.fixture(scope="module")
def done() -> set[tuple[str, ...]]:
    """Commands that a page's test has run: README shows many that other pages show again."""
    return set()


# tests/test_*_added.py put those of architecture.md where they belong.
BLOCKS = [block for block in python_blocks() if block.page != "architecture.md"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_of_python_runs(block, study: Study, copied: Path, tmp_path, monkeypatch) -> None:
    """As it stands, but for the study's place, its last layer and how long a probe is fitted."""
    if block.page == "bridges.md":
        pytest.importorskip("transformer_lens")
        pytest.importorskip("nnsight")
    code = GIVEN.get(block.page, "") + block.code
    code = code.replace("studies/organism", str(copied))
    last = Activations.open(copied / "readings" / "distilled" / "distilled" / "activations").layers[-1]
    code = re.sub(r'"resid_post", 3\b', f'"resid_post", {last}', code)
    code = re.sub(r"\brefit=True\b", f"refit=True, spec=mechcot.probe.ProbeSpec(**{QUICK})", code)
    quick = partial(FitSettings, folds=2, inner=2, draws=100, null_draws=5)
    monkeypatch.setattr("mechcot.probe.fitting.FitSettings", quick)
    file = tmp_path / "block.py"  # from a file: nnsight reads the source of its `with` body
    file.write_text(code)
    monkeypatch.chdir(tmp_path)
    if "load_card(" in code:
        Study.open(copied).probe("distilled", spec=ProbeSpec(**QUICK), refit=True, progress=False)
    runpy.run_path(str(file))


@pytest.mark.parametrize("page", sorted({command.page for command in commands()}))
def test_the_commands_of_a_page_run(page, files, copied, done, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    if page in APART:
        own = Path(shutil.copytree(copied, tmp_path / "apart"))
        places = {
            place: own / place.relative_to(copied) for place in files.values() if place.is_relative_to(copied)
        }
        files = {name: places.get(place, place) for name, place in files.items()}
    for command in commands():
        if command.page == page:
            _run(command, files, done)


def _run(command: Command, files: dict[str, Path], done: set[tuple[str, ...]]) -> None:
    where = f"{command.page}:{command.line}: {' '.join(command.words)}"
    program, *words = command.words
    if program == "make":
        subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)
    elif program == "pip":
        wanted = set(re.findall(r"\w+", re.search(r"\[(.*)\]", words[-1])[1]))
        assert wanted <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.M)), where
    elif words[0].startswith(("scripts/", "benchmarks/")):
        assert all(word in _options(words[0]) for word in words if word.startswith("--")), where
    else:
        words = ["probe", *words[2:]] if words[:2] == ["-m", "mechcot.probe"] else words
        _mechcot(where, words, command, files, done)


@cache
def _options(script: str) -> set[str]:
    """The options in the usage of a script, asked from its door in this process."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(sys, "argv", [script, "--help"])
        patch.setattr(sys, "path", [str((ROOT / script).parent), *sys.path])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / script), run_name="__main__")
    assert end.value.code == 0
    usage, _, _ = said.getvalue().partition("\n\n")
    return set(re.findall(r"--[\w-]+", usage))


def _mechcot(
    where: str, words: list[str], command: Command, files: dict[str, Path], done: set[tuple[str, ...]]
) -> None:
    put_in = [_given(word, files) for word in words]
    endless = words[0] in ENDLESS and "--export" not in words
    sends = "--push" in words and "--dry-run" not in words
    # other tests run those: miniature, reading_of_study, distill_shared and _launch, cluster, sharing_push
    elsewhere = {"--miniature", "knockouts", "processes=2", "--launch", "--workers", "--cluster"}
    if endless or sends or elsewhere & {*words}:
        group = typer.main.get_command(app)
        group.commands[words[0]].make_context(words[0], put_in[1:])
        return
    if "filled.csv" in words:
        _fill(files["STUDY"] / "sheet" / "sheet.csv", files["filled.csv"])
    if words[:2] == ["probe", "STUDY"] or words[:2] == ["probe", "studies/mine"]:
        put_in += [] if "--spec" in words else ["--spec", str(files["quick.yaml"])]
    if words[0] == "likert":  # a hundred people's forms say no more of the command than a dozen's
        put_in = ["12" if word == "100" else word for word in put_in]
    if "ratings.csv" in words:
        _rate(files["STUDY"] / "likert", files["ratings.csv"])
    if words[0] == "judge-controls" and "--judge" in words and "--questions" not in words:
        put_in += ["--questions", SMALLER["200"]]
    draws = words[1:2] == ["draw"]
    if tuple(put_in) in done and not draws:  # by another page
        return
    done.add(tuple(put_in))
    if draws:
        shutil.rmtree(files["STUDY"] / words[0], ignore_errors=True)
    ran = CliRunner().invoke(app, [*put_in, *(["--quiet"] if _long(words) else [])])
    said = next(
        (say for (page, word), say in REFUSED.items() if command.page == page and word in words), None
    )
    if said is not None:
        assert said in str(ran.exception), where
    else:
        assert ran.exit_code == 0, f"{where}: {ran.output}\n{ran.exception!r}"


def _long(words: list[str]) -> bool:
    return "--quiet" not in words and words[0] in (
        "run",
        "read",
        "probe",
        "judge",
        "judge-controls",
        "handover",
        "weights",
        *(("commitment",) if "--steps" in words else ()),
    )


def _given(word: str, files) -> str:
    """A word of a command with the test's file or number in its place, also behind `setting=`."""
    name, given, value = word.partition("=")
    return (
        f"{name}={files[value]}"
        if given and value in files
        else str(files.get(word, SMALLER.get(word, word)))
    )


def _fill(sheet: Path, filled: Path) -> None:
    table = pd.read_csv(sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table["verdict"] = np.resize(["correct", "erroneous", "cannot tell"], len(table))
    table.to_csv(filled, index=False)


def _rate(folder: Path, rated: Path) -> None:
    """What participants would export: ratings in turn, every attention check right."""
    key = json.loads((folder / "key.json").read_text())
    form = re.search(r'data-form="([^"]+)"', next((folder / "forms").glob("*.html")).read_text())[1]
    rows = [
        [form, one["participant"], item, "yes", *(1 + (n + shift) % 5 for shift in range(4)),
         one["checks"].get(item, "")]
        for n, one in enumerate(key["participants"]) for item in one["items"]
    ]  # fmt: skip
    columns = "form participant item consent predictability comprehensibility faithfulness load check"
    pd.DataFrame(rows, columns=columns.split()).to_csv(rated, index=False)


def test_pages_quote_the_committed_numbers_of_seed_0():
    quotes = json.loads(SCRIPT["QUOTES"].read_text())["quotes"]
    texts = {page: page.read_text() for page in SCRIPT["PAGES"]}
    for page, text in texts.items():
        assert SCRIPT["written"](text, quotes) == text, f"{page}: python scripts/seed_0.py"
    marked = [found[2] for text in texts.values() for found in SCRIPT["MARKED"].finditer(text)]
    assert sorted(marked) == sorted(quotes) == sorted(SCRIPT["MADE"])


def test_the_page_of_readings_quotes_the_committed_benchmark():
    page, numbers = READING["PAGE"].read_text(), READING["NUMBERS"]
    told = json.loads(numbers.read_text()) if numbers.exists() else None
    assert READING["written"](page, told) == page, "python scripts/reading_page.py"
    assert len(READING["BLOCK"].findall(page)) == 1


def test_every_ratio_of_the_benchmark_stands_on_the_page():
    told = _benchmark_of_made_up_numbers()
    page = READING["written"](READING["PAGE"].read_text(), told)
    assert READING["written"](page, told) == page
    for job in told["ratios"].values():
        for name, value in job.items():
            assert (f"{value:.2f}" in page) is (not name.endswith(": predicted")), name
    with pytest.raises(SystemExit, match="is not quoted"):
        READING["block"](told | {"small": True})
    with pytest.raises(SystemExit, match="is not quoted"):
        READING["block"](told | {"jobs": ["forced"]})


def _benchmark_of_made_up_numbers():
    """What `benchmarks/reading.py --out` writes, every ratio another number."""
    kinds = ("predicted", "measured", "over_predicted", "over_computed")
    names = {
        "forced": ["over_bare", "over_bare_with_signals", "vs_separate", "vs_padded", "vs_kv_branch"],
        "branches": [f"three lead-ins: {kind}" for kind in kinds],
        "length": [*(f"140 tokens: {kind}" for kind in kinds), "140 to 2240 tokens: growth of measured"],
        "activations": ["activations_over_bare", "vs_nnsight", "vs_transformer_lens"],
        "vocabulary": ["signals: over_bare_and_head", "signals and forced answers: over_bare_and_head"],
        "store": ["peak_growth", "writing_share", "layer_over_memmap"],
    }
    numbers = (number / 100 for number in range(12_345, 99_999, 111))
    return {
        "jobs": list(names), "small": False, "rounds": 3, "left_out": [], "minutes": 9.5,
        "machine": {"processor": "a processor", "cores": 2, "torch": "2"},
        "sizes": {"forced": {"parameters": 10**8, "tokens of the traces": 2240, "distinct prefixes": 3000}},
        "megabytes": {"store": {"96 traces a question": 120.0}},
        "ratios": {job: {name: next(numbers) for name in own} for job, own in names.items()},
        "bounds": {"over_bare": "<= 1.10"},
    }  # fmt: skip


def test_quotes_are_the_studys_own_numbers(study):
    said = {name: quote(study) for name, quote in SCRIPT["MADE"].items()}
    summary, arms = study.summary(), ("base", "distilled")
    for arm in arms:
        assert f"{100 * summary['audit'][arm]['error_rate']:.1f} %" in said["headline"]
        assert f"{100 * summary['answers'][arm]['sc']:.1f} %" in said["headline"]
    assert "every step weighs the same" in said["certainty"]
    assert "all that is to do" in said["dry-run"]
    assert "judged again" in said["exact-controls"]
    assert str(study.path) not in said["exact-controls"]
    assert f"{summary['audit']['distilled']['n_judged']:,} judged steps" in said["malformed"]


def test_a_study_of_another_seed_is_not_quoted(study):
    with pytest.raises(SystemExit, match="not the one quoted"):
        SCRIPT["quoted"](study.path)


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LINKED = [*PAGES, *sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for target in LINK.findall(re.sub(r"`[^`\n]+`|^ {4}[^\n]*$", "", prose, flags=re.M)):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_site_s_navigation() -> None:
    named = (ROOT / "mkdocs.yml").read_text()
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    books = [f"notebooks/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")]
    assert [name for name in (*pages, *books) if name not in named] == []
