"""How it was measured: settings, versions, counts, what was left out, seeds, digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcot.analyses import registry
from mechcot.analyses.headline import rows as headline_rows
from mechcot.core import files
from mechcot.core.manifest import load_manifest
from mechcot.core.no_weights import NO_WEIGHTS
from mechcot.core.offers import at
from mechcot.core.words import minus_signs
from mechcot.report.parts import Findings, Table

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class Frame:
    """A table that several analyses give rows to.

    Attributes:
        title: of the table.
        head: of its columns; `{before}` and `{after}` are the arms.
        note: under it; `{method}` is that of the audit's intervals.
    """

    title: str
    head: tuple[str, ...]
    note: str = ""


FRAMES = {
    "counts": Frame(
        "Counts",
        ("", "{before}", "{after}"),
        "A trace without an answer counts as wrong and votes for “no answer”. Step error is erroneous over "
        "correct plus erroneous. Intervals: {method}.",
    ),
    "left out": Frame("What the analyses of the inside left out", ("analysis", "used", "left out")),
}
"""By the name that `Analysis.rows` calls them by; in the order of the page."""


def tables(
    study: Study, found: Findings, summary: Mapping[str, Any], versions: Mapping[str, str]
) -> tuple[Table, ...]:
    """All tables of the last section, the long ones last."""
    return (
        _headline(found, summary),
        *_of_analyses(found),
        *_served(study, found),
        *_given(study, found),
        Table("Versions", ("package", "version"), tuple(sorted(versions.items()))),
        _settings(found),
        _digests(study),
    )


def _headline(found: Findings, summary: Mapping[str, Any]) -> Table:
    head = ("", found.before, found.after, "difference [95 % interval]")
    note = (
        "ECE is the average gap between the share of votes that the winning answer has and how often such "
        "winners are right. A control’s columns are its own arms before and after."
    )
    return Table(
        "Headline numbers", head, tuple(tuple(map(minus_signs, row)) for row in headline_rows(summary)), note
    )


def _of_analyses(found: Findings) -> Iterator[Table]:
    """Tables that analyses share, then those of an analysis of its own."""
    given = [name for analysis in registry.ANALYSES for name in analysis.rows]
    for name in dict.fromkeys((*FRAMES, *given)):
        parts = [at(one.rows[name])(found) for one in registry.ANALYSES if name in one.rows]
        if name not in FRAMES:
            yield from parts
            continue
        frame, audit = FRAMES[name], found.results["audit"]
        names = {"before": found.before, "after": found.after}
        head = tuple(column.format(**names) for column in frame.head)
        note = frame.note.format(method=audit["delta"]["method"])
        yield Table(frame.title, head, tuple(row for rows in parts for row in rows), note)


def _served(study: Study, found: Findings) -> Iterator[Table]:
    """Which arms servers sampled, and how near their log-probabilities are to those of the arm's weights."""
    rows = []
    for arm, own in found.settings.arms.items():
        if own.server is None:
            continue
        told = files.read_json(study.checked(study.arm_path(arm) / "server.json"))
        gaps, prompts = told["recomputed"], f"{told['prompts_compared']} of {told['n_questions']}"
        near = "none listed"
        if gaps is not None and gaps["n_tokens"]:
            near = f"{gaps['mean_absolute']:.2g} nats a token"
            near += f" ({gaps['n_tokens']} tokens, {gaps['n_texts']} texts)"
        elif gaps is not None:
            near = gaps.get("why") or f"{gaps['n_otherwise']} texts in other tokens"
            near = f"listed, not compared ({near})"
        whole = told["completion_tokens"]
        tokens = f"{whole['server']:,} and {whole['own']:,}" if whole["n_texts"] else "not counted"
        rows.append((arm, told["returned_model"], told["endpoint"], prompts, tokens, near))
    head = (
        "arm",
        "model",
        "server",
        "prompts of as many tokens",
        "tokens by the server and here",
        "log-probabilities",
    )
    note = (
        "Prompts alike: as many tokens by the server as by the arm’s tokenizer and template. Token ids of "
        "these arms are of their own tokenizer, made from the server’s texts; they need not be those that "
        "the server drew. Log-probabilities: mean absolute difference between the server’s and a "
        "recomputation with the arm’s weights."
    )
    if rows:
        yield Table("Arms that a server sampled", head, tuple(rows), note)


def _given(study: Study, found: Findings) -> Iterator[Table]:
    """How the arms of a study without weights were made, and in what they were not asked alike."""
    if not found.settings.given:
        return
    told = files.read_json(study.checked(study.path / "parity.json"))
    rows = []
    for arm, own in told["given"].items():
        stated = (f"{name} {', '.join(map(str, values))}" for name, values in own["stated"].items() if values)
        each = "–".join(str(n) for n in dict.fromkeys(own["samples"]))
        by = own["written_by"] or "a table"
        rows.append((arm, own["file"], by, own["model"], each, "; ".join(stated) or "not told"))
    head = ("arm", "file", "written by", "model", "traces a question", "asked")
    results = {name: own for name, own in found.results.items() if isinstance(own, dict)}
    left = [name for name, own in results.items() if registry.not_here(own) == NO_WEIGHTS]
    note = (
        f"No weights are part of this study, and what needs them was not asked: {', '.join(left)}. Nothing "
        "was sampled here, and what the files do not tell of their making is not known."
    )
    yield Table("Arms given as traces", head, tuple(rows), note)
    odd = [
        (where, one["what"], one["before"], one["after"])
        for where, parts in told["differs"].items()
        for one in parts
    ]
    if odd:
        differ = ("compared by", "what", "before", "after")
        yield Table("Arms that were not asked alike", differ, tuple(odd))


def _settings(found: Findings) -> Table:
    """Every setting, one a row; what is not set is left out."""
    rows: list[tuple[str, str]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif value is not None and value != {}:
            rows.append((prefix, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))

    walk("", found.settings.model_dump(mode="json"))
    return Table("Settings", ("setting", "value"), tuple(rows))


def _digests(study: Study) -> Table:
    """SHA-256 of what the stages before the report wrote, as recorded when it was written."""
    rows = [
        (output, digest)
        for name, record in sorted(load_manifest(study.path)["stages"].items())
        if name != "report"
        for output, digest in sorted(record["outputs"].items())
    ]
    return Table("Digests", ("file or folder", "SHA-256"), tuple(rows))
