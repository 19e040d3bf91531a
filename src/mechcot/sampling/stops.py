"""Where a completion that goes on has ended: at a text of the settings, or once it has answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mechcot.core.sampling_settings import SamplingSettings
from mechcot.tasks import PromptFormat, Question, finished_at
from mechcot.tasks.tokens import decode

Stop = Callable[[str, Sequence[int]], int | None]
"""From a question's id and the tokens so far: how many of them are the completion, None: it goes on."""


def stop_of(
    settings: SamplingSettings, questions: Mapping[str, Question], form: PromptFormat, tokenizer: Any
) -> Stop | None:
    """How completions are stopped; None: by the end of text and the token limit alone.

    What stands from a stop string, or behind the answer, on is left out; a stop string that the text
    begins with ends nothing. A text is looked at for its
    answer when a line ends; a token that holds the end of the answer's line and more stays whole.

    Args:
        settings: `stop` and `stop_at_answer`.
        questions: by id.
        form: how answers are asked for.
        tokenizer: the checkpoint's.
    """
    at_answer = settings.stop_at_answer and not form.exact
    if not at_answer and not settings.stop:
        return None
    ends_line: dict[int, bool] = {}

    def stop(qid: str, ids: Sequence[int]) -> int | None:
        last = ids[-1]
        if last not in ends_line:
            ends_line[last] = "\n" in decode(tokenizer, [last])
        if not settings.stop and not ends_line[last]:
            return None
        text = decode(tokenizer, ids)
        begins = _past(text, settings.stop)
        found = [at for mark in settings.stop if (at := text.find(mark, begins)) >= 0]
        if at_answer and ends_line[last]:
            end = finished_at(text, questions[qid], form)
            found += [end] if end is not None else []
        return _tokens_up_to(tokenizer, ids, min(found)) if found else None

    return stop


def kept_of(stop: Stop | None, qid: str, ids: Sequence[int]) -> int | None:
    """How many of a whole text's tokens are the completion, had it been stopped as it was written.

    Args:
        stop: as `stop_of` makes it.
        qid: of the question.
        ids: tokens of the text.

    Returns:
        None: all of them.
    """
    if stop is None:
        return None
    found = (stop(qid, ids[:count]) for count in range(1, len(ids) + 1))
    return next((kept for kept in found if kept), None)  # a completion that would be empty goes on


def _past(text: str, marks: Sequence[str]) -> int:
    """Where a text goes on behind the stop strings that it begins with: they have nothing to end."""
    at = 0
    while mark := next((mark for mark in marks if mark and text.startswith(mark, at)), None):
        at += len(mark)
    return at


def _tokens_up_to(tokenizer: Any, ids: Sequence[int], end: int) -> int:
    """How many tokens hold the first `end` characters."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(decode(tokenizer, ids[:middle])) >= end:
            high = middle
        else:
            low = middle + 1
    return low
