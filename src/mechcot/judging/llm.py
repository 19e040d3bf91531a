"""The LLM instrument: every step put to a judge behind a server, every reply kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.errors import DataError, JudgeError
from mechcot.judging.cache import CACHE, ReplyCache
from mechcot.judging.instrument import (
    Check,
    Judgement,
    asked_digest,
    call_key,
    description,
    instrument_name,
)
from mechcot.judging.judge_file import Judge, read_judge
from mechcot.judging.prompt import Item, messages
from mechcot.judging.run import Run
from mechcot.judging.spending import Ledger, Plan, plan_of
from mechcot.tasks import Judged, Question

log = logging.getLogger("mechcot")

_FAILURES = ("api_failure", "parse_failure")


def judge_by_llm(
    steps: pd.DataFrame,
    questions: Mapping[str, Question],
    judge_file: Path,
    work: Path,
    *,
    seed: int,
    sample: int = 0,
    budget: float | None = None,
    progress: bool = True,
) -> Judgement:
    """Verdicts of steps by an LLM.

    Steps that read the same to the judge (same question, text and fields shown) are one call,
    whichever arm they come from; calls are sent in an order that says nothing of arms. A step without
    text, or cut by the token limit, is `not_checkable` without a call. A reply that does not fit the
    schema is asked for once more, then the step is a `parse_failure`; a call that fails after all
    retries, or that another model answers than the one at the start, makes its steps an `api_failure`.
    Neither is a verdict.

    Args:
        steps: of one or several arms (`records.STEPS`), whole traces.
        questions: by their id.
        judge_file: see `judge_file.Judge`.
        work: folder for the cache of replies. Keep it: a run that finds all replies there sends nothing.
        seed: of the study; it goes into the marks that fence judged text.
        sample: which judgement of the same steps; a judge with a seed gets seed + sample.
        budget: money that these verdicts may cost, what earlier runs paid for them included.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: the judge file or the environment variable that it names cannot be used.
        DataError: a step belongs to no question.
        JudgeError: too many steps got no verdict, the server refuses every call, or the budget is
            reached. Replies got are kept.
        MissingDependency: openai is not installed.
    """
    judge = read_judge(judge_file)
    keys, items = _items(steps, questions, judge, seed, sample)
    ledger = Ledger(judge, budget)
    with ReplyCache(work / CACHE) as cache:
        run = Run(judge, seed, sample, cache, ledger)
        run.judge_all(items, progress=progress)
        check, counts = run.check, cache.counts(asked_digest(judge))
    if check is None:  # no step needs a call
        check = Check("", None)
    name = instrument_name(judge_file, judge, check.returned_model)
    rows = [
        _row(step, None if key is None else run.verdicts[key], name)
        for step, key in zip(steps.itertuples(index=False), keys, strict=True)
    ]
    asked = sum(key is not None for key in keys)
    _refuse_failures(rows, asked, judge, judge_file)
    about = description(judge, check)
    about |= {"instrument": name, "seed": seed, "sample": sample, "faults": counts}
    about["api_failures"] = sum(row["label"] == "api_failure" for row in rows)
    about["usage"] = {
        "steps_asked": asked,
        "calls": len(items),
        "replies": run.usage.replies,
        "prompt_tokens": run.usage.prompt_tokens,
        "completion_tokens": run.usage.completion_tokens,
        "cost": judge.cost(run.usage.prompt_tokens, run.usage.completion_tokens),
    }
    return Judgement(name, rows, about)


def plan(
    steps: pd.DataFrame, questions: Mapping[str, Question], judge_file: Path, work: Path, *, seed: int
) -> Plan:
    """What `judge_by_llm` would send. Sends and writes nothing, and needs no key.

    Replies that are there count if they come from the model that answered last.

    Raises:
        ConfigError: the judge file cannot be used.
        DataError: a step belongs to no question.
    """
    judge = read_judge(judge_file)
    _, items = _items(steps, questions, judge, seed, 0)
    pending = list(items.values())
    if (work / CACHE).exists():
        with ReplyCache(work / CACHE) as cache:
            check = cache.check(asked_digest(judge))
            if check is not None:
                model = check.returned_model
                pending = [item for key, item in items.items() if cache.get(key, model) is None]
    characters = sum(len(message["content"]) for item in pending for message in messages(item, judge, seed))
    return plan_of(judge, len(pending), len(items) - len(pending), characters)


def _items(
    steps: pd.DataFrame, questions: Mapping[str, Question], judge: Judge, seed: int, sample: int
) -> tuple[list[str | None], dict[str, Item]]:
    """The key of each step's call (None: it needs none), and what each call is about."""
    before = _previous(steps) if judge.fields.previous else {}
    keys: list[str | None] = []
    items: dict[str, Item] = {}
    step: Any
    for step in steps.itertuples(index=False):
        if step.qid not in questions:
            raise DataError(
                f"arm {step.arm}, trace {step.cid}, step {step.sid}: there is no question '{step.qid}'"
            )
        if not step.complete or not step.text.strip():
            keys.append(None)
            continue
        previous = before.get((step.qid, step.arm, step.cid, step.sid), ())
        item = Item(questions[step.qid], step.text, previous)
        key = call_key(judge, messages(item, judge, seed), sample)
        keys.append(key)
        items[key] = item
    return keys, items


def _previous(steps: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, ...]]:
    found: dict[tuple[Any, ...], tuple[str, ...]] = {}
    for trace, rows in steps.sort_values("sid").groupby(["qid", "arm", "cid"], sort=False):
        texts = tuple(rows.text)
        found.update({(*trace, sid): texts[:i] for i, sid in enumerate(rows.sid)})
    return found


def _row(step: Any, judged: Judged | None, instrument: str) -> dict[str, Any]:
    if judged is None:
        reason = "cut by the token limit" if not step.complete else "the step has no text"
        judged = Judged("not_checkable", reason)
    return {
        "qid": step.qid,
        "arm": step.arm,
        "cid": int(step.cid),
        "sid": int(step.sid),
        "instrument": instrument,
        "label": judged.label,
        "reason": judged.reason,
    }


def _refuse_failures(rows: list[dict[str, Any]], asked: int, judge: Judge, judge_file: Path) -> None:
    failed = {label: [row for row in rows if row["label"] == label] for label in _FAILURES}
    api, parse = (len(failed[label]) for label in _FAILURES)
    if not api + parse:
        return
    counts = f"{api + parse} of {asked} steps got no verdict: {api} api_failure, {parse} parse_failure"
    if api + parse <= judge.max_failure_share * asked:
        log.warning("judge %s: %s", judge.model, counts)
        return
    lines = [f"{counts}; {judge_file} allows a share of {judge.max_failure_share:g} (max_failure_share)."]
    if api:
        lines.append(
            f"First api_failure, {_place(failed['api_failure'][0])}. Run again: replies got are kept, "
            "only the failed calls are sent again."
        )
    if parse:
        lines.append(
            f"First parse_failure, {_place(failed['parse_failure'][0])}. Unreadable replies are kept "
            "as well: raise max_tokens or change response_format (which asks every step anew), or raise "
            "max_failure_share to go on without them."
        )
    raise JudgeError("\n".join(lines))


def _place(row: dict[str, Any]) -> str:
    return (
        f"question '{row['qid']}', arm {row['arm']}, trace {row['cid']}, step {row['sid']}: {row['reason']}"
    )
