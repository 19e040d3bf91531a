"""What a model says at fixed prefixes: answers, claims, hedges, and how far it is from its parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.analyses.weights.design import OUTCOMES
from mechcot.analyses.weights.prefixes import Prefix
from mechcot.models.anatomy import Anatomy, anatomy_of, as_found, head_logits
from mechcot.models.devices import device_of
from mechcot.reading.batch import ReadBatch, TraceReading, batch_of, unpack, unpack_prompts
from mechcot.reading.forward import run_trees
from mechcot.reading.layout import Layout, lay_out
from mechcot.reading.plan import ReadingPlan
from mechcot.reading.reader import alone, plan_for, read_batch, turned_apart
from mechcot.reading.spec import ReadingSpec, Recipe, recipe_for
from mechcot.study.activations import tensor_name
from mechcot.study.manifest import EVERY_TOKEN

Floats = npt.NDArray[np.float64]
Distributions = list[Tensor]
"""Of each batch the log-probabilities behind some of its tokens, [tokens, vocabulary] each, in nats."""

CELLS = 2**25
"""Log-probabilities of one parent that are held for the divergences, over all prefixes of both authors."""


@dataclass(frozen=True)
class Asked:
    """What a model is asked of one author's text, planned once for all hybrids.

    Attributes:
        anatomy: the model's parts; hybrids stand in its memory.
        prefixes: where.
        plan: their batches.
        recipe: what is kept of a pass.
        layouts: the trees of each batch; none where the model reads none.
        apart: every how many tokens of a trace distributions are compared.
    """

    anatomy: Anatomy
    prefixes: tuple[Prefix, ...]
    plan: ReadingPlan
    recipe: Recipe
    layouts: tuple[tuple[Layout, ...], ...]
    apart: int


def asked_of(
    model: Any, prefixes: Mapping[str, Sequence[Prefix]], max_tokens: int | None
) -> dict[str, Asked]:
    """Plan the passes over each author's prefixes.

    Args:
        model: the model before.
        prefixes: by author.
        max_tokens: budget of a forward pass; None: the default of its device.

    Raises:
        ReadingError: a prefix that cannot be read.
    """
    anatomy = anatomy_of(model)
    last = () if anatomy.norm is None else (len(anatomy.blocks),)
    recipe = recipe_for(anatomy, ReadingSpec(layers=last, rules=(EVERY_TOKEN,)))
    total = sum(len(prefix.trace.token_ids) for part in prefixes.values() for prefix in part)
    apart = max(1, -(-total * anatomy.vocab_size // CELLS))
    found = {}
    for author, part in prefixes.items():
        spec = ReadingSpec(rules=recipe.rules, max_tokens=max_tokens)
        plan = plan_for(model, [prefix.question for prefix in part], spec)
        own, layouts = recipe, tuple[tuple[Layout, ...], ...]()
        if anatomy.strange:
            own = alone(recipe, anatomy.strange)
        else:
            layouts = tuple(
                tuple(
                    lay_out(plan.questions[p.question], p.traces, p.prompt, recipe.rules)
                    for p in plan.members(i)
                )
                for i in range(len(plan.batches))
            )
        found[author] = Asked(anatomy, tuple(part), plan, own, layouts, apart)
    return found


def said(model: Any, asked: Asked, parents: Sequence[Distributions] = ()) -> tuple[Floats, Distributions]:
    """Ask a model at all prefixes of an author.

    Args:
        model: a hybrid, or a parent.
        asked: what.
        parents: distributions of the parents before and after; without them no divergence is measured.

    Returns:
        Outcomes in the order of `OUTCOMES`, [prefixes, outcomes], nan where there is none or the model's
        numbers
        are not finite; the model's distributions.
    """
    values = np.full((len(asked.prefixes), len(OUTCOMES)), np.nan)
    own: Distributions = []
    for number in range(len(asked.plan.batches)):
        batch = _read(model, asked, number)
        prompts = {question: prompt[0, 0] for question, prompt, _ in unpack_prompts(asked.plan, batch)}
        readings = list(unpack(asked.plan, batch))
        own.append(_distributions(asked, model, batch, readings))
        far = [_divergence(asked, parent[number], own[-1], readings) for parent in parents]
        for place, reading in enumerate(readings):
            at = reading.question
            if (at, reading.trace) not in batch.broken:
                values[at, : len(OUTCOMES) - 2] = _outcomes(asked.prefixes[at], reading, prompts[at])
                values[at, len(OUTCOMES) - 2 : len(OUTCOMES) - 2 + len(far)] = [one[place] for one in far]
    return values, own


def _read(model: Any, asked: Asked, number: int) -> ReadBatch:
    """Run one batch; its trees are laid out already."""
    if not asked.layouts or turned_apart(asked.anatomy, asked.plan, number):
        return read_batch(model, asked.anatomy, asked.plan, number, asked.recipe)
    targets = [target for trace in asked.plan.traces(asked.plan.members(number)) for target in trace.targets]
    done = run_trees(model, asked.anatomy, asked.layouts[number], targets, asked.recipe)
    return batch_of(asked.plan, number, done)


def _outcomes(prefix: Prefix, reading: TraceReading, prompt: npt.NDArray[np.float32]) -> list[float]:
    forced = (reading.forced[0, 0, 0] if len(prefix.trace.steps) else prompt).astype(np.float64)
    truth = reading.truth
    claims, hedges = truth[: prefix.claims], truth[prefix.claims :]
    return [
        float(forced[prefix.gold] - np.delete(forced, prefix.gold).max()),
        float(1 / np.exp(prompt.astype(np.float64) - prompt[prefix.own]).sum()),
        _mean(1 - claims[:, 0]),
        _mean(claims[:, 1] > 1),
        _mean(-_tokens(reading, prefix.right)) - _mean(-_tokens(reading, prefix.wrong)),
        _mean(hedges[:, 0]),
    ]


def _tokens(reading: TraceReading, spans: Sequence[tuple[int, int]]) -> Floats:
    parts = [reading.surprisal[start:stop].astype(np.float64) for start, stop in spans]
    return np.concatenate([np.empty(0), *parts])


def _mean(values: npt.ArrayLike) -> float:
    found = np.asarray(values, dtype=np.float64)
    return float(found.mean()) if len(found) else float("nan")


def _compared(asked: Asked, readings: Sequence[TraceReading]) -> list[npt.NDArray[np.int64]]:
    """Of each trace of a batch the rows whose distributions are compared, all traces one after the other."""
    lengths = [len(reading.source.token_ids) for reading in readings]
    starts = np.cumsum([0, *lengths])
    return [start + np.arange(0, n, asked.apart) for start, n in zip(starts, lengths, strict=False)]


def _distributions(asked: Asked, model: Any, batch: ReadBatch, readings: Sequence[TraceReading]) -> Tensor:
    """Log-probabilities behind the compared tokens of a batch, [tokens, vocabulary], on the host."""
    norm = asked.anatomy.norm
    if norm is None:
        return torch.empty(0, asked.anatomy.vocab_size)
    states = batch.acts[tensor_name(len(asked.anatomy.blocks), EVERY_TOKEN)]
    rows = torch.from_numpy(np.concatenate(_compared(asked, readings)))
    with as_found(model):
        hidden = norm(states[rows].to(device_of(norm))).to(device_of(asked.anatomy.head))
        return head_logits(asked.anatomy, hidden).log_softmax(-1).cpu()


def _divergence(asked: Asked, parent: Tensor, own: Tensor, readings: Sequence[TraceReading]) -> list[float]:
    """Of each trace the mean of KL(parent, own) over the compared tokens, in nats; nan without any."""
    if not len(own):
        return [float("nan")] * len(readings)
    each = (parent.exp() * (parent - own)).sum(-1).double().numpy()
    ends = np.cumsum([len(rows) for rows in _compared(asked, readings)])
    return [float(part.mean()) for part in np.split(each, ends[:-1])]
