"""One run of a form over calls: the start-up check, kept replies, the queue, and what went wrong."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, Generic

from mechcot.asking.cache import ReplyCache
from mechcot.asking.client import Client, Told
from mechcot.asking.dialects import WALK
from mechcot.asking.exchange import Failure
from mechcot.asking.forms import Failed, Form, FoundT, ItemT
from mechcot.asking.identity import Check, call_key, dialect_of, form_digest, server_digest
from mechcot.asking.replies import Reply
from mechcot.asking.server_file import Server, api_key
from mechcot.asking.spending import Call, Ledger, paid
from mechcot.asking.workers import converse, work_off
from mechcot.core.errors import JudgeError, ServerRefused
from mechcot.core.progress import Progress

log = logging.getLogger("mechcot")

_MANY_IN_A_ROW = 16
_ENDS = {
    "refusal": "the model refused",
    "length": "cut at max_tokens",
    "content_filter": "filtered by the server",
}


@dataclass(frozen=True)
class Usage:
    """What answers rest on.

    Attributes:
        replies: re-asks included.
        uncounted: those whose tokens the server did not count.
        prompt_tokens: of the others, as the server counted.
        completion_tokens: likewise.
    """

    replies: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, server: Server) -> float | None:
        """What the replies cost; None: its file has no prices, or not all of them were counted."""
        return None if self.uncounted else server.cost(self.prompt_tokens, self.completion_tokens)


@dataclass(frozen=True)
class _Kept(Generic[FoundT]):
    """Answers whose replies are all kept, what all kept replies took, and what each cost."""

    answers: dict[str, FoundT | Failed]
    usage: Usage
    costs: dict[Call, float]


class Run(Generic[ItemT, FoundT]):
    """What a run works with and what it has met so far.

    Attributes:
        answers: by the key of their call.
        usage: of the kept replies that the answers rest on.
        check: what is known of the server; None before anything was asked of it.
    """

    def __init__(
        self, form: Form[ItemT, FoundT], server: Server, sample: int, cache: ReplyCache, ledger: Ledger
    ) -> None:
        self.answers: dict[str, FoundT | Failed] = {}
        self.usage = Usage()
        self._form = form
        self._server = server
        self._who = f"{server.role} {server.model}"
        self._sample = sample
        self._cache = cache
        self._ledger = ledger
        self._asked = form_digest(server, form)
        self._interrupted = cache.interrupted()
        self._got = 0
        self._failed_in_a_row = 0
        self._firsts: list[str] = []  # of every first reply: "" where it was read, else how it ended
        self.check = known_check(cache, server, form)

    def answer_all(self, items: dict[str, ItemT], *, progress: bool) -> None:
        """Reach an answer for every call, from kept replies or from the server.

        Raises:
            JudgeError: the server cannot be used, or the budget is reached.
            ConfigError: the environment variable with the key is not set.
        """
        kept = self._recall(items)
        self.answers, self.usage = kept.answers, kept.usage
        booked = self._ledger.recall(kept.costs)
        if items.keys() == self.answers.keys():
            return
        key = api_key(self._server)

        async def talk(client: Client, stop: threading.Event) -> None:
            if self._take(await client.check(None if self.check is None else self._dialect)):
                now = self._recall(items)  # of the model that answers now, not of the one that did
                self.answers = now.answers
                self._ledger.forget(booked)
                self._ledger.recall(now.costs)
            await self._work_off(client, items, stop, progress)

        converse(lambda: Client(self._server, key, self._ledger, self._count), talk)
        self.usage = self._recall(items).usage
        self._tell()

    def kept(self, items: dict[str, ItemT]) -> dict[str, FoundT | Failed]:
        """The answers whose replies are all kept, by call."""
        return self._recall(items).answers

    async def _work_off(
        self, client: Client, items: dict[str, ItemT], stop: threading.Event, progress: bool
    ) -> None:
        # Sorted by hash: arms and questions are shuffled into one queue, the same one every time.
        pending = sorted(items.keys() - self.answers.keys())
        log.info(
            "%s: %s at %s: %d calls, %d answered already",
            *(self._form.doing, self._who, self._server.where, len(pending), len(self.answers)),
        )
        bar = Progress(self._form.doing, len(items), "call", shown=progress, done=len(self.answers))

        async def work(call: str) -> None:
            try:
                self.answers[call] = await self._settle(client, call, items[call])
            except BaseException:
                client.ending.set()
                raise
            bar.update()

        with bar:
            await work_off(pending, work, self._server.concurrency, stop)

    def _count(self, what: str) -> None:
        self._cache.count(self._asked, what)

    # --- the server -------------------------------------------------------------------------

    def _take(self, check: Check | Failure) -> bool:
        """Keep what the start-up call found; whether another model answers than was known to."""
        if isinstance(check, Failure):
            raise ServerRefused(f"{self._form.doing} stopped at the start-up call: {self._advice(check)}")
        known, self.check = self.check, check
        self._cache.put_check(server_digest(self._server), check)
        if check.enforces_schema is False and (known is None or known.enforces_schema is not False):
            log.warning(
                "%s: the server does not enforce a JSON schema, in whatever way it is asked to (%s; "
                "'%s' is used); replies that do not fit are asked for once more",
                *(self._who, ", ".join(WALK[:-1]), self._dialect),
            )
        elif self._dialect != self._server.response_format:
            log.info("%s: the server enforces a JSON schema as '%s'", self._who, self._dialect)
        if known is not None and known.returned_model != check.returned_model:
            log.warning(
                "%s: the server answered as '%s' before and answers as '%s' now: another %s, whose "
                "answers are kept apart",
                *(self._who, known.returned_model, check.returned_model, self._server.role),
            )
        then = None if known is None else (known.returned_model, dialect_of(self._server, known))
        return then != (check.returned_model, self._dialect)

    @property
    def _dialect(self) -> str:
        return dialect_of(self._server, self.check)

    def _advice(self, failure: Failure) -> str:
        what = failure.reason
        if failure.final:
            what += f"; check base_url, model and api_key_env of the {self._server.role} file"
            if self._server.api_key_env is not None:
                what += f" and the environment variable {self._server.api_key_env}"
        elif failure.kind == "connection":
            first = f"does {self._server.endpoint} answer? Start it"
            what += (
                f"; {'start one of them' if len(self._server.addresses) > 1 else first}, or correct base_url "
            )
            what += f"of the {self._server.role} file"
        elif self._server.response_format == "json_schema":
            what += f"; the server was asked in every way ({', '.join(WALK)})"
        elif failure.kind in ("http_400", "http_422"):
            what += f"; {self._server.refused.format(role=self._server.role)}"
        return what

    # --- replies ----------------------------------------------------------------------------

    def _key(self, call: str, item: ItemT, again: bool) -> str:
        """The key of a call, or that of its re-ask, in the dialect that the server is told the schema in."""
        if not again and self._dialect == self._server.response_format:
            return call
        sent = self._form.messages(item, again)
        return call_key(self._server, self._form, sent, self._sample, self._dialect, self._form.more(item))

    def _kept(self, key: str) -> Reply | None:
        """A kept reply of the model that answers now."""
        return None if self.check is None else self._cache.get(key, self.check.returned_model)

    def _recall(self, items: dict[str, ItemT]) -> _Kept[FoundT]:
        answers: dict[str, FoundT | Failed] = {}
        used: list[Reply] = []
        costs: dict[Call, float] = {}
        for call, item in items.items():
            for again in (False, True):
                key = self._key(call, item, again)
                reply = self._kept(key)
                if reply is None:
                    break
                used.append(reply)
                # The server did not count: as dear as it can be, the reminder of a re-ask included.
                sent = [] if reply.counted else self._form.messages(item, True)
                choices = int(self._form.more(item).get("n", 1))
                costs[key, reply.returned_model] = paid(self._server, sent, reply, choices)
                found = self._form.read(item, reply)
                if found is not None or again:
                    answers[call] = self._unreadable(reply) if found is None else found
                    break
        told = [reply for reply in used if reply.counted]
        prompt, completion = (sum(r.prompt_tokens for r in told), sum(r.completion_tokens for r in told))
        uncounted = sum(not reply.counted for reply in used)
        return _Kept(answers, Usage(len(used), uncounted, prompt, completion), costs)

    async def _settle(self, client: Client, call: str, item: ItemT) -> FoundT | Failed:
        """The answer to a call, with one re-ask. A reply that is kept already is not asked for."""
        reply: Reply | Failure | None = None
        for again in (False, True):
            key = self._key(call, item, again)
            reply = self._kept(key) or await self._fetch(client, key, item, again)
            if isinstance(reply, Failure):
                self._stop_when_hopeless(reply)
                return Failed("api_failure", reply.reason)
            found = self._form.read(item, reply)
            if not again:
                self._stop_when_unreadable(reply, found is not None)
            if found is not None:
                return found
            self._count("refusal" if reply.finish_reason == "refusal" else "unreadable")
        assert isinstance(reply, Reply)
        return self._unreadable(reply)

    async def _fetch(self, client: Client, key: str, item: ItemT, again: bool) -> Reply | Failure:
        """A reply from the server, kept; asked for once more when another model gave it."""
        assert self.check is not None
        told, other = Told(self._sample, self._dialect), ""
        for _ in range(2):
            reply = await client.ask(self._form, item, again, told, lambda: self._begin(key))
            if isinstance(reply, Failure):
                self._cache.end(key)
                return reply
            self._cache.put(key, self._server.model, reply)
            self._ledger.note((key, reply.returned_model))
            self._got += 1
            if reply.returned_model == self.check.returned_model:
                self._failed_in_a_row = 0
                return reply
            self._count("other_model")
            client.distrust(reply)
            other = reply.returned_model
        return Failure(
            "other_model",
            f"the server answered as '{other}', not as '{self.check.returned_model}' as at the start: "
            f"another {self._server.role}. A new run asks everything of the model that answers then",
        )

    def _begin(self, key: str) -> None:
        if key in self._interrupted:
            self._interrupted.remove(key)
            self._count("repeated_after_interruption")
        self._cache.begin(key)

    def _unreadable(self, reply: Reply) -> Failed:
        why = _ENDS.get(reply.finish_reason, self._form.misfit)
        return Failed("parse_failure", f"unreadable twice: {why}")

    # --- what went wrong --------------------------------------------------------------------

    def _stop_when_hopeless(self, failure: Failure) -> None:
        self._failed_in_a_row += 1
        if failure.final:
            what = self._advice(failure)
        elif self._failed_in_a_row >= max(_MANY_IN_A_ROW, 2 * self._server.concurrency):
            what = f"{self._failed_in_a_row} calls in a row failed, the last with: {failure.reason}"
        else:
            return
        raise (JudgeError if self._got else ServerRefused)(
            f"{self._form.doing} stopped: {what}. The {self._got} replies got in this run are kept; run "
            "again to go on"
        )

    def _stop_when_unreadable(self, reply: Reply, read: bool) -> None:
        """Stop before all is paid for twice, when more first replies than not cannot be read."""
        self._firsts.append("" if read else reply.finish_reason or "stop")
        bad = [end for end in self._firsts if end]
        allowed = max(0.5, self._server.max_failure_share)
        if len(self._firsts) < _MANY_IN_A_ROW or len(bad) <= allowed * len(self._firsts):
            return
        cut = bad.count("length")
        why = f"{cut} were cut at max_tokens: raise it" if cut > len(bad) / 2 else self._form_advice()
        raise JudgeError(
            f"{self._form.doing} stopped: {len(bad)} of the first {len(self._firsts)} replies cannot be read "
            f"({self._form.misfit}), and each is asked for twice. The last begins with {reply.text[:100]!r}. "
            f"{why}. The {self._got} replies got in this run are kept. To go on as it is, raise "
            "max_failure_share over the share that fails"
        )

    def _form_advice(self) -> str:
        asked = self._server.response_format
        if asked != "json_schema":
            file = f"The {self._server.role} file"
            return f"{file} asks for response_format {asked}: json_schema holds replies to the form"
        if self.check is not None and self.check.enforces_schema:
            return (
                f"The server held the start-up call to a schema ('{self._dialect}') and does not hold these"
            )
        return (
            "The server enforces no JSON schema: use a larger model, or a server that enforces one "
            "(vLLM, SGLang, llama.cpp, mechcot serve-local)"
        )

    def _tell(self) -> None:
        """Say what the answers took and what went wrong on the way."""
        used, cost = self.usage, self.usage.cost(self._server)
        money = "" if cost is None else f", cost {cost:.2f}"
        if used.uncounted:
            money = f", cost unknown: the server did not count {used.uncounted} of the replies"
        log.info(
            "%s: %d replies, %d prompt tokens, %d reply tokens%s",
            *(self._who, used.replies, used.prompt_tokens, used.completion_tokens, money),
        )
        counts = self._cache.counts(self._asked)
        if counts:
            log.info(
                "%s: met on the way: %s",
                self._who,
                ", ".join(f"{n} {what}" for what, n in counts.items()),
            )


def known_check(cache: ReplyCache, server: Server, form: Form[Any, Any]) -> Check | None:
    """What the last start-up call to a server found; None: there was none.

    It is the server's, whatever was asked. Older caches hold one for each thing asked.
    """
    return cache.check(server_digest(server)) or cache.check(form_digest(server, form))
