"""Ratings of traces by people: drawn balanced and blind, filled in forms, read back beside accuracy."""

from mechcot.analyses.likert.analysis import read_ratings
from mechcot.analyses.likert.draw import Draw, draw_ratings, write_forms
from mechcot.analyses.likert.power import Power
from mechcot.analyses.likert.report_page import write_result
from mechcot.analyses.likert.result import LikertResult
from mechcot.analyses.likert.stored import found

__all__ = [
    "Draw",
    "LikertResult",
    "Power",
    "draw_ratings",
    "found",
    "read_ratings",
    "write_forms",
    "write_result",
]
