"""Kinds that people gave to steps, out of a file; and those of two other models that come with mechcot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.core.errors import DataError
from mechcot.core.records import STEP_KEY
from mechcot.tasks.kinds import KINDS

Ints = npt.NDArray[np.int64]
SHIPPED: dict[str, tuple[tuple[int, ...], ...]] = {
    "gpt-4o": ((15, 1, 0, 0, 0), (0, 12, 0, 1, 1), (0, 2, 2, 1, 0), (1, 4, 0, 9, 0), (1, 0, 0, 1, 19)),
    "gpt-4o-mini": ((8, 0, 0, 0, 0), (0, 17, 1, 0, 0), (0, 3, 12, 1, 0), (0, 4, 1, 12, 0), (0, 0, 1, 0, 10)),
}
"""Steps of real traces by kind as labelled and as the rules find them, a row and a column each of `KINDS`:
docs/kinds.json, whose test holds the two together."""
LEAST = 20
"""Labelled steps of an arm below which its mistakes are not counted."""
COLUMNS = (*STEP_KEY, "kind")


def shipped() -> dict[str, Ints]:
    """How the rules mistook the kinds of two models' steps, [kinds, kinds] each."""
    return {name: np.array(counts, np.int64) for name, counts in SHIPPED.items()}


def labelled(path: Path, arm: str, steps: pd.DataFrame, kinds: Sequence[str] = KINDS) -> Ints:
    """How the kinds of an arm's steps are mistaken, by people's labels: [kinds, kinds], true by found.

    Args:
        path: a CSV with the columns qid, arm, cid, sid and kind; a row whose kind is empty is not labelled.
        arm: whose rows count.
        steps: rows of `records.STEPS` of it, `role` the kind found.
        kinds: that there are.

    Raises:
        DataError: with file and row: a column is missing, a kind is none, a step is not there or stands
            twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
    if missing := [name for name in COLUMNS if name not in table]:
        raise DataError(f"{path}: the columns {missing} are missing; it needs {', '.join(COLUMNS)}")
    found = {(s.qid, s.arm, str(s.cid), str(s.sid)): s.role for s in steps.itertuples()}
    counts, seen = np.zeros((len(kinds), len(kinds)), np.int64), set()
    for number, row in enumerate(table.itertuples(index=False), start=2):
        if row.arm != arm or not row.kind:  # not labelled yet
            continue
        key, where = (row.qid, row.arm, row.cid, row.sid), f"{path}, row {number}"
        if row.kind not in kinds:
            raise DataError(f"{where}: kind is {row.kind!r}; it is one of {', '.join(kinds)}")
        if key not in found or key in seen:
            why = "stands twice" if key in seen else "is not a step of this study"
            raise DataError(
                f"{where}: question {row.qid}, trace {row.cid}, step {row.sid} {why}. Mend the row"
            )
        seen.add(key)
        if found[key] in kinds:
            counts[kinds.index(row.kind), kinds.index(found[key])] += 1
    return counts
