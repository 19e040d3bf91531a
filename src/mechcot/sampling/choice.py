"""Which token comes next: the logits of some rows to a token for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.core.sampling_settings import SamplingSettings

NUCLEUS = 64
"""How many of the likeliest tokens are looked at first for `top_p`."""

CHUNK = 2**24
"""How many logits are worked on at once: 128 MB of them in float64. A row's choice is its own."""

BLOCK = 512
"""A running sum of float32 over more than that many is taken in blocks."""

MANY = 2**14
"""From so many tokens on a processor too draws from probabilities in float32, whose blocks are added up in
float64; where top_k or top_p cut them, they stay float64."""


def chosen_tokens(
    logits: Tensor, draws: npt.NDArray[np.float64], settings: SamplingSettings
) -> tuple[Tensor, list[tuple[int, float, bool]]]:
    """The next tokens, there and on the host, which waits for the device once.

    Args:
        logits: `[rows, vocab]`.
        draws: `[rows]` in [0, 1).
        settings: see `choose`.

    Returns:
        Token ids `[rows]` where the logits are; and for each row its token, its log-probability in nats, and
        whether all of its logits are finite.
    """
    on = torch.from_numpy(draws if logits.is_cpu else draws.astype(np.float32)).to(logits.device)
    tokens, logprobs = choose(logits, on, settings)
    finite = all_finite(logits)
    # One tensor, one copy: the bits of a float32 as a whole number.
    told = torch.stack([tokens, logprobs.view(torch.int32).long(), finite.long()]).cpu()
    bits = told[1].int().view(torch.float32)
    return tokens, list(zip(told[0].tolist(), bits.tolist(), told[2].bool().tolist(), strict=True))


def choose(logits: Tensor, draws: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """Pick tokens by inverting the cumulative distribution, some rows at a time.

    On a processor probabilities are float64 (but see `MANY`). Elsewhere they are float32, as most GPUs
    compute float64 very slowly, and are summed in a fixed order, which torch's cumulative sum of floats on
    CUDA is not.

    Args:
        logits: `[rows, vocab]`.
        draws: `[rows]` in [0, 1).
        settings: temperature (0 takes the likeliest), top_k and top_p, applied in this order.

    Returns:
        Token ids `[rows]` and their log-probabilities at temperature 1 `[rows]`, nats.
    """
    size = max(1, CHUNK // logits.shape[-1])
    starts = range(0, len(logits), size)
    parts = [_chosen(logits[at : at + size], draws[at : at + size], settings) for at in starts]
    return torch.cat([tokens for tokens, _ in parts]), torch.cat([logprobs for _, logprobs in parts])


def _chosen(logits: Tensor, draws: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    logprobs = torch.log_softmax(logits, dim=-1)
    if settings.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        all_of_them = settings.top_k == 0 and settings.top_p == 1
        exact = logits.is_cpu and not (all_of_them and logits.shape[-1] >= MANY)
        precision = torch.float64 if exact else torch.float32
        p = torch.softmax(logits / settings.temperature, dim=-1, dtype=precision)
        if 0 < settings.top_k < p.shape[-1]:
            p = p.masked_fill(p < p.topk(settings.top_k, dim=-1).values[:, -1:], 0.0)
        if settings.top_p < 1:
            p, ids = nucleus(p / p.sum(-1, keepdim=True), settings.top_p)
            tokens = ids.gather(-1, drawn(p, draws))[:, 0]
        else:
            tokens = drawn(p, draws)[:, 0]
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]


def all_finite(logits: Tensor) -> Tensor:
    """Whether all logits of each row are finite, `[rows]`.

    What is not finite does not vanish in a sum, so on a processor one sum is enough where it is finite.
    """
    summed = torch.isfinite(logits.sum(-1)) if logits.is_cpu else None
    return summed if summed is not None and bool(summed.all()) else torch.isfinite(logits).all(-1)


def drawn(p: Tensor, draws: Tensor) -> Tensor:
    """Columns drawn by their weights, `[rows, 1]`; never one of weight 0.

    Args:
        p: weights, not all 0, `[rows, columns]`.
        draws: `[rows]` in [0, 1).
    """
    summed = torch.float64 if p.is_cpu else p.dtype
    draws = draws[:, None].to(summed)
    if p.dtype == torch.float64 or p.shape[-1] <= BLOCK:
        total = running_sum(p.to(summed))
        return _reached(total, draws * total[:, -1:])
    blocks = torch.nn.functional.pad(p, (0, -p.shape[-1] % BLOCK)).reshape(len(p), -1, BLOCK)
    # Which block, then where in it: only the sums of the blocks are kept of the whole vocabulary.
    total = running_sum(blocks.sum(-1).to(summed))
    wanted = draws * total[:, -1:]
    block = _reached(total, wanted)
    before = torch.nn.functional.pad(total, (1, 0)).gather(-1, block)
    inside = running_sum(blocks.take_along_dim(block[..., None], 1)[:, 0].to(summed))
    return block * BLOCK + _reached(inside, wanted - before)


def _reached(total: Tensor, wanted: Tensor) -> Tensor:
    """The first column whose running sum is above what is wanted; at most the last one that adds to it."""
    found = torch.searchsorted(total, wanted, right=True)
    # Rounding may put what is wanted at the very end.
    return torch.minimum(found, (total < total[:, -1:]).sum(-1, keepdim=True))


def running_sum(values: Tensor) -> Tensor:
    """The sum of each row so far, in an order of additions that a device does not choose.

    Args:
        values: none below 0, `[rows, columns]`.
    """
    if values.is_cpu:
        return values.cumsum(-1)
    total, step = values, 1
    while step < values.shape[-1]:
        total = total + torch.nn.functional.pad(total[:, :-step], (step, 0))
        step *= 2
    # Sums of neighbours are made in different orders: rounding must not let one fall, or rise by nothing.
    return torch.where(values > 0, total, 0.0).cummax(-1).values


def nucleus(p: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The smallest set of tokens that reaches `top_p`, the likeliest first, of equals the first ones.

    Only as many of the likeliest tokens are sorted as that takes.

    Args:
        p: probabilities, `[rows, vocab]`.
        top_p: below 1.

    Returns:
        Probabilities, 0 where a token is outside of the set, and the tokens, ascending; both `[rows, some]`.
    """
    k, vocab = NUCLEUS, p.shape[-1]
    while True:
        k = min(k, vocab)
        values, ids = (p, torch.arange(vocab, device=p.device).expand_as(p)) if k == vocab else p.topk(k)
        ids, by_id = ids.sort(-1)
        values = values.gather(-1, by_id)
        ordered, order = values.sort(dim=-1, descending=True, stable=True)
        total = running_sum(ordered)
        # What has top_p before it is dropped.
        kept = torch.cat([torch.ones_like(total[:, :1]), total[:, :-1]], -1).lt(top_p)
        kept[:, 0] = True
        least = ordered.masked_fill(~kept, torch.inf).amin(-1)
        # Below the least likely one that is kept there must be another: its equals may lie outside of k.
        if k == vocab or bool((ordered[:, -1] < least).all()):
            return torch.zeros_like(values).scatter(-1, order, ordered.masked_fill(~kept, 0.0)), ids
        k *= 4
