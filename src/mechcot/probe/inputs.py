"""What a probe is fitted on, checked: activations by source, labels, groups, and what may explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.folds import IntArray
from mechcot.probe.sweep import FloatArray, Sources
from mechcot.probe.table import ORACLE, SIGNALS, SIGNALS_AT

MIN_QUESTIONS = 10
GIVEN = "given"
"""Position rule of activations whose source does not name one."""

KNOWN = ("sid", "n_steps", "kind", "n_words", "n_tokens", "answer_right")
"""Confounds with a baseline of their own; the signals have one too."""

_ALL_SIGNALS = (*dict.fromkeys(name for names in SIGNALS_AT.values() for name in names), ORACLE)


def place(source: Any) -> tuple[Any, Any]:
    """Position rule and layer of a source."""
    return source if isinstance(source, tuple) and len(source) == 2 else (GIVEN, source)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Checked inputs; every column is [steps].

    Attributes:
        sources: source to its activations [steps, d_model], or to a function that loads them.
        y: label.
        qid: question.
        entity: the second grouping; the question where none was given.
        text: the step's text; a different one for each step where none was given.
        known: of `KNOWN` what was given.
        signals: token signals at the probe's place.
        others: confounds that have no name of their own.
        question: text of the question, where given.
        subject: whom or what the step is about, where given.
        has_text: whether texts were given.
    """

    sources: dict[Any, Any]
    y: IntArray
    qid: NDArray[Any]
    entity: NDArray[Any]
    text: list[str]
    known: dict[str, NDArray[Any]]
    signals: dict[str, FloatArray]
    others: pd.DataFrame | None
    question: list[str] | None
    subject: list[Any] | None
    has_text: bool

    @property
    def has_confounds(self) -> bool:
        """Whether anything was given that the stack can hold."""
        return bool(self.known or self.signals or self.has_text or self.question or self.others is not None)

    def column(self, name: str) -> NDArray[Any]:
        """A known confound, or one and the same value for all steps."""
        constant = {"sid": 0, "n_steps": 1, "kind": "step"}
        return self.known.get(name, np.full(len(self.y), constant[name]))

    def features(self) -> dict[str, Any]:
        """The low-dimensional confounds, as `baselines.feature_blocks` takes them."""
        lengths = {name: self.known.get(name) for name in ("n_words", "n_tokens", "answer_right")}
        return {
            "role": self.column("kind").tolist(),
            "sid": self.column("sid").tolist(),
            "n_steps": self.column("n_steps").tolist(),
            "signals": self.signals,
            "confounds": self.others,
            **lengths,
        }

    def strata(self) -> dict[str, NDArray[Any]]:
        """Columns whose values a pair of steps has to share, by what they are called."""
        parts = {
            "kind": ("kind",),
            "position": ("sid",),
            "position and length": ("sid", "n_steps"),
            "answer outcome": ("answer_right",),
        }
        found = {
            name: _joined([self.known[key] for key in keys])
            for name, keys in parts.items()
            if all(key in self.known for key in keys)
        }
        found["question"] = self.qid
        if "kind" in self.known:
            found["question and kind"] = _joined([self.qid, self.known["kind"]])
        return found


def checked(
    X: ArrayLike | Sources,
    y: Sequence[int] | NDArray[Any],
    groups: Sequence[Any],
    confounds: pd.DataFrame | None,
    text: Sequence[str] | None,
    entity: Sequence[Any] | None,
    question: Sequence[str] | None,
    subject: Sequence[Any] | None = None,
) -> Inputs:
    """Refuse what cannot give an honest number, and sort the confounds.

    Raises:
        AnalysisError: as `report.fit_report`.
    """
    truth = _labels(y)
    n = len(truth)
    sources = dict(X) if isinstance(X, Mapping) else {0: np.asarray(X)}
    columns = {
        "groups": groups,
        "text": text,
        "entity": entity,
        "question": question,
        "subject": subject,
        "confounds": confounds,
    }
    for name, values in columns.items():
        if values is not None and len(values) != n:
            raise AnalysisError(f"{name} has {len(values)} values for {n} labels")
    errors, questions = int(truth.sum()), len(set(groups))
    if questions < MIN_QUESTIONS:
        raise AnalysisError(f"{questions} questions; grouped folds need at least {MIN_QUESTIONS}")
    if errors in (0, n):
        raise AnalysisError(f"{errors} of {n} steps have the label 1; a probe needs both classes")
    for source, given in sources.items():
        if not callable(given):
            _check_activations(source, given, n)
    if not sources:
        raise AnalysisError("no activations: pass at least one layer's")
    frame = pd.DataFrame(index=range(n)) if confounds is None else confounds.reset_index(drop=True)
    if "kind" not in frame and "role" in frame:
        frame = frame.rename(columns={"role": "kind"})
    rest = frame.drop(columns=[name for name in (*KNOWN, *_ALL_SIGNALS) if name in frame])
    qid = np.asarray(groups, dtype=object)
    return Inputs(
        sources=sources,
        y=truth,
        qid=qid,
        entity=qid if entity is None else np.asarray(entity, dtype=object),
        text=[f"step {row}" for row in range(n)] if text is None else [str(item) for item in text],
        known={name: _known(name, frame[name]) for name in KNOWN if name in frame},
        signals=_signals(frame, place(next(iter(sources)))[0]),
        others=rest if rest.shape[1] else None,
        question=None if question is None else [str(item) for item in question],
        subject=None if subject is None else list(subject),
        has_text=text is not None,
    )


def _labels(y: Sequence[int] | NDArray[Any]) -> IntArray:
    values = np.asarray(y)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise AnalysisError("y must be one 0 or 1 a step, [steps]")
    return values.astype(np.int64)


def _check_activations(source: Any, X: Any, n: int) -> None:
    rule, layer = place(source)
    where = f"layer {layer}" if rule == GIVEN else f"layer {layer} at rule '{rule}'"
    if np.ndim(X) != 2 or len(X) != n:
        raise AnalysisError(f"{where}: expected [{n}, d_model] activations, got {list(np.shape(X))}")
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if bad.size:
        raise AnalysisError(
            f"{where}: {bad.size} of {n} steps have NaN or infinite activations, the first is row {bad[0]}. "
            "Leave those steps out or read them again."
        )


def _known(name: str, column: pd.Series) -> NDArray[Any]:
    if name == "kind":
        return np.asarray(column.astype(object).where(column.notna(), ""), dtype=object)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise AnalysisError(
            f"confound '{name}', row {bad[0]}: '{column.iloc[bad[0]]}' is no number. {name} must be known "
            "for "
            "every step; leave the column out if it is not"
        )
    return values if name in ("n_words", "n_tokens") else values.astype(np.int64)


def _signals(frame: pd.DataFrame, rule: Any) -> dict[str, FloatArray]:
    """The signals that the reader has at the probe's place, and the oracle's."""
    wanted = (*SIGNALS_AT[rule], ORACLE) if rule in SIGNALS_AT else SIGNALS
    found = {
        name: pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in wanted
        if name in frame
    }
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One value for each combination, [steps]."""
    frame = pd.DataFrame({str(i): pd.Series(list(column)) for i, column in enumerate(columns)})
    return frame.groupby(list(frame.columns), sort=True, dropna=False).ngroup().to_numpy()
