"""An estimate with its interval, and how a value that does not exist is written down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


def leaf(value: float | int | None, reason: str = "") -> Any:
    """One number as a JSON value: the number, or `{"value": null, "reason": ...}`.

    NaN and infinities are no JSON and count as missing.
    """
    if value is None or not math.isfinite(value):
        return {"value": None, "reason": reason or "not defined on this data"}
    return int(value) if isinstance(value, int) else float(value)


@dataclass(frozen=True)
class Interval:
    """A point estimate with a two-sided interval.

    Attributes:
        estimate: the value on the data as they are; None where it is not defined.
        low: lower end; None where there is no interval.
        high: upper end; None where there is no interval.
        n: how many units (questions, unless `method` says otherwise) stand behind it.
        method: how the interval was made, its level and number of draws included.
        reason: why a value is None, else "".
        undefined_draws: replicates in which the estimate did not exist; they are left out.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str = ""
    undefined_draws: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; a missing number carries its reason."""
        return {
            "estimate": leaf(self.estimate, self.reason),
            "low": leaf(self.low, self.reason),
            "high": leaf(self.high, self.reason),
            "n": self.n,
            "method": self.method,
            "undefined_draws": self.undefined_draws,
        }

    def __str__(self) -> str:
        if self.estimate is None:
            return f"undefined ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.estimate:.3f} (no interval: {self.reason}; n={self.n})"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"
