"""Sheets of steps for people to judge: drawn blind, filled by hand, read back against the judges."""

from mechcot.analyses.sheet.draw import Draw, draw_steps, write_sheet
from mechcot.analyses.sheet.findings import read_sheet, write_result
from mechcot.analyses.sheet.population import Cell
from mechcot.analyses.sheet.power import Power
from mechcot.analyses.sheet.result import SheetResult

__all__ = ["Cell", "Draw", "Power", "SheetResult", "draw_steps", "read_sheet", "write_result", "write_sheet"]
