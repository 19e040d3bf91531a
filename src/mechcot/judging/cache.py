"""Replies of a judge on disk: what was paid for once is never asked again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.core.errors import JudgeError
from mechcot.judging.instrument import Check

CACHE = "judge-replies.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT NOT NULL,
    returned_model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (key, returned_model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS in_flight (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checks (
    asked TEXT PRIMARY KEY, returned_model TEXT NOT NULL, enforces_schema INTEGER, dialect TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    asked TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (asked, what)
) WITHOUT ROWID;
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
        counted: whether it says.
    """

    text: str
    finish_reason: str
    returned_model: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def counted(self) -> bool:
        """Whether the server counted; no prompt has no token."""
        return self.prompt_tokens > 0


class ReplyCache:
    """Replies by call and returned model. Each is on disk before `put` returns; a killed run keeps them.

    Beside them: which calls are under way, what the last start-up check of a judge found, and what went
    wrong how often. The file is readable by its owner only, as traces may be clinical texts.
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
            self._connection.executescript(_TABLES)
            columns = self._connection.execute("PRAGMA table_info(checks)").fetchall()
            if "dialect" not in [name for _, name, *_ in columns]:  # a cache of an older version
                self._connection.execute("ALTER TABLE checks ADD COLUMN dialect TEXT")

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str, returned_model: str) -> Reply | None:
        """The reply of a model to a call; None: there is none.

        Raises:
            JudgeError: the file cannot be read.
        """
        row = self._one(
            "SELECT text, finish_reason, returned_model, prompt_tokens, completion_tokens "
            "FROM replies WHERE key = ? AND returned_model = ?",
            (key, returned_model),
        )
        return Reply(*row) if row else None

    def interrupted(self) -> set[str]:
        """Calls that were under way when a run ended: paid for perhaps, and without a reply.

        Raises:
            JudgeError: the file cannot be read.
        """
        with self._reported():
            return {key for (key,) in self._connection.execute("SELECT key FROM in_flight").fetchall()}

    def begin(self, key: str) -> None:
        """Note that a call is about to be sent.

        Raises:
            JudgeError: the file cannot be written.
        """
        with self._reported():
            self._connection.execute("INSERT OR IGNORE INTO in_flight VALUES (?)", (key,))

    def put(self, key: str, endpoint: str, model: str, reply: Reply) -> None:
        """Keep the reply to a call.

        Raises:
            JudgeError: the file cannot be written.
        """
        counted = (reply.prompt_tokens, reply.completion_tokens)
        row = (key, reply.returned_model, endpoint, model, reply.text, reply.finish_reason, *counted)
        with self._reported():
            self._connection.execute("BEGIN")
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._connection.execute("DELETE FROM in_flight WHERE key = ?", (key,))
            self._connection.execute("COMMIT")

    def end(self, key: str) -> None:
        """Note that a call ended without a reply.

        Raises:
            JudgeError: the file cannot be written.
        """
        with self._reported():
            self._connection.execute("DELETE FROM in_flight WHERE key = ?", (key,))

    def check(self, asked: str) -> Check | None:
        """What the last start-up check found of a judge (`instrument.asked_digest`); None: there was none.

        Raises:
            JudgeError: the file cannot be read.
        """
        row = self._one(
            "SELECT returned_model, enforces_schema, dialect FROM checks WHERE asked = ?", (asked,)
        )
        return Check(row[0], None if row[1] is None else bool(row[1]), row[2]) if row else None

    def put_check(self, asked: str, check: Check) -> None:
        """Keep what a start-up check found.

        Raises:
            JudgeError: the file cannot be written.
        """
        row = (asked, check.returned_model, check.enforces_schema, check.dialect)
        with self._reported():
            self._connection.execute("INSERT OR REPLACE INTO checks VALUES (?, ?, ?, ?)", row)

    def count(self, asked: str, what: str, n: int = 1) -> None:
        """Count something that happened to a judge's calls, over all runs.

        Raises:
            JudgeError: the file cannot be written.
        """
        with self._reported():
            self._connection.execute(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                (asked, what, n),
            )

    def counts(self, asked: str) -> dict[str, int]:
        """What happened how often to a judge's calls, over all runs.

        Raises:
            JudgeError: the file cannot be read.
        """
        with self._reported():
            return dict(
                self._connection.execute(
                    "SELECT what, n FROM counts WHERE asked = ? ORDER BY what", (asked,)
                ).fetchall()
            )

    def _one(self, query: str, values: tuple[str, ...]) -> Any:
        with self._reported():
            return self._connection.execute(query, values).fetchone()

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
