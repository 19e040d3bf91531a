"""A small sample to read: questions and traces out of words of a checkpoint's own vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mechcot.core.errors import ModelError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.models.checkpoint import Checkpoint
from mechcot.reading.inputs import LeadIn, QuestionInput, Seam, TraceInput, forced_length
from mechcot.tasks import Question, forced_ids, render_prompt
from mechcot.tasks.multiple_choice import prompt_format

TRACE_TOKENS = 48
"""Tokens of the longest trace, where no sliding window asks for more."""

_STEP_WORDS = 6


def sample_questions(
    checkpoint: Checkpoint, *, trace_tokens: int = TRACE_TOKENS, seed: int = 0
) -> list[QuestionInput]:
    """Two questions with traces, lead-ins and options, out of words of the checkpoint's vocabulary.

    Args:
        checkpoint: the checkpoint.
        trace_tokens: tokens of the longest trace at least, if the model has room for them.
        seed: of the choice of words.

    Raises:
        ModelError: the vocabulary has too few words, or the model too few positions.
    """
    tokenizer, rng = checkpoint.tokenizer, np.random.default_rng(seed)
    words = _words(checkpoint)
    form = prompt_format(
        PromptSettings(
            question="{stem} {options}",
            option="{text}",
            separator=" ",
            chat=bool(tokenizer.chat_template),
            answer_form="text",
            lead_in=(" ".join(words[:2]) + " ",),
            terminator=None,
        )
    )

    def say(n: int) -> str:
        return " ".join(words[i] for i in rng.integers(0, len(words), n))

    questions = []
    for number, cids in enumerate(((0, 1), (0,))):
        options = (words[2], f"{words[3]} {words[4]}", words[5])
        question = Question(f"sample {number}", "check", say(4 + number), options, 0, "")
        prompt = render_prompt(question, form, tokenizer)[1]
        lead = LeadIn(*forced_ids(question, form.lead_in[0], form, tokenizer))
        bare = LeadIn((), tuple((*lead.ids, *option) for option in lead.options[:2]))
        forced = (LeadIn(lead.ids, lead.options[:2]), bare)
        room = (checkpoint.context or 2**20) - len(prompt) - forced_length(forced)
        start = token_ids(tokenizer, say(3))
        traces = [
            _trace(checkpoint, question.qid, cid, start, say, min(trace_tokens, room) // (1 + cid + number))
            for cid in cids
        ]
        questions.append(QuestionInput(question.qid, prompt, tuple(_with_seam(traces, forced)), forced))
    return questions


def _trace(
    checkpoint: Checkpoint, qid: str, cid: int, start: list[int], say: Callable[[int], str], tokens: int
) -> TraceInput:
    tokenizer, ids, spans = checkpoint.tokenizer, list(start), [(0, 0, len(start))]
    while len(ids) < tokens:
        first = len(ids)
        ids += token_ids(tokenizer, " " + say(_STEP_WORDS))
        spans.append((len(spans), first, min(len(ids), tokens)))
    if tokens < len(start) + 2:
        raise ModelError(f"{checkpoint.name}: its {checkpoint.context} positions are too few for a sample")
    return TraceInput(qid, "sample", cid, tuple(ids[:tokens]), tuple(spans))


def _with_seam(traces: Sequence[TraceInput], forced: Sequence[LeadIn]) -> Iterator[TraceInput]:
    """The traces, the second step of each asked as if it ended inside its last token."""
    for trace in traces:
        _, start, end = trace.steps[1]
        rest = trace.token_ids[start]
        yield replace(trace, seams={1: Seam(end - 1, tuple((rest, *lead.ids) for lead in forced))})


def _words(checkpoint: Checkpoint, n: int = 64) -> list[str]:
    """Words that the tokenizer knows and the model has rows for, from all over the vocabulary."""
    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    rows = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    special = {int(i) for i in tokenizer.all_special_ids}
    size = min(len(tokenizer), rows)
    words: dict[tuple[int, ...], str] = {}
    for token in dict.fromkeys(np.linspace(0, size - 1, min(size, 16 * n)).astype(int).tolist()):
        word = tokenizer.decode([token]).strip() if token not in special else ""
        ids = tuple(token_ids(tokenizer, word)) if word and not any(c.isspace() for c in word) else ()
        if ids and max(ids) < rows and not special & set(ids):
            words.setdefault(ids, word)
    if len(words) < 6:
        raise ModelError(f"{checkpoint.name}: found {len(words)} words in its vocabulary; a sample needs 6")
    found = list(words.values())
    return [found[i] for i in np.linspace(0, len(found) - 1, min(n, len(found))).astype(int)]


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """A text's tokens, without special ones."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
