"""Does a model see no token that comes later? Else a text would be read, and written, with its own future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mechcot.models.anatomy import as_found
from mechcot.models.calling import calling_of
from mechcot.models.devices import input_device
from mechcot.models.tolerance import allowed_for

ROWS = 32
"""So many rows before the place where two texts part are compared: the nearest hear of it first."""

SHORT = 4
"""So many tokens are run by themselves, and with as many behind them."""


def not_causal(model: Any, ids: Sequence[int]) -> str:
    """Why a model's logits are not those of a text's beginning; "" if they are.

    A text is run with two second halves of one length: some models turn with the length of a text, which is
    another matter. That holds for long ones; a few tokens alone are run with and without a few behind them.

    Args:
        model: a causal language model, as it says.
        ids: a text, token ids.
    """
    half, size = max(1, len(ids) // 2), len(model.get_input_embeddings().weight)
    later = list(reversed(ids[half:]))
    if later == [*ids[half:]]:
        later = [(token + 1) % size for token in later]
    pairs: list[tuple[str, int, Sequence[int], Sequence[int]]] = [
        (f"another second half of {len(ids)} tokens", half, ids, [*ids[:half], *later])
    ]
    if len(ids) > SHORT:
        pairs.append((f"{SHORT} more behind {SHORT} tokens", SHORT, ids[:SHORT], ids[: 2 * SHORT]))
    name, allowed = type(model).__name__, allowed_for(model.get_input_embeddings().weight.dtype)
    for what, common, one, other in pairs:
        with as_found(model):
            rows = [_rows(model, text, common) for text in (one, other)]
        if rows[0] is None or rows[1] is None:
            return (
                f"{name}: gives other rows of logits than one a token, so none is known to follow its token"
            )
        off = float((rows[0] - rows[1]).abs().max() / rows[0].abs().max())
        if off > allowed:
            return (
                f"{name}: is not causal: with {what} its logits over what comes before move by {off:.2g} of "
                "the largest. Only a model that sees no later tokens is sampled and read; a family of "
                "encoders needs is_decoder in its config.json"
            )
    return ""


def _rows(model: Any, text: Sequence[int], stop: int) -> Tensor | None:
    """Logits at the last of a text's first tokens, [rows, vocab], float32; None: they are not the tokens'."""
    first = max(0, stop - ROWS)
    takes = calling_of(model).known(logits_to_keep=slice(first, stop))  # a tensor would need a device
    tokens = torch.tensor([list(text)], device=input_device(model))
    found: Tensor = model(input_ids=tokens, use_cache=False, **takes).logits[0]
    if len(found) != (stop - first if takes else len(text)):
        return None
    return (found if takes else found[first:stop]).float()
