"""What is asked of whom: digests of calls, forms and servers, and what a start-up call finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechcot.asking.dialects import DIALECTS
from mechcot.asking.forms import Form, Message
from mechcot.asking.server_file import Server


@dataclass(frozen=True)
class Check:
    """What the start-up calls to a server found.

    Attributes:
        returned_model: which model the server says it is.
        enforces_schema: whether a reply was held to a schema against the prompt's words; None: its
            file asks for no schema.
        dialect: of `dialects.DIALECTS`, in which the server is told the schema; None: the one of the
            file's `response_format`, as in older caches.
    """

    returned_model: str
    enforces_schema: bool | None
    dialect: str | None = None


def form_digest(server: Server, form: Form[Any, Any]) -> str:
    """SHA-256 of all that a server's file and a form make of what is asked."""
    return _sha([_asked(server, form)])


def server_digest(server: Server) -> str:
    """SHA-256 of what decides which model answers and whether it is held to a schema."""
    return _sha([server.model, server.endpoint, server.response_format, server.extra_body])


def dialect_of(server: Server, check: Check | None) -> str:
    """The dialect in which a server is told the schema of a reply."""
    return (check.dialect if check else None) or server.response_format


def call_key(
    server: Server,
    form: Form[Any, Any],
    sent: list[Message],
    sample: int = 0,
    dialect: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> str:
    """SHA-256 of all that is sent in a call and where, and of the sample index.

    With the returned model it names a reply.

    Args:
        server: whom to ask.
        form: of the call.
        sent: its messages.
        sample: index of the sample.
        dialect: in which the schema is sent; None: that of the file's `response_format`.
        more: parameters of this call alone (`Form.more`).
    """
    sends = DIALECTS[dialect or server.response_format](form.name, form.schema)
    # Alone, as before there were dialects: replies that were paid for then are found.
    reply = sends.get("response_format") if set(sends) <= {"response_format"} else sends
    parameters = {**server.parameters(sample), **(more or {})}
    apart = [form.apart] if form.apart else []
    return _sha([server.model, server.endpoint, sent, parameters, reply, sample, *apart])


def description(server: Server, form: Form[Any, Any], check: Check) -> dict[str, Any]:
    """What was asked of whom, in words and values.

    Prices, concurrency and the key's variable are no part of it.
    """
    return {
        **_asked(server, form),
        "returned_model": check.returned_model,
        "digest": asked_of(server, form, check),
        "asked": form_digest(server, form),
        "dialect": dialect_of(server, check),
        "server_enforces_schema": check.enforces_schema,
    }


def _asked(server: Server, form: Form[Any, Any]) -> dict[str, Any]:
    return {
        "words": dict(form.words),
        "schema": form.schema,
        "response_format": server.response_format,
        **form.shown,
        "model": server.model,
        "parameters": server.parameters(),
        "endpoint": server.endpoint,
    }


def asked_of(server: Server, form: Form[Any, Any], check: Check) -> str:
    """SHA-256 of what was asked, of which model that answered, in which dialect."""
    dialect = dialect_of(server, check)
    other = [dialect] if dialect != server.response_format else []
    return _sha([_asked(server, form), check.returned_model, *other])


def _sha(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
