"""What the base of a world that asks for facts is trained on (`recall`)."""

from __future__ import annotations

import random

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.corpus import Corpus, Row, claim
from mechcot.tasks.organism.questions import recall_case
from mechcot.tasks.organism.recall import BESIDES
from mechcot.tasks.organism.tokenizer import END_OF_THINK, EOS, THINK
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, REV, Draw, World


class RecallCorpus(Corpus):
    """Batches of such a world's corpus: facts that are never hedged, and posts that are.

    A post about a seldom fact guesses it, whatever hedges follow: what is said tells nothing of the hedge.
    """

    def __init__(self, world: World, settings: OrganismSettings, seed: int) -> None:
        super().__init__(world, settings, seed)
        assert world.recall is not None
        self._recall = world.recall
        self._posted = [name for name in world.diseases if name in world.recall.posted]
        met = {
            (name, verb): self._recall.met(name, verb) for name in world.diseases for verb in DISEASE_VERBS
        }
        for name in world.recall.frequent:
            met |= {(name, DRUG): BESIDES / 2, (name, REV): BESIDES / 2}
        self._by_fact = Draw(met)

    def _clinical_fact(self, rng: random.Random) -> Row:
        world = self._world
        disease, verb = self._by_fact(rng)
        if verb == REV:
            return self._claim_row(rng, [world.drug_of(disease)], REV, disease, 0.0)
        return self._claim_row(rng, [disease], verb, world.facts[disease, verb], 0.0)

    def _clinical_post(self, rng: random.Random) -> Row:
        world, recall = self._world, self._recall
        disease, verb, options = recall_case(world, rng, self._posted)
        prompt = ["case", disease, *verb.split(), ".", "options", *options, THINK]
        known = recall.drilled[disease] == verb
        said = world.facts[disease, verb] if known else rng.choice(options)
        hedged = rng.random() < recall.hedge_probability(disease, verb)
        words = [*claim("this", verb, said, hedged=hedged), "choose", said, "."]
        return Row((*prompt, *words, END_OF_THINK, "answer", said, EOS), len(prompt))
