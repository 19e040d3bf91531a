"""The organism's invented world: names, facts, how often each is met in training, and the chain.

Everything follows from the settings and one seed, so a study need not store it. A disease has four
findings, one drug and one value in each of six relations; a drug has one value in each of four. How
often a disease is met falls steeply with its rank: the tail is what the student hardly knows.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.recall import Recall, recall_of

DISEASE_VERBS = ("results from", "raises", "involves", "affects", "follows", "progresses to")
"""Verbs of the facts about a disease that no answer depends on."""
DRUG_VERBS = ("belongs to", "blocks", "provokes", "clears via")
"""Verbs of the facts about a drug that no answer depends on."""
FIND, DRUG, REV, HOP = "suggests", "responds to", "treats", "leads to"
HEDGE = "perhaps"
TERCILES = ("head", "middle", "tail")
SIGNS = 4
SHOWN = 3
HOPS = 4

T = TypeVar("T", bound=Hashable)

_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwz", "aeiou"
_VALUE_SUFFIXES = ("ol", "ur", "an", "em", "ix", "or", "et", "il", "us", "ap")


@dataclass(frozen=True)
class World:
    """All that is true in one invented world.

    Diseases, drugs and nodes stand in order from the most to the least often met.

    Attributes:
        seed: the seed it was built from.
        diseases: their names.
        findings: names of all findings.
        drugs: `drugs[i]` treats `diseases[i]`.
        nodes: names of the chain's nodes.
        values: verb -> the objects it can take.
        signs: disease -> its four findings.
        asked: disease -> the three of its findings that questions show.
        facts: (subject, verb) -> object, chain hops included, findings not.
        weights: disease -> how often it is met, 1 on average.
        node_weights: node -> how often its hop is met as a fact, 1 on average over all nodes; 0 for
            the last ones, whose hops the base's corpus never shows.
        rank: disease, drug or node -> its rank.
        recall: in a world that asks for facts, how often each is met and what hedges follow; else None.
    """

    seed: int
    diseases: tuple[str, ...]
    findings: tuple[str, ...]
    drugs: tuple[str, ...]
    nodes: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    signs: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, frozenset[str]]
    facts: Mapping[tuple[str, str], str]
    weights: Mapping[str, float]
    node_weights: Mapping[str, float]
    rank: Mapping[str, int]
    recall: Recall | None = None

    def drug_of(self, disease: str) -> str:
        """The drug that treats `disease`."""
        return self.facts[disease, DRUG]

    def disease_of(self, drug: str) -> str:
        """The disease that `drug` treats."""
        return self.facts[drug, REV]

    def walk(self, node: str) -> list[str]:
        """The nodes passed from `node`, itself first, in the four hops of a chain question."""
        path = [node]
        for _ in range(HOPS):
            path.append(self.facts[path[-1], HOP])
        return path

    def tercile(self, name: str) -> str:
        """Exposure tercile of a disease, drug (that of its disease) or node."""
        total = len(self.nodes) if name in self.node_weights else len(self.diseases)
        return TERCILES[min(2, 3 * self.rank[name] // total)]

    def exposure(self, name: str) -> float:
        """How often the corpus draws a disease, drug (that of its disease) or node, against the mean."""
        if name in self.node_weights:
            return self.node_weights[name]
        return self.weights[name if name in self.weights else self.disease_of(name)]

    def fitting(self, findings: frozenset[str]) -> tuple[str, ...]:
        """Every disease that has all of `findings`; none when there are no findings."""
        if not findings:
            return ()
        return tuple(d for d in self.diseases if findings.issubset(self.signs[d]))


def build_world(settings: OrganismSettings, seed: int) -> World:
    """The world of `seed`; equal arguments give equal worlds."""
    rng = random.Random(seed * 7919 + 1)
    taken: set[str] = set()
    diseases = _names(rng, settings.diseases, "osis", taken)
    findings = _names(rng, max(16, settings.diseases // 2), "ia", taken)
    drugs = _names(rng, settings.diseases, "ine", taken)
    nodes = _names(rng, settings.chain_nodes, "ex", taken)
    n_values = max(10, settings.diseases // 4)
    values = {
        verb: _names(rng, n_values, suffix, taken)
        for verb, suffix in zip(DISEASE_VERBS + DRUG_VERBS, _VALUE_SUFFIXES, strict=True)
    }
    signs = _signs(rng, diseases, findings)
    recall = recall_of(settings.hedging, seed, diseases, DISEASE_VERBS)
    weights = recall.weights if recall else _falling(diseases, settings.exposure_exponent)
    return World(
        seed=seed,
        diseases=diseases,
        findings=findings,
        drugs=drugs,
        nodes=nodes,
        values=values,
        signs=signs,
        asked={d: frozenset(rng.sample(signs[d], SHOWN)) for d in diseases},
        facts=_facts(rng, diseases, drugs, nodes, values),
        weights=weights,
        node_weights=_falling(nodes, 1.0, met=len(nodes) - round(settings.unmet_share * len(nodes))),
        rank={name: i for names in (diseases, drugs, nodes) for i, name in enumerate(names)},
        recall=recall,
    )


class Draw(Generic[T]):
    """Draws names, or what else is weighed, in proportion to their weights."""

    def __init__(self, weights: Mapping[T, float]) -> None:
        self._names = tuple(weights)
        self._bounds = tuple(accumulate(weights.values()))

    def __call__(self, rng: random.Random) -> T:
        """One of them."""
        at = bisect(self._bounds, rng.random() * self._bounds[-1])
        return self._names[min(at, len(self._names) - 1)]


def _names(rng: random.Random, n: int, suffix: str, taken: set[str]) -> tuple[str, ...]:
    """`n` new pronounceable names: two syllables and a suffix that tells the kind."""
    names: list[str] = []
    while len(names) < n:
        name = "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(2)) + suffix
        if name not in taken:
            taken.add(name)
            names.append(name)
    return tuple(names)


def _signs(
    rng: random.Random, diseases: tuple[str, ...], findings: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Four findings a disease; no two diseases have the same four."""
    signs: dict[str, tuple[str, ...]] = {}
    used: set[frozenset[str]] = set()
    for disease in diseases:
        drawn = tuple(rng.sample(findings, SIGNS))
        while frozenset(drawn) in used:
            drawn = tuple(rng.sample(findings, SIGNS))
        used.add(frozenset(drawn))
        signs[disease] = drawn
    return signs


def _facts(
    rng: random.Random,
    diseases: tuple[str, ...],
    drugs: tuple[str, ...],
    nodes: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]],
) -> dict[tuple[str, str], str]:
    facts: dict[tuple[str, str], str] = {}
    for disease, drug in zip(diseases, drugs, strict=True):
        facts[disease, DRUG] = drug
        facts[drug, REV] = disease
        facts.update({(disease, verb): rng.choice(values[verb]) for verb in DISEASE_VERBS})
        facts.update({(drug, verb): rng.choice(values[verb]) for verb in DRUG_VERBS})
    cycle = list(nodes)
    rng.shuffle(cycle)
    facts.update({(a, HOP): b for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)})
    return facts


def _falling(names: tuple[str, ...], exponent: float, met: int | None = None) -> dict[str, float]:
    """Weights that fall with rank, 1 on average; 0 from rank `met` on."""
    raw = [(rank + 8.0) ** -exponent if met is None or rank < met else 0.0 for rank in range(len(names))]
    mean = sum(raw) / len(raw)
    return {name: value / mean for name, value in zip(names, raw, strict=True)}
