"""Steps with the kinds that a stage of their study gave them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mechcot.core.errors import DataError
from mechcot.core.records import STEP_KEY


def with_kinds(steps: pd.DataFrame, kinds: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The steps with `role` the kind of each.

    Args:
        steps: the step key and `role`.
        kinds: rows of `kind_records.KINDS` of the same steps in the same order.
        path: of their file, for messages.

    Raises:
        DataError: they are of other steps.
    """
    same = len(steps) == len(kinds) and all(
        (steps[name].to_numpy() == kinds[name].to_numpy()).all() for name in STEP_KEY
    )
    if not same:
        raise DataError(
            f"{path}: its {len(kinds)} rows are not the {len(steps)} steps beside it, in their order. Delete "
            "it and run mechcot run on the study: its kinds are made again"
        )
    return steps.assign(role=kinds.kind.to_numpy())
