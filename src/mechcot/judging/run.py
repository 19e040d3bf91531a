"""One run of a judge over calls: the start-up check, kept replies, the queue, and what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm

from mechcot.errors import JudgeError
from mechcot.judging.cache import Reply, ReplyCache
from mechcot.judging.client import Client, Failure, work_off
from mechcot.judging.instrument import Check, asked_digest, call_key
from mechcot.judging.judge_file import Judge, api_key
from mechcot.judging.prompt import Item, Message, messages, read_reply
from mechcot.judging.spending import Ledger
from mechcot.tasks import Judged

log = logging.getLogger("mechcot")

_MANY_IN_A_ROW = 16
_ENDS = {
    "refusal": "the model refused",
    "length": "cut at max_tokens",
    "content_filter": "filtered by the server",
}


@dataclass(frozen=True)
class Usage:
    """What verdicts rest on.

    Attributes:
        replies: re-asks included.
        prompt_tokens: of those calls, as the server counted.
        completion_tokens: likewise.
        money: by the judge file's prices; at the dearest where the server did not count.
    """

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0


class Run:
    """What a run works with and what it has met so far.

    Attributes:
        verdicts: by the key of their call.
        usage: of the kept replies that the verdicts rest on.
        check: what is known of the server; None before anything was asked of it.
    """

    def __init__(self, judge: Judge, seed: int, sample: int, cache: ReplyCache, ledger: Ledger) -> None:
        self.verdicts: dict[str, Judged] = {}
        self.usage = Usage()
        self._judge = judge
        self._seed = seed
        self._sample = sample
        self._cache = cache
        self._ledger = ledger
        self._asked = asked_digest(judge)
        self._interrupted = cache.interrupted()
        self._got = 0
        self._failed_in_a_row = 0
        self.check = cache.check(self._asked)

    def judge_all(self, items: dict[str, Item], *, progress: bool) -> None:
        """Reach a verdict for every call, from kept replies or from the server.

        Raises:
            JudgeError: the server cannot be used, or the budget is reached.
            ConfigError: the environment variable with the key is not set.
        """
        self.verdicts, self.usage = self._recall(items)
        if items.keys() == self.verdicts.keys():
            return
        key = api_key(self._judge)

        def connect() -> Client:
            return Client(self._judge, key, self._ledger, self._count)

        before = self.usage.money
        self._ledger.book(0.0, before)
        self._check_server(connect)
        self.verdicts, self.usage = self._recall(items)  # another model may answer than at the last check
        self._ledger.book(0.0, self.usage.money - before)
        # Sorted by hash: arms and questions are shuffled into one queue, the same one every time.
        pending = sorted(items.keys() - self.verdicts.keys())
        log.info(
            "judge %s at %s: %d calls, %d answered already",
            *(self._judge.model, self._judge.endpoint, len(pending), len(self.verdicts)),
        )
        bar = tqdm(
            total=len(items),
            initial=len(self.verdicts),
            desc="judging",
            unit="call",
            disable=None if progress else True,
        )

        async def work(client: Client, call: str) -> None:
            self.verdicts[call] = await self._settle(client, items[call])
            bar.update()

        with bar:
            work_off(pending, work, connect, self._judge.concurrency)
        self.usage = self._recall(items)[1]
        self._tell()

    def _count(self, what: str) -> None:
        self._cache.count(self._asked, what)

    # --- the server -------------------------------------------------------------------------

    def _check_server(self, connect: Callable[[], Client]) -> None:
        found: list[Check | Failure] = []

        async def work(client: Client, _: None) -> None:
            found.append(await client.check())

        work_off([None], work, connect, 1)
        check = found[0]
        if isinstance(check, Failure):
            raise JudgeError(f"judging stopped at the start-up call: {self._advice(check)}")
        known = self.check
        if known is not None and known.returned_model != check.returned_model:
            log.warning(
                "judge %s: the server answered as '%s' before and answers as '%s' now: another judge, whose "
                "verdicts are kept apart",
                *(self._judge.model, known.returned_model, check.returned_model),
            )
        if check.enforces_schema is False:
            log.warning(
                "judge %s: the server accepts a JSON schema and does not enforce it; replies that do not fit "
                "are asked for once more",
                self._judge.model,
            )
        self.check = check
        self._cache.put_check(self._asked, check)

    def _advice(self, failure: Failure) -> str:
        what = failure.reason
        if failure.final:
            what += "; check base_url, model and api_key_env of the judge file"
            if self._judge.api_key_env is not None:
                what += f" and the environment variable {self._judge.api_key_env}"
        elif failure.kind in ("http_400", "http_422"):
            what += "; if it is about response_format, write json_object or none into the judge file"
        return what

    # --- replies ----------------------------------------------------------------------------

    def _prompt(self, item: Item, again: bool) -> tuple[str, list[Message]]:
        sent = messages(item, self._judge, self._seed, again=again)
        return call_key(self._judge, sent, self._sample), sent

    def _kept(self, key: str) -> Reply | None:
        """A kept reply of the model that answers now."""
        return None if self.check is None else self._cache.get(key, self.check.returned_model)

    def _recall(self, items: dict[str, Item]) -> tuple[dict[str, Judged], Usage]:
        """Verdicts whose replies are all kept, and what all kept replies took."""
        verdicts: dict[str, Judged] = {}
        used: list[tuple[Item, Reply]] = []
        for key, item in items.items():
            first = self._kept(key)
            if first is None:
                continue
            used.append((item, first))
            judged = self._verdict(first)
            if judged is None:
                second = self._kept(self._prompt(item, again=True)[0])
                if second is None:
                    continue
                used.append((item, second))
                judged = self._verdict(second) or _unreadable(second)
            verdicts[key] = judged
        return verdicts, Usage(
            len(used),
            sum(reply.prompt_tokens for _, reply in used),
            sum(reply.completion_tokens for _, reply in used),
            sum(self._cost(item, reply) for item, reply in used),
        )

    def _cost(self, item: Item, reply: Reply) -> float:
        if reply.prompt_tokens == 0:
            return self._ledger.dearest(self._prompt(item, again=True)[1])
        return self._judge.cost(reply.prompt_tokens, reply.completion_tokens) or 0.0

    async def _settle(self, client: Client, item: Item) -> Judged:
        """The verdict of a call, with one re-ask. A reply that is kept already is not asked for."""
        reply: Reply | Failure | None = None
        for again in (False, True):
            key, sent = self._prompt(item, again)
            reply = self._kept(key) or await self._fetch(client, key, sent)
            if isinstance(reply, Failure):
                self._stop_when_hopeless(reply)
                return Judged("api_failure", reply.reason)
            judged = self._verdict(reply)
            if judged is not None:
                return judged
            self._count("refusal" if reply.finish_reason == "refusal" else "unreadable")
        assert isinstance(reply, Reply)
        return _unreadable(reply)

    async def _fetch(self, client: Client, key: str, sent: list[Message]) -> Reply | Failure:
        """A reply from the server, kept; asked for once more when another model gave it."""
        assert self.check is not None
        other = ""
        for _ in range(2):
            reply = await client.ask(sent, self._sample, lambda: self._begin(key))
            if isinstance(reply, Failure):
                self._cache.end(key)
                return reply
            self._cache.put(key, self._judge.endpoint, self._judge.model, reply)
            self._got += 1
            if reply.returned_model == self.check.returned_model:
                self._failed_in_a_row = 0
                return reply
            self._count("other_model")
            other = reply.returned_model
        return Failure(
            "other_model",
            f"the server answered as '{other}', not as '{self.check.returned_model}' as at the start: "
            "another judge. A new run judges all steps by the model that answers then",
        )

    def _begin(self, key: str) -> None:
        if key in self._interrupted:
            self._interrupted.remove(key)
            self._count("repeated_after_interruption")
        self._cache.begin(key)

    def _verdict(self, reply: Reply) -> Judged | None:
        return None if reply.finish_reason == "refusal" else read_reply(reply.text, self._judge.labels)

    # --- what went wrong --------------------------------------------------------------------

    def _stop_when_hopeless(self, failure: Failure) -> None:
        self._failed_in_a_row += 1
        if failure.final:
            what = self._advice(failure)
        elif self._failed_in_a_row >= max(_MANY_IN_A_ROW, 2 * self._judge.concurrency):
            what = f"{self._failed_in_a_row} calls in a row failed, the last with: {failure.reason}"
        else:
            return
        raise JudgeError(
            f"judging stopped: {what}. The {self._got} replies got in this run are kept; run again to go on"
        )

    def _tell(self) -> None:
        """Say what the verdicts took and what went wrong on the way."""
        used = self.usage
        cost = self._judge.cost(used.prompt_tokens, used.completion_tokens)
        log.info(
            "judge %s: %d replies, %d prompt tokens, %d reply tokens%s",
            *(self._judge.model, used.replies, used.prompt_tokens, used.completion_tokens),
            "" if cost is None else f", cost {cost:.2f}",
        )
        counts = self._cache.counts(self._asked)
        if counts:
            log.info(
                "judge %s: met on the way: %s",
                self._judge.model,
                ", ".join(f"{n} {what}" for what, n in counts.items()),
            )


def _unreadable(reply: Reply) -> Judged:
    why = _ENDS.get(reply.finish_reason, "not the JSON asked for")
    return Judged("parse_failure", f"unreadable twice: {why}")
