"""The headline pair of a study in one line."""

from __future__ import annotations

from typing import Any


def headline(summary: dict[str, Any]) -> str:
    """The headline pair in one line."""
    before, after = summary["contrast"]["before"], summary["contrast"]["after"]
    answers = [summary["answers"][arm] for arm in (before, after)]
    audits = [summary["audit"][arm] for arm in (before, after)]
    sc, error = ([row[key] for row in rows] for rows, key in ((answers, "sc"), (audits, "error_rate")))
    judged = " and ".join(str(row["n_judged"]) for row in audits)
    return (
        f"SC@{answers[0]['k']} {_arrow(sc)} ({answers[0]['n_questions']} questions), "
        f"step error {_arrow(error)} ({judged} judged steps)"
    )


def _arrow(pair: list[Any]) -> str:
    """Two rates, or `?` for one that has no value."""
    return " -> ".join("?" if isinstance(rate, dict) else f"{rate:.3f}" for rate in pair)
