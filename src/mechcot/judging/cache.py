"""Replies of a judge on disk: what was paid for once is never asked again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from mechcot.errors import JudgeError

CACHE = "judge-cache.sqlite"

_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    returned_model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
        text: of the reply, or of the refusal.
        finish_reason: why it ended, as the server says; "refusal" for a refusal.
        returned_model: which model the server says it was.
        prompt_tokens: as the server counts, 0 when it does not say.
        completion_tokens: likewise.
    """

    text: str
    finish_reason: str
    returned_model: str
    prompt_tokens: int
    completion_tokens: int


class ReplyCache:
    """Replies by the key of their call. Each is on disk before `put` returns; a killed run keeps them.

    The file is readable by its owner only, as traces may be clinical texts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reported():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made here, with its mode, so that SQLite gives its companion files the same one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            os.chmod(path, 0o600)
            # Used by one thread at a time, but in a notebook not by the one that opened it.
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=30, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_TABLE)

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str) -> Reply | None:
        """The reply to a call; None: it was never answered.

        Raises:
            JudgeError: the file cannot be read.
        """
        query = (
            "SELECT text, finish_reason, returned_model, prompt_tokens, completion_tokens "
            "FROM replies WHERE key = ?"
        )
        with self._reported():
            row = self._connection.execute(query, (key,)).fetchone()
        return Reply(*row) if row else None

    def put(self, key: str, endpoint: str, model: str, reply: Reply) -> None:
        """Keep a reply.

        Raises:
            JudgeError: the file cannot be written.
        """
        with self._reported():
            self._connection.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, endpoint, model, *astuple(reply)),
            )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise JudgeError(
                f"{self.path}: {error}. Make room or fix the permissions and run again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise JudgeError(
                f"{self.path} is no cache of replies or is damaged: {error}. Move it away"
            ) from error
