"""Cutting reasoning into steps, and finding each step's tokens."""

from mechcot.steps.report import segment_report
from mechcot.steps.segment import RULES, SEGMENTERS, WINDOW, pieces, segment
from mechcot.steps.table import claim_rows, step_rows

__all__ = [
    "RULES",
    "SEGMENTERS",
    "WINDOW",
    "claim_rows",
    "pieces",
    "segment",
    "segment_report",
    "step_rows",
]
