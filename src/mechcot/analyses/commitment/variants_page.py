"""Lead-ins, orders of the options and layers on a page: their figures and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from mechcot.analyses.commitment.variants import ASKED, LITTLE_MASS
from mechcot.core.words import NBSP, Table, bracket, listed, number, percent, points
from mechcot.report.areas import Cell, heat_map
from mechcot.report.charts import Axis
from mechcot.report.curves import Line, line_chart
from mechcot.report.figures import AFTER, BEFORE, Json
from mechcot.report.palette import of_arm
from mechcot.report.parts import Part

_COLOURS = (BEFORE, AFTER)
_DASHES = ("solid", "dash", "dot")
_SHORT = {
    "agrees_at_prompt": "own answer at the prompt",
    "locked_at_prompt": "locked at the prompt",
    "locked_by_count": "locked over 3, spread",
    "locked_before_answer": "locked before the answer",
    "mean_p_own": "mean P(own answer)",
}


def asked_parts(found: Json, lead_texts: Sequence[str] = ()) -> Iterator[Part]:
    """A part for lead-ins, one for orders, one a heat map of layers, each where it was read.

    Args:
        found: `lead_ins`, `lead_in_differences`, `orders` and `depth` as `commitments_of` gives them.
        lead_texts: the texts of the lead-ins, for the tables.
    """
    if "lead_ins" in found:
        yield _lead_ins(found, lead_texts)
    if "orders" in found:
        yield _orders(found["orders"])
    for place, (name, own) in enumerate(found.get("depth", {}).items()):
        yield Part(f"depth-{place}", _deep(name, own), depth_map(own, colour=_COLOURS[place % 2]))


def _lead_ins(found: Json, texts: Sequence[str]) -> Part:
    arms = found["lead_ins"]
    count = len(next(iter(arms.values()))["ways"])
    spread = listed([f"{_wide(own)} ({name})" for name, own in arms.items()])
    said = (
        f"Asked by {count} lead-ins, the probability of the own answer spreads by {spread} at a prefix, on "
        "average."
    )
    if differences := found.get("lead_in_differences"):
        told = [points(row["agrees_at_prompt"]) for row in differences]
        said += f" The change of own answers at the bare prompt, lead-in by lead-in: {listed(told)}."
    few = {
        name: [str(way["number"]) for way in own["ways"] if way["little_mass"]] for name, own in arms.items()
    }
    flagged = [f"{listed(numbers)} ({name})" for name, numbers in few.items() if numbers]
    if flagged:
        said += f" Options hold less than half of the probability after lead-ins {listed(flagged)}."
    return Part("lead-ins", said, way_curves(arms), tables=tuple(_tables(found, texts)))


def _wide(own: Json) -> str:
    """Highest less lowest probability, in points."""
    return f"{100 * (number(own['spread']) or 0.0):.1f}{NBSP}points"


def _orders(arms: Json) -> Part:
    count = len(next(iter(arms.values()))["ways"]) - 1
    spread = listed([f"{_wide(own)} ({name})" for name, own in arms.items()])
    means = [(name, next(way for way in own["ways"] if way["number"] == -1)) for name, own in arms.items()]
    differ = listed([f"{percent(mean['differs'])} ({name})" for name, mean in means])
    said = (
        f"Over {count} orders of the options, the probability of the own answer spreads by {spread} at a "
        "prefix, on average; the mean over orders gives another answer than the question's own order at "
        f"{differ} of prefixes."
    )
    tables = tuple(_table(f"Orders of the options, {name}", own, ()) for name, own in arms.items())
    return Part("orders", said, way_curves(arms), tables=tables)


def _deep(name: str, own: Json) -> str:
    at_prompt = {row["layer"]: row["p_own"] for row in own["cells"] if row["k"] == 0}
    layers = sorted(layer for layer in at_prompt if layer >= 0)
    start, end = at_prompt[layers[0]], at_prompt[-1]
    first = next((layer for layer in layers if at_prompt[layer] >= (start + end) / 2), None)
    where = "no layer that was read" if first is None or end <= start else f"layer {first} of {layers[-1]}"
    return (
        "At the bare prompt, read through the lens, the probability of the own answer goes from "
        f"{percent(start)} at layer {layers[0]} to {percent(end)} at the output ({name}); half of that way "
        f"is passed by {where}."
    )


def way_curves(arms: Json, *, colours: Sequence[str] = _COLOURS, title: str | None = None) -> go.Figure:
    """P(own answer) after each step, a curve a way to ask.

    Args:
        arms: names to `Variants.to_json()`, before first.
        colours: in turn.
        title: a statement in place of the usual.
    """
    what = next(iter(arms.values()))["what"]
    lines = []
    for place, (name, own) in enumerate(arms.items()):
        numbers = [way["number"] for way in own["ways"]]
        for nth, way in enumerate(numbers):
            rows = [row for row in own["by_step"] if row["number"] == way]
            values = [{"estimate": row["p_own"], "low": row["p_low"], "high": row["p_high"]} for row in rows]
            called = "mean over orders" if way == -1 else f"{what} {way}"
            lines.append(
                Line(
                    [row["k"] for row in rows],
                    values,
                    colours[place % len(colours)],
                    f"{name}, {called}",
                    f"{name}, {called}: %{{y:.1%}} after %{{x}} steps",
                    mode="lines",
                    dash=_DASHES[nth % len(_DASHES)] if len(numbers) > 1 else "",
                    band=nth == 0,
                )
            )
    counts = "; ".join(
        f"{name}: {own['n_traces']} traces of {own['n_questions']} questions" for name, own in arms.items()
    )
    caption = f"{counts}. Bands, of the first {what} alone: 95 % intervals over questions, point by point."
    statement = title or f"The own answer, {what} by {what}"
    y = Axis("P(the trace's own answer)", ".0%", ends=(0, 1.02))
    return line_chart(statement, caption, lines, Axis("steps read (0: the prompt alone)", step=1), y)


def way_curve(found: Json) -> go.Figure:
    """The curves of one `Variants.to_json()`."""
    return way_curves({found["author"]: found}, colours=(of_arm(found, found["author"], BEFORE),))


def depth_map(found: Json, *, colour: str | None = None) -> go.Figure:
    """P(own answer) by layer and step.

    Args:
        found: `Depth.to_json()`.
        colour: of certainty; None: that of the author.
    """
    by = {(row["layer"], row["k"]): row for row in found["cells"]}
    layers = sorted({layer for layer, _ in by}, key=lambda layer: (layer < 0, layer), reverse=True)
    steps = sorted({k for _, k in by})
    names = ["output" if layer < 0 else f"layer {layer}" for layer in layers]
    cells = [
        [
            Cell(
                by[layer, k]["p_own"],
                "" if by[layer, k]["p_own"] is None else f"{100 * by[layer, k]['p_own']:.0f} %",
                f"{name} after {k} steps: P(own answer) {percent(by[layer, k]['p_own'])}, first choice "
                f"{percent(by[layer, k]['agrees'])}\n{by[layer, k]['n_p']} traces",
            )
            for k in steps
        ]
        for layer, name in zip(layers, names, strict=True)
    ]
    caption = (
        f"{found['author']} read by {found['reader']}: {found['n_traces']} traces of {found['n_questions']} "
        "questions, at a step those that have so many. Layers are read by the model's own final norm and "
        "head (logit lens): what a layer holds in another form is not seen."
    )
    title, shade = "Commitment in depth and in time", colour or of_arm(found, found["author"], AFTER)
    return heat_map(
        title, caption, names, [str(k) for k in steps], cells, shade, across="steps read", ends=(0, 1)
    )


def _tables(found: Json, texts: Sequence[str]) -> Iterator[Table]:
    for name, own in found["lead_ins"].items():
        yield _table(f"Lead-ins, {name}", own, texts)
    if rows := found.get("lead_in_differences"):
        head = ("lead-in", *_SHORT.values())
        cells = tuple((str(row["number"]), *(points(row[name]) for name in ASKED)) for row in rows)
        yield Table("Difference by each lead-in", head, cells)


def _table(title: str, own: Json, texts: Sequence[str]) -> Table:
    rows = []
    for way in own["ways"]:
        called = "mean of all" if way["number"] == -1 else str(way["number"])
        if 0 <= way["number"] < len(texts):
            called += f": {texts[way['number']]!r}"
        mass = percent(way["raw_mass"]) + (" (little)" if way["little_mass"] else "")
        shown = [_share(way[name]) for name in ASKED]
        rows.append((called, mass, percent(way["differs"]), *shown))
    head = (own["what"], "options hold", "differs from the first", *_SHORT.values())
    note = f"Little: below {100 * LITTLE_MASS:.0f} %; the model would write something else there."
    return Table(title, head, tuple(rows), note)


def _share(leaf: Json) -> str:
    if number(leaf) is None:
        return "–"
    return percent(leaf) + bracket(leaf, lambda end: f"{100 * end:.1f}")
