"""Hedge directions of both arms beside each other: what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mechcot.analyses.hedge.result import HedgeProjection, NullBand
from mechcot.core.results import Pair, Result, because


@dataclass(frozen=True)
class OwnDirection(Result):
    """What an arm's own direction is fitted on, and why it has none, else ""."""

    arm: str
    n_hedged: int
    n_asserted: int
    reason: str


@dataclass(frozen=True)
class LayerCosine(Result):
    """The two arms' own directions at one layer.

    Attributes:
        layer: 0 is the embedding.
        cosine: of the two.
        shuffled: the arm before's direction with the arm after's refitted on shuffled labels.
        random: the same with random directions that have the covariance of the arm after's claims.
        before_halves: cosine of the arm before's directions of its two halves of the questions: two arms are
            hardly more alike than an arm is to itself.
        after_halves: the same of the arm after.
        reason: why there is no cosine, else "".
    """

    layer: int
    cosine: float | None
    shuffled: NullBand | None
    random: NullBand | None
    before_halves: float | None = field(metadata=because("no direction on either half"))
    after_halves: float | None = field(metadata=because("no direction on either half"))
    reason: str


@dataclass(frozen=True)
class ArmReads(Result):
    """What an arm's own direction says by itself at a layer.

    Attributes:
        arm: whose.
        layer: where.
        cosine: with the arm's unembedding of the hedge's first token.
        low: 2.5 % of random directions with the claims' covariance.
        high: 97.5 %.
        tokens: the direction through the final norm and the head (logit lens), highest first.
    """

    arm: str
    layer: int
    cosine: float
    low: float
    high: float
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class ReadAndSteer(Result):
    """The arm before's direction that foretells hedges best, and the one that an arm was steered with.

    Attributes:
        arm: that was steered.
        read_layer: layer of the one that reads best on held-out questions, picked after looking.
        read_form: its form (`stats.direction_forms.FORMS`).
        read_auroc: how well.
        steer_layer: where the other one was added, chosen by effect and divergence.
        cosine: of the two.
        random: of random directions with the claims' covariance at `read_layer` and the one steered with.
    """

    arm: str
    read_layer: int
    read_form: str
    read_auroc: float | None = field(metadata=because("no AUROC"))
    steer_layer: int
    cosine: float
    random: NullBand


@dataclass(frozen=True)
class HedgeAcross(Result):
    """Hedge directions of both arms beside each other.

    Attributes:
        before: the arm that hedges.
        after: the other one.
        own: what each arm's own direction is fitted on.
        layers: the two directions at every layer.
        errors: wrong against right among the asserted claims of each arm, along the arm before's direction.
            That was fitted on hedged against asserted claims of the arm before, these among them; no verdict
            entered.
        reads: what each arm's direction says by itself.
        no_reads: why that is not known, else "".
        steered: the best reading direction beside those steered with.
        no_steered: why there is none, else "".
    """

    before: str
    after: str
    own: Pair[OwnDirection]
    layers: tuple[LayerCosine, ...]
    errors: Pair[HedgeProjection]
    reads: tuple[ArmReads, ...]
    no_reads: str
    steered: tuple[ReadAndSteer, ...]
    no_steered: str

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a layer: the cosine, its nulls and ceilings, errors told, what each direction stands for."""
        reads = {(one.arm, one.layer): one for one in self.reads}
        errors = [{score.layer: score.auroc for score in part.by_layer} for part in self.errors]
        found = []
        for one in self.layers:
            row: dict[str, Any] = {"layer": one.layer, "cosine": one.cosine}
            for name, null in (("shuffled", one.shuffled), ("random", one.random)):
                row |= {f"{name}_low": null and null.low, f"{name}_high": null and null.high}
            row |= {"before_halves": one.before_halves, "after_halves": one.after_halves}
            for role, arm, told in zip(("before", "after"), (self.before, self.after), errors, strict=True):
                row[f"{role}_errors"] = told.get(one.layer)
                own = reads.get((arm, one.layer))
                row |= {f"{role}_word": own and own.cosine, f"{role}_says": own and " ".join(own.tokens)}
            found.append(row)
        return found

    def __repr__(self) -> str:
        known = [one for one in self.layers if one.cosine is not None]
        if not known:
            return f"HedgeAcross({self.before}, {self.after}: {self.layers[0].reason})"
        best = max(known, key=lambda one: abs(one.cosine or 0.0))
        return (
            f"HedgeAcross({self.before}, {self.after}: cosine up to {best.cosine:.2f} at layer {best.layer})"
        )
