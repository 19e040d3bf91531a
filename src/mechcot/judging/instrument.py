"""What an instrument is: its name, its digest, its description, and which ones a study has verdicts of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot import files
from mechcot.judging.judge_file import Judge
from mechcot.judging.prompt import Message, response_format, schema, wording
from mechcot.stages import load_manifest

STAGE = "judge-"
"""How the stages of further instruments are named in a study's manifest; the instrument's name follows."""


@dataclass(frozen=True)
class Check:
    """What the start-up call to a judge's server found.

    Attributes:
        returned_model: which model the server says it is.
        enforces_schema: whether a reply was held to a schema against the prompt's words; None: the judge
            file asks for no schema.
    """

    returned_model: str
    enforces_schema: bool | None


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
    return _sha([_asked(judge)])


def instrument_digest(judge: Judge, returned_model: str) -> str:
    """SHA-256 of all that makes the instrument: the judge file's part, and which model answered."""
    return _sha([_asked(judge), returned_model])


def instrument_name(judge_file: Path, judge: Judge, returned_model: str) -> str:
    """The judge file's name and the beginning of the instrument's digest."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", judge_file.stem).strip("-").lower() or "judge"
    return f"{stem}-{instrument_digest(judge, returned_model)[:8]}"


def call_key(judge: Judge, sent: list[Message], sample: int = 0) -> str:
    """SHA-256 of all that is sent in a call and where, and of the sample index.

    With the returned model it names a reply.
    """
    return _sha([judge.model, judge.endpoint, sent, judge.parameters(sample), response_format(judge), sample])


def description(judge: Judge, check: Check) -> dict[str, Any]:
    """The instrument in words and values. Prices, concurrency and the key's variable are no part of it."""
    return {
        **_asked(judge),
        "labels": list(judge.labels),
        "returned_model": check.returned_model,
        "digest": instrument_digest(judge, check.returned_model),
        "asked": asked_digest(judge),
        "server_enforces_schema": check.enforces_schema,
    }


def recorded(root: Path) -> dict[str, dict[str, Any]]:
    """Further instruments of a study whose verdicts belong to its steps as they are now.

    Args:
        root: the study's folder.

    Returns:
        Descriptions (`instruments/NAME.json`) by name; `Study.verdicts(arm, name)` gives their verdicts.
    """
    stages = load_manifest(root)["stages"]
    made = {name: digest for record in stages.values() for name, digest in record["outputs"].items()}
    found = {}
    for stage, record in stages.items():
        if not stage.startswith(STAGE):
            continue
        current = all(made.get(name) == digest for name, digest in record["inputs"].items())
        if current and all((root / name).exists() for name in record["outputs"]):
            name = stage.removeprefix(STAGE)
            found[name] = files.read_json(root / "instruments" / f"{name}.json")
    return found


def _asked(judge: Judge) -> dict[str, Any]:
    return {
        "words": wording(judge),
        "schema": schema(judge.labels),
        "response_format": judge.response_format,
        "fields": judge.fields.model_dump(),
        "model": judge.model,
        "parameters": judge.parameters(),
        "endpoint": judge.endpoint,
    }


def _sha(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
