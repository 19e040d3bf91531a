"""The units that two checkpoints of one build differ in, models made of both, and random changes of one size.

A unit is the embedding, the unembedding (one with the embedding where they are tied), the attention or the
MLP of one layer or of a band of layers, or all norms (every vector outside attention and MLP). A *hybrid*
takes
each unit from one parent, from a point of the line between both, or from a parent that was changed at
random by as
much as training changed it. Hybrids stand in one model's memory while their block lasts; nothing is written.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mechcot.core.errors import ModelError, ReadingError
from mechcot.core.remade import altered
from mechcot.models.anatomy import Anatomy, anatomy_of, part_of

EMBEDDING, UNEMBEDDING, NORMS = "embedding", "unembedding", "norms"
_BLOCK_PARTS = {"attention": "attn_out", "MLP": "mlp_out"}
"""Kind of unit to the site by whose name the module is found."""
_TURNS = 2
"""Rounds of signs, permutation and cosine transform that scramble a change."""
_FREE = (
    "_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache",
    "architectures", "initializer_range", "pad_token_id", "eos_token_id", "bos_token_id",
)  # fmt: skip
"""Keys of a config that do not change what a model with the same weights computes of the same tokens."""

WITHOUT = "All else of the study does without it: mechcot run STUDY --set weights=null"
"""The way out where weights cannot be swapped."""

Source = tuple[str, float, int]
"""Where a unit's tensors come from: (`before` or `after`, share of the way to the other parent, draw).

A draw from 1 on turns the way at random; 0 is the way itself."""
BEFORE: Source = ("before", 0.0, 0)
AFTER: Source = ("after", 0.0, 0)
Recipe = Mapping[str, Source]
"""Unit to source; units that are not named come from the parent before."""


@dataclass(frozen=True)
class Unit:
    """Tensors that are swapped together.

    Attributes:
        name: `embedding`, `attention 3`, `MLP 1-4`, ...
        kind: `embedding`, `unembedding`, `attention`, `MLP` or `norms`.
        layers: which, from 1; empty for what belongs to none.
        tensors: names of the model's parameters.
    """

    name: str
    kind: str
    layers: tuple[int, ...]
    tensors: tuple[str, ...]


def units_of(model: Any, bands: int | None = None) -> tuple[Unit, ...]:
    """Sort all parameters of a model into units, in the order in which a text passes them.

    Args:
        model: a Hugging Face causal language model.
        bands: into how many bands of layers attention and MLPs are joined at most; None: each by itself.

    Raises:
        ModelError: parameters that belong to no known part, all named by their first.
        ReadingError: see `anatomy_of`.
    """
    anatomy = anatomy_of(model)
    home = _homes(model, anatomy)
    found: dict[tuple[str, int], list[str]] = {}
    unknown: list[str] = []
    for name, value in model.named_parameters():
        place = home.get(id(value)) or ((NORMS, 0) if value.dim() == 1 else None)
        if place is None:
            unknown.append(name)
        else:
            found.setdefault(place, []).append(name)
    if unknown:
        raise ModelError(
            f"{type(model).__name__}: {len(unknown)} of its parameters belong to no part that is known "
            f"here (embedding, attention, MLP, norms, unembedding), such as {unknown[0]}, so no unit can "
            f"be swapped whole. {WITHOUT}"
        )
    n = len(anatomy.blocks)
    units = [Unit(kind, kind, (), tuple(found[kind, 0])) for kind in (EMBEDDING,) if (kind, 0) in found]
    for band in np.array_split(np.arange(1, n + 1), min(n, bands or n)):
        layers = tuple(int(layer) for layer in band)
        told = str(layers[0]) if len(layers) == 1 else f"{layers[0]}-{layers[-1]}"
        for kind in _BLOCK_PARTS:
            tensors = tuple(name for layer in layers for name in found.get((kind, layer), ()))
            if tensors:
                units.append(Unit(f"{kind} {told}", kind, layers, tensors))
    last = (NORMS, UNEMBEDDING)
    return (*units, *(Unit(kind, kind, (), tuple(found[kind, 0])) for kind in last if (kind, 0) in found))


def _homes(model: Any, anatomy: Anatomy) -> dict[int, tuple[str, int]]:
    """Kind and layer of the parameters whose part says it, by identity; a tied one belongs to the first."""
    home: dict[int, tuple[str, int]] = {}

    def put(module: nn.Module, place: tuple[str, int]) -> None:
        for value in module.parameters():
            home.setdefault(id(value), place)

    put(model.get_input_embeddings(), (EMBEDDING, 0))
    for layer, block in enumerate(anatomy.blocks, start=1):
        for kind, site in _BLOCK_PARTS.items():
            try:
                put(part_of(block, site), (kind, layer))
            except ReadingError as error:
                raise ModelError(f"{type(model).__name__}, layer {layer}: {error}. {WITHOUT}") from error
    inside = {id(value) for block in anatomy.blocks for value in block.parameters()}
    for module in anatomy.decoder.modules():
        # Positions that are learnt stand beside the tokens' embedding.
        if isinstance(module, nn.Embedding) and id(module.weight) not in inside:
            put(module, (EMBEDDING, 0))
    put(anatomy.head, (UNEMBEDDING, 0))
    return home


def refuse_unlike(before: Any, after: Any, names: tuple[str, str]) -> None:
    """Refuse two models that are not of one build, so that their tensors cannot stand in for one another.

    Args:
        before: a Hugging Face causal language model.
        after: another.
        names: how messages call them.

    Raises:
        ModelError: other configs, tied and untied embeddings, other tensors, shapes or dtypes, quantised
            weights; each named, with the way out.
    """
    for model, name in zip((before, after), names, strict=True):
        if getattr(model.config, "quantization_config", None) is not None:
            raise ModelError(
                f"{name}: its weights are quantised, and codes cannot be mixed. Name an unquantised "
                "checkpoint of it (dequantise() and save_pretrained)"
            )
    ours, theirs = (model.config.to_dict() for model in (before, after))
    ties = [bool(config.get("tie_word_embeddings")) for config in (ours, theirs)]
    if ties[0] != ties[1]:
        tied, untied = names if ties[0] else names[::-1]
        raise ModelError(
            f"{tied} ties its unembedding to its embedding and {untied} does not, so they have other "
            f"units. Save {tied} with tie_word_embeddings: false and a copy of the embedding as its "
            "unembedding"
        )
    for key in sorted({*ours, *theirs}):
        if key in _FREE or "dropout" in key or ours.get(key) == theirs.get(key):
            continue
        raise ModelError(
            f"{names[0]} and {names[1]} are of other builds: {key} in config.json is {ours.get(key)!r} and "
            f"{theirs.get(key)!r}. Weights are swapped between equal builds alone. {WITHOUT}"
        )
    first, second = (dict(model.named_parameters()) for model in (before, after))
    for name in sorted({*first, *second}):
        told = [_shape(part.get(name)) for part in (first, second)]
        if told[0] != told[1]:
            raise ModelError(
                f"{names[0]} and {names[1]}: the tensor {name} is {told[0]} there and {told[1]} here. "
                "Weights are swapped between equal shapes and dtypes alone; where the dtypes differ, set "
                f"arms.{names[0]}.dtype and arms.{names[1]}.dtype to one"
            )


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else f"{list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class Parents:
    """Two checkpoints of one build, and the model in whose memory hybrids of them stand.

    Attributes:
        model: holds the weights before, but inside `hybrid`.
        before: its parameters, on the host.
        after: those of the other checkpoint, on the host.
        units: of both.
        seed: of the random changes.
        made_of: what `parents_of` was called with; workers make both copies of the weights themselves.
    """

    model: Any
    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    units: tuple[Unit, ...]
    seed: int
    made_of: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        """From the two models."""
        return parents_of, self.made_of

    @cached_property
    def changed(self) -> tuple[Unit, ...]:
        """The units in which the parents differ: a LoRA student's are those that its adapters touched."""
        return tuple(
            unit
            for unit in self.units
            if any(not torch.equal(self.before[name], self.after[name]) for name in unit.tensors)
        )


def parents_of(model: Any, other: Any, names: tuple[str, str], seed: int, bands: int | None) -> Parents:
    """The parents for hybrids of two models; the weights of the first are copied to the host.

    Args:
        model: the checkpoint before; hybrids stand in its memory.
        other: the checkpoint after; on the host its weights are shared, so they must stay as they are.
        names: how messages call them.
        seed: of the random changes.
        bands: see `units_of`.

    Raises:
        ModelError: see `refuse_unlike` and `units_of`.
    """
    refuse_unlike(model, other, names)
    before = {name: value.detach().to("cpu", copy=True) for name, value in model.named_parameters()}
    after = {name: value.detach().cpu() for name, value in other.named_parameters()}
    made_of = (model, other, names, seed, bands)
    return Parents(model, before, after, units_of(model, bands), seed, made_of)


@contextmanager
def hybrid(parents: Parents, recipe: Recipe) -> Iterator[Any]:
    """The model made as a recipe says while the block lasts, and as before afterwards.

    Raises:
        ModelError: the recipe names a unit that is not there.
    """
    known = {unit.name: unit for unit in parents.units}
    if strange := [name for name in recipe if name not in known]:
        raise ModelError(f"there is no unit {strange[0]!r}; there are {', '.join(known)}")
    places = dict(parents.model.named_parameters())
    made = [
        (name, source) for unit, source in recipe.items() for name in known[unit].tensors if source != BEFORE
    ]
    try:
        with torch.no_grad():
            for name, source in made:
                places[name].copy_(tensor_of(parents, name, source))
        with altered(parents.model):
            yield parents.model
    finally:
        with torch.no_grad():
            for name, _ in made:
                places[name].copy_(parents.before[name])


def tensor_of(parents: Parents, name: str, source: Source) -> Tensor:
    """One parameter of a hybrid, on the host, in the parents' dtype."""
    start, share, draw = source
    own, other = parents.before[name], parents.after[name]
    if start == "after":
        own, other = other, own
    if not share:
        return own
    way = other.float() - own.float()
    if draw:
        way = turned(way, [parents.seed, zlib.crc32(name.encode()), draw])
    return (own.float() + share * way).to(own.dtype)


def turned(change: Tensor, seed: Sequence[int]) -> Tensor:
    """A change of the same singular values with random singular vectors; a vector keeps its length.

    It is multiplied from both sides by orthogonal matrices that nobody writes down: random signs, a random
    permutation and the orthonormal cosine transform, twice, for n log n operations a row (Ailon and Chazelle
    2009). Of a tensor with more than two axes each matrix of the last two is turned alike.

    Args:
        change: [..., rows, columns], or [columns].
        seed: of the signs and permutations.
    """
    from scipy.fft import dct

    rng = np.random.default_rng(list(seed))
    values = change.numpy()
    for axis in range(max(values.ndim - 2, 0), values.ndim):
        size = values.shape[axis]
        across = [1] * values.ndim
        across[axis] = size
        for _ in range(_TURNS):
            signs = rng.choice(np.array([-1.0, 1.0], dtype=values.dtype), size).reshape(across)
            values = np.take(values * signs, rng.permutation(size), axis=axis)
            values = dct(values, axis=axis, norm="ortho")
    return torch.from_numpy(np.ascontiguousarray(values))


def relative_change(parents: Parents, tensors: Sequence[str]) -> float:
    """Norm of the change of some parameters over their norm before (Frobenius, all of them as one vector)."""
    change = sum(
        float((parents.after[name].double() - parents.before[name].double()).square().sum())
        for name in tensors
    )
    before = sum(float(parents.before[name].double().square().sum()) for name in tensors)
    return float((change / before) ** 0.5) if before else float("nan")


def effective_rank(parents: Parents, tensors: Sequence[str]) -> tuple[float, float]:
    """Effective rank of the change of some matrices, and that of noise of their shapes; nan without a change.

    The participation ratio of squared singular values, (sum s^2)^2 / sum s^4, averaged over the matrices by
    their sum s^2. Of independent normal entries [n, m] it is n m / (n + m + 1) in expectation of both sums.
    """
    total, rank, noise = 0.0, 0.0, 0.0
    for name in tensors:
        change = parents.after[name].float() - parents.before[name].float()
        if change.dim() < 2:
            continue
        for matrix in change.reshape(-1, *change.shape[-2:]):
            n, m = matrix.shape
            gram = matrix @ matrix.T if n <= m else matrix.T @ matrix
            weight = float(gram.double().diagonal().sum())
            if weight:
                total += weight
                rank += weight * weight**2 / float(gram.double().square().sum())
                noise += weight * n * m / (n + m + 1)
    return (rank / total, noise / total) if total else (float("nan"), float("nan"))
