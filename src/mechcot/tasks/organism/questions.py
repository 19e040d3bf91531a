"""The organism's questions: a case with four drugs to choose from, and a chain of four hops.

Of a disease's four sets of three findings questions show one and the same. The base's corpus shows
all four; so does the teacher, unless the settings keep that one from it. In a world that asks for facts
(`recall`) the case names a disease and a relation, and its options are objects of that relation.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mechcot.core.records import QUESTIONS
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.world import DISEASE_VERBS, HOPS, SHOWN, World

CLINICAL, CHAIN = "clinical", "chain"


def questions(world: World, settings: OrganismSettings, seed: int) -> pd.DataFrame:
    """The questions of a study, columns as in `records.QUESTIONS`.

    Diseases and start nodes are drawn uniformly, so most questions are about what the base has
    rarely met.
    """
    rng = random.Random(f"questions {seed}")
    rows: list[dict[str, Any]] = []
    for i in range(settings.clinical_questions):
        if world.recall:
            disease, verb, options = recall_case(world, rng, world.diseases)
            gold, stem = options.index(world.facts[disease, verb]), ["case", disease, verb]
            rows.append(_row(world, f"{CLINICAL}-{i:04d}", CLINICAL, stem, options, gold, disease))
            continue
        disease = rng.choice(world.diseases)
        shown = sorted(world.asked[disease])
        rng.shuffle(shown)
        options = clinical_options(world, disease, rng)
        gold = options.index(world.drug_of(disease))
        rows.append(_row(world, f"{CLINICAL}-{i:04d}", CLINICAL, ["case", *shown], options, gold, disease))
    for i in range(settings.chain_questions):
        start = rng.choice(world.nodes)
        options = chain_options(world, start, rng)
        gold = options.index(world.walk(start)[HOPS])
        rows.append(_row(world, f"{CHAIN}-{i:04d}", CHAIN, ["trace", start], options, gold, start))
    return pd.DataFrame(rows, columns=QUESTIONS.names)


def recall_case(world: World, rng: random.Random, among: Sequence[str]) -> tuple[str, str, list[str]]:
    """A disease of some, a verb whose fact is drilled in half of the cases, and the options."""
    assert world.recall is not None
    disease = rng.choice(among)
    drilled = world.recall.drilled[disease]
    verb = drilled if rng.random() < 0.5 else rng.choice([one for one in DISEASE_VERBS if one != drilled])
    return disease, verb, recall_options(world, disease, verb, rng)


def recall_options(world: World, disease: str, verb: str, rng: random.Random) -> list[str]:
    """The object of a fact and three others of its relation, shuffled."""
    gold = world.facts[disease, verb]
    options = [gold, *rng.sample([value for value in world.values[verb] if value != gold], 3)]
    rng.shuffle(options)
    return options


def vignette(world: World, disease: str, rng: random.Random, *, unasked: bool = False) -> list[str]:
    """Three findings of `disease` in random order; with `unasked` not the three that questions show."""
    while True:
        shown = rng.sample(world.signs[disease], SHOWN)
        if not unasked or frozenset(shown) != world.asked[disease]:
            return shown


def clinical_options(world: World, disease: str, rng: random.Random) -> list[str]:
    """The drug of `disease` and those of three diseases like it, shuffled.

    The three come from the ten diseases that share most findings with it.
    """
    signs = set(world.signs[disease])
    others = [d for d in world.diseases if d != disease]
    rng.shuffle(others)  # ties in the number of shared findings are broken at random
    others.sort(key=lambda d: -len(signs & set(world.signs[d])))
    options = [world.drug_of(d) for d in (disease, *rng.sample(others[:10], 3))]
    rng.shuffle(options)
    return options


def chain_options(world: World, start: str, rng: random.Random) -> list[str]:
    """The node that four hops lead to and three that are not on the way, shuffled."""
    path = world.walk(start)
    options = [path[-1], *rng.sample([n for n in world.nodes if n not in path], 3)]
    rng.shuffle(options)
    return options


def _row(
    world: World, qid: str, domain: str, stem: list[str], options: list[str], gold: int, group: str
) -> dict[str, Any]:
    return {
        "qid": qid,
        "domain": domain,
        "stem": " ".join(stem),
        "options": options,
        "gold": gold,
        "group": group,
        "stratum": world.tercile(group),
    }
