"""The tables at the end of the judge controls' page: every number, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mechcot.analyses.judge_controls.parts import FLAT_NOTE, is_flat
from mechcot.core.records import LABELS
from mechcot.core.words import number, percent, points
from mechcot.report.parts import Table

_ROLES = ("before", "after")


def tables(found: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[Table, ...]:
    """All numbers of the page in tables, how it was made last.

    Args:
        found: `JudgeControlsResult.to_json()`.
        about: nested keys; each becomes a row.
    """
    arms = found["arms"]
    return (
        _controls_table(found),
        _labels_table(found),
        Table(
            "Labels that differ from the primary’s",
            ("", "labels", *(arms[role] for role in _ROLES), "difference [95 % interval]"),
            tuple(_flip_row(row) for row in found["flips"]),
        ),
        _fidelity_table(found),
        _decoys_table(found),
        _strata_table(found),
        Table("How it was made", ("", ""), tuple(_flat("", about))),
    )


def holds_flat(found: Any) -> bool:
    """Whether an interval without width stands somewhere in JSON values.

    Args:
        found: of a result, or of a part of it.
    """
    if isinstance(found, Mapping):
        ends = (number(found.get("low")), number(found.get("high")))
        return is_flat(*ends) or any(holds_flat(inner) for inner in found.values())
    return isinstance(found, list | tuple) and any(holds_flat(inner) for inner in found)


def _controls_table(found: Mapping[str, Any]) -> Table:
    head = (
        "",
        *(found["arms"][role] for role in _ROLES),
        "difference [95 % interval]",
        "minus primary",
        "p",
        "p, family",
    )
    rows = tuple(
        (
            row["name"],
            *(_rate(row["error"][role], row["n_judged"][role]) for role in _ROLES),
            points(row["error"]["difference"]),
            "" if row["control"] == "primary" else points(row["minus_primary"]),
            _p(row["p"]),
            _p(row["p_family"]),
        )
        for row in found["controls"]
    )
    note = (
        f"Erroneous over correct plus erroneous. {found['note']} Intervals: "
        f"{found['controls'][0]['error']['difference']['method']}; seed {found['seed']}."
    )
    if holds_flat(found["controls"]):
        note += f" {FLAT_NOTE}"
    return Table("All controls", head, rows, note)


def _labels_table(found: Mapping[str, Any]) -> Table:
    """Every label of every control in both arms: abstentions and failures apart."""
    words = {**{label: label.replace("_", " ") for label in LABELS}, "": "not judged"}
    rows = tuple(
        (row["name"], found["arms"][role], *(f"{row['counts'][role][label]:,}" for label in words))
        for row in found["controls"]
        for role in _ROLES
    )
    note = "Of rewritten steps only those that kept their claim are counted here."
    return Table("Labels", ("", "arm", *words.values()), rows, note)


def _flip_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    rates = (f"{percent(row[role])} of {row['n_steps'][role]:,}" for role in _ROLES)
    what = "all four" if row["labels"] == "four" else "correct, erroneous"
    return row["name"], what, *rates, points(row["difference"])


def _fidelity_table(found: Mapping[str, Any]) -> Table:
    rows = found["tone_swap"].get("fidelity", [])
    kinds = ("preserved", "changed", "uncertain", "failed")
    lines = [
        (
            f"{row['arm']} in {'its own' if row['variant'] == 'own' else 'the other'} manner",
            *(f"{row[kind]:,}" for kind in kinds),
        )
        for row in rows
    ]
    return Table("Did the rewritings keep the claim?", ("", *kinds), tuple(lines))


def _decoys_table(found: Mapping[str, Any]) -> Table:
    rows = [
        (f"{row['truth']}, {row['arm']}", *(f"{row[label]:,}" for label in LABELS))
        for row in found["decoys"].get("counts", [])
    ]
    return Table("Decoys", ("", *(label.replace("_", " ") for label in LABELS)), tuple(rows))


def _strata_table(found: Mapping[str, Any]) -> Table:
    names = {"both": "both right", "only_before": "only {before} right", "only_after": "only {after} right"}
    names["neither"] = "neither right"
    kinds = {"strata_weighted": "by shares of votes", "strata": "by the vote"}
    rows = [
        (
            f"{name.format(**found['arms'])}, {how}",
            *(_rate(part[f"rate_{role}"], part[f"n_judged_{role}"]) for role in _ROLES),
            points(part),
            f"{part['weight']:.1f}",
        )
        for key, name in names.items()
        for kind, how in kinds.items()
        for part in (found[kind][key],)
    ]
    head = ("", *(found["arms"][role] for role in _ROLES), "difference [95 % interval]", "questions")
    return Table("By whose answer is right", head, tuple(rows))


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
