"""What other tools write down of a model's answers: questions and traces out of their logs."""

from mechcot.tasks.logs.form import Log, Sample
from mechcot.tasks.logs.kinds import KINDS, Kind, is_log, read_log
from mechcot.tasks.logs.tables import questions_in, traces_in

__all__ = ["KINDS", "Kind", "Log", "Sample", "is_log", "questions_in", "read_log", "traces_in"]
