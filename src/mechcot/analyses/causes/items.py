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
from mechcot.tasks.tokens import decode, following

Ids = tuple[int, ...]
FOREIGN = "claims: the object's tokens are not those of its text alone"
NO_OTHER = "claims: nothing else could stand in the object's place"
SHARED = "steps: at the trace's beginning, or with a token shared with the lead-in"
ALONE = "steps: no other trace of the question has one of the kind"
NOT_DRAWN = "steps: not drawn for the rewriter (causes.rewritten)"
REFUSED = "steps: no rewriting of it is used"
_SEAM = 16
"""Tokens before a step that its first one is read behind."""
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


Labels = Mapping[tuple[Any, ...], str]
"""Verdicts correct or erroneous by question, trace and step."""
Others = Mapping[str, str]
"""What may stand in a step's place: text to `correct` or `erroneous`."""
Rewritten = Mapping[tuple[Any, ...], Others]
"""By question, trace and step; steps that no server was asked about are missing."""
OthersOf = Callable[[Any], tuple[Others, str]]
"""Of a row of `records.STEPS`, and why there is nothing if so."""
ItemsOf = Callable[[Before], Iterator[Item]]
"""Which steps may matter, and what they may be swapped for."""


def items_of(
    study: Study,
    arm: str,
    task: Task,
    tokenizer: Any,
    lost: Counter[str],
    rewritten: Rewritten | None = None,
) -> ItemsOf:
    """Claims, where the task reads them and knows what could stand in their place; else steps with a verdict.

    Args:
        study: its tables must be there.
        arm: whose.
        task: of the study.
        tokenizer: the arm's.
        lost: what cannot be swapped, by reason; grows.
        rewritten: steps as a server wrote them anew; None: steps are swapped for those of other traces.
    """
    if task.claim is not None and task.objects is not None:
        claims = {(c.qid, c.cid, c.sid): c for c in records.rows(study.claims(arm))}
        return partial(_claims, task, cache(partial(_tokens, tokenizer)), claims, lost)
    labels = labels_of(study, arm)
    others = _borrowed(study, arm, labels) if rewritten is None else partial(_as_rewritten, rewritten)
    return partial(_steps, labels, others, cache(partial(following, tokenizer)), tokenizer, lost)


def labels_of(study: Study, arm: str) -> Labels:
    """Steps that the study's judge calls correct or erroneous, by their ids."""
    verdicts = study.verdicts(arm)
    verdicts = verdicts[verdicts.label.isin(["correct", "erroneous"])]
    return {(v.qid, v.cid, v.sid): str(v.label) for v in records.rows(verdicts)}


def judged(labels: Labels, before: Before) -> Iterator[Item]:
    """Steps with a verdict, and nothing to swap them for."""
    for number, step in enumerate(before.steps):
        label = labels.get((step.qid, step.cid, step.sid))
        if label is not None:
            yield Item(number, int(step.sid), step.role, label, said=step.text)


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


def _borrowed(study: Study, arm: str, labels: Labels) -> OthersOf:
    """Steps of other traces of the question and kind; texts with verdicts of both kinds are none."""
    pool: dict[tuple[str, str], dict[str, str]] = {}
    for step in records.rows(study.steps(arm)):
        label = labels.get((step.qid, step.cid, step.sid))
        if label is None or step.states_answer or not step.complete:
            continue
        own = pool.setdefault((step.qid, step.role), {})
        own[step.text] = label if own.get(step.text, label) == label else ""
    return partial(_drawn, pool, study.settings.seed)


def _drawn(pool: Mapping[tuple[str, str], Mapping[str, str]], seed: int, step: Any) -> tuple[Others, str]:
    """A few of either verdict."""
    there = pool.get((step.qid, step.role), {})
    rng = np.random.default_rng([seed, *f"{step.qid}\0{step.cid}\0{step.sid}".encode()])
    others: dict[str, str] = {}
    for verdict in ("correct", "erroneous"):
        fits = [text for text, own in there.items() if own == verdict and text != step.text]
        others |= {fits[int(at)]: verdict for at in np.sort(rng.permutation(len(fits))[:BORROWED])}
    return others, ALONE


def _as_rewritten(rewritten: Rewritten, step: Any) -> tuple[Others, str]:
    """What a server wrote in a step's place, and why there is nothing."""
    found = rewritten.get((step.qid, step.cid, step.sid))
    return ({}, NOT_DRAWN) if found is None else (found, REFUSED)


def _steps(
    labels: Labels,
    others_of: OthersOf,
    tokens: Callable[[str], Sequence[int]],
    tokenizer: Any,
    lost: Counter[str],
    before: Before,
) -> Iterator[Item]:
    """Steps with a verdict, and texts in their place; neighbours' text in a shared token stays as it is."""
    for item in judged(labels, before):
        step = before.steps[item.number]
        start, stop = int(step.tok_start), int(step.tok_end)
        ids = tuple(int(i) for i in before.trace.token_ids[start:stop])
        prior = [int(i) for i in before.trace.token_ids[max(0, start - _SEAM) : start]]
        whole = decode(tokenizer, [*prior, *ids])[
            len(decode(tokenizer, prior)) :
        ]  # alone it may lose a blank
        at = whole.find(step.text)
        others, none = others_of(step)
        if start < 1 or stop > before.end or at < 0 or not others:
            lost[none if not others else SHARED] += 1
            yield item
            continue
        head, tail = whole[:at], whole[at + len(step.text) :]
        objects = {ids: step.text}
        for text in others:
            objects.setdefault(tuple(tokens(head + text + tail)), text)
        right = tuple(text for text, verdict in others.items() if verdict == "correct")
        truth = (step.text, *right) if item.label == "correct" else right
        told = tuple((text, own) for own, text in objects.items())
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
