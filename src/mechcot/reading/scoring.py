"""Numbers out of logits, a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.models.anatomy import Anatomy, head_logits
from mechcot.reading.prefix_tree import Ints

Floats = npt.NDArray[np.float64]

CHUNK_LOGITS = {"cpu": 2**20, "cuda": 2**26}
"""How many logits are held at once; on a CPU few enough to stay in its cache."""


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
    logp = np.empty(len(pair_row), np.float64)
    rank = np.empty(len(pair_row) if ranks else 0, np.int64)
    entropies = np.empty(len(rows) if entropy else 0, np.float64)
    size = max(1, CHUNK_LOGITS.get(hidden.device.type, 2**24) // anatomy.vocab_size)
    for first in range(0, len(rows), size):
        stop = min(first + size, len(rows))
        pairs = order[starts[first] : starts[stop]]
        at = torch.from_numpy(local[pairs] - first).to(hidden.device)
        token = torch.from_numpy(pair_token[pairs]).to(hidden.device)
        chosen = torch.from_numpy(rows[first:stop]).to(hidden.device)
        states = hidden.index_select(0, chosen)
        logits = head_logits(anatomy, norm(states) if norm else states)
        logits = logits - logits.amax(-1, keepdim=True)
        wanted = logits[at, token]
        if ranks:
            rank[pairs] = _numpy((logits[at] > wanted[:, None]).sum(-1)) + 1
        weight = logits.exp()
        total = weight.sum(-1)
        log_total = total.log()
        logp[pairs] = _numpy(wanted - log_total[at])
        if entropy:
            mean = torch.linalg.vecdot(weight, logits) / total
            entropies[first:stop] = _numpy(log_total - mean)
    return Scores(logp, rank, entropies, rows)


def _numpy(tensor: Tensor) -> npt.NDArray[np.generic]:
    result: npt.NDArray[np.generic] = tensor.cpu().numpy()
    return result
