"""What an instrument is: its name, its digest, its description, and which ones a study has verdicts of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from mechcot.judging.dialects import DIALECTS
from mechcot.judging.forms import Form, Message
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import verdict_form


@dataclass(frozen=True)
class Check:
    """What the start-up calls to a judge's server found.

    Attributes:
        returned_model: which model the server says it is.
        enforces_schema: whether a reply was held to a schema against the prompt's words; None: the judge
            file asks for no schema.
        dialect: of `dialects.DIALECTS`, in which the server is told the schema; None: the one of the judge
            file's `response_format`, as in older caches.
    """

    returned_model: str
    enforces_schema: bool | None
    dialect: str | None = None


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


def form_digest(judge: Judge, form: Form[Any, Any]) -> str:
    """SHA-256 of all that a judge file and a form make of what is asked."""
    return _sha([_asked(judge, form)])


def instrument_digest(judge: Judge, returned_model: str, dialect: str | None = None) -> str:
    """SHA-256 of what makes the instrument: the judge file's part, which model answered, the dialect."""
    return _digest(judge, verdict_form(judge, 0), Check(returned_model, None, dialect))


def server_digest(judge: Judge) -> str:
    """SHA-256 of what decides which model answers and whether it is held to a schema."""
    return _sha([judge.model, judge.endpoint, judge.response_format, judge.extra_body])


def instrument_name(name: str, judge: Judge, check: Check) -> str:
    """The judge file's name and the beginning of the instrument's digest."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "judge"
    return f"{stem}-{instrument_digest(judge, check.returned_model, check.dialect)[:8]}"


def dialect_of(judge: Judge, check: Check | None) -> str:
    """The dialect in which a judge's server is told the schema of a reply."""
    return (check.dialect if check else None) or judge.response_format


def call_key(
    judge: Judge, form: Form[Any, Any], sent: list[Message], sample: int = 0, dialect: str | None = None
) -> str:
    """SHA-256 of all that is sent in a call and where, and of the sample index.

    With the returned model it names a reply.

    Args:
        judge: whom to ask.
        form: of the call.
        sent: its messages.
        sample: index of the sample.
        dialect: in which the schema is sent; None: that of the judge file's `response_format`.
    """
    sends = DIALECTS[dialect or judge.response_format](form.name, form.schema)
    # Alone, as before there were dialects: replies that were paid for then are found.
    reply = sends.get("response_format") if set(sends) <= {"response_format"} else sends
    return _sha([judge.model, judge.endpoint, sent, judge.parameters(sample), reply, sample])


def description(judge: Judge, form: Form[Any, Any], check: Check) -> dict[str, Any]:
    """What was asked of whom, in words and values.

    Prices, concurrency and the key's variable are no part of it.
    """
    return {
        **_asked(judge, form),
        "returned_model": check.returned_model,
        "digest": _digest(judge, form, check),
        "asked": form_digest(judge, form),
        "dialect": dialect_of(judge, check),
        "server_enforces_schema": check.enforces_schema,
    }


def _asked(judge: Judge, form: Form[Any, Any]) -> dict[str, Any]:
    return {
        "words": dict(form.words),
        "schema": form.schema,
        "response_format": judge.response_format,
        **form.shown,
        "model": judge.model,
        "parameters": judge.parameters(),
        "endpoint": judge.endpoint,
    }


def _digest(judge: Judge, form: Form[Any, Any], check: Check) -> str:
    dialect = dialect_of(judge, check)
    other = [dialect] if dialect != judge.response_format else []
    return _sha([_asked(judge, form), check.returned_model, *other])


def _sha(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
