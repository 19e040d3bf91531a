"""Rows put together for a forward pass: padded, or behind each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.core.errors import ModelError
from mechcot.distill.masks import IGNORED, Row


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """A batch padded on the right, `[rows, longest]`; the attention mask comes from the lengths."""
    longest = max(len(row.input_ids) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    labels = np.full((len(rows), longest), IGNORED, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        length = len(row.input_ids)
        ids[i, :length], labels[i, :length], mask[i, :length] = row.input_ids, row.labels, 1
    batch = {"input_ids": ids, "labels": labels, "attention_mask": mask}
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def pack(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """A batch without padding, `[1, all tokens]`: positions that begin again part its rows.

    Without a mask, transformers makes one from such positions. The first token of a row is never trained: it
    would follow the row before.
    """
    labels = [row.labels.copy() for row in rows]
    for own in labels:
        own[0] = IGNORED
    batch = {
        "input_ids": np.concatenate([row.input_ids for row in rows]),
        "labels": np.concatenate(labels),
        "position_ids": np.concatenate([np.arange(len(row.input_ids)) for row in rows]),
    }
    return {name: torch.from_numpy(values.astype(np.int64))[None] for name, values in batch.items()}


_APART = {torch.float32: 1e-3, torch.bfloat16: 3e-2}
"""Nats by which a row's tokens may differ beside others, on average, from what they are alone."""


def check_packing(model: Any, rows: Sequence[Row], base: Path) -> None:
    """Refuse a model whose rows see each other when they lie behind each other.

    Raises:
        ModelError: with how far they are off.
    """
    model.eval()
    with torch.inference_mode():
        device = model.get_input_embeddings().weight.device

        def logp(batch: dict[str, torch.Tensor]) -> torch.Tensor:
            batch = {name: values.to(device) for name, values in batch.items() if name != "labels"}
            found = model(**batch, use_cache=False).logits[0].float().log_softmax(-1)
            return found.gather(1, batch["input_ids"][0].roll(-1)[:, None])[:, 0]

        beside = torch.split(logp(pack(rows)), [len(row.input_ids) for row in rows])
        off = [
            float((logp(collate([row])) - own)[:-1].abs().mean())
            for row, own in zip(rows, beside, strict=True)
            if len(row.input_ids) > 1
        ]
    model.train()
    if max(off, default=0.0) > _APART[next(model.parameters()).dtype]:
        raise ModelError(
            f"{base}: rows that lie behind each other see each other ({max(off):.2g} nats a token off in the "
            "model's own check). Set packing=false"
        )
