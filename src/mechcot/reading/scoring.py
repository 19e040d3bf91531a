"""Numbers out of logits, a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.models.anatomy import Anatomy, head_logits, splits
from mechcot.models.devices import device_of
from mechcot.reading.prefix_tree import Ints

Floats = npt.NDArray[np.float64]

CHUNK_LOGITS = {"cpu": 2**20, "cuda": 2**26}
"""How many logits are held at once; on a CPU few enough to stay in its cache."""

ROWS = 128
"""About how many rows share a piece of the head's weights: with fewer, weights take longer to read than to
use."""


@dataclass(frozen=True)
class Scores:
    """What was asked for, in nats.

    Attributes:
        logp: log-probability of each pair's token, [pairs].
        rank: how many tokens are more probable, plus one, [pairs]; empty if not asked for.
        entropy: of the distribution at each row, [rows], ordered as `rows`; empty if not asked for.
        rows: the distinct rows, ascending.
    """

    logp: Floats
    rank: Ints
    entropy: Floats
    rows: Ints

    def entropy_at(self, rows: Ints) -> Floats:
        """The entropy at some of the rows."""
        return self.entropy[np.searchsorted(self.rows, rows)]


def score(
    anatomy: Anatomy,
    hidden: Tensor,
    pair_row: Ints,
    pair_token: Ints,
    *,
    entropy: bool = False,
    ranks: bool = False,
    norm: Callable[[Tensor], Tensor] | None = None,
) -> Scores:
    """Log-probabilities of tokens at rows, and more on request.

    Args:
        anatomy: the model.
        hidden: hidden states after the final norm (before it, if `norm` is given), [nodes, d_model].
        pair_row: the row at which each token is asked for, [pairs].
        pair_token: the token, [pairs].
        entropy: also the entropy of each distinct row.
        ranks: also the rank of each pair's token.
        norm: what hidden states must still go through.
    """
    rows, local = np.unique(pair_row, return_inverse=True)
    order = np.argsort(local, kind="stable")
    starts = np.searchsorted(local[order], np.arange(len(rows) + 1))
    home = device_of(anatomy.head)
    size, pieces = _chunks(anatomy, home, len(rows), whole=ranks)
    # What is found stays where the head is until all of it is there: the host waits once, not for each chunk.
    logp, rank, entropies = (list[Tensor]() for _ in range(3))
    for first in range(0, len(rows), size):
        stop = min(first + size, len(rows))
        pairs = order[starts[first] : starts[stop]]
        at = torch.from_numpy(local[pairs] - first).to(home)
        token = torch.from_numpy(pair_token[pairs]).to(home)
        chosen = torch.from_numpy(rows[first:stop]).to(hidden.device)
        states = hidden.index_select(0, chosen)
        seen = _Softmax((norm(states) if norm else states).to(home), at, token, entropy=entropy)
        for piece in pieces:
            logits = head_logits(anatomy, seen.states, piece)
            if ranks:
                rank.append((logits[at] > logits[at, token][:, None]).sum(-1) + 1)
            seen.add(logits, piece)
        log_total = seen.total.log()
        logp.append(seen.wanted - seen.top[at] - log_total[at])
        if entropy:
            entropies.append(log_total - seen.dot / seen.total)
    asked = np.argsort(order, kind="stable")  # back into the order in which they were asked for
    return Scores(
        logp=_numpy(logp, np.float64)[asked],
        rank=_numpy(rank, np.int64)[asked if ranks else slice(None)],
        entropy=_numpy(entropies, np.float64),
        rows=rows,
    )


def _chunks(
    anatomy: Anatomy, device: torch.device, rows: int, *, whole: bool
) -> tuple[int, list[slice | None]]:
    """How many rows go through the head at once, and in which pieces of the vocabulary."""
    held, vocab, head = CHUNK_LOGITS.get(device.type, 2**24), anatomy.vocab_size, anatomy.head
    if whole or vocab * ROWS <= held or not splits(head):
        return max(1, held // vocab), [None]
    n, width = head.out_features, max(1, held // ROWS)
    # Shares of one size: a rest of few rows would read all of the weights for itself.
    size = -(-rows // max(1, round(rows / ROWS)))
    return max(1, size), [slice(first, min(first + width, n)) for first in range(0, n, width)]


class _Softmax:
    """One log-sum-exp over pieces of the vocabulary: what of the logits is needed, not the logits.

    Attributes:
        states: what goes into the head, [rows, d_model].
        top: the largest logit so far, [rows].
        total: sum of exp(logit - top), [rows].
        dot: sum of exp(logit - top) (logit - top), [rows], if entropy is asked for.
        wanted: the logit of each pair's token, [pairs].
    """

    def __init__(self, states: Tensor, at: Tensor, token: Tensor, *, entropy: bool) -> None:
        self.states, self._at, self._token, self._entropy = states, at, token, entropy
        self.top = torch.full((len(states),), -torch.inf, device=states.device)
        self.total, self.dot = torch.zeros_like(self.top), torch.zeros_like(self.top)
        self.wanted = torch.empty(len(token), device=states.device)

    def add(self, logits: Tensor, piece: slice | None) -> None:
        """A piece of the logits, [rows, piece]; None: all of them."""
        if piece is None:
            self.wanted = logits[self._at, self._token]
        else:
            here = ((self._token >= piece.start) & (self._token < piece.stop)).nonzero()[:, 0]
            self.wanted[here] = logits[self._at[here], self._token[here] - piece.start]
        top = torch.maximum(self.top, logits.amax(-1))
        # What was summed below a lower top shrinks; nothing has been where there was none.
        drop = torch.where(self.total > 0, self.top - top, 0.0)
        shrink = drop.exp()
        logits.sub_(top[:, None])  # they are read no more
        weight = logits.exp() if self._entropy else logits.exp_()
        if self._entropy:
            self.dot = shrink * (self.dot + drop * self.total) + torch.linalg.vecdot(weight, logits)
        self.total = shrink * self.total + weight.sum(-1)
        self.top = top


def _numpy(parts: list[Tensor], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Parts in a row, on the host."""
    return torch.cat(parts).cpu().numpy().astype(dtype) if parts else np.empty(0, dtype)
