"""Cutting reasoning into steps, and finding each step's tokens."""

from mechcot.steps.segment import SEGMENTERS, segment
from mechcot.steps.table import claim_rows, step_rows

__all__ = ["SEGMENTERS", "claim_rows", "segment", "step_rows"]
