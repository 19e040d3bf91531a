"""A study's two probes on its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.probe import figures
from mechcot.core.words import minus_signs, number, percent, why
from mechcot.report.palette import arm_colours
from mechcot.report.parts import AUROC, Findings, Part, Section, Table


def section(found: Findings) -> Section:
    """What a probe sees beyond position, kind and uncertainty."""
    reports = found.results["probe"]
    reading = Markup(
        "A <dfn>probe</dfn> is a linear rule that is fitted on a model’s inner state at the end of each step "
        "to tell wrong steps from right ones, and scored on questions that it was not fitted on. Questions "
        "with one right answer’s entity stay together, and no claim is scored whose very words it was fitted "
        "on; an entity of another option may be spoken of in both. Beside it stand rules that see less: the "
        "step’s place, its kind, and how unsure the model is by its own account: <dfn>entropy</dfn>, the "
        "spread of its next word, and <dfn>surprisal</dfn>, how unlikely the words were that it wrote. Only "
        "what the probe adds to these, or finds within one kind, speaks of the inside. {auroc}"
    ).format(auroc=Markup() if "before" in found.results["hedge"] else AUROC)
    limits = Markup(
        "That the model uses what a probe reads, or knows that a step is wrong. A probe that is no better "
        "than the kind of step only tells kinds apart. Choosing the best point of a curve by layer flatters "
        "it; the dashed line, whose layer was chosen without the test questions, does not."
    )
    fitted = {name: report for name, report in reports.items() if "auroc" in report}
    shades = arm_colours(found.settings)
    parts = [_probe(name, reports[name], shades[name]) for name in (found.after, found.before)]
    if fitted:
        colours = [shades[name] for name in fitted]
        where = "; ".join(
            f"in {name} the layer chosen most often is {report['layer']}" for name, report in fitted.items()
        )
        figure = figures.probe_by_layer(fitted, colours=colours)
        parts.append(Part("layers", f"By layer: {where}.", figure))
    return Section("probe", "What does a probe see inside?", tuple(parts), reading, limits)


_WITHIN = ("kind", "position", "question", "question and position")


_BASELINES = (
    "position_only", "kind_only", "answer_only", "uncertainty", "text_only", "stack", "entropy_object",
)  # fmt: skip
"""What stands under the probe, in this order; the probe's own page has them all."""


def _probe(name: str, report: dict[str, Any], colour: str) -> Part:
    if "auroc" not in report:
        return Part(f"probe-{name}", f"In {name}, no probe can be fitted.", reason=report["reason"])
    verdict = minus_signs(report["verdict"][:1].lower() + report["verdict"][1:])
    shown = {
        "auroc", "verdict", "meaning", "stack", "fold_draws", "n_steps", "n_errors", "n_questions", "n_folds",
    }  # fmt: skip
    kept = {key: value for key, value in report.items() if key in shown}
    for part, names in (("within", _WITHIN), ("pairs", _WITHIN), ("baselines", _BASELINES)):
        kept[part] = {key: report[part][key] for key in names if key in report[part]}
    figure = figures.probe_bars(kept, colour=colour)
    return Part(f"probe-{name}", f"In {name}, {verdict}", figure)


_COUNTS = {
    "n_steps": "steps",
    "n_errors": "of them erroneous",
    "n_questions": "questions",
    "n_blocks": "blocks of questions and entities",
    "n_folds": "outer folds",
    "n_fits": "fits",
    "n_not_converged": "fits that did not converge",
}


def table(found: Findings) -> Table:
    """For the page's end: counts of both probes, and their chances under the nulls."""
    reports = {name: report for name, report in found.results["probe"].items() if "auroc" in report}
    if not reports:
        return Table("Probes", ("",), ())
    rows = [(label, *(f"{report[key]:,}" for report in reports.values())) for key, label in _COUNTS.items()]
    purged = (percent(report["purged_share"]) for report in reports.values())
    rows.append(("training steps dropped because their claim is in the test fold", *purged))
    for kind in ("redrawn", "permuted"):
        told = (_chance(report["nulls"][kind]) for report in reports.values())
        rows.append((f"p against labels {kind}", *told))
    note = (
        "Redrawn labels keep how many steps of each question, and of each position, length and kind, are "
        "erroneous; permuted ones move only among steps of one question, position, length and kind."
    )
    return Table("Probes", ("", *reports), tuple(rows), note)


def _chance(null: Mapping[str, Any]) -> str:
    value = number(null["p"])
    return f"not computed: {why(null['p'])}" if value is None else f"{value:.3f} ({null['draws']} draws)"
