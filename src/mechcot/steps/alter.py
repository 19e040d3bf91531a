"""Steps changed on purpose: the answer masked, a hedge flipped, decoys of known truth planted."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.steps.hedging import hedged_pair
from mechcot.steps.number import words
from mechcot.steps.segment import segment
from mechcot.steps.table import states_answer
from mechcot.tasks import Question, Task
from mechcot.tasks.answers import stated
from mechcot.tasks.base import LETTERS

__all__ = ["MASK", "decoys_of", "hedged_pair", "mask_answer"]

MASK = "[answer withheld]"
"""What stands in the place of a masked answer."""

# What may stand around an answer without claiming anything beside it.
_EMPTY = words(
    "a accordingly all an and answer answers are as be best by choice choose concluded conclude conclusion "
    "consequently correct final finally for go hence i in is it letter likely me most must my of on option "
    "options our pick right select should single so summary that the therefore this thus to us was we will "
    "with would"
)
_TURNS = words("not no except neither nor never rather than but or unlikely false wrong incorrect")


@dataclass(frozen=True)
class _Mention:
    """Where a text names an option.

    Attributes:
        start: of all of it.
        end: of it, exclusive.
        letter: span of its letter; None: its text alone.
        text: span of its text; None: its letter alone.
    """

    start: int
    end: int
    letter: tuple[int, int] | None
    text: tuple[int, int] | None


def mask_answer(question: Question, text: str, answer: int, task: Task) -> str:
    """A step with the trace's own answer taken out where the step states it, by letter and by text.

    Only the sentences that state the answer are changed (`steps.table.states_answer`); a step that
    states none comes back as it is.

    Args:
        question: that the trace answers.
        text: of the step.
        answer: the trace's own answer, an index into the options; -1: none.
        task: how answers are written.
    """
    if not states_answer(question, text, answer, task):
        return text
    stating = [span for span in _sentences(text) if states_answer(question, text[slice(*span)], answer, task)]
    spans = [
        (start + mention.start, start + mention.end)
        # A word of conclusion and the option in two sentences: then every mention is the answer's.
        for start, end in stating or [(0, len(text))]
        for mention in _mentions(question, text[start:end], answer, task)
    ]
    if not task.format.exact:  # by any rule, and where a sentence seems to end behind the letter
        spans += [(a, b) for a, b, options in stated(text, question, task.format) if options == (answer,)]
    for start, end in reversed(_merged(spans)):
        text = text[:start] + MASK + text[end:]
    return text


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def decoys_of(
    steps: pd.DataFrame,
    answers: Mapping[tuple[str, str, int], int],
    questions: Mapping[str, Question],
    task: Task,
    seed: int,
) -> pd.DataFrame:
    """Statements of known truth in the words of each arm: a true and a false one a question and arm.

    A task with a `decoys` hook changes the object of a claim. For any other, a sentence that states
    the trace's answer and claims nothing beside it gets the right option in the answer's place, and a
    wrong one. The questions are those where every arm has such a step, if there are any: the arms are
    compared on the same ones.

    Args:
        steps: of one or several arms (`records.STEPS`).
        answers: of the traces by (qid, arm, cid), an index into the options; -1: none.
        questions: by id.
        task: of the study.
        seed: which step is taken, and which wrong object.

    Returns:
        qid, arm, cid, sid (of the step that lent its words), text and truth.
    """
    rows = []
    for (qid, arm), own in records.by_key(steps, ["qid", "arm"]).items():
        rng = random.Random(f"decoys {seed} {qid} {arm}")
        for step in _shuffled(own, rng):
            answer = answers.get((step.qid, step.arm, int(step.cid)), -1)
            pair = _decoy_pair(questions[qid], step, answer, task, rng)
            if pair is not None:
                key = {"qid": qid, "arm": arm, "cid": int(step.cid), "sid": int(step.sid)}
                rows += [
                    key | {"text": text, "truth": truth}
                    for text, truth in zip(pair, (True, False), strict=True)
                ]
                break
    table = pd.DataFrame(rows, columns=[*records.STEP_KEY, "text", "truth"])
    common = table.groupby("qid").arm.transform("nunique") == steps.arm.nunique()
    return (table[common] if common.any() else table).reset_index(drop=True)


def _shuffled(steps: pd.DataFrame, rng: random.Random) -> list[Any]:
    rows = [row for row in records.rows(steps) if row.complete and row.text.strip()]
    rng.shuffle(rows)
    return rows


def _decoy_pair(
    question: Question, step: Any, answer: int, task: Task, rng: random.Random
) -> tuple[str, str] | None:
    if task.decoys is not None:
        return task.decoys(question, step.text, rng)
    wrong = [option for option in range(len(question.options)) if option != question.gold]
    if answer < 0 or not wrong:
        return None
    for start, end in _sentences(step.text):
        sentence = step.text[start:end]
        if _only_states(question, sentence, answer, task):
            option = rng.choice(wrong)
            true, false = (_restated(question, sentence, answer, to, task) for to in (question.gold, option))
            return true, false
    return None


def _only_states(question: Question, sentence: str, answer: int, task: Task) -> bool:
    """Whether a sentence states the answer and claims nothing beside it.

    Words of the question itself ("diagnosis", "next step") claim nothing beside it.
    """
    if not states_answer(question, sentence, answer, task):
        return False
    rest = sentence
    for mention in reversed(_mentions(question, sentence, answer, task)):
        if re.search(r"\b(?:an?|no|not) [*_]*$", rest[: mention.start], re.IGNORECASE):
            return False  # the article may not fit the other option
        rest = rest[: mention.start] + " " + rest[mention.end :]
    said = {word.lower() for word in re.findall(r"\w+", rest)}
    known = {word.lower() for word in re.findall(r"\w+", question.stem)}
    return not said & _TURNS and said <= _EMPTY | known


def _restated(question: Question, sentence: str, answer: int, option: int, task: Task) -> str:
    """The sentence with another option in the answer's place, by letter and text as it stands there."""
    for mention in reversed(_mentions(question, sentence, answer, task)):
        if mention.text is not None:  # behind the letter, so first
            start, end = mention.text
            new = _in_case_of(sentence[start:end], question.options[answer], question.options[option])
            sentence = sentence[:start] + new + sentence[end:]
        if mention.letter is not None:
            start, end = mention.letter
            sentence = sentence[:start] + LETTERS[option] + sentence[end:]
    return sentence


def _in_case_of(said: str, option: str, new: str) -> str:
    """The new option's text, its first letter small where the trace wrote the old one's so."""
    if said[:1].islower() and option[:1].isupper() and new[1:2].islower():
        return new[:1].lower() + new[1:]
    return new


# --- where a text names an option -----------------------------------------------------------------


def _sentences(text: str) -> list[tuple[int, int]]:
    return segment(text, "sentences")


def _mentions(question: Question, text: str, option: int, task: Task) -> list[_Mention]:
    """Where a text names an option by letter (where answers are letters), by text or by both, in order."""
    name = rf"(?P<text>(?i:{re.escape(question.options[option])}))(?!\w)"
    if task.format.answer_form != "letter":
        return [_mention(found) for found in re.finditer(rf"(?<!\w){name}", text)]
    own = LETTERS[option]
    letter = rf"(?P<letter>{own})"
    found: list[_Mention] = []
    for pattern in (
        rf"(?:\((?={own}\))|(?<![\w(])(?={own}[).:])){letter}[).:][\s*_]*{name}",  # (B) aspirin, B. aspirin
        rf"(?<!\w){name}",
        rf"\({letter}\)",
        rf"\b(?:[Oo]ption|[Aa]nswer is:?|[Aa]nswer:|[Cc]hoose|[Ss]elect|[Pp]ick) [*_(]*{letter}(?![\w'’-])",
    ):
        taken = [(mention.start, mention.end) for mention in found]
        own_mentions = [_mention(match) for match in re.finditer(pattern, text)]
        found += [m for m in own_mentions if all(m.end <= start or m.start >= end for start, end in taken)]
    return sorted(found, key=lambda mention: mention.start)


def _mention(match: re.Match[str]) -> _Mention:
    letter = match.span("letter") if "letter" in match.re.groupindex else None
    text = match.span("text") if "text" in match.re.groupindex else None
    if letter and not text and not match.group().startswith("("):
        return _Mention(*letter, letter, None)  # the word before it stays
    return _Mention(*match.span(), letter, text)
