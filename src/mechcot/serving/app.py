"""The local server's routes: who may ask, how much and for how long; failures in OpenAI's form."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mechcot.core.errors import MechcotError, UsageError
from mechcot.core.loopback import is_loopback
from mechcot.serving.decode import Completion, Decoder, Piece, Prepared
from mechcot.serving.request import AnyRequest, ChatRequest, TextRequest, read_request

News = Piece | Completion | Exception
Heard = asyncio.Queue[News]

_GONE = 499  # nobody reads it


@dataclass(frozen=True)
class Limits:
    """What a client may take; beyond it there is an error, or the end of the connection.

    Attributes:
        body: bytes of a request's body.
        requests: under way or waiting at once.
        connections: open at once.
        head_seconds: for a request's head to come, from the connection or the reply before.
        body_seconds: for its body.
        seconds: for all of a request, its reply taken included.
    """

    body: int = 4 * 2**20
    requests: int = 256
    connections: int = 512
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    seconds: float = 1800.0


class Chat:
    """The routes of one model.

    Args:
        decoder: of the model.
        model: the name that requests must use.
        key: that they must carry; None: none.
        limits: of each request and of all.
        put: hands a request over to be decoded, which then tells how it goes on from another thread.
    """

    def __init__(
        self,
        decoder: Decoder,
        model: str,
        *,
        key: str | None,
        limits: Limits,
        put: Callable[[Prepared], None],
    ) -> None:
        self.limits = limits
        self._decoder, self._model, self._put, self._key = decoder, model, put, key
        self._numbers, self._under_way = count(1), 0
        failures = dict.fromkeys((HTTPException, MechcotError, Exception), _failure)
        routes = [
            Route("/health", self._health, methods=["GET"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._text, methods=["POST"]),
        ]
        self._routes = Starlette(routes=routes, exception_handlers=failures)
        self._routes.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, and see that it ends in time."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        self._under_way += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                await (self._refusal(scope) or self._routes)(scope, receive, noted)
        except TimeoutError:
            if not started:  # else the connection ends, and the client sees that the reply is cut
                await error_response(504, f"no reply within {self.limits.seconds:g} s")(scope, receive, send)
        finally:
            self._under_way -= 1
            if "prepared" in scope["state"]:  # done, or nobody waits for it any more
                scope["state"]["prepared"].dropped = True

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is not let in: a page of another site, a name of another host, no key."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_loopback(host):
            return error_response(
                403, "Host is not this machine's loopback: use the address that the server names"
            )
        if origin is not None and origin.lower() != f"http://{host}".lower():
            return error_response(403, "Origin is another site: pages in a browser are not answered")
        if "content-length" in headers and "transfer-encoding" in headers:
            both = "Content-Length and Transfer-Encoding exclude each other"
            return error_response(400, both, headers={"Connection": "close"})
        if self._key is not None and scope["path"] != "/health":
            kind, _, given = headers.get("authorization", "").partition(" ")
            known = hmac.compare_digest(given.strip().encode("latin-1"), self._key.encode())
            if kind.lower() != "bearer" or not known:
                return error_response(
                    401, "the server takes a key: Authorization: Bearer KEY", "invalid_api_key"
                )
        return None

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, _: Request) -> Response:
        model = {"id": self._model, "object": "model", "created": 0, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [model]})

    async def _chat(self, request: Request) -> Response:
        prepared, heard = await self._begun(request, ChatRequest)
        about = self._about("chatcmpl")
        if prepared.request.stream:
            return StreamingResponse(_stream(prepared, heard, about), media_type="text/event-stream")
        return await _unless_gone(request, _reply(prepared, heard, about | {"object": "chat.completion"}))

    async def _text(self, request: Request) -> Response:
        prepared, heard = await self._begun(request, TextRequest)
        about = self._about("cmpl") | {"object": "text_completion"}
        return await _unless_gone(request, _reply(prepared, heard, about))

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": f"{kind}-{next(self._numbers)}", "created": int(time.time()), "model": self._model}

    async def _begun(self, request: Request, kind: type[AnyRequest]) -> tuple[Prepared, Heard]:
        """A request on its way to be decoded, and where it tells how it goes on."""
        if self._under_way > self.limits.requests:
            busy = f"{self.limits.requests} requests are under way: try again later"
            raise HTTPException(429, busy, {"Retry-After": "1"})
        asked = read_request(await self._body(request), kind)
        if asked.model != self._model:
            raise UsageError(f"model: this server serves '{self._model}', not '{asked.model}'")
        prepared = await run_sync(self._decoder.prepare, asked, abandon_on_cancel=True)
        request.state.prepared = prepared
        return prepared, self._start(prepared)

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the body must be JSON: Content-Type: application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.limits.body:
                        raise HTTPException(413, f"the body is larger than {self.limits.body} bytes")
        except TimeoutError:
            raise HTTPException(408, f"no body within {self.limits.body_seconds:g} s") from None
        except ClientDisconnect:
            raise HTTPException(_GONE, "the client went away") from None
        return bytes(body)

    def _start(self, prepared: Prepared) -> Heard:
        """Have a request decoded; what is told of it."""
        heard, loop = Heard(), asyncio.get_running_loop()

        def tell(news: News) -> None:
            with suppress(RuntimeError):  # the server has stopped, and its loop with it
                loop.call_soon_threadsafe(heard.put_nowait, news)

        prepared.tell = tell
        self._put(prepared)
        return heard


async def _reply(prepared: Prepared, heard: Heard, about: dict[str, Any]) -> Response:
    done = await heard.get()
    if isinstance(done, Exception):
        raise done
    assert isinstance(done, Completion)  # pieces are told of streams only
    choices = [_choice(prepared, done, i) for i in range(len(done.texts))]
    return JSONResponse(about | {"choices": choices, "usage": _usage(prepared, done)})


def _choice(prepared: Prepared, done: Completion, index: int) -> dict[str, Any]:
    """A choice of a reply, as a chat has it or a plain completion."""
    text, tokens = done.texts[index], done.tokens[index] if done.tokens else []
    said: dict[str, Any] = {"index": index, "finish_reason": done.finish_reasons[index]}
    if isinstance(prepared.request, TextRequest):
        listed: dict[str, Any] = {"tokens": [token for token, _ in tokens], "top_logprobs": None}
        listed["token_logprobs"] = [logprob for _, logprob in tokens]
        return said | {"text": text, "logprobs": listed if tokens else None}
    said["message"] = {"role": "assistant", "content": text}
    if not tokens:
        return said
    content: list[dict[str, Any]] = [
        {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": []} for token, logprob in tokens
    ]
    return said | {"logprobs": {"content": content, "refusal": None}}


async def _stream(prepared: Prepared, heard: Heard, about: dict[str, Any]) -> AsyncIterator[str]:
    """A reply's pieces as server-sent events."""

    def event(*choices: dict[str, Any], **more: Any) -> str:
        chunk = about | {"object": "chat.completion.chunk", "choices": choices} | more
        return f"data: {json.dumps(chunk)}\n\n"

    def choice(index: int, reason: str | None = None, **delta: str) -> dict[str, Any]:
        return {"index": index, "delta": delta, "finish_reason": reason}

    for index in range(prepared.request.n):
        yield event(choice(index, role="assistant", content=""))
    while isinstance(news := await heard.get(), tuple):
        yield event(choice(news[0], content=news[1]))
    if isinstance(news, Exception):
        yield f"data: {json.dumps(described(500, str(news)))}\n\n"
        return
    for index, reason in enumerate(news.finish_reasons):
        yield event(choice(index, reason))
    options = prepared.request.stream_options if isinstance(prepared.request, ChatRequest) else None
    if options is not None and options.include_usage:
        yield event(usage=_usage(prepared, news))
    yield "data: [DONE]\n\n"


def _usage(prepared: Prepared, done: Completion) -> dict[str, int]:
    prompt, completion = len(prepared.prompt_ids), done.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


async def _unless_gone(request: Request, reply: Coroutine[Any, Any, Response]) -> Response:
    """A reply, given up when the client goes away."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, left = asyncio.ensure_future(reply), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else Response(status_code=_GONE)
    finally:
        work.cancel()
        left.cancel()


async def _failure(request: Request, error: Exception) -> Response:
    """What went wrong, whatever it was."""
    if isinstance(error, HTTPException):
        message = error.detail
        if error.status_code == 404:
            message = (
                f"there is no {request.url.path[:100]}; there are /health, /v1/models, "
                "/v1/chat/completions, /v1/completions"
            )
        return error_response(error.status_code, message, headers=error.headers)
    if isinstance(error, MechcotError):
        return error_response(400 if isinstance(error, UsageError) else 500, str(error))
    return error_response(500, f"the server failed: {type(error).__name__}")


def described(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """The body of an error, as OpenAI's protocol has it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_response(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as OpenAI's protocol has it."""
    return JSONResponse(described(status, message, code), status, headers)
