"""How often a judge finds the first wrong step that people have marked."""

from mechcot.analyses.judge_accuracy.analysis import JudgeAccuracy, accuracy_of
from mechcot.analyses.judge_accuracy.labels import Labels, Solution, read_labels
from mechcot.analyses.judge_accuracy.run import judge_labels, plan_labels

__all__ = [
    "JudgeAccuracy",
    "Labels",
    "Solution",
    "accuracy_of",
    "judge_labels",
    "plan_labels",
    "read_labels",
]
