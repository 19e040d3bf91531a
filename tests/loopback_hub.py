"""A Hub on the loopback: repositories of files, as the Hub's own clients ask for them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

API = re.compile(r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+(?:/(.*))?)?")
FILE = re.compile(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub:
    """Repositories by name, each files by path, all at one commit.

    Attributes:
        repositories: as given; `OWNER/NAME` of data sets and models alike.
        commit: whose name every repository's newest has.
        url: for HF_ENDPOINT.
    """

    def __init__(self, repositories: dict[str, dict[str, bytes]], commit: str) -> None:
        self.repositories, self.commit = repositories, commit
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(b"")

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers.get("content-length", 0))))

            def answer(self, body: bytes) -> None:
                path = unquote(self.path.partition("?")[0])
                api, file = API.fullmatch(path), FILE.fullmatch(path)
                if api and api[1] in hub.repositories:
                    self.send(json.dumps(hub._told(api, body)).encode(), 200, {})
                elif file and file[3] in hub.repositories.get(file[1], {}):
                    data = hub.repositories[file[1]][file[3]]
                    tag = f'"{hashlib.sha1(data).hexdigest()}"'
                    self.send(data, 200, {"ETag": tag, "X-Repo-Commit": hub.commit})
                else:
                    known = file is not None and file[1] in hub.repositories
                    code = "EntryNotFound" if known else "RepoNotFound"
                    self.send(b'{"error": "not found"}', 404, {"X-Error-Code": code})

            def send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _told(self, api: re.Match[str], body: bytes) -> Any:
        """What the API says of a repository, or of its files."""
        files = self.repositories[api[1]]
        listed = [
            {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name}
            for name, data in files.items()
        ]
        if api[2] == "tree":
            return [one for one in listed if one["path"].startswith(api[3] or "")]
        if api[2] == "paths-info":
            return [one for one in listed if one["path"] in json.loads(body)["paths"]]
        names = [{"rfilename": name} for name in files]
        return {"id": api[1], "sha": self.commit, "siblings": names, "private": False, "tags": []}

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
