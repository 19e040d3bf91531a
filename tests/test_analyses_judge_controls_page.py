"""The page of the judge controls: self-contained, escaped, true to its result, whichever parts there are."""

import html
import json
import re

import numpy as np
import pytest

from judge_controls_cases import ARMS, planted, questions, traces
from mechcot import plots
from mechcot.analyses.judge_controls import analyse
from mechcot.analyses.judge_controls.page import render_judge_controls, verdict, write_judge_controls
from mechcot.core.results import Pair
from mechcot.core.words import first_sentence

HOSTILE = "<script>alert(1)</script>"
N = 60


def result_of(items, arms=ARMS):
    rng = np.random.default_rng(1)
    voters = [traces(arm, rng.beta(2, 1, N), seed=i).assign(arm=arms[i]) for i, arm in enumerate(ARMS)]
    items = items.assign(arm=items["arm"].map(dict(zip(ARMS, arms, strict=True))))
    return analyse(questions(N), Pair(*voters), items, Pair(*arms), draws=200)


@pytest.fixture(scope="module")
def items():
    return planted(N)


@pytest.fixture(scope="module")
def result(items):
    return result_of(items)


@pytest.fixture(scope="module")
def page(result):
    return render_judge_controls(result.to_json(), "kimi", {"left out": {"factor:gold": "no reason"}})


def plain(text):
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def test_the_page_needs_no_network_and_runs_no_text(items):
    hostile = result_of(items, (HOSTILE, "}{" + HOSTILE))
    page = render_judge_controls(hostile.to_json(), HOSTILE, {HOSTILE: [HOSTILE, 1]})
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(src|href)=\"?(https?:)?//", outside)
    assert "default-src 'none'" in page
    assert page.count("<h1>") == 1


def test_the_page_says_every_control_and_what_each_section_does_not_show(result, page):
    text = plain(page)
    for row in result.controls:
        assert row.name in text
        assert f"{row.n_judged.after:,}" in text
    for name in ("forest", "flips", "manner", "decoys", "strata"):
        assert f'id="fig-{name}"' in page
    assert page.count("What this does not show") == 5
    assert "no error rate is corrected" in text
    assert f"{result.findings['guess_arm'].auroc.estimate:.2f}" in text
    assert "no reason" in text
    for sentence in first_sentence(verdict(result.to_json())):
        assert sentence.replace("\u00a0", " ") in text.replace("\u00a0", " ")


def test_the_verdict_counts_the_controls_that_agree_and_names_the_furthest(result):
    said = verdict(result.to_json())
    ends = [row.error.difference for row in result.controls[1:]]
    same = sum(end.low > 0 for end in ends)
    assert (f"In all {same} controls" if same == len(ends) else f"In {same} of {len(ends)} controls") in said
    apart = [row for row in result.controls[1:] if row.p_family < 0.05]
    assert f"{len(apart)} of them" in said
    furthest = max(apart, key=lambda row: abs(row.minus_primary.estimate))
    assert f"“{furthest.name}”" in said


@pytest.mark.parametrize(
    ("keep", "words", "figures"),
    [
        (["primary"], "No control gives a difference", ["forest", "strata"]),
        (["primary", "factor:tone"], "None of them can be told apart", ["forest", "flips", "strata"]),
        (["primary", "guess-arm"], "No control gives", ["forest", "strata"]),
        (["primary", "decoy", "hedge-flip"], "controls the whole", ["forest", "decoys", "strata"]),
    ],
)
def test_what_was_not_done_has_no_section(items, keep, words, figures):
    found = result_of(items[items["control"].isin(keep)]).to_json()
    page = render_judge_controls(found, "exact")
    assert words in verdict(found)
    assert re.findall(r'id="fig-(\w+)"', page) == figures
    assert ("flips" in figures) == ('id="waver"' in page)


def test_the_page_says_what_an_interval_without_width_is(items):
    for name, times in (("factor:tone", 3), ("again-warm", 0)):  # two sections and a table; nowhere
        own = items[items["control"].isin(["primary", name])]
        said = plain(render_judge_controls(result_of(own).to_json(), "kimi")).replace("\u00a0", " ")
        assert said.count("none was seen") == times, name
    sure = items[items["control"].isin(["primary", "decoy"])]
    right = {"true": "correct", "false": "erroneous"}
    sure = sure.assign(label=sure["variant"].map(right).fillna(sure["label"]))
    said = plain(render_judge_controls(result_of(sure).to_json(), "kimi"))
    assert said.count("none was seen") == 2  # their section and the tables


def test_a_result_without_numbers_is_a_page_with_reasons(items):
    bare = items.assign(
        label="abstain", fidelity=items["fidelity"].replace("preserved", "changed"), score=np.nan
    )
    found = result_of(bare).to_json()
    page = render_judge_controls(found, "exact")
    assert "nothing of base and distilled was judged" in plain(page)
    assert "the judge guessed no step of one of the arms" in plain(page)
    assert re.findall(r'id="fig-(\w+)"', page) == ["flips"]
    assert "nan" not in plain(re.sub(r"<script>.*?</script>", "", page, flags=re.S)).lower()


def test_equal_results_give_equal_files(result, page, tmp_path):
    about = {"left out": {"factor:gold": "no reason"}}
    write_judge_controls(result, tmp_path / "kimi", about)
    assert (tmp_path / "kimi" / "report.html").read_text() == page
    assert sorted(p.name for p in (tmp_path / "kimi").iterdir()) == ["report.html", "result.json"]
    assert json.loads((tmp_path / "kimi" / "result.json").read_text()) == result.to_json()


def test_the_figures_show_the_result(result):
    found = result.to_json()
    forest = plots.judge_forest(found)
    drawn = {axis: {} for axis in ("x", "x2")}  # what has no interval is a trace of its own
    for trace in forest.data:
        drawn[trace.xaxis] |= dict(zip(trace.y, trace.x, strict=True))
    rows = range(len(result.controls))
    assert [drawn["x"][i] for i in rows] == [100 * row.error.difference.estimate for row in result.controls]
    assert drawn["x2"][0] is None
    assert [drawn["x2"][i] for i in rows[1:]] == [
        100 * row.minus_primary.estimate for row in result.controls[1:]
    ]
    diamonds = [symbol == "diamond" for symbol in forest.data[0].marker.symbol]
    assert diamonds == [row.p_family is not None and row.p_family < 0.05 for row in result.controls]
    assert result.figure() == forest
    own = result.primary.error.difference
    assert (forest.layout.shapes[0].x0, forest.layout.shapes[0].x1) == (100 * own.low, 100 * own.high)
    flips = plots.judge_flips(found, labels="two")
    assert list(flips.data[1].x) == [row.share.after.estimate for row in result.flips if row.labels == "two"]
    manner = plots.judge_manner(found)
    cells = result.findings["tone_swap"].cells
    assert list(manner.data[0].x) == [cell.error.estimate for cell in cells if cell.manner == "before"]
    decoys = plots.judge_decoys(found)
    assert decoys.data[1].x[0] == result.findings["decoys"].sensitivity.after.estimate
    strata = plots.judge_strata(found)
    assert strata.data[0].x[0] == result.strata_weighted[0].delta.estimate
    assert strata.data[1].x[-1] == result.strata[-1].delta.estimate
