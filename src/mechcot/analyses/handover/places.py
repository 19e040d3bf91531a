"""Which prefixes are handed over, and as which texts: the same places for all writers.

A place is the beginning of a trace up to one of its steps. It ends with the step before, and with the line
ends behind it but no blank, so that a writer begins its step as the author did. The slot is the text on to
the object of the claim that the author made next. Places are drawn by a hash of question, trace and step
that knows nothing of arms: every step of the traces that are read is as likely, so that an author's own
next steps err as often as its steps in the audit.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.core import records
from mechcot.core.handover_tables import NEUTRAL, OWN
from mechcot.steps.of_study import questions_by_id, task_of
from mechcot.tasks import Question, Task

if TYPE_CHECKING:
    from mechcot.study.folder import Study

NO_SLOT = "no slot: the author's next step makes no claim that the task can read"


@dataclass(frozen=True)
class Slot:
    """A claim up to its object.

    Attributes:
        text: from the beginning of its step, without blanks at its end.
        blank: what stands between that and the object.
        truth: every object that makes the claim true.
    """

    text: str
    blank: str
    truth: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A prefix that is handed over.

    Attributes:
        qid: its question.
        arm: who wrote the trace.
        cid: which trace of the question.
        k: how many of its steps are handed over.
        source: `own`: these steps; `neutral`: statements of the task in their place.
        kind: role of the step that the author wrote next.
        before: the texts of the steps handed over.
        text: what is handed over for a free next step.
        gap: what the author wrote between that and the next step.
        slot: of the next step; None: the task reads no claim in it.
    """

    qid: str
    arm: str
    cid: int
    k: int
    source: str
    kind: str
    before: tuple[str, ...]
    text: str
    gap: str
    slot: Slot | None

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """Its ids, `PLACE_KEY`."""
        return self.qid, self.arm, self.cid, self.k, self.source


def places_of(study: Study) -> list[Place]:
    """The places of a study: of the arm before, then of the arm after, by question, trace and step.

    Raises:
        DataError: a table is missing or damaged.
    """
    assert study.settings.handover is not None  # else there is no stage
    task, questions = task_of(study), questions_by_id(study)
    asked = study.questions(study.settings.contrast.domain)
    found: list[Place] = []
    for arm in dict.fromkeys(pair_of(study)):
        texts = {(t.qid, t.cid): t.text for t in records.rows(on_questions(asked, study.traces(arm)))}
        steps = on_questions(asked, study.cut_steps(arm))
        steps = steps[steps.cid < study.settings.reading.traces_per_question]
        of_trace = records.rows_by_key(steps, ["qid", "cid"])
        drawn = _drawn(
            [(qid, cid, k) for (qid, cid), rows in of_trace.items() for k in range(len(rows))],
            study.settings.handover.prefixes,
            study.settings.seed,
        )
        for qid, cid, k in drawn:
            found += _at(questions[qid], task, texts[qid, cid], of_trace[qid, cid], k, study.settings.seed)
    return found


def _drawn(places: Sequence[tuple[str, int, int]], n: int, seed: int) -> list[tuple[str, int, int]]:
    """So many of the places, each as likely as any other, in their order."""

    def rank(place: tuple[str, int, int]) -> bytes:
        return hashlib.sha256("\0".join(map(str, (seed, "handover", *place))).encode()).digest()

    chosen = set(sorted(places, key=rank)[:n])
    return [place for place in places if place in chosen]


def _at(
    question: Question, task: Task, text: str, steps: Sequence[Any], k: int, seed: int
) -> Iterator[Place]:
    """The prefix before step k, and its neutral twin where the task has statements."""
    step = steps[k]
    start = steps[k - 1].char_end if k else 0
    between = text[start : step.char_start]
    lead = between[: len(between) - len(between.lstrip())].rstrip(" \t") if k else ""
    gap, slot = between[len(lead) :], slot_in(question, task, step.text)
    own = tuple(one.text for one in steps[:k])
    whole = text[: start + len(lead)]
    ids = (question.qid, step.arm, int(step.cid), k)
    yield Place(*ids, OWN, step.role, own, whole, gap, slot)
    if task.neutral is not None:
        rng = random.Random(f"neutral {seed} {question.qid} {step.cid}")
        # Of the whole trace, so that prefixes of one trace share their statements.
        said = task.neutral(question, [one.text for one in steps], rng)[:k]
        yield Place(*ids, NEUTRAL, step.role, said, _replaced(text, steps[:k], said) + lead, gap, slot)


def _replaced(text: str, steps: Sequence[Any], said: Sequence[str]) -> str:
    """The text up to the last of the steps, other words in the place of each."""
    parts, at = [], 0
    for step, words in zip(steps, said, strict=True):
        parts += [text[at : step.char_start], words]
        at = step.char_end
    return "".join(parts)


def slot_in(question: Question, task: Task, step: str) -> Slot | None:
    """The slot of a step; None: the task reads no claim in it, or the object begins it."""
    claim = task.claim(question, step) if task.claim is not None else None
    if claim is None:
        return None
    head = step[: claim.object_char]
    text = head.rstrip()
    return Slot(text, head[len(text) :], claim.truth) if text else None
