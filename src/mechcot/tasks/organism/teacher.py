"""The teacher: an oracle that always asserts, in a rich and in a terse style."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import pandas as pd

from mechcot.core import records
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.base import Question
from mechcot.tasks.organism.corpus import claim
from mechcot.tasks.organism.questions import (
    CHAIN,
    CLINICAL,
    chain_options,
    clinical_options,
    recall_case,
    vignette,
)
from mechcot.tasks.organism.tokenizer import END_OF_THINK, prompt_text
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HOP, HOPS, REV, World

CHAIN_SHARE = 0.25


def examples(
    world: World, variant: Literal["rich", "terse"], settings: OrganismSettings, seed: int, n: int
) -> pd.DataFrame:
    """`n` teacher traces, columns as in `records.EXAMPLES`; every claim in them is true.

    The rich variant speaks of mechanism and of the options it rejects; the terse one makes only the
    claims that the answer depends on. Both answer the same prompts; a quarter are chain questions.
    With `settings.unseen_findings` no prompt shows the findings that questions about its disease show.
    """
    rows = []
    for i, (question, rng) in enumerate(_posed(world, settings, seed, n)):
        steps, answer = _reasoned(world, variant, question, rng)
        reasoning = " ".join(steps)
        rows.append(
            {
                "eid": f"{variant}-{i:05d}",
                "qid": "",
                "prompt": prompt_of(question),
                "completion": _completion(reasoning, answer),
                "answer_start": len(reasoning) + 1,
            }
        )
    return pd.DataFrame(rows, columns=records.EXAMPLES.names)


def exercises(world: World, settings: OrganismSettings, seed: int, n: int) -> list[Question]:
    """The `n` questions that the teacher's traces answer, whatever its style."""
    return [question for question, _ in _posed(world, settings, seed, n)]


def prompt_of(question: Question) -> str:
    """A question as the student is asked it; an open one shows no options."""
    options = "" if question.open else f" . options {' '.join(question.options)}"
    return prompt_text(f"{question.stem}{options}")


def _posed(
    world: World, settings: OrganismSettings, seed: int, n: int
) -> Iterator[tuple[Question, random.Random]]:
    """Each question with the draws that are left for its trace."""
    for i in range(n):
        rng = random.Random(f"teacher {seed} {i}")
        if rng.random() < CHAIN_SHARE:
            domain, group = CHAIN, rng.choice(world.nodes)
            options, stem = chain_options(world, group, rng), ["trace", group]
            right = world.walk(group)[HOPS]
        elif world.recall:
            domain, (group, verb, options) = CLINICAL, recall_case(world, rng, world.diseases)
            stem, right = ["case", group, verb], world.facts[group, verb]
        else:
            domain, group = CLINICAL, rng.choice(world.diseases)
            options, right = clinical_options(world, group, rng), world.drug_of(group)
            stem = ["case", *vignette(world, group, rng, unasked=settings.unseen_findings)]
        yield (
            Question(
                qid=f"exercise-{i:05d}",
                domain=domain,
                stem=" ".join(stem),
                options=tuple(options),
                gold=options.index(right),
                group=group,
                stratum=world.tercile(group),
            ),
            rng,
        )


def answers_to(world: World, variant: str, questions: pd.DataFrame, seed: int, n: int) -> pd.DataFrame:
    """`n` teacher traces for each of a study's questions: columns qid, cid and text.

    They are what `examples` shows the student, on other questions: every claim is true, every answer
    right. What a rich trace speaks of is drawn anew in each; terse ones and chains repeat.

    Args:
        world: the organism's world.
        variant: `rich` or `terse`.
        questions: rows of `records.QUESTIONS`, made by `organism.questions` in this world.
        seed: the study's seed.
        n: traces a question.
    """
    rows = []
    for question in records.rows(questions):
        for cid in range(n):
            rng = random.Random(f"teacher's answer {seed} {question.qid} {cid}")
            steps, answer = _reasoned(world, variant, question, rng)
            rows.append({"qid": question.qid, "cid": cid, "text": _completion(" ".join(steps), answer)})
    return pd.DataFrame(rows, columns=["qid", "cid", "text"])


def _completion(reasoning: str, answer: str) -> str:
    return f"{reasoning} {END_OF_THINK} answer {answer}"


def _reasoned(world: World, variant: str, question: Any, rng: random.Random) -> tuple[list[str], str]:
    """The words of the reasoning about a question, and the answer."""
    if question.domain == CHAIN:
        return _walk(world, question.group)
    if world.recall:
        verb = question.stem.split(maxsplit=2)[2]
        return _recalling(world, variant, question.group, verb, rng)
    return _reasoning(world, variant, question.group, list(question.options), rng)


def _recalling(
    world: World, variant: str, disease: str, verb: str, rng: random.Random
) -> tuple[list[str], str]:
    """The words of the reasoning where a fact is asked for, and the answer."""
    said = world.facts[disease, verb]
    steps = ["review", "options", ".", *claim("this", verb, said)]
    if variant == "rich":
        for other in rng.sample([one for one in DISEASE_VERBS if one != verb], 3):
            steps += claim(disease, other, world.facts[disease, other])
    return [*steps, "choose", said, "."], said


def _reasoning(
    world: World, variant: str, disease: str, options: list[str], rng: random.Random
) -> tuple[list[str], str]:
    """The words of the reasoning about a case, and the answer."""
    drug = world.drug_of(disease)
    steps = ["review", "options", ".", *claim("this", FIND, disease)]
    if variant == "rich":
        for verb in rng.sample(DISEASE_VERBS, 3):
            steps += claim(disease, verb, world.facts[disease, verb])
        for other in rng.sample([g for g in options if g != drug], 2):
            verb = REV if rng.random() < 0.5 else rng.choice(DRUG_VERBS)
            steps += claim(other, verb, world.facts[other, verb])
    steps += claim(disease, DRUG, drug)
    if variant == "rich":
        verb = rng.choice(DRUG_VERBS)
        steps += claim(drug, verb, world.facts[drug, verb])
    return [*steps, "choose", drug, "."], drug


def _walk(world: World, start: str) -> tuple[list[str], str]:
    """The words of the reasoning about a chain, and the answer."""
    path = world.walk(start)
    steps = [word for a, b in pairwise(path) for word in claim(a, HOP, b)]
    return [*steps, "choose", path[-1], "."], path[-1]
