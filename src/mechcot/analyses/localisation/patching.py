"""States of one checkpoint put into another one in front of a hedge's place, and what then stands there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mechcot.analyses.localisation.design import HEAD, Run
from mechcot.models.anatomy import as_found
from mechcot.models.calling import calling_of
from mechcot.models.devices import input_device
from mechcot.models.heads import patch_head, record_heads
from mechcot.models.interventions import patch, record

Floats = NDArray[np.float64]
TOKENS = 4096
"""Tokens of one pass."""


@dataclass(frozen=True)
class Slot:
    """A place in front of which a claim is hedged or asserted.

    Attributes:
        qid: its question.
        ids: all tokens up to the last one before the place, the prompt's first.
    """

    qid: str
    ids: tuple[int, ...]


def batches(slots: Sequence[Slot]) -> Iterator[list[Slot]]:
    """Slots of like length together, in an order of their contents alone."""
    batch: list[Slot] = []
    for slot in sorted(slots, key=lambda slot: (len(slot.ids), slot.qid, slot.ids)):
        if batch and (len(batch) + 1) * len(slot.ids) > TOKENS:
            yield batch
            batch = []
        batch.append(slot)
    if batch:
        yield batch


def at_the_place(model: Any, batch: Sequence[Slot]) -> Tensor:
    """Log-probabilities of what stands at each slot's place, [slots, vocabulary], nats.

    Shorter texts are filled up behind their end, which a causal model does not see.
    """
    width = max(len(slot.ids) for slot in batch)
    rows = [[*slot.ids, *([slot.ids[-1]] * (width - len(slot.ids)))] for slot in batch]
    filled = torch.tensor(rows, device=input_device(model))
    last = torch.tensor([len(slot.ids) - 1 for slot in batch])
    with as_found(model):
        logits: Tensor = model(input_ids=filled, **calling_of(model).known(use_cache=False)).logits
        return logits[torch.arange(len(batch)), last.to(logits.device)].float().log_softmax(-1)


def patched(
    donor: Any, host: Any, batch: Sequence[Slot], runs: Sequence[Run], heads: int = 0
) -> Iterator[Tensor]:
    """`at_the_place` of the host under each run, with the donor's states over the same texts.

    Args:
        donor: whose states are put in.
        host: into whom.
        batch: slots.
        runs: one site, layer and token each.
        heads: attention heads of each layer, where single ones are among the runs.
    """
    states: dict[str, Mapping[int, Tensor]] = {}
    last = [len(slot.ids) - 1 for slot in batch]
    for site in dict.fromkeys(run.site for run in runs):
        layers = sorted({run.layer for run in runs if run.site == site})
        seen = (
            record_heads(donor, layers, heads, last)
            if site == HEAD
            else record(donor, layers=layers, site=site)
        )
        with seen as kept:
            at_the_place(donor, batch)
        states[site] = kept
    for run in runs:
        at = [index - run.back for index in last]
        with _put(host, states[run.site][run.layer], run, at, heads):
            found = at_the_place(host, batch)
        yield found  # the host is as it was while its reader goes on


def _put(host: Any, given: Tensor, run: Run, at: Sequence[int], heads: int) -> AbstractContextManager[None]:
    """The host with the donor's state of each text at one token in its place.

    Args:
        host: into whom.
        given: [batch, tokens, d_model]; of heads [batch, heads, d_model], at that token.
        run: which state.
        at: index of the token in each text.
        heads: of each layer.
    """
    if run.site == HEAD:
        return patch_head(host, given[:, run.head], layer=run.layer, head=run.head, heads=heads, at=at)
    rows = torch.arange(len(given), device=given.device)
    put = given[rows, torch.tensor(at, device=given.device)][:, None]
    return patch(host, put, layers=[run.layer], site=run.site, positions=[[i] for i in at])


def log_odds(logp: Tensor, sets: Sequence[Sequence[int]]) -> Floats:
    """Of any token of each set, [slots, sets], nats, from log-probabilities [slots, vocabulary].

    A set of almost all the probability counts as 1 - 1e-12.
    """
    found = np.empty((len(logp), len(sets)))
    for number, tokens in enumerate(sets):
        own = logp[:, torch.tensor(list(tokens), device=logp.device)].double().logsumexp(-1).cpu().numpy()
        found[:, number] = own - np.log1p(-np.minimum(np.exp(own), 1 - 1e-12))
    return found
