"""Drawing a sheet: chances and weights, order, what it can see, and that it tells nothing."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.analyses.sheet import draw_steps, write_sheet
from mechcot.analyses.sheet.draw import _allocate
from mechcot.analyses.sheet.page import Item, sheet_csv, sheet_html
from mechcot.analyses.sheet.power import power_of
from mechcot.core.errors import AnalysisError, StudyError, UsageError
from mechcot.core.records import STEP_KEY
from sheet_cases import BIASED, EXACT, build

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "{{ 7*7 }} {% raw %}",
    '=HYPERLINK("http://x")',
    "\t@SUM(A1)\u202egnp.exe & \"quoted\" 'single'\0",
    "",
)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return build(tmp_path_factory.mktemp("judged") / "s", {"exact": EXACT, "llm": BIASED})


def test_cells_cover_the_judged_steps_and_both_arms_get_half(judged):
    study, truth = judged
    drawn = draw_steps(study, 121, repeat=20)
    assert sum(cell.population for cell in drawn.cells) == len(truth)
    by_arm = {arm: sum(c.drawn for c in drawn.cells if c.arm == arm) for arm in ("base", "distilled")}
    assert by_arm == {"base": 61, "distilled": 60}
    assert {cell.disputed for cell in drawn.cells} == {True, False}
    once = drawn.items[drawn.items["first"] == ""]
    assert len(once) == 121
    assert not once.duplicated(STEP_KEY).any()
    for number, cell in enumerate(drawn.cells):
        rows = once[once.cell == number]
        assert len(rows) == cell.drawn
        assert cell.weight == cell.population / cell.drawn
        labels = study.verdicts(cell.arm).set_index(STEP_KEY).label
        other = study.verdicts(cell.arm, "llm").set_index(STEP_KEY).label
        keys = pd.MultiIndex.from_frame(rows[STEP_KEY])
        assert set(labels[keys]) == {cell.label}
        assert set(other[keys] != labels[keys]) == {cell.disputed}


def test_within_a_cell_every_step_is_drawn_equally_often(tmp_path):
    study, _ = build(tmp_path / "s", questions=6)
    hits, expected, runs = {}, {}, 60
    for seed in range(runs):
        drawn = draw_steps(study, 60, repeat=0, seed=seed)
        for row in drawn.items.itertuples():
            key = (row.qid, row.arm, row.cid, row.sid)
            hits[key] = hits.get(key, 0) + 1
            expected[key] = runs / drawn.cells[row.cell].weight
    # binomial counts: their squared standardised distances average one
    z = [(hits[k] - e) ** 2 / (e * (1 - e / runs)) for k, e in expected.items() if e < runs]
    assert np.mean(z) == pytest.approx(1, abs=0.3)


def test_repeats_come_late_and_the_first_time_early(judged):
    items = draw_steps(judged[0], 90, repeat=30).items
    place = {item: i for i, item in enumerate(items["item"])}
    again = items[items["first"] != ""]
    assert len(again) == 30
    for i, row in again.iterrows():
        first = items.iloc[place[row["first"]]]
        assert tuple(first[STEP_KEY]) == tuple(row[STEP_KEY])
        assert place[row["first"]] < 30
        assert i >= 60


@given(
    sizes=st.lists(st.integers(1, 500), min_size=1, max_size=8),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_an_allocation_spends_its_budget_and_leaves_no_cell_out(sizes, share, data):
    sizes = np.array(sizes)
    scores = np.array(data.draw(st.lists(st.floats(0.01, 30), min_size=len(sizes), max_size=len(sizes))))
    least, most = int(np.minimum(sizes, 2).sum()), int(sizes.sum())
    budget = least + round(share * (most - least))
    given_out = np.array(_allocate(sizes, scores, budget))
    assert given_out.sum() == budget
    assert (given_out <= sizes).all()
    assert (given_out >= np.minimum(sizes, 2)).all()


def test_the_same_seed_draws_the_same_sheet_byte_for_byte(judged, tmp_path):
    study, _ = judged
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sheet(study, draw_steps(study, 60, repeat=10, seed=seed), tmp_path / folder)
    files = {
        f: [(tmp_path / f / n).read_bytes() for n in ("sheet.csv", "sheet.html", "key.json")] for f in "abc"
    }
    assert files["a"] == files["b"]
    assert all(one != other for one, other in zip(files["a"], files["c"], strict=True))


def test_the_sheet_tells_neither_arm_nor_judge_nor_question(judged, tmp_path):
    study, _ = judged
    folder = write_sheet(study, draw_steps(study, 60, repeat=10), tmp_path / "out")
    key = json.loads((folder / "key.json").read_text())
    assert {item["arm"] for item in key["items"]} == {"base", "distilled"}
    page = (folder / "sheet.html").read_text()
    body = page[page.index("<main>") : page.index("</main>")]
    for text in (body, (folder / "sheet.csv").read_text()):
        for secret in ("base", "distilled", "exact", "llm", "clinical-", "disputed", "weight"):
            assert secret not in text
    rows = list(csv.DictReader(io.StringIO((folder / "sheet.csv").read_text(encoding="utf-8-sig"))))
    assert [row["item"] for row in rows] == [item["item"] for item in key["items"]]
    assert len({row["item"] for row in rows}) == 70
    assert all(re.fullmatch("[b-df-hj-np-tv-z]{6}", row["item"]) for row in rows)
    assert {row["verdict"] + row["guess"] + row["comment"] for row in rows} == {""}


def test_an_answer_blind_sheet_shows_no_right_answer(judged, tmp_path):
    study, _ = judged
    drawn = draw_steps(study, 30, repeat=0)
    shown, blind = (
        write_sheet(study, drawn, tmp_path / n, answer_blind=b) for n, b in (("s", False), ("b", True))
    )
    assert "right answer" in (shown / "sheet.html").read_text().split("<main>")[1]
    assert "right answer" in (shown / "sheet.csv").read_text()
    assert "right answer" not in (blind / "sheet.html").read_text().split("<main>")[1]
    assert "right answer" not in (blind / "sheet.csv").read_text()


def test_a_sheet_that_exists_is_never_overwritten(judged, tmp_path):
    study, _ = judged
    drawn = draw_steps(study, 30, repeat=0)
    write_sheet(study, drawn, tmp_path / "out")
    (tmp_path / "out" / "sheet.csv").write_text("filled in by hand")
    (tmp_path / "out" / "sheet.html").unlink()
    with pytest.raises(StudyError, match=r"sheet\.csv exists, and a sheet is never overwritten"):
        write_sheet(study, drawn, tmp_path / "out")
    assert (tmp_path / "out" / "sheet.csv").read_text() == "filled in by hand"
    assert not (tmp_path / "out" / "sheet.html").exists()


@pytest.mark.parametrize(
    ("steps", "repeat", "says"),
    [
        (30, 11, r"repeat must lie in 0\.\.10"),
        (30, -1, r"repeat must lie in 0\.\.10"),
        (6, 0, "at least .* of them are needed"),
        (9999, 0, "it has 1080 steps with a verdict"),
    ],
)
def test_what_cannot_be_drawn_is_refused(judged, steps, repeat, says):
    with pytest.raises(UsageError, match=says):
        draw_steps(judged[0], steps, repeat=repeat)


def test_a_study_without_verdicts_is_refused(tmp_path):
    study, _ = build(tmp_path / "s", questions=2)
    for arm in ("base", "distilled"):
        (study.arm_path(arm) / "verdicts" / "exact.parquet").unlink()
    with pytest.raises(AnalysisError, match="base and distilled have no verdicts of one judge"):
        draw_steps(study, 10, repeat=0)


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_hostile_and_huge_text_stays_text(tmp_path):
    items = [
        Item(f"item{i}", text, (text, "b"), i % 2, (text, text), text, i % 2 == 0)
        for i, text in enumerate((*HOSTILE, "word " * 10_000))
    ]
    page = sheet_html("sheet-x", items)
    parser = _Elements()
    parser.feed(page)
    assert parser.found.count("script") == 1
    assert not {"img", "iframe", "link"} & set(parser.found)
    assert not [name for name in parser.attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "http" not in re.sub(r"http-equiv|http://x", "", page)
    rows = list(csv.reader(io.StringIO(sheet_csv("sheet-x", items))))
    assert len(rows) == len(items) + 1
    for row in rows[1:]:
        assert len(row) == len(rows[0])
        assert not [cell for cell in row if cell.lstrip()[:1] in "=+-@" and cell.strip()]
        assert max(map(len, row)) < 32_767
        assert "\0" not in "".join(row)


def _table(rates, steps, questions, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"arm": arm, "qid": f"q{i % questions}", "label": "erroneous" if rng.random() < rate else "correct"}
        for arm, rate in zip(("before", "after"), rates, strict=True)
        for i in range(steps)
    ]
    return pd.DataFrame(rows)


def _plan(table, drawn):
    from mechcot.analyses.sheet import Cell

    counts = table.groupby(["arm", "label"]).size()
    cells = [Cell(arm, label, False, counts[arm, label], drawn[arm, label]) for arm, label in counts.index]
    return power_of(table, table[["arm", "label"]], cells, ("before", "after"))


def test_power_is_that_of_independent_steps_where_labels_share_a_sheet_by_size():
    # .306 against .503 with 150 independent steps an arm: 94 %, with 75 71 %, with 300 above 99 %
    table = _table((0.306, 0.503), 6000, 6000)
    shares = table.groupby("arm")["label"].value_counts(normalize=True)
    plan = _plan(table, {key: round(150 * share) for key, share in shares.items()})
    assert [case.power for case in plan.cases] == pytest.approx([0.71, 0.94, 0.998], abs=0.03)
    assert plan.cases[1].detectable_if_right < plan.cases[1].detectable


def test_the_planned_error_is_the_one_that_sheets_have():
    """Stratified draws from clustered steps, labels independent of the truth, against the formula."""
    rng = np.random.default_rng(1)
    questions, size, n = 100, 20, {"correct": 70, "erroneous": 30}
    estimates, plans = [], []
    for run in range(400):
        rows = []
        for arm in ("before", "after"):
            hard = np.repeat(rng.beta(1, 2, size=questions), size)
            truth = rng.random(questions * size) < hard
            label = np.where(rng.random(len(truth)) < 1 / 3, "erroneous", "correct")
            rows.append(
                pd.DataFrame(
                    {"arm": arm, "qid": np.repeat(np.arange(questions), size), "label": label, "truth": truth}
                )
            )
        means = []
        for part in rows:
            share = (part.label == "erroneous").mean()
            picked = {
                k: part[part.label == k].truth.sample(m, random_state=rng.integers(2**31)).mean()
                for k, m in n.items()
            }
            means.append(share * picked["erroneous"] + (1 - share) * picked["correct"])
        estimates.append(means[1] - means[0])
        if run == 0:
            # the plan knows the judge's labels alone: let those cluster as the truth does
            table = (
                pd.concat(rows)
                .assign(label=lambda t: np.where(t.truth, "erroneous", "correct"))
                .reset_index(drop=True)
            )
            plans.append(_plan(table, {(arm, k): m for arm in ("before", "after") for k, m in n.items()}))
    detectable = plans[0].cases[1].detectable
    assert detectable / (1.96 + 0.8416) == pytest.approx(np.std(estimates), rel=0.15)
