"""The viewer: its list against the tables, its server's door, and its pages in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from browser import PATIENCE, chromium, needs_chromium
from mechcot import Study
from mechcot.analyses.viewer.data import Data, export, page
from mechcot.analyses.viewer.index import INDEX, NEVER, UNREAD, index_of
from mechcot.analyses.viewer.question import questions_of
from mechcot.analyses.viewer.server import Viewer
from mechcot.analyses.viewer.tables import ArmFiles, flags
from mechcot.cli.commands import app
from mechcot.core import records
from mechcot.core.errors import AnalysisError, DataError, StudyError, UsageError
from mechcot.study.folder import FURTHER
from mechcot.tasks.organism.checker import KINDS

HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script> & 😀 </script>"
)
"""Markup, and a character that JavaScript counts twice."""


@pytest.fixture(scope="module")
def copied(study: Study, tmp_path_factory) -> Study:
    """A study with a second instrument, scores of a probe, and a step whose words are markup."""
    folder = Path(shutil.copytree(study.path, tmp_path_factory.mktemp("viewer") / "organism"))
    found = Study.open(folder)
    verdicts = found.verdicts("distilled")
    other = verdicts.assign(instrument="second", label="correct", reason="all is well")
    records.write_table(folder / "arms/distilled/verdicts/second.parquet", other, records.VERDICTS)
    judged = verdicts[verdicts.label.isin(("correct", "erroneous"))].reset_index(drop=True)
    wrong = (judged.label == "erroneous").astype(int)
    scores = judged[records.STEP_KEY].assign(y=wrong, fold=np.arange(len(judged)) % 2, score=wrong + 0.0)
    place = folder / "probes/step-error/distilled/distilled"
    place.mkdir(parents=True, exist_ok=True)
    scores.to_parquet(place / "scores.parquet")
    _hostile(folder)
    return found


def _hostile(folder: Path) -> None:
    """Put markup in front of one trace's text; its places move with it."""
    for name, schema in (("traces", records.TRACES), ("steps", records.STEPS)):
        path = folder / f"arms/distilled/{name}.parquet"
        table = records.read_table(path, schema)
        first = (table.qid == table.qid[0]) & (table.cid == 0)
        moved = [
            one
            for one in ("char_start", "char_end", "reasoning_end", "answer_start", "answer_end")
            if one in table
        ]
        if name == "traces":
            table.loc[first, "text"] = HOSTILE + table.text[first]
            for one in ("token_start", "token_end"):
                table[one] = [
                    at + len(HOSTILE) if now else at for at, now in zip(table[one], first, strict=True)
                ]
        table.loc[first, moved] = table.loc[first, moved].where(
            table.loc[first, moved] < 0, table.loc[first, moved] + len(HOSTILE)
        )
        if name == "steps":
            table.loc[first & (table.sid == 0), "char_start"] = 0
        records.write_table(path, table, schema)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    for stage in manifest["stages"].values():  # as if it had been written so
        stage["outputs"] = {n: d for n, d in stage["outputs"].items() if not n.startswith("arms/distilled/")}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def exported(copied: Study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "out"
    assert sum(export(Data.of(copied), folder)) == len(copied.questions())
    return folder


def test_the_list_says_what_the_tables_say(study: Study) -> None:
    index = index_of(study)
    assert list(index.columns) == INDEX.names
    assert len(index) == sum(len(study.traces(arm)) for arm in study.settings.arms)
    gold = dict(zip(*study.questions()[["qid", "gold"]].to_numpy().T, strict=True))
    for arm in ("base", "distilled"):
        own = index[index.arm == arm].set_index(["qid", "cid"])
        traces, steps, verdicts = study.traces(arm), study.steps(arm), study.verdicts(arm)
        right = {(t.qid, t.cid) for t in records.rows(traces) if t.answer == gold[t.qid]}
        assert set(own.index[own.state == "right"]) == right
        assert own.strip.map(len).sum() == len(steps) == own.kinds.map(len).sum()
        assert own.strip.str.count("e").sum() == (verdicts.label == "erroneous").sum()
        claims = study.claims(arm)
        hedged = claims[claims.hedged].drop_duplicates(records.STEP_KEY)
        assert own.hedged.sum() == len(hedged)
        locks = study.commitment(arm).locks.set_index(["qid", "cid"])
        told = own.loc[locks.index, "lock"].replace(NEVER, np.nan)
        pd.testing.assert_series_equal(told.astype(float), locks.lock.astype(float), check_names=False)
        assert (own.lock.drop(locks.index) == UNREAD).all()
    pair = index[index.fate == "gained"].groupby(["qid", "cid"]).arm.agg(set)
    assert pair.map(lambda arms: arms == {"base", "distilled"}).all()
    state = index.set_index(["arm", "qid", "cid"]).state
    for qid, cid in pair.index:
        assert state["base", qid, cid] != "right" == state["distilled", qid, cid]


def test_the_list_is_kept_and_made_anew_when_a_table_changes(study: Study, tmp_path) -> None:
    folder = Path(shutil.copytree(study.path, tmp_path / "study"))
    first = index_of(Study.open(folder))
    kept = folder / "work/viewer/index.parquet"
    before = kept.stat().st_mtime_ns
    pd.testing.assert_frame_equal(index_of(Study.open(folder)), first)
    assert kept.stat().st_mtime_ns == before
    other = Study.open(folder).verdicts("distilled").assign(label="correct")
    records.write_table(folder / "arms/distilled/verdicts/other.parquet", other, records.VERDICTS)
    again = index_of(Study.open(folder))
    assert (first.disagree == -1).all()
    wrong = (study.verdicts("distilled").label == "erroneous").sum()
    assert again[again.arm == "distilled"].disagree.sum() == wrong
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["stages"][f"{FURTHER}other"] = {
        **manifest["stages"]["report"],
        "inputs": {"arms/distilled/steps.parquet": "those before"},
        "outputs": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    pd.testing.assert_frame_equal(
        index_of(Study.open(folder)), first
    )  # verdicts on other steps are not shown


def test_a_step_is_flagged_by_its_own_fold() -> None:
    rows = {"qid": ["a"] * 6, "arm": "x", "cid": 0, "sid": range(6), "y": [1, 0, 0, 1, 1, 0]}
    scores = pd.DataFrame(rows).assign(fold=[0, 0, 0, 1, 1, 1], score=[5.0, 9.0, 1.0, 0.3, 0.2, 0.1])
    assert flags(scores).wrong.tolist() == [False, True, False, True, True, False]


def test_a_question_shows_the_steps_marked_that_the_list_counts(copied: Study, tmp_path: Path) -> None:
    """Folds are of many questions: the highest scores of one question are not the highest of its fold."""
    study = Study.open(Path(shutil.copytree(copied.path, tmp_path / "noisy")))
    place = study.path / "probes/step-error/distilled/distilled/scores.parquet"
    scores = pd.read_parquet(place)
    scores.assign(score=np.random.default_rng(0).random(len(scores))).to_parquet(place)
    index, files = index_of(study), {arm: ArmFiles(study, arm) for arm in study.settings.arms}
    listed = index[index.probe.notna()].set_index(["qid", "cid"]).probe
    assert listed.map(len).sum() == scores.y.sum()
    for qid in study.questions().qid:  # one by one, as a page asks for them
        (question,) = questions_of(study, files, index, [qid])
        for trace in question["traces"]:
            marked = [step["sid"] for step in trace["steps"] if step.get("probe", [0, False])[1]]
            key = (trace["qid"], trace["cid"])
            assert marked == (sorted(listed[key]) if trace["arm"] == "distilled" and key in listed else [])


def test_a_folder_that_holds_something_is_not_written_to(study: Study, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        list(export(Data.of(study), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_study_without_steps_says_what_makes_them(study: Study, tmp_path) -> None:
    shutil.copytree(study.path, tmp_path / "study", ignore=shutil.ignore_patterns("arms", "work"))
    with pytest.raises(AnalysisError, match="mechcot run"):
        index_of(Study.open(tmp_path / "study"))


def _get(url: str, **headers: str):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers)) as found:
            return found.status, found.read().decode(), dict(found.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_door_opens_to_the_token_alone(study: Study) -> None:
    with Viewer(Data.of(study)) as served:
        root = served.url.split("/", 3)
        assert root[2].startswith("127.0.0.1:")
        assert len(root[3]) > 30
        status, body, headers = _get(served.url)
        assert (status, body) == (200, page(study.path.name))
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        listed = _get(served.url + "data/index.js")[1]
        assert json.loads(listed.removeprefix('mechcot.put("index", ').removesuffix(");\n"))["pair"] == [
            "base",
            "distilled",
        ]
        door = f"http://{root[2]}/"
        for place in ("", "wrong/", "wrong/data/index.js", served.url.split("/")[3][:-1] + "/"):
            assert _get(door + place)[0] == 404, place
        for place in (
            "data/q/999999.js",
            "data/../viewer.js",
            "data/index/1.js",
            "study.yaml",
            "data/q/x.js",
        ):
            assert _get(served.url + place)[0] == 404, place
        assert _get(served.url, Host="evil.example")[0] == 403
    assert not [t for t in threading.enumerate() if "uvicorn" in t.name.lower()]


def test_the_base_alone_exports_and_says_what_serving_needs(study: Study, tmp_path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('starlette', 'uvicorn', 'torch', 'transformers'))); "
        "from mechcot.cli import main; main()"
    )
    words = [sys.executable, "-c", code, "view", str(study.path), "--quiet"]
    done = subprocess.run([*words, "--export", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "index.html").exists()
    done = subprocess.run(words, capture_output=True, text=True)
    assert "pip install 'mechcot[view]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_notebook_shows_one_trace_and_a_pair(study: Study) -> None:
    qid = study.questions().qid[0]
    shown = study.compare(qid, 1)
    frame = shown._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert 'sandbox="allow-scripts"' in frame
    inner = unescape(frame.split('srcdoc="')[1].split('" sandbox')[0])
    assert inner == shown.html
    assert f'data-start="#/c/{qid}/base/1/distilled/1"' in inner
    with pytest.raises(DataError, match="no trace 99 of question"):
        study.compare(qid, 99)
    with pytest.raises(StudyError, match="there is no arm 'nobody'"):
        study.compare(qid, before="nobody")
    with pytest.raises(TypeError):
        study.compare(qid, 1, "base")  # which side is which is said


def test_a_pair_is_a_table_too(study: Study) -> None:
    qid = study.questions().qid[0]
    pair = study.compare(qid, 1)
    assert "to_frame()" in repr(pair)
    table = pair.to_frame()
    for when, arm in (("before", "base"), ("after", "distilled")):
        own = study.trace(qid, 1, arm=arm)
        rows = table.dropna(subset=[f"sid_{when}"])
        assert rows[f"sid_{when}"].tolist() == own.index.tolist()  # each once, in order
        assert rows[f"text_{when}"].tolist() == own.text.tolist()
        assert rows[f"label_{when}"].tolist() == own.label.tolist()
    both = table.sid_before.notna() & table.sid_after.notna()
    assert (table.match != "").equals(both)
    assert both.any()


def test_a_trace_says_why_something_of_it_is_not_known(study: Study) -> None:
    qid, kept = study.questions().qid[0], study.settings.reading.traces_per_question
    read, unread = study.trace(qid, 0), study.trace(qid, kept)
    told = f"mechcot read {study.path} --set reading.traces_per_question={kept + 1}"
    assert told in " ".join(repr(unread).split())
    assert told in unread._repr_html_()
    assert unread.p_own.isna().all()
    assert "Not read" not in repr(read) + read._repr_html_()
    assert "mechcot read" in study.trace(qid, 0, arm="terse").note
    assert "--author terse --reader terse" in study.trace(qid, 0, arm="terse").note
    for column in read.columns:
        assert column in repr(read)
    assert all(text in read._repr_html_() for text in read.text)
    assert "Not read" not in repr(unread[["text", "label"]])  # which holds nothing of the inside


def test_a_trace_has_its_forced_answers_beside_its_steps(study: Study) -> None:
    one = study.commitment().locks.iloc[0]
    table = study.trace(one.qid, one.cid)
    told = study.commitment().trace(one.qid, one.cid)
    steps = told.prefixes.set_index("k")[f"p_{told.answer}"].drop(0)
    assert table.p_own.loc[steps.index - 1].to_numpy() == pytest.approx(steps.to_numpy())
    assert table[table.label == "correct"].place[1] == one.qid  # what is cut out of it can be shown too
    signals = study.signals("distilled").set_index(["qid", "cid"]).surprisal[one.qid, one.cid]
    step = study.steps("distilled").set_index(records.STEP_KEY).loc[(one.qid, "distilled", one.cid, 0)]
    assert table.surprisal[0] == pytest.approx(
        float(np.mean(signals[step.tok_start : step.tok_end])), rel=1e-5
    )


def test_activations_of_one_trace_join_with_its_steps(study: Study) -> None:
    store = study.activations("distilled")
    layer, whole, index = store.layers[-1], store.layer("resid_post", store.layers[-1]), store.frame()
    qid = index.qid[len(index) // 2]
    own = store.frame(qid=qid, cid=1)
    rows = np.flatnonzero((index.qid == qid) & (index.cid == 1))
    assert (store.layer("resid_post", layer, qid=qid, cid=1) == whole[rows]).all()
    joined = own.merge(study.steps("distilled"), on=records.STEP_KEY)
    assert len(joined) == len(own) == len(rows) > 0
    with pytest.raises(StudyError, match=r"keeps no step of qid 'x'.*reading.traces_per_question"):
        store.layer("resid_post", layer, qid="x")


def test_what_was_not_read_names_the_command(study: Study) -> None:
    with pytest.raises(StudyError, match=r"mechcot read .* --author terse --reader terse"):
        study.probe("terse")


def test_the_command_writes_pages(study: Study, tmp_path) -> None:
    done = CliRunner().invoke(app, ["view", str(study.path), "--export", str(tmp_path / "out"), "--quiet"])
    assert done.exit_code == 0, done.output
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.js")}
    assert {"viewer.js", "data/index.js", "data/q/0.js", "data/text/0.js"} <= names
    assert str(study.path) not in (tmp_path / "out/data/index.js").read_text()


@needs_chromium
def test_a_notebooks_frame_is_a_page_of_its_own(study: Study, tmp_path) -> None:
    """Links inside it lead from view to view, and nothing is refused by its policy."""
    qid = study.questions().qid[0]
    (tmp_path / "cell.html").write_text(
        f"<!doctype html><title>cell</title>{study.compare(qid, 1)._repr_html_()}"
    )
    with chromium(tmp_path / "profile") as tab:
        tab.size(1440, 900)
        tab.open((tmp_path / "cell.html").as_uri(), "document.querySelector('iframe')")
        tree = tab("Page.getFrameTree")["frameTree"]
        frame = tree["childFrames"][0]["frame"]["id"]
        inside = tab("Page.createIsolatedWorld", frameId=frame)["executionContextId"]

        def ask(code: str) -> object:
            found = tab("Runtime.evaluate", expression=code, contextId=inside, returnByValue=True)
            return found["result"].get("value")

        def until(code: str) -> None:
            end = time.monotonic() + PATIENCE
            while not ask(f"Boolean({code})"):
                assert time.monotonic() < end, (code, ask("document.body.innerText"), tab.problems)
                time.sleep(0.1)

        until("document.querySelectorAll('.row').length")
        assert ask("document.querySelectorAll('.side').length") == 2
        ask("document.getElementById('compare').click()")
        until("document.querySelector('h1')?.innerText.startsWith('base')")
        ask("document.getElementById('up').click()")
        until("document.querySelectorAll('.trace').length")
        assert tab.js("document.title") == "cell"
        assert tab.problems == []


LISTED = "document.querySelectorAll('.trace').length"
HEAD = "document.querySelector('h1').innerText"


def _rows(tab) -> list[int]:
    return tab.js("[...document.querySelectorAll('.trace')].map((row) => Number(row.dataset.row))")


@needs_chromium
def test_pages_from_disk_work_by_keyboard_and_mouse(copied: Study, exported: Path, tmp_path) -> None:
    index = index_of(copied)
    root = (exported / "index.html").as_uri()
    with chromium(tmp_path / "profile") as tab:
        tab.size(1440, 900)
        tab.open(root, LISTED)
        assert tab.js(HEAD) == f"{len(index):,} of {len(index):,} traces"
        _filters(tab, index)
        _one_trace(tab, root, copied)
        _pair(tab, copied.compare(copied.questions().qid[0], 1).to_frame())
        for width, height in ((390, 844), (1440, 900)):
            tab.size(width, height, dark=width == 390)
            for place in ("", tab.js("location.hash"), "#/t/distilled/" + index.qid[0] + "/0"):
                tab.open(root + place, "document.querySelector('.trace, .step')")
                assert tab.js("document.documentElement.scrollWidth <= innerWidth"), (place, width)
        assert tab.js("document.title") == "organism: traces"
        assert tab.problems == []


def _filters(tab, index: pd.DataFrame) -> None:
    """Every filter finds what the table says, and lies in the address."""
    late = (index.lock > index["last"] / 2) & (index.lock > 0)
    wrong = index.strip.str.contains("e")
    cases = {
        "model": ("distilled", index.arm == "distilled"),
        "answer": ("wrong", index.state == "wrong"),
        "fate": ("gained", index.fate == "gained"),
        "kind": (KINDS["find"], index.kinds.map(lambda kinds: "find" in kinds)),
        "verdict": ("erroneous", wrong),
        "judges": ("disagree", index.disagree > 0),
        "probe": ("wrong", index.probe.map(lambda steps: steps is not None and len(steps) > 0)),
        "hedge": ("hedged", index.hedged > 0),
        "lock": ("late", late),
    }
    for name, (value, rows) in cases.items():
        assert rows.any(), name
        tab.js(f"location.hash = '#/?{name}={value}'")
        tab.until(f"{HEAD}.startsWith('{rows.sum():,} of')")
        assert _rows(tab) == np.flatnonzero(rows)[:50].tolist(), name
    tab.js(f"location.hash = '#/?kind=' + encodeURIComponent({KINDS['find']!r}) + '&verdict=erroneous'")
    both = [
        any(m == "e" and kind == "find" for m, kind in zip(strip, kinds, strict=True))
        for strip, kinds in zip(index.strip, index.kinds, strict=True)
    ]
    tab.until(f"{HEAD}.startsWith('{sum(both):,} of')")
    tab.js("location.hash = '#/?sort=wrong'")
    order = np.argsort(-index.strip.str.count("e").to_numpy(), kind="stable")
    tab.until(f"document.querySelector('.trace').dataset.row === '{order[0]}'")
    assert _rows(tab) == order[:50].tolist()
    # by hand: the search from the keyboard, the filter with its own list
    tab.press("/")
    tab.until("document.activeElement.id === 'search'")
    tab.write("😀")
    tab.press("Enter")
    tab.until(f"{HEAD}.startsWith('1 of')")
    tab.click("#clear")
    tab.until(f"{HEAD}.startsWith('{len(index):,} of')")
    tab.press("n")
    tab.until("location.hash.includes('page=2')")
    assert _rows(tab)[0] == 50
    tab.press("p")
    tab.until("location.hash.includes('page=1')")


def _one_trace(tab, root: str, study: Study) -> None:
    """A trace is opened from the list; its words are text, its steps have verdicts and reasons."""
    qid = study.questions().qid[0]
    tab.js("location.hash = '#/?model=distilled'")
    tab.until("document.querySelectorAll('.trace .who')[1]?.innerText.startsWith('distilled')")
    tab.press("j")
    tab.press("Enter")
    tab.until(f"location.hash === '#/t/distilled/{qid}/0' && document.querySelector('.step')")
    table, text = study.trace(qid, 0), study.traces("distilled").text[0]
    shown = tab.js("[...document.querySelectorAll('.step .words')].map((one) => one.textContent)")
    assert len(shown) == len(table)
    assert shown[0].startswith(HOSTILE)
    assert shown[1:] == table.text.tolist()[1:]
    all_text = tab.js(
        "[...document.querySelectorAll('.words bdi, .rest bdi')].map((one) => one.textContent).join('')"
    )
    assert "".join(all_text.split()) == "".join(text.split())
    assert tab.js("document.querySelectorAll('main img, main script').length") == 0
    labels = tab.js("[...document.querySelectorAll('.step')].map((one) => one.className.split(' ')[1])")
    assert labels == table.label.tolist()
    tab.press("t")
    tab.until("document.querySelector('.token.surprisal')")
    tab.press("j")
    assert tab.js("document.activeElement.dataset.step") == "0"
    assert "step 1 (sid 0)" in tab.js("document.activeElement.innerText")
    tab.press("Enter")
    assert tab.js("getComputedStyle(document.activeElement.querySelector('.why')).display") == "block"
    assert "second: judged correct" in tab.js("document.activeElement.querySelector('.why').innerText")
    tab.press("n")
    tab.until(
        f"location.hash === '#/t/distilled/{qid}/1'"
        " && document.querySelector('h1').innerText.includes('sample 1')"
    )
    tab.open(f"{root}#/t/distilled/{qid}/1/2", "document.activeElement.dataset.step === '2'")
    tab.click("#compare")
    tab.until(f"location.hash === '#/c/{qid}/base/1/distilled/1' && document.querySelector('.row')")


SIDES = """['left', 'right'].map((side) => [...document.querySelectorAll('.' + side + ' .step')]
  .map((one) => Number(one.dataset.step)))"""
PAIRS = """(() => {
  const name = Object.keys(mechcot.data).find((one) => one.startsWith('q/'));
  const of = (arm) => mechcot.data[name].traces.find((one) => one.arm === arm && one.cid === 1);
  return aligned(of('base'), of('distilled')).filter((row) => row[0] && row[1])
    .map((row) => [row[0].step.claim || null, row[1].step.claim || null, row[2]]);
})()"""
DRAWN = """[...document.querySelectorAll('.row')].map((row) => ['left', 'right'].map((side) => {
  const step = row.querySelector('.' + side + ' .step');
  return step ? Number(step.dataset.step) : null;
}))"""
PLANTED = """(() => {
  const step = (s, sid) => ({ sid, at: [0, 0], claim: ['is', s, '1'] });
  const trace = (things) => ({ text: '', steps: [...things].map(step) });
  return aligned(trace('abcd'), trace('dabxc')).map(([l, r]) => [l ? l.number : -1, r ? r.number : -1]);
})()"""


def _pair(tab, table: pd.DataFrame) -> None:
    """Every step of both traces stands there once, in order, and rows with two claims are about one thing."""
    for found in tab.js(SIDES):
        assert found == list(range(len(found)))
    for one, other, score in tab.js(PAIRS):
        assert (one is None) == (other is None)
        if one:
            assert one[:2] == other[:2]
            assert score == (3 if one == other else 2)
    # the table of a pair has the rows that the page draws
    assert [[a, b] for a, b in tab.js(DRAWN)] == [
        [None if pd.isna(a) else int(a), None if pd.isna(b) else int(b)]
        for a, b in zip(table.sid_before, table.sid_after, strict=True)
    ]
    # a planted pair: the best order is found, not the first
    assert tab.js(PLANTED) == [[-1, 0], [0, 1], [1, 2], [-1, 3], [2, 4], [3, -1]]
    tab.press("c")
    tab.until("location.hash.startsWith('#/t/base/')")
    tab.press("u")
    tab.until("document.querySelector('.trace')")
