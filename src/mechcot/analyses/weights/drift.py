"""How far each part has moved, whatever that does: the change of weights by unit, activations by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from mechcot.analyses.weights.design import AFTER, Source
from mechcot.analyses.weights.prefixes import Prefix
from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.models.units import Parents, effective_rank, hybrid, relative_change
from mechcot.reading.batch import unpack, unpack_prompts
from mechcot.reading.reader import plan_for, read
from mechcot.reading.spec import ReadingSpec
from mechcot.stats import jackknife_interval, mean_interval
from mechcot.study.activations import tensor_name

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
RANDOM = 3
"""Models with a random change of every unit whose activations are compared with those before."""
DEALS = 20
"""Deals of the steps for the similarity that unrelated rows have."""


def drift(
    parents: Parents, prefixes: Mapping[str, Sequence[Prefix]], max_tokens: int | None
) -> list[dict[str, Any]]:
    """Rows of `design.DRIFT`.

    Args:
        parents: both checkpoints.
        prefixes: whose steps are read, by author.
        max_tokens: budget of a forward pass.
    """
    rows = [*_of_weights(parents), *_of_activations(parents, prefixes, max_tokens)]
    if anatomy_of(parents.model).norm is not None:  # else no layer can be read through it
        rows += _of_answers(parents, prefixes, max_tokens)
    return rows


def _of_weights(parents: Parents) -> Iterator[dict[str, Any]]:
    whole = relative_change(parents, [name for unit in parents.units for name in unit.tensors])
    for unit in parents.units:
        found = relative_change(parents, unit.tensors)
        yield _row("relative_change", unit.name, found, null=whole)
        rank, noise = effective_rank(parents, unit.tensors)
        if rank == rank:
            yield _row("effective_rank", unit.name, rank, null=noise)


def _row(what: str, place: str, value: float, **more: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "place": place,
        "value": value,
        "low": None,
        "high": None,
        "null": None,
        "random": None,
    } | more


def _of_activations(
    parents: Parents, prefixes: Mapping[str, Sequence[Prefix]], max_tokens: int | None
) -> Iterator[dict[str, Any]]:
    whole: dict[str, Source] = dict.fromkeys((unit.name for unit in parents.changed), AFTER)
    before, question = _steps(parents, {}, prefixes, max_tokens)
    after, _ = _steps(parents, whole, prefixes, max_tokens)
    turned = _turned(whole, lambda recipe: _steps(parents, recipe, prefixes, max_tokens)[0])
    rng = np.random.default_rng([parents.seed, 3])
    deals = [rng.permutation(len(question)) for _ in range(DEALS)]
    for layer in anatomy_of(parents.model).layers:
        ours = _gram(before[layer])
        theirs = _gram(after[layer])
        questions = np.unique(question)
        without = [
            cka(ours[np.ix_(rest, rest)], theirs[np.ix_(rest, rest)])
            for q in questions
            for rest in [np.flatnonzero(question != q)]
        ]
        found = jackknife_interval(cka(ours, theirs), without, logit=False, unit="questions")
        yield _row(
            "cka",
            str(layer),
            cka(ours, theirs),
            low=found.low,
            high=None if found.high is None else min(1.0, found.high),
            null=float(np.mean([cka(ours, theirs[np.ix_(deal, deal)]) for deal in deals])),
            random=float(np.mean([cka(ours, _gram(other[layer])) for other in turned])) if turned else None,
        )


def _turned(whole: Mapping[str, Source], read_with: Callable[[Mapping[str, Source]], T]) -> list[T]:
    """What is read with a random change of every unit, draw by draw."""
    found = []
    for draw in range(1, RANDOM + 1):
        # The same texts were read by both parents: what is refused here is numbers that are not finite.
        with suppress(ReadingError):
            found.append(read_with(dict.fromkeys(whole, ("before", 1.0, draw))))
    return found


def _of_answers(
    parents: Parents, prefixes: Mapping[str, Sequence[Prefix]], max_tokens: int | None
) -> Iterator[dict[str, Any]]:
    """How far apart the forced answers are when read off every layer, beside the models' own."""
    whole: dict[str, Source] = dict.fromkeys((unit.name for unit in parents.changed), AFTER)
    before, after = (_lens(parents, recipe, prefixes, max_tokens) for recipe in ({}, whole))
    turned = _turned(whole, lambda recipe: _lens(parents, recipe, prefixes, max_tokens))
    questions = [prefix.question.qid for part in prefixes.values() for prefix in part]
    text = np.unique(questions, return_inverse=True)[1]
    own, *layers = _apart(before, after).T
    random = np.mean([_apart(before, other) for other in turned], axis=0)[:, 1:].T if turned else None
    for i, layer in enumerate(anatomy_of(parents.model).layers):
        found = mean_interval(layers[i], text)
        yield _row(
            "lens",
            str(layer),
            float(layers[i].mean()),
            low=found.low,
            high=found.high,
            null=float(own.mean()),
            random=None if random is None else float(random[i].mean()),
        )


def _apart(ours: Sequence[Floats], theirs: Sequence[Floats]) -> Floats:
    """Total variation of two readings' answers, [prefixes, views]."""
    return np.array([np.abs(one - other).sum(axis=1) / 2 for one, other in zip(ours, theirs, strict=True)])


def _lens(
    parents: Parents,
    recipe: Mapping[str, Source],
    prefixes: Mapping[str, Sequence[Prefix]],
    max_tokens: int | None,
) -> list[Floats]:
    """Shares of the options, forced where `answer` is, of the model and of its layers, [views, options] each.

    A layer is read through the model's own final norm and head.
    """
    spec = ReadingSpec(layers=(), signals=False, lens=True, max_tokens=max_tokens)
    found = []
    with hybrid(parents, recipe) as model:
        for part in prefixes.values():
            asked = [replace(prefix.question, traces=(replace(prefix.trace, targets=()),)) for prefix in part]
            plan = plan_for(model, asked, replace(spec, rules=()))
            own: dict[int, Floats] = {}
            for batch in read(model, asked, spec):
                for question, prompt, _ in unpack_prompts(plan, batch):
                    own[question] = np.asarray(prompt[:, 0], dtype=np.float64)
                for one in unpack(plan, batch):
                    if len(one.source.steps):
                        own[one.question] = np.asarray(one.forced[:, 0, 0], dtype=np.float64)
            found += [softmax(own[i], axis=1) for i in range(len(part))]
    return found


def _steps(
    parents: Parents,
    recipe: Mapping[str, Source],
    prefixes: Mapping[str, Sequence[Prefix]],
    max_tokens: int | None,
) -> tuple[dict[int, Floats], npt.NDArray[np.int64]]:
    """The residual stream at the ends of steps by layer, [steps, d_model], and each step's question."""
    layers = anatomy_of(parents.model).layers
    spec = ReadingSpec(rules=("end",), signals=False, max_tokens=max_tokens)
    parts: dict[int, list[Floats]] = {layer: [] for layer in layers}
    questions: list[str] = []
    with hybrid(parents, recipe) as model:
        for part in prefixes.values():
            asked = [prefix.steps for prefix in part]
            for batch in read(model, asked, spec):
                for layer in layers:
                    parts[layer].append(batch.acts[tensor_name(layer, "end")].double().numpy())
            questions += [q.qid for q in asked for _ in q.traces[0].steps]
    codes = np.unique(questions, return_inverse=True)[1]
    return {layer: np.concatenate(found) for layer, found in parts.items()}, codes


def _gram(rows: Floats) -> Floats:
    """Inner products of rows, [rows, rows]."""
    around = rows - rows.mean(axis=0)
    return np.asarray(around @ around.T)


def cka(ours: Floats, theirs: Floats) -> float:
    """Linear centred kernel alignment of two matrices of inner products, [rows, rows] each.

    1 where they are alike but for rotation and scale (Kornblith et al. 2019); nan where one has no spread.
    """
    first, second = _centred(ours), _centred(theirs)
    norms = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / norms if norms else float("nan")


def _centred(gram: Floats) -> Floats:
    rows = gram.mean(axis=0)
    return np.asarray(gram - rows - rows[:, None] + rows.mean())
