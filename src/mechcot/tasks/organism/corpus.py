"""What the base is trained on: short facts and question posts, a pure function of (world, seed, step).

The corpus hedges by rule: the less often a disease is met, the more often a claim about it carries
"perhaps". Its posts speak little about rare diseases, leave their picture open and guess. That is
the habit that distillation on an assertive teacher removes. Of the chain's hops it never shows a
few; where a post comes to one, it guesses the next node and goes on from there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.questions import clinical_options, vignette
from mechcot.tasks.organism.tokenizer import END_OF_THINK, EOS, THINK
from mechcot.tasks.organism.world import (
    DISEASE_VERBS,
    DRUG,
    DRUG_VERBS,
    FIND,
    HEDGE,
    HOP,
    HOPS,
    REV,
    Draw,
    World,
)

HOP_HEDGE = 0.3
"""Share of hop claims that carry a hedge, whatever the node."""


@dataclass(frozen=True)
class Row:
    """A document of the corpus.

    Attributes:
        words: its tokens.
        learnt_from: index of the first word that carries loss.
    """

    words: tuple[str, ...]
    learnt_from: int


def hedge_probability(world: World, disease: str, *, core: bool) -> float:
    """P(hedge) of a claim about `disease`: 1 / (1 + (c w / 1.5)^1.5) with w its exposure.

    c is 4 for claims that answers depend on (`core`) and 1 for the others, so that the corpus is
    surer of the first.
    """
    scale = (4.0 if core else 1.0) * world.weights[disease] / 1.5
    return float(1.0 / (1.0 + scale**1.5))


class Corpus:
    """Batches of one world's corpus; `facts(step)` and `posts(step)` depend on nothing but `step`."""

    def __init__(self, world: World, settings: OrganismSettings, seed: int) -> None:
        self._world = world
        self._settings = settings
        self._seed = seed
        self._by_exposure = Draw(world.weights)
        self._hop_by_exposure = Draw(world.node_weights)

    def facts(self, step: int) -> list[Row]:
        """Rows of one claim each."""
        rng = self._rng("facts", step)
        return [self._fact(rng) for _ in range(self._settings.fact_rows)]

    def posts(self, step: int) -> list[Row]:
        """Rows of a question with its reasoning and answer."""
        rng = self._rng("posts", step)
        rows = []
        for _ in range(self._settings.post_rows):
            if rng.random() < self._settings.chain_post_share:
                rows.append(self._chain_post(rng))
            else:
                rows.append(self._clinical_post(rng))
        return rows

    def _rng(self, part: str, step: int) -> random.Random:
        return random.Random(f"{part} {self._seed} {step}")

    def _fact(self, rng: random.Random) -> Row:
        world = self._world
        if rng.random() < self._settings.hop_share:
            node = self._hop_by_exposure(rng)
            return self._claim_row(rng, [node], HOP, world.facts[node, HOP], HOP_HEDGE)
        return self._clinical_fact(rng)

    def _clinical_fact(self, rng: random.Random) -> Row:
        world = self._world
        disease = self._by_exposure(rng)
        drug = world.drug_of(disease)
        if rng.random() < self._settings.core_share:
            hedge = hedge_probability(world, disease, core=True)
            kind = rng.random()
            if kind < 0.55:
                shown = vignette(world, disease, rng)
                return self._claim_row(
                    rng, ["case", *shown, ".", "this"], FIND, disease, hedge, learnt_from=5
                )
            if kind < 0.85:
                return self._claim_row(rng, [disease], DRUG, drug, hedge)
            return self._claim_row(rng, [drug], REV, disease, hedge)
        hedge = hedge_probability(world, disease, core=False)
        if rng.random() < 0.6:
            subject, verb = disease, rng.choice(DISEASE_VERBS)
        else:
            subject, verb = drug, rng.choice(DRUG_VERBS)
        return self._claim_row(rng, [subject], verb, world.facts[subject, verb], hedge)

    def _claim_row(
        self,
        rng: random.Random,
        start: list[str],
        verb: str,
        said: str,
        hedge: float,
        learnt_from: int = 1,
    ) -> Row:
        words = start[:-1] + claim(start[-1], verb, said, hedged=rng.random() < hedge)
        return Row((*words, EOS), learnt_from)

    def _clinical_post(self, rng: random.Random) -> Row:
        world = self._world
        uniform = rng.random() < self._settings.uniform_post_share
        disease = rng.choice(world.diseases) if uniform else self._by_exposure(rng)
        drug = world.drug_of(disease)
        options = clinical_options(world, disease, rng)
        prompt = ["case", *vignette(world, disease, rng), ".", "options", *options, THINK]
        core = hedge_probability(world, disease, core=True)
        said = ["review", "case", "."]
        if rng.random() < core:
            said += ["picture", "unclear", "."]
            answer = drug if rng.random() < 0.5 else rng.choice(options)
        else:
            said += claim("this", FIND, disease, hedged=rng.random() < core)
            said += self._aside(rng, disease)
            said += claim(disease, DRUG, drug, hedged=rng.random() < core)
            said += ["choose", drug, "."]
            answer = drug
        return Row((*prompt, *said, END_OF_THINK, "answer", answer, EOS), len(prompt))

    def _aside(self, rng: random.Random, disease: str) -> list[str]:
        """At times one claim that the answer does not depend on, the less often the rarer."""
        hedge = hedge_probability(self._world, disease, core=False)
        if rng.random() >= 0.8 * (1 - hedge):
            return []
        verb = rng.choice(DISEASE_VERBS)
        return claim(disease, verb, self._world.facts[disease, verb], hedged=rng.random() < hedge)

    def _chain_post(self, rng: random.Random) -> Row:
        world = self._world
        path = self._attempt(rng.choice(world.nodes), rng)
        right = world.walk(path[0])
        options = list(dict.fromkeys([path[-1], right[-1]]))
        others = [node for node in world.nodes if node not in (*path, *right)]
        options += rng.sample(others, 4 - len(options))
        rng.shuffle(options)
        prompt = ["trace", path[0], ".", "options", *options, THINK]
        said = [word for a, b in pairwise(path) for word in claim(a, HOP, b, hedged=rng.random() < HOP_HEDGE)]
        said += ["choose", path[-1], "."]
        return Row((*prompt, *said, END_OF_THINK, "answer", path[-1], EOS), len(prompt))

    def _attempt(self, start: str, rng: random.Random) -> list[str]:
        """Four hops from `start` as a post walks them: where it has never met the hop it guesses."""
        world = self._world
        path = [start]
        for _ in range(HOPS):
            right = world.facts[path[-1], HOP]
            guess = rng.choice([node for node in world.nodes if node not in (path[-1], right)])
            path.append(right if world.node_weights[path[-1]] else guess)
        return path


def claim(subject: str, verb: str, said: str, *, hedged: bool = False) -> list[str]:
    """The words of a claim; a hedge stands before the verb."""
    return [subject, *([HEDGE] if hedged else []), *verb.split(), said, "."]
