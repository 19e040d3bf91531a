"""What a probe is fitted on and how: activations by source, labels, questions, and what may explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.text import said, same_text
from mechcot.probe.judged_steps import ORACLE, SIGNALS, SIGNALS_AT
from mechcot.probe.settings import ERRONEOUS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Sources = Mapping[Any, Any]
"""Source (a layer, or a (position rule, layer)) to its activations [steps, d_model], or to a function without
arguments that loads them."""

Column: TypeAlias = "Sequence[Any] | NDArray[Any] | pd.Series[Any]"
"""One value a step: a list, an array, a column of a frame."""

MIN_QUESTIONS = 10
GIVEN = "given"
"""Position rule of activations whose source does not name one."""

LABEL = "the label is 1"
"""What labels say of which nothing is said."""

KNOWN = ("sid", "n_steps", "kind", "n_words", "n_tokens", "answer_right")
"""Confounds with a baseline of their own; the signals have one too."""

_ALL_SIGNALS = (*dict.fromkeys(name for names in SIGNALS_AT.values() for name in names), ORACLE)
_CONSTANT = {"sid": 0, "n_steps": 1, "kind": "step"}
_STRATA = {
    "kind": ("kind",),
    "position": ("sid",),
    "position and length": ("sid", "n_steps"),
    "answer outcome": ("answer_right",),
}
_INSIDE = ("question", "question and position", "question and kind")

STRATA = (*_STRATA, *_INSIDE)
"""What the steps of a pair may have to share, in the order in which it is shown."""


@dataclass(frozen=True, eq=False)
class Data:
    """The steps that a probe is fitted on, a row a step; checked once, when it is made.

    Attributes:
        X: activations, [steps, d_model]; or `Sources`, among which inner folds choose.
        y: the label, 0 or 1, [steps].
        groups: question of each step: no fold splits one, and intervals resample them. None: each row is a
            question of its own; a row that shares anything with another then leaks it between folds.
        confounds: a row a step. `sid` (index in its trace), `n_steps` (of its trace), `kind`, `n_words`,
            `n_tokens`, `answer_right` (1, 0, or -1 for none) and the signals of `judged_steps.SIGNALS_AT`
            have baselines and strata of their own; any other column joins the stack.
        text: of each step: training rows whose text occurs in the test fold are purged; the words baseline;
            the control task.
        entity: a second grouping that no fold splits either, such as the gold entity.
        question: text of the question; questions of equal text are one.
        subject: whom or what the step is about, empty where nothing: the probe is fitted once more without
            the subjects of each test fold.
        beside: sources that are shown in the map, outside the choice.
        untrained: the same sources in untrained weights of the same architecture; a baseline.
        meaning: what a label of 1 says, as half a sentence: "the step names a drug".

    Raises:
        AnalysisError: lengths differ, values are not finite, one class only, or fewer than `MIN_QUESTIONS`
            questions.
    """

    X: ArrayLike | Sources
    y: ArrayLike
    groups: Column | None = None
    confounds: pd.DataFrame | None = None
    _: KW_ONLY
    text: Column | None = None
    entity: Column | None = None
    question: Column | None = None
    subject: Column | None = None
    beside: Sources | None = None
    untrained: Sources | None = None
    meaning: str = LABEL

    def __post_init__(self) -> None:
        n, errors = len(self.labels), int(self.labels.sum())
        for name in ("groups", "text", "entity", "question", "subject", "confounds"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise AnalysisError(f"{name} has {len(values)} values for {n} labels")
        questions = len(set(self.qid.tolist()))
        if questions < MIN_QUESTIONS:
            what = "rows" if self.groups is None else "questions"
            raise AnalysisError(f"{questions} {what}; grouped folds need at least {MIN_QUESTIONS}")
        if errors in (0, n):
            raise AnalysisError(f"{errors} of {n} steps have the label 1; a probe needs both classes")
        if not self.sources:
            raise AnalysisError("no activations: pass at least one layer's")
        for source, given in self.sources.items():
            if not callable(given):
                _check_activations(source, given, n)
        _ = self.known  # refused now rather than after hours

    @classmethod
    def from_table(
        cls,
        X: Sources,
        table: pd.DataFrame,
        *,
        beside: Sources | None = None,
        untrained: Sources | None = None,
        meaning: str = ERRONEOUS,
    ) -> Data:
        """The columns of `probe.step_table`; activations have its rows, [steps, d_model].

        Columns that are neither keys, labels nor texts are confounds; `tok_start` and `relative`, which say
        again what the step's index says, are left out.
        """
        spoken = [*STEP_KEY, "y", "relative", "tok_start", "text", "question", "group", "entity", "subject"]
        spoken.remove("sid")
        columns = {name: name for name in ("text", "question", "subject", "entity")}
        columns["entity"] = "group" if "group" in table else "entity"
        given = {name: table[column].tolist() for name, column in columns.items() if column in table}
        confounds = table.drop(columns=[name for name in spoken if name in table])
        y, qid = table["y"].to_numpy(), table["qid"].tolist()
        return cls(X, y, qid, confounds, beside=beside, untrained=untrained, meaning=meaning, **given)

    @cached_property
    def labels(self) -> IntArray:
        """The label, [steps]."""
        values = np.asarray(self.y)
        if values.ndim != 1 or not np.isin(values, (0, 1)).all():
            raise AnalysisError("y must be one 0 or 1 a step, [steps]")
        return values.astype(np.int64)

    @cached_property
    def qid(self) -> NDArray[Any]:
        """The question, [steps]; equal texts of questions are one, whatever their ids."""
        rows = np.arange(len(self.labels)) if self.groups is None else self.groups
        own = np.asarray(rows, dtype=object)
        if self.question is None:
            return own
        texts = [said(str(text)) or qid for text, qid in zip(self.question, own, strict=True)]
        first = same_text(own.tolist(), texts)
        return np.array([*map(first.__getitem__, own.tolist())], dtype=object)

    @cached_property
    def sources(self) -> dict[Any, Any]:
        """The activations by source; a bare array is the source 0."""
        return dict(self.X) if isinstance(self.X, Mapping) else {0: np.asarray(self.X)}

    @cached_property
    def known(self) -> dict[str, NDArray[Any]]:
        """Of `KNOWN` what was given."""
        return {name: _known(name, self._frame[name]) for name in KNOWN if name in self._frame}

    @cached_property
    def signals(self) -> dict[str, FloatArray]:
        """The signals that the reader has at the probe's place, and the oracle's."""
        rule = place(next(iter(self.sources)))[0]
        wanted = (*SIGNALS_AT[rule], ORACLE) if rule in SIGNALS_AT else SIGNALS
        found = {
            name: pd.to_numeric(self._frame[name], errors="coerce").to_numpy(dtype=np.float64)
            for name in wanted
            if name in self._frame
        }
        return {name: values for name, values in found.items() if np.isfinite(values).any()}

    @cached_property
    def others(self) -> pd.DataFrame | None:
        """Confounds that have no name of their own."""
        rest = self._frame.drop(columns=[name for name in (*KNOWN, *_ALL_SIGNALS) if name in self._frame])
        return rest if rest.shape[1] else None

    @cached_property
    def _frame(self) -> pd.DataFrame:
        if self.confounds is None:
            return pd.DataFrame(index=range(len(self.labels)))
        frame = self.confounds.reset_index(drop=True)
        return frame.rename(columns={"role": "kind"}) if "kind" not in frame and "role" in frame else frame

    @property
    def has_few(self) -> bool:
        """Whether there are confounds of few columns."""
        return bool(self.known or self.signals or self.others is not None)

    def column(self, name: str) -> NDArray[Any]:
        """A known confound, or one and the same value for all steps."""
        return self.known[name] if name in self.known else np.full(len(self.labels), _CONSTANT[name])

    def strata(self) -> dict[str, NDArray[Any]]:
        """Columns whose values a pair of steps has to share, by what they are called."""
        found = {
            name: _joined([self.known[key] for key in keys])
            for name, keys in _STRATA.items()
            if all(key in self.known for key in keys)
        }
        if self.groups is None:
            return found
        found["question"] = self.qid
        if "sid" in self.known:
            found["question and position"] = _joined([self.qid, self.known["sid"]])
        if "kind" in self.known:
            found["question and kind"] = _joined([self.qid, self.known["kind"]])
        return found


def place(source: Any) -> tuple[Any, Any]:
    """Position rule and layer of a source."""
    return source if isinstance(source, tuple) and len(source) == 2 else (GIVEN, source)


def loaded(source: Any) -> NDArray[Any]:
    """A source's activations, [steps, d_model]."""
    return np.asarray(source() if callable(source) else source)


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
            "for every step; leave the column out if it is not"
        )
    return values if name in ("n_words", "n_tokens") else values.astype(np.int64)


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One value for each combination, [steps]."""
    frame = pd.DataFrame({str(i): pd.Series(list(column)) for i, column in enumerate(columns)})
    return frame.groupby(list(frame.columns), sort=True, dropna=False).ngroup().to_numpy()
