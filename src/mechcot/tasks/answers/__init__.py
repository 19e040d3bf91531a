"""Reading answers off: named rules in several languages, and the parts of a completion."""

from mechcot.tasks.answers.parts import REASONED, Part, parts, reasoning_end
from mechcot.tasks.answers.read import ReadAnswer, finished_at, read_answer, stated
from mechcot.tasks.answers.values import in_one_line, normal, same_items, same_value

__all__ = [
    "REASONED",
    "Part",
    "ReadAnswer",
    "finished_at",
    "in_one_line",
    "normal",
    "parts",
    "read_answer",
    "reasoning_end",
    "same_items",
    "same_value",
    "stated",
]
