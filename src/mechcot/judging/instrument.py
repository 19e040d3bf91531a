"""What an instrument is: its name, its digest, and its verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mechcot.asking.identity import Check, asked_of, form_digest
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import verdict_form


@dataclass(frozen=True)
class Judgement:
    """Verdicts of an instrument.

    Attributes:
        instrument: its name.
        rows: verdict rows (`records.VERDICTS`) in the order of the steps.
        about: what the instrument is, what its calls took, and what went wrong on the way.
    """

    instrument: str
    rows: list[dict[str, Any]]
    about: dict[str, Any]


def asked_digest(judge: Judge) -> str:
    """SHA-256 of all that the judge file makes of the instrument."""
    return form_digest(judge, verdict_form(judge, 0))


def instrument_digest(judge: Judge, returned_model: str, dialect: str | None = None) -> str:
    """SHA-256 of what makes the instrument: the judge file's part, which model answered, the dialect."""
    return asked_of(judge, verdict_form(judge, 0), Check(returned_model, None, dialect))


def instrument_name(name: str, judge: Judge, check: Check) -> str:
    """The judge file's name and the beginning of the instrument's digest."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "judge"
    return f"{stem}-{instrument_digest(judge, check.returned_model, check.dialect)[:8]}"
