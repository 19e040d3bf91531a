"""A result read back from its JSON is the result that was written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from mechcot.core.errors import DataError
from mechcot.core.read_back import read_back
from mechcot.core.results import OPTIONAL, SPREAD, UNSTORED, Interval, Pair, Result, because, keyed


@dataclass(frozen=True)
class Row(Result):
    name: str
    rate: Interval


@dataclass(frozen=True)
class Counts(Result):
    n: int
    share: float | None = field(metadata=because("nothing was counted"))


@dataclass(frozen=True)
class Whole(Result):
    derived = ("double",)

    arm: str
    pair: Pair[Interval]
    rows: tuple[Row, ...] = field(metadata=keyed("name"))
    listed: tuple[float, ...]
    by_name: dict[str, Row]
    counts: Counts = field(metadata=SPREAD)
    p: float | None = field(metadata=because(""))
    part: Row | None = field(metadata=OPTIONAL)
    array: Any = field(metadata=UNSTORED)
    reason: str = field(default="", metadata=UNSTORED)
    added_later: int = 0

    @property
    def double(self) -> int:
        return 2 * self.counts.n


KNOWN = Interval(0.5, 0.4, 0.6, 12, "jackknife", se=0.1, freedom=11.0)
UNKNOWN = Interval(None, None, None, 0, "jackknife", reason="no step was judged")


@pytest.mark.parametrize("part", [None, Row("own", UNKNOWN)])
def test_every_kind_of_field_comes_back(part: Row | None) -> None:
    rows = (Row("b", KNOWN), Row("a", UNKNOWN))
    whole = Whole(
        "distilled",
        Pair(KNOWN, UNKNOWN),
        rows,
        (1.0, 2.0),
        {"z": rows[0]},
        Counts(3, None),
        None,
        part,
        array=[1],
        reason="too few draws",
    )
    written = json.loads(json.dumps(whole.to_json()))
    again = read_back(Whole, written, array=[1])
    assert again == whole
    assert again.to_json() == written
    assert again.pair.after.reason == "no step was judged"


def test_what_a_file_does_not_hold_is_left_out_and_what_it_lacks_is_named() -> None:
    written = Row("a", KNOWN).to_json()
    assert read_back(Row, written) == Row("a", KNOWN)
    with pytest.raises(DataError, match="Row: 'rate' is missing"):
        read_back(Row, {"name": "a"})
