"""Completions that say nothing: now and then a model writes one."""

from __future__ import annotations

from collections.abc import Sequence

from mechcot.core.errors import SamplingError

MOST_EMPTY = 0.02
"""The share of an arm's completions that may say nothing: each is without an answer."""


def refuse_empty(empty: Sequence[tuple[str, int]], total: int, arm: str) -> None:
    """Refuse an arm that often says nothing; now and then a model does, and that is no answer.

    Args:
        empty: question and sample of each completion that says nothing.
        total: how many completions the arm has.
        arm: its name.

    Raises:
        SamplingError: more than `MOST_EMPTY` of them are.
    """
    if len(empty) > MOST_EMPTY * total:
        qid, cid = empty[0]
        raise SamplingError(
            f"arm {arm}: {len(empty)} of its {total} completions are empty (first: question '{qid}', sample "
            f"{cid}), more than {MOST_EMPTY:.0%}. Check the prompt format and the chat template"
        )
