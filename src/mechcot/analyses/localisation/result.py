"""Where a hedge is lost between two checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mechcot.core.results import OPTIONAL, Interval, Result, because, cells

NO_GAP = "there is no gap to share out"


@dataclass(frozen=True)
class Null(Result):
    """What matched sets of other tokens do on the same patches.

    Attributes:
        low: 2.5 % point.
        high: 97.5 % point.
        p: (1 + sets at least as far out) / (1 + sets).
        sets: behind it.
    """

    low: float
    high: float
    p: float
    sets: int


@dataclass(frozen=True)
class Increment(Result):
    """What one stretch of layers adds to the recovery at the last token.

    Attributes:
        layer: its last layer; None: the final norm and the unembedding, which are the host's own.
        nats: log-odds of the hedge that putting in the donor's state behind it adds.
        share: of the whole gap.
        null: the same of matched sets, nats; None without any.
    """

    layer: int | None = field(metadata=because("the final norm and the unembedding"))
    nats: Interval
    share: float | None = field(metadata=because(NO_GAP))
    null: Null | None


@dataclass(frozen=True)
class Cell(Result):
    """One patch.

    Attributes:
        site: see `core.sites`.
        layer: where.
        back: tokens before the last one in front of the hedge's place.
        nats: log-odds of the hedge that it brings towards the donor's.
        null: the same of matched sets, nats.
        head: of the layer, from 0, where one attention head is patched.
    """

    site: str
    layer: int
    back: int
    nats: Interval
    null: Null | None
    head: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Way(Result):
    """Patches of one way.

    Attributes:
        donor: whose states.
        host: put into whom.
        gap: log-odds of the hedge under the donor less under the host, nats.
        gap_null: the same of matched sets.
        increments: along the layers; they add up to the gap.
        peak: the layer (None: norm and unembedding) with the largest increment.
        peak_p: share of matched sets (and the hedge itself) that gain as much from the host to the donor, in
            nats, at any one stretch, wherever it is.
        late: share of the gap that the last third of the depth adds, norm and unembedding with it.
        late_p: share of matched sets with a gap (and the hedge itself) that gain as large a share of theirs
            there.
        cells: every patch.
        heads_p: share of matched sets (and the hedge itself) that gain as much, in nats, with any one
            attention head; None where single heads were not patched, or there is no set.
    """

    donor: str
    host: str
    gap: Interval
    gap_null: Null | None
    increments: tuple[Increment, ...]
    peak: int | None = field(metadata=because("the final norm and the unembedding"))
    peak_p: float | None = field(metadata=because("there is no matched set"))
    late: float | None = field(metadata=because(NO_GAP))
    late_p: float | None = field(metadata=because(NO_GAP))
    cells: tuple[Cell, ...]
    heads_p: float | None = field(default=None, metadata=OPTIONAL)

    @property
    def head_shares(self) -> list[tuple[Cell, float | None]]:
        """Each single head and its share of the gap; None where there is no gap to share out."""
        whole = self.gap.estimate or 0.0
        heads = [one for one in self.cells if one.head is not None]
        return [(one, None if self.late is None else (one.nats.estimate or 0.0) / whole) for one in heads]


@dataclass(frozen=True)
class Reads(Result):
    """What the direction says by itself at a layer.

    Attributes:
        layer: where.
        cosine: with the unembedding of the hedge's first token.
        low: 2.5 % of random directions with the claims' covariance.
        high: 97.5 %.
        tokens: through the final norm and the head, highest first.
    """

    layer: int
    cosine: float
    low: float
    high: float
    tokens: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LocalisationResult(Result):
    """Where a hedge is lost.

    Attributes:
        before: the arm that hedges.
        after: the other one.
        n_slots: places of hedges.
        n_questions: they are of; equal texts count once.
        n_sets: matched sets; fewer than asked for where the vocabulary has no more that differ.
        match: mean distance of these sets to the hedge, in mean and in spread of the log-probability, nats.
        restored: the arm before's states put into the arm after (denoising).
        removed: the arm after's put into the arm before (noising).
        reads: what the hedge direction of the arm before says by itself.
        no_heads: why single attention heads were not patched, else "".
        source: what says where a hedge could stand: the task's own words, or rules.
        hedge: first tokens of the hedges, as text: what is read, also where a hedge is several tokens.
    """

    before: str
    after: str
    n_slots: int
    n_questions: int
    n_sets: int
    match: tuple[float, float]
    restored: Way
    removed: Way
    reads: tuple[Reads, ...]
    no_heads: str = ""
    source: str = ""
    hedge: tuple[str, ...] = ()

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a way and stretch of layers, and one a way and attention head (`head`, from 0)."""
        found = []
        for way in (self.restored, self.removed):
            arms = {"donor": way.donor, "host": way.host}
            found += [
                {**arms, "layer": one.layer, "head": None, **cells(one.nats), "share": one.share}
                for one in way.increments
            ]
            found += [
                {**arms, "layer": one.layer, "head": one.head, **cells(one.nats), "share": share}
                for one, share in way.head_shares
            ]
        return found

    def __repr__(self) -> str:
        peak = "norm and unembedding" if self.restored.peak is None else f"layer {self.restored.peak}"
        told = f"{self.before} into {self.after}: gap {self.restored.gap} nats, most at {peak}"
        return f"LocalisationResult({told})"
