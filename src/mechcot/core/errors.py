"""One error tree. A message says what was expected, what came, where, and what to do.

Every error that mechcot raises on purpose is a `MechcotError`; the command line prints its
message alone and exits with `exit_code` (2 for wrong usage, 1 for a failure).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class MechcotError(Exception):
    """Root of mechcot's errors.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """By its message alone, whatever its class takes."""
        return _again, (type(self), self.args)


def _again(cls: type[MechcotError], args: tuple[Any, ...]) -> MechcotError:
    error = cls.__new__(cls)
    error.args = args
    return error


class UsageError(MechcotError):
    """The call itself is wrong: an unknown setting, a missing argument, a bad value."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings file or an override that cannot be used."""


class DataError(MechcotError):
    """Input data that cannot be used; the message names file, row and value."""


class StudyError(MechcotError):
    """A study folder that does not fit the call: changed inputs, a foreign or damaged file."""


class DiskError(StudyError):
    """A study that cannot be written for now: no room, no permission. Run again, it goes on."""


class ModelError(MechcotError):
    """A checkpoint, tokenizer or template that cannot be used."""


class TrainingError(MechcotError):
    """Training that cannot start or go on (masked-out rows, a loss that is not finite)."""


class SamplingError(MechcotError):
    """A completion that is empty or failed."""


class ReadingError(MechcotError):
    """A reading that cannot be made or is not true to the model."""


class JudgeError(MechcotError):
    """A judge that cannot be asked or whose answers cannot be used."""


class ServerRefused(JudgeError):
    """A server of which no reply came: it is not there, or takes no call as it is asked."""


class AnalysisError(MechcotError):
    """Tables that do not carry what an analysis needs."""


class HubError(MechcotError):
    """The Hugging Face Hub refused what was to be put there, or did not answer."""


class NotMade(AnalysisError):
    """A result that no run has made yet."""


def said(error: BaseException) -> str:
    """What an error of another library says, in one line of at most 400 printable characters.

    Values that it quotes from a file (`(value: ...)`) are left out.
    """
    if isinstance(error, MemoryError):
        return "there is too little memory for it"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = printable(re.sub(r"\s*\(value: [^)]*\)", "", " ".join(str(error).split())))
    if not isinstance(error, OSError | ValueError | RuntimeError | ImportError) or not text:
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= 400 else f"{text[:400]}..."


def printable(text: str) -> str:
    """A text in one line, what cannot be printed written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


class MissingDependency(UsageError):
    """An optional package is not installed; the message holds the pip line that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'mechcot[{extra}]'")


@contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Whatever another library raises on a user's files, as one message.

    Raises:
        ModelError: which begins with `what`.
    """
    try:
        yield
    except MechcotError:
        raise
    except BaseException as error:
        # A panic in compiled code (tokenizers) is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"{what}: {said(error)}") from error
