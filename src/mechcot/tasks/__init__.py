"""Where questions come from, how they are put, how an answer is read off, and exact checkers."""

from mechcot.tasks.answers import Part, ReadAnswer, finished_at, parts, read_answer, reasoning_end
from mechcot.tasks.base import Claim, Exposure, Fact, Judged, PromptFormat, Question, Task, question_of
from mechcot.tasks.render import forced_ids, render_prompt

__all__ = [
    "Claim",
    "Exposure",
    "Fact",
    "Judged",
    "Part",
    "PromptFormat",
    "Question",
    "ReadAnswer",
    "Task",
    "finished_at",
    "forced_ids",
    "parts",
    "question_of",
    "read_answer",
    "reasoning_end",
    "render_prompt",
]
