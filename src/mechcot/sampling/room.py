"""Fewer rows at a time where memory is short."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from mechcot.core.errors import SamplingError
from mechcot.models.devices import out_of_memory, release

log = logging.getLogger("mechcot")

Made = TypeVar("Made")


@dataclass(frozen=True)
class Prompt:
    """A question's prompt: its id and token ids."""

    qid: str
    ids: tuple[int, ...]


Batch = Sequence[tuple[Prompt, tuple[int, ...]]]
"""Questions that are decoded together, each with its samples."""


@dataclass
class Room:
    """How many rows the memory has had room for so far."""

    rows: int

    def within(
        self, decoded: Callable[[Batch], list[Made]], batch: Batch, device: torch.device
    ) -> list[Made]:
        """Decode a batch in as many parts as the memory asks for; the draws of a row are its own in each.

        Args:
            decoded: decodes some rows, in their order.
            batch: what to decode.
            device: where.

        Raises:
            SamplingError: memory is short for a single row.
        """
        rows = sum(len(cids) for _, cids in batch)
        if rows <= self.rows:
            try:
                return decoded(batch)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                why = str(error).partition("\n")[0]
            # Outside the handler: the error's frames hold the tensors that were too many.
            release(device)
            if rows == 1:
                raise SamplingError(
                    f"question '{batch[0][0].qid}': memory is short even for one completion ({why}). Free "
                    "memory, or lower sampling.max_new_tokens; what was sampled stays"
                )
            self.rows = rows // 2
            log.warning("memory is short for %d rows (%s); going on with %d at a time", rows, why, self.rows)
        return [made for part in halves(batch) for made in self.within(decoded, part, device)]


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The first half of a batch's rows and the rest; a question's samples may be parted."""
    left = sum(len(cids) for _, cids in batch) // 2
    first, second = [], []
    for prompt, cids in batch:
        here, there = cids[:left], cids[left:]
        left -= len(here)
        first += [(prompt, here)] if here else []
        second += [(prompt, there)] if there else []
    return first, second
