"""Sheets of steps for people to judge: drawn blind, filled by hand, read back against the judges."""

from mechcot.analyses.sheet.draw import Cell, Draw, draw_steps, write_sheet
from mechcot.analyses.sheet.findings import read_sheet, write_result
from mechcot.analyses.sheet.power import Plan
from mechcot.analyses.sheet.result import SheetResult

__all__ = ["Cell", "Draw", "Plan", "SheetResult", "draw_steps", "read_sheet", "write_result", "write_sheet"]
