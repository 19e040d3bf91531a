"""What a model says at fixed prefixes: answers, claims, hedges, and how far it is from its parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from torch import Tensor

from mechcot.analyses.weights.design import OUTCOMES
from mechcot.analyses.weights.prefixes import Prefix
from mechcot.models.anatomy import Anatomy, anatomy_of, as_found, head_logits
from mechcot.models.devices import device_of
from mechcot.reading.batch import ReadBatch, TraceReading, unpack, unpack_prompts
from mechcot.reading.plan import ReadingPlan
from mechcot.reading.reader import alone, plan_for, read_batch, why_alone
from mechcot.reading.spec import ReadingSpec, Recipe, recipe_for
from mechcot.study.activations import tensor_name
from mechcot.study.manifest import EVERY_TOKEN

Floats = npt.NDArray[np.float64]
Distributions = list[Tensor]
"""Of each prefix the log-probabilities behind some of its tokens, [tokens, vocabulary] each, in nats."""

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
        tokens: of each prefix the tokens behind which distributions are compared; none without a final norm.
    """

    anatomy: Anatomy
    prefixes: tuple[Prefix, ...]
    plan: ReadingPlan
    recipe: Recipe
    tokens: tuple[npt.NDArray[np.int64], ...]


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
    norm = anatomy.norm is not None
    last = (len(anatomy.blocks),) if norm else ()
    spec = ReadingSpec(layers=last, rules=(EVERY_TOKEN,) if norm else (), max_tokens=max_tokens)
    total = sum(len(prefix.trace.token_ids) for part in prefixes.values() for prefix in part)
    apart = max(1, -(-total * anatomy.vocab_size // CELLS))
    found = {}
    for author, part in prefixes.items():
        recipe = recipe_for(anatomy, spec)
        plan = plan_for(model, [prefix.question for prefix in part], replace(spec, rules=recipe.rules))
        if why := why_alone(anatomy, plan.questions):
            recipe = alone(recipe, why)
        tokens = tuple(
            np.arange(0, len(prefix.trace.token_ids), apart) if norm else np.arange(0) for prefix in part
        )
        found[author] = Asked(anatomy, tuple(part), plan, recipe, tokens)
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
        batch = read_batch(model, asked.anatomy, asked.plan, number, asked.recipe)
        prompts = {question: prompt[0, 0] for question, prompt, _ in unpack_prompts(asked.plan, batch)}
        states, first = _states(asked, batch), 0
        for reading in unpack(asked.plan, batch):
            at = reading.question
            own.append(_distributions(asked, model, states, first + asked.tokens[at]))
            first += len(reading.source.token_ids)
            if (at, reading.trace) in batch.broken:
                continue
            values[at, : len(OUTCOMES) - 2] = _outcomes(asked.prefixes[at], reading, prompts[at])
            for column, parent in enumerate(parents, start=len(OUTCOMES) - 2):
                if len(own[at]):
                    values[at, column] = _divergence(parent[at], own[at])
    return values, own


def _outcomes(prefix: Prefix, reading: TraceReading, prompt: npt.NDArray[np.float32]) -> list[float]:
    forced = (reading.forced[0, 0, 0] if len(prefix.trace.steps) else prompt).astype(np.float64)
    truth = reading.truth
    claims, hedges = truth[: prefix.claims], truth[prefix.claims :]
    return [
        float(forced[prefix.gold] - np.delete(forced, prefix.gold).max()),
        float(softmax(prompt.astype(np.float64))[prefix.own]),
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


def _states(asked: Asked, batch: ReadBatch) -> Tensor | None:
    """The last layer behind every token of a batch, trace after trace, [tokens, d_model]."""
    if not asked.recipe.places:
        return None
    return batch.acts[tensor_name(len(asked.anatomy.blocks), EVERY_TOKEN)]


def _distributions(asked: Asked, model: Any, states: Tensor | None, rows: npt.NDArray[np.int64]) -> Tensor:
    """Log-probabilities of the next token behind some tokens of a batch, [rows, vocabulary], on the host."""
    norm = asked.anatomy.norm
    if states is None or norm is None or not len(rows):
        return torch.empty(0, asked.anatomy.vocab_size)
    with as_found(model):
        hidden = states[torch.from_numpy(rows)].to(device_of(norm))
        logits = head_logits(asked.anatomy, norm(hidden).to(device_of(asked.anatomy.head)))
        return logits.log_softmax(-1).cpu()


def _divergence(parent: Tensor, own: Tensor) -> float:
    """Mean of KL(parent, own) over tokens, in nats."""
    return float((parent.exp() * (parent - own)).sum(-1).double().mean())
