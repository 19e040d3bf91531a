"""Asking: a form put to a server over items, every reply kept; and what that would send."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from mechcot.asking.cache import CACHE, ReplyCache
from mechcot.asking.forms import Failed, Form, FoundT, ItemT
from mechcot.asking.identity import Check, call_key, description, dialect_of, form_digest
from mechcot.asking.run import Run, known_check
from mechcot.asking.server_file import Server, ServerT
from mechcot.asking.spending import Ledger, Plan, plan_of
from mechcot.core.errors import JudgeError

log = logging.getLogger("mechcot")


@dataclass(frozen=True)
class Session(Generic[ServerT]):
    """Whom is asked, and where replies and money are kept.

    Attributes:
        server: whom.
        work: folder for the cache of replies. Keep it: a run that finds all replies there sends nothing.
        seed: of the study; it goes into the marks that fence what others wrote.
        sample: which answer to the same messages; a server with a seed gets seed + sample.
        ledger: of the money that this and other calls may cost together; None: no budget.
        progress: whether to show a progress bar.
    """

    server: ServerT
    work: Path
    seed: int
    sample: int = 0
    ledger: Ledger | None = None
    progress: bool = True


@dataclass(frozen=True)
class Asked(Generic[FoundT]):
    """What was found of items.

    Attributes:
        answers: in the order of the items; None where there was nothing to ask.
        check: what is known of the server.
        about: what was asked of whom, what the calls took, and what went wrong on the way.
    """

    answers: list[FoundT | Failed | None]
    check: Check
    about: dict[str, Any]


def ask(form: Form[ItemT, FoundT], items: Sequence[ItemT | None], session: Session[Any]) -> Asked[FoundT]:
    """Ask a server about items.

    Items whose messages are the same are one call; calls are sent in an order that says nothing of the
    items'. A reply that does not fit the form is asked for once more, then the item is a
    `parse_failure`; a call that fails after all retries, or that another model answers than the one at
    the start, is an `api_failure`.

    Args:
        form: what is asked.
        items: None where there is nothing to ask.
        session: whom to ask, and what is kept.

    Raises:
        ConfigError: the environment variable that the file names cannot be used, or there is a
            budget and the file lacks prices or a limit.
        JudgeError: the server cannot be used, or the budget is reached. Replies got are kept.
        MissingDependency: httpx2 is not installed.
    """
    server, sample, ledger = session.server, session.sample, session.ledger or Ledger()
    ledger.accept(server)
    keys = [None if item is None else _key(form, item, server, sample) for item in items]
    calls = {key: item for key, item in zip(keys, items, strict=True) if key is not None and item is not None}
    with ReplyCache(session.work / CACHE) as cache:
        run = Run(form, server, sample, cache, ledger)
        run.answer_all(calls, progress=session.progress)
        counts = cache.counts(form_digest(server, form))
    check = run.check or Check("", None)  # None: no item needs a call
    answers = [None if key is None else run.answers[key] for key in keys]
    about = description(server, form, check) | {"seed": session.seed, "sample": sample, "faults": counts}
    about["api_failures"] = sum(isinstance(a, Failed) and a.label == "api_failure" for a in answers)
    about["usage"] = {
        "steps_asked": sum(key is not None for key in keys),
        "calls": len(calls),
        "replies": run.usage.replies,
        "uncounted": run.usage.uncounted,
        "prompt_tokens": run.usage.prompt_tokens,
        "completion_tokens": run.usage.completion_tokens,
        "cost": run.usage.cost(server),
    }
    return Asked(answers, check, about)


def price(
    form: Form[ItemT, FoundT],
    items: Sequence[ItemT | None],
    server: Server,
    work: Path | None,
    *,
    sample: int = 0,
) -> Plan:
    """What `ask` would send. Sends and writes nothing, and needs no key.

    Args:
        form: what would be asked.
        items: None where there is nothing to ask.
        server: whom.
        work: folder of the cache; replies that are there count if they come from the model that answered
            last. None: as if there were none.
        sample: which answer to the same messages.
    """
    calls = {_key(form, item, server, sample): item for item in items if item is not None}
    pending = list(calls.values())
    if work is not None and (work / CACHE).exists():
        with ReplyCache(work / CACHE) as cache:
            check = known_check(cache, server, form)
            if check is not None:
                model, dialect = check.returned_model, dialect_of(server, check)
                sent = {key: _key(form, item, server, sample, dialect) for key, item in calls.items()}
                pending = [item for key, item in calls.items() if cache.get(sent[key], model) is None]
    characters = sum(len(message["content"]) for item in pending for message in form.messages(item, False))
    return plan_of(server, len(pending), len(calls) - len(pending), characters)


def kept(
    form: Form[ItemT, FoundT],
    items: Sequence[ItemT],
    server: Server,
    work: Path,
    *,
    sample: int = 0,
) -> list[FoundT | Failed | None]:
    """What `ask` would find of items without a call; None where it would send one. Sends and writes nothing.

    Args:
        form: what would be asked.
        items: about what.
        server: whom.
        work: folder of the cache.
        sample: which answer to the same messages.
    """
    if not (work / CACHE).exists():
        return [None] * len(items)
    calls = {_key(form, item, server, sample): item for item in items}
    with ReplyCache(work / CACHE) as cache:
        answers = Run(form, server, sample, cache, Ledger()).kept(calls)
    return [answers.get(_key(form, item, server, sample)) for item in items]


def refuse_failures(
    answers: Sequence[object],
    place: Callable[[int], str],
    server: Server,
    what: str,
    *,
    things: str = "steps",
) -> None:
    """Fail when too many items got no answer; warn of any.

    Args:
        answers: of items; None where there was nothing to ask.
        place: where an item stands, by its index.
        server: who was asked, and which share may fail.
        what: was asked for.
        things: what the items are, in the plural.

    Raises:
        JudgeError: more items failed than the file allows.
    """
    found = [(i, answer) for i, answer in enumerate(answers) if isinstance(answer, Failed)]
    if not found:
        return
    asked = sum(answer is not None for answer in answers)
    api = [(i, answer) for i, answer in found if answer.label == "api_failure"]
    parse = [(i, answer) for i, answer in found if answer.label == "parse_failure"]
    counts = (
        f"{len(found)} of {asked} {things} got no {what}: {len(api)} api_failure, {len(parse)} parse_failure"
    )
    if len(found) <= server.max_failure_share * asked:
        log.warning("%s %s: %s", server.role, server.model, counts)
        return
    lines = [
        f"{counts}; the {server.role} file of '{server.model}' allows a share of "
        f"{server.max_failure_share:g} (max_failure_share)."
    ]
    if api:
        lines.append(
            f"First api_failure, {place(api[0][0])}: {api[0][1].reason}. Run again: replies got are kept, "
            "only the failed calls are sent again."
        )
    if parse:
        lines.append(
            f"First parse_failure, {place(parse[0][0])}: {parse[0][1].reason}. Unreadable replies are kept "
            "as well: raise max_tokens or change response_format (which asks everything anew), or raise "
            "max_failure_share to go on without them."
        )
    raise JudgeError("\n".join(lines))


def step_place(step: Any) -> str:
    """A step by its ids, for messages."""
    return f"question '{step.qid}', arm {step.arm}, trace {step.cid}, step {step.sid}"


def _key(form: Form[ItemT, Any], item: ItemT, server: Server, sample: int, dialect: str | None = None) -> str:
    return call_key(server, form, form.messages(item, False), sample, dialect, form.more(item))
