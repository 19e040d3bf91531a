"""Calls to a judge's server: bounded, retried, every fault counted, the key kept out of sight."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from mechcot.core.errors import MissingDependency
from mechcot.judging.cache import Reply
from mechcot.judging.forms import Form, Message
from mechcot.judging.instrument import Check, response_format
from mechcot.judging.judge_file import Judge
from mechcot.judging.spending import Ledger, dearest, paid

_REFUSALS = {
    401: "did not accept the key",
    403: "refused access",
    404: "does not know the address or the model",
}
_FINAL = (401, 404)  # a 403 may concern the content of one step only
_LONGEST_WAIT = 600.0

# The start-up call: the words ask for one thing, the schema allows another only.
_CHECK_WORDS = 'Reply with the JSON object {"word": "free"} and nothing else.'
_CHECK_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["forced"]}},
    "required": ["word"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Failure:
    """A call that got no reply.

    Attributes:
        kind: what happened, in a word, for counting.
        reason: what happened, without the key.
        final: every other call would fare the same.
        wait: seconds that the server asks to wait; None: it does not say.
    """

    kind: str
    reason: str
    final: bool = False
    wait: float | None = None


Count = Callable[[str], None]

_TRANSIENT = ("rate_limited", "server_error", "timeout", "connection")


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    model: str | None = None
    usage: dict[str, Any] | None = None


class Client:
    """A judge's server. Use it as an async context; `ask` may run many times at once.

    Args:
        judge: whom to ask, and how.
        key: of the server; None: it takes none.
        ledger: where money is set aside and booked.
        count: told the kind of every fault.
    """

    def __init__(self, judge: Judge, key: str | None, ledger: Ledger, count: Count) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependency("openai", "judge") from error
        self._openai = openai
        self._judge = judge
        self._ledger = ledger
        self._count = count
        self._redact = redactor(key)
        self._silent_until = 0.0
        # What the judge file does not name is not sent: no key, organisation or project of the environment.
        self._headers = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        if key is None:
            self._headers["Authorization"] = openai.Omit()
        # Retries are made here, as the SDK's own leave no trace to count.
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none", base_url=judge.base_url, timeout=judge.timeout, max_retries=0
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sdk.close()

    async def ask(
        self, form: Form[Any, Any], sent: Sequence[Message], sample: int, sending: Callable[[], None]
    ) -> Reply | Failure:
        """One call, asked again where the server is busy, failing, slow or out of reach.

        Args:
            form: of the call.
            sent: its messages.
            sample: index of the sample.
            sending: called right before anything goes out.

        Raises:
            JudgeError: it does not fit the budget.
        """
        held_to = response_format(self._judge, form.name, form.schema)
        return await self._ask(sent, self._judge.parameters(sample), held_to, sending)

    async def check(self) -> Check | Failure:
        """The start-up call: which model answers, and whether the server enforces a schema.

        Raises:
            JudgeError: it does not fit the budget.
        """
        held_to = response_format(self._judge, "check", _CHECK_SCHEMA)
        sent = [{"role": "user", "content": _CHECK_WORDS}]
        reply = await self._ask(sent, self._judge.parameters(), held_to, lambda: None)
        if isinstance(reply, Failure):
            return reply
        if self._judge.response_format != "json_schema":
            return Check(reply.returned_model, None)
        try:
            held = json.loads(reply.text) == {"word": "forced"}
        except ValueError:
            held = False
        return Check(reply.returned_model, held)

    async def _ask(
        self,
        sent: Sequence[Message],
        parameters: dict[str, Any],
        held_to: dict[str, Any] | None,
        sending: Callable[[], None],
    ) -> Reply | Failure:
        request = {"model": self._judge.model, "messages": list(sent), **parameters}
        if held_to is not None:
            request["response_format"] = held_to
        retries, broken = 0, 0
        while True:
            found = await self._attempt(request, sending)
            if isinstance(found, Reply):
                return found
            self._count(found.kind)
            if found.kind == "no_completion" and not broken:
                broken = 1  # the server may have been paid for it: once more, not time and again
            elif found.kind in _TRANSIENT and retries < self._judge.max_retries:
                if not await self._wait(found, retries):
                    return found
                retries += 1
            else:
                return found

    async def _attempt(self, request: dict[str, Any], sending: Callable[[], None]) -> Reply | Failure:
        """Send a request once, its money set aside before and booked after."""
        loop = asyncio.get_running_loop()
        while (left := self._silent_until - loop.time()) > 0:
            await asyncio.sleep(left)
        most = dearest(self._judge, request["messages"])
        await self._ledger.admit(most)
        charged = most  # for what ends without a word on what it took, cancelled calls included
        try:
            sending()
            body = await self._send(request)
            found = self._read(body) if isinstance(body, str) else body
            if isinstance(found, Reply):
                tokens = found.prompt_tokens, found.completion_tokens
                charged = paid(self._judge, request["messages"], *tokens)
            elif found.kind not in ("timeout", "connection", "no_completion"):
                charged = 0.0
        finally:
            self._ledger.book(most, charged)
        return found

    async def _send(self, request: dict[str, Any]) -> str | Failure:
        openai = self._openai
        try:
            # The body as text: it is checked here, and the SDK's typed calls take twice the time. The whole
            # address: a relative one is put together twice for every call.
            text: str = await self._sdk.post(
                f"{self._judge.base_url}/chat/completions",
                cast_to=str,
                body=request,
                options={"headers": self._headers},
            )
            return text
        except openai.APIStatusError as error:
            status, body, headers = error.status_code, str(error), error.response.headers
        except openai.APITimeoutError:
            return Failure("timeout", f"no answer within {self._judge.timeout:g} s")
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "unknown"
            return Failure("connection", f"the connection failed ({cause})")
        except openai.OpenAIError as error:
            return Failure("no_completion", self._redact(f"{type(error).__name__}: {error}")[:300])
        if status in _REFUSALS:
            # These bodies like to repeat the key, whole or in part; the status says enough.
            refusal = f"{self._judge.endpoint} {_REFUSALS[status]} (HTTP {status})"
            return Failure(f"http_{status}", refusal, status in _FINAL)
        reason = f"HTTP {status}: {self._redact(' '.join(body.split()))[:300]}"
        if status == 429:
            return Failure("rate_limited", reason, wait=_seconds(headers.get("retry-after")))
        if status in (408, 409) or status >= 500:
            return Failure("server_error", reason, wait=_seconds(headers.get("retry-after")))
        return Failure(f"http_{status}", reason)

    async def _wait(self, failure: Failure, retries: int) -> bool:
        """Wait before a call is sent again; whether it shall be."""
        if failure.wait is None:
            await asyncio.sleep(min(0.5 * 2.0**retries, 8.0) * random.uniform(0.75, 1.0))
            return True
        if failure.wait > _LONGEST_WAIT:
            return False
        if failure.kind == "rate_limited":  # it holds for all calls
            until = asyncio.get_running_loop().time() + failure.wait
            self._silent_until = max(self._silent_until, until)
        await asyncio.sleep(failure.wait)
        return True

    def _read(self, body: str) -> Reply | Failure:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            return Failure("no_completion", "the server's answer was no chat completion")
        if not completion.choices:
            return Failure("no_completion", "the server's answer held no choice")
        choice, usage = completion.choices[0], completion.usage or {}
        refusal = choice.message.refusal
        return Reply(
            text=self._redact(refusal or choice.message.content or ""),
            finish_reason="refusal" if refusal else self._redact(choice.finish_reason or ""),
            returned_model=self._redact(completion.model or ""),
            prompt_tokens=_tokens(usage.get("prompt_tokens")),
            completion_tokens=_tokens(usage.get("completion_tokens")),
        )


def _tokens(value: Any) -> int:
    """A number of tokens as a server reports it; 0 for what is none."""
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header in seconds: a number, or a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if seconds == seconds else None


def redactor(key: str | None) -> Callable[[str], str]:
    """A function that takes a key out of a text, in the forms in which servers repeat it.

    A key of under 8 characters ("none", "EMPTY") is no secret and is left alone.
    """
    if key is None or len(key) < 8:
        return lambda text: text
    coded = base64.b64encode(key.encode()).decode().rstrip("=")
    forms = sorted({key, quote(key, safe=""), json.dumps(key)[1:-1], coded}, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in forms:
            text = text.replace(form, "[key]")
        return text

    return redact
