"""The organism's questions by rule: which disease, which drug; or hop by hop along the chain.

The answer hangs on two claims of a case, `this suggests D` and `D responds to G`, and on four of a chain. A
sub-step's value is the whole claim, hedged or not, so that a right drug of a wrong disease is no right claim.
Questions may show options or none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from mechcot.tasks.base import Question, SubStep, Value, Values, Verifiable
from mechcot.tasks.organism.corpus import claim as claim_words
from mechcot.tasks.organism.tokenizer import END_OF_THINK
from mechcot.tasks.organism.world import DRUG, FIND, HEDGE, HOP, HOPS, World
from mechcot.tasks.verifiable import gold_items

DISEASE, TREATED = "disease", "drug"
HOP_NAMES = tuple(f"hop {i}" for i in range(1, HOPS + 1))


def verifiable(world: World) -> Verifiable:
    """How reasoning in a world is taken apart, written and read."""
    return Verifiable(
        decompose=partial(_decompose, world),
        render=_render,
        parse=_parse,
        wrong=partial(_wrong, world),
        implied=_implied,
        entity=lambda question: question.group,
        category=lambda question: f"{question.domain} {question.stratum}".strip(),
        filler=_filler,
        own_context=False,
    )


def _chain(question: Question) -> bool:
    return question.stem.split()[0] == "trace"


def _decompose(world: World, question: Question) -> tuple[SubStep, ...]:
    if _chain(question):
        return tuple(SubStep(name, (said,)) for name, said in _hops(world.walk(question.group)).items())
    disease = question.group
    return (
        SubStep(DISEASE, (_said("this", FIND, disease),)),
        SubStep(TREATED, (_said(disease, DRUG, world.drug_of(disease)),)),
    )


def _said(subject: str, verb: str, said: str) -> str:
    return f"{subject} {verb} {said}"


def _hops(path: Sequence[str]) -> dict[str, str]:
    steps = [_said(a, HOP, b) for a, b in pairwise(path)]
    return dict(zip(HOP_NAMES, steps, strict=True))


def _render(question: Question, values: Values) -> str:
    words = [] if _chain(question) else ["review", "case" if question.open else "options", "."]
    for texts in values.values():
        for text in texts:
            subject, verb, said = _parts(text)
            words += claim_words(subject, verb, said)
    return " ".join(words)


def _parts(text: str) -> tuple[str, str, str]:
    subject, *verb, said = text.split()
    return subject, " ".join(verb), said


def _parse(question: Question, reasoning: str) -> Values:
    found: dict[str, list[str]] = {}
    hops = 0
    for step in reasoning.partition(END_OF_THINK)[0].split("."):
        words = [word for word in step.split() if word != HEDGE]
        if len(words) < 3:
            continue
        subject, verb, said = _parts(" ".join(words))
        name = {FIND: DISEASE, DRUG: TREATED}.get(verb)
        if _chain(question):
            name = HOP_NAMES[min(hops, HOPS - 1)] if verb == HOP else None
            hops += verb == HOP
        if name is not None:
            found.setdefault(name, []).append(_said(subject, verb, said))
    return {name: tuple(dict.fromkeys(texts)) for name, texts in found.items()}


def _wrong(
    world: World, question: Question, names: frozenset[str], rng: random.Random, *, matched: bool, kept: bool
) -> Values:
    """One claim stands in each sub-step: traces that are wrong are as long as right ones, `matched` or not.

    Another disease is that of another option where options are shown, so that what a wrong trace leads to
    could be chosen.
    """
    if _chain(question):
        return _wrong_hops(world, question, names, rng, kept=kept)
    disease, (gold,) = question.group, gold_items(question)
    others = [
        one
        for one in (world.diseases if question.open else map(world.disease_of, question.options))
        if one != disease
    ]
    other = rng.choice(others)
    whose = other if {DISEASE, TREATED} <= names else disease
    drug = gold if kept or TREATED not in names else world.drug_of(other)
    return {
        DISEASE: (_said("this", FIND, other if DISEASE in names else disease),),
        TREATED: (_said(whose, DRUG, drug),),
    }


def _wrong_hops(
    world: World, question: Question, names: frozenset[str], rng: random.Random, *, kept: bool
) -> Values:
    """Hops that are wrong lead on from each other, to another option at the end."""
    right = world.walk(question.group)
    ends = world.nodes if question.open else question.options
    away = [node for node in world.nodes if node not in right and node not in question.options]
    path = list(right)
    for at, name in enumerate(HOP_NAMES[:-1], start=1):
        if name in names:
            path[at] = rng.choice([node for node in away if node not in path])
    if HOP_NAMES[-1] in names and not kept:
        path[-1] = rng.choice([node for node in ends if node not in right])
    said = _hops(path)
    return {name: (said[name] if name in names else gold,) for name, gold in _hops(right).items()}


def _implied(question: Question, values: Values) -> Value | None:
    """What the last claim ends in."""
    last = values.get(HOP_NAMES[-1] if _chain(question) else TREATED, ())
    return tuple(dict.fromkeys(_parts(text)[2] for text in last)) or None


def _filler(words: int) -> str:
    return " ".join(["picture", "unclear", "."] * max(1, round(words / 3)))
