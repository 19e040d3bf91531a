"""Heat maps of commitment: one trace, step by option."""

from __future__ import annotations

import textwrap

import plotly.graph_objects as go

from mechcot.core.words import counted
from mechcot.report.areas import Cell, heat_map
from mechcot.report.figures import AFTER, Json
from mechcot.report.page import VERDICTS
from mechcot.report.palette import of_arm

_WIDTH, _LINES = 56, 6
"""Of a step's text in a hover."""


def trace_map(found: Json, *, colour: str | None = None) -> go.Figure:
    """What a reader answers after each step of one trace: options by steps, the step's text on hover.

    Args:
        found: `TraceCommitment.to_json()`.
        colour: of certainty; None: that of the author.
    """
    rows, options = found["prefixes"], found["options"]
    shade = colour or of_arm(found, found["author"], AFTER)
    lock = found["lock"]
    locked = isinstance(lock, int)
    if locked:
        where = "at the prompt" if lock == 0 else f"after {counted(lock, 'step')}"
        statement = f"Settled {where}: {options[found['answer']]}"
    else:
        statement = f"Never settled on what it answers: {options[found['answer']]}"
    marks = {option: _mark(option, found) for option in range(len(options))}
    cells = [
        [
            Cell(
                row[f"p_{option}"],
                f"{100 * row[f'p_{option}']:.0f} %",
                _hover(row, name, option),
                locked and option == found["answer"] and row["k"] >= lock,
            )
            for row in rows
        ]
        for option, name in enumerate(options)
    ]
    legend = sorted({row["label"] for row in rows[1:] if row["label"]})
    said = "; ".join(f"{VERDICTS[label][0]} {VERDICTS[label][1]}" for label in legend if label in VERDICTS)
    caption = (
        f"Question {found['qid']}, trace {found['cid']} of {found['author']}, read by {found['reader']}: "
        "probability of each option when forced after so many steps. Framed: the trace's own answer from the "
        "lock on."
        f"{' Steps: ' + said + '.' if said else ''}"
    )
    columns = [
        f"{row['k']} {VERDICTS.get(row['label'], ('',))[0] if row['label'] else ''}".strip() for row in rows
    ]
    names = [f"{name} {marks[option]}".strip() for option, name in enumerate(options)]
    return heat_map(statement, caption, names, columns, cells, shade, across="steps read", ends=(0, 1))


def _mark(option: int, found: Json) -> str:
    told = [word for word, key in (("own", "answer"), ("right", "gold")) if found[key] == option]
    return f"({', '.join(told)})" if told else ""


def _hover(row: Json, name: str, option: int) -> str:
    head = f"P({name}) = {row[f'p_{option}']:.3f}"
    if row["k"] == 0:
        return f"{head}\nat the prompt"
    lines = textwrap.wrap(row["text"], _WIDTH)
    cut = lines[:_LINES] + (["..."] if len(lines) > _LINES else [])
    verdict = VERDICTS.get(row["label"], ("", row["label"]))[1] if row["label"] else ""
    return "\n".join([head, f"after step {row['k']}{': ' + verdict if verdict else ''}", *cut])
