"""The page of one probe, and the folder in which it lies with its report and card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from mechcot.analyses.probe import figures, worth_figures
from mechcot.core import files, records
from mechcot.core.results import for_figure
from mechcot.core.score_records import SCORES
from mechcot.core.words import number, percent, score, signed, why
from mechcot.probe import ProbeReport, save_card
from mechcot.probe.card import UNNAMED, called
from mechcot.probe.incremental import NOT_USED
from mechcot.probe.report import TABLE, Measure
from mechcot.report import figures as style
from mechcot.report.frame import drawn, template
from mechcot.report.palette import of_arm
from mechcot.report.parts import Part, Section, Table
from mechcot.study.writing import write_beside

_AUROC = Markup(
    "<dfn>AUROC</dfn> says how often a score puts the right one of two steps higher: 0.5 is chance, 1 is "
    "always."
)


_SUBJECTS = (
    "With subjects held out it was fitted without any step about a subject of its test steps; beside it, "
    "with as few steps chosen at random. "
)


def write_probe(report: ProbeReport, folder: Path) -> None:
    """Write `report.json`, `report.html`, `probe.safetensors`, `scores.parquet` and, last, `card.json`.

    Each file appears whole or not at all. The same report gives the same bytes. A study that they lie in
    records them.
    """

    def write() -> None:
        files.write_json(folder / "report.json", report.to_json())
        files.write_text(folder / "report.html", render_probe(report))
        if scored is not None:
            records.write_table(folder / "scores.parquet", scored, SCORES)
        save_card(report, folder)

    scored = scores_of(report)
    more = () if scored is None else ("scores.parquet",)
    names = ("report.json", "report.html", "probe.safetensors", *more, "card.json")
    write_beside(folder, names, write, kind="probe")


def scores_of(report: ProbeReport) -> pd.DataFrame | None:
    """The nested score of every step, of a fold that did not train on it; None where steps have no names."""
    if report.rows is None or not {*records.STEP_KEY, "y"} <= set(report.rows):
        return None
    return report.rows.assign(fold=report.fold, score=report.scores)


def render_probe(result: ProbeReport) -> str:
    """One self-contained page, every text escaped."""
    report, about = for_figure(result), result.card.about
    colour = of_arm(report, report["author"], style.AFTER)
    sections = [_beside(report), _where(report), _chance(report, colour)]
    sections += [_calibrated(report, colour)] if "calibration" in report["metrics"] else []
    sections += [_use(report["use"])] if "use" in report else []
    sections += [_carried(report["transfer"])] if "transfer" in report else []
    sections += [_without(report["ablation"])] if "ablation" in report else []
    source = about.get("source", {})
    who = f"steps of {source['author']}" if "author" in source else "steps as given"
    who += f", read by {source['reader']}" if source.get("reader") else ""
    name = about.get("name", UNNAMED)
    kicker = " · ".join(["mechcot probe", *([] if name == UNNAMED else [name]), who])
    return template("result.html").render(
        tab=called(name),
        kicker=kicker,
        title=f"Can it be read from inside that {report['meaning']}?",
        verdict=report["verdict"],
        cards=_cards(report),
        sections=sections,
        tables=_tables(result, report, about),
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(sections),
    )


def _cards(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    cards = [("Probe", _bare(report["auroc"]), f"AUROC {score(report['auroc'])}")]
    if "stack" in report and "stack" in report["baselines"]:
        alone = report["baselines"]["stack"]["auroc"]
        added = f"the probe added: {_gain(report['stack']['gain'])}"
        cards.append(("Everything simpler, without the probe", _bare(alone), added))
    return cards


def _bare(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else f"{value:.2f}"


def _gain(leaf: Any) -> str:
    value, low, high = number(leaf), number(leaf.get("low")), number(leaf.get("high"))
    if value is None:
        return f"not known ({why(leaf)})"
    if why(leaf.get("low")) == NOT_USED:
        return NOT_USED
    ends = "" if low is None or high is None else f" [{signed(low, 3)}, {signed(high, 3)}]"
    return f"{signed(value, 3)}{ends}"


def _beside(report: Mapping[str, Any]) -> Section:
    reading = Markup(
        "A <dfn>probe</dfn> is a linear rule fitted on a model’s inner state and scored on questions that it "
        "was not fitted on; repeated texts are taken out of its training steps. {auroc} In colour, the "
        "probe: as it is, among steps of one kind, position and so on, and with what simpler things explain "
        "removed. {subjects}In grey, rules that see only those simpler things, on the same folds. The stack "
        "of all of them is the comparator: it was fixed before anything was fitted."
    ).format(auroc=_AUROC, subjects=_SUBJECTS if "subjects" in report else "")
    limits = Markup(
        "That the model uses what the probe reads, or knows that {meaning}. The whiskers hold the fitted "
        "probes fixed: they do not cover fitting once more on other questions."
    ).format(meaning=report["meaning"])
    sentence = f"The probe alone {_bare(report['auroc'])}"
    if "stack" in report:
        alone, both = report["baselines"]["stack"]["auroc"], report["stack"]["with_probe"]
        sentence += f", everything simpler {_bare(alone)}, both together {_bare(both)}"
    part = Part("beside", sentence + ".", figures.probe_bars(report))
    return Section("beside", "Is it better than what is simpler?", (part,), reading, limits)


def _where(report: Mapping[str, Any]) -> Section:
    figure = figures.probe_map(report)
    reading = Markup(
        "Each cell is a probe of its own on the same folds: a <dfn>layer</dfn> (one stage of the model’s "
        "computation; layer 0 has seen the word alone) at one place of the step."
    )
    limits = Markup(
        "That the label is made where it is read best: later layers carry what earlier ones computed. The "
        "best of many cells is flattered by having been picked."
    )
    part = Part("map", str(figure.layout.meta["statement"]) + ".", figure)
    return Section("where", "Where can it be read?", (part,), reading, limits)


def _chance(report: Mapping[str, Any], colour: str) -> Section:
    reading = Markup(
        "Steps of one question, place and kind share much. A null that keeps all of that asks whether the "
        "probe knows more: labels are redrawn so that every question and every combination of position, "
        "length and kind keeps its number of errors, or are moved only inside question, position and kind. "
        "Equal texts move together."
    )
    limits = Markup("How large the effect is: a small one can have a small p.")
    nulls = report["nulls"]
    parts = []
    if any(nulls[key].get("values") for key in ("redrawn", "permuted")):
        figure = worth_figures.probe_null(nulls, colour=colour)
        parts.append(Part("null", str(figure.layout.meta["statement"]) + ".", figure))
    else:
        parts.append(Part("null", "No labels could be drawn.", reason=why(nulls["redrawn"]["p"])))
    if "control_task" in report:
        task = report["control_task"]
        said = (
            f"Where it has met the text before, the same probe scores {_bare(task['task'])} on the true "
            f"labels and {_bare(task['control'])} on labels drawn at random for each of {task['n_types']:,} "
            "texts: that is how far memory of texts alone goes."
        )
        parts.append(Part("control", said))
    return Section("chance", "Could it be chance?", tuple(parts), reading, limits)


def _calibrated(report: Mapping[str, Any], colour: str) -> Section:
    figure = worth_figures.probe_calibration(report["metrics"], colour=colour)
    part = Part("calibration", str(figure.layout.meta["statement"]) + ".", figure)
    reading = Markup(
        "A probability is <dfn>calibrated</dfn> when of the steps that get 30 % about 30 % have the label."
    )
    limits = Markup("How it would be with another share of such steps, or in another model.")
    return Section("calibration", "Can its probabilities be trusted?", (part,), reading, limits)


def _use(use: Mapping[str, Any]) -> Section:
    figure = worth_figures.probe_risk(use)
    parts = (
        Part("risk", str(figure.layout.meta["statement"]) + ".", figure),
        Part("choose", "What the intervals allow to be said.", reason=use["verdict"]),
    )
    reading = Markup(
        "Two uses: to <dfn>abstain</dfn> on the traces that look riskiest, and to <dfn>choose</dfn> among "
        "the traces of a question. Entropy, length and the vote need no probe."
    )
    limits = Markup("That it would do so on other questions, or once a model was trained against the probe.")
    return Section("use", "Does it buy anything?", parts, reading, limits)


def _carried(transfer: Mapping[str, Any]) -> Section:
    figure = worth_figures.probe_transfer(transfer)
    part = Part("transfer", str(figure.layout.meta["statement"]) + ".", figure)
    reading = Markup(
        "Rows are what the probe was trained on, columns what it was tested on: whose steps, read by whom. "
        "Before any claim about two models, look at one text read by both."
    )
    limits = Markup(
        "That two models hold the same thing: a direction may carry over because both see the same words."
    )
    return Section("transfer", "Does it carry over?", (part,), reading, limits)


def _without(found: Mapping[str, Any]) -> Section:
    """What taking the direction out changes; no figure: most of it is nothing."""
    parts = []
    for name, item in found["measures"].items():
        if number(item["p"]) is None:
            continue
        low, high = min(item["random"]), max(item["random"])
        said = (
            f"{item['label'][0].upper()}{item['label'][1:]}: {_gain(item['change'])}; random directions "
            f"{signed(low, 3)} to {signed(high, 3)}, p {item['p']:.3f} ({item['n_items']:,} items of "
            f"{item['n_questions']} questions)."
        )
        parts.append(Part(f"without-{name}", said))
    reading = Markup(
        "The direction is <dfn>ablated</dfn>: taken out of the stream after layer {layer} at every token, "
        "while the model reads the same traces. Beside it, {n} random directions that take out as much."
    ).format(layer=found["layer"], n=found["n_random"])
    limits = Markup("What the model would write without it: the traces are given, not written anew.")
    return Section("without", "Does the model use it?", tuple(parts), reading, limits)


def _tables(result: ProbeReport, report: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[Table, ...]:
    minus = {row.label: _gain(row.probe_minus.to_json()) for row in result.baselines.values()}
    lines = [
        (line.measure, _told(line), minus[line.measure] if line.part == "without the probe" else "")
        for line in result.lines
        if line.part in TABLE
    ]
    if result.stack:
        found = result.stack.added.detectable
        lines.append(
            ("... a gain that such a study would find", "–" if found is None else f"{found:.3f}", "")
        )
    counts = [
        ("steps", f"{report['n_steps']:,}"),
        (
            f"in which {report['meaning']}",
            f"{report['n_errors']:,} ({percent(report['n_errors'] / report['n_steps'])})",
        ),
        ("questions", f"{report['n_questions']:,}"),
        ("blocks of questions and entities", f"{report['n_blocks']:,}"),
        ("training steps dropped because their text is in the test fold", percent(report["purged_share"])),
        ("fits of the probe, over folds and penalties", f"{report['n_fits']:,}"),
        ("fits that did not converge", f"{report['n_not_converged']:,}"),
        ("most iterations of a fit", f"{report['n_iterations']:,}"),
        *_subject_counts(report.get("subjects")),
        *((name.replace("_", " "), f"{n:,}") for name, n in report["dropped"].items()),
    ]
    chosen = [
        (str(fold), str(row["rule"]), str(row["layer"]), f"{row['C']:g}", f"{row['inner_auroc']:.3f}")
        for fold, row in enumerate(report["chosen"])
    ]
    settings = [(key, str(value)) for key, value in about.get("spec", {}).items() if value is not None]
    source = [(key, str(value)) for key, value in about.get("source", {}).items()]
    return (
        Table("All numbers", ("", "AUROC [95 % interval]", "probe minus it"), tuple(lines)),
        Table("What the folds chose", ("fold", "rule", "layer", "C", "inner AUROC"), tuple(chosen)),
        Table("Counts", ("", ""), tuple(counts), " ".join(report["notes"])),
        Table("Specification", ("key", "value"), tuple(settings)),
        Table("Source", ("", ""), tuple(source)),
    )


def _subject_counts(held: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if held is None:
        return []
    return [
        ("subjects", f"{held['n_subjects']:,}"),
        ("steps with a subject", f"{held['n_steps']:,}"),
        ("of these, about a subject met in training", percent(held["seen_share"])),
        ("training steps dropped where subjects are held out", percent(held["purged_share"])),
    ]


def _told(line: Measure) -> str:
    leaf = line.value.to_json()
    if line.is_difference:
        return _gain(leaf)
    value, low, high = number(leaf), number(leaf.get("low")), number(leaf.get("high"))
    if value is None:
        return f"– ({why(leaf)})"
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
