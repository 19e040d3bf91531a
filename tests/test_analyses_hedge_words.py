"""Hedges as words: the lexicon's traps, its agreement with readers, and the numbers by hand."""

from __future__ import annotations

import json
import runpy
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mechcot.analyses.hedge_words.analysis import analyse, hedge_words_of
from mechcot.analyses.hedge_words.page import marks, often
from mechcot.core.words import number
from mechcot.steps.hedge_words import KINDS, found_in, without

ROOT = Path(__file__).parent.parent
REAL = ROOT.parent / "shared" / "real" / "traces_gpt4o.jsonl"

HEDGED = (
    "This may be due to heart failure.", "It could be sepsis.", "The pain is likely cardiac.",
    "Perhaps the dose is too high.", "It appears that the infection has spread.",
    "The rash is suggestive of measles.", "I'm not sure which artery is meant.", "I think it is B.",
    "This raises suspicion for a pulmonary embolism.", "The findings suggest meningitis.",
    "It is unclear whether she was vaccinated.", "A possible cause is anaemia.", "The mass seems benign.",
    "POSSIBLY viral", "It might not be bacterial.", "This is **probably** a stroke.",
    "He is presumably immune.",
    "Vielleicht ist es eine Sepsis.", "Der Befund deutet auf eine Pneumonie hin.",
    "Das spricht eher für Masern.", "Die Ursache könnte ein Infarkt sein.", "Es scheint viral zu sein.",
    "Am ehesten liegt eine Angina vor.", "Ich bin nicht sicher.", "Das ist wahrscheinlich gutartig.",
)  # fmt: skip
PLAIN = (
    "The most likely diagnosis is measles.", "The most **likely** cause is B.", "This is not likely.",
    "It is less likely given the age.", "That is unlikely.", "The likelihood ratio is 4.",
    "He was seen in May 2019.", "May 3 was the first visit.", "It may be given orally.",
    "The dose may be repeated after an hour.", "She could not remember his name.",
    "Smoking can cause cancer.",
    "Could it be sepsis?", "Which of these may help?", "We ask how the drug might act.",
    "There are no signs that would suggest a fracture.", "Act as soon as possible.",
    "**Possible causes:** A, B",
    "The patient may leave.", "The rash appears on day 3.", "Hypertension is a risk factor.",
    "Option A suggests a rest.", "Maybelline is a brand.", "The mighty heart",
    "It is consistent with measles.",
    "Die wahrscheinlichste Diagnose ist B.", "Das ist unwahrscheinlich.", "Das ist nicht möglich.",
    "Die Wahrscheinlichkeit beträgt 4 %.", "Sie fühlt sich wohl.", "Kein Verdacht auf Malaria.",
    "Man fragt, wie das Mittel wirken könnte.", "So früh wie möglich.",
)  # fmt: skip


@pytest.mark.parametrize("text", HEDGED)
def test_a_hedge_is_found(text):
    assert found_in(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_looks_like_a_hedge_is_none(text):
    assert not found_in(text), [text[a:b] for a, b in found_in(text)]


def test_spans_lie_in_the_text_and_in_order():
    text = "It may be viral; the most likely cause, however, could be B. Perhaps."
    assert [text[a:b] for a, b in found_in(text)] == ["may", "could", "Perhaps"]
    assert len(without(text)) == len(text)


def test_certainty_and_the_first_person_are_their_own_words():
    text = "We conclude that it is clearly B, which confirms our view. I am certain."
    assert [text[a:b] for a, b in found_in(text, "first_person")] == ["We", "our", "I"]
    assert [text[a:b] for a, b in found_in(text, "certain")] == ["clearly", "confirms"]


def test_the_lexicon_agrees_with_readers_as_often_as_the_page_says():
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there: the lexicon is not compared with readers")
    found = runpy.run_path(str(ROOT / "scripts" / "hedge_words.py"))["measured"](REAL)
    assert found == json.loads((ROOT / "docs" / "hedge-words.json").read_text())
    unseen = found["sample 3"]
    assert unseen["n"] == 250
    assert all(own["precision"] > 0.8 and own["recall"] > 0.95 for own in unseen["passes"])


# --- numbers --------------------------------------------------------------------------------------


def steps(seed=0, n_questions=8, each=6, hedge_wrong=0.5, hedge_right=0.5):
    """Steps of one arm; a wrong one hedges with the first probability, a right one with the second."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(n_questions):
        for _ in range(each):
            wrong = rng.random() < 0.4
            hedged = rng.random() < (hedge_wrong if wrong else hedge_right)
            text = "It may be B, clearly." if hedged else "It is B."
            rows.append((f"q{q}", text, len(text.split()), "erroneous" if wrong else "correct"))
    return pd.DataFrame(rows, columns=["qid", "text", "n_words", "label"])


def by_hand(table):
    """AUROC over pairs of one question, ties half."""
    order = pairs = 0.0
    for _, own in table.groupby("qid"):
        score = own.text.str.contains("may")
        for w in score[own.label == "erroneous"]:
            for r in score[own.label == "correct"]:
                order += (w > r) + 0.5 * (w == r)
                pairs += 1
    return order / pairs, pairs


def test_the_numbers_by_hand():
    before, after = steps(0, hedge_wrong=0.9, hedge_right=0.2), steps(1)
    found = analyse(before, after, "base", "student")
    for own, table in zip(found.marking, (before, after), strict=True):
        value, pairs = by_hand(table)
        assert own.auroc.estimate == pytest.approx(value)
        assert own.n_pairs == pairs
    assert found.change.estimate == pytest.approx(by_hand(after)[0] - by_hand(before)[0])
    hedged = found.words["hedge"]
    share = before.text.str.contains("may").mean()
    assert hedged.steps.before.estimate == pytest.approx(share)
    assert hedged.density.before.estimate == pytest.approx(
        100 * before.text.str.contains("may").sum() / before.n_words.sum()
    )
    assert found.words["certain"].steps.before.estimate == pytest.approx(share)
    assert found.words["first_person"].steps.before.estimate == 0.0
    assert found.to_frame().words.tolist() == [kind for kind in KINDS for _ in range(2)]


def test_the_null_is_that_of_all_ways_to_deal_the_verdicts_out():
    table = steps(3, n_questions=1, each=6, hedge_wrong=0.8, hedge_right=0.3)
    values = []
    for order in permutations(range(6)):
        dealt = table.assign(label=table.label.to_numpy()[list(order)])
        values.append(by_hand(dealt)[0])
    estimate = by_hand(table)[0]
    exact = np.mean(np.abs(np.array(values) - 0.5) >= abs(estimate - 0.5) - 1e-12)
    found = analyse(table, table, "base", "student", draws=4000)
    assert found.marking.before.p == pytest.approx(exact, abs=0.03)


def test_p_is_uniform_where_verdicts_have_nothing_to_do_with_hedges():
    p = []
    for seed in range(100):
        table = steps(seed, 60, 10)
        found = analyse(table, table, "a", "b", draws=199).marking
        p += [found.before.p]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_an_arm_that_never_hedges_has_no_auroc_and_says_why():
    silent = steps(1, hedge_wrong=0.0, hedge_right=0.0)
    found = analyse(steps(0), silent, "base", "student").to_json()
    assert number(found["marking"]["after"]["auroc"]) is None
    assert number(found["change"]) is None
    told = "steps of student are the wrong ones cannot be told (none of its judged steps hedges, or all do)"
    assert told in marks(found)
    assert "none is in the first person" in often(found)


def test_unjudged_steps_count_as_words_and_mark_nothing():
    table = steps(0)
    more = pd.concat([table, table.assign(label=np.nan, text="Perhaps.", n_words=1)], ignore_index=True)
    one, two = (analyse(own, table, "a", "b") for own in (table, more))
    assert two.marking.before.auroc == one.marking.before.auroc
    assert two.words["hedge"].steps.before.estimate > one.words["hedge"].steps.before.estimate


def test_a_task_that_reads_claims_says_itself_what_hedges(study):
    """On the organism "suggests" is a relation; its hedge is "perhaps"."""
    found = hedge_words_of(study)
    steps_of = study.steps("base")
    clinical = set(study.questions("clinical").qid)
    own = steps_of[steps_of.qid.isin(clinical) & steps_of.complete]
    claims = study.claims("base")
    hedged = claims[claims.hedged & claims.qid.isin(clinical)]
    assert found.lexicon == 0
    assert found.words["hedge"].steps.before.estimate == pytest.approx(len(hedged) / len(own))
    assert len(hedged)
    assert study.hedge_words().to_json() == study.result("hedge_words")
