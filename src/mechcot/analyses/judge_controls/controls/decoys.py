"""Planted statements of known truth, in the words of each arm or from a file: how the judge treats them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from mechcot.analyses.judge_controls.control import ITEM, Control, Finding, Items, Json, Setup, alone
from mechcot.analyses.judge_controls.counts import DECIDED, Arms, Estimates
from mechcot.analyses.judge_controls.wording import ROLES, drawn, points, share
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.records import LABELS
from mechcot.core.results import SPREAD, Paired, Result, cells
from mechcot.core.words import DIFFERENCE, Table, number, percent
from mechcot.report.charts import Axis, Mark, Row, row_chart
from mechcot.report.figures import COLOURS
from mechcot.report.parts import Part, Section
from mechcot.steps.alter import decoys_of

log = logging.getLogger("mechcot")

_NEEDED = ("qid", "arm", "text", "truth")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_RIGHT = {"false": ("erroneous", "sensitivity"), "true": ("correct", "specificity")}
"""By a decoy's truth: the label it should get, and what the share of those that do is called."""


def _items(setup: Setup) -> Items:
    sample, file = setup.sample, setup.decoys
    if file is None:
        table = decoys_of(sample.steps, sample.answers(), sample.questions, sample.task, sample.seed)
    else:
        table = read_decoys(file, sample.arms, sample.questions, sample.known)
    found = table.drop_duplicates(["qid", "arm"])
    without = {arm: len(sample.questions) - int((found.arm == arm).sum()) for arm in sample.arms}
    table = table.assign(variant=np.where(table.truth, "true", "false"), complete=True)[list(ITEM)]
    changes = f"planted statements of known truth from {file.name}" if file is not None else ""
    return Items(table, changes, {"questions without a decoy": without})


def read_decoys(
    path: Path, arms: tuple[str, str], questions: Collection[str], known: Collection[str]
) -> pd.DataFrame:
    """Statements of known truth: parquet, JSON Lines or CSV with qid, arm, text and truth.

    Args:
        path: the file.
        arms: that may stand in it.
        questions: ids of those that are judged; rows of other questions are left out, and how many is said.
        known: ids of all questions of the study.

    Returns:
        qid, arm, cid (0), sid (counted from 0 for each question and arm), text and truth.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a row with an unknown question, another
            arm, an empty text, a truth that is neither true nor false, or the same statement as an earlier
            row; or none of its rows is of these questions. Rows are counted from 1, without a header.
    """
    table = records.read_any(path)
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; decoys have {list(_NEEDED)}")
    rows: list[dict[str, Any]] = []
    numbers: dict[tuple[str, str], int] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for place, row in enumerate(table.to_dict("records"), start=1):
        qid, arm, text, truth = _row(f"{path}, row {place}", row, arms, known)
        first = seen.setdefault((qid, arm, text), place)
        if first != place:
            raise DataError(f"{path}, row {place}: the statement stands in row {first} already")
        if qid in questions:
            sid = numbers.get((qid, arm), 0)
            numbers[qid, arm] = sid + 1
            rows.append({"qid": qid, "arm": arm, "cid": 0, "sid": sid, "text": text, "truth": truth})
    if not rows:
        raise DataError(f"{path}: none of its {len(table)} rows is of a question that is judged")
    if len(rows) < len(table):
        log.info(
            "%s: %d of its %d rows are of questions that are not judged",
            *(path, len(table) - len(rows), len(table)),
        )
    return pd.DataFrame(rows)


def _row(
    where: str, row: dict[Any, Any], arms: tuple[str, str], known: Collection[str]
) -> tuple[str, str, str, bool]:
    said = {name: "" if records.absent(row[name]) else str(row[name]) for name in _NEEDED}
    if said["qid"] not in known:
        raise DataError(f"{where}: the study has no question '{said['qid']}'")
    if said["arm"] not in arms:
        raise DataError(f"{where}: the arm is {said['arm']!r}; there are {' and '.join(arms)}")
    if not said["text"].strip():
        raise DataError(f"{where}: the text is empty")
    truth = _TRUTH.get(said["truth"].strip().lower().removesuffix(".0"))
    if truth is None:
        raise DataError(f"{where}: the truth is {said['truth']!r}; write true or false")
    return said["qid"], said["arm"], said["text"], truth


@dataclass(frozen=True)
class DecoyLabels(Result):
    """Decoys of one arm and truth ("true" or "false") by label."""

    arm: str
    truth: str
    labels: Mapping[str, int] = field(metadata=SPREAD)


@dataclass(frozen=True, repr=False)
class Decoys(Result):
    """The judge on planted statements of known truth, in each arm's own words.

    Attributes:
        sensitivity: false ones called erroneous, of those called correct or erroneous.
        specificity: true ones called correct, of those called correct or erroneous.
        counts: by arm and truth.
    """

    sensitivity: Paired
    specificity: Paired
    counts: tuple[DecoyLabels, ...]

    note = "Decoys describe the judge; no error rate is corrected with them."
    derived = ("note",)
    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per arm and truth: the share that the judge got right, and decoys by label."""
        rows = []
        for one in self.counts:
            rates = getattr(self, _RIGHT[one.truth][1])
            rate = rates.before if one.arm == self.counts[0].arm else rates.after
            rows.append({"arm": one.arm, "truth": one.truth, **cells(rate), **one.labels})
        return rows


def _of(rows: pd.DataFrame, primary: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], Decoys]:
    planted = {truth: rows[rows["variant"] == truth] for truth in ("true", "false")}
    rates = {
        truth: asked.ask_rates(
            *arms.ratios(own, own["label"] == _RIGHT[truth][0], own["label"].isin(DECIDED))
        )
        for truth, own in planted.items()
    }
    counts = [
        DecoyLabels(arm, truth, labels)
        for truth, own in planted.items()
        for arm, labels in zip(arms.names, arms.labels(own), strict=True)
    ]
    return lambda: Decoys(rates["false"](), rates["true"](), tuple(counts))


def _tables(found: Json) -> tuple[Table, ...]:
    decoys, arms = found["decoys"], found["arms"]
    counts = {(row["arm"], row["truth"]): row for row in decoys["counts"]}
    rates = [
        (
            f"{truth}, called {label}",
            *(
                share(own[label], own["correct"] + own["erroneous"], decoys[name][role])
                for role in ROLES
                for own in (counts[arms[role], truth],)
            ),
            points(decoys[name]["difference"]),
        )
        for truth, (label, name) in _RIGHT.items()
    ]
    labels = [
        (f"{row['truth']}, {row['arm']}", *(f"{row[label]:,}" for label in LABELS))
        for row in decoys["counts"]
    ]
    return (
        Table("Decoys", ("", *(arms[role] for role in ROLES), DIFFERENCE), tuple(rates)),
        Table("Labels of decoys", ("", *(label.replace("_", " ") for label in LABELS)), tuple(labels)),
    )


def _part(found: Json) -> Part:
    rates = [found["decoys"][kind][role] for _, kind in _RIGHT.values() for role in ROLES]
    if any(number(rate) is not None for rate in rates):
        return drawn("decoys", judge_decoys(found))
    return Part("decoys", "No decoy was called correct or erroneous.")


def judge_decoys(found: Json, *, title: str | None = None) -> go.Figure:
    """How often the judge is right about statements of known truth, in each arm's own words.

    Args:
        found: `JudgeControlsResult.to_json()` with decoys.
        title: a statement in place of the one read off the numbers.
    """
    decoys, arms = found["decoys"], found["arms"]
    gaps = ", ".join(f"{key} {points(decoys[key]['difference'])}" for _, key in _RIGHT.values())
    counts = {(row["arm"], row["truth"]): row for row in decoys["counts"]}
    aside = sum(row["abstain"] + row["not_checkable"] for row in counts.values())
    caption = (
        f"Of planted statements that were called correct or erroneous; {aside} of "
        f"{sum(_total(row) for row in counts.values())} got neither. 95 % intervals over questions. This "
        "describes the judge; no error rate is corrected with it."
    )
    statement = title or f"The judge on planted statements, after minus before: {gaps}"
    rows = []
    for truth, (label, key) in _RIGHT.items():
        marks = [
            Mark(
                decoys[key][role],
                COLOURS[role],
                f"{arms[role]}, {truth} decoys: {percent(decoys[key][role])} right of "
                f"{sum(counts[arms[role], truth][name] for name in DECIDED)} judged",
                arms[role],
            )
            for role in ROLES
        ]
        rows.append(Row(f"{truth}, called\n{label}", marks))
    axis = Axis("decoys judged rightly", ".0%", ends=(0, 1.02))
    return row_chart(statement, caption, rows, axis, apart=0.1)


def _total(row: Json) -> int:
    return sum(value for value in row.values() if isinstance(value, int))


ALIKE = Section(
    "alike",
    "Does the judge treat the arms alike?",
    (),
    Markup(
        "<dfn>Decoys</dfn> are planted statements that are known to be true or false, in each arm’s own "
        "words. A judge that treats the arms alike is as often right about the one’s as about the other’s. "
        "And it is asked outright which arm wrote a step."
    ),
    Markup(
        "The judge’s error on the steps themselves: decoys are not drawn from them, so no error rate is "
        "corrected with them. For that, people judge a drawn sheet. A judge that can tell the arms apart "
        "need not treat them differently."
    ),
)
DECOY = Control(
    "decoy",
    "decoys",
    "planted statements of known truth in the words of each arm",
    changes=alone,
    items=_items,
    variants={"true": "true decoys", "false": "false decoys"},
    matched=(),
    unchecked="",
    nothing="no step lends its words: a decoy needs a step that states an answer and nothing else",
    finding=Finding("decoys", "no decoys were judged", _of, ALIKE, _part, _tables),
)
