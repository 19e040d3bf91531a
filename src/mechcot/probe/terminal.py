"""A report as a person reads it in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from mechcot.probe.ablation_result import AblationResult
from mechcot.probe.card import called
from mechcot.probe.fold_draws import FoldDraws
from mechcot.probe.report import TABLE, ProbeReport
from mechcot.probe.subjects import HeldOutSubjects
from mechcot.probe.transfer_result import TransferResult
from mechcot.probe.verdict import told
from mechcot.stats import Interval

_WIDTH = 100


def report_text(report: ProbeReport) -> str:
    """The report as a person reads it in a terminal."""
    head = f"{called(report.about['name'])}: {report.meaning}"
    where = f"{report.about['site']}, layer {report.layer}, rule {report.rule}, C {report.C:g}"
    folds = sum((row["rule"], row["layer"]) == (report.rule, report.layer) for row in report.chosen)
    lines = [
        head,
        *textwrap.wrap(report.verdict, _WIDTH),
        "",
        *textwrap.wrap(
            f"{report.n_steps} steps of {report.n_questions} questions; in {report.n_errors} "
            f"({report.n_errors / report.n_steps:.1%}) {report.meaning}; {_dropped(report.dropped)}",
            _WIDTH,
        ),
        f"chosen by {folds} of {report.n_folds} folds: {where}",
        "",
    ]
    lines += _table(report)
    if report.fold_draws is not None:
        lines += ["", *textwrap.wrap(spread_words(report.fold_draws), _WIDTH)]
    lines += ["", *_nulls(report)]
    if report.subjects is not None:
        lines += textwrap.wrap(subject_words(report.subjects), _WIDTH)
    if report.transfer is not None:
        lines += ["", *_transfer(report.transfer)]
    if report.use is not None:
        lines += ["", *textwrap.wrap(f"Use: {report.use.verdict}", _WIDTH)]
    for note in report.notes:
        lines += textwrap.wrap(f"note: {note}", _WIDTH)
    return "\n".join(lines)


def spread_words(found: FoldDraws) -> str:
    """How far the dealing of the folds moves the probe, in one line."""
    said = (
        f"on {len(found.auroc.values)} deals of the folds, same place and penalty: AUROC "
        f"{found.auroc.low:.3f} to {found.auroc.high:.3f}"
    )
    if found.within_position is not None:
        said += f", within one position {found.within_position.low:.3f} to {found.within_position.high:.3f}"
    failed = f"; {found.n_failed} more trained on one class" if found.n_failed else ""
    return f"{said} (a spread, no interval){failed}"


def subject_words(found: HeldOutSubjects) -> str:
    """What holding out subjects took from the training rows, in one line."""
    return (
        f"subjects: {found.n_subjects} in {found.n_steps} steps; {found.seen_share:.0%} of these are about "
        f"one met in training; to hold them out takes {found.purged_share:.0%} of the training steps"
    )


def _transfer(found: TransferResult) -> list[str]:
    """The matrix of training side by test side: AUROC and, in brackets, within kind and step index."""
    names = [item.side for item in found.training]
    width = max(len(f"{number}  {name}") for number, name in enumerate(names, 1))
    head = "".join(f"{number:>14d}" for number in range(1, len(names) + 1))
    lines = [
        "transfer, trained on the row and tested on the column: AUROC (within one kind and step index)",
        f"{'':{width}s}{head}",
    ]
    for number, name in enumerate(names, 1):
        cells = [found.cell(name, other) for other in names]
        row = "".join(f"{f'{_two(cell.auroc)} ({_two(cell.matched)})':>14s}" for cell in cells)
        lines.append(f"{f'{number}  {name}':{width}s}{row}")
    return lines


def _two(value: Interval) -> str:
    return "none" if value.estimate is None else f"{value.estimate:.2f}"


def _table(report: ProbeReport) -> list[str]:
    """AUROCs with intervals and, beside each baseline, the probe minus it."""
    minus = {row.label: row.probe_minus for row in report.baselines.values()}
    rows: list[tuple[str, str, str]] = [("", "AUROC [95 %]", "probe minus it")]
    section = ""
    for line in report.lines:
        if line.part not in TABLE:
            continue
        if line.part != section:
            rows.append((f"{line.part}:", "", ""))
            section = line.part
        other = told(minus[line.measure], "+.3f") if line.part == "without the probe" else ""
        form = "+.3f" if line.is_difference else ".3f"
        rows.append((f"  {line.measure}", told(line.value, form), other))
    best = max(report.by_source, key=lambda key: report.by_source[key].estimate or 0.0)
    rows.append((f"best of {len(report.by_source)} sources on the same folds, optimistic:", "", ""))
    rows.append((f"  layer {best[1]}, rule {best[0]}", told(report.by_source[best], ".3f"), ""))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _nulls(report: ProbeReport) -> list[str]:
    lines = []
    for name, null in (("redrawn", report.nulls.redrawn), ("permuted", report.nulls.permuted)):
        if null.mean is None or null.observed is None or null.high is None:
            lines.append(f"null, labels {name}: none ({null.reason})")
            continue
        p = f"p {null.p:.3f}" if null.p is not None else f"no p ({null.reason})"
        lines.append(
            f"null, labels {name}: {null.observed:.3f} observed, {null.mean:.3f} expected, 95 % below "
            f"{null.high:.3f}; {p}, {null.draws} draws, {null.n_permutable_steps} steps can change"
        )
    task = report.control_task
    if task is not None and task.selectivity is not None:
        lines.append(
            f"control task: {task.task:.3f} on {task.n_steps} steps of texts met in training, "
            f"{task.control:.3f} on random labels of {task.n_types} texts; "
            f"selectivity {task.selectivity:+.3f}"
        )
    return lines + (textwrap.wrap(ablation_words(report.ablation), _WIDTH) if report.ablation else [])


def ablation_words(found: AblationResult) -> str:
    """What taking the direction out changes, in one line."""
    changes = [
        f"{name.replace('_', ' ')} {told(item.change, '+.3f')} (p {item.p:.3f})"
        for name, item in found.measures.items()
        if item.p is not None
    ]
    return (
        f"its direction ablated at layer {found.layer}, {found.n_traces} traces of {found.n_questions} "
        f"questions, against {found.n_random} random directions of the same energy: {'; '.join(changes)}"
    )


def _dropped(dropped: Mapping[str, int]) -> str:
    inside = ("steps", "kept", "rows")
    left_out = {name.replace("_", " "): n for name, n in dropped.items() if n and name not in inside}
    parts = [f"{n} {name}" for name, n in sorted(left_out.items(), key=lambda one: (-one[1], one[0]))]
    return f"left out: {', '.join(parts)}" if parts else "nothing left out"
