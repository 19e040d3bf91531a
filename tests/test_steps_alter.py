"""Answers masked and decoys planted: what is changed, and what never is."""

import random
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.training_settings import OrganismSettings
from mechcot.steps.alter import MASK, decoys_of, hedged_pair, mask_answer
from mechcot.steps.table import states_answer
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import multiple_choice
from mechcot.tasks.organism.checker import task as organism_task
from mechcot.tasks.organism.world import build_world

OPTIONS = ("Heparin", "Aspirin", "Aspirin and heparin", "tPA")
STEM = "A man has chest pain. Which drug is the most appropriate next step?"
QUESTION = Question("q0", "all", STEM, OPTIONS, 0, "q0")
LETTER = multiple_choice(PromptSettings(), "structural")
TEXT = replace(LETTER, format=replace(LETTER.format, answer_form="text", option="{text}"))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("The answer is (B).", f"The answer is {MASK}."),
        ("The answer is B.", f"The answer is {MASK}."),
        ("Thus **B: Aspirin**, so the answer is B.", f"Thus **{MASK}**, so the answer is {MASK}."),
        ("I choose option B.", f"I choose option {MASK}."),
        ("So the answer is (B) Aspirin.", f"So the answer is {MASK}."),
        ("So the answer is B. aspirin", f"So the answer is {MASK}"),
        ("Option B: Aspirin is therefore right.", f"Option {MASK} is therefore right."),
        ("He has an infarct, therefore aspirin.", f"He has an infarct, therefore {MASK}."),
        (
            "Aspirin inhibits COX. Thus the answer is aspirin. (C) is Aspirin and heparin.",
            f"Aspirin inhibits COX. Thus the answer is {MASK}. (C) is Aspirin and heparin.",
        ),
        ("Thus:\nAspirin it is.", f"Thus:\n{MASK} it is."),
        # What states no answer, or another one, is not touched.
        ("Aspirin inhibits COX.", "Aspirin inhibits COX."),
        ("(B) is a drug.", "(B) is a drug."),
        ("The answer is (A).", "The answer is (A)."),
        ("Therefore vitamin B is low.", "Therefore vitamin B is low."),
        ("Therefore aspirins differ.", "Therefore aspirins differ."),
        ("Therefore aspirin inhibits COX.", "Therefore aspirin inhibits COX."),
        ("If he bleeds, the answer is (B).", "If he bleeds, the answer is (B)."),
        ("", ""),
    ],
)
def test_the_own_answer_is_masked_where_it_is_stated_and_nothing_else(text, masked):
    assert mask_answer(QUESTION, text, 1, LETTER) == masked
    assert mask_answer(QUESTION, text, -1, LETTER) == text


@pytest.mark.parametrize(
    "text",
    [
        "I choose {}.", "So the answer is **{}**.", "Therefore {} is right.", "Hence: {}", "Answer: {}",
        "I'd go with {}.",
        "The correct option is {}.", "{} is correct.", "The best choice is {}.", "So {}.", "\\boxed{{{}}}",
        "The answer must be {}", "正确答案是{}。", "Option {} is the best answer.", "This points to {}.",
        "Therefore, the drug of choice is {}.", "That leaves us with {}.", "Die richtige Antwort ist {}.",
    ],
)  # fmt: skip
def test_no_way_to_state_the_answer_stays_readable(text):
    for said in ("B", "(B)", "(b)", "(B) Aspirin", "B. aspirin", "B (aspirin)"):
        assert mask_answer(QUESTION, text.format(said), 1, LETTER) == text.format(MASK)
    assert mask_answer(QUESTION, text.format("(C)"), 1, LETTER) == text.format("(C)")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (0, "Therefore she takes 5 mg daily."), (0, "So 5 mg of it is given, and the rest follows."),
        (0, "Thus the dose of 5 mg was halved."), (2, "Thus vitamin D is low."), (2, "So vitamin D rises."),
        (3, "Hence B12 is stored in the liver."), (0, "Therefore, hepatitis A is likely."),
    ],
)  # fmt: skip
def test_doses_and_vitamins_in_a_conclusion_are_not_masked(answer, text):
    question = Question("q", "all", "Which?", ("5 mg", "10 mg", "Vitamin D", "B12"), 0, "q")
    assert mask_answer(question, text, answer, LETTER) == text


def test_where_the_prompt_shows_no_letters_they_are_no_answers():
    assert mask_answer(QUESTION, "The answer is aspirin (B).", 1, TEXT) == f"The answer is {MASK} (B)."
    assert mask_answer(QUESTION, "The answer is (B).", 1, TEXT) == "The answer is (B)."


@given(st.lists(st.sampled_from([*OPTIONS, "(B)", "option B", "therefore", "answer is", ". ", "\n", " "])))
def test_a_masked_step_states_the_answer_no_more(parts):
    text = " ".join(parts)
    masked = mask_answer(QUESTION, text, 1, LETTER)
    assert (masked == text) == (not states_answer(QUESTION, text, 1, LETTER))
    assert mask_answer(QUESTION, masked, 1, LETTER).count("ASPIRIN") == 0
    rest = masked.split(MASK)
    at = 0
    for part in rest:  # all that is left stands in the text, in order
        at = text.index(part, at) + len(part)


def steps(*rows):
    table = pd.DataFrame(rows, columns=["qid", "arm", "sid", "text"])
    return table.assign(cid=0, complete=True)


def answers(table, answer=1):
    return {(row.qid, row.arm, 0): answer for row in table.itertuples()}


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        (
            "The answer is (B).",
            "The answer is (A).",
            {"The answer is (C).", "The answer is (D).", "The answer is (B)."},
        ),
        (
            "Hence, the most appropriate drug is (B) Aspirin.",
            "Hence, the most appropriate drug is (A) Heparin.",
            {
                "Hence, the most appropriate drug is (B) Aspirin.",
                "Hence, the most appropriate drug is (C) Aspirin and heparin.",
                "Hence, the most appropriate drug is (D) tPA.",
            },
        ),
        (
            "It inhibits COX. So the answer is aspirin.",
            "So the answer is heparin.",
            {"So the answer is aspirin.", "So the answer is aspirin and heparin.", "So the answer is tPA."},
        ),
    ],
)
def test_a_decoy_puts_the_right_and_a_wrong_option_where_the_answer_stood(text, true, false):
    table = steps(("q0", "base", 3, text))
    seen = set()
    for seed in range(40):
        made = decoys_of(table, answers(table), {"q0": QUESTION}, LETTER, seed)
        assert made.truth.tolist() == [True, False]
        assert made.text[0] == true
        assert set(made.sid) == {3}
        seen.add(made.text[1])
        pd.testing.assert_frame_equal(made, decoys_of(table, answers(table), {"q0": QUESTION}, LETTER, seed))
    assert seen == false


@pytest.mark.parametrize(
    "text",
    [
        "Therefore aspirin inhibits COX.",  # another claim
        "The answer is not (B).",
        "The answer is aspirin, because it inhibits COX.",
        "The answer is (B), no other drug.",
        "The answer is (B) or (A).",
        "So the answer is an aspirin.",
        "Aspirin is a drug.",
    ],
)
def test_a_sentence_that_claims_more_makes_no_decoy(text):
    table = steps(("q0", "base", 0, text))
    assert decoys_of(table, answers(table), {"q0": QUESTION}, LETTER, 0).empty


def test_the_arms_get_decoys_of_the_same_questions_where_there_are_any():
    known = {qid: replace(QUESTION, qid=qid) for qid in ("q0", "q1", "q2")}
    good, poor = "The answer is (B).", "Aspirin it may be."
    table = steps(
        ("q0", "base", 0, good), ("q0", "after", 0, poor), ("q0", "after", 1, good), ("q1", "base", 0, good),
        ("q1", "after", 0, poor), ("q2", "after", 0, good),
    )  # fmt: skip
    made = decoys_of(table, answers(table), known, LETTER, 0)
    assert made.groupby(["qid", "arm"]).size().to_dict() == {("q0", "after"): 2, ("q0", "base"): 2}
    assert made[made.arm == "after"].sid.tolist() == [1, 1]
    apart = table.iloc[3:]
    made = decoys_of(apart, answers(apart), known, LETTER, 0)
    assert made.groupby(["qid", "arm"]).size().to_dict() == {("q1", "base"): 2, ("q2", "after"): 2}


def test_a_cut_step_and_a_trace_without_an_answer_make_no_decoy():
    table = steps(("q0", "base", 0, "The answer is (B)."))
    assert decoys_of(table.assign(complete=False), answers(table), {"q0": QUESTION}, LETTER, 0).empty
    assert decoys_of(table, answers(table, -1), {"q0": QUESTION}, LETTER, 0).empty


# --- the organism -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def organism():
    settings = OrganismSettings(**PRESETS["organism-small"]["organism"])
    world = build_world(settings, 3)
    disease = world.diseases[5]
    question = Question(
        "c", "clinical", " ".join(["case", *sorted(world.asked[disease])]), ("a", "b"), 0, disease
    )
    return organism_task(world), question, world, disease


def claims_of(world, disease):
    drug, node = world.drug_of(disease), world.nodes[0]
    yield f"this suggests {disease} ."
    yield f"{disease} responds to {drug} ."
    yield f"{drug} treats {world.diseases[0]} ."
    yield f"{node} leads to {world.nodes[2]} ."
    yield f"{disease} results from {world.values['results from'][0]} ."
    yield f"{drug} clears via {world.values['clears via'][1]} ."


def test_the_organisms_hedge_and_decoys_are_true_to_its_checker(organism):
    task, question, world, disease = organism
    for text in claims_of(world, disease):
        hedged, plain = task.hedge_pair(question, text)
        assert plain == text
        assert task.hedge_pair(question, hedged) == (hedged, plain)
        assert task.claim(question, hedged).hedged
        assert task.check(question, hedged) == task.check(question, plain)
        for own in (hedged, plain):
            for seed in range(5):
                true, false = task.decoys(question, own, random.Random(seed))
                assert task.check(question, true).label == "correct"
                assert task.check(question, false).label == "erroneous"
                before, after = task.claim(question, own), task.claim(question, false)
                assert (before.subject, before.relation, before.hedged) == (
                    after.subject, after.relation, after.hedged,
                )  # fmt: skip
                assert after.object[-2:] == before.object[-2:]  # the suffix tells the kind of name
    for text in ("review options .", f"choose {world.drugs[0]} .", "", "x y z ."):
        assert task.hedge_pair(question, text) is None
        assert task.decoys(question, text, random.Random(0)) is None


def test_the_organisms_own_decoys_are_taken_where_there_are_some(organism):
    task, question, _, disease = organism
    table = steps(
        ("c", "base", 0, "review options ."), ("c", "base", 1, f"this perhaps suggests {disease} .")
    )
    made = decoys_of(table, {}, {"c": question}, task, 0)
    assert made.sid.tolist() == [1, 1]
    assert [task.check(question, text).label for text in made.text] == ["correct", "erroneous"]
    assert hedged_pair(f"this suggests {disease} .") == (  # the rules of English know the verb too
        f"this probably suggests {disease} .",
        f"this suggests {disease} .",
    )
