"""The exact checker: looks every claim up in the world."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks.base import Claim, Exposure, Judged, Question, Task
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.organism.corpus import claim as claim_of
from mechcot.tasks.organism.facts import facts
from mechcot.tasks.organism.tokenizer import words_of
from mechcot.tasks.organism.verifiable import verifiable
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HEDGE, HOP, REV, World

FORMAT = replace(prompt_format(PromptSettings(**PRESETS["organism"]["prompt"])), exact=True)
"""How the organism's questions are put, unless a study's settings say otherwise."""

_OPENERS = {"review": "plan", "picture": "vague", "choose": "choice"}
_ROLES = {
    FIND: "find",
    DRUG: "drug",
    REV: "rev",
    HOP: "hop",
    **dict.fromkeys(DISEASE_VERBS, "disease fact"),
    **dict.fromkeys(DRUG_VERBS, "drug fact"),
}
ROLES = (*dict.fromkeys(_ROLES.values()), *_OPENERS.values(), "malformed")
"""Every role of a step."""
KINDS = {
    "find": "which disease it is",
    "drug": "drug of a disease",
    "rev": "disease of a drug",
    "hop": "next node of the chain",
    "disease fact": "other fact of a disease",
    "drug fact": "other fact of a drug",
    "plan": "plan, no claim",
    "vague": "picture left open, no claim",
    "choice": "choice of an option, no claim",
    "malformed": "garbled, no sentence of the world",
}
"""What pages call them."""
CORE = frozenset(_ROLES[relation] for relation in (FIND, DRUG, REV, HOP))
"""Roles of claims that tell the right option from the others."""


def task(world: World) -> Task:
    """The organism's task, with its exact checker."""
    return Task(
        name="organism",
        format=FORMAT,
        segmenter="sentences",
        role=lambda question, text: _role(text, _claim(world, question, text)),
        check=lambda question, text: _check(text, _claim(world, question, text)),
        claim=lambda question, text: _claim(world, question, text),
        frequency=lambda question, text: _frequency(world, question, _claim(world, question, text)),
        hedge_pair=lambda question, text: _hedge_pair(text, _claim(world, question, text)),
        decoys=lambda question, text, rng: _decoys(world, text, _claim(world, question, text), rng),
        neutral=lambda question, steps, rng: _neutral(world, question, steps, rng),
        facts=lambda: facts(world, _ROLES),
        objects=lambda question, text: _alternatives(world, _claim(world, question, text)),
        exposure=(lambda question, text: _exposure(world, _claim(world, question, text)))
        if world.recall
        else None,
        core=CORE | {_ROLES[DISEASE_VERBS[0]]} if world.recall else CORE,
        verifiable=None if world.recall else verifiable(world),  # one claim there is the whole answer
        role_names=KINDS,
    )


def _role(text: str, claim: Claim | None) -> str:
    if claim is not None:
        return _ROLES[claim.relation]
    return _OPENERS.get(text.split(maxsplit=1)[0] if text.split() else "", "malformed")


def _check(text: str, claim: Claim | None) -> Judged:
    if claim is not None:
        if claim.object in claim.truth:
            return Judged("correct", "in the world")
        return Judged("erroneous", f"{claim.subject} {claim.relation} {' or '.join(claim.truth)}")
    role = _role(text, None)
    if role == "malformed":
        return Judged("erroneous", "no claim that the world could bear out")
    return Judged("not_checkable", f"a {role} step makes no claim")


def _frequency(world: World, question: Question, claim: Claim | None) -> float:
    """Exposure of the claim's disease or node; of the case's own where that is what the claim names."""
    if claim is None:
        return 0.0
    return world.exposure(question.group if claim.relation == FIND else claim.subject)


def _exposure(world: World, claim: Claim | None) -> Exposure | None:
    """How often a fact that can be asked for was met, and its subject."""
    recall = world.recall
    if recall is None or claim is None:
        return None
    if claim.subject not in recall.drilled or claim.relation not in DISEASE_VERBS:
        return None
    met = recall.met(claim.subject, claim.relation)
    return Exposure(met, recall.weights[claim.subject], taught=claim.subject in recall.posted)


def _hedge_pair(text: str, claim: Claim | None) -> tuple[str, str] | None:
    """The claim with the hedge and without it."""
    if claim is None:
        return None
    head, rest = text[: claim.decision_char], text[claim.decision_char :]
    plain = rest.replace(f" {HEDGE}", "", 1) if claim.hedged else rest
    return f"{head} {HEDGE}{plain}", head + plain


def _decoys(world: World, text: str, claim: Claim | None, rng: random.Random) -> tuple[str, str] | None:
    """The claim with a true and with a false object of the same kind."""
    if claim is None:
        return None
    wrong = [name for name in _objects(world, claim.relation) if name not in claim.truth]
    head, rest = text[: claim.object_char], text[claim.object_char + len(claim.object) :]
    return head + rng.choice(claim.truth) + rest, head + rng.choice(wrong) + rest


def _alternatives(world: World, claim: Claim | None) -> tuple[str, ...]:
    return () if claim is None else _objects(world, claim.relation)


def _neutral(world: World, question: Question, steps: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """True claims about other subjects of the same exposure; a step without a claim names nothing."""
    named = {question.group, *" ".join([question.stem, *question.options, *steps]).split()}
    partners = {
        world.facts[name, verb] for name in named for verb in (DRUG, REV) if (name, verb) in world.facts
    }
    return tuple(_elsewhere(world, question, step, named | partners, rng) for step in steps)


def _elsewhere(world: World, question: Question, step: str, named: set[str], rng: random.Random) -> str:
    found = _claim(world, question, step)
    if found is None:
        return step if _role(step, None) in ("plan", "vague") else "review options ."
    verb = rng.choice(DISEASE_VERBS) if found.relation == FIND else found.relation
    subjects = [name for name, said in world.facts if said == verb]

    def others(names: Iterable[str]) -> list[str]:
        return [name for name in names if not {name, world.facts[name, verb]} & named]

    alike = [name for name in subjects if world.tercile(name) == found.stratum]
    subject = rng.choice(others(alike) or others(subjects) or subjects)
    return " ".join(claim_of(subject, verb, world.facts[subject, verb], hedged=found.hedged))


def _objects(world: World, relation: str) -> tuple[str, ...]:
    """All names that a relation can end in."""
    kinds = {FIND: world.diseases, DRUG: world.drugs, REV: world.diseases, HOP: world.nodes}
    return kinds.get(relation) or world.values[relation]


def _claim(world: World, question: Question, text: str) -> Claim | None:
    """The claim `subject [perhaps] verb object .`; None where there is none that could be true."""
    words = words_of(text)
    if words and words[-1][0] == ".":
        words = words[:-1]
    if len(words) < 3 or words[0][0] in _OPENERS:
        return None
    (subject, subject_at), (said, said_at) = words[0], words[-1]
    decision_char = subject_at + len(subject)
    middle = [word for word, _ in words[1:-1]]
    hedged = middle[0] == HEDGE
    verb = " ".join(middle[1:] if hedged else middle)
    if world.recall and subject == "this" and question.stem.split()[0] == "case":
        subject = question.group
    truth = _truth(world, question, subject, verb)
    if not truth:
        return None
    return Claim(
        relation=verb,
        subject=subject,
        object=said,
        hedged=hedged,
        truth=truth,
        stratum=question.stratum if verb == FIND else world.tercile(subject),
        decision_char=decision_char,
        object_char=said_at,
    )


def _truth(world: World, question: Question, subject: str, verb: str) -> tuple[str, ...]:
    if verb == FIND:
        head, *findings = question.stem.split()
        return world.fitting(frozenset(findings)) if (subject, head) == ("this", "case") else ()
    known = world.facts.get((subject, verb))
    return (known,) if known else ()
