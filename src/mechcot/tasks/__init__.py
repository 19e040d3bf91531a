"""Where questions come from, how they are put, how an answer is read off, and exact checkers."""

from mechcot.tasks.answers import ReadAnswer, read_answer, reasoning_end
from mechcot.tasks.base import Claim, Judged, PromptFormat, Question, Task, question_of
from mechcot.tasks.render import forced_ids, render_prompt

__all__ = [
    "Claim",
    "Judged",
    "PromptFormat",
    "Question",
    "ReadAnswer",
    "Task",
    "forced_ids",
    "question_of",
    "read_answer",
    "reasoning_end",
    "render_prompt",
]
