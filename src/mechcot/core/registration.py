"""A study's plan, registered before its outcomes are known: what stood in the settings, and when.

The manifest, which bears its own digest, holds every plan that a study ever had, each with its SHA-256, the
time, and which outcomes were known by then. An outcome that was known once stays known, also when what
showed it is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mechcot.core.config import changes
from mechcot.core.manifest import load_manifest, save_manifest
from mechcot.core.results import Result
from mechcot.core.settings import Settings

PLANNED = ("confirmatory", "contrast", "judge")
"""The sections of the settings that a plan is made of."""
OUTCOMES = {"answers": ("sample-", "given-", "votes"), "verdicts": ("judge", "calls")}
"""What may be known before a plan: how the names of the stages that make it begin, and of their work."""


@dataclass(frozen=True)
class Registration(Result):
    """Whether the plan of today stood before an outcome was known.

    Attributes:
        sha256: of the plan of today.
        outcome: "answers" (traces) or "verdicts".
        before: whether this very plan was the last one before that outcome was known.
        changed: what was changed since that one, "key: was a, now b"; empty without one.
    """

    sha256: str
    outcome: str
    before: bool
    changed: tuple[str, ...]


def register(root: Path, settings: Settings) -> None:
    """Write down the plan of these settings, unless it is the last one written, and what is known by now."""
    manifest = load_manifest(root)
    old = manifest.get("registered", {"known": [], "plans": []})
    known = sorted({*old["known"], *_known(root, manifest)})
    plans, plan = list(old["plans"]), _plan(settings)
    if not plans or plans[-1]["sha256"] != digest(plan):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        plans.append({"sha256": digest(plan), "at": now, "known": known, "plan": plan})
    if {"known": known, "plans": plans} != old:
        save_manifest(root, manifest | {"registered": {"known": known, "plans": plans}})


def remember(root: Path) -> None:
    """Note what is known by now, before a part of it is made again."""
    manifest = load_manifest(root)
    old = manifest.get("registered", {"known": [], "plans": []})
    known = sorted({*old["known"], *_known(root, manifest)})
    if known != old["known"]:
        save_manifest(root, manifest | {"registered": {**old, "known": known}})


def registrations(root: Path, settings: Settings) -> dict[str, Registration]:
    """By outcome: whether the plan of these settings was registered before it was known."""
    plans = load_manifest(root).get("registered", {"plans": []})["plans"]
    plan = _plan(settings)
    return {outcome: _registration(outcome, plans, plan) for outcome in OUTCOMES}


def digest(plan: Mapping[str, Any]) -> str:
    """SHA-256 of a plan."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _registration(outcome: str, plans: list[dict[str, Any]], plan: dict[str, Any]) -> Registration:
    early = [one for one in plans if outcome not in one["known"]]
    if not early:
        return Registration(digest(plan), outcome, False, ())
    last = early[-1]
    differing = tuple(f"{key}: was {a!r}, now {b!r}" for key, a, b in changes(last["plan"], plan))
    return Registration(digest(plan), outcome, not differing, differing)


def _plan(settings: Settings) -> dict[str, Any]:
    dump = settings.model_dump(mode="json")
    return {section: dump[section] for section in PLANNED}


def _known(root: Path, manifest: Mapping[str, Any]) -> set[str]:
    """Outcomes that stages have made or begun: what a judge replied before it was killed can be read too."""
    begun = [*manifest["stages"], *(path.name for path in root.glob("work/*"))]
    found = {
        outcome
        for outcome, beginnings in OUTCOMES.items()
        if any(name.startswith(beginnings) for name in begun)
    }
    parts = {"answers": "arms/*/traces.parquet", "verdicts": "arms/*/verdicts/*.parquet"}
    return found | {outcome for outcome, files in parts.items() if any(root.glob(files))}
