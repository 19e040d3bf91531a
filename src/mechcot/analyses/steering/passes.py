"""A pass over a trace with an edit and one without: how far it moves, and what stands in a hedge's place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mechcot.models.anatomy import as_found
from mechcot.models.calling import calling_of
from mechcot.models.devices import input_device

CELLS = 2**25
"""Logits of one pass, tokens x vocabulary."""
TOKENS = 4096
"""Tokens of one pass."""


@dataclass(frozen=True)
class Place:
    """Where a claim could be hedged.

    Attributes:
        sid: the claim's step.
        relation: its kind.
        at: the completion's token behind which a hedge would stand.
        token: the first token of the hedge.
        wrong: 1 if the claim is erroneous, 0 if it is correct, -1 if it is hedged or neither.
    """

    sid: int
    relation: str
    at: int
    token: int
    wrong: int


@dataclass(frozen=True)
class Text:
    """A trace that is read.

    Attributes:
        qid: its question.
        cid: its number.
        part: of the questions.
        prompt: token ids before it.
        ids: its own token ids.
        places: of its claims.
    """

    qid: str
    cid: int
    part: str
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Moved:
    """What an edit does to the pass over a text; see `design.PASSES`.

    Attributes:
        text: which.
        divergence: nats, summed over the tokens that are no hedge's place.
        n_tokens: those tokens.
        gained: log-odds of the hedge at each place, under the edit less without it.
        p_hedge: its probability there, under the edit.
    """

    text: Text
    divergence: float
    n_tokens: int
    gained: tuple[float, ...]
    p_hedge: tuple[float, ...]


def batches(texts: Sequence[Text], vocabulary: int) -> Iterator[list[Text]]:
    """Texts of like length together, as many as fit."""
    width, batch = min(TOKENS, CELLS // vocabulary), list[Text]()
    for text in sorted(texts, key=lambda text: (len(text.prompt) + len(text.ids), text.qid, text.cid)):
        longest = len(text.prompt) + len(text.ids)
        if batch and (len(batch) + 1) * longest > width:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def moved(
    model: Any, texts: Sequence[Text], edited: Callable[[], AbstractContextManager[None]]
) -> list[Moved]:
    """Each text once as the model is and once under an edit.

    Args:
        model: a causal language model.
        texts: with their places.
        edited: makes the context in which the model is edited.
    """
    found = []
    for batch in batches(texts, model.get_output_embeddings().weight.shape[0]):
        plain = behind(model, batch)
        with edited():
            other = behind(model, batch)
        found += [_moved(*each) for each in zip(batch, plain, other, strict=True)]
    return found


def surprise(model: Any, texts: Sequence[Text]) -> list[float]:
    """Minus the log-probability of each text's own tokens, nats, in the order of the texts."""
    found = {}
    for batch in batches(texts, model.get_output_embeddings().weight.shape[0]):
        for text, logp in zip(batch, behind(model, batch), strict=True):
            own = torch.tensor(text.ids, device=logp.device)
            found[text.qid, text.cid] = -float(logp.gather(1, own[:, None]).double().sum())
    return [found[text.qid, text.cid] for text in texts]


def behind(model: Any, batch: Sequence[Text]) -> list[Tensor]:
    """The log-probabilities from which each text's tokens are drawn, [tokens, vocabulary], in nats.

    Shorter texts are filled up behind their end, which a causal model does not see.
    """
    rows = [[*text.prompt, *text.ids] for text in batch]
    width = max(map(len, rows))
    filled = torch.tensor([row + [row[-1]] * (width - len(row)) for row in rows], device=input_device(model))
    with as_found(model):
        logits: Tensor = model(input_ids=filled, **calling_of(model).known(use_cache=False)).logits
        first = [len(text.prompt) - 1 for text in batch]
        return [
            row[start : start + len(text.ids)].float().log_softmax(-1)
            for row, start, text in zip(logits, first, batch, strict=True)
        ]


def _moved(text: Text, plain: Tensor, other: Tensor) -> Moved:
    each = (plain.exp() * (plain - other)).sum(-1).double()
    neutral = torch.ones(len(each), dtype=torch.bool, device=each.device)
    at = [place.at + 1 for place in text.places]  # that row says what stands behind the token
    neutral[at] = False
    said = [
        [float(table[row, place.token]) for row, place in zip(at, text.places, strict=True)]
        for table in (plain, other)
    ]
    gained = tuple(log_odds(after) - log_odds(before) for before, after in zip(*said, strict=True))
    return Moved(
        text, float(each[neutral].sum()), int(neutral.sum()), gained, tuple(math.exp(p) for p in said[1])
    )


def log_odds(logp: float) -> float:
    """Of something with this log-probability; one of almost 1 counts as 1 - 1e-12."""
    return logp - math.log1p(-min(math.exp(logp), 1 - 1e-12))
