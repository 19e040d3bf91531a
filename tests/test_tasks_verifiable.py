"""Traces by rule: what is written right is found right, what is written wrong is not, on every class."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mechcot.core.errors import DataError
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.answers.values import SEPARATOR
from mechcot.tasks.base import Question, question_of
from mechcot.tasks.cotemp import CLASSES, VERIFIABLE, asked, event
from mechcot.tasks.organism.questions import questions as organism_questions
from mechcot.tasks.organism.verifiable import verifiable
from mechcot.tasks.organism.world import build_world
from mechcot.tasks.verifiable import VARIANTS, check_trace, leads_to, write_variants
from trace_cases import cotemp_question, cotemp_questions

SETTINGS = OrganismSettings(diseases=24, chain_nodes=16, clinical_questions=40, chain_questions=12)
WORLD = build_world(SETTINGS, 7)


def organism(*, open_: bool) -> list[Question]:
    made = [question_of(row) for row in organism_questions(WORLD, SETTINGS, 7).itertuples(index=False)]
    return [replace(q, options=(q.options[q.gold],), gold=0, open=True) for q in made] if open_ else made


CASES = {
    **{f"cotemp {name}": (VERIFIABLE, cotemp_questions(name, 40)) for name in CLASSES},
    "organism, options": (verifiable(WORLD), organism(open_=False)),
    "organism, open": (verifiable(WORLD), organism(open_=True)),
}


@pytest.mark.parametrize("case", CASES)
def test_gold_is_right_and_every_perturbation_is_not(case: str) -> None:
    task, questions = CASES[case]
    made, left = write_variants(task, questions, list(VARIANTS), 3)
    assert left == {}
    for name, variant in VARIANTS.items():
        found = [check_trace(task, q, made[name][q.qid].reasoning) for q in questions]
        right = sum(one.correct for one in found) / len(found)
        assert right == 1.0 if name == "correct" else right <= 0.02, name
        for part in task.decompose(questions[0]):
            names = [sub.name for sub in task.decompose(questions[0])]
            stays = variant.stays is not None and part.name in names[variant.stays]
            same = [q for q in questions if q.stem.split()[0] == questions[0].stem.split()[0]] or questions
            own = {q.qid for q in same}
            share = [
                one.verdicts[part.name] == "correct"
                for q, one in zip(questions, found, strict=True)
                if q.qid in own
            ]
            rate = sum(share) / len(share)
            # A trace of another question of the class has its class: only its facts are another's.
            if name == "shuffled" and part.name == "relation":
                assert rate == 1.0
            elif case.startswith("cotemp") or task.decompose(questions[0])[0].name == "disease":
                assert rate == 1.0 if stays else rate <= 0.02, (name, part.name)


def test_a_wrong_trace_leads_to_another_answer_unless_the_answer_is_kept() -> None:
    for task, questions in CASES.values():
        made, _ = write_variants(task, questions, ["correct", "incorrect", "answer-kept"], 3)
        for question in questions:
            gold = question.options[question.gold]
            found = {
                name: check_trace(task, question, own[question.qid].reasoning) for name, own in made.items()
            }
            assert leads_to(found["correct"].implied, gold)
            assert found["correct"].holds_answer
            assert found["incorrect"].implied
            assert not leads_to(found["incorrect"].implied, gold)
            assert found["answer-kept"].holds_answer
            assert not found["answer-kept"].correct
            if not question.open and len(question.options) > 1:
                assert set(found["incorrect"].implied) <= set(question.options)


def test_lengths_are_matched_in_facts_and_words() -> None:
    questions = [q for name in ("mix", "overlap") for q in cotemp_questions(name, 40)]
    made, _ = write_variants(VERIFIABLE, questions, ["correct", "incorrect", "length-matched", "filler"], 0)
    words = {name: [len(one.reasoning.split()) for one in own.values()] for name, own in made.items()}
    gaps = {
        name: sum(abs(a - b) for a, b in zip(own, words["correct"], strict=True))
        for name, own in words.items()
    }
    assert gaps["length-matched"] < gaps["incorrect"] / 4
    assert gaps["filler"] == 0


def test_the_draws_of_a_question_do_not_hang_on_the_others() -> None:
    questions = cotemp_questions("mix", 12)
    whole, _ = write_variants(VERIFIABLE, questions, ["incorrect", "facts-only"], 5)
    part, _ = write_variants(VERIFIABLE, questions[6:], ["incorrect"], 5)
    assert all(whole["incorrect"][qid] == own for qid, own in part["incorrect"].items())
    other, _ = write_variants(VERIFIABLE, questions, ["incorrect"], 6)
    assert other["incorrect"] != whole["incorrect"]


def test_a_shuffled_trace_is_another_entitys_and_nobody_lends_to_himself() -> None:
    for task, questions in CASES.values():
        made, _ = write_variants(task, questions, ["shuffled"], 1)
        by_id = {q.qid: q for q in questions}
        for question in questions:
            donor = by_id[made["shuffled"][question.qid].whose]
            assert task.entity(donor) != task.entity(question)
            assert donor.options[donor.gold] != question.options[question.gold]


# --- CoTempQA -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
def test_the_dates_tell_the_class_where_no_column_does(name: str) -> None:
    for question in cotemp_questions(name, 40):
        assert asked(replace(question, domain="all")).relation == name


def test_entities_with_commas_are_one_text() -> None:
    facts = (
        "Ann Lee holds the position of Secretary for Trade, Mines and Ports from 1990 to 1995.",
        "Ann Lee holds the position of Lord, Upper House from 1990 to 1995.",
        "Ann Lee holds the position of mayor in 1970.",
    )
    question = cotemp_question(
        facts,
        "While Ann Lee was holding the position of Secretary for Trade, Mines and Ports, which position "
        "did Ann Lee at the same time?",
        ["Lord, Upper House"],
    )
    own = asked(question)
    assert (own.relation, own.named[0].text, own.needed[0].text) == ("equal", *facts[:2])
    right = VERIFIABLE.render(question, {p.name: p.gold for p in VERIFIABLE.decompose(question)})
    found = check_trace(VERIFIABLE, question, right)
    assert found.correct
    assert found.implied == ("Lord, Upper House",)


def test_the_event_of_the_question_may_stand_among_the_facts_and_a_foreign_fact_may_not() -> None:
    (question,) = cotemp_questions("equal", 1)
    own = asked(question)
    right = VERIFIABLE.render(question, {p.name: p.gold for p in VERIFIABLE.decompose(question)})
    assert check_trace(VERIFIABLE, question, f"{right}\n- {own.named[0].text}").correct
    foreign = f"{right}\n- Nobody Known works for Nothing from 1901 to 1902."
    assert check_trace(VERIFIABLE, question, foreign).verdicts == {"relation": "correct", "facts": "wrong"}
    another = f"{right}\n- {own.others[0].text}"
    assert check_trace(VERIFIABLE, question, another).verdicts == {"relation": "correct", "facts": "wrong"}


def test_facts_are_read_in_lists_of_any_writing() -> None:
    question = cotemp_questions("mix", 1)[0]
    facts = [one.text for one in asked(question).needed]
    for listed in (str(facts), repr(facts).replace("'", '"'), "; ".join(facts)):
        text = f"The temporal relation of both is: mix.\nTo answer I use these: {listed}"
        assert check_trace(VERIFIABLE, question, text).correct, listed
    twice = f"The relation could be mix. The relation: overlap.\n{facts}"
    assert check_trace(VERIFIABLE, question, twice).verdicts["relation"] == "wrong"


def test_a_fact_that_another_holds_is_not_read_twice() -> None:
    facts = (
        "Mary Ann Lee works for Acme from 1990 to 1995.",
        "Ann Lee works for Acme from 1990 to 1995.",
        "Bo Day works for Acme in 1980.",
    )
    question = cotemp_question(
        facts, "While Ann Lee was working for Acme, who also worked there?", ["Mary Ann Lee"]
    )
    assert VERIFIABLE.parse(question, f"- {facts[0]}")["facts"] == facts[:1]


@pytest.mark.parametrize(
    ("facts", "answer", "message"),
    [
        ((), ["Bo"], "the context is empty"),
        (("Ann works for Acme from 1995 to 1990.",), ["Acme"], "ends before it begins"),
        (("Ann works for Acme from spring to 1990.",), ["Acme"], "does not end with 'from DATE to DATE.'"),
        (("Ann paints for Acme in 1990.",), ["Acme"], "none of the verbs known"),
        (("Ann works for Acme in 1990.",) * 2, ["Acme"], "stands twice"),
        (("Ann works for Acme in 1990.",), ["Bolt"], "the answer 'Bolt' is in none of its facts"),
        (("Ann works for Acme in 1990.", "Bo works for Bolt in 1970."), ["Bolt"], "its class is not told"),
    ],
)
def test_a_question_that_cannot_be_taken_apart_says_why(
    facts: tuple[str, ...], answer: list[str], message: str
) -> None:
    question = cotemp_question(facts, "While Ann was working for Acme, who else?", answer)
    with pytest.raises(DataError, match=message):
        asked(question)


def test_a_question_without_another_fact_is_left_out_of_every_variant() -> None:
    facts = ("Ann works for Acme from 1990 to 1995.", "Ann works for Bolt from 1990 to 1995.")
    question = cotemp_question(facts, "While Ann was working for Acme, which employer also?", ["Bolt"])
    made, left = write_variants(
        VERIFIABLE, [question, *cotemp_questions("mix", 2)], ["correct", "incorrect"], 0
    )
    assert list(left) == [question.qid]
    assert "no fact but those" in left[question.qid]
    assert all(question.qid not in own for own in made.values())


def test_days_and_months_may_be_missing() -> None:
    one = event("A attended B from 1990 to March, 1991.")
    assert (one.subject, one.object, one.first, one.last) == ("A", "B", (1990, 1, 1), (1991, 3, 31))
    assert event("A attended B in May 2, 1990.").first == (1990, 5, 2)


def test_hedges_and_rationale_change_nothing_on_the_organism() -> None:
    task, (question, *_) = verifiable(WORLD), organism(open_=False)
    disease, drug = question.group, question.options[question.gold]
    claims = f"this perhaps suggests {disease} . {disease} raises zol . {disease} responds to {drug} ."
    text = f"review options . {claims}"
    assert check_trace(task, question, text).correct
    twice = f"{text} {disease} responds to {next(o for o in question.options if o != drug)} ."
    assert check_trace(task, question, twice).verdicts == {"disease": "correct", "drug": "wrong"}
    assert not check_trace(task, question, "picture unclear .").evaluable


def test_wrong_values_are_drawn_from_all_there_are() -> None:
    task, question = verifiable(WORLD), organism(open_=False)[0]
    names = frozenset(("disease", "drug"))
    drawn = {
        task.wrong(question, names, random.Random(i), matched=False, kept=False)["disease"] for i in range(60)
    }
    assert len(drawn) == 3
    assert SEPARATOR == "; "
