"""A Hub on the loopback that takes repositories, as far as its own client asks to upload a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(preupload|commit|revision)/main)?")
LFS = re.compile(r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch")
LARGE = 10_000
"""Bytes from which a file goes the way of large files."""


@dataclass
class Repository:
    """One that was made here."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


class PushedHub:
    """Repositories by kind and name; a token is good or it is not.

    Attributes:
        token: the one that may write.
        repositories: by `models/OWNER/NAME` or `datasets/OWNER/NAME`.
        refused: how commits to a repository called `...-STATUS` are answered, by what is said with it.
        seen: every request as it came: method and path, and its body.
        url: for HF_ENDPOINT.
    """

    def __init__(self, token: str) -> None:
        self.token, self.repositories, self.large = token, dict[str, Repository](), dict[str, bytes]()
        self.refused = f"no, {token}"
        self.seen: list[tuple[str, bytes]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.handle_one()

            do_POST = do_PUT = do_GET  # noqa: N815 - named by the library

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                path = self.path.partition("?")[0]
                hub.seen.append((f"{self.command} {path}", body))
                given = self.headers.get("authorization", "")
                if path.startswith("/large/"):
                    status, told = hub._take(path, body)
                elif given != f"Bearer {hub.token}":
                    # As a careless server would: it repeats what it was given.
                    status, told = 401, {"error": f"Invalid credentials in Authorization header: {given}"}
                else:
                    status, told = hub._answer(path, body)
                data = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            return self._made(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"warnings": [{"message": "empty or missing yaml metadata"}], "errors": []}
        if LFS.fullmatch(path):
            return 200, {"objects": [self._place(one) for one in json.loads(body)["objects"]]}
        found = API.fullmatch(path)
        if found is None or f"{found[1]}/{found[2]}" not in self.repositories:
            return 404, {"error": "Repository not found"}
        there = self.repositories[f"{found[1]}/{found[2]}"]
        if found[3] == "preupload":
            return 200, {"files": [self._way(there, one) for one in json.loads(body)["files"]]}
        if found[3] == "commit":
            return self._commit(there, found, [json.loads(line) for line in body.splitlines()])
        told = {"id": found[2], "sha": "0" * 40, "private": there.private, "siblings": [], "tags": []}
        return 200, told

    def _made(self, asked: dict[str, Any]) -> tuple[int, Any]:
        owner, kind = asked["organization"], f"{asked.get('type') or 'model'}s"
        name = f"{kind}/{owner}/{asked['name']}"
        if owner == "stranger":
            return 403, {
                "error": f"You don't have the rights to create a {kind} under the namespace stranger"
            }
        if name in self.repositories:
            return 409, {"error": "You already created this repo", "url": f"{self.url}/{name}"}
        self.repositories[name] = Repository(asked["visibility"] == "private")
        return 200, {"url": f"{self.url}/{name.removeprefix('models/')}"}

    def _way(self, there: Repository, one: dict[str, Any]) -> dict[str, Any]:
        data = there.files.get(one["path"])
        oid = None if data is None else _blob(data)
        mode = "lfs" if one["size"] >= LARGE else "regular"
        if data is not None and mode == "lfs":
            oid = hashlib.sha256(data).hexdigest()
        return {"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _place(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.large:
            return one
        return one | {"actions": {"upload": {"href": f"{self.url}/large/{one['oid']}"}}}

    def _take(self, path: str, body: bytes) -> tuple[int, Any]:
        oid = path.removeprefix("/large/")
        assert hashlib.sha256(body).hexdigest() == oid
        self.large[oid] = body
        return 200, {}

    def _commit(
        self, there: Repository, found: re.Match[str], lines: list[dict[str, Any]]
    ) -> tuple[int, Any]:
        if status := re.search(r"-(\d{3})$", found[2]):
            return int(status[1]), {"error": self.refused}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                there.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                there.files[value["path"]] = self.large[value["oid"]]
        there.commits += 1
        oid = f"{there.commits:040d}"
        return 200, {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"{self.url}/{found[1]}/{found[2]}/commit/{oid}",
        }

    def __enter__(self) -> PushedHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _blob(data: bytes) -> str:
    """The name of a file in git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
