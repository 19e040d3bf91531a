"""How it was measured: settings, versions, counts, what was left out, seeds, digests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses.headline import rows as headline_rows
from mechcot.core.manifest import load_manifest
from mechcot.core.words import number, percent, why
from mechcot.report.parts import Findings, Table

if TYPE_CHECKING:
    from mechcot.study.folder import Study


_COUNTS = {
    "n_traces": "traces",
    "n_traces_without_steps": "traces without a step",
    "n_steps": "steps",
    "n_behind_answer": "steps behind the stated answer",
    "n_correct": "steps judged correct",
    "n_erroneous": "steps judged erroneous",
    "n_abstain": "steps on which the judge abstains",
    "n_not_checkable": "steps that claim nothing checkable",
    "n_api_failure": "steps whose judging failed (no reply)",
    "n_parse_failure": "steps whose judging failed (unreadable reply)",
    "n_without_verdict": "steps without a verdict",
}


def tables(
    study: Study, found: Findings, summary: Mapping[str, Any], versions: Mapping[str, str]
) -> tuple[Table, ...]:
    """All tables of the last section, the long ones last."""
    return (
        _headline(found, summary),
        _counts(found),
        _left_out(found),
        _probes(found),
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
    return Table("Headline numbers", head, tuple(tuple(row) for row in headline_rows(summary)), note)


def _counts(found: Findings) -> Table:
    answers, audit = found.results["answers"], found.results["audit"]
    arms = ("before", "after")
    rows = [
        ("questions", *(f"{answers[arm]['n_questions']:,}" for arm in arms)),
        ("traces a question", *(f"{answers[arm]['k']:,}" for arm in arms)),
        *((label, *(f"{audit[arm][key]:,}" for arm in arms)) for key, label in _COUNTS.items()),
        *_before_answer(audit),
        (
            "right answers by vote, traces with an answer alone",
            *(percent(answers[arm]["answered_only"].get("sc")) for arm in arms),
        ),
        ("traces without an answer", *(_share(answers[arm]["share_no_answer"]) for arm in arms)),
        ("traces cut by the token limit", *(_share(answers[arm]["share_truncated"]) for arm in arms)),
    ]
    note = (
        "A trace without an answer counts as wrong and votes for “no answer”. Step error is erroneous over "
        f"correct plus erroneous. Intervals: {audit['delta']['method']}."
    )
    return Table("Counts", ("", found.before, found.after), tuple(rows), note)


def _before_answer(audit: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The step error without what follows the answer, where anything does."""
    if not any(audit[arm]["n_behind_answer"] for arm in ("before", "after")):
        return []
    part = audit["before_answer"]
    return [
        (
            "step error, steps before the answer alone",
            *(percent(part[f"rate_{arm}"]) for arm in ("before", "after")),
        )
    ]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


_WHY = {
    "truncated": "cut by the token limit",
    "no_answer": "without an answer",
    "no_reading": "not read",
    "unjudged": "without a verdict correct or erroneous",
    "unread": "in traces that were not read",
}


def _left_out(found: Findings) -> Table:
    """What each analysis of the inside could not use."""
    commitment, knowledge = found.results["commitment"].get("arms", {}), found.results["knowledge"]
    rows = []
    for name, arm in commitment.items():
        kept = f"{arm['n_traces']:,} traces of {arm['n_questions']:,} questions"
        rows.append((f"commitment, {name}", kept, _reasons(arm["excluded"])))
    if "errors" in knowledge:
        kept = (
            f"{knowledge['claims']['n_claims']:,} claims of {knowledge['claims']['n_questions']:,} questions"
        )
        rows.append(("knowledge", kept, _reasons(knowledge["excluded"])))
    relations = found.results["hedge"].get("before", {}).get("relations", {})
    if relations:
        rows.append(("hedge direction", _kinds(relations, True), _kinds(relations, False)))
    return Table("What the analyses of the inside left out", ("analysis", "used", "left out"), tuple(rows))


def _kinds(relations: Mapping[str, Any], used: bool) -> str:
    kinds = [
        f"“{name}” ({cell['hedged']:,} hedged, {cell['asserted']:,} asserted)"
        for name, cell in relations.items()
        if bool(cell["used"]) is used
    ]
    tail = "" if used or not kinds else "; too few of both in one half of the questions"
    return (", ".join(kinds) or "nothing") + tail


def _reasons(excluded: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {_WHY.get(name, name)}" for name, n in excluded.items() if n) or "nothing"


def _probes(found: Findings) -> Table:
    rows: list[tuple[str, ...]] = []
    reports = {name: report for name, report in found.results["probe"].items() if "auroc" in report}
    for label, key in (
        ("steps", "n_steps"), ("of them erroneous", "n_errors"), ("questions", "n_questions"),
        ("blocks of questions and entities", "n_blocks"), ("outer folds", "n_folds"), ("fits", "n_fits"),
        ("fits that did not converge", "n_not_converged"),
    ):  # fmt: skip
        rows.append((label, *(f"{report[key]:,}" for report in reports.values())))
    rows.append(
        (
            "training steps dropped because their claim is in the test fold",
            *(_share(report["purged_share"]) for report in reports.values()),
        )
    )
    for kind in ("redrawn", "permuted"):
        told = (_p(report["nulls"][kind]) for report in reports.values())
        rows.append((f"p against labels {kind}", *told))
    note = (
        "Redrawn labels keep how many steps of each question, and of each position, length and kind, are "
        "erroneous; permuted ones move only among steps of one question, position, length and kind."
    )
    return Table("Probes", ("", *reports), tuple(rows) if reports else (), note if reports else "")


def _p(null: Mapping[str, Any]) -> str:
    value = number(null["p"])
    return f"not computed: {why(null['p'])}" if value is None else f"{value:.3f} ({null['draws']} draws)"


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
