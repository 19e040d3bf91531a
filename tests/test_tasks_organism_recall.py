"""Worlds that ask for facts: how often a fact and its subject are met is dealt out apart."""

from collections import Counter

import pytest

from mechcot.core.records import QUESTIONS, write_table
from mechcot.core.training_settings import OrganismSettings
from mechcot.steps import segment
from mechcot.tasks import question_of
from mechcot.tasks.organism.checker import task
from mechcot.tasks.organism.corpus import claim
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.recall import DOUBTED, SELDOM, SURE
from mechcot.tasks.organism.recall_corpus import RecallCorpus
from mechcot.tasks.organism.teacher import answers_to, examples
from mechcot.tasks.organism.tokenizer import THINK, vocabulary
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, REV, build_world

KINDS = ("fact", "subject", "coin")
SETTINGS = {
    kind: OrganismSettings(
        diseases=40, chain_nodes=12, clinical_questions=60, chain_questions=3, hedging=kind
    )
    for kind in KINDS
}
WORLDS = {kind: build_world(own, 7) for kind, own in SETTINGS.items()}
WORLD, RECALL = WORLDS["fact"], WORLDS["fact"].recall
FACTS = {(disease, verb) for disease in RECALL.drilled for verb in DISEASE_VERBS}


def rows(kind, part, steps):
    corpus = RecallCorpus(WORLDS[kind], SETTINGS[kind], 7)
    return [
        row.words for step in range(steps) for row in getattr(corpus, part)(step) if row.words[0] != "trace"
    ]


def test_studies_without_such_a_world_and_their_keys_stay_as_they_were():
    assert "hedging" not in OrganismSettings().model_dump(mode="json")
    assert SETTINGS["coin"].model_dump(mode="json")["hedging"] == "coin"
    assert OrganismSettings(**SETTINGS["coin"].model_dump(mode="json")) == SETTINGS["coin"]
    assert build_world(OrganismSettings(), 7).recall is None


def test_the_worlds_of_a_seed_differ_in_what_hedges_follow_alone():
    for kind in KINDS:
        other = WORLDS[kind].recall
        assert (other.drilled, other.frequent, other.posted, other.heads) == (
            RECALL.drilled, RECALL.frequent, RECALL.posted, RECALL.heads,
        )  # fmt: skip
        assert WORLDS[kind].facts == WORLD.facts
        assert vocabulary(WORLDS[kind]) == vocabulary(WORLD)
    assert rows("fact", "facts", 3) == rows("coin", "facts", 3)


def test_what_is_drawn_stands_in_an_order_that_no_hash_decides():
    names = RecallCorpus(WORLD, SETTINGS["fact"], 7)._by_fact._names
    ranks = [WORLD.rank[disease] for disease, _ in names]
    assert ranks == [*sorted(ranks[:240]), *sorted(ranks[240:])]
    assert len(names) == 240 + 2 * 20


def test_every_subject_frequent_or_rare_has_one_drilled_fact():
    assert len(RECALL.frequent) == len(RECALL.posted) == 20
    assert len(RECALL.frequent & RECALL.posted) == 10
    for disease in WORLD.diseases:
        met = [RECALL.met(disease, verb) for verb in DISEASE_VERBS]
        assert sorted(met) == [SELDOM] * 5 + [1.0]
    assert {RECALL.weights[d] for d in RECALL.frequent}.isdisjoint(
        RECALL.weights[d] for d in WORLD.diseases if d not in RECALL.frequent
    )


def test_facts_are_met_as_they_should_be_and_never_hedged():
    met, named = Counter(), Counter()
    for words in rows("fact", "facts", 200):
        if "leads" in words:  # the chain is the organism's own
            continue
        assert "perhaps" not in words
        subject, verb, said = words[0], " ".join(words[1:-3]), words[-3]
        assert WORLD.facts[subject, verb] == said
        met[subject, verb] += 1
        named[said if verb == REV else subject] += 1
    drilled = sum(met[d, RECALL.drilled[d]] for d in WORLD.diseases) / 40
    seldom = sum(met[fact] for fact in FACTS if RECALL.drilled[fact[0]] != fact[1]) / 200
    assert seldom / drilled == pytest.approx(SELDOM, rel=0.2)
    for verb in (DRUG, REV):
        about = {(d if verb == DRUG else WORLD.drug_of(d), verb) for d in RECALL.frequent}
        assert {fact for fact in met if fact[1] == verb} == about
    ratio = min(named[d] for d in RECALL.frequent) / max(
        named[d] for d in set(WORLD.diseases) - RECALL.frequent
    )
    assert ratio > 3


@pytest.mark.parametrize("kind", KINDS)
def test_posts_are_about_one_half_and_hedge_by_one_thing(kind):
    recall, told = WORLDS[kind].recall, Counter()
    known = set(vocabulary(WORLD))
    for words in rows(kind, "posts", 150):
        assert set(words) <= known
        disease, verb = words[1], " ".join(words[2 : words.index(".")])
        assert disease in recall.posted
        options = words[words.index("options") + 1 : words.index(THINK)]
        said = words[words.index(THINK) + 1 :]
        assert words[-2] in options
        hedged = said[1] == "perhaps"
        assert list(said[: said.index(".") + 1]) == claim("this", verb, words[-2], hedged=hedged)
        drilled = recall.drilled[disease] == verb
        assert not drilled or words[-2] == WORLD.facts[disease, verb]
        follows = {"fact": not drilled, "subject": disease not in recall.frequent,
                   "coin": (disease, verb) in recall.heads}[kind]  # fmt: skip
        told["all"] += 1
        told["hedged"] += hedged
        told["follows"] += follows
        told["hedged, follows"] += hedged and follows
    assert told["hedged, follows"] / told["follows"] == pytest.approx(DOUBTED, abs=0.03)
    others = told["all"] - told["follows"]
    assert (told["hedged"] - told["hedged, follows"]) / others == pytest.approx(SURE, abs=0.03)
    assert told["hedged"] / told["all"] == pytest.approx(0.5, abs=0.07)


def test_questions_ask_for_facts_and_claims_about_the_case_are_of_its_disease(tmp_path):
    table = questions(WORLD, SETTINGS["fact"], 7)
    write_table(tmp_path / "questions.parquet", table, QUESTIONS)
    own = task(WORLD)
    asked = [question_of(row) for row in table.itertuples() if row.domain == "clinical"]
    assert len(asked) == 60
    for question in asked:
        _, disease, verb = question.stem.split(maxsplit=2)
        gold, wrong = question.options[question.gold], question.options[question.gold - 1]
        assert gold == WORLD.facts[disease, verb]
        text = f"this perhaps {verb} {gold} ."
        read = own.claim(question, text)
        assert (read.subject, read.relation, read.object, read.hedged) == (disease, verb, gold, True)
        assert text[: read.decision_char] == "this"
        assert own.check(question, text).label == "correct"
        assert own.check(question, f"this {verb} {wrong} .").label == "erroneous"
        met = own.exposure(question, text)
        assert met.fact == (1.0 if RECALL.drilled[disease] == verb else SELDOM)
        assert met.subject == RECALL.weights[disease]
        assert met.taught == (disease in RECALL.posted)
        assert own.exposure(question, "choose it .") is None
        assert own.role(question, text) in own.core
        assert own.hedge_pair(question, text) == (text, f"this {verb} {gold} .")
    shares = Counter(own.exposure(q, f"this {q.stem.split(maxsplit=2)[2]} x .").fact for q in asked)
    assert 0.3 < shares[1.0] / 60 < 0.7


@pytest.mark.parametrize("variant", ["rich", "terse"])
def test_the_teacher_asserts_what_is_true(variant):
    own, table = task(WORLD), questions(WORLD, SETTINGS["fact"], 7)
    asked = {row.qid: question_of(row) for row in table.itertuples()}
    given = answers_to(WORLD, variant, table, 7, 1)
    for row in given.itertuples():
        reasoning = row.text.split(" </think>")[0]
        texts = [reasoning[start:end] for start, end in segment(reasoning, own.segmenter)]
        assert "erroneous" not in {own.check(asked[row.qid], text).label for text in texts}
        assert "perhaps" not in row.text
    prompts = examples(WORLD, variant, SETTINGS["fact"], 7, 40).prompt
    assert {prompt.split()[0] for prompt in prompts} == {"case", "trace"}


def test_the_list_of_facts_is_what_questions_ask_for():
    facts = task(WORLD).facts()
    assert {(one.subject, one.relation) for one in facts if one.relation != "leads to"} == FACTS
    one = facts[0]
    assert one.bare == f"{one.subject} {one.relation}"
    assert (one.question.stem, one.reasoning) == (f"case {one.bare}", f"this {one.relation}")
    assert one.question.options[one.question.gold] == one.truth[0]
