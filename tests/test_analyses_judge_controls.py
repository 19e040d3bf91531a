from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge_controls_cases import ARMS, ERROR, HIT, MANNER, PASS, planted, questions, rows, said, steps, traces
from mechcot.analyses.arms import Arms
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.judge_controls import analyse
from mechcot.analyses.judge_controls.result import Missing
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Pair

N = 150
LABEL = {
    "c": "correct",
    "e": "erroneous",
    "a": "abstain",
    "n": "not_checkable",
    "x": "api_failure",
    "p": "parse_failure",
    "-": "",
}


def votes(n, seed=1):
    rng = np.random.default_rng(seed)
    first = traces(ARMS[0], rng.beta(1, 1, n), seed=seed)
    return Pair(first, traces(ARMS[1], rng.beta(4, 1, n), seed=seed + 1))


def run(items, n, **more):
    return analyse(questions(n), votes(n), items, Pair(*ARMS), **{"draws": 200, **more})


@pytest.fixture(scope="module")
def result():
    return run(planted(N), N, draws=500)


def written(**arms):
    """Items of one control from {arm: {question: labels}}, a letter a step."""
    parts = [
        {"qid": f"q{q:04d}", "arm": arm, "cid": 0, "sid": sid, "label": LABEL[letter]}
        for arm, traces in arms.items()
        for q, letters in traces.items()
        for sid, letter in enumerate(letters)
    ]
    return pd.DataFrame(parts)


def control(name, variant="", fidelity="", **arms):
    own = written(**arms)
    return rows(name, variant, own[STEP_KEY], own["label"].to_numpy(dtype=object), fidelity)


PRIMARY = {"base": {0: "cce", 1: "can", 2: "ec"}, "distilled": {0: "eec", 1: "ec", 2: "cxe"}}


def row_of(result, name, variant=""):
    return next(row for row in result.controls if (row.control, row.variant) == (name, variant))


def test_rates_and_flips_of_items_few_enough_to_count_by_hand():
    again = {"base": {0: "cee", 1: "can", 2: "ep"}, "distilled": {0: "ecc", 1: "ac", 2: "cce"}}
    found = run(pd.concat([control("again", **again), control("primary", **PRIMARY)]), 3)
    primary, other = found.controls
    assert primary.control == "primary"
    assert (primary.counts[0]["erroneous"], primary.n_judged.before) == (2, 6)
    assert (primary.counts[1]["erroneous"], primary.n_judged.after) == (4, 7)
    assert primary.counts[1]["api_failure"] == 1
    assert primary.abstain_rate.before == 1 / 7
    assert primary.error.difference.estimate == pytest.approx(4 / 7 - 2 / 6)
    assert (other.n_judged.before, other.n_judged.after) == (5, 7)
    assert other.error.difference.estimate == pytest.approx(2 / 7 - 3 / 5)
    assert other.counts[0]["parse_failure"] == 1
    # the step that the second call failed on is taken from the primary too: 2/5 before
    assert other.primary.estimate == pytest.approx(4 / 7 - 2 / 5)
    assert other.minus_primary.estimate == pytest.approx((2 / 7 - 3 / 5) - (4 / 7 - 2 / 5))
    four, two = found.flips
    assert (four.labels, two.labels) == ("four", "two")
    assert (four.n_flipped, four.n_steps) == ((1, 2), (7, 7))
    assert (two.n_flipped, two.n_steps) == ((1, 1), (5, 6))  # erroneous to abstain is no flip of two
    assert four.share.difference.estimate == pytest.approx(2 / 7 - 1 / 7)


def test_a_control_that_treats_some_steps_is_set_beside_the_primary_on_those():
    hedged = {"base": {0: "-ce", 1: "c"}, "distilled": {0: "-ee", 2: "e"}}
    plain = {"base": {0: "-ee", 1: "c"}, "distilled": {0: "-ec", 2: "a"}}
    items = pd.concat(
        [
            control("primary", **PRIMARY),
            control("hedge-flip", "hedged", **hedged),
            control("hedge-flip", "plain", **plain),
        ]
    )
    found = run(items, 3)
    row = row_of(found, "hedge-flip", "hedged")
    assert row.counts[0][""] == 1
    assert row.primary.estimate == pytest.approx(1 / 3 - 1 / 3)  # q0: steps 1 and 2, q1: step 0; q2: step 0
    assert row.minus_primary.estimate == pytest.approx((3 / 3 - 1 / 3) - 0)
    hedge = found.findings["hedge_flip"]
    assert (hedge.n_pairs, hedge.n_decided) == ((3, 3), (3, 2))
    assert hedge.flips.before.estimate == pytest.approx(1 / 3)
    assert hedge.flips.after.estimate == pytest.approx(2 / 3)
    assert hedge.shift.before.estimate == pytest.approx(-1 / 3)
    assert hedge.shift.after.estimate == pytest.approx(1 / 2)


def test_only_rewritings_that_kept_the_claim_count_and_the_four_cells_are_of_the_same_steps():
    own = {"base": {0: "cc", 1: "e", 2: "e"}, "distilled": {0: "ee", 1: "e", 2: "c"}}
    other = {"base": {0: "ee", 1: "c", 2: "e"}, "distilled": {0: "ce", 1: "c", 2: "c"}}
    kept = ["preserved", "preserved", "changed", "preserved"] + ["preserved"] * 4
    both = ["preserved", "uncertain", "preserved", "preserved"] + ["preserved"] * 3 + ["failed"]
    items = pd.concat(
        [
            control("primary", **PRIMARY),
            control("tone-swap", "own", kept, **own),
            control("tone-swap", "other", both, **other),
        ]
    )
    found = run(items, 3)
    assert row_of(found, "tone-swap", "own").n_judged.before == 3
    assert row_of(found, "tone-swap", "own").error.before.estimate == pytest.approx(1 / 3)
    swap = found.findings["tone_swap"]
    # kept by both: base (q0 step 0) and (q2 step 0); distilled the first three
    assert {(cell.origin, cell.manner): (cell.n_erroneous, cell.n_judged) for cell in swap.cells} == {
        ("before", "before"): (1, 2),
        ("before", "after"): (2, 2),
        ("after", "before"): (1, 3),
        ("after", "after"): (3, 3),
    }
    assert swap.origin.estimate == pytest.approx((1 / 3 + 1) / 2 - (1 / 2 + 1) / 2)
    assert swap.manner.estimate == pytest.approx((1 + 1) / 2 - (1 / 2 + 1 / 3) / 2)
    assert swap.interaction.estimate == pytest.approx((1 - 1 / 3) - (1 - 1 / 2))
    # the averages are of effects that need not be alike: each stands beside them
    assert [part.estimate for part in swap.origin_in_manner] == pytest.approx([1 / 3 - 1 / 2, 1 - 1])
    assert [part.estimate for part in swap.manner_of_origin] == pytest.approx([1 - 1 / 2, 1 - 1 / 3])
    # in the own manner, against the primary on the same steps: base 1/3 to 1/3, distilled 3/4 to 3/4
    assert swap.drift.before.estimate == pytest.approx(0)
    assert swap.drift.after.estimate == pytest.approx(3 / 4 - 3 / 4)
    kept = {(row.variant, row.arm): row.counts for row in swap.fidelity}
    assert kept["own", "base"]["changed"] == 1
    assert kept["other", "distilled"]["failed"] == 1


def test_planted_effects_are_found(result):
    for row in result.controls:
        assert row.n_questions == N
    assert row_of(result, "primary").error.difference.estimate == pytest.approx(
        ERROR["distilled"] - ERROR["base"], abs=0.06
    )
    blind = row_of(result, "answer-blind")
    assert blind.minus_primary.high < -0.1
    assert blind.p_family < 0.05
    assert row_of(result, "segment:sentences").p_family > 0.05
    swap = result.findings["tone_swap"]
    for effect, true in ((swap.origin, 0.3), (swap.manner, MANNER), (swap.interaction, 0.0)):
        assert effect.low - 0.02 <= true <= effect.high + 0.02
    cells = {(cell.origin, cell.manner): cell.error.estimate for cell in swap.cells}
    assert cells["before", "after"] > cells["before", "before"]
    for late, arm in enumerate(ARMS):
        sensitivity = (
            result.findings["decoys"].sensitivity.before,
            result.findings["decoys"].sensitivity.after,
        )[late]
        specificity = (
            result.findings["decoys"].specificity.before,
            result.findings["decoys"].specificity.after,
        )[late]
        assert sensitivity.estimate == pytest.approx(HIT[arm], abs=0.05)
        assert specificity.estimate == pytest.approx(PASS[arm], abs=0.05)
        assert sensitivity.low < sensitivity.estimate < sensitivity.high
    assert result.findings["decoys"].sensitivity.difference.high < 0
    assert result.findings["hedge_flip"].n_pairs == (2 * N, 2 * N)
    assert result.findings["hedge_flip"].shift.after.low > 0
    assert 0.6 < result.findings["guess_arm"].auroc.low < result.findings["guess_arm"].auroc.estimate < 0.8
    assert sum(result.findings["guess_arm"].n_steps) + result.findings["guess_arm"].n_failed == 4 * N


def test_a_control_that_says_the_same_adds_exactly_nothing(result):
    row = row_of(result, "factor:tone")
    assert (row.minus_primary.estimate, row.minus_primary.low) == (0, None)
    assert row.p == row.p_family == 1
    assert all(flip.n_flipped == (0, 0) for flip in result.flips if flip.control == "factor:tone")


def test_questions_that_are_all_alike_say_that_none_was_seen_and_no_more():
    items = planted(40)
    text = run(items[items["control"].isin(["primary", "factor:tone"])], 40).text()
    row = next(line for line in text.splitlines() if line.startswith("rule on tone switched "))
    assert "0.0 points*" in row
    assert text.count("none was seen") == 1
    primary = next(line for line in text.splitlines() if line.startswith("the judge as it is"))
    assert "*" not in primary
    moved = run(items[items["control"].isin(["primary", "again-warm"])], 40).text()
    assert "none was seen" not in moved
    assert "*" not in moved


def test_what_is_a_difference_in_each_arm_is_written_as_one(result):
    text = result.text()
    for name, found in (
        ("drift of rewriting", result.findings["tone_swap"].drift),
        ("erroneous with it minus without", result.findings["hedge_flip"].shift),
    ):
        line = next(line for line in text.splitlines() if line.startswith(name))
        for part in (found.before, found.after, found.difference):
            assert f"{100 * part.estimate:+.1f} points [" in line
        assert "%" not in line


def test_the_primary_is_the_audit_of_the_same_verdicts(result):
    items = planted(N)
    primary = items[items["control"] == "primary"].assign(instrument="judge", role="fact")
    tables = []
    for arm, own in zip(ARMS, votes(N), strict=True):
        judged = primary[primary["arm"] == arm]
        tables += [own, judged, judged]
    other = audit.analyse(Arms(questions(N), *tables))
    assert result.primary.error.difference == other.delta
    assert result.primary.error.before == other.before.error_rate
    assert result.primary.abstain_rate.after == other.after.abstain_rate
    assert result.strata == other.strata
    assert result.strata_weighted == other.strata_weighted


def test_the_family_makes_no_test_easier_and_leaves_the_primary_out(result):
    assert result.primary.p is None
    others = result.controls[1:]
    assert all(row.p is not None and row.p <= row.p_family <= 1 for row in others)
    items = planted(N)
    alone = run(items[items["control"].isin(["primary", "segment:sentences"])], N, draws=500)
    row = row_of(alone, "segment:sentences")
    assert row.p == row.p_family
    assert row_of(result, "segment:sentences").p == pytest.approx(row.p, abs=0.03)


def test_questions_that_were_not_sampled_weigh_nothing():
    items = planted(20)
    some = items[items["qid"] < "q0012"]
    found = run(some, 20)
    fewer = analyse(
        questions(12),
        Pair(*(table[table["qid"] < "q0012"] for table in votes(20))),
        some,
        Pair(*ARMS),
        draws=200,
    )
    assert found.to_json() == fewer.to_json()
    assert found.n_questions == 12
    assert sum(part.weight for part in found.strata_weighted) == pytest.approx(12)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000))
def test_nothing_depends_on_the_order_of_rows_and_the_seed_decides(seed):
    items = planted(15, seed)
    found = run(items, 15, draws=40, seed=seed)
    assert run(items.sample(frac=1, random_state=seed), 15, draws=40, seed=seed).to_json() == found.to_json()
    assert [row.control for row in found.controls[:3]] == ["primary", "again", "again-warm"]


def test_the_interval_of_control_minus_primary_covers_a_planted_null():
    """A second, independent judgement with the same chances: the true change is 0."""
    rng = np.random.default_rng(5)
    keys = steps(40, 6)
    hits, small = 0, 0
    for number in range(40):
        hard = rng.normal(size=40)[keys["qid"].str[1:].astype(int)]
        risk = np.clip(keys["arm"].map(ERROR).to_numpy() + 0.15 * hard, 0.02, 0.98)
        parts = [rows(name, "", keys, said(rng.random(len(keys)) < risk)) for name in ("primary", "again")]
        row = row_of(run(pd.concat(parts), 40, seed=number), "again")
        hits += row.minus_primary.low <= 0 <= row.minus_primary.high
        small += row.p < 0.05
    assert hits >= 33  # .95 of 40 is 38, with a standard error of 1.4
    assert small <= 7


def test_an_arm_without_judged_steps_has_a_reason_and_no_part_in_the_family():
    nothing = {"base": {0: "aan", 1: "n"}, "distilled": {0: "eec", 1: "ec", 2: "cce"}}
    again = {"base": {0: "cee", 1: "can", 2: "ec"}, "distilled": {0: "ecc", 1: "ac", 2: "cce"}}
    parts = [control("primary", **PRIMARY), control("again", **again), control("factor:gold", **nothing)]
    found = run(pd.concat(parts), 3)
    row = row_of(found, "factor:gold")
    assert row.error.difference.estimate is None
    assert "base" in row.error.difference.reason
    assert row.error.after.estimate == pytest.approx(4 / 8)
    assert row.p is row.p_family is None
    again_row = row_of(found, "again")
    assert again_row.p == again_row.p_family  # a family of one
    frame = found.to_frame().set_index("control")
    assert np.isnan(frame.loc["factor:gold", "error_difference"])
    assert "nothing of base was judged" in found.text()
    json.dumps(found.to_json(), allow_nan=False)


def test_a_primary_alone_and_a_primary_without_verdicts_are_results_too():
    alone = run(control("primary", **PRIMARY), 3)
    assert alone.flips == ()
    assert {type(finding) for finding in alone.findings.values()} == {Missing}
    assert alone.to_json()["guess_arm"]["reason"]
    empty = run(
        pd.concat(
            [
                control("primary", base={0: "xx"}, distilled={1: "p"}),
                control("guess-arm", base={0: "--"}, distilled={1: "-"}),
                control("decoy", "true", base={0: "a"}, distilled={0: "a"}),
                control("hedge-flip", "plain", base={0: "c"}, distilled={0: "c"}),
                control("tone-swap", "own", "failed", base={0: "-"}, distilled={0: "-"}),
            ]
        ),
        3,
    )
    assert empty.primary.error.difference.estimate is None
    assert empty.findings["guess_arm"].auroc.estimate is None
    assert empty.findings["guess_arm"].n_failed == 3
    assert empty.findings["decoys"].specificity.before.estimate is None
    assert empty.findings["decoys"].counts[0].labels["abstain"] == 1
    assert empty.findings["hedge_flip"].n_pairs == (0, 0)
    assert empty.findings["tone_swap"].origin.reason
    for found in (alone, empty):
        json.dumps(found.to_json(), allow_nan=False)
        assert "\n" not in repr(found)
        assert found.text()
        assert found.to_frame().shape[0] == len(found.controls)
        assert "<table" in found._repr_html_()


def test_tables_say_what_the_result_says(result):
    frame = result.to_frame()
    assert len(frame) == len(result.controls) == 11
    row = frame[frame["control"] == "answer-blind"].iloc[0]
    assert row["error_difference"] == pytest.approx(row["error_after"] - row["error_before"])
    blind = row_of(result, "answer-blind")
    assert row["n_judged_after"] == blind.n_judged.after
    assert blind.counts.after["erroneous"] / row["n_judged_after"] == pytest.approx(row["error_after"])
    flips = result.flips_frame()
    assert set(flips["control"]) == {"again", "again-warm", "answer-blind", "factor:tone", "factor:previous"}
    decoys = result.findings["decoys"].to_frame().set_index(["arm", "truth"])
    assert decoys.loc[("base", "false"), "estimate"] == result.findings["decoys"].sensitivity.before.estimate
    assert decoys.loc[("base", "true"), "abstain"] > 0
    text = result.text()
    assert f"{result.primary.counts.before['erroneous']}/{result.primary.n_judged.before:,} " in text
    assert "rewritten, other manner" in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="fidelity"), r"judged items: the columns \['fidelity'\] are missing"),
        (lambda t: t.assign(control=t["control"].replace("again", "gain")), "control 'gain'.*not known"),
        (lambda t: t.assign(variant="x"), "the variant 'x' is not known"),
        (lambda t: t.assign(arm=t["arm"].replace("base", "terse")), "the arm 'terse' is not known"),
        (lambda t: t.assign(label=t["label"].replace("abstain", "maybe")), "the label 'maybe' is not known"),
        (lambda t: t.assign(fidelity="good"), "the fidelity 'good' is not known"),
        (lambda t: pd.concat([t, t[t["control"] == "again"].iloc[:1]]), "step 0 occurs more than once"),
        (lambda t: t.assign(qid="q9999"), "q9999 is not in the question table"),
        (lambda t: t[t["control"] != "primary"], "none is of the control 'primary'"),
    ],
)  # fmt: skip
def test_bad_items_name_the_fault(change, words):
    with pytest.raises(AnalysisError, match=words):
        run(change(planted(5)), 5, draws=10)


def test_arms_that_do_not_fit_and_no_draws_are_errors():
    items = control("primary", **PRIMARY)
    first, second = votes(3)
    with pytest.raises(AnalysisError, match="traces before: they are of the arm distilled, not of base"):
        analyse(questions(3), Pair(second, first), items, Pair(*ARMS), draws=5)
    with pytest.raises(AnalysisError, match="both base"):
        analyse(questions(3), Pair(first, second), items, Pair("base", "base"), draws=5)
    with pytest.raises(UsageError, match="draws"):
        run(items, 3, draws=0)
