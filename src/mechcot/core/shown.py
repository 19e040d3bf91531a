"""Results that show themselves in a notebook: their line of numbers, and their table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


class _Tabular(Protocol):
    def to_frame(self) -> pd.DataFrame: ...


class Shown:
    """What a result inherits; it has `to_frame` and a `repr` that says what matters."""

    def _repr_html_(self: _Tabular) -> str:
        """Text of the table is escaped: it may come from a model."""
        table = self.to_frame().to_html(index=False, border=0, na_rep="–", float_format=lambda x: f"{x:.3g}")
        return f"<p>{escape(repr(self))}</p>{table}"
