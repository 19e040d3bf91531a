"""Rewritings: a step in another manner with the same claims, and whether they are still the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, drawn, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, price, refuse_failures, step_place
from mechcot.asking.spending import Plan
from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import options_text
from mechcot.tasks import Question

LONGEST = 4
"""How many times as long as the step a rewriting may be ..."""

ALWAYS = 200
"""... and how many characters it may have in any case: a hedge can be longer than a short step."""

_REWRITE = """\
You rewrite single steps of a written line of reasoning: the same content in another manner. Samples show \
the manner.

Keep
- Every claim, with its numbers, units, names, options and negations. Leave none out, add none, and put none \
in place of another.
- Whether it is true. A claim that is wrong stays wrong in the same way: correct nothing, complete nothing, \
comment on nothing.
- What the step does: a step that draws a conclusion draws it, one that only announces what comes next \
announces it.

Change
- How sure it sounds: hedged as far as the samples are hedged, and no further.
- Layout and punctuation: headings, bullets, line breaks, the length of sentences.
- The words that connect and address: openings, transitions, asides.

Samples are there for their manner only: nothing that they claim goes into the step. Rewrite the whole step. \
Where it has the manner of the samples already, write it anew in that same manner."""

_REWRITE_REPLY = (
    'Reply with one JSON object and nothing else: {"text": "..."}. The text is the rewritten step.'
)

_REWRITE_CLOSING = (
    "Rewrite the text between [[STEP {tag}]] and [[END STEP {tag}]], and nothing else, in the manner of the "
    "texts between [[SAMPLE {tag}]] and [[END SAMPLE {tag}]]."
)

_REWRITE_REASK = (
    "An earlier reply to this could not be used. Reply with exactly one JSON object that has the one key "
    f'"text" (the rewritten step: not empty, and at most {LONGEST} times as long as the step), and nothing '
    "around it."
)

_REWRITE_NAMES = ("QUESTION", "OPTIONS", "SAMPLE", "STEP")

_COMPARE = """\
You compare two versions of one step of a written line of reasoning. Decide whether both claim the same.

Labels
- preserved: every claim of either version is in the other, with the same numbers, names and negations.
- changed: a claim of one version is missing from the other, or says something else there.
- uncertain: it cannot be told whether the claims are the same.

Rules
- Manner is no claim: hedges ("perhaps", "I think"), politeness, layout, order and length count for nothing.
- Whether the claims are true counts for nothing."""

_COMPARE_REPLY = """\
Reply with one JSON object and nothing else: {"reason": "...", "label": "..."}. The reason comes first: at \
most two sentences that name what differs in claims, if anything does. The label is one of preserved, \
changed, uncertain."""

_COMPARE_CLOSING = (
    "Compare the text between [[FIRST {tag}]] and [[END FIRST {tag}]] with that between [[SECOND {tag}]] and "
    "[[END SECOND {tag}]]."
)

_COMPARE_REASK = (
    "An earlier reply to this could not be read. Reply with exactly one JSON object that has the two keys "
    '"reason" (text) and "label" (one of preserved, changed, uncertain), and nothing around it.'
)

_COMPARE_NAMES = ("FIRST", "SECOND")


class Rewriting(BaseModel):
    """The reply that a rewriter must give."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(description="the rewritten step")


class Comparison(BaseModel):
    """The reply to a comparison of two versions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="at most two sentences")
    label: Literal["preserved", "changed", "uncertain"]


@dataclass(frozen=True)
class _Manner:
    """A step to be rewritten, and samples of the manner."""

    question: Question
    text: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Rewritings:
    """Steps in another manner.

    Attributes:
        rows: the items as they were given, in their order, with `text` rewritten ("" where that failed),
            `failure` ("", api_failure or parse_failure) and `reason` of the failure.
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    rows: pd.DataFrame
    about: dict[str, Any]


@dataclass(frozen=True)
class Fidelities:
    """Whether rewritings claim the same.

    Attributes:
        labels: preserved, changed, uncertain or failed, in the order of the pairs.
        reasons: why, in the same order.
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    labels: list[str]
    reasons: list[str]
    about: dict[str, Any]


# --- rewriting ------------------------------------------------------------------------------------


def rewrite(
    items: pd.DataFrame,
    questions: Mapping[str, Question],
    samples: Mapping[str, Sequence[str]],
    session: Session[Judge],
) -> Rewritings:
    """Rewrite steps in the manner of samples, their claims unchanged.

    The rewriter sees the question and its options (never which is right), the samples and the whole
    step. A step is no sample of its own manner. A rewriting that is empty, or more than `LONGEST` times
    as long as its step and longer than `ALWAYS` characters, is asked for once more. A step without text
    stays as it is.

    Args:
        items: steps (qid, arm, cid, sid, text) and in whose manner (style).
        questions: by their id.
        samples: steps that show a style, by style.
        session: whom to ask: the judge is the rewriter's file. Its `prompt` stands in place of mechcot's
            instructions; labels, rules, examples and fields mean nothing here.

    Raises:
        ConfigError: as for `asking.session.ask`.
        DataError: a step belongs to no question, or a style has no sample.
        JudgeError: more steps failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form = _rewriting_form(session.server, session.seed)
    asked = ask(form, _manners(items, questions, samples), session)
    refuse_failures(asked.answers, lambda i: step_place(items.iloc[i]), session.server, form.name)
    texts = [
        text if answer is None else "" if isinstance(answer, Failed) else answer
        for text, answer in zip(items.text, asked.answers, strict=True)
    ]
    failed = [answer if isinstance(answer, Failed) else None for answer in asked.answers]
    rows = items.assign(
        text=texts,
        failure=[answer.label if answer else "" for answer in failed],
        reason=[answer.reason if answer else "" for answer in failed],
    )
    return Rewritings(rows, asked.about)


def plan_rewriting(
    items: pd.DataFrame,
    questions: Mapping[str, Question],
    samples: Mapping[str, Sequence[str]],
    judge: Judge,
    work: Path | None,
    *,
    seed: int,
) -> Plan:
    """What `rewrite` would send; `work` None: as if no reply were kept.

    Raises:
        DataError: a step belongs to no question, or a style has no sample.
    """
    return price(_rewriting_form(judge, seed), _manners(items, questions, samples), judge, work)


def _manners(
    items: pd.DataFrame, questions: Mapping[str, Question], samples: Mapping[str, Sequence[str]]
) -> list[_Manner | None]:
    found: list[_Manner | None] = []
    for item in records.rows(items):
        if item.qid not in questions:
            raise DataError(f"{step_place(item)}: there is no such question")
        shown = tuple(text for text in samples.get(item.style, ()) if text != item.text)
        if not shown:
            raise DataError(f"{step_place(item)}: there is no sample of the manner '{item.style}'")
        found.append(_Manner(questions[item.qid], item.text, shown) if item.text.strip() else None)
    return found


def _rewriting_form(judge: Judge, seed: int) -> Form[_Manner, str]:
    system = "\n\n".join(
        (
            (judge.prompt or _REWRITE).strip(),
            frame("material to be rewritten or to rewrite by"),
            _REWRITE_REPLY,
        )
    )

    def messages(item: _Manner, again: bool) -> list[Message]:
        parts = [("QUESTION", item.question.stem)]
        parts += [] if item.question.open else [("OPTIONS", options_text(item.question))]
        parts += [("SAMPLE", text) for text in item.samples]
        parts.append(("STEP", item.text))
        closing = f"{_REWRITE_CLOSING}\n\n{_REWRITE_REASK}" if again else _REWRITE_CLOSING
        return conversation(system, fenced(parts, _REWRITE_NAMES, seed, closing))

    def read(item: _Manner, reply: str) -> str | None:
        found = read_json(reply, Rewriting)
        text = found.text.strip() if found else ""
        return text if 0 < len(text) <= max(ALWAYS, LONGEST * len(item.text)) else None

    words = {"system": system, "closing": _REWRITE_CLOSING, "reask": _REWRITE_REASK}
    schema = Rewriting.model_json_schema()
    misfit = f"not the JSON asked for, or its text is empty or over {LONGEST} times as long as the step"
    return Form("rewriting", "rewriting", words, schema, {}, messages, of_text(read), misfit)


# --- fidelity -------------------------------------------------------------------------------------


def fidelity(
    pairs: pd.DataFrame,
    session: Session[Judge],
) -> Fidelities:
    """Whether rewritings claim what their steps claim.

    Both versions are shown in an order drawn by seed, and neither is named the original. A rewriting
    that equals its step is `preserved`, one that failed is `failed`; neither is asked about.

    Args:
        pairs: qid, original and rewritten ("" where the rewriting failed).
        session: whom to ask; the judge's prompt, labels, rules, examples and fields mean nothing here.

    Raises:
        ConfigError: as for `asking.session.ask`.
        JudgeError: more comparisons failed than the file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    form = _comparison_form(session.seed)
    asked = ask(form, _pairs(pairs), session)
    refuse_failures(
        asked.answers, lambda i: f"question '{pairs.qid.iloc[i]}', pair {i + 1}", session.server, form.name
    )
    labels, reasons = [], []
    for pair, answer in zip(records.rows(pairs), asked.answers, strict=True):
        if answer is None:
            same = bool(pair.rewritten)
            found = ("preserved", "the same text") if same else ("failed", "the rewriting failed")
        elif isinstance(answer, Failed):
            found = ("failed", f"{answer.label}: {answer.reason}")
        else:
            found = (answer.label, " ".join(answer.reason.split()))
        labels.append(found[0])
        reasons.append(found[1])
    return Fidelities(labels, reasons, asked.about)


def plan_fidelity(pairs: pd.DataFrame, judge: Judge, work: Path | None, *, seed: int) -> Plan:
    """What `fidelity` would send; `work` None: as if no reply were kept."""
    return price(_comparison_form(seed), _pairs(pairs), judge, work)


def _pairs(pairs: pd.DataFrame) -> list[tuple[str, str] | None]:
    return [
        (pair.original, pair.rewritten) if pair.rewritten not in ("", pair.original) else None
        for pair in records.rows(pairs)
    ]


def _comparison_form(seed: int) -> Form[tuple[str, str], Comparison]:
    system = "\n\n".join((_COMPARE, frame("material to be compared"), _COMPARE_REPLY))

    def messages(pair: tuple[str, str], again: bool) -> list[Message]:
        first, second = pair[::-1] if drawn(seed, "comparison", *pair) else pair
        closing = f"{_COMPARE_CLOSING}\n\n{_COMPARE_REASK}" if again else _COMPARE_CLOSING
        parts = [("FIRST", first), ("SECOND", second)]
        return conversation(system, fenced(parts, _COMPARE_NAMES, seed, closing))

    words = {"system": system, "closing": _COMPARE_CLOSING, "reask": _COMPARE_REASK}
    schema = Comparison.model_json_schema()
    return Form(
        "comparison",
        "comparing",
        words,
        schema,
        {},
        messages,
        of_text(lambda _, text: read_json(text, Comparison)),
    )
