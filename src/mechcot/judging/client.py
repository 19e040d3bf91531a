"""Calls to a judge's server: bounded, retried, their failures told apart, the key kept out of sight."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from mechcot.errors import MissingDependency
from mechcot.judging.cache import Reply
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import Message, response_format

T = TypeVar("T")

_REFUSALS = {
    401: "did not accept the key",
    403: "refused access",
    404: "does not know the address or the model",
}
_FINAL = (401, 404)  # a 403 may concern the content of one step only


@dataclass(frozen=True)
class Failure:
    """A call that got no reply.

    Attributes:
        reason: what happened, without the key.
        final: every other call would fare the same.
    """

    reason: str
    final: bool


Work = Callable[["Client", T], Coroutine[Any, Any, None]]


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
    """A judge's server. Use it as an async context; `ask` may run many times at once."""

    def __init__(self, judge: Judge, key: str | None) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependency("openai", "judge") from error
        self._openai = openai
        self._judge = judge
        self._redact = redactor(key)
        # What the judge file does not name is not sent: no key, organisation or project of the environment.
        self._headers = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        if key is None:
            self._headers["Authorization"] = openai.Omit()
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=judge.base_url,
            timeout=judge.timeout,
            max_retries=judge.max_retries,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sdk.close()

    async def ask(self, sent: Sequence[Message]) -> Reply | Failure:
        """One call. A body that is no chat completion is asked for once more.

        The SDK waits and asks again on 408, 409, 429, 5xx, timeouts and broken connections, as long as
        the server's Retry-After says where it says so.
        """
        request = {"model": self._judge.model, "messages": list(sent), **self._judge.parameters()}
        form = response_format(self._judge)
        if form is not None:
            request["response_format"] = form
        for _ in range(2):
            body = await self._body(request)
            if isinstance(body, Failure):
                return body
            result = self._reply(body)
            if isinstance(result, Reply):
                break
        return result

    async def _body(self, request: dict[str, Any]) -> str | Failure:
        openai = self._openai
        try:
            # The body as text: it is checked here, and the SDK's typed calls take twice the time.
            text: str = await self._sdk.post(
                "/chat/completions", cast_to=str, body=request, options={"headers": self._headers}
            )
            return text
        except openai.APIStatusError as error:
            status, body = error.status_code, str(error)
        except openai.APITimeoutError:
            return Failure(f"no answer within {self._judge.timeout:g} s", False)
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "unknown"
            return Failure(f"the connection failed ({cause})", False)
        except openai.OpenAIError as error:
            return Failure(self._redact(f"{type(error).__name__}: {error}")[:300], False)
        if status in _REFUSALS:
            # These bodies like to repeat the key, whole or in part; the status says enough.
            refusal = f"{self._judge.endpoint} {_REFUSALS[status]} (HTTP {status})"
            return Failure(refusal, status in _FINAL)
        return Failure(f"HTTP {status}: {self._redact(' '.join(body.split()))[:300]}", False)

    def _reply(self, body: str) -> Reply | Failure:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            return Failure("the server's answer was no chat completion", False)
        if not completion.choices:
            return Failure("the server's answer held no choice", False)
        choice, usage = completion.choices[0], completion.usage or {}
        refusal = choice.message.refusal
        return Reply(
            text=self._redact(refusal or choice.message.content or ""),
            finish_reason="refusal" if refusal else self._redact(choice.finish_reason or ""),
            returned_model=self._redact(completion.model or ""),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
        )


def _count(value: Any) -> int:
    """A number of tokens as a server reports it; 0 for what is none."""
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


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


def work_off(jobs: Sequence[T], work: Work[T], judge: Judge, key: str | None) -> None:
    """Run `work` over all jobs, at most `judge.concurrency` at a time, in no promised order.

    The first error ends it and cancels what is in flight. Where an event loop runs already (in a
    notebook) the calls get a thread of their own.
    """
    stop = threading.Event()
    if not _inside_a_loop():
        asyncio.run(_all(jobs, work, judge, key, stop))
        return
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, _all(jobs, work, judge, key, stop))
        try:
            running.result()
        except KeyboardInterrupt:
            stop.set()  # calls in flight end, no further one starts
            raise


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _all(
    jobs: Sequence[T], work: Work[T], judge: Judge, key: str | None, stop: threading.Event
) -> None:
    queue = iter(jobs)

    async def worker(client: Client) -> None:
        for job in queue:
            if stop.is_set():
                return
            await work(client, job)

    async with Client(judge, key) as client:
        workers = [asyncio.create_task(worker(client)) for _ in range(min(judge.concurrency, len(jobs)))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in workers:
                task.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error
