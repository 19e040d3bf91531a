"""Examples made of a teacher's chains: rendered as the study asks, with whose reasoning, and how many."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.teacher_settings import ExampleSettings
from mechcot.distill.chains import Exercise, answers_right, plain
from mechcot.tasks import PromptFormat, parts, reasoning_end, render_prompt
from mechcot.tasks.tokens import turn_marks, without_end

LEFT_OUT = {
    "hinted": "the answer was shown, or was not (examples.NAME.hinted)",
    "mark": "a chat template's mark stands in it, and more text behind the mark",
    "no_reasoning": "nothing stands before its answer",
    "not_read_back": "the study's rules read another answer, or none, off the completion",
}
"""Why a kept chain is no example."""


@dataclass(frozen=True)
class Writer:
    """What examples are written with.

    Attributes:
        exercises: by id.
        form: of the study.
        tokenizer: of the base that a student starts from.
        seed: of the study.
    """

    exercises: Mapping[str, Exercise]
    form: PromptFormat
    tokenizer: Any
    seed: int


@dataclass(frozen=True)
class Made:
    """Examples of one name.

    Attributes:
        rows: of `teacher_records.MADE_EXAMPLES`.
        left_out: chains that are no example, by why.
        missing: questions that those matched with have and these have not.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, int]
    missing: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all completions."""
        return sum(row["n_tokens"] for row in self.rows)


@dataclass(frozen=True)
class _Piece:
    """A chain whose answer is right, and the reasoning that is put before it."""

    qid: str
    cid: int
    hinted: bool
    reasoning: str
    whose: tuple[str, int]


def examples_of(
    chains: pd.DataFrame,
    asked: Mapping[str, ExampleSettings],
    writer: Writer,
    own_chains: pd.DataFrame | None = None,
) -> dict[str, Made]:
    """All examples that the settings name, those that match others after these.

    Args:
        chains: the teacher's, of `teacher_records.CHAINS`; those that are kept count.
        asked: by name.
        writer: what they are written with.
        own_chains: the base's own, where some are made of those.

    Raises:
        DataError: none are left of a name, or their reasoning cannot be shuffled.
        ModelError: a prompt cannot be rendered.
    """
    made: dict[str, Made] = {}
    for name in sorted(asked, key=lambda one: asked[one].match is not None):
        settings = asked[name]
        table = own_chains if settings.chains == "own" else chains
        assert table is not None  # the caller has them where the settings name them
        kept = table[table.kept]
        own = _written(name, _pieces(name, kept, settings, writer), writer)
        if settings.match is not None and own.rows:
            rng = random.Random(f"examples {writer.seed} {name}")
            own = _matched(own, made[settings.match], settings.by, rng)
        if not own.rows:
            told = ", ".join(f"{n} {why} ({LEFT_OUT[why]})" for why, n in own.left_out.items() if n)
            behind = f"; and of {own.missing} questions of '{settings.match}' none" if own.missing else ""
            raise DataError(
                f"examples.{name}: of {len(kept)} kept chains none is left: {told or 'none fits'}{behind}"
            )
        made[name] = own
    return {name: made[name] for name in asked}


# --- chains ---------------------------------------------------------------------------------------


def _pieces(
    name: str, kept: pd.DataFrame, settings: ExampleSettings, writer: Writer
) -> tuple[list[_Piece], Counter[str]]:
    left: Counter[str] = Counter()
    marks, pieces = turn_marks(writer.tokenizer), []
    for row in records.rows(kept):
        if settings.hinted != "also" and row.hinted != (settings.hinted == "only"):
            left["hinted"] += 1
            continue
        text = without_end(row.text, marks)
        if text is None:
            left["mark"] += 1
            continue
        reasoning = ""
        if settings.reasoning != "none":
            reasoning = reasoning_of(text, writer.exercises[row.qid], writer.form)
            if not reasoning:
                left["no_reasoning"] += 1
                continue
        pieces.append(_Piece(row.qid, int(row.cid), bool(row.hinted), reasoning, (row.qid, int(row.cid))))
    if settings.reasoning == "none":
        pieces = [replace(piece, whose=("", -1)) for piece in pieces]
    elif settings.reasoning == "shuffled" and pieces:
        pieces = _shuffled(name, pieces, writer.seed)
    return pieces, left


def reasoning_of(text: str, exercise: Exercise, form: PromptFormat) -> str:
    """What a chain says before its answer, without tags around thoughts; "" where it is nothing.

    Args:
        text: of the chain.
        exercise: that it answers.
        form: of the study; its mark of the end of reasoning, where the chain has it, ends the reasoning.
    """
    if form.reasoning_end and form.reasoning_end in text:
        head = text[: text.index(form.reasoning_end)]
        return re.sub(r"\A\s*<\w+>", "", head).strip()
    own = plain(form)
    end = reasoning_end(text, own, exercise.question)
    cut = parts(text, exercise.question, own)
    tags = [p for p in cut if p.role == "markup" and re.fullmatch(r"\s*</?\w+>\s*", text[p.start : p.end])]
    head, at = "", 0
    for tag in tags:
        if tag.start < end:
            head, at = head + text[at : tag.start], tag.end
    return (head + text[at : max(at, end)]).strip()


def _shuffled(name: str, pieces: list[_Piece], seed: int) -> list[_Piece]:
    """Each with the reasoning of another question's, and every reasoning with one."""
    by_question: dict[str, list[_Piece]] = defaultdict(list)
    for piece in pieces:
        by_question[piece.qid].append(piece)
    order = sorted(by_question)
    random.Random(f"examples {seed} {name}").shuffle(order)
    row = [piece for qid in order for piece in by_question[qid]]
    # Chains of a question stand together: a step as long as the longest such run leaves the question.
    step = max(len(own) for own in by_question.values())
    if len(row) < 2 * step:
        raise DataError(
            f"examples.{name}: {step} of {len(row)} chains are of one question, so that not every one can "
            "have another question's reasoning. Have chains of more questions, or lower teacher.chains"
        )
    donors = {piece.whose: row[(i + step) % len(row)] for i, piece in enumerate(row)}
    return [replace(p, reasoning=donors[p.whose].reasoning, whose=donors[p.whose].whose) for p in pieces]


# --- completions ----------------------------------------------------------------------------------


def completion_of(reasoning: str, exercise: Exercise, form: PromptFormat) -> tuple[str, int]:
    """A completion as the study reads it, and the character where its answer begins.

    The answer is written as the study forces it: lead-in, right answer, terminator.
    """
    lead, question = form.lead_in[0], exercise.question
    tail = form.written(question, question.gold) + (form.terminator or "")
    if not reasoning:
        return lead.lstrip() + tail, 0
    before = reasoning if lead[:1].isspace() else f"{reasoning} "
    return before + lead + tail, len(before) + len(lead) - len(lead.lstrip())


def _written(name: str, found: tuple[list[_Piece], Counter[str]], writer: Writer) -> Made:
    pieces, left = found
    rows = []
    for piece in pieces:
        exercise = writer.exercises[piece.qid]
        text, start = completion_of(piece.reasoning, exercise, writer.form)
        if not answers_right(text, exercise, writer.form)[0]:
            left["not_read_back"] += 1
            continue
        rows.append(
            {
                "eid": f"{name}-{piece.qid}-{piece.cid}",
                "qid": piece.qid,
                "prompt": render_prompt(exercise.question, writer.form, writer.tokenizer)[0],
                "completion": text,
                "answer_start": start,
                "cid": piece.cid,
                "hinted": piece.hinted,
                "reasoning_qid": piece.whose[0],
                "reasoning_cid": piece.whose[1],
                "n_tokens": len(writer.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1,
            }
        )
    return Made(rows, {why: left[why] for why in LEFT_OUT})


# --- matching -------------------------------------------------------------------------------------


def _matched(own: Made, other: Made, by: str, rng: random.Random) -> Made:
    """Examples of the other's questions alone, as many of each, or as many tokens in all."""
    wanted = Counter(row["qid"] for row in other.rows)
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in own.rows:
        if row["qid"] in wanted:
            of[row["qid"]].append(row)
    if by == "questions":
        rows = [of[qid][i % len(of[qid])] for qid in wanted if qid in of for i in range(wanted[qid])]
    else:
        rows = to_tokens([row for qid in wanted for row in of.get(qid, [])], other.tokens, rng)
    return Made(told_apart(rows), own.left_out, len(wanted.keys() - of.keys()))


def told_apart(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with an id of its own for each repeat."""
    seen: Counter[str] = Counter()
    named = []
    for row in rows:
        seen[row["eid"]] += 1
        again = seen[row["eid"]]
        named.append(row if again == 1 else row | {"eid": f"{row['eid']}-again-{again}"})
    return named


def to_tokens(rows: Sequence[dict[str, Any]], tokens: int, rng: random.Random) -> list[dict[str, Any]]:
    """Whole rows, each as often as any other or once more, until the next would pass so many tokens.

    The total is under `tokens` by less than the longest row.
    """
    if not rows:
        return []
    times, left = divmod(tokens, sum(row["n_tokens"] for row in rows))
    more = list(rows)
    rng.shuffle(more)
    chosen = []
    for row in more:
        if row["n_tokens"] > left:
            break
        chosen.append(row)
        left -= row["n_tokens"]
    return [*list(rows) * times, *chosen]
