"""The LLM instrument: every step put to a judge behind a server, every reply kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from mechcot.errors import DataError, JudgeError
from mechcot.judging.cache import CACHE, Reply, ReplyCache
from mechcot.judging.client import Client, Failure, work_off
from mechcot.judging.judge_file import Judge, api_key, read_judge
from mechcot.judging.prompt import Item, Message, call_key, instrument_digest, messages, read_reply
from mechcot.tasks import Judged, Question

log = logging.getLogger("mechcot")

_FAILURES = ("api_failure", "parse_failure")
_MANY_IN_A_ROW = 16


@dataclass(frozen=True)
class Plan:
    """What judging would send.

    Attributes:
        calls: to the server, re-asks of unreadable replies apart.
        cached: calls whose reply is there already.
        prompt_characters: of the calls to be sent.
    """

    calls: int
    cached: int
    prompt_characters: int


@dataclass
class _Run:
    """One run of a judge: what it works with and what it has met so far."""

    judge: Judge
    seed: int
    cache: ReplyCache
    verdicts: dict[str, Judged] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    failed_in_a_row: int = 0

    def prompt(self, item: Item, again: bool) -> tuple[str, list[Message]]:
        sent = messages(item, self.judge.fields, self.seed, again=again)
        return call_key(self.judge, sent), sent

    def kept(self, key: str) -> Reply | None:
        reply = self.cache.get(key)
        if reply is not None:
            self.returned.add(reply.returned_model)
        return reply

    def keep(self, key: str, reply: Reply) -> None:
        self.cache.put(key, self.judge.endpoint, self.judge.model, reply)
        self.returned.add(reply.returned_model)
        self.calls += 1
        self.tokens_in += reply.prompt_tokens
        self.tokens_out += reply.completion_tokens
        self.failed_in_a_row = 0


def judge_by_llm(
    steps: pd.DataFrame,
    questions: Mapping[str, Question],
    judge_file: Path,
    work: Path,
    *,
    seed: int,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Verdict rows (`records.VERDICTS`) of steps by an LLM, in the order of `steps`.

    Steps that read the same to the judge (same question, text and fields shown) are one call,
    whichever arm they come from; calls are sent in an order that says nothing of arms. A step without
    text, or cut by the token limit, is `not_checkable` without a call. A reply that does not fit the
    schema is asked for once more, then the step is a `parse_failure`; a call that fails after all
    retries makes its steps an `api_failure`. Neither is a verdict.

    Args:
        steps: of one or several arms (`records.STEPS`), whole traces.
        questions: by their id.
        judge_file: see `judge_file.Judge`.
        work: folder for the cache of replies. Keep it: a run that finds all replies there sends nothing.
        seed: of the study; it goes into the marks that fence judged text.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: the judge file or the environment variable that it names cannot be used.
        DataError: a step belongs to no question.
        JudgeError: too many steps got no verdict, or the server refuses every call. Replies got are kept.
        MissingDependency: openai is not installed.
    """
    judge = read_judge(judge_file)
    keys, items = _items(steps, questions, judge, seed)
    with ReplyCache(work / CACHE) as cache:
        run = _Run(judge, seed, cache)
        for key, item in items.items():
            _recall(run, key, item)
        # Sorted by hash: arms and questions are shuffled into one queue, the same one every time.
        pending = sorted(items.keys() - run.verdicts.keys())
        if pending:
            _ask(run, {key: items[key] for key in pending}, len(items), progress)
    _say_what_was_used(run)
    rows = [
        _row(step, None if key is None else run.verdicts[key])
        for step, key in zip(steps.itertuples(index=False), keys, strict=True)
    ]
    _refuse_failures(rows, sum(key is not None for key in keys), judge, judge_file)
    return rows


def plan(
    steps: pd.DataFrame, questions: Mapping[str, Question], judge_file: Path, work: Path, *, seed: int
) -> Plan:
    """What `judge_by_llm` would send. Sends and writes nothing, and needs no key.

    Raises:
        ConfigError: the judge file cannot be used.
        DataError: a step belongs to no question.
    """
    judge = read_judge(judge_file)
    _, items = _items(steps, questions, judge, seed)
    pending = list(items.values())
    if (work / CACHE).exists():
        with ReplyCache(work / CACHE) as cache:
            pending = [item for key, item in items.items() if cache.get(key) is None]
    characters = sum(
        len(message["content"]) for item in pending for message in messages(item, judge.fields, seed)
    )
    return Plan(calls=len(pending), cached=len(items) - len(pending), prompt_characters=characters)


def _items(
    steps: pd.DataFrame, questions: Mapping[str, Question], judge: Judge, seed: int
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
        key = call_key(judge, messages(item, judge.fields, seed))
        keys.append(key)
        items[key] = item
    return keys, items


def _previous(steps: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, ...]]:
    found: dict[tuple[Any, ...], tuple[str, ...]] = {}
    for trace, rows in steps.sort_values("sid").groupby(["qid", "arm", "cid"], sort=False):
        texts = tuple(rows.text)
        found.update({(*trace, sid): texts[:i] for i, sid in enumerate(rows.sid)})
    return found


def _recall(run: _Run, key: str, item: Item) -> None:
    """Take a call's verdict from kept replies, if they are all there."""
    first = run.kept(key)
    if first is None:
        return
    judged = _read(first)
    if judged is None:
        second = run.kept(run.prompt(item, again=True)[0])
        if second is None:
            return
        judged = _read(second) or _unreadable(second)
    run.verdicts[key] = judged


def _ask(run: _Run, pending: dict[str, Item], total: int, progress: bool) -> None:
    judge = run.judge
    log.info(
        "judge %s at %s, instrument %s: %d calls, %d replies kept",
        *(judge.model, judge.endpoint, instrument_digest(judge)[:12], len(pending), total - len(pending)),
    )
    with tqdm(
        total=total,
        initial=total - len(pending),
        desc="judging",
        unit="call",
        disable=None if progress else True,
    ) as bar:

        async def work(client: Client, key: str) -> None:
            run.verdicts[key] = await _settle(run, client, pending[key])
            bar.update()

        work_off(list(pending), work, judge, api_key(judge))


async def _settle(run: _Run, client: Client, item: Item) -> Judged:
    """The verdict of a call, with one re-ask. A reply that is kept already is not asked for."""
    reply: Reply | Failure | None = None
    for again in (False, True):
        key, sent = run.prompt(item, again)
        reply = run.kept(key)
        if reply is None:
            reply = await client.ask(sent)
            if isinstance(reply, Failure):
                _stop_when_hopeless(run, reply)
                return Judged("api_failure", reply.reason)
            run.keep(key, reply)
        judged = _read(reply)
        if judged is not None:
            return judged
    return _unreadable(reply)


def _read(reply: Reply) -> Judged | None:
    return None if reply.finish_reason == "refusal" else read_reply(reply.text)


def _unreadable(reply: Any) -> Judged:
    ends = {
        "refusal": "the model refused",
        "length": "cut at max_tokens",
        "content_filter": "filtered by the server",
    }
    return Judged(
        "parse_failure", f"unreadable twice: {ends.get(reply.finish_reason, 'not the JSON asked for')}"
    )


def _stop_when_hopeless(run: _Run, failure: Failure) -> None:
    run.failed_in_a_row += 1
    if failure.final:
        what = f"{failure.reason}; check base_url, model and api_key_env of the judge file"
        if run.judge.api_key_env is not None:
            what += f" and the environment variable {run.judge.api_key_env}"
    elif run.failed_in_a_row >= max(_MANY_IN_A_ROW, 2 * run.judge.concurrency):
        what = f"{run.failed_in_a_row} calls in a row failed, the last with: {failure.reason}"
    else:
        return
    raise JudgeError(
        f"judging stopped: {what}. The {run.calls} replies got in this run are kept; run again to go on"
    )


def _say_what_was_used(run: _Run) -> None:
    if len(run.returned) > 1:
        log.warning(
            "judge %s: the server answered as several models: %s. Their verdicts are one instrument only if "
            "these are names of one model",
            run.judge.model,
            ", ".join(sorted(run.returned)),
        )
    if run.calls:
        cost = run.judge.cost(run.tokens_in, run.tokens_out)
        log.info(
            "judge %s: %d replies, %d prompt tokens, %d reply tokens%s",
            *(run.judge.model, run.calls, run.tokens_in, run.tokens_out),
            "" if cost is None else f", cost {cost:.2f}",
        )


def _row(step: Any, judged: Judged | None) -> dict[str, Any]:
    if judged is None:
        reason = "cut by the token limit" if not step.complete else "the step has no text"
        judged = Judged("not_checkable", reason)
    return {
        "qid": step.qid,
        "arm": step.arm,
        "cid": int(step.cid),
        "sid": int(step.sid),
        "instrument": "llm",
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
