"""The same claims with a hedge and without: what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.results import UNSTORED, Interval, Result
from mechcot.models.directions import Direction

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chance(Result):
    """Where a cosine falls when hedged and plain are exchanged at random: 95 %, and a two-sided p."""

    low: float
    high: float
    p: float
    draws: int


@dataclass(frozen=True)
class PairPlace(Result):
    """What a hedge changes at one place of one arm: the mean over kinds of hedged less plain.

    Attributes:
        arm: that reads.
        position: behind (the first token both texts share behind the hedge's place) or end (of the claim).
        layer: from 1; the token that is read is one and the same in both texts.
        held: share of pairs on the hedged side of the direction of the other half of the questions; chance is
            one half, as exchanging both texts turns it round.
        word_in: cosine with the embedding of the words put in.
        word_out: cosine with their unembedding.
        word_share: share of the direction's squared length in the plane of these two.
        foretells: AUROC of "this claim will be hedged" of the arm's own claims before the place of a hedge,
            pairs within kind, on questions that the direction was not fitted on.
        foretells_rest: the same without the words' share.
        errors: AUROC of wrong against right asserted claims there, without the words' share.
    """

    arm: str
    position: str
    layer: int
    held: Interval
    word_in: float
    word_out: float
    word_share: float
    foretells: Interval
    foretells_rest: Interval
    errors: Interval


@dataclass(frozen=True)
class PairCosine(Result):
    """Cosines of directions at one place, without the words' share.

    Attributes:
        of: `arms` (of both arms, over the same texts) or `claims` (of the arm before's, with its direction
            before claims that go on to be hedged).
        position: of the pairs.
        layer: where.
        cosine: of the two.
        chance: the pairs of one question exchanged at random, together.
    """

    of: str
    position: str
    layer: int
    cosine: float
    chance: Chance


@dataclass(frozen=True, eq=False)
class HedgePairs(Result):
    """The same claims with a hedge and without.

    Attributes:
        before: whose claims they are.
        after: the arm that reads them too.
        n_pairs: claims in both forms.
        n_was_hedged: written with a hedge by the arm itself.
        n_questions: they are of.
        kinds: of claims, to numbers of pairs.
        source: what wrote the other form.
        lost: why other steps make no pair, to their numbers.
        places: every position and layer of each arm.
        cosines: between arms, and with the direction before claims that go on to be hedged.
        no_states: arm to why it could not read the texts.
        directions: arm, position and layer to the direction, [d_model].
        rests: the same without the words' share.
    """

    before: str
    after: str
    n_pairs: int
    n_was_hedged: int
    n_questions: int
    kinds: dict[str, int]
    source: str
    lost: dict[str, int]
    places: tuple[PairPlace, ...]
    cosines: tuple[PairCosine, ...]
    no_states: dict[str, str]
    directions: Mapping[tuple[str, str, int], Floats] = field(metadata=UNSTORED)
    rests: Mapping[tuple[str, str, int], Floats] = field(metadata=UNSTORED)

    table = "places"

    def __repr__(self) -> str:
        return f"HedgePairs({self.before}: {self.n_pairs} claims with a hedge and without, {self.source})"

    def direction(self, *, layer: int, arm: str = "", position: str = "end", rest: bool = True) -> Direction:
        """One of them, as `mechcot.steer` takes it.

        Args:
            layer: where.
            arm: that reads; "": the arm before.
            position: behind or end.
            rest: without the words' share.

        Raises:
            AnalysisError: there is none there.
        """
        key = (arm or self.before, position, layer)
        if key not in self.directions:
            known = [sorted({own[i] for own in self.directions}, key=str) for i in range(3)]
            raise AnalysisError(
                f"there is no direction of {key[0]} at {position}, layer {layer}; there are arms {known[0]}, "
                f"positions {known[1]}, layers {known[2]}"
            )
        card: dict[str, Any] = {
            "arm": key[0], "site": "resid_post", "position": position, "pairs": self.n_pairs,
            "formula": "mean over kinds of hedged less plain, float64", "without_word": rest,
        }  # fmt: skip
        return Direction((self.rests if rest else self.directions)[key], layer, card=card)
