"""Figures of where a hedge is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from mechcot.analyses.localisation.design import ATTENTION, HEAD, MLP, RESID
from mechcot.core.words import number, percent
from mechcot.report.areas import Cell, heat_map
from mechcot.report.charts import Axis, Mark, Row, Span, row_chart
from mechcot.report.figures import AFTER, BEFORE, NULL, tint

Json = Mapping[str, Any]
FRAMED = 0.1
"""Nats below which a patch does too little to be framed."""
LEAST_FULL = 0.2
"""A head that brings back so much of the gap has the full colour, if none brings back more."""
MANY = 8
"""With more heads their columns are called by number alone."""
_SITES = {RESID: "stream", ATTENTION: "attention", MLP: "MLP"}


def stretch(row: Json) -> str:
    """What a stretch of layers is called."""
    layer = number(row["layer"])
    return "norm, unembedding" if layer is None else "embedding" if layer == 0 else f"layer {layer:g}"


def localisation(result: Json, *, title: str | None = None) -> go.Figure:
    """Share of the gap that each stretch of layers adds, both ways, over what matched sets add.

    Args:
        result: `LocalisationResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    rows = []
    for one, other in zip(result["restored"]["increments"], result["removed"]["increments"], strict=True):
        marks = [
            Mark(
                _scaled(row, result[way]["gap"]),
                colour,
                f"{stretch(row)}, {result[way]['donor']} into {result[way]['host']}: {percent(row['share'])}",
                f"{result[way]['donor']} into {result[way]['host']}",
            )
            for row, way, colour in ((one, "restored", BEFORE), (other, "removed", AFTER))
        ]
        null, whole = one["null"], number(result["restored"]["gap"]) or 1.0
        spans: tuple[Span, ...] = ()
        if null is not None:
            low, high = sorted((null["low"] / whole, null["high"] / whole))
            spans = (Span(low, high, tint(NULL, 0.35), 14),)
        rows.append(Row(stretch(one), marks, spans=spans))
    statement = title or "What each layer adds to the way from one checkpoint’s hedging to the other’s"
    caption = (
        f"Share of the gap in the log-odds of a hedge, {result['n_slots']} places of {result['n_questions']} "
        f"questions, 95 % intervals. Grey: what 95 % of {result['n_sets']} sets of other tokens gain, on the "
        f"same scale, {result['restored']['donor']} into {result['restored']['host']}."
    )
    return row_chart(statement, caption, rows, Axis("share of the gap", ".0%", zero=True), apart=0.2)


def _scaled(row: Json, gap: Json) -> Json:
    """An increment in shares of the gap: its interval is scaled, the gap held."""
    whole = number(gap) or 1.0
    found = {key: None if number(row["nats"].get(key)) is None else (number(row["nats"][key]) or 0.0) / whole
             for key in ("estimate", "low", "high")}  # fmt: skip
    if whole < 0 and found["low"] is not None:
        found["low"], found["high"] = found["high"], found["low"]
    return found


def patch_map(result: Json, *, title: str | None = None) -> go.Figure:
    """Every patch of the arm before's states into the arm after: layer by token and part.

    Args:
        result: `LocalisationResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    way = result["restored"]
    keys = list(dict.fromkeys((one["site"], one["back"]) for one in way["cells"] if one["site"] in _SITES))
    order = sorted(keys, key=lambda key: (list(_SITES).index(key[0]), -key[1]))
    layers = sorted({one["layer"] for one in way["cells"]}, reverse=True)
    known = {(one["site"], one["back"], one["layer"]): one for one in way["cells"]}
    whole = number(way["gap"]) or 1.0
    cells = [[_cell(known.get((*key, layer)), whole) for key in order] for layer in layers]
    columns = [_column(site, back) for site, back in order]
    statement = title or (
        f"{way['donor']}’s states put into {way['host']}, one at a time: share of the gap that comes back"
    )
    caption = (
        "Stream: the residual stream behind a layer, at the last token in front of a hedge’s place or so "
        f"many before it; attention and MLP at the last one. "
        f"Framed: {FRAMED} nats and more, outside 95 % of {result['n_sets']} sets."
    )
    names = ["embedding" if layer == 0 else f"layer {layer}" for layer in layers]
    return heat_map(statement, caption, names, columns, cells, BEFORE, ends=(0.0, 1.0))


def head_map(result: Json, *, title: str | None = None) -> go.Figure:
    """Every single attention head of the arm before put into the arm after: layer by head.

    Args:
        result: `LocalisationResult.to_json()`, with heads.
        title: a statement in place of the one read off the numbers.
    """
    way = result["restored"]
    known = {(one["layer"], one["head"]): one for one in way["cells"] if one["site"] == HEAD}
    layers = sorted({layer for layer, _ in known}, reverse=True)
    heads = sorted({head for _, head in known})
    whole = number(way["gap"]) or 1.0
    cells = [[_cell(known.get((layer, head)), whole) for head in heads] for layer in layers]
    best = max(LEAST_FULL, *(number(cell.value) or 0.0 for row in cells for cell in row))
    statement = title or (
        f"Single attention heads of {way['donor']} put into {way['host']}: share of the gap that comes back"
    )
    caption = (
        "What one head writes at the last token in front of a hedge’s place. "
        f"Full colour: {percent(best, 0)}. "
        f"Framed: {FRAMED} nats and more, outside 95 % of {result['n_sets']} sets of other tokens."
    )
    names = [f"layer {layer}" for layer in layers]
    columns = [f"head {head}" if len(heads) <= MANY else str(head) for head in heads]
    return heat_map(
        statement, caption, names, columns, cells, BEFORE, across="attention head", ends=(0.0, best)
    )


def _column(site: str, back: int) -> str:
    if site != RESID:
        return _SITES[site]
    return f"{_SITES[site]}, {f'−{back}' if back else 'last'}"


def _cell(one: Json | None, whole: float) -> Cell:
    if one is None:
        return Cell(None, "", "not patched")
    nats, null = number(one["nats"]) or 0.0, one["null"]
    share = nats / whole
    outside = null is not None and not null["low"] <= nats <= null["high"] and abs(nats) >= FRAMED
    said = percent(round(share, 2) + 0.0, 0)  # no share is minus nothing
    return Cell(round(share, 3), said, f"{percent(share)} of the gap", outside)
