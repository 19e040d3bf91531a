"""What of a trace can be swapped for something else: objects of claims, or whole steps of other traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from mechcot.analyses.causes.design import ALIKE, BREAK, LATERAL, OTHER_RIGHT, REPAIR
from mechcot.core import records
from mechcot.reading.inputs import TraceInput
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task
from mechcot.tasks.tokens import decode

Ids = tuple[int, ...]
FOREIGN = "claims: the object's tokens are not those of its text alone"
NO_OTHER = "claims: nothing else could stand in the object's place"
SHARED = "steps: at the trace's beginning, or with a token shared with a neighbour"
ALONE = "steps: no other trace of the question has one of the kind"
BORROWED = 4
"""Steps of other traces of either verdict that one may be swapped for; the price of a swap is theirs."""


@dataclass(frozen=True)
class Item:
    """A step of a trace that may matter.

    Attributes:
        number: of the step in its trace, from 0.
        sid: its id.
        kind: its role.
        label: whether it is wrong: `correct` or `erroneous`.
        start: first token of the claimed object, or of the step; -1: nothing in it can be swapped.
        stop: one past its last.
        said: the object, or the step's text.
        truth: every object that makes the claim true; texts of right steps of other traces.
        objects: everything that could stand there, with its tokens.
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
class Before:
    """What stands in a trace before its answer is stated.

    Attributes:
        question: of the trace.
        steps: rows of `records.STEPS`.
        trace: its tokens.
        end: how many of these stand before the lead-in.
    """

    question: Question
    steps: Sequence[Any]
    trace: TraceInput
    end: int


ItemsOf = Callable[[Before], Iterator[Item]]
"""Which steps may matter, and what they may be swapped for."""


def items_of(study: Study, arm: str, task: Task, tokenizer: Any, lost: Counter[str]) -> ItemsOf:
    """Claims, where the task reads them and knows what could stand in their place; else steps with a verdict.

    Args:
        study: its tables must be there.
        arm: whose.
        task: of the study.
        tokenizer: the arm's.
        lost: what cannot be swapped, by reason; grows.
    """
    if task.claim is not None and task.objects is not None:
        claims = {(c.qid, c.cid, c.sid): c for c in records.rows(study.claims(arm))}
        return partial(_claims, task, cache(partial(_tokens, tokenizer)), claims, lost)
    verdicts = study.verdicts(arm)
    verdicts = verdicts[verdicts.label.isin(["correct", "erroneous"])]
    labels = {(v.qid, v.cid, v.sid): str(v.label) for v in records.rows(verdicts)}
    return partial(_steps, labels, _pool(study, arm, labels, tokenizer), tokenizer, study.settings.seed, lost)


def _claims(
    task: Task,
    tokens: Callable[[str], Ids],
    claims: Mapping[tuple[Any, ...], Any],
    lost: Counter[str],
    before: Before,
) -> Iterator[Item]:
    """Claims; objects are put into tokens as the said one was, with or without a blank before it."""
    assert task.objects is not None
    for number, step in enumerate(before.steps):
        claim = claims.get((step.qid, step.cid, step.sid))
        if claim is None:
            continue
        truth = tuple(claim.truth)
        label = "correct" if claim.object in truth else "erroneous"
        item = Item(number, int(step.sid), step.role, label, said=claim.object, truth=truth)
        others = dict.fromkeys((claim.object, *truth, *task.objects(before.question, step.text)))
        whole = _placed(item, int(claim.tok_object), others, tokens, before)
        if whole.start < 0:
            lost[FOREIGN] += 1
        elif len(whole.objects) < 2:
            lost[NO_OTHER] += 1
        yield whole if len(whole.objects) > 1 else item


def _placed(
    item: Item,
    start: int,
    others: Mapping[str, None],
    tokens: Callable[[str], Ids],
    before: Before,
) -> Item:
    """The item with its tokens and those of all else, if they stand there as those of its text alone."""
    for blank in ("", " "):
        texts: dict[Ids, str] = {}
        for text in others:
            texts.setdefault(tokens(blank + text), text)
        said = tokens(blank + item.said)
        stop = start + len(said)
        if said and tuple(before.trace.token_ids[start:stop]) == said and start > 0 and stop <= before.end:
            objects = tuple((text, ids) for ids, text in texts.items() if ids)
            return replace(item, start=start, stop=stop, objects=objects)
    return item


def _tokens(tokenizer: Any, text: str) -> Ids:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


Pool = Mapping[tuple[str, str, bool], Mapping[str, tuple[Ids, str]]]
"""By question, role and whether the first token begins with a blank: text to its tokens and verdict."""


def _pool(study: Study, arm: str, labels: Mapping[tuple[Any, ...], str], tokenizer: Any) -> Pool:
    """Steps that others may be swapped for; texts with verdicts of both kinds are none."""
    traces = {(t.qid, t.cid): t for t in records.rows(study.traces(arm))}
    found: dict[tuple[str, str, bool], dict[str, tuple[Ids, str]]] = {}
    for step in records.rows(study.steps(arm)):
        label = labels.get((step.qid, step.cid, step.sid))
        if label is None or step.straddles or step.states_answer or not step.complete:
            continue
        ids = tuple(int(i) for i in traces[step.qid, step.cid].token_ids[step.tok_start : step.tok_end])
        own = found.setdefault((step.qid, step.role, _blank(tokenizer, ids)), {})
        known = own.setdefault(step.text, (ids, label))
        if known[1] != label:
            own[step.text] = (ids, "")
    return found


def _blank(tokenizer: Any, ids: Ids) -> bool:
    return decode(tokenizer, ids[:1])[:1].isspace()


def _steps(
    labels: Mapping[tuple[Any, ...], str],
    pool: Pool,
    tokenizer: Any,
    seed: int,
    lost: Counter[str],
    before: Before,
) -> Iterator[Item]:
    """Steps with a verdict, and steps of the same role in the arm's other traces of the question."""
    for number, step in enumerate(before.steps):
        label = labels.get((step.qid, step.cid, step.sid))
        if label is None:
            continue
        item = Item(number, int(step.sid), step.role, label, said=step.text)
        start, stop = int(step.tok_start), int(step.tok_end)
        if step.straddles or start < 1 or stop > before.end:
            lost[SHARED] += 1
            yield item
            continue
        ids = tuple(int(i) for i in before.trace.token_ids[start:stop])
        there = pool.get((step.qid, step.role, _blank(tokenizer, ids)), {})
        rng = np.random.default_rng([seed, *f"{step.qid}\0{step.cid}\0{step.sid}".encode()])
        others: dict[str, tuple[Ids, str]] = {}
        for verdict in ("correct", "erroneous"):
            fits = [text for text, (_, own) in there.items() if own == verdict and text != step.text]
            for at in np.sort(rng.permutation(len(fits))[:BORROWED]):
                others[fits[int(at)]] = there[fits[int(at)]]
        if not others:
            lost[ALONE] += 1
            yield item
            continue
        right = tuple(text for text, (_, own) in others.items() if own == "correct")
        truth = (step.text, *right) if label == "correct" else right
        objects = {ids: step.text} | {tokens: text for text, (tokens, _) in others.items() if tokens != ids}
        told = tuple((text, tokens) for tokens, text in objects.items())
        yield replace(item, start=start, stop=stop, truth=truth, objects=told)


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
