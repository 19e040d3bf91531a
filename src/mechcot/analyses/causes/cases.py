"""Whose traces are changed, and which of their claims can be swapped for another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.arms import on_questions
from mechcot.analyses.causes.design import ALIKE, BREAK, LATERAL, OTHER_RIGHT, REPAIR
from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.reading.inputs import QuestionInput, Seam, TraceInput
from mechcot.stats.frames import cut_off, text_codes
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, question_of

Ids = tuple[int, ...]
TWICE, CUT, UNANSWERED = "text stands twice", "cut by the token limit", "no answer among the options"
UNREAD, AT_ONCE = "no step, or not read", "its first step states the answer"
FOREIGN = "the object's tokens are not those of its text alone"
NO_OTHER = "no other object of its kind"


@dataclass(frozen=True)
class Item:
    """A step of a trace that may matter.

    Attributes:
        number: of the step in its trace, from 0.
        sid: its id.
        kind: its role.
        label: whether it is wrong: `correct` or `erroneous`.
        start: first token of the claimed object; -1: nothing in the step can be swapped.
        stop: one past its last.
        said: the object.
        truth: every object that makes the claim true.
        objects: object to its tokens there, of everything that could stand there.
    """

    number: int
    sid: int
    kind: str
    label: str
    start: int = -1
    stop: int = -1
    said: str = ""
    truth: tuple[str, ...] = ()
    objects: tuple[tuple[str, Ids], ...] = ()


@dataclass(frozen=True)
class Case:
    """A trace whose own answer is asked for under changes.

    Attributes:
        qid: question.
        cid: which trace of it.
        own: the option that the trace answers.
        gold: the right option.
        text: the trace.
        prompt: the question's tokens, and the lead-in with its options.
        trace: its tokens and all of its steps.
        steps: rows of `records.STEPS`, in order.
        k: how many of its steps stand before the first that states the answer.
        items: those of them that may matter.
        starts: first character of each token.
    """

    qid: str
    cid: int
    own: int
    gold: int
    text: str
    prompt: QuestionInput
    trace: TraceInput
    steps: tuple[Any, ...]
    k: int
    items: tuple[Item, ...]
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """Unique among the cases of an arm."""
        return f"{self.qid}\0{self.cid}"


def cases_of(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int
) -> tuple[list[Case], dict[str, int]]:
    """Finished traces of an arm that answer, have steps before they state it, and are read.

    Questions of equal text are one. First traces of all questions come first, questions in an order drawn
    from the study's seed that is the same for every arm.

    Args:
        study: its tables must be there.
        arm: whose traces.
        task: of the study.
        tokenizer: the arm's.
        most: traces at most.

    Returns:
        The cases; how many traces, and claims in them, are left out, by reason.

    Raises:
        AnalysisError: none is left.
        ReadingError: as `reading.of_study.question_inputs`.
    """
    from mechcot.reading.of_study import question_inputs

    questions = study.questions(study.settings.contrast.domain)
    rank = _rank(questions, study.settings.seed)
    inputs = {q.qid: q for q in question_inputs(study, arm, task, tokenizer) if not q.permutation}
    traces = on_questions(questions, study.traces(arm))
    traces = traces[traces.cid < study.settings.reading.traces_per_question]
    order = traces.assign(cut=cut_off(traces), rank=traces.qid.map(rank))
    order = order.sort_values(["cid", "rank"])
    steps = records.rows_by_key(study.steps(arm), ["qid", "cid"])
    by_id = {row.qid: question_of(row) for row in records.rows(questions)}
    context = _Context(task, cache(partial(_tokens, tokenizer)), _claims(study, arm, task), Counter())
    found: list[Case] = []
    for row in records.rows(order):
        read, own = inputs.get(row.qid), steps.get((row.qid, row.cid), [])
        trace = next((t for t in read.traces if t.cid == row.cid), None) if read else None
        if why := _unfit(row, trace, own):
            context.lost[why] += 1
        elif len(found) < most and read is not None and trace is not None:
            found.append(_case(context, row, by_id[row.qid], replace(read, traces=(trace,)), own))
    if not found:
        told = ", ".join(f"{n:,} {why}" for why, n in context.lost.items()) or "there are none"
        raise AnalysisError(f"{arm}: no trace can be asked for its own answer ({told})")
    return found, dict(context.lost)


@dataclass(frozen=True)
class _Context:
    """What all cases of an arm share.

    Attributes:
        task: of the study.
        tokens: a text's tokens.
        claims: by step, see `_claims`.
        lost: claims left out, by reason; grows.
    """

    task: Task
    tokens: Callable[[str], Ids]
    claims: Mapping[tuple[Any, ...], Any]
    lost: Counter[str]


def _rank(questions: pd.DataFrame, seed: int) -> dict[str, int]:
    """Each question's place in a random order; of equal texts the first alone has one."""
    alone = questions[~pd.Series(text_codes(questions), index=questions.index).duplicated()]
    order = np.random.default_rng([seed, 17]).permutation(len(alone))
    return {qid: int(place) for qid, place in zip(alone.qid, order, strict=True)}


def _unfit(row: Any, trace: TraceInput | None, steps: Sequence[Any]) -> str:
    """Why a trace is no case, "" if it is one."""
    if np.isnan(row.rank):
        return TWICE
    if row.cut:
        return CUT
    if row.answer < 0:
        return UNANSWERED
    if trace is None or not steps:
        return UNREAD
    return AT_ONCE if steps[0].states_answer else ""


def _claims(study: Study, arm: str, task: Task) -> Mapping[tuple[Any, ...], Any]:
    """By step: its claim where the task reads claims, else its verdict where that says right or wrong."""
    if task.claim is not None and task.objects is not None:
        return {(c.qid, c.cid, c.sid): c for c in records.rows(study.claims(arm))}
    verdicts = study.verdicts(arm)
    verdicts = verdicts[verdicts.label.isin(["correct", "erroneous"])]
    return {(v.qid, v.cid, v.sid): v for v in records.rows(verdicts)}


def _case(context: _Context, row: Any, question: Question, read: QuestionInput, steps: Sequence[Any]) -> Case:
    k = next((number for number, step in enumerate(steps) if step.states_answer), len(steps))
    (trace,) = read.traces
    seams = {number: Seam(seam.cut, seam.leads[:1]) for number, seam in trace.seams.items()}
    bare = replace(trace, positions={}, targets=(), knock_outs=(), seams=seams)
    items = []
    for number, step in enumerate(steps[:k]):
        claim = context.claims.get((row.qid, row.cid, step.sid))
        if claim is not None:
            items.append(_item(context, number, step, claim, question, bare, bare.cut(k - 1)))
    return Case(
        qid=row.qid,
        cid=int(row.cid),
        own=int(row.answer),
        gold=question.gold,
        text=row.text,
        prompt=replace(read, traces=(), forced=read.forced[:1], prior_ids=()),
        trace=bare,
        steps=tuple(steps),
        k=k,
        items=tuple(items),
        starts=tuple(int(at) for at in row.token_start),
    )


def _item(
    context: _Context, number: int, step: Any, claim: Any, question: Question, trace: TraceInput, end: int
) -> Item:
    """A step that may matter, with what its object can be swapped for.

    Objects are put into tokens as the said one was, with or without a blank before it.
    """
    if context.task.objects is None or context.task.claim is None:
        return Item(number, int(step.sid), step.role, claim.label)
    truth = tuple(claim.truth)
    label = "correct" if claim.object in truth else "erroneous"
    others = dict.fromkeys((claim.object, *truth, *context.task.objects(question, step.text)))
    item = Item(number, int(step.sid), step.role, label, said=claim.object, truth=truth)
    start = int(claim.tok_object)
    for blank in ("", " "):
        texts: dict[Ids, str] = {}
        for text in others:
            texts.setdefault(context.tokens(blank + text), text)
        said = context.tokens(blank + claim.object)
        stop = start + len(said)
        if said and tuple(trace.token_ids[start:stop]) == said and start > 0 and stop <= end:
            objects = tuple((text, ids) for ids, text in texts.items() if ids)
            if len(objects) > 1:
                return replace(item, start=start, stop=stop, objects=objects)
            context.lost[f"claims: {NO_OTHER}"] += 1
            return item
    context.lost[f"claims: {FOREIGN}"] += 1
    return item


def _tokens(tokenizer: Any, text: str) -> Ids:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def chosen(item: Item, surprisal: Mapping[str, float]) -> dict[str, str]:
    """What a claim's object is swapped for, by swap.

    A wrong object: the likeliest true one (repair); the wrong one that is as likely as that (lateral), so
    that the two differ in truth alone; the wrong one as likely as what was written. A right object: a true
    one that is as likely, where there is another; a wrong one as likely as that, or as what was written.

    Args:
        item: the claim.
        surprisal: of each object where the claim's stands, nats.
    """
    wrong = [name for name in surprisal if name not in item.truth and name != item.said]
    right = [name for name in surprisal if name in item.truth and name != item.said]

    def nearest(names: Sequence[str], to: str) -> str:
        return min(names, key=lambda name: abs(surprisal[name] - surprisal[to]))

    found = {}
    if item.label == "erroneous" and right:
        found[REPAIR] = min(right, key=lambda name: surprisal[name])
        if wrong:
            found[LATERAL] = nearest(wrong, found[REPAIR])
            found[ALIKE] = nearest(wrong, item.said)
    if item.label == "correct":
        if right:
            found[OTHER_RIGHT] = nearest(right, item.said)
        if wrong:
            found[BREAK] = nearest(wrong, found.get(OTHER_RIGHT, item.said))
    return found
