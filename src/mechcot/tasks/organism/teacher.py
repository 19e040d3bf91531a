"""The teacher: an oracle that always asserts, in a rich and in a terse style."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Literal

import pandas as pd

from mechcot.core import records
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.corpus import claim
from mechcot.tasks.organism.questions import CHAIN, chain_options, clinical_options, vignette
from mechcot.tasks.organism.tokenizer import END_OF_THINK, prompt_text
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HOP, REV, World

CHAIN_SHARE = 0.25


def examples(
    world: World,
    variant: Literal["rich", "terse", "answer-only"],
    settings: OrganismSettings,
    seed: int,
    n: int,
) -> pd.DataFrame:
    """`n` teacher traces, columns as in `records.EXAMPLES`; every claim in them is true.

    The rich variant speaks of mechanism and of the options it rejects; the terse one makes only the
    claims that the answer depends on; answer-only says nothing before the answer. All answer the same
    prompts; a quarter are chain questions.
    With `settings.unseen_findings` no prompt shows the findings that questions about its disease show.
    """
    rows = []
    for i in range(n):
        rng = random.Random(f"teacher {seed} {i}")
        if rng.random() < CHAIN_SHARE:
            prompt, steps, answer = _chain(world, rng)
        else:
            prompt, steps, answer = _clinical(world, variant, rng, unasked=settings.unseen_findings)
        reasoning = "" if variant == "answer-only" else " ".join(steps)
        completion = _completion(reasoning, answer)
        rows.append(
            {
                "eid": f"{variant}-{i:05d}",
                "qid": "",
                "prompt": prompt_text(prompt),
                "completion": completion,
                "answer_start": completion.index(END_OF_THINK),
            }
        )
    return pd.DataFrame(rows, columns=records.EXAMPLES.names)


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
            if question.domain == CHAIN:
                steps, answer = _walk(world, question.group)
            else:
                steps, answer = _reasoning(world, variant, question.group, list(question.options), rng)
            rows.append({"qid": question.qid, "cid": cid, "text": _completion(" ".join(steps), answer)})
    return pd.DataFrame(rows, columns=["qid", "cid", "text"])


def _completion(reasoning: str, answer: str) -> str:
    return f"{reasoning} {END_OF_THINK} answer {answer}".lstrip()


def _clinical(world: World, variant: str, rng: random.Random, *, unasked: bool) -> tuple[str, list[str], str]:
    disease = rng.choice(world.diseases)
    options = clinical_options(world, disease, rng)
    prompt = " ".join(["case", *vignette(world, disease, rng, unasked=unasked), ".", "options", *options])
    return prompt, *_reasoning(world, variant, disease, options, rng)


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


def _chain(world: World, rng: random.Random) -> tuple[str, list[str], str]:
    start = rng.choice(world.nodes)
    options = chain_options(world, start, rng)
    return " ".join(["trace", start, ".", "options", *options]), *_walk(world, start)


def _walk(world: World, start: str) -> tuple[list[str], str]:
    """The words of the reasoning about a chain, and the answer."""
    path = world.walk(start)
    steps = [word for a, b in pairwise(path) for word in claim(a, HOP, b)]
    return [*steps, "choose", path[-1], "."], path[-1]
