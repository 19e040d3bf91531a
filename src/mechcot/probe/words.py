"""What a probe is worth, in words that say no more than the intervals; and the table for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcot.stats import Interval

if TYPE_CHECKING:
    from pathlib import Path

    from mechcot.probe.ablate_result import AblationResult
    from mechcot.probe.null import Nulls
    from mechcot.probe.result import Baseline, OnTheStack, ProbeReport
    from mechcot.probe.subjects import HeldOutSubjects
    from mechcot.probe.transfer_result import TransferResult

_COMPARED = {
    "kind_only": ("knowing the kind of step", "kind"),
    "position_only": ("knowing the step's position", "position"),
    "length_only": ("knowing the step's length", "kind"),
    "answer_only": ("knowing whether the final answer is right", "answer outcome"),
    "uncertainty": ("the model's own uncertainty", "kind"),
    "text_only": ("reading the step's words", "kind"),
    "question_only": ("reading the question", "question"),
}
"""Single explanations: how they read, and within what the probe is then looked at."""

_SIGNALS = {"position_only": ("the step's position", "position"), "kind_only": ("the kind of step", "kind")}
"""What a signal can turn out to be, if it is gone where this is held fixed."""

_WIDTH = 100


def in_words(
    headline: Interval,
    within: Mapping[str, Interval],
    baselines: Mapping[str, Baseline],
    stack: OnTheStack | None,
    nulls: Nulls,
    subjects: HeldOutSubjects | None = None,
) -> str:
    """Say what the probe is worth: against chance and what is simpler, what it adds, and the null's p.

    That it knows subjects is said where holding them out costs more than as many steps left out at random.
    """
    p = _null(nulls)
    if headline.estimate is None:
        return f"The probe cannot be scored: {headline.reason}."
    if headline.high is not None and headline.high < 0.5:
        return f"The probe does worse than chance: {_numbers(headline)}. {p}"
    if headline.low is None or headline.low <= 0.5:
        return f"The probe is not distinguishable from chance: {_numbers(headline)}. {p}"
    known = {
        name: row for name in _COMPARED if (row := baselines.get(name)) and row.auroc.estimate is not None
    }
    if not known:
        return f"The probe scores {_numbers(headline)}. {_added(stack, baselines)}{_known(subjects)}{p}"
    said = _explained(headline, within, known) or _against(headline, within, known)
    return f"{said} {_added(stack, baselines)}{_known(subjects)}{p}"


def _explained(
    headline: Interval, within: Mapping[str, Interval], known: Mapping[str, Baseline]
) -> str | None:
    """Name position or kind as the signal where the probe is no better and nothing is left within it."""
    for name, (what, where) in _SIGNALS.items():
        row, inside = known.get(name), within.get(where)
        if row is None or inside is None or inside.low is None or inside.low > 0.5:
            continue
        if row.probe_minus.low is not None and row.probe_minus.low <= 0:
            return (
                f"The signal is {what}: the probe scores {headline.estimate:.2f} and knowing {what} alone "
                f"{row.auroc.estimate:.2f}; {_inside(where, inside)}"
            )
    return None


def _against(headline: Interval, within: Mapping[str, Interval], known: Mapping[str, Baseline]) -> str:
    """Compare with the best of the single explanations that the probe does not clearly beat, or of all."""
    unbeaten = {k: r for k, r in known.items() if r.probe_minus.low is None or r.probe_minus.low <= 0}
    pool = unbeaten or known
    name = max(pool, key=lambda key: pool[key].auroc.estimate or 0.0)
    best, (phrase, where) = pool[name], _COMPARED[name]
    relation = "better than every single simpler thing, the best of which is"
    if unbeaten:
        high, ahead = best.probe_minus.high, (best.probe_minus.estimate or 0.0) > 0
        relation = "not clearly better than" if ahead else "no better than"
        if high is not None and high < 0:
            relation = "worse than"
    tail = f" W{_inside(where, within[where])[1:]}" if where in within else ""
    numbers = f"{headline.estimate:.2f} against {best.auroc.estimate:.2f}"
    return f"The probe is {relation} {phrase}: {numbers}.{tail}"


def _inside(where: str, inside: Interval) -> str:
    if inside.estimate is None or inside.low is None or inside.high is None:
        return f"within one {where} it cannot be scored."
    found = "still separates" if inside.low > 0.5 else "cannot be told from chance"
    found = "does worse than chance" if inside.high < 0.5 else found
    return f"within one {where} it {found}: {_numbers(inside)}."


def _added(stack: OnTheStack | None, baselines: Mapping[str, Baseline]) -> str:
    """What the probe adds to the comparator fixed in advance."""
    if stack is None or "stack" not in baselines:
        return ""
    alone, gain = baselines["stack"].auroc, stack.gain
    if gain.estimate is None or gain.low is None or gain.high is None:
        return ""
    numbers = f"{gain.estimate:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    if gain.low > 0:
        return f"To all simpler things together ({alone.estimate:.2f}) it adds {numbers}. "
    if gain.high < 0:
        return f"From all simpler things together ({alone.estimate:.2f}) it takes away: {numbers}. "
    return (
        f"All simpler things together ({alone.estimate:.2f}) account for it as far as this study can tell: "
        "what it "
        f"adds to them cannot be told from 0, {numbers}. "
    )


def _known(subjects: HeldOutSubjects | None) -> str:
    """That part of the signal is knowing subjects, where that is clear."""
    if subjects is None or subjects.difference.high is None or subjects.difference.high >= 0:
        return ""
    return (
        "Part of it is knowing the subjects: with those of the test steps held out it scores "
        f"{_numbers(subjects.auroc)}, with as many training steps left out at random "
        f"{subjects.thinned.estimate:.2f}. "
    )


def _null(nulls: Nulls) -> str:
    """The primary null's p, or why there is none."""
    null = nulls.redrawn
    if null.p is None:
        return f"No p against redrawn labels: {null.reason}."
    return (
        f"p = {null.p:.3f} against labels redrawn given question, position, length and kind ({null.draws} "
        "draws)."
    )


def _numbers(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.2f}"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def card_words(report: ProbeReport) -> dict[str, str]:
    """What the signal of a card is, and what it is not."""
    probe = report.card.about["probe"]
    return {
        "is": (
            f"The log odds that {report.meaning}, by one linear rule on {probe['site']} at layer "
            f"{report.layer}, "
            f"position rule {report.rule!r}. {report.verdict}"
        ),
        "is_not": (
            "No evidence that the model uses what is read, or knows it. The rule was fitted on all rows, so "
            "its "
            "scores of the questions in `split` are not out of fold; `metrics` are those of the nested "
            "folds. Its "
            "log odds are calibrated to no other share of such steps, model, judge or way of cutting steps."
        ),
    }


def save_card(report: ProbeReport, folder: Path) -> None:
    """Write `probe.safetensors` and `card.json`, all numbers of the report included."""
    about = {**report.card.about, "words": card_words(report), "metrics": report.to_json()}
    replace(report.card, about=about).save(folder)


def report_text(report: ProbeReport) -> str:
    """The report as a person reads it in a terminal."""
    card = report.card.about
    head = f"Probe {card['name']}: {report.meaning}"
    where = f"{card['probe']['site']}, layer {report.layer}, rule {report.rule}, C {report.C:g}"
    folds = sum((row["rule"], row["layer"]) == (report.rule, report.layer) for row in report.chosen)
    lines = [
        head,
        *textwrap.wrap(report.verdict, _WIDTH),
        "",
        *textwrap.wrap(
            f"{report.n_steps} steps, {report.n_errors} with the label 1 "
            f"({report.n_errors / report.n_steps:.1%}), "
            f"{report.n_questions} questions; {_dropped(report.dropped)}",
            _WIDTH,
        ),
        f"chosen by {folds} of {report.n_folds} folds: {where}",
        "",
    ]
    lines += _table(report)
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
        told = "".join(f"{f'{_two(cell.auroc)} ({_two(cell.matched)})':>14s}" for cell in cells)
        lines.append(f"{f'{number}  {name}':{width}s}{told}")
    return lines


def _two(value: Interval) -> str:
    return "none" if value.estimate is None else f"{value.estimate:.2f}"


def _table(report: ProbeReport) -> list[str]:
    """AUROCs with intervals and, beside each baseline, the probe minus it."""
    minus = {row.label: row.probe_minus for row in report.baselines.values()}
    rows: list[tuple[str, str, str]] = [("", "AUROC [95 %]", "probe minus it")]
    section = ""
    for part, name, value in report.lines():
        if part != section:
            rows.append((f"{part}:", "", ""))
            section = part
        other = _signed(minus[name]) if part == "without the probe" else ""
        digits = _signed(value) if name.startswith(("...", "bits")) else _three(value)
        rows.append((f"  {name}", digits, other))
    best = max(report.map, key=lambda key: report.map[key].estimate or 0.0)
    rows.append((f"best of {len(report.map)} sources on the same folds, optimistic:", "", ""))
    rows.append((f"  layer {best[1]}, rule {best[0]}", _three(report.map[best]), ""))
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
    if report.control_task is not None:
        task = report.control_task.to_json(report.source)
        if all(isinstance(task[key], float) for key in ("task", "control", "selectivity")):
            lines.append(
                f"control task: {task['task']:.3f} on {task['n_steps']} steps of texts met in training, "
                f"{task['control']:.3f} on random labels of {task['n_types']} texts; selectivity "
                f"{task['selectivity']:+.3f}"
            )
    return lines + (textwrap.wrap(ablation_words(report.ablation), _WIDTH) if report.ablation else [])


def ablation_words(found: AblationResult) -> str:
    """What taking the direction out changes, in one line."""
    told = [
        f"{name.replace('_', ' ')} {_signed(item.change)} (p {item.p:.3f})"
        for name, item in found.measures.items()
        if item.p is not None
    ]
    return (
        f"its direction ablated at layer {found.layer}, {found.n_traces} traces of {found.n_questions} "
        f"questions, against {found.n_random} random directions of the same energy: {'; '.join(told)}"
    )


def _dropped(dropped: Mapping[str, int]) -> str:
    inside = ("steps", "kept", "rows")
    left_out = {name.replace("_", " "): n for name, n in dropped.items() if n and name not in inside}
    parts = [f"{n} {name}" for name, n in left_out.items()]
    return f"left out: {', '.join(parts)}" if parts else "nothing left out"


def _three(value: Interval) -> str:
    if value.estimate is None:
        return f"none ({value.reason})"
    ends = "" if value.low is None or value.high is None else f" [{value.low:.3f}, {value.high:.3f}]"
    return f"{value.estimate:.3f}{ends}"


def _signed(value: Interval) -> str:
    if value.estimate is None:
        return f"none ({value.reason})"
    ends = "" if value.low is None or value.high is None else f" [{value.low:+.3f}, {value.high:+.3f}]"
    return f"{value.estimate:+.3f}{ends}"
