"""Guesses: whether a judge can tell which arm wrote a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, drawn, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, price, refuse_failures, step_place
from mechcot.asking.spending import Plan
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.judging.judge_file import Judge

_GUESS = """\
Two writers each wrote steps of lines of reasoning. You are given some steps of writer A, some of writer B, \
and one more step that one of them wrote. Say how likely it is that writer B wrote it.

Go by manner: choice of words, how sure they sound, layout, length, how claims are put and joined. Each \
writer is as likely as the other before you look."""

_REPLY = """\
Reply with one JSON object and nothing else: {"reason": "...", "probability": ...}. The reason comes first: \
at most two sentences. The probability that writer B wrote the step is a whole number from 0 (surely writer \
A) to 100 (surely writer B)."""

_CLOSING = "Who wrote the text between [[STEP {tag}]] and [[END STEP {tag}]]?"

_REASK = (
    "An earlier reply to this could not be read. Reply with exactly one JSON object that has the two keys "
    '"reason" (text) and "probability" (a whole number from 0 to 100), and nothing around it.'
)

_NAMES = ("WRITER_A", "WRITER_B", "STEP")


class Guess(BaseModel):
    """The reply that a guess must be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="at most two sentences")
    probability: int = Field(ge=0, le=100, description="that writer B wrote the step, in percent")


@dataclass(frozen=True)
class Guesses:
    """Who a judge thinks wrote steps.

    Attributes:
        probabilities: that the arm after wrote the step, 0 to 1, in the order of the steps; None: there
            is no guess.
        failures: "", api_failure or parse_failure, in the same order.
        reasons: of the guess or of the failure, in the same order.
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    probabilities: list[float | None]
    failures: list[str]
    reasons: list[str]
    about: dict[str, Any]


@dataclass(frozen=True)
class _Item:
    """A step, what is shown of both writers, and whether writer B is the arm after."""

    text: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    b_is_after: bool


def guess_arms(
    steps: pd.DataFrame,
    samples: Mapping[str, Sequence[tuple[str, str]]],
    after: str,
    session: Session[Judge],
) -> Guesses:
    """How likely a judge thinks it that the arm after wrote each step.

    Which arm is writer B is drawn for each step from a hash of the seed and the step's ids, so that a
    leaning towards one writer's place averages out. Samples of the step's own question are not shown,
    and as many of one writer are shown as of the other. A step without text is not asked about.

    Args:
        steps: qid, arm, cid, sid, text.
        samples: (qid, text) of steps of either arm, by arm. All are shown: a handful of each will do.
        after: the arm whose probability is wanted; the other one of `samples` is the arm before.
        session: whom to ask; the judge's prompt, labels, rules, examples and fields mean nothing here.

    Raises:
        ConfigError: as for `asking.session.ask`.
        DataError: samples are not of two arms, or none of another question is left for a step.
        JudgeError: more steps failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form, items = _form(session.seed), _items(steps, samples, after, session.seed)
    asked = ask(form, items, session)
    refuse_failures(asked.answers, lambda i: step_place(steps.iloc[i]), session.server, form.name)
    probabilities: list[float | None] = []
    for item, answer in zip(items, asked.answers, strict=True):
        if item is None or answer is None or isinstance(answer, Failed):
            probabilities.append(None)
        else:
            b = answer.probability / 100
            probabilities.append(b if item.b_is_after else 1 - b)
    failures = [answer.label if isinstance(answer, Failed) else "" for answer in asked.answers]
    reasons = ["" if answer is None else " ".join(answer.reason.split()) for answer in asked.answers]
    return Guesses(probabilities, failures, reasons, asked.about)


def plan_guesses(
    steps: pd.DataFrame,
    samples: Mapping[str, Sequence[tuple[str, str]]],
    after: str,
    judge: Judge,
    work: Path | None,
    *,
    seed: int,
) -> Plan:
    """What `guess_arms` would send; `work` None: as if no reply were kept.

    Raises:
        DataError: samples are not of two arms, or none of another question is left for a step.
    """
    return price(_form(seed), _items(steps, samples, after, seed), judge, work)


def _items(
    steps: pd.DataFrame, samples: Mapping[str, Sequence[tuple[str, str]]], after: str, seed: int
) -> list[_Item | None]:
    if len(samples) != 2 or after not in samples:
        raise DataError(f"samples of two arms are needed, '{after}' among them; there are {sorted(samples)}")
    (before,) = samples.keys() - {after}
    items: list[_Item | None] = []
    for step in records.rows(steps):
        if not step.text.strip():
            items.append(None)
            continue
        shown = {arm: [text for qid, text in samples[arm] if qid != step.qid] for arm in samples}
        number = min(len(texts) for texts in shown.values())
        if not number:
            raise DataError(f"{step_place(step)}: there is no sample of another question for both arms")
        b_is_after = drawn(seed, "guess", step.qid, step.arm, int(step.cid), int(step.sid))
        a, b = (before, after) if b_is_after else (after, before)
        items.append(_Item(step.text, tuple(shown[a][:number]), tuple(shown[b][:number]), b_is_after))
    return items


def _form(seed: int) -> Form[_Item, Guess]:
    system = "\n\n".join((_GUESS, frame("material to tell the writers apart by"), _REPLY))

    def messages(item: _Item, again: bool) -> list[Message]:
        parts = [("WRITER_A", text) for text in item.a] + [("WRITER_B", text) for text in item.b]
        closing = f"{_CLOSING}\n\n{_REASK}" if again else _CLOSING
        return conversation(system, fenced([*parts, ("STEP", item.text)], _NAMES, seed, closing))

    words = {"system": system, "closing": _CLOSING, "reask": _REASK}
    schema = Guess.model_json_schema()
    return Form(
        "guess", "guessing", words, schema, {}, messages, of_text(lambda _, text: read_json(text, Guess))
    )
