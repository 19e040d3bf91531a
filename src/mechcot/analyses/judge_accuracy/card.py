"""The card of an instrument: what it is, and what its verdicts were worth on public labels."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from mechcot.core.words import Table, score, why
from mechcot.report.markdown import escaped, table

if TYPE_CHECKING:
    from mechcot.analyses.judge_accuracy.analysis import JudgeAccuracy, Rate

_LIMITS = (
    "These labels are of other texts than a study's: a judge that is good at them may be worse at yours. A "
    "sheet for people (`mechcot sheet draw`) measures it on your own steps.",
    "Public labels may have been seen in training by the model that judges.",
    "What stands behind a first wrong step is not labelled and counts for nothing.",
)


def rates_table(result: JudgeAccuracy) -> Table:
    """The shares with their intervals and denominators."""
    rows = tuple((one.name, _share(one), f"{one.n:,} {one.unit}") for one in result.rates)
    note = (
        "F1 is the harmonic mean of the two shares below it (ProcessBench). Intervals: 95 %, jackknife of "
        "problems, whose solutions are left out together. An abstention counts as not called wrong."
    )
    return Table("", ("share", "value [95 % interval]", "of"), rows, note)


def _share(one: Rate) -> str:
    leaf = one.share.to_json()
    reason = why(leaf)
    return f"not known: {reason}" if reason else score(leaf)


def terminal_text(result: JudgeAccuracy) -> str:
    """The result for a terminal."""
    head = (
        f"{result.instrument} on {PurePath(result.labels).name} ({result.form}): {result.n_solutions:,} "
        f"solutions of {result.n_problems:,} problems"
    )
    return "\n".join([head, "", rates_table(result).text(), "", *_counts(result)])


def _counts(result: JudgeAccuracy) -> list[str]:
    told = [
        f"Right answers {'shown' if result.shown_answer else 'not shown'} to the judge; abstained on "
        f"{result.n_abstained:,} labelled steps; {result.n_failed:,} solutions without an answer, as a "
        f"call failed."
    ]
    if result.left_out:
        parts = "; ".join(f"{n:,} {reason}" for reason, n in result.left_out.items())
        told.append(f"Rows of the file that are no labelled solutions: {parts}.")
    return told


def card(result: JudgeAccuracy) -> str:
    """The card as Markdown; what a model or a file said is escaped."""
    about = result.about
    told = [
        ("model, as the server names it", about.get("returned_model")),
        ("model that was asked for", about.get("model")),
        ("digest of the instrument", about.get("digest")),
        (
            "shown beside the step",
            ", ".join(k for k, v in dict(about.get("fields") or {}).items() if v) or None,
        ),
        ("labels it may give", ", ".join(about.get("labels") or ()) or None),
        ("the server enforces the schema", about.get("server_enforces_schema")),
    ]
    usage = dict(about.get("usage") or {})
    took = ("calls", "prompt_tokens", "completion_tokens", "cost")
    told += [(name.replace("_", " "), usage.get(name)) for name in took]
    instrument = Table("", ("", ""), tuple((name, str(value)) for name, value in told if value is not None))
    rates = rates_table(result)
    parts = [
        f"# {escaped(result.instrument)}: accuracy on labelled steps",
        f"{result.n_solutions:,} solutions of {result.n_problems:,} problems in "
        f"{escaped(PurePath(result.labels).name)} ({result.form}), judged step by step.",
        table(rates),
        rates.note,
        " ".join(_counts(result)),
        "## The instrument",
        table(instrument),
        "## What this does not show",
        "\n".join(f"- {limit}" for limit in _LIMITS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
