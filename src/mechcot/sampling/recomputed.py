"""Log-probabilities as a server lists them beside those of an arm's own weights, on a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mechcot.core.results import Result
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.devices import input_device
from mechcot.sampling.retold import Listed

MOST = 8
"""Texts that are recomputed."""


@dataclass(frozen=True)
class Recomputed(Result):
    """How far a server's log-probabilities are from a recomputation with the arm's weights.

    Attributes:
        n_texts: compared, token by token.
        n_otherwise: not compared: the server lists another number of tokens than the text has here.
        n_tokens: compared.
        mean_absolute: difference of a token, nats.
        largest: absolute difference of a token, nats.
        mean: server less recomputation, nats a token.
    """

    n_texts: int
    n_otherwise: int
    n_tokens: int
    mean_absolute: float | None
    largest: float | None
    mean: float | None


def recomputed(checkpoint: Checkpoint, listed: Sequence[Listed]) -> Recomputed:
    """Compare the first texts that have log-probabilities.

    Args:
        checkpoint: the arm's weights.
        listed: texts; those without log-probabilities are passed over.
    """
    some = [one for one in listed if one.logprobs][:MOST]
    gaps, otherwise = [], 0
    for one in some:
        # A server may list the end of text or not.
        if len(one.token_ids) - len(one.logprobs) not in (0, 1):
            otherwise += 1
            continue
        own = token_logprobs(checkpoint, one.prompt_ids, one.token_ids)
        gaps.append(np.array(one.logprobs) - own[: len(one.logprobs)])
    found = np.concatenate(gaps) if gaps else np.empty(0)
    if not found.size:
        return Recomputed(len(gaps), otherwise, 0, None, None, None)
    return Recomputed(
        len(gaps),
        otherwise,
        int(found.size),
        float(np.abs(found).mean()),
        float(np.abs(found).max()),
        float(found.mean()),
    )


@torch.inference_mode()
def token_logprobs(checkpoint: Checkpoint, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> np.ndarray:
    """Log-probability of each token behind a prompt at temperature 1, nats, `[tokens]`."""
    ids = torch.tensor([[*prompt_ids, *token_ids]], device=input_device(checkpoint.model))
    logits = checkpoint.model(input_ids=ids).logits[0, len(prompt_ids) - 1 : -1].float()
    asked = ids[0, len(prompt_ids) :].to(logits.device)
    found = torch.log_softmax(logits, -1).gather(-1, asked[:, None])[:, 0]
    return np.asarray(found.double().cpu().numpy())
