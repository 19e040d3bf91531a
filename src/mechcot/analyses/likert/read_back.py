"""Filled forms as their rows: exports as they stand, several files or one, taken whole or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.handed_out.table import read_table
from mechcot.analyses.likert.page import COLUMNS
from mechcot.analyses.likert.scales import POINTS, STATEMENTS
from mechcot.core.errors import DataError


@dataclass(frozen=True)
class Returned:
    """What came back.

    Attributes:
        ratings: one row a page that somebody filled: `participant`, `arm`, `item`, and the scales, 1 to 5,
            NaN where nothing was chosen.
        missed: attention checks that each participant missed [participants who returned a form].
        ignored: columns that are none of a form's.
    """

    ratings: pd.DataFrame
    missed: pd.Series
    ignored: tuple[str, ...]


def read_filled(paths: Sequence[Path], form: str, sealed: Mapping[str, Any]) -> Returned:
    """Read filled forms. Rows are counted as spreadsheets do: the header is row 1.

    Args:
        paths: exports, one or many participants in each.
        form: the name that every row must bear.
        sealed: the key.

    Raises:
        DataError: a file cannot be read, lacks a column or has one twice; a row bears another name, an
            unknown participant or item, an item of another participant's form, a rating out of 1 to 5, no
            consent; a participant has rated an item twice; an attention check has no answer; there is no
            rating.
    """
    people = {one["participant"]: one for one in sealed["participants"]}
    items = {one["item"] for one in sealed["items"]}
    seen: dict[tuple[str, str], str] = {}
    begun: dict[str, str] = {}
    rows, ignored, checks = [], [], {}
    for path in paths:
        header, table = read_table(path, COLUMNS, COLUMNS)
        ignored += [name for name in header if name not in (*COLUMNS, "") and name not in ignored]
        for number, cells in table:
            where, row = f"{path}, row {number}", dict(zip(header, cells, strict=True))
            participant, item = _who(where, row, form, people, items)
            if (participant, item) in seen:
                raise DataError(
                    f"{where}: the participant '{participant}' has rated the item '{item}' in "
                    f"{seen[participant, item]} already; a participant counts once: keep one form"
                )
            seen[participant, item] = where
            begun.setdefault(participant, where)
            values = {scale: _point(where, scale, row[scale]) for scale in STATEMENTS}
            rows.append(
                {"participant": participant, "arm": people[participant]["arm"], "item": item, **values}
            )
            checks[participant, item] = _check(where, row["check"], participant, item, people)
    _complete(begun, seen, people)
    ratings = pd.DataFrame(rows, columns=["participant", "arm", "item", *STATEMENTS])
    if not ratings[list(STATEMENTS)].notna().any(axis=None):
        raise DataError(f"{paths[0]}: no row has a rating; there is nothing to import")
    missed = pd.Series(
        {
            one: sum(checks[one, item] != value for item, value in people[one]["checks"].items())
            for one in begun
        },
        dtype="int64",
    )
    return Returned(ratings, missed, tuple(ignored))


def _who(
    where: str, row: Mapping[str, str], form: str, people: Mapping[str, Any], items: set[str]
) -> tuple[str, str]:
    """Participant and item of a row."""
    name, participant, item = (row[column].strip() for column in ("form", "participant", "item"))
    if name != form:
        raise DataError(
            f"{where}: the form is {name!r}, and the key's is '{form}'. Name the key that was drawn with it: "
            "--key"
        )
    if participant not in people:
        raise DataError(
            f"{where}: the participant {participant!r} is not in the key; ids must stay as they were"
        )
    if item not in items:
        raise DataError(f"{where}: the item {item!r} is not in the key; ids must stay as they were")
    if item not in people[participant]["items"]:
        raise DataError(
            f"{where}: the item '{item}' is on no page of the participant '{participant}'; rows of two "
            "participants were mixed"
        )
    if row["consent"].strip().lower() != "yes":
        raise DataError(
            f"{where}: the participant '{participant}' has not agreed to take part (consent is "
            f"{row['consent'].strip()!r}, not 'yes'). Take the participant's rows out"
        )
    return participant, item


def _point(where: str, scale: str, value: str) -> float:
    word = value.strip()
    if not word:
        return float("nan")
    if word not in [str(point) for point in range(1, len(POINTS) + 1)]:
        raise DataError(f"{where}: {scale} is {word!r}, and the scale is 1 to {len(POINTS)} (or empty)")
    return float(word)


def _check(where: str, value: str, participant: str, item: str, people: Mapping[str, Any]) -> float:
    """The answer to an attention check; NaN where the page has none."""
    asked = item in people[participant]["checks"]
    if asked and not value.strip():
        raise DataError(
            f"{where}: the participant '{participant}' has not answered the attention check of the item "
            f"'{item}'. Ask for the form again, or take the participant's rows out"
        )
    return _point(where, "check", value) if asked else float("nan")


def _complete(
    begun: Mapping[str, str], seen: Mapping[tuple[str, str], str], people: Mapping[str, Any]
) -> None:
    """Refuse a participant whose page with an attention check has no row."""
    for participant, where in begun.items():
        for item in people[participant]["checks"]:
            if (participant, item) not in seen:
                raise DataError(
                    f"{where}: the participant '{participant}' has no row of the item '{item}', which holds "
                    "an attention check. Ask for the whole form, or take the participant's rows out"
                )
