"""The numbers of the judge controls in tables: for the terminal, and for the end of their page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mechcot.analyses.form import STRATA
from mechcot.analyses.judge_controls import registry
from mechcot.analyses.judge_controls.control import Json
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.judge_controls.wording import FLAT_NOTE, ROLES, holds_flat, points, share
from mechcot.core.records import LABELS
from mechcot.core.words import DIFFERENCE, Table, number, percent, why

WEIGHTS = {"strata_weighted": "by shares of votes", "strata": "by the vote"}


def terminal_text(result: JudgeControlsResult) -> str:
    """All of the result's numbers that a reader asks first, one table a question."""
    found = result.to_json()
    note = [f"* {FLAT_NOTE}"] if holds_flat(found) else []
    return "\n\n".join([*(table.text() for table in all_tables(found) if table.rows), *note])


def all_tables(found: Json) -> tuple[Table, ...]:
    """The difference under every control, labels that differ, what controls find beside, and the strata.

    Args:
        found: `JudgeControlsResult.to_json()`.
    """
    own = (finding.tables(found) for _, finding in registry.findings() if "value" not in found[finding.name])
    return (
        _controls_table(found),
        _flips_table(found),
        *(table for some in own for table in some),
        _strata_table(found),
    )


def page_tables(found: Json, about: Mapping[str, Any]) -> tuple[Table, ...]:
    """The same, every label of every control, and how it was made.

    Args:
        found: `JudgeControlsResult.to_json()`.
        about: nested keys; each becomes a row.
    """
    controls, *others = all_tables(found)
    method = found["controls"][0]["error"]["difference"]["method"]
    note = (
        f"Erroneous over correct plus erroneous. {found['note']} Intervals: {method}; seed {found['seed']}."
    )
    note += f" * {FLAT_NOTE}" if holds_flat(found) else ""
    return (
        replace(controls, note=" ".join(filter(None, (controls.note, note)))),
        *others,
        _labels_table(found),
        Table("How it was made", ("", ""), tuple(_flat("", about))),
    )


def _controls_table(found: Json) -> Table:
    head = ("", *(found["arms"][role] for role in ROLES), DIFFERENCE, "minus primary", "p", "p, family")
    rows = tuple(
        (
            row["name"],
            *(
                share(row["counts"][role]["erroneous"], row["n_judged"][role], row["error"][role])
                for role in ROLES
            ),
            _difference(row["error"]["difference"]),
            "" if row["control"] == "primary" else _difference(row["minus_primary"]),
            _p(row["p"]),
            _p(row["p_family"]),
        )
        for row in found["controls"]
    )
    missing = [
        f"{row['name']}: {why(row['error']['difference'])}."
        for row in found["controls"]
        if number(row["error"]["difference"]) is None
    ]
    return Table("Wrong steps", head, rows, " ".join(missing))


def _flips_table(found: Json) -> Table:
    names = {"four": "any verdict", "two": "correct or erroneous"}
    rows = tuple(
        (
            f"{row['name']}, {names[row['labels']]}",
            *(share(row["n_flipped"][role], row["n_steps"][role], row[role]) for role in ROLES),
            _difference(row["difference"]),
        )
        for row in found["flips"]
    )
    head = ("", *(found["arms"][role] for role in ROLES), DIFFERENCE)
    return Table("Labels that differ from the primary’s", head, rows)


def _labels_table(found: Json) -> Table:
    """Every label of every control in both arms: abstentions and failures apart."""
    words = {**{label: label.replace("_", " ") for label in LABELS}, "": "not judged"}
    rows = tuple(
        (row["name"], found["arms"][role], *(f"{row['counts'][role][label]:,}" for label in words))
        for row in found["controls"]
        for role in ROLES
    )
    note = "Of rewritten steps only those that kept their claim are counted here."
    return Table("Labels", ("", "arm", *words.values()), rows, note)


def _strata_table(found: Json) -> Table:
    rows = tuple(
        (
            f"{name.format(**found['arms'])}, {how}",
            *(_rate(part[f"rate_{role}"], part[f"n_judged_{role}"]) for role in ROLES),
            _difference(part),
            f"{part['weight']:.1f}",
        )
        for key, name in STRATA.items()
        for kind, how in WEIGHTS.items()
        for part in (found[kind][key],)
    )
    head = ("", *(found["arms"][role] for role in ROLES), DIFFERENCE, "questions")
    return Table("By whose answer is right", head, rows)


def _difference(leaf: Any) -> str:
    return "–" if number(leaf) is None else points(leaf)


def _rate(leaf: Any, n: int) -> str:
    return f"{percent(leaf)} of {n:,}" if n else "–"


def _p(leaf: Any) -> str:
    value = number(leaf)
    return "" if value is None else f"{value:.4f}"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested keys as rows."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(map(str, value)) or "–"
    elif value is not None:
        yield prefix, str(value)
