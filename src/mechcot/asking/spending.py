"""Money: what asking will cost at most, and a ledger that keeps a run within its budget."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mechcot.asking.forms import Message
from mechcot.asking.replies import Reply
from mechcot.asking.server_file import Server
from mechcot.core.errors import ConfigError, JudgeError
from mechcot.core.results import Result

CHARACTERS_PER_TOKEN = 4
_FRAMING = 16  # tokens that a chat template puts around a message, generously


Call = tuple[str, str]
"""A paid call: its key, and which model answered."""


@dataclass(frozen=True)
class Plan(Result):
    """What judging would send.

    Attributes:
        calls: to the server; re-asks of unreadable replies, and start-up calls, come on top.
        cached: calls whose reply is there already.
        prompt_characters: of the calls to be sent.
        tokens_in: estimated from the characters, four to a token.
        tokens_out: at most, from the file's limit; None: it sets none.
        cost: of these tokens at the file's prices; None: prices or limit are missing.
        start_ups: start-up calls, at least: more where a server does not enforce the schema at once.
    """

    calls: int
    cached: int
    prompt_characters: int
    tokens_in: int
    tokens_out: int | None
    cost: float | None
    start_ups: int = 1

    def text(self) -> str:
        """The plan in lines."""
        out = "no limit set (max_tokens)" if self.tokens_out is None else f"{self.tokens_out} at most"
        cost = "unknown: the file lacks price_in, price_out or max_tokens"
        if self.cost is not None:
            cost = f"{self.cost:.2f} at most, by the file's prices and these tokens"
        first = f"{f'at least {self.start_ups}' if self.start_ups else 'none'} at start-ups"
        return (
            f"calls       {self.calls}, and {first}; {self.cached} more are answered already\n"
            f"tokens in   {self.tokens_in}, estimated: {self.prompt_characters} characters / "
            f"{CHARACTERS_PER_TOKEN}\n"
            f"tokens out  {out}\n"
            f"money       {cost}"
        )


def plan_of(server: Server, calls: int, cached: int, characters: int) -> Plan:
    """The plan for so many calls."""
    tokens_in = math.ceil(characters / CHARACTERS_PER_TOKEN)
    tokens_out = None if server.longest_reply is None else calls * server.longest_reply
    cost = None if tokens_out is None else server.cost(tokens_in, tokens_out)
    return Plan(calls, cached, characters, tokens_in, tokens_out, cost, len(server.addresses) * min(1, calls))


def total(plans: Iterable[Plan]) -> Plan:
    """Several plans as one. What one of them that sends anything does not know, it does not know."""
    found = list(plans)
    sending = [plan for plan in found if plan.calls]
    tokens = [plan.tokens_out for plan in sending if plan.tokens_out is not None]
    costs = [plan.cost for plan in sending if plan.cost is not None]
    return Plan(
        calls=sum(plan.calls for plan in found),
        cached=sum(plan.cached for plan in found),
        prompt_characters=sum(plan.prompt_characters for plan in found),
        tokens_in=sum(plan.tokens_in for plan in found),
        tokens_out=sum(tokens) if len(tokens) == len(sending) else None,
        cost=sum(costs) if len(costs) == len(sending) else None,
        start_ups=sum(plan.start_ups for plan in found),
    )


def dearest(server: Server, sent: Sequence[Message], choices: int = 1) -> float:
    """The most that a call can cost, 0 without prices or limit.

    That is a token for every byte of its prompt, and so many of the longest reply.
    """
    size = sum(len(message["content"].encode("utf-8", "replace")) + _FRAMING for message in sent)
    return server.cost(size, choices * (server.longest_reply or 0)) or 0.0


def paid(server: Server, sent: Sequence[Message], reply: Reply, choices: int = 1) -> float:
    """What a reply is booked at: what it cost, or its dearest where the server does not count tokens."""
    if not reply.counted:
        return dearest(server, sent, choices)
    return server.cost(reply.prompt_tokens, reply.completion_tokens) or 0.0


class Ledger:
    """Money spent and set aside, over any number of files whose prices are in the same money.

    A call is sent only if it fits the budget even at its dearest. It is booked at what the server says
    it took; one that ended without a word on that (timed out, broken off), at its dearest. A reply is
    booked once, however often it is used.

    Attributes:
        spent: money, by real usage.
        uncounted: replies booked at their dearest, as their server did not count.
    """

    def __init__(self, budget: float | None = None) -> None:
        self.spent = 0.0
        self.uncounted = 0
        self._budget = budget
        self._reserved = 0.0
        self._booked: set[Call] = set()

    def accept(self, server: Server) -> None:
        """Refuse a file whose calls cannot be held to the budget.

        Raises:
            ConfigError: there is a budget, and the file lacks prices or a limit.
        """
        if self._budget is not None and (server.longest_reply is None or server.cost(0, 0) is None):
            raise ConfigError(
                "a budget needs price_in, price_out and a limit of the reply (max_tokens, or "
                f"extra_body.max_completion_tokens) in the {server.role} file; that of '{server.model}' "
                "lacks some"
            )

    async def admit(self, amount: float) -> None:
        """Set money aside, once it is there: calls in flight may take less than was set aside for them.

        Raises:
            JudgeError: nothing is in flight any more, and the call does not fit.
        """
        if self._budget is not None:
            while self.spent + self._reserved + amount > self._budget:
                if self._reserved == 0.0:
                    raise JudgeError(
                        f"stopped: the budget is {self._budget:g}, {self.spent:.4f} are spent, and "
                        f"the next call may take {amount:.4f}. What was paid for is kept: run again with a "
                        "larger budget to go on (it covers what is spent already)"
                    )
                await asyncio.sleep(0.01)
            self._reserved += amount

    def book(self, reserved: float, charged: float) -> None:
        """Put what a call took in place of what was set aside for it."""
        self.spent += charged
        if self._budget is not None:
            # Sums of floats: nothing in flight must be exactly nothing.
            self._reserved = max(0.0, self._reserved - reserved)
            if self._reserved < 1e-12:
                self._reserved = 0.0

    def note(self, call: Call) -> None:
        """Remember a call that was booked when its reply came."""
        self._booked.add(call)

    def recall(self, calls: Mapping[Call, float]) -> dict[Call, float]:
        """Book kept replies at what they cost; which of them were not booked yet."""
        new = {call: cost for call, cost in calls.items() if call not in self._booked}
        self._booked |= new.keys()
        self.spent += sum(new.values())
        return new

    def forget(self, calls: Mapping[Call, float]) -> None:
        """Take back what `recall` booked: the replies turned out to be of no use."""
        self._booked -= calls.keys()
        self.spent -= sum(calls.values())
