"""Results have one shape: the dataclass is the JSON is the frame.

A result is a frozen dataclass that inherits from `Result`. Its JSON is its fields, in order:

    @dataclass(frozen=True, repr=False)
    class Counted(Result):
        arm: str
        abstain_rate: float | None = field(metadata=because("no claim was judged or abstained on"))
        steps: Pair[int]
        locks: pd.DataFrame = field(metadata=UNSTORED)

- a number or part that may be missing says why: `because(reason)`, or its owner's attribute `reason`;
- two values, of the arms before and after, are a `Pair`; with their difference, a `Paired`;
- a part whose keys stand among its owner's is `SPREAD`; rows under a name of their own are `keyed(field)`;
- a part that may be missing, and then is left out, is `OPTIONAL`;
- arrays and tables that are no JSON are `UNSTORED`;
- constants and properties that belong to it are listed in `derived`.

`table` names the field whose rows are its frame.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from mechcot.core.errors import UsageError
from mechcot.core.naming import ARM_COLOURS, Names, worded
from mechcot.core.offers import figure_of, text_of
from mechcot.core.words import aligned

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

T = TypeVar("T")
_NUMBERS = ("float | None", "int | None")
"""Annotations of fields with numbers that may be missing."""


class Pair(NamedTuple, Generic[T]):
    """Something of the arm before and the same of the arm after."""

    before: T
    after: T


def because(reason: str) -> dict[str, Any]:
    """Metadata of a field that holds a number, or None for this reason."""
    return {"reason": reason}


def keyed(by: str) -> dict[str, Any]:
    """Metadata of a field with rows, each to stand under the value of its field `by`."""
    return {"by": by}


SPREAD = {"spread": True}
"""Metadata of a field whose own keys stand among those of its owner."""
OPTIONAL = {"optional": True}
"""Metadata of a part that is left out of the JSON where there is none."""
UNSTORED = {"unstored": True}
"""Metadata of a field that is not in the JSON: arrays, frames, rows too many to read."""


def leaf(value: float | int | None, reason: str = "") -> Any:
    """One number as a JSON value: the number, or `{"value": null, "reason": ...}`.

    NaN and infinities are no JSON and count as missing.
    """
    if value is None or not math.isfinite(value):
        return {"value": None, "reason": reason or "not defined on this data"}
    return int(value) if isinstance(value, int) else float(value)


class Result:
    """What every result inherits: its JSON, its frame, its text, its figure, how a notebook shows it."""

    __slots__ = ("_names",)  # of the study that it was asked of; no field, and not in vars()

    derived: ClassVar[tuple[str, ...]] = ()
    table: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; a missing number is `{"value": null, "reason": why}`."""
        found: dict[str, Any] = {}
        for one in dataclasses.fields(self):  # type: ignore[arg-type]
            if one.metadata.get("unstored"):
                continue
            value = getattr(self, one.name)
            if value is None and one.metadata.get("optional"):
                continue
            if one.metadata.get("spread"):
                found |= plain(value)
            elif by := one.metadata.get("by"):
                found[one.name] = {getattr(row, by): _without(row, by) for row in value}
            else:
                found[one.name] = plain(value, self._reason(one))
        return found | {name: plain(getattr(self, name)) for name in self.derived}

    def _reason(self, one: dataclasses.Field[Any]) -> str | None:
        """Why a field holds no number; None where it is not about one."""
        if "reason" not in one.metadata and not str(one.type).startswith(_NUMBERS):
            return None
        return str(one.metadata.get("reason") or getattr(self, "reason", ""))

    def to_frame(self, rows: str = "") -> pd.DataFrame:
        """Its rows as a table; an interval `x` is `x`, `x_low`, `x_high` and `x_n`.

        Args:
            rows: the attribute that holds them; "": those of its main table.

        Raises:
            UsageError: it has no such rows.
        """
        import pandas as pd

        name = rows or self.table
        value = getattr(self, name, None) if name else (self,)
        if not isinstance(value, pd.DataFrame | Mapping | list | tuple):
            have = [one.name for one in dataclasses.fields(self) if _is_rows(getattr(self, one.name))]  # type: ignore[arg-type]
            raise UsageError(
                f"{type(self).__name__} has no rows '{name}'; it has: {', '.join(have) or 'one row, itself'}"
            )
        if isinstance(value, pd.DataFrame):
            return value
        if isinstance(value, Mapping):
            return pd.DataFrame([{"name": name, **cells(row)} for name, row in value.items()])
        return pd.DataFrame([cells(row) for row in value])

    def text(self) -> str:
        """The result for a terminal."""
        try:
            return text_of(self)
        except KeyError:
            return frame_text(self.to_frame())

    def figure(self) -> go.Figure:
        """What it looks like.

        Raises:
            UsageError: it is a table and no more.
        """
        return figure_of(self, for_figure(self))

    def drawn_with(self) -> dict[str, Any]:
        """What its figure needs beside its JSON."""
        return {}

    def show(self) -> None:
        """Show the figure: in a notebook below the cell, elsewhere in the browser."""
        self.figure().show()

    def _repr_html_(self) -> str:
        """Text of the table is escaped: it may come from a model."""
        table = self.to_frame().to_html(index=False, border=0, na_rep="–", float_format=lambda x: f"{x:.3g}")
        return f"<p>{escape(repr(self))}</p>{table}"


@dataclass(frozen=True)
class Interval(Result):
    """A point estimate with a two-sided interval.

    Attributes:
        estimate: the value on the data as they are; None where it is not defined.
        low: lower end; None where there is no interval.
        high: upper end; None where there is no interval.
        n: how many units (questions, unless `method` says otherwise) stand behind it.
        method: how the interval was made, its level and number of draws included.
        reason: why a value is None, else "".
        undefined_draws: replicates in which the estimate did not exist; they are left out.
        se: standard error of an interval that is estimate ± quantile of Student's t times it; None where
            the interval is made in another way.
        freedom: degrees of freedom of that t.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str = field(default="", metadata=UNSTORED)
    undefined_draws: int = 0
    se: float | None = field(default=None, metadata=OPTIONAL)
    freedom: float | None = field(default=None, metadata=OPTIONAL)

    def __str__(self) -> str:
        if self.estimate is None:
            return f"undefined ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.estimate:.3f} (no interval: {self.reason}; n={self.n})"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


@dataclass(frozen=True)
class Paired(Result):
    """A rate in both arms and its difference, after - before, from the same resampled questions."""

    before: Interval
    after: Interval
    difference: Interval


def _is_rows(value: Any) -> bool:
    """Whether a field holds rows of a table: a frame, or results in a list or by name."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return bool(value) and all(dataclasses.is_dataclass(one) for one in value)
    return hasattr(value, "itertuples")


def plain(value: Any, reason: str | None = None) -> Any:
    """A value as JSON: results by their fields, pairs by their arms, frames as rows, NaN as null.

    Args:
        value: what a result holds.
        reason: why a number in it is missing; then it is a `leaf`.
    """
    if isinstance(value, Result):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "to_json"):
            return value.to_json()
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {name: plain(part, reason) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): plain(part, reason) for key, part in value.items()}
    if hasattr(value, "to_dict"):
        return plain(value.to_dict("records"), reason)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), reason)
    if isinstance(value, list | tuple):
        return [plain(part, reason) for part in value]
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None if reason is None else leaf(None, reason)
    return value


def cells(row: Any) -> dict[str, Any]:
    """A row of a table: one column a number, `x`, `x_low`, `x_high` and `x_n` for an interval."""
    return dict(_cells(row, ""))


def frame_text(frame: pd.DataFrame) -> str:
    """A frame in aligned columns for a terminal: an interval is one of them, equal counts stand once."""
    folded = _folded({str(name): list(frame[name]) for name in frame.columns})
    if not len(frame):
        return "nothing"
    return "\n".join(aligned([tuple(folded), *zip(*folded.values(), strict=True)]))


def _folded(columns: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """Columns as texts, `x`, `x_low` and `x_high` as one; the counts `x_n` as one `n` where all are equal."""
    told: dict[str, list[str]] = {}
    counts: dict[str, list[str]] = {}
    ends: set[str] = set()
    for name, values in columns.items():
        inner = "" if name == "estimate" else f"{name}_"
        low, high, n = (columns.get(f"{inner}{end}") for end in ("low", "high", "n"))
        if low is None or high is None:
            told.setdefault(name, list(map(_cell, values)))
            continue
        ends |= {f"{inner}{end}" for end in ("low", "high", "n")}
        told[name] = [_between(*row) for row in zip(values, low, high, strict=True)]
        if n is not None:
            counts[f"{inner}n"] = list(map(_cell, n))
    told = {name: texts for name, texts in told.items() if name not in ends}
    known = [[text for text in row if text != "-"] for row in zip(*counts.values(), strict=True)]
    if all(len(set(row)) <= 1 for row in known):
        counts = {"n": [row[0] if row else "-" for row in known]} if counts else {}
    return told | counts


def _between(value: Any, low: Any, high: Any) -> str:
    told = [_cell(end, 3) for end in (value, low, high)]
    return told[0] if told[1:] == ["-", "-"] else f"{told[0]} [{told[1]}, {told[2]}]"


def _cell(value: Any, digits: int = 4) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _cells(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = f"{name}_" if name else ""
    if isinstance(value, Interval):
        yield name or "estimate", value.estimate
        yield from ((f"{inner}{part}", getattr(value, part)) for part in ("low", "high", "n"))
    elif hasattr(value, "_asdict"):
        for arm, part in value._asdict().items():
            yield from _cells(part, f"{inner}{arm}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for one in dataclasses.fields(value):
            if not one.metadata.get("unstored"):
                own = name if one.metadata.get("spread") else f"{inner}{one.name}"
                yield from _cells(getattr(value, one.name), own)
        for one_more in getattr(value, "derived", ()):
            yield from _cells(getattr(value, one_more), f"{inner}{one_more}")
    elif isinstance(value, Mapping) and not name:
        for key, part in value.items():
            yield from _cells(part, key)
    elif not isinstance(value, Mapping | list | tuple | set) and not getattr(value, "shape", ()):
        yield name, value


def _without(row: Result, name: str) -> dict[str, Any]:
    return {key: value for key, value in row.to_json().items() if key != name}


def remembered(found: T, names: Names) -> T:
    """The same result, which remembers names and colours for its figures; its values stay codes.

    Args:
        found: a result, or several in a tuple or by name; what is none passes.
        names: of the study.
    """
    for result in _results(found):
        object.__setattr__(result, "_names", names)
    return found


def kinds_called(result: Result) -> Mapping[str, str]:
    """What the study that a result was asked of calls kinds of step, by code; nothing where it was not."""
    names: Names = getattr(result, "_names", Names({}, {}))
    return names.kinds


def for_figure(value: Any) -> Any:
    """What a figure is drawn from: JSON values, with names and colours that their result remembers."""
    if isinstance(value, Result):
        names: Names = getattr(value, "_names", Names({}, {}))
        return worded(value.to_json(), names.kinds) | value.drawn_with() | {ARM_COLOURS: names.colours}
    if isinstance(value, Mapping):
        return {key: for_figure(part) for key, part in value.items()}
    return [for_figure(part) for part in value] if isinstance(value, list | tuple) else plain(value)


def _results(value: Any) -> Iterator[Result]:
    """A result and all that are inside it."""
    if isinstance(value, Interval):
        return
    if isinstance(value, Result):
        yield value
        held = vars(value)  # a result that was read back lacks what is not stored
        value = [held.get(one.name) for one in dataclasses.fields(value)]  # type: ignore[arg-type]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        if isinstance(part, Result | Mapping | list | tuple):
            yield from _results(part)
