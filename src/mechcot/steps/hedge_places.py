"""Where a claim could be hedged, as the task's own language hedges it."""

from __future__ import annotations

from typing import Any

from mechcot.tasks import Question, Task


def hedge_token(task: Task, question: Question, text: str, tokenizer: Any) -> int | None:
    """The first token of the task's hedge where a step's claim would be hedged.

    None: the step makes no claim, or the tokenizer does not know the word.

    Args:
        task: it reads claims and knows their hedged form.
        question: the step's.
        text: of the step.
        tokenizer: of the checkpoint.
    """
    if task.claim is None or task.hedge_pair is None:
        return None
    claim, pair = task.claim(question, text), task.hedge_pair(question, text)
    if claim is None or pair is None:
        return None
    word = pair[0][claim.decision_char :].split(maxsplit=1)[0]
    token = int(tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0])
    return None if token == tokenizer.unk_token_id else token
