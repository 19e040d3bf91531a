"""What a reading is: who reads, what is kept of it, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.core.errors import ReadingError
from mechcot.core.sites import SITES
from mechcot.models.anatomy import Anatomy
from mechcot.study.activations import SITE

RULES = ("end", "before")
DEFAULT_MAX_TOKENS = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True)
class Reader:
    """Who reads.

    Attributes:
        model: a Hugging Face causal language model.
        name: what the tables call it.
        digest: of its weights.
    """

    model: Any
    name: str
    digest: str


@dataclass(frozen=True)
class ReadingFolder:
    """Where a reading goes.

    Attributes:
        out: its results.
        work: work in flight, in a folder `read` that goes at the end.
    """

    out: Path
    work: Path

    @property
    def store(self) -> Path:
        """The activations."""
        return self.out / "activations"

    def table(self, name: str) -> Path:
        """One of its tables."""
        return self.out / f"{name}.parquet"

    @property
    def unfinished(self) -> Path:
        """What is not yet results."""
        return self.work / "read"

    @property
    def journal(self) -> Path:
        """What is finished of it."""
        return self.unfinished / "journal.jsonl"

    def numbers(self, group: int) -> Path:
        """The numbers of a group, until they become tables."""
        return self.unfinished / f"numbers-{group:05d}.safetensors"


@dataclass(frozen=True)
class ReadingSpec:
    """What is asked of a reading.

    Attributes:
        layers: layers whose activations are kept; None is all that a site has, empty is none.
        sites: sites at which they are kept; see `core.sites`.
        rules: position rules: `inputs.STEP_RULES`, `token`, or names of `TraceInput.positions`.
        signals: whether to score every token of the traces (entropy, surprisal, targets).
        lens: whether to read the forced answers at every layer too.
        max_tokens: budget of a forward pass; None: `DEFAULT_MAX_TOKENS`, or what fits the memory that is free
            when a reading into a folder begins.
        skip_unreadable: in a reading into a folder, leave out traces that are empty or too long, or whose
            numbers are not finite, and name them, rather than raise.
    """

    layers: Sequence[int] | None = None
    sites: Sequence[str] = (SITE,)
    rules: Sequence[str] = RULES
    signals: bool = True
    lens: bool = False
    max_tokens: int | None = None
    skip_unreadable: bool = False


@dataclass(frozen=True)
class Recipe:
    """What is kept of a model.

    Attributes:
        places: (site, layer) of the activations.
        rules: position rules of the activations.
        signals: see `ReadingSpec`.
        lens: see `ReadingSpec`.
        alone: whether to run every text by itself, for a model that cannot read a tree.
    """

    places: tuple[tuple[str, int], ...] = ()
    rules: tuple[str, ...] = ()
    signals: bool = True
    lens: bool = False
    alone: bool = False

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, in the order in which they were asked for."""
        return tuple(dict.fromkeys(site for site, _ in self.places))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, ascending."""
        return tuple(sorted({layer for _, layer in self.places}))


def recipe_for(anatomy: Anatomy, spec: ReadingSpec | None = None) -> Recipe:
    """What is asked for, checked on the model.

    Raises:
        ReadingError: a site or layer that the model has not, or no site at any of the layers; the lens for
            a model without a known final norm.
    """
    spec = spec or ReadingSpec()
    strange = [layer for layer in spec.layers or () if layer not in anatomy.layers]
    if strange:
        raise ReadingError(
            f"the model has layers 0 (embedding) to {len(anatomy.blocks)}, asked for {strange}"
        )
    unknown = [site for site in spec.sites if site not in SITES]
    if unknown:
        raise ReadingError(f"there is no site {unknown[0]!r}; there are {', '.join(SITES)}")
    wanted = anatomy.layers if spec.layers is None else sorted(set(spec.layers))
    sites = dict.fromkeys(spec.sites)
    places = tuple((site, layer) for site in sites for layer in wanted if anatomy.has(site, layer))
    if sites and wanted and not places:
        raise ReadingError(
            f"there is nothing to keep of {', '.join(sites)} at layers {wanted}: layer 0 has resid_post alone"
        )
    if spec.lens and anatomy.norm is None:
        raise ReadingError("the lens needs the final norm, and the decoder has none of a known name")
    return Recipe(places, tuple(dict.fromkeys(spec.rules)) if places else (), spec.signals, spec.lens)


def default_max_tokens(anatomy: Anatomy) -> int:
    """The token budget of a forward pass when none is given."""
    return DEFAULT_MAX_TOKENS.get(anatomy.device.type, 4096)
