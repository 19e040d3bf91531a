"""In which way can a model's texts be continued? Each is tried, and compared with passes without a cache."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mechcot.core.errors import SamplingError, said
from mechcot.models.anatomy import as_found
from mechcot.models.calling import CACHES, calling_of
from mechcot.models.causal import not_causal
from mechcot.models.devices import input_device, out_of_memory
from mechcot.models.edit_hooks import paused
from mechcot.models.rotary import forget_lengths, turn_of
from mechcot.models.rows import SHARED, WAYS, WHOLE, Ids, Rows, Way, common_start
from mechcot.models.tolerance import allowed_for

log = logging.getLogger(__name__)

STEPS = 4
"""Tokens by which the texts go on when a way is tried."""

WIDEST = 1024
"""Tokens that a layer with a window may see at once for it to be tried how texts share a beginning."""


@dataclass(frozen=True)
class Continued:
    """How a model's texts are continued truly.

    Attributes:
        way: the first way that is true.
        difference: of its logits from those without a cache, as a share of the largest logit.
        over_cache: the smallest such difference of the ways with a cache, or of a text's logits at the
            beginning of a longer one; None: no cache could be run.
        why: why it is not a way with a cache; "" if it is.
    """

    way: Way
    difference: float
    over_cache: float | None
    why: str = ""


def refuse_unknown(model: Any) -> None:
    """Refuse a model whose text so far, or whose padding, travels by a keyword that is not known here.

    Raises:
        SamplingError: it does.
    """
    calling = calling_of(model)
    missing = [
        what
        for what, there in (
            (f"a cache ({', '.join(CACHES)})", calling.cache is not None),
            ("an attention_mask", calling.takes("attention_mask")),
        )
        if not there
    ]
    if missing:
        raise SamplingError(
            f"{calling.name}: its forward takes no keyword for {' and none for '.join(missing)}, so its "
            "texts cannot be continued here. Sample it elsewhere and give the file as arms.NAME.traces"
        )


def way_of(model: Any, texts: Sequence[Ids], room: int) -> Continued:
    """Find the fastest way in which a model's texts go on as passes without a cache would have them.

    The shortest text, the longest one twice and another one of its length are read side by side; they go on
    by a few tokens, and a row is dropped on the way. The first of these tokens is the padding's id, which a
    model may draw as any other: where a cache is true but for that, it is used up to there. A text is also
    read as the beginning of a longer one, as long as any may become: where that changes its numbers, and no
    configuration says why, no cache is used. Edits (`models.interventions`) rest meanwhile: without a cache
    they do not know where a prompt ends.

    Args:
        model: a causal language model.
        texts: what is going to be continued, token ids.
        room: by how many tokens.

    Raises:
        SamplingError: no way is true; it sees later tokens; its own code fails; logits that are not finite;
            memory is short; see `refuse_unknown`.
    """
    refuse_unknown(model)
    with as_found(model), paused():
        try:
            found = _way_of(model, _extremes(model, texts, room), room)
        except Exception as error:
            if isinstance(error, SamplingError):
                raise
            if not out_of_memory(error):
                what = f"{type(model).__name__}: cannot be sampled, its own code raised {said(error)}"
                raise SamplingError(what) from error
            raise SamplingError(
                "memory is short even for the four texts on which it is tried how "
                f"{type(model).__name__} goes on ({said(error)}). Free memory, or "
                "lower sampling.max_new_tokens"
            ) from error
    if found.why:
        log.warning(
            "%s: %s; every token is a pass over its whole text, which is slow",
            type(model).__name__,
            found.why,
        )
    return found


def _way_of(model: Any, texts: Sequence[list[int]], room: int) -> Continued:
    allowed, name = allowed_for(model.get_input_embeddings().weight.dtype), type(model).__name__
    if why := not_causal(model, texts[1]):
        raise SamplingError(f"{why}. Sample it elsewhere and give the file as arms.NAME.traces")
    trials = [_Trial(model, texts, more) for more in _goings_on(model, texts, min(STEPS, room))]
    refused, over_cache = "", None
    off = _off_by_length(model, texts[0], texts[1], room, trials[0].plain[0][0])
    if off > allowed:
        refused = (
            f"the same text has other logits ({off:.2g} of the largest) at the beginning of a longer one, "
            "and its configuration does not say why"
        )
        over_cache = off
    for trial in () if refused else trials:
        for way in WAYS:
            try:
                difference = trial.difference(way)
                if difference <= allowed and trial is not trials[0]:
                    way = replace(way, until=trials[0].more[0][0])
                    difference = max(difference, trials[0].difference(way))
            except Exception as error:  # a cache may refuse in any way
                if out_of_memory(error):
                    raise
                refused = refused or f"{way}: {said(error)}"
                continue
            over_cache = difference if over_cache is None else min(over_cache, difference)
            if difference <= allowed:
                return Continued(way, difference, over_cache)
    if over_cache is not None and off <= allowed:
        refused = f"over its cache logits differ by {over_cache:.2g} of the largest, allowed is {allowed:.2g}"
    difference = trials[0].difference(WHOLE)
    if not difference <= allowed:
        raise SamplingError(
            f"{name} is not sampled truly: rows side by side differ from each by itself by {difference:.2g} "
            f"of the largest logit, allowed is {allowed:.2g} ({refused}). Sample it elsewhere and give the "
            "file as arms.NAME.traces"
        )
    return Continued(WHOLE, difference, over_cache, refused)


def shares(model: Any, way: Way, text: Ids, context: int) -> bool:
    """Whether texts that begin alike go on as each by itself would if their beginning is read once for all.

    It is tried on a beginning that is longer than what a layer sees at once; where that is wider than
    `WIDEST`, nothing is shared.

    Args:
        model: a causal language model.
        way: in which its texts go on (`way_of`).
        text: at least two tokens; texts are made of it.
        context: the most tokens that the model takes.
    """
    config = model.config.get_text_config()
    seen = max(getattr(config, name, None) or 0 for name in ("sliding_window", "attention_chunk_size"))
    length = max(SHARED, seen + 8)
    start, tail = _drawn_out(text, length)[:length], _drawn_out(text[::-1], 8)
    # Each differs from the others at once behind what all begin with.
    texts = [[*start, *tail[i : 2 + 3 * i]] for i in (0, 1, 2)]
    if seen > WIDEST or max(map(len, texts)) >= context:
        return False
    if way.select is None or not way.padded or common_start(texts) < length or turn_of(model.config):
        return False
    with as_found(model), paused(), torch.inference_mode():
        try:
            rows = Rows(model, way, texts, (1, 1, 1), 1, shared=True)
            off = _share(rows.logits, torch.stack([_last(model, one) for one in texts]))
            rows.add(torch.tensor([one[0] for one in texts]))
            plain = torch.stack([_last(model, [*one, one[0]]) for one in texts])
        except Exception as error:  # a model may keep its text in another way
            log.debug("%s: a common beginning is read for each text: %s", type(model).__name__, said(error))
            return False
        allowed = allowed_for(model.get_input_embeddings().weight.dtype)
        return max(off, _share(rows.logits, plain)) <= allowed


def _goings_on(model: Any, texts: Sequence[Ids], steps: int) -> list[list[list[int]]]:
    """How the texts go on while a way is tried: behind the padding's id, where there is one, and without."""
    more = [[text[i % len(text)] for i in range(steps)] for text in texts]
    pad = getattr(model.config.get_text_config(), "pad_token_id", None)
    if type(pad) is not int or not 0 <= pad < len(model.get_input_embeddings().weight) or steps < 2:
        return [more]
    return [[[pad, *added[1:]] for added in more], more]


class _Trial:
    """Texts that go on by some tokens, and their logits without a cache."""

    def __init__(self, model: Any, texts: Sequence[Ids], more: list[list[int]]) -> None:
        self.model, self.texts, self.more = model, texts, more

    @cached_property
    def plain(self) -> list[Tensor]:
        """Of each text its logits after each token, [steps + 1, vocab]."""
        plain = [
            torch.stack([_last(self.model, [*text, *added[:n]]) for n in range(len(added) + 1)])
            for text, added in zip(self.texts, self.more, strict=True)
        ]
        if not all(bool(torch.isfinite(logits).all()) for logits in plain):
            name = type(self.model).__name__
            raise SamplingError(f"{name}: its logits are not finite. Is the checkpoint sound?")
        return plain

    def difference(self, way: Way) -> float:
        """The largest difference of the logits of a way, as a share of the largest logit."""
        steps, of = len(self.more[0]), [0, 1, 1, 2]
        rows = Rows(self.model, way, self.texts, (1, 2, 1), steps)
        worst = 0.0
        for n in range(steps + 1):
            expected = torch.stack([self.plain[i][n] for i in of])
            worst = max(worst, _share(rows.logits, expected))
            if n == steps // 2 and steps > 1:
                rows.keep(torch.tensor([0, 2, 3]))
                of = [0, 1, 2]
            if n < steps:
                rows.add(torch.tensor([self.more[i][n] for i in of]))
        return worst


def _extremes(model: Any, texts: Sequence[Ids], room: int) -> tuple[list[int], list[int], list[int]]:
    """The shortest and the longest text, and the longest one backwards.

    The longest is drawn out to where its rotary factors are going to change.
    """
    ordered = sorted(texts, key=len)
    short, long = list(ordered[0]), list(ordered[-1])
    if len(short) == len(long):
        short = short[: max(1, len(short) // 2)]
    turn = turn_of(model.config)
    if turn is not None and len(long) < turn.at <= len(long) + room:
        long = _drawn_out(long, turn.at - 1)
    return short, long, long[::-1]


def _drawn_out(text: Ids, length: int) -> list[int]:
    """A text repeated up to a length."""
    return [text[i % len(text)] for i in range(max(length, len(text)))]


def _off_by_length(model: Any, short: list[int], long: list[int], room: int, plain: Tensor) -> float:
    """How far a text's logits change where it is the beginning of a longer one; 0 where that is known."""
    if turn_of(model.config) is not None:
        return 0.0
    whole, place = _drawn_out([*short, *long], len(long) + room)[: len(long) + room], len(short) - 1
    takes = calling_of(model).known(logits_to_keep=slice(place, place + 1))  # a tensor would need a device
    logits = model(input_ids=_batch(model, whole), use_cache=False, **takes).logits[0]
    return _share(logits[0 if takes else place].float(), plain)


def _last(model: Any, text: Ids) -> Tensor:
    """Logits after a text by itself, without a cache, [vocab]."""
    turn = turn_of(model.config)
    if turn is not None and not turn.steady:
        forget_lengths(model)
    takes = calling_of(model).known(logits_to_keep=1)
    logits: Tensor = model(input_ids=_batch(model, text), use_cache=False, **takes).logits
    return logits[0, -1].float()


def _batch(model: Any, text: Ids) -> Tensor:
    return torch.tensor([list(text)], device=input_device(model))


def _share(logits: Tensor, plain: Tensor) -> float:
    """The largest difference as a share of the largest logit; infinite where it is no number."""
    share = float((logits - plain).abs().max() / plain.abs().max())
    return share if share == share else float("inf")
