"""Texts that go on token by token, side by side, each as a plain pass over it alone would have it.

What a model keeps of a text differs by family: keys and values, states of a recurrence, or nothing that is
handed back. `ways.way_of` finds out how a model's texts go on truly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mechcot.core.errors import SamplingError
from mechcot.models.calling import Calling, cache_in, calling_of
from mechcot.models.devices import input_device
from mechcot.models.rotary import Turn, forget_lengths, turn_of

Ids = Sequence[int]


@dataclass(frozen=True)
class Way:
    """How texts go on.

    Attributes:
        select: the cache's method that copies and drops rows; None: no cache, each token is a pass over the
            whole text.
        padded: whether texts of unlike length share a pass, padded on the left.
        until: a token behind which the cache is not true any more, so that each further one is a pass over
            the whole text (RoBERTa counts no place for its padding's id); None: there is none.
    """

    select: str | None
    padded: bool
    until: int | None = None

    def __str__(self) -> str:
        """In words."""
        if self.select is None:
            return "without a cache"
        return f"with a cache ({self.select}), {'padded' if self.padded else 'texts of one length together'}"


WAYS = tuple(
    Way(select, padded) for padded in (True, False) for select in ("batch_select_indices", "reorder_cache")
)
"""With a cache, the fastest first. Caches of states know the second method alone."""

WHOLE = Way(None, padded=False)

SHARED = 64
"""From so many tokens on, what all texts of a pass begin with is read once, where that is asked for."""


class Rows:
    """Rows of texts under way.

    Args:
        model: a causal language model, in evaluation mode.
        way: how they go on.
        prompts: how the texts begin, token ids.
        counts: how many rows go on from each prompt.
        room: by how many tokens they may go on.
        shared: whether what padded prompts all begin with is read once (`ways.shares`); numbers then hang, by
            rounding, on which prompts stand beside each other.

    Raises:
        SamplingError: a pass hands back no cache, and the way needs one.
    """

    def __init__(
        self,
        model: Any,
        way: Way,
        prompts: Sequence[Ids],
        counts: Sequence[int],
        room: int,
        *,
        shared: bool = False,
    ) -> None:
        lengths, turn = [len(prompt) for prompt in prompts], turn_of(model.config)
        # Where the longest text of a pass decides how all are turned, only texts of one length share passes.
        level = not way.padded or (turn is not None and max(lengths) + room > turn.at)
        together: dict[int, list[int]] = {}
        for number, length in enumerate(lengths):
            together.setdefault(length if level else 0, []).append(number)
        self._groups: list[_Group] = []
        first = [sum(counts[:number]) for number in range(len(counts))]
        for members in together.values():
            rows = [first[i] + n for i in members for n in range(counts[i])]
            index = [k for k, i in enumerate(members) for _ in range(counts[i])]
            texts = [prompts[i] for i in members]
            common = common_start(texts) if shared and way.select is not None and not level else 0
            group = _Group(model, way, texts, index, turn if level else None, common)
            group.rows = torch.tensor(rows)
            self._groups.append(group)
        self._n = sum(counts)

    @property
    def logits(self) -> Tensor:
        """Of the next token of each row, [rows, vocab], float32."""
        if len(self._groups) == 1:
            return self._groups[0].logits
        like = self._groups[0].logits
        logits = like.new_empty(self._n, like.shape[1])
        for group in self._groups:
            logits[group.rows] = group.logits
        return logits

    def keep(self, index: Tensor) -> None:
        """Drop all rows but these, [kept], ascending, on the host; they are numbered anew."""
        if len(self._groups) == 1:
            self._groups[0].keep(index)
        else:
            place = torch.full((self._n,), -1)
            place[index] = torch.arange(len(index))
            for group in self._groups:
                here = (place[group.rows] >= 0).nonzero()[:, 0]
                group.rows = place[group.rows[here]]
                if len(here) < len(group.logits):
                    group.keep(here)
            self._groups = [group for group in self._groups if len(group.rows)]
        self._n = len(index)

    def add(self, tokens: Tensor) -> None:
        """Put a token to each row, [rows]."""
        for group in self._groups:
            group.add(tokens if len(self._groups) == 1 else tokens[group.rows])


def common_start(texts: Sequence[Ids]) -> int:
    """How many tokens all of several texts begin with, one left to each; 0 if fewer than `SHARED`."""
    first, last = min(map(list, texts)), max(map(list, texts))  # the two that differ first
    most = min(map(len, texts)) - 1
    same = next((i for i in range(most) if first[i] != last[i]), most)
    return same if same >= SHARED and len(texts) > 1 else 0


class _Group:
    """Rows that share passes: of any length, or of one length (`turn` or a way that is not padded)."""

    rows: Tensor

    def __init__(
        self,
        model: Any,
        way: Way,
        texts: Sequence[Ids],
        index: list[int],
        turn: Turn | None,
        common: int,
    ) -> None:
        self._model, self._way, self._turn = model, way, turn
        self._calling: Calling = calling_of(model)
        device, longest = input_device(model), max(map(len, texts))
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        mask = torch.zeros(len(texts), longest, dtype=torch.long)
        for i, text in enumerate(texts):
            ids[i, longest - len(text) :] = torch.tensor(list(text))
            mask[i, longest - len(text) :] = 1
        self._ids, self._mask = ids.to(device), mask.to(device)
        self._read(common)
        self._take(torch.tensor(index))

    def _read(self, common: int = 0) -> None:
        """Pass over all of the texts, or over what stands behind the tokens that all begin with."""
        self._forget()
        begun = self._begun(common) if common else {"use_cache": self._way.select is not None}
        output = self._model(
            input_ids=self._ids[:, common:],
            **({"attention_mask": self._mask} if self._way.padded else {}),
            **self._positions((self._mask.cumsum(1) - 1).clamp(min=0)[:, common:]),
            **self._calling.known(logits_to_keep=1, **begun),
        )
        self._cache = cache_in(output) if self._way.select is not None else None
        if self._way.select is not None and self._cache is None:
            raise SamplingError(f"{self._calling.name}: a pass with use_cache=True hands back no cache")
        self._lengths = self._mask.sum(1)
        self.logits = output.logits[:, -1].float()

    def _begun(self, common: int) -> dict[str, Any]:
        """The keywords of a pass that goes on behind the first tokens, which are read once for all rows.

        A row's keys and values are moved behind its padding. All of them are kept, also where a layer's
        window is shorter, since a shorter row's window begins earlier.
        """
        from transformers import DynamicCache

        cache, pads = DynamicCache(), (self._mask == 0).sum(1)
        text = self._ids[:1, int(pads[0]) :][:, :common]
        self._model(input_ids=text, **self._calling.known(logits_to_keep=1), **self._calling.going_on(cache))
        place = (torch.arange(common, device=pads.device) - pads[:, None]).clamp(min=0)
        for layer in cache.layers:
            at = place.to(layer.keys.device)
            layer.keys, layer.values = (
                states[0][:, at].transpose(0, 1) for states in (layer.keys, layer.values)
            )
        return self._calling.going_on(cache)

    def _positions(self, ids: Tensor) -> dict[str, Tensor]:
        """Where tokens stand, if texts are padded; else the model counts, some not from 0 (RoBERTa)."""
        return self._calling.known(position_ids=ids) if self._way.padded else {}

    def _take(self, index: Tensor) -> None:
        """Take rows as often as they stand in the index, on the host: layers may lie on several devices."""
        if self._way.select is not None:
            getattr(self._cache, self._way.select)(index)
        self._ids, self._mask, self._lengths = self._ids[index], self._mask[index], self._lengths[index]
        self.logits = self.logits[index]

    def keep(self, index: Tensor) -> None:
        self._take(index)

    def add(self, tokens: Tensor) -> None:
        tokens = tokens.to(self._ids.device)
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        if self._way.select is None or self._turned() or self._outrun():
            self._read()
            return
        self._forget()
        output = self._model(
            input_ids=tokens[:, None],
            **({"attention_mask": self._mask} if self._way.padded else {}),
            **self._positions(self._lengths[:, None]),
            **self._calling.going_on(self._cache),
        )
        self._lengths = self._lengths + 1
        self.logits = output.logits[:, -1].float()

    def _forget(self) -> None:
        """Let no longer text, of another group or of before, decide how this pass is turned."""
        turn = turn_of(self._model.config)
        if turn is not None and not turn.steady:
            forget_lengths(self._model)

    def _outrun(self) -> bool:
        """Whether a text holds the token behind which the cache is not true."""
        if self._way.until is None:
            return False
        return bool(((self._ids == self._way.until) & (self._mask > 0)).any())

    def _turned(self) -> bool:
        """Whether the cache was turned in another way than a text of this length is."""
        if self._turn is None:
            return False
        length = self._ids.shape[1]
        return length > self._turn.at and (length == self._turn.at + 1 or not self._turn.steady)
