"""Public labels of steps, out of files: ProcessBench's rows and PRM800K's.

Sources: ProcessBench (Zheng et al. 2024, arXiv 2412.06559): `label` is the index of the first wrong step, -1
where all are right; what comes behind a first error is not labelled. PRM800K (Lightman et al. 2023, arXiv
2305.20050): ratings -1, 0 and 1 of every step; as there, 0 (neutral) is no error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError

_ENDINGS = ("solution", "found_error", None)
"""How a labelled solution of PRM800K ends; others were given up."""


@dataclass(frozen=True)
class Solution:
    """A solution whose first wrong step people have named.

    Attributes:
        name: its id.
        problem: what it solves.
        steps: their texts, in order.
        label: index of the first wrong step, -1: there is none.
        answer: the right answer; None: the file does not say it.
    """

    name: str
    problem: str
    steps: tuple[str, ...]
    label: int
    answer: str | None = None

    @property
    def known(self) -> tuple[bool, ...]:
        """Of the steps that are labelled, up to the first wrong one, whether each is wrong."""
        n = len(self.steps) if self.label < 0 else self.label + 1
        return tuple(place == self.label for place in range(n))


@dataclass(frozen=True)
class Labels:
    """A file of labels.

    Attributes:
        path: the file.
        form: whose rows they are.
        solutions: in the order of the file.
        left_out: rows that are none, by reason.
    """

    path: str
    form: str
    solutions: tuple[Solution, ...]
    left_out: dict[str, int]


def read_labels(path: Path) -> Labels:
    """Read a file of step labels: JSON Lines, or JSON with a list of rows.

    Raises:
        DataError: with file, row, value and what to do: it cannot be read, its rows are in no known form, or
            one of them cannot be used.
    """
    rows = _rows(path)
    first = rows[0] if rows else {}
    if {"problem", "steps", "label"} <= first.keys():
        form, of = "ProcessBench", _processbench
    elif {"question", "label"} <= first.keys() and isinstance(first["label"], dict):
        form, of = "PRM800K", _prm800k
    else:
        raise DataError(
            f"{path}: its rows are neither ProcessBench's (id, problem, steps, label) nor PRM800K's "
            f"(question, label); the first has {sorted(first)[:8]}"
        )
    left_out: Counter[str] = Counter()
    solutions: list[Solution] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        found = of(where, number, row)
        if isinstance(found, str):
            left_out[found] += 1
            continue
        earlier = seen.setdefault(found.name, number)
        if earlier != number:
            raise DataError(
                f"{where}: the id '{found.name}' stands in row {earlier} already. Take one row out"
            )
        solutions.append(found)
    if not solutions:
        raise DataError(f"{path}: none of its {len(rows)} rows is a labelled solution: {dict(left_out)}")
    return Labels(str(path), form, tuple(solutions), dict(left_out))


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return files.read_json_lines(path)
    if path.suffix.lower() != ".json":
        raise DataError(f"{path}: step labels come from .jsonl or .json, found the suffix '{path.suffix}'")
    loaded = files.read_json(path)
    if not isinstance(loaded, list) or not all(isinstance(row, dict) for row in loaded):
        raise DataError(f"{path}: expected a list of objects")
    return loaded


def _processbench(where: str, number: int, row: Mapping[str, Any]) -> Solution | str:
    steps, label = row.get("steps"), row.get("label")
    texts = _texts(where, steps)
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < len(texts):
        raise DataError(
            f"{where}: label is {label!r}; expected the index of the first wrong of its {len(texts)} steps "
            "(from 0), or -1 where all are right"
        )
    return Solution(str(row.get("id", number)), _problem(where, row.get("problem")), texts, label)


def _prm800k(where: str, number: int, row: Mapping[str, Any]) -> Solution | str:
    """A labelled solution, or why it is none."""
    asked, label = row.get("question"), row.get("label")
    if (
        not isinstance(asked, Mapping)
        or not isinstance(label, Mapping)
        or not isinstance(label.get("steps"), list)
    ):
        raise DataError(f"{where}: expected question.problem and label.steps, as PRM800K has them")
    if label.get("finish_reason") not in _ENDINGS:
        return f"its labelling ended by {label['finish_reason']}"
    texts, wrong = [], -1
    for place, step in enumerate(label["steps"]):
        told = _rated(where, place, step)
        if told is None:
            return "a step without a rating"
        text, rating = told
        texts.append(text)
        if rating < 0:
            wrong = place
            break  # what comes behind rests on it
    name = str(row.get("id") or f"{number}")
    answer = asked.get("ground_truth_answer")
    problem, steps = _problem(where, asked.get("problem")), _texts(where, texts)
    return Solution(name, problem, steps, wrong, None if answer in (None, "") else str(answer))


def _rated(where: str, place: int, step: Any) -> tuple[str, int] | None:
    """A step's text and rating: of what was chosen, of what a person wrote, or of the only completion."""
    if not isinstance(step, Mapping):
        raise DataError(f"{where}: step {place} is no object: {str(step)[:60]!r}")
    completions, chosen, human = (
        step.get("completions"),
        step.get("chosen_completion"),
        step.get("human_completion"),
    )
    listed = completions if isinstance(completions, list) else []
    if isinstance(chosen, int) and 0 <= chosen < len(listed):
        own = listed[chosen]
    elif isinstance(human, Mapping):
        return str(human.get("text") or ""), 1  # written to go on from
    elif listed:
        own = listed[0]
    else:
        raise DataError(f"{where}: step {place} has no completion")
    rating = own.get("rating") if isinstance(own, Mapping) else None
    if rating is None:
        return None
    if rating not in (-1, 0, 1):
        raise DataError(f"{where}: the rating of step {place} is {rating!r}; expected -1, 0 or 1")
    return str(own.get("text") or ""), int(rating)


def _texts(where: str, steps: Any) -> tuple[str, ...]:
    if not isinstance(steps, list) or not steps:
        raise DataError(f"{where}: has no steps. Take the row out")
    for place, text in enumerate(steps):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: step {place} is empty or no text: {text!r}")
    return tuple(steps)


def _problem(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: the problem is empty or no text: {value!r}")
    return value
