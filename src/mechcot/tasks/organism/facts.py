"""All facts of the invented world, each asked alone and as it stands in a trace.

Alone: as the base's corpus states it. In a trace: after a question about its disease (or a start node) and
the teacher's opening, all of it true. No arm wrote either.
"""

from __future__ import annotations

import random
from dataclasses import replace

from mechcot.tasks.base import Fact, Question
from mechcot.tasks.organism.questions import CHAIN, CLINICAL, chain_options, clinical_options, recall_options
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, FIND, HOP, HOPS, REV, World


def facts(world: World, roles: dict[str, str]) -> tuple[Fact, ...]:
    """Every fact: of diseases, their drugs, and the chain's nodes, in the order of how often they are met.

    A disease and its drug are met together, so they are one group. Of a disease's findings those that the
    questions show are asked. In a world that asks for facts: those that it asks for, and the chain's.

    Args:
        world: whose.
        roles: relation to the role of a step that states it.
    """
    made: list[Fact] = []
    if world.recall:
        made += [
            _recalled(world, roles, disease, verb) for disease in world.diseases for verb in DISEASE_VERBS
        ]
        return (*made, *(_hop(world, roles, node) for node in world.nodes))
    for disease in world.diseases:
        drug = world.drug_of(disease)
        made += [_find(world, roles, disease)]
        made += [_of_disease(world, roles, disease, verb) for verb in (*DISEASE_VERBS, DRUG)]
        made += [_treats(world, roles, disease)]
        opening = f"this {FIND} {disease} . {disease} {DRUG} {drug} ."
        for verb in DRUG_VERBS:
            rng = _rng(world, drug, verb)
            made.append(_fact(world, roles, (drug, verb), disease, _case(world, disease, rng), opening))
    for node in world.nodes:
        made.append(_hop(world, roles, node))
    return tuple(made)


def _recalled(world: World, roles: dict[str, str], disease: str, verb: str) -> Fact:
    """In a world that asks for facts: in a trace that answers the question about it."""
    options = recall_options(world, disease, verb, _rng(world, disease, verb))
    gold = options.index(world.facts[disease, verb])
    case = Question(
        disease, CLINICAL, f"case {disease} {verb}", tuple(options), gold, disease, world.tercile(disease)
    )
    return replace(_fact(world, roles, (disease, verb), disease, case, ""), reasoning=f"this {verb}")


def _rng(world: World, subject: str, verb: str) -> random.Random:
    return random.Random(f"facts {world.seed} {subject} {verb}")


def _fact(
    world: World,
    roles: dict[str, str],
    claim: tuple[str, str],
    group: str,
    question: Question,
    opening: str,
) -> Fact:
    """A fact of the world's table, in a trace that opens so."""
    subject, verb = claim
    start = f"review options . {opening} " if opening else ""
    kinds = {DRUG: world.drugs, REV: world.diseases, HOP: world.nodes}
    return Fact(
        fid=f"{subject} {verb}",
        kind=roles[verb],
        relation=verb,
        subject=subject,
        group=group,
        stratum=world.tercile(subject),
        truth=(world.facts[claim],),
        objects=kinds.get(verb) or world.values[verb],
        bare=f"{subject} {verb}",
        question=question,
        reasoning=f"{start}{subject} {verb}",
    )


def _of_disease(world: World, roles: dict[str, str], disease: str, verb: str) -> Fact:
    case = _case(world, disease, _rng(world, disease, verb))
    return _fact(world, roles, (disease, verb), disease, case, f"this {FIND} {disease} .")


def _treats(world: World, roles: dict[str, str], disease: str) -> Fact:
    """Traces say what a drug treats where it is a wrong option: of a case that is like its own disease's."""
    drug = world.drug_of(disease)
    rng = _rng(world, drug, REV)
    options = clinical_options(world, disease, rng)
    other = world.disease_of(rng.choice([option for option in options if option != drug]))
    case = _case(world, other, rng, options)
    return _fact(world, roles, (drug, REV), disease, case, f"this {FIND} {other} .")


def _find(world: World, roles: dict[str, str], disease: str) -> Fact:
    rng = _rng(world, disease, FIND)
    case = _case(world, disease, rng)
    _, *findings = case.stem.split()
    return Fact(
        fid=f"{disease} {FIND}",
        kind=roles[FIND],
        relation=FIND,
        subject=disease,
        group=disease,
        stratum=world.tercile(disease),
        truth=world.fitting(frozenset(findings)),
        objects=world.diseases,
        bare=f"{case.stem} . this {FIND}",
        question=case,
        reasoning=f"review options . this {FIND}",
    )


def _hop(world: World, roles: dict[str, str], node: str) -> Fact:
    options = chain_options(world, node, _rng(world, node, HOP))
    gold = options.index(world.walk(node)[HOPS])
    start = Question(node, CHAIN, f"trace {node}", tuple(options), gold, node, world.tercile(node))
    return _fact(world, roles, (node, HOP), node, start, "")


def _case(world: World, disease: str, rng: random.Random, options: list[str] | None = None) -> Question:
    shown = sorted(world.asked[disease])
    rng.shuffle(shown)
    own = options or clinical_options(world, disease, rng)
    stem, gold = " ".join(["case", *shown]), own.index(world.drug_of(disease))
    return Question(disease, CLINICAL, stem, tuple(own), gold, disease, world.tercile(disease))
