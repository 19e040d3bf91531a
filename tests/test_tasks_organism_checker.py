import random

import pytest

from mechcot.core.training_settings import OrganismSettings
from mechcot.steps import segment
from mechcot.tasks import Question, question_of, read_answer
from mechcot.tasks.organism.checker import ROLES, task
from mechcot.tasks.organism.corpus import claim
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.teacher import examples
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HOP, REV, build_world

SETTINGS = OrganismSettings(diseases=30, chain_nodes=12, clinical_questions=10, chain_questions=5)
WORLD = build_world(SETTINGS, 7)
TASK = task(WORLD)
CASE, TRACE = (
    question_of(next(questions(WORLD, SETTINGS, 7).query(f"domain == '{domain}'").itertuples()))
    for domain in ("clinical", "chain")
)
SICK = CASE.group
DRUG_NAME = WORLD.drug_of(SICK)


def as_question(prompt: str) -> Question:
    stem, options = prompt.removesuffix(" <think>").split(" . options ")
    return Question("q", "clinical", stem, tuple(options.split()), 0, "", "tail")


@pytest.mark.parametrize("variant", ["rich", "terse"])
def test_every_step_of_the_teacher_is_right_or_makes_no_claim(variant) -> None:
    labels: dict[str, int] = {}
    for row in examples(WORLD, variant, SETTINGS, 7, 200).itertuples():
        question = as_question(row.prompt)
        reasoning = row.completion[: row.answer_start]
        for start, end in segment(reasoning, TASK.segmenter):
            text = reasoning[start:end]
            label = TASK.check(question, text).label
            labels[label] = labels.get(label, 0) + 1
            assert (TASK.claim(question, text) is None) == (label == "not_checkable")
        answer = read_answer(row.completion, question, TASK.format, "stop")
        assert row.completion[row.answer_start :] == f"</think> answer {question.options[answer.option]}"
    assert set(labels) == {"correct", "not_checkable"}
    assert labels["correct"] > labels["not_checkable"]


def test_a_claim_is_as_frequent_as_what_it_is_about() -> None:
    met = WORLD.weights[SICK]
    about = [(CASE, claim("this", FIND, SICK)), (CASE, claim(SICK, DRUG, DRUG_NAME))]
    about.append((CASE, claim(DRUG_NAME, REV, SICK)))
    for question, words in about:
        assert TASK.frequency(question, " ".join(words)) == met
    node = WORLD.nodes[3]
    assert TASK.frequency(TRACE, " ".join(claim(node, HOP, WORLD.nodes[0]))) == WORLD.node_weights[node]
    seldom = TASK.frequency(CASE, " ".join(claim(WORLD.diseases[-1], DRUG, DRUG_NAME)))
    assert seldom < TASK.frequency(CASE, " ".join(claim(WORLD.diseases[0], DRUG, DRUG_NAME)))


def wrong_claims() -> list[tuple[Question, list[str]]]:
    other = next(d for d in WORLD.diseases if d not in WORLD.fitting(WORLD.asked[SICK]))
    node = TRACE.group
    facts = [(SICK, verb) for verb in DISEASE_VERBS] + [(DRUG_NAME, verb) for verb in DRUG_VERBS]
    wrong = [(CASE, claim("this", FIND, other)), (CASE, claim(SICK, DRUG, WORLD.drug_of(other)))]
    wrong += [(CASE, claim(DRUG_NAME, REV, other)), (TRACE, claim(node, HOP, node))]
    for subject, verb in facts:
        said = random.Random(0).choice([v for v in WORLD.values[verb] if v != WORLD.facts[subject, verb]])
        wrong.append((CASE, claim(subject, verb, said, hedged=True)))
    return wrong


@pytest.mark.parametrize(("question", "words"), wrong_claims())
def test_a_false_object_is_an_error_and_its_truth_is_known(question, words) -> None:
    text = " ".join(words)
    assert TASK.check(question, text).label == "erroneous"
    found = TASK.claim(question, text)
    assert found is not None
    assert found.object == words[-2]
    for truth in found.truth:
        assert TASK.check(question, " ".join([*words[:-2], truth, "."])).label == "correct"


def test_a_claim_knows_its_hedge_and_its_places() -> None:
    for hedged in (False, True):
        text = " ".join(claim(SICK, DRUG, DRUG_NAME, hedged=hedged))
        found = TASK.claim(CASE, text)
        assert found.hedged is hedged
        assert (found.relation, found.subject, found.object) == (DRUG, SICK, DRUG_NAME)
        assert text[: found.decision_char] == SICK
        assert text[found.object_char :] == f"{DRUG_NAME} ."
        assert found.stratum == WORLD.tercile(SICK)
        assert TASK.check(CASE, text).label == "correct"


def test_a_finding_claim_takes_the_stratum_of_its_case() -> None:
    found = TASK.claim(CASE, f"this suggests {SICK} .")
    assert found.stratum == CASE.stratum
    assert SICK in found.truth


ROLE_CASES = [
    ("find", CASE, f"this suggests {SICK} ."),
    ("drug", CASE, f"{SICK} perhaps responds to {DRUG_NAME} ."),
    ("rev", CASE, f"{DRUG_NAME} treats {SICK} ."),
    ("disease fact", CASE, f"{SICK} progresses to {WORLD.values['progresses to'][0]} ."),
    ("drug fact", CASE, f"{DRUG_NAME} clears via {WORLD.values['clears via'][0]} ."),
    ("hop", TRACE, f"{TRACE.group} leads to {TRACE.group} ."),
    ("plan", CASE, "review options ."),
    ("vague", CASE, "picture unclear ."),
    ("choice", CASE, f"choose {DRUG_NAME} ."),
    ("malformed", CASE, f"{SICK} perhaps ."),
    ("malformed", CASE, f"this responds to {DRUG_NAME} ."),
    ("malformed", CASE, f"{SICK} suggests {SICK} ."),
    ("malformed", TRACE, f"this suggests {SICK} ."),
    ("malformed", CASE, f"{SICK} responds perhaps to {DRUG_NAME} ."),
    ("malformed", CASE, "."),
    ("malformed", CASE, ""),
]


@pytest.mark.parametrize(("role", "question", "text"), ROLE_CASES)
def test_roles(role, question, text) -> None:
    assert TASK.role(question, text) == role
    label = TASK.check(question, text).label
    assert (label == "not_checkable") == (role in ("plan", "vague", "choice"))
    assert (TASK.claim(question, text) is None) == (role in ("plan", "vague", "choice", "malformed"))
    if role == "malformed":
        assert label == "erroneous"


def test_every_role_is_listed() -> None:
    assert {role for role, _, _ in ROLE_CASES} == set(ROLES)
