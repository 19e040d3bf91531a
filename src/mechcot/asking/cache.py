"""Replies of servers on disk: what was paid for once is never asked again."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mechcot.asking.identity import Check
from mechcot.asking.replies import Reply
from mechcot.core.errors import JudgeError
from mechcot.core.files import checksum

log = logging.getLogger("mechcot")

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
    checksum TEXT,
    PRIMARY KEY (key, returned_model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS in_flight (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checks (
    asked TEXT PRIMARY KEY, returned_model TEXT NOT NULL, enforces_schema INTEGER, dialect TEXT,
    checksum TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    asked TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (asked, what)
) WITHOUT ROWID;
"""
_LATER = {"checks": ("dialect", "checksum"), "replies": ("checksum",)}
"""Columns that a cache of an earlier version lacks; its rows have no checksum."""


class ReplyCache:
    """Replies by call and returned model. Each is on disk before `put` returns; a killed run keeps them.

    Beside them: which calls are under way, what the last start-up check of a server found, and what went
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
            # A flipped byte may be no text any more: what stands there is then no longer what was kept.
            self._connection.text_factory = lambda data: data.decode(errors="replace")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_TABLES)
            for table, later in _LATER.items():
                there = [name for _, name, *_ in self._connection.execute(f"PRAGMA table_info({table})")]
                for column in later:
                    if column not in there:
                        self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str, returned_model: str) -> Reply | None:
        """The reply of a model to a call; None: there is none, or (a warning) it is not what was kept.

        Raises:
            JudgeError: the file cannot be read.
        """
        row = self._one("SELECT * FROM replies WHERE key = ? AND returned_model = ?", (key, returned_model))
        if row is None or not self._sound("reply", row):
            return None
        _, model, endpoint, _, text, finish_reason, n_prompt, n_completion, _ = row
        return Reply(text, finish_reason, model, n_prompt, n_completion, endpoint)

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

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Keep the reply to a call, with the address that answered.

        Args:
            key: of the call.
            model: that was asked for.
            reply: what came.

        Raises:
            JudgeError: the file cannot be written.
        """
        counted = (reply.prompt_tokens, reply.completion_tokens)
        row = (key, reply.returned_model, reply.endpoint, model, reply.text, reply.finish_reason, *counted)
        with self._reported():
            self._connection.execute("BEGIN")
            self._connection.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, _checksum(row))
            )
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
        """What the last start-up check found of a server (`identity.server_digest`).

        None: there was none, or it is not what was kept (a warning says so).

        Raises:
            JudgeError: the file cannot be read.
        """
        columns = "asked, returned_model, enforces_schema, dialect, checksum"
        row = self._one(f"SELECT {columns} FROM checks WHERE asked = ?", (asked,))
        if row is None or not self._sound("start-up check", row):
            return None
        _, model, enforces, dialect, _ = row
        return Check(model, None if enforces is None else bool(enforces), dialect)

    def put_check(self, asked: str, check: Check) -> None:
        """Keep what a start-up check found.

        Raises:
            JudgeError: the file cannot be written.
        """
        enforces = None if check.enforces_schema is None else int(check.enforces_schema)
        row = (asked, check.returned_model, enforces, check.dialect)
        with self._reported():
            self._connection.execute(
                "INSERT OR REPLACE INTO checks (asked, returned_model, enforces_schema, dialect, checksum) "
                "VALUES (?, ?, ?, ?, ?)",
                (*row, _checksum(row)),
            )

    def count(self, asked: str, what: str, n: int = 1) -> None:
        """Count something that happened to a form's calls, over all runs.

        Raises:
            JudgeError: the file cannot be written.
        """
        with self._reported():
            self._connection.execute(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                (asked, what, n),
            )

    def counts(self, asked: str) -> dict[str, int]:
        """What happened how often to a form's calls, over all runs.

        Raises:
            JudgeError: the file cannot be read.
        """
        with self._reported():
            return dict(
                self._connection.execute(
                    "SELECT what, n FROM counts WHERE asked = ? ORDER BY what", (asked,)
                ).fetchall()
            )

    def _sound(self, what: str, row: tuple[Any, ...]) -> bool:
        """Whether a row is what was kept; one of an earlier version has no checksum and is taken."""
        *kept, claimed = row
        if claimed in (None, _checksum(kept)):
            return True
        log.warning("%s: the %s %.8s is damaged; it is asked for again", self.path, what, kept[0])
        return False

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


def _checksum(row: Sequence[Any]) -> str:
    """Of the values of a row, as SQLite gives them back."""
    return checksum(json.dumps(list(row)).encode())
