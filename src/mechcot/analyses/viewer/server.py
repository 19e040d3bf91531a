"""The viewer as a local page: on the loopback, behind a token in its address, while a block runs."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from mechcot.analyses.viewer import data as viewer
from mechcot.core.errors import MechcotError, MissingDependency
from mechcot.core.loopback import is_loopback, listening, wait_for_end

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger("mechcot")

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Data are scripts: without the policy any site that knew the address could read them."""


class Viewer:
    """Serves the pages of a study while the block runs.

    Args:
        data: of the study.
        port: of the loopback; 0: any free one.

    Attributes:
        url: the address, with a token that nobody can guess; whoever lacks it gets nothing.

    Raises:
        MissingDependency: starlette or uvicorn is not installed.
        UsageError: the port cannot be used.
    """

    def __init__(self, data: viewer.Data, port: int = 0) -> None:
        try:
            import starlette  # noqa: F401 -- asked for here, so that the message comes before a port is taken
            import uvicorn
        except ModuleNotFoundError as error:
            raise MissingDependency(str(error.name), "view") from error
        token = secrets.token_urlsafe(24)
        self._socket, address = listening(port)
        self.url = f"{address}/{token}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                pages(data, token),
                ws="none",
                loop="asyncio",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                access_log=False,  # the token is in every address
                log_config=None,
                log_level="error",
                timeout_graceful_shutdown=2,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Viewer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def wait(self) -> None:
        """Serve until Ctrl-C (SIGINT) or SIGTERM."""
        wait_for_end(self._thread)


def pages(data: viewer.Data, token: str) -> Starlette:
    """The routes of a study's pages, all of them below the token.

    Args:
        data: of the study.
        token: that every address must hold.
    """
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    def answer(body: str, kind: str, status: int = 200) -> Response:
        return Response(body, status, _HEADERS, f"{kind}; charset=utf-8")

    def asked(request: Request) -> Response:
        given, name = request.path_params["token"], request.path_params["name"]
        if not is_loopback(request.headers.get("host", "")):
            return answer("Host is not this machine's loopback", "text/plain", 403)
        if not hmac.compare_digest(given.encode(), token.encode()):
            return answer(
                "there is no such page: use the whole address that mechcot view printed", "text/plain", 404
            )
        if name in ("", "index.html"):
            return answer(viewer.page(data.study.path.resolve().name), "text/html")
        if name == "viewer.css":
            return answer(viewer.style(), "text/css")
        if name == "viewer.js":
            return answer(viewer.program(), "text/javascript")
        found = re.fullmatch(r"data/([a-z]+(?:/\d{1,9})?)\.js", name)
        try:
            return answer(data.text(found[1] if found else ""), "text/javascript")
        except KeyError:
            return answer("there is no such page", "text/plain", 404)
        except MechcotError as error:
            log.warning("viewer: %s", error)
            return answer("a table cannot be read; the terminal says why", "text/plain", 500)

    routes = [Route("/{token}/{name:path}", asked, methods=["GET"])]
    return Starlette(routes=routes)
