"""Hedge directions of both arms, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.core.words import Table, number, p_value, score
from mechcot.report.parts import Findings, Part

Json = Mapping[str, Any]


def part(found: Findings) -> Part:
    """What both arms' directions have to do with one another, in one sentence and a table."""
    result = found.results["hedge_across"]
    if "layers" not in result:
        return Part(
            "hedge-across",
            "Directions of both arms cannot be set beside each other.",
            reason=result["reason"],
        )
    told = f"{alike(result)} {errors(result)}{steered(result)}"
    return Part("hedge-across", told, tables=(_layers(result), *_reads(result)))


def alike(result: Json) -> str:
    """Whether both arms' own directions are alike."""
    before, after = result["before"], result["after"]
    known = [one for one in result["layers"] if number(one["cosine"]) is not None]
    if not known:
        return f"{before} and {after} have no two directions to compare ({result['layers'][0]['reason']})."
    best = max(known, key=lambda one: abs(number(one["cosine"]) or 0.0))
    value, null = number(best["cosine"]) or 0.0, best["shuffled"]
    ceilings = [number(best[f"{role}_halves"]) for role in ("before", "after")]
    own = " and ".join("–" if one is None else f"{one:.2f}" for one in ceilings)
    sure = "beyond" if null["p"] <= 0.05 else "not beyond"
    return (
        f"The hedge directions of {before} and {after} have a cosine of {value:.2f} at layer "
        f"{best['layer']}, the largest, {sure} refits on shuffled labels ({_range(null)}, "
        f"{p_value(null['p'])}); the directions of an arm’s own two halves have {own}."
    )


def errors(result: Json) -> str:
    """What the arm before's direction says of wrong and right asserted claims, in both arms."""
    said = []
    for part in (result["errors"]["before"], result["errors"]["after"]):
        rows = [row for row in part["by_layer"] if number(row["auroc"]) is not None]
        if not rows:
            said.append(f"not known in {part['arm']} ({part['reason']})")
            continue
        best = max(rows, key=lambda row: number(row["auroc"]) or 0.0)
        said.append(f"{score(best['auroc'])} in {part['arm']} at layer {best['layer']}, the best")
    start = f"AUROC of wrong against right asserted claims along {result['before']}’s direction"
    return f"{start}: {'; '.join(said)}."


def steered(result: Json) -> str:
    """How far the direction that reads best is the one that was steered with."""
    if not result["steered"]:
        return ""
    first = result["steered"][0]
    named = {"means": "difference of means"}.get(first["read_form"], first["read_form"])
    told = [
        f"{one['cosine']:.2f} in {one['arm']} (layer {one['steer_layer']}; random directions "
        f"{one['random']['low']:.2f} to {one['random']['high']:.2f})"
        for one in result["steered"]
    ]
    return (
        f" The direction that foretells {result['before']}’s hedges best ({named}, layer "
        f"{first['read_layer']}) has with the one that was steered with a cosine of {' and '.join(told)}."
    )


def _layers(result: Json) -> Table:
    told = [
        {row["layer"]: row["auroc"] for row in result["errors"][role]["by_layer"]}
        for role in ("before", "after")
    ]
    rows = tuple(
        (
            f"{one['layer']}",
            _short(one["cosine"]),
            _range(one["shuffled"]),
            _range(one["random"]),
            f"{_short(one['before_halves'])} / {_short(one['after_halves'])}",
            *("–" if one["layer"] not in own else score(own[one["layer"]]) for own in told),
        )
        for one in result["layers"]
    )
    head = (
        "layer", "cosine of both arms’", "95 %, shuffled labels", "95 %, random directions",
        "cosine of own halves", f"wrong told in {result['before']}", f"wrong told in {result['after']}",
    )  # fmt: skip
    counts = ", ".join(
        f"{own['arm']}: {own['n_hedged']} hedged and {own['n_asserted']} asserted claims"
        + (f" ({own['reason']})" if own["reason"] else "")
        for own in (result["own"]["before"], result["own"]["after"])
    )
    note = (
        f"Own directions: {counts}. Wrong told: AUROC along {result['before']}’s direction, asserted claims."
    )
    if result["no_steered"]:
        note += f" The direction that reads best beside one steered with: {result['no_steered']}."
    return Table("Hedge directions of both arms", head, rows, note)


def _reads(result: Json) -> tuple[Table, ...]:
    if not result["reads"]:
        return ()
    rows = tuple(
        (
            one["arm"],
            f"{one['layer']}",
            f"{one['cosine']:.2f}",
            f"{one['low']:.2f} to {one['high']:.2f}",
            " ".join(one["tokens"]),
        )
        for one in result["reads"]
    )
    head = (
        "direction of",
        "layer",
        "cosine with the hedge’s unembedding",
        "95 % of random ones",
        "stands for",
    )
    return (Table("What each direction says by itself", head, rows),)


def _short(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else f"{value:.2f}"


def _range(null: Json | None) -> str:
    return "–" if null is None else f"{null['low']:.2f} to {null['high']:.2f}"
