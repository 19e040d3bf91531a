"""The teacher file: which model writes chains, where, and at what price. Never a key."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from mechcot.asking.server_file import Server, read_server
from mechcot.core.errors import ConfigError


class Teacher(Server):
    """A teacher behind a server: its replies are texts, in no form that a server could enforce."""

    role: ClassVar[str] = "teacher"

    response_format: Literal["none"] = Field("none", description="none: a chain is no JSON")
    max_tokens: int | None = Field(2048, ge=16, description="of a chain; null: not sent")
    temperature: float | None = Field(0.7, ge=0, description="null: not sent, for models that fix it")
    timeout: float = Field(600.0, gt=0, description="seconds a call may take")
    max_failure_share: float = Field(0.005, ge=0, le=1, description="calls that may end without a reply")


def read_teacher(path: Path, attempts: int) -> Teacher:
    """Read a teacher file.

    Args:
        path: the file.
        attempts: calls a question at most.

    Raises:
        ConfigError: as `read_server` raises it; or every attempt would be the same.
    """
    teacher = read_server(path, Teacher)
    if teacher.temperature == 0 and attempts > 1:
        raise ConfigError(
            f"{path}: temperature is 0, so that all {attempts} attempts at a question would be the same. Set "
            "a temperature, or teacher.attempts=1 and teacher.chains=1"
        )
    return teacher
