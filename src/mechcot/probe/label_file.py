"""Labels that somebody brings along with their own activations, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.core.errors import DataError
from mechcot.core.records import STEP_KEY, TRACE_KEY, absent, read_any

if TYPE_CHECKING:
    from mechcot.study.activations import Activations

_LABELS = {"1": 1, "0": 0, "true": 1, "false": 0, "erroneous": 1, "correct": 0, "yes": 1, "no": 0}
_NOT_CONFOUNDS = (*STEP_KEY, "y", "label", "text", "entity", "question", "group", "subject")


def read_labels(path: Path, store: Activations) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read a file of labels and keep the steps that the store has.

    Columns: `qid`, `sid` and `label` (or `y`) are needed; `cid` is 0 and `arm` the store's only one where
    they are missing. `text`, `entity` (what folds keep together beside the question), `question` (its text)
    and `subject` (whom or what the step is about) are used as such; every other column is a confound.

    Args:
        path: parquet, JSON Lines or CSV.
        store: whose steps are labelled.

    Returns:
        a row a labelled step of the store: STEP_KEY, `y`, `n_steps` (steps of the trace in the store) and
        what else the file has; and how many rows were left out and why.

    Raises:
        DataError: a column is missing, a value does not fit, a step is there twice, or none is stored.
    """
    table = _keyed(read_any(path), path, store)
    y = table["label"].map(lambda value: _LABELS.get(_plain(value)))
    twice = table[table.duplicated(STEP_KEY)]
    if len(twice):
        raise DataError(f"{path}, row {twice.index[0]}: {_named(twice.iloc[0])} is there already")
    index = store.frame()[STEP_KEY]
    n_steps = index.groupby(TRACE_KEY)["sid"].transform("size").rename("n_steps")
    stored = table.merge(index.assign(n_steps_stored=n_steps), on=STEP_KEY, how="left", validate="one_to_one")
    inside = stored["n_steps_stored"].notna().to_numpy()
    if not inside.any():
        row, first = table.iloc[0], index.iloc[0]
        raise DataError(
            f"{path}: none of its {len(table)} steps is in {store.path}. Its first is {_named(row)}, the "
            f"store's first is {_named(first)}"
        )
    labelled = y.notna().to_numpy()
    dropped = {
        "rows": len(table),
        "not_stored": int((~inside).sum()),
        "without_label": int((inside & ~labelled).sum()),
        "stored_without_row": len(index) - int(inside.sum()),
    }
    kept = stored[inside & labelled].assign(y=y[inside & labelled].to_numpy(dtype=np.int64))
    if "n_steps" not in kept:
        kept["n_steps"] = kept["n_steps_stored"].astype(np.int64)
    kept = kept.drop(columns=["n_steps_stored", "label"]).sort_values(STEP_KEY, ignore_index=True)
    return _typed(kept), dropped


def _keyed(table: pd.DataFrame, path: Path, store: Activations) -> pd.DataFrame:
    """The table with all of STEP_KEY in the store's types and its labels in `label`; rows count from 1."""
    out = table.copy()
    out.index = pd.RangeIndex(1, len(out) + 1)
    if "label" not in out and "y" in out:
        out = out.rename(columns={"y": "label"})
    missing = [name for name in ("qid", "sid", "label") if name not in out]
    if missing or out.empty:
        what = f"the columns {missing} are missing" if missing else "it has no rows"
        have = f"It has {list(table.columns)}"
        raise DataError(f"{path}: {what}; labels need qid, sid and label (1 or 0). {have}")
    arms = sorted(set(store.frame()["arm"]))
    if "arm" not in out:
        if len(arms) > 1:
            raise DataError(f"{path}: has no column arm, and the store holds {arms}; say whose steps")
        out["arm"] = arms[0] if arms else ""
    if "cid" not in out:
        out["cid"] = 0
    for name in ("qid", "arm"):
        out[name] = out[name].astype(str)
    for name in ("cid", "sid"):
        numbers = pd.to_numeric(out[name], errors="coerce")
        bad = numbers.index[numbers.isna() | (numbers != numbers.round())]
        if len(bad):
            value = out[name][bad[0]]
            raise DataError(f"{path}, row {bad[0]}: {name} must be a whole number, it is {value!r}")
        out[name] = numbers.astype(np.int32)
    return out


def _plain(value: Any) -> str:
    if absent(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip().lower()


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Confounds as numbers where all of a column's values are some, else as text."""
    out = table.copy()
    for name in out.columns:
        if name in _NOT_CONFOUNDS:
            continue
        values = out[name].map(lambda value: None if absent(value) or value == "" else value)
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.notna().sum() == values.notna().sum():
            out[name] = numbers.astype(np.float64)
        else:
            out[name] = values.map(lambda value: "" if value is None else str(value))
    return out


def _named(row: Any) -> str:
    return f"question {row['qid']}, arm {row['arm']}, trace {row['cid']}, step {row['sid']}"
