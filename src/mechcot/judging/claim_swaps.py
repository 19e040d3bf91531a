"""Steps with one claim swapped: a server writes them, another checks them, not told what was wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mechcot.asking.forms import Failed, Form, Message, conversation, drawn, fenced, frame, of_text, read_json
from mechcot.asking.session import Session, ask, kept, price, refuse_failures
from mechcot.asking.spending import Plan, plan_of, total
from mechcot.core.text import escaped
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import options_text
from mechcot.tasks import Question

EACH = 2
"""Rewritings of a step that are asked for of either truth: a wrong one as likely as a right one is chosen."""
LONGER = 0.3
"""By how much of the step's length, in characters, a rewriting may be longer or shorter."""
WANTED = ("correct", "erroneous")

NONE, FAILED = "the rewriter has none", "the rewriter's reply could not be used"
SAME, LENGTH = "the same text", "longer or shorter by more than 30 %"
UNCHECKED = "the checker's reply could not be used"
TOPIC, MORE = "about something else", "more is changed than one claim"
CLAIM, OTHER_TRUTH = "the claim is the same", "not as right or wrong as wanted"
OWN = "the checker judges the step itself otherwise"
REASONS = (NONE, FAILED, SAME, LENGTH, UNCHECKED, TOPIC, MORE, CLAIM, OTHER_TRUTH, OWN)
"""Why there is no rewriting, or why it is not used."""

_REWRITE = f"""\
You change single steps of a written line of reasoning so that what one of them claims is another thing. You \
are told whether the changed claim shall be right or wrong.

Change
- One claim, by as few words as it takes: a name, a number, a direction, a relation.
- A right claim is true and fits what the question says. A wrong one is a mistake that somebody who knows \
the field could make: neither absurd nor true in some other sense. It is never the claim that the step makes \
now.

Keep
- Everything else: the topic, the other claims, what the step does, how sure it sounds, layout, marks, and \
its length within {LONGER:.0%}.
- Whether an option is named: name none that the step does not name in that place.

Write up to {EACH} such steps that differ in the claim. If there is none, write none."""
_REWRITE_REPLY = (
    'Reply with one JSON object and nothing else: {"texts": ["...", "..."]}. Each text is a whole changed '
    f"step; at most {EACH}, and an empty list where there is none."
)
_REWRITE_CLOSING = "Change the text between [[STEP {tag}]] and [[END STEP {tag}]] so that its claim is "
_AS_WANTED = {"correct": "right.", "erroneous": "wrong, in another way than now if it is wrong already."}
_REWRITE_REASK = (
    "An earlier reply to this could not be used. Reply with exactly one JSON object that has the one key "
    f'"texts": a list of at most {EACH} texts.'
)

_CHECK = """\
You compare two versions of one step of a written line of reasoning, and judge each by the question.

Say
- same_topic: whether both speak of the same thing, so that one could stand in the other's place.
- one_change: whether they differ in one claim alone; other words for the same are no change.
- same_claim: whether both claim the same there.
- first, second: whether what each version claims is right (true, and fits what the question says), wrong, \
or cannot be decided (undecided). Manner counts for nothing."""
_CHECK_REPLY = """\
Reply with one JSON object and nothing else: {"reason": "...", "same_topic": true, "one_change": true, \
"same_claim": false, "first": "...", "second": "..."}. The reason comes first: at most two sentences that \
name what differs. first and second are one of right, wrong, undecided."""
_CHECK_CLOSING = (
    "Compare the text between [[FIRST {tag}]] and [[END FIRST {tag}]] with that between [[SECOND {tag}]] and "
    "[[END SECOND {tag}]]."
)
_CHECK_REASK = "An earlier reply to this could not be read. Reply with exactly the JSON object asked for."
_NAMES = ("QUESTION", "OPTIONS", "ANSWER", "STEP", "FIRST", "SECOND")


class Changed(BaseModel):
    """The reply that a rewriter must give."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str] = Field(description="changed steps")


class Checked(BaseModel):
    """The reply that a checker must give."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="at most two sentences")
    same_topic: bool
    one_change: bool
    same_claim: bool
    first: Literal["right", "wrong", "undecided"]
    second: Literal["right", "wrong", "undecided"]


@dataclass(frozen=True)
class Asked:
    """A step whose claim is to be swapped.

    Attributes:
        question: that its trace answers.
        text: of the step.
        label: of the study's judge: `correct` or `erroneous`.
        place: where it stands, for messages.
    """

    question: Question
    text: str
    label: str
    place: str = ""


@dataclass(frozen=True)
class Swap:
    """A rewriting of a step.

    Attributes:
        item: index of the step among those asked about.
        wanted: `correct` or `erroneous`.
        text: "" where there is none.
        refused: why it is not used, one of `REASONS`; "" where it is.
    """

    item: int
    wanted: str
    text: str
    refused: str


@dataclass(frozen=True)
class Swaps:
    """What came of it.

    Attributes:
        rows: rewritings, used or refused.
        about: what was asked of rewriter and checker, what their calls took, and what went wrong on the way.
    """

    rows: list[Swap]
    about: dict[str, Any]


_Wanted = tuple[Asked, str]
_Pair = tuple[Asked, str]


def swap_claims(items: Sequence[Asked], rewriter: Session[Judge], checker: Session[Judge]) -> Swaps:
    """Have a server write each step anew with a right and with a wrong claim, and another check what it did.

    The rewriter is told the question, its options and the right answer. The checker is told the same and
    shown the two versions in an order drawn by seed; it knows neither which is the step nor what was wanted.
    A rewriting is used where both are about the same thing, one claim alone is changed, it is as right or
    wrong as was wanted, the checker judges the step itself as the study's judge does, and its length is the
    step's within `LONGER`.

    Args:
        items: steps with a verdict.
        rewriter: whom to ask; its file's `prompt` stands in place of mechcot's instructions.
        checker: likewise, with mechcot's instructions whatever its file says.

    Raises:
        ConfigError: as for `asking.session.ask`.
        JudgeError: more calls failed than a file allows, or as for `asking.session.ask`.
        MissingDependency: httpx2 is not installed.
    """
    wanted = [(item, aim) for item in items for aim in WANTED]
    form = _rewriting(rewriter.server, rewriter.seed)
    asked = ask(form, wanted, rewriter)
    refuse_failures(asked.answers, lambda i: wanted[i][0].place, rewriter.server, form.name)
    rows = [
        row
        for number, answer in enumerate(asked.answers)
        for row in _written(number // 2, *wanted[number], answer)
    ]
    pairs = [(items[row.item], row.text) if not row.refused else None for row in rows]
    check = _checking(checker.seed)
    found = ask(check, pairs, checker)
    refuse_failures(found.answers, lambda i: items[rows[i].item].place, checker.server, check.name)
    judged = [
        row if pair is None else _judged(row, pair, answer, checker.seed)
        for row, pair, answer in zip(rows, pairs, found.answers, strict=True)
    ]
    counts = Counter(row.refused or "used" for row in judged)
    return Swaps(judged, {"rewriter": asked.about, "checker": found.about, "rewritings": dict(counts)})


def plan_swaps(
    items: Sequence[Asked], rewriter: Judge, checker: Judge, work: Path | None, *, seed: int
) -> tuple[Plan, bool]:
    """What `swap_claims` would send at most; and whether its checks are counted on steps not yet written.

    Args:
        items: steps with a verdict.
        rewriter: its file.
        checker: likewise.
        work: folder of the replies that are kept; None: as if none were.
        seed: of the study.
    """
    wanted = [(item, aim) for item in items for aim in WANTED]
    form, check = _rewriting(rewriter, seed), _checking(seed)
    first = price(form, wanted, rewriter, work)
    known = [None] * len(wanted) if work is None else kept(form, wanted, rewriter, work)
    there = [
        (item, row.text)
        for (item, aim), answer in zip(wanted, known, strict=True)
        for row in _written(0, item, aim, answer)
        if answer is not None and not row.refused
    ]
    unknown = [item for (item, _), answer in zip(wanted, known, strict=True) if answer is None]
    characters = sum(
        len(message["content"]) for item in unknown for message in check.messages((item, item.text), False)
    )
    guessed = plan_of(checker, EACH * len(unknown), 0, EACH * characters)
    return total((first, price(check, there, checker, work), guessed)), bool(unknown)


def _written(number: int, item: Asked, aim: str, answer: list[str] | Failed | None) -> list[Swap]:
    """A rewriter's reply as rewritings."""
    if isinstance(answer, Failed):
        return [Swap(number, aim, "", FAILED)]
    if not answer:
        return [Swap(number, aim, "", NONE)]
    rows, seen = [], {" ".join(item.text.split())}
    for text in answer:
        words = " ".join(text.split())
        longer = abs(len(text) / len(item.text) - 1) > LONGER or "\n" in text.strip("\n")
        refused = SAME if words in seen else LENGTH if longer or not words else ""
        rows.append(Swap(number, aim, text, refused))
        seen.add(words)
    return rows


def _judged(row: Swap, pair: _Pair, answer: Checked | Failed | None, seed: int) -> Swap:
    """A rewriting as the checker has it."""
    item, text = pair
    if not isinstance(answer, Checked):
        return Swap(row.item, row.wanted, row.text, UNCHECKED)
    step, new = (answer.first, answer.second)
    if _turned(item, text, seed):
        step, new = new, step
    truth = {"correct": "right", "erroneous": "wrong"}
    checks = (
        (TOPIC, answer.same_topic),
        (MORE, answer.one_change),
        (CLAIM, not answer.same_claim),
        (OWN, step == truth[item.label]),
        (OTHER_TRUTH, new == truth[row.wanted]),
    )
    return Swap(row.item, row.wanted, row.text, next((why for why, holds in checks if not holds), ""))


def _turned(item: Asked, text: str, seed: int) -> bool:
    """Whether the rewriting is shown first."""
    return drawn(seed, "claim swap", item.text, text)


def _material(question: Question) -> list[tuple[str, str]]:
    parts = [("QUESTION", question.stem)]
    parts += [] if question.open else [("OPTIONS", options_text(question))]
    return [*parts, ("ANSWER", question.named(question.gold))]


def _rewriting(judge: Judge, seed: int) -> Form[_Wanted, list[str]]:
    own = (judge.prompt or _REWRITE).strip()
    system = "\n\n".join((own, frame("material to be changed or to change by"), _REWRITE_REPLY))

    def messages(wanted: _Wanted, again: bool) -> list[Message]:
        item, aim = wanted
        closing = _REWRITE_CLOSING + _AS_WANTED[aim]
        closing += f"\n\n{_REWRITE_REASK}" if again else ""
        parts = [*_material(item.question), ("STEP", item.text)]
        return conversation(system, fenced(parts, _NAMES, seed, closing))

    def read(_: _Wanted, reply: str) -> list[str] | None:
        found = read_json(reply, Changed)
        return None if found is None else [escaped(text).strip() for text in found.texts[:EACH]]

    words = {"system": system, "closing": _REWRITE_CLOSING, "reask": _REWRITE_REASK, **_AS_WANTED}
    return Form("swap", "swapping claims", words, Changed.model_json_schema(), {}, messages, of_text(read))


def _checking(seed: int) -> Form[_Pair, Checked]:
    system = "\n\n".join((_CHECK, frame("material to be compared or to judge by"), _CHECK_REPLY))

    def messages(pair: _Pair, again: bool) -> list[Message]:
        item, text = pair
        first, second = (text, item.text) if _turned(item, text, seed) else (item.text, text)
        closing = f"{_CHECK_CLOSING}\n\n{_CHECK_REASK}" if again else _CHECK_CLOSING
        parts = [*_material(item.question), ("FIRST", first), ("SECOND", second)]
        return conversation(system, fenced(parts, _NAMES, seed, closing))

    words = {"system": system, "closing": _CHECK_CLOSING, "reask": _CHECK_REASK}
    read = of_text(lambda _, text: read_json(text, Checked))
    return Form("swap check", "checking swaps", words, Checked.model_json_schema(), {}, messages, read)
