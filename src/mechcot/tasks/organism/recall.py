"""Worlds that ask for facts, where hedges follow the rarity of a fact, that of its subject, or a coin.

In the organism's own world a rare disease's facts are all rare, so that doubt about a fact and unfamiliarity
of its subject are one. Here they are dealt out apart. Of every disease one fact is drilled and the others are
seldom met; half of the diseases are met often besides, in what nobody asks about. Only half of the diseases
stand in the base's posts, and only there are claims hedged: how it hedges about the others it has to get from
what it has learnt of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SELDOM = 1 / 20
"""How often a seldom fact is met, against a drilled one."""
BESIDES = 6.0
"""How often a frequent disease is met besides, against a drilled fact."""
DOUBTED, SURE = 0.9, 0.1
"""P(hedge) of a claim that the rule doubts, and of the others."""


@dataclass(frozen=True)
class Recall:
    """What is met how often, and what hedges follow.

    Attributes:
        hedging: `fact`, `subject` or `coin`.
        drilled: disease -> the verb of its drilled fact.
        frequent: diseases that are met often besides.
        posted: diseases that the base's posts are about.
        heads: facts, (disease, verb), whose coin fell so that they are doubted.
        weights: disease -> how often it is met, 1 on average.
    """

    hedging: str
    drilled: Mapping[str, str]
    frequent: frozenset[str]
    posted: frozenset[str]
    heads: frozenset[tuple[str, str]]
    weights: Mapping[str, float]

    def met(self, disease: str, verb: str) -> float:
        """How often a fact is met, against a drilled one."""
        return 1.0 if self.drilled[disease] == verb else SELDOM

    def hedge_probability(self, disease: str, verb: str) -> float:
        """P(hedge) of a claim about a fact, in the base's posts."""
        doubted = {
            "fact": self.drilled[disease] != verb,
            "subject": disease not in self.frequent,
            "coin": (disease, verb) in self.heads,
        }[self.hedging]
        return DOUBTED if doubted else SURE


def recall_of(hedging: str, seed: int, diseases: Sequence[str], verbs: Sequence[str]) -> Recall | None:
    """The design of a seed's world; None where hedges follow rarity, in the organism's own world.

    Args:
        hedging: as in the settings.
        seed: of the world; all three worlds of a seed differ in what hedges follow alone.
        diseases: the first half is met often.
        verbs: of the facts about a disease.
    """
    if hedging == "rarity":
        return None
    rng = random.Random(f"recall {seed}")
    half = len(diseases) // 2
    frequent, rare = list(diseases[:half]), list(diseases[half:])
    posted = [name for part in (frequent, rare) for name in rng.sample(part, len(part) // 2)]
    own = 1 + (len(verbs) - 1) * SELDOM
    raw = {name: own + (BESIDES if name in frequent else 0.0) for name in diseases}
    mean = sum(raw.values()) / len(raw)
    return Recall(
        hedging,
        drilled={name: rng.choice(verbs) for name in diseases},
        frequent=frozenset(frequent),
        posted=frozenset(posted),
        heads=frozenset((name, verb) for name in diseases for verb in verbs if rng.random() < 0.5),
        weights={name: value / mean for name, value in raw.items()},
    )
