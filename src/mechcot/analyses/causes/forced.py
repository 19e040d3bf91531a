"""Answers forced behind changed prefixes: one claim swapped, and everything in place of the steps."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from mechcot.analyses.causes import design
from mechcot.analyses.causes.cases import Case
from mechcot.analyses.causes.items import Ids, Item, chosen
from mechcot.models.anatomy import anatomy_of
from mechcot.reading.batch import unpack, unpack_prompts
from mechcot.reading.inputs import LeadIn, QuestionInput, Seam, TraceInput
from mechcot.reading.reader import alone, plan_for, read_batch, unreadable
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.tasks.tokens import following

log = logging.getLogger("mechcot")

Floats = npt.NDArray[np.float64]
Answers = dict[tuple[str, int], Floats]
"""By question and text, nats of each option at the bare prompt and after each step, [1 + steps, options]."""
UNREADABLE, NOT_FINITE = "texts: cannot be read", "texts: numbers that are not finite"


@dataclass(frozen=True)
class Reading:
    """Who reads, in batches of how many tokens.

    Attributes:
        model: a Hugging Face causal language model.
        tokenizer: its tokenizer.
        max_tokens: of a forward pass; None: the default of its device.
    """

    model: Any
    tokenizer: Any
    max_tokens: int | None


def ask(reading: Reading, questions: Sequence[QuestionInput], lost: Counter[str]) -> Answers:
    """Force the first lead-in's answers after every step of every text.

    Args:
        reading: by whom.
        questions: texts behind their prompts; `qid` and `cid` name them.
        lost: texts that the model cannot read, or reads no finite numbers of, by reason; grows.
    """
    problems = unreadable(reading.model, questions, ())
    for problem in problems.values():
        log.warning("left out: %s", problem.replace("\0", ", "))
    bad = {(qid, cid) for qid, _, cid in problems}
    lost[UNREADABLE] += len(bad)
    kept = [replace(q, traces=tuple(t for t in q.traces if (q.qid, t.cid) not in bad)) for q in questions]
    kept = [question for question in kept if question.traces]
    if not kept:
        return {}
    anatomy = anatomy_of(reading.model)
    spec = ReadingSpec(layers=(), rules=(), signals=False, max_tokens=reading.max_tokens)
    plan, recipe = plan_for(reading.model, kept, spec), recipe_for(anatomy, spec)
    if anatomy.strange:
        recipe = alone(recipe, anatomy.strange)
    found: Answers = {}
    prompts: dict[int, Floats] = {}
    for number in range(len(plan.batches)):
        batch = read_batch(reading.model, anatomy, plan, number, recipe)
        lost[NOT_FINITE] += len(batch.broken)
        for question, prompt, _ in unpack_prompts(plan, batch):
            prompts[question] = prompt[0, :1].astype(np.float64)
        for one in unpack(plan, batch):
            if (one.question, one.trace) not in batch.broken:
                rows = np.concatenate([prompts[one.question], one.forced[0, :, 0].astype(np.float64)])
                found[plan.questions[one.question].qid, one.source.cid] = rows
    return found


# --- numbers of a forced answer -----------------------------------------------------------------------


def log_odds(logp: Floats, own: int) -> float:
    """Of an option against all others, nats."""
    return float(logp[own] - logsumexp(np.delete(logp, own)))


def margin(logp: Floats) -> float:
    """How far the first option is ahead of the second, nats."""
    second, first = np.sort(logp)[-2:]
    return float(first - second)


def shares(logp: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities among the options, [options]; at temperature 0 all is on the first."""
    if temperature == 0:
        return np.asarray(logp == logp.max(), float) / (logp == logp.max()).sum()
    return np.asarray(softmax(logp / temperature))


# --- swaps -----------------------------------------------------------------------------------------------


def swaps_of(
    reading: Reading, cases: Sequence[Case], lost: Counter[str]
) -> tuple[list[dict[str, Any]], Answers]:
    """Rows of `SWAPPED`; and answers of the traces as written, by (name, 0), after each of their steps."""
    asked = [_slots(case, number, same) for case in cases for number, same in enumerate(_alike(case.items))]
    seen = ask(reading, asked, lost)
    surprisal = {
        (case.name, item.sid): _surprisals(item, seen[f"{case.name}\0{number}", 0][1 + at])
        for case in cases
        for number, same in enumerate(_alike(case.items))
        if (f"{case.name}\0{number}", 0) in seen
        for at, item in enumerate(same)
    }
    texts, planned = [], []
    for case in cases:
        swapped = [_prefix_alone(case, case.trace, 0, 0)]
        for item in case.items:
            for variant, name in chosen(item, surprisal.get((case.name, item.sid), {})).items():
                planned.append((case, item, variant, name, len(swapped)))
                swapped.append(_prefix_alone(case, *_swapped(case, item, name), len(swapped)))
        texts.append(replace(case.prompt, qid=case.name, traces=tuple(swapped)))
    found = ask(reading, texts, lost)
    whole = [replace(case.prompt, qid=case.name, traces=(_upto(case),)) for case in cases]
    written = ask(reading, whole, lost)
    rows = []
    for case, item, variant, name, cid in planned:
        key = (case.name, cid)
        if key in found and (case.name, 0) in found and (case.name, 0) in written:
            row = _row(case, item, found[case.name, 0][1], found[key][1], written[case.name, 0][item.number])
            known = surprisal[case.name, item.sid]
            said = {"variant": variant, "said": item.said, "object": name}
            rows.append(row | said | {"surprisal_said": known[item.said], "surprisal": known[name]})
    return rows, written


def _alike(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Claims that can be swapped, together where they choose from the same objects."""
    groups: dict[tuple[Ids, ...], list[Item]] = {}
    for item in items:
        if item.start > 0:
            groups.setdefault(tuple(sorted(ids for _, ids in item.objects)), []).append(item)
    yield from groups.values()


def _slots(case: Case, number: int, items: Sequence[Item]) -> QuestionInput:
    """The trace up to each claim's object, and every object there."""
    name = f"{case.name}\0{number}"
    options = tuple(sorted(ids for _, ids in items[0].objects))
    steps = tuple((item.sid, item.start - 1, item.start) for item in items)
    trace = replace(case.trace, qid=name, cid=0, steps=steps, seams={})
    return replace(case.prompt, qid=name, traces=(trace,), forced=(LeadIn((), options),))


def _surprisals(item: Item, logp: Floats) -> dict[str, float]:
    by_tokens = dict(zip(sorted(ids for _, ids in item.objects), -logp, strict=True))
    return {name: float(by_tokens[ids]) for name, ids in item.objects}


def _swapped(case: Case, item: Item, name: str) -> tuple[TraceInput, int]:
    """The trace with another object, and how many tokens longer it is."""
    new = dict(item.objects)[name]
    ids = tuple(case.trace.token_ids)
    return (
        replace(case.trace, token_ids=(*ids[: item.start], *new, *ids[item.stop :])),
        len(new) - (item.stop - item.start),
    )


def _prefix_alone(case: Case, trace: TraceInput, longer: int, cid: int) -> TraceInput:
    """A trace with one place to force an answer: behind its last step before the answer is stated."""
    last = case.k - 1
    end = case.trace.steps[last][2] + longer
    seam = case.trace.seams.get(last)
    seams = {} if seam is None else {0: Seam(seam.cut + longer, seam.leads)}
    ids = tuple(trace.token_ids)[:end]
    return replace(trace, qid=case.name, cid=cid, token_ids=ids, steps=((0, end - 1, end),), seams=seams)


def _upto(case: Case) -> TraceInput:
    """The trace as written, its steps up to the last before the answer is stated."""
    seams = {number: seam for number, seam in case.trace.seams.items() if number < case.k}
    return replace(case.trace, qid=case.name, cid=0, steps=tuple(case.trace.steps)[: case.k], seams=seams)


def _row(case: Case, item: Item, said: Floats, now: Floats, before: Floats) -> dict[str, Any]:
    return {
        **_ids(case),
        "sid": item.sid,
        "kind": item.kind,
        "label": item.label,
        "margin": margin(before),
        "log_odds_said": log_odds(said, case.own),
        "log_odds": log_odds(now, case.own),
        "right_said": log_odds(said, case.gold),
        "right": log_odds(now, case.gold),
        "p_said": float(shares(said)[case.own]),
        "p": float(shares(now)[case.own]),
        "flipped": bool(said.argmax() != now.argmax()),
    }


def _ids(case: Case) -> dict[str, Any]:
    return {"qid": case.qid, "arm": case.trace.arm, "cid": case.cid}


# --- something else in place of the steps ------------------------------------------------------------------


def controls_of(
    reading: Reading, cases: Sequence[Case], others: Sequence[Case], seed: int, lost: Counter[str]
) -> list[dict[str, Any]]:
    """Rows of `CONTROLLED`: answers forced behind something else than the trace's own steps.

    Args:
        reading: by whom.
        cases: whose answers.
        others: of all traces of the arm, to borrow from.
        seed: of what is borrowed and of orders.
        lost: grows.
    """
    texts, names = [], []
    for case in cases:
        made = {
            control: ids
            for control, ids in _texts(reading.tokenizer, case, others, seed).items()
            if ids is not None
        }
        if design.OTHER_QUESTION not in made:
            lost[f"{design.OTHER_QUESTION}: none is as long"] += 1
        traces = [_prefix_alone(case, case.trace, 0, 0)]
        for cid, ids in enumerate(made.values(), start=1):
            if ids:
                end = len(ids)
                traces.append(TraceInput(case.name, case.trace.arm, cid, ids, ((0, end - 1, end),)))
        texts.append(replace(case.prompt, qid=case.name, traces=tuple(traces)))
        names.append(dict(enumerate(made, start=1)))
    found, rows = ask(reading, texts, lost), []
    for case, own in zip(cases, names, strict=True):
        if (case.name, 0) not in found:
            continue
        prompt, last = found[case.name, 0]
        answers = {design.WRITTEN: last, design.BARE: prompt}
        answers |= {name: found[case.name, cid][1] for cid, name in own.items() if (case.name, cid) in found}
        for control, logp in answers.items():
            told = {"log_odds": log_odds(logp, case.own), "p": float(shares(logp)[case.own])}
            rows.append({**_ids(case), "control": control, **told, "raw_mass": float(np.exp(logp).sum())})
    return rows


def _texts(tokenizer: Any, case: Case, others: Sequence[Case], seed: int) -> Mapping[str, Ids | None]:
    """Tokens in place of the steps before the answer is stated; None: there are none such."""
    cut = case.trace.cut(case.k - 1)
    rng = np.random.default_rng([seed, *case.name.encode()])
    fits = [o for o in others if o.qid != case.qid and o.trace.cut(o.k - 1) >= cut]
    other = fits[int(rng.integers(len(fits)))] if fits else None
    order = [int(i) for i in rng.permutation(case.k)]
    dot = following(tokenizer, ".")[:1]
    silent = [number for number, step in enumerate(case.steps) if not step.states_answer]
    return {
        design.OTHER_QUESTION: tuple(other.trace.token_ids[:cut]) if other else None,
        design.SHUFFLED: _of_steps(tokenizer, case, order),
        design.FILLER: tuple(dot * cut) or None,
        design.NO_STATEMENT: _of_steps(tokenizer, case, silent),
    }


def _of_steps(tokenizer: Any, case: Case, order: Sequence[int]) -> Ids:
    """Some steps of a trace in some order, in tokens: as written where no two steps share a token."""
    ids, steps = tuple(case.trace.token_ids), case.steps
    if not any(step.straddles for step in steps):
        return tuple(i for number in order for i in ids[steps[number].tok_start : steps[number].tok_end])
    text = "\n".join(case.text[steps[number].char_start : steps[number].char_end].strip() for number in order)
    return tuple(following(tokenizer, text))
