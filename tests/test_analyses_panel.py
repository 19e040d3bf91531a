"""Several judges on the same steps: against independent implementations, and where the truth is planted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from mechcot.analyses import sheet
from mechcot.analyses.panel import analysis as panel
from mechcot.analyses.panel.people import people_of
from mechcot.core.errors import AnalysisError
from mechcot.core.records import LABELS, STEP_KEY, VERDICTS, write_table
from mechcot.stats import ratio_difference_interval
from sheet_cases import BIASED, EXACT, Judge, build

NOISY = Judge({"base": 0.8, "distilled": 0.8}, {"base": 0.1, "distilled": 0.1})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    judges = {"exact": EXACT, "llm": BIASED, "noisy": NOISY}
    return build(tmp_path_factory.mktemp("panel") / "s", judges, questions=30)[0]


def _labels(study, arm):
    columns = [
        study.verdicts(arm, name).set_index(STEP_KEY)["label"].rename(name) for name in study.instruments()
    ]
    return pd.concat(columns, axis=1)


def test_coefficients_are_those_of_other_packages_arm_by_arm(study):
    found = study.panel()
    assert found.arms == ("base", "distilled")
    for arm in found.arms:
        labels, own = _labels(study, arm), found.agreement[arm]["four"]
        table, _ = aggregate_raters(labels.apply(lambda c: c.map(LABELS.index)).to_numpy(), n_cat=4)
        assert own.kappa.estimate == pytest.approx(fleiss_kappa(table))
        for pair in own.pairs:
            one, other = (labels[name] for name in pair.judges)
            assert pair.kappa.estimate == pytest.approx(cohen_kappa_score(one, other))
            assert pair.raw.estimate == pytest.approx((one == other).mean())
            assert pair.raw.low < pair.raw.estimate < pair.raw.high
        decided = labels[labels["exact"] != "not_checkable"]
        two = found.agreement[arm]["two"]
        assert two.n_steps == len(decided)
        assert two.pairs[0].kappa.estimate == pytest.approx(
            cohen_kappa_score(decided["exact"], decided["llm"])
        )
        # two labels by chance: AC1 from its definition
        share = pd.concat([decided["exact"], decided["llm"]]).eq("erroneous").mean()
        chance = 2 * share * (1 - share)
        assert two.pairs[0].ac1.estimate == pytest.approx(
            ((decided["exact"] == decided["llm"]).mean() - chance) / (1 - chance)
        )


def test_each_judge_has_its_own_difference_on_the_same_questions(study):
    found = study.panel()
    qids = study.questions("clinical").qid
    for judge in found.judges:
        sums = []
        for arm in found.arms:
            verdicts = study.verdicts(arm, judge.instrument)
            for keep in (["erroneous"], ["correct", "erroneous"]):
                sums.append(
                    verdicts[verdicts.label.isin(keep)].groupby("qid").size().reindex(qids, fill_value=0)
                )
        assert judge.delta == ratio_difference_interval(*sums)
        assert judge.before.estimate == sums[0].sum() / sums[1].sum()
    table = found.to_frame().set_index("instrument")
    assert table.loc["exact", "direction"] == "up"
    assert table.loc["llm", "delta"] < table.loc["noisy", "delta"] < table.loc["exact", "delta"]
    assert table.loc["exact", "n_before"] == 30 * 3 * 5


@pytest.mark.parametrize(
    ("deltas", "share"),
    [
        ([0.1, 0.2, -0.3], 2 / 3),
        ([0.1, 0.2], 1.0),
        ([0.1, -0.1], 0.5),
        ([-0.1, None], 1.0),
        ([None], None),
        ([0.0, 0.2], 0.5),
        ([0.0, -0.2], 0.5),
    ],
)
def test_sign_agreement(deltas, share):
    assert panel._same_sign(deltas) == share


def _verdicts(arm, labels):
    keys = [{"qid": f"q{i // 4}", "arm": arm, "cid": 0, "sid": i % 4} for i in range(len(labels))]
    return pd.DataFrame(keys).assign(label=labels)


def _tables(arm, rng, n=40, judges=("a", "b")):
    return {name: _verdicts(arm, rng.choice(["correct", "erroneous"], size=n)) for name in judges}


QUESTIONS = pd.DataFrame({"qid": [f"q{i}" for i in range(10)]})


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    before, after = _tables("x", rng), _tables("y", rng)
    plain = panel.analyse(QUESTIONS, before, after).to_json()
    mixed = {name: table.sample(frac=1, random_state=1) for name, table in before.items()}
    assert panel.analyse(QUESTIONS, mixed, after).to_json() == plain


def test_failures_and_missing_verdicts_are_no_ratings():
    rng = np.random.default_rng(1)
    before, after = _tables("x", rng), _tables("y", rng)
    before["a"].loc[:3, "label"] = "api_failure"
    before["b"] = before["b"].iloc[:30]
    before["b"].loc[10:11, "label"] = "abstain"
    found = panel.analyse(QUESTIONS, before, after)
    assert found.agreement["x"]["four"].n_steps == 26
    assert found.agreement["x"]["two"].n_steps == 24
    counts = {judge.instrument: judge.counts[0] for judge in found.judges}
    assert counts["a"]["api_failure"] == 4
    assert counts["b"]["abstain"] == 2
    assert found.to_frame().set_index("instrument")["n_before"].to_dict() == {"a": 36, "b": 28}


def test_judges_who_never_meet_have_no_agreement_and_say_why():
    rng = np.random.default_rng(2)
    before, after = _tables("x", rng), _tables("y", rng)
    before["a"]["label"] = "parse_failure"
    found = panel.analyse(QUESTIONS, before, after)
    assert found.agreement["x"]["four"].kappa.estimate is None
    assert found.judges[0].delta.estimate is None
    assert found.judges[0].direction == "unknown"
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert "no step was rated by two" in written["agreement"]["x"]["four"]["raw"]["estimate"]["reason"]


def test_a_panel_shows_itself_with_the_warning_on_kappa(study):
    found = study.panel(["llm", "noisy"])
    assert [judge.instrument for judge in found.judges] == ["llm", "noisy"]
    assert "raw agreement" in repr(found)
    assert "\n" not in repr(found)
    assert "<table" in found._repr_html_()
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert "do not compare those of arms" in written["note"]
    frame = found.to_frame("coefficients")
    assert set(frame["arm"]) == {"base", "distilled"}
    measures = {"raw", "fleiss kappa", "cohen kappa", "ac1", "alpha", "ac2", "ordinal alpha"}
    assert set(frame["measure"]) == measures


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b, a: b.pop("b"), "the instruments before are"),
        (lambda b, a: (b.pop("b"), a.pop("b")), "a panel needs the verdicts of two instruments, there is a"),
        (lambda b, a: b.update(a=b["a"].assign(label="wrong")), "label 'wrong'"),
        (
            lambda b, a: b.update(a=pd.concat([b["a"], b["a"][:1]])),
            "question q0, arm x, trace 0, step 0 occurs more",
        ),
        (
            lambda b, a: b.update(a=b["a"].assign(qid="q77", sid=range(40))),
            "question q77 is not in the question",
        ),
        (lambda b, a: b.update(a=b["a"].assign(arm="z")), "the instruments judged different arms"),
        (lambda b, a: b.update(a=b["a"].drop(columns="label")), r"the columns \['label'\] are missing"),
        (lambda b, a: b.update(a=b["a"].iloc[:0]), "it has no rows"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, says):
    rng = np.random.default_rng(3)
    before, after = _tables("x", rng), _tables("y", rng)
    change(before, after)
    with pytest.raises(AnalysisError, match=says):
        panel.analyse(QUESTIONS, before, after)


def test_equal_texts_are_one_question_in_every_interval_of_the_panel():
    rng = np.random.default_rng(4)
    before, after = _tables("x", rng, judges=("a", "b", "c")), _tables("y", rng, judges=("a", "b", "c"))
    asked = QUESTIONS.assign(stem=[f"case {i // 2}" if i < 4 else f"other {i}" for i in range(10)])
    asked = asked.assign(options=[["yes", "no"]] * 10)
    found = panel.analyse(asked, before, after)
    assert found.judges[0].delta.n == 8
    assert found.pooled.difference.n == 8
    assert found.latent.difference.n == 8
    assert found.agreement["x"]["two"].kappa.n == 8
    assert panel.analyse(QUESTIONS, before, after).pooled.difference.n == 10


def test_people_speak_of_the_study_until_the_verdicts_they_saw_change(tmp_path):
    own, _ = build(tmp_path / "s", {"exact": EXACT, "llm": BIASED}, questions=8)
    nobody = people_of(own)
    assert (nobody.sheet, nobody.judge("exact")) == ({}, None)
    assert nobody.reason == "no sheet was filled; mechcot sheet draw STUDY makes one"
    folder = sheet.write_sheet(own, sheet.draw_steps(own, 20, repeat=4), tmp_path / "sheet")
    rows = pd.read_csv(folder / "sheet.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    rows.assign(verdict="correct").to_csv(tmp_path / "filled.csv", index=False)
    result = sheet.read_sheet(own, tmp_path / "filled.csv", folder / "key.json")
    sheet.write_result(own, result)
    people = people_of(own)
    assert people.reason == ""
    assert people.judge("llm") == own.result("sheet")["judges"]["llm"]
    path = own.arm_path("base") / "verdicts" / "exact.parquet"
    judged, there = own.verdicts("base", "exact"), path.read_bytes()
    write_table(path, judged.assign(label="correct"), VERDICTS)
    assert "import it again (mechcot sheet import)" in people_of(own).reason
    path.unlink()
    assert people_of(own).sheet == {}
    path.write_bytes(there)
    assert people_of(own) == people
