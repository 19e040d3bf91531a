"""Where in the weights the changes sit, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechcot.analyses.weights import figures
from mechcot.analyses.weights.result import WeightsResult
from mechcot.analyses.weights.wording import OUTCOMES, SWAPPED, amount, placed, said, same_place, sentence
from mechcot.core.words import Table, change, number, score, signed, starred, wrapped
from mechcot.report.parts import Findings, Part, Section, nothing

_GROUPS = "The change shared out over groups of units: a mean over all orders of putting them in."
_TITLE = "Where in the weights does the change sit?"


def section(found: Findings) -> Section:
    """Units swapped between the checkpoints, the line between them, and how far each part moved."""
    result = found.results["weights"]
    if "effects" not in result:
        return nothing("weights", _TITLE, "The change was not looked for in the weights.", result["reason"])
    outcomes = list(dict.fromkeys(one["outcome"] for one in result["changes"]))
    effects, places, shapley, line, drift = tables(result)
    head = f"{placed(result)}. {same_place(result)}"
    parts = (
        Part("weights", head, figures.weights_map(result, title=placed(result)), tables=(places, effects)),
        *(Part(f"weights-{outcome}", sentence(result, outcome)) for outcome in outcomes),
        Part("weights-groups", _GROUPS, tables=(shapley,)),
        Part("weights-line", _line(result), figures.weights_line(result), tables=(line,)),
        Part("weights-drift", "How far each part has moved, whatever that does.", tables=(drift,)),
    )
    reading = Markup(
        "A <dfn>unit</dfn> is the embedding, the attention or the MLP of a layer, or all norms. One unit’s "
        "change is put alone into {before}: it is <dfn>sufficient</dfn> for the share of the whole change "
        "that this brings, in that background. Or it alone is taken out of {after}: it is "
        "<dfn>necessary</dfn> for the share that this takes away. Beside each stands what random changes "
        "do that have the same singular values in random directions. A unit is called a place only beyond "
        "these, and ahead of every other unit. All models read the same texts, of both authors."
    ).format(before=found.before, after=found.after)
    limits = Markup(
        "That a unit causes a share of the change: effects of units do not add up, and what one does hangs "
        "on all others. Where several units do it together there is no place, and none is named. A random "
        "change of the same size is no change that training could have made. Texts are fixed: what hybrids "
        "would write themselves is not asked."
    )
    return Section("weights", _TITLE, parts, reading, limits)


def _line(result: Mapping[str, Any]) -> str:
    return (
        f"On the straight line between {result['before']} and {result['after']}, five points: a bend or a "
        "rise before the end says that the change is not the sum of small steps."
    )


def tables(result: Mapping[str, Any]) -> tuple[Table, Table, Table, Table, Table]:
    """Effects of units, places, groups, line and drift.

    Args:
        result: `WeightsResult.to_json()`.
    """
    return _effects(result), _places(result), _shapley(result), _points(result), _drift(result)


def _named(row: Mapping[str, Any]) -> tuple[str, str]:
    return OUTCOMES[row["outcome"]].short, row["author"]


def _effects(result: Mapping[str, Any]) -> Table:
    names = {"before": result["before"], "after": result["after"]}
    rows = tuple(
        (
            *_named(one),
            one["unit"],
            SWAPPED[one["background"]].format(**names),
            said(one),
            _share(one["share"]),
            "yes" if one["outside"] else "no",
            f"{score(one['kl_before'])} / {score(one['kl_after'])}",
        )
        for one in result["effects"]
    )
    head = (
        "outcome",
        "text of",
        "unit",
        "swapped",
        "effect, random changes",
        "% of change",
        "outside",
        "KL from both",
    )
    note = (
        f"{result['n_models']} models, {result['draws']} random changes of each unit and background; the "
        "null holds one more draw in all but .05 / units of cases. KL: mean over tokens of KL(checkpoint, "
        f"model) in nats, from {result['before']} / from {result['after']}."
    )
    return Table("What each unit does alone", head, rows, note)


def _share(leaf: Any) -> str:
    value = number(leaf)
    return "–" if value is None else signed(100 * value, 0)


def _places(result: Mapping[str, Any]) -> Table:
    names = {"before": result["before"], "after": result["after"]}
    rows = tuple(
        (
            *_named(one),
            SWAPPED[one["background"]].format(**names),
            one["unit"] or "none",
            one["why"] or f"ahead of the next by {amount(one['outcome'], one['ahead']).lstrip('+')}",
        )
        for one in result["places"]
    )
    return Table("Places", ("outcome", "text of", "", "unit", "why"), rows)


def _shapley(result: Mapping[str, Any]) -> Table:
    rows = [(*_named(one), one["group"], change(one["value"], 3), "exact") for one in result["shapley"]]
    rows += [
        (*_named(one), one["group"], change(one["value"], 3), _error(one["order_error"]))
        for one in result["orders"]
    ]
    groups = "; ".join(f"{name}: {', '.join(units)}" for name, units in result["groups"].items())
    note = f"Shapley values: they add up to the whole change. Groups: {groups}."
    return Table(
        "Shared out over groups", ("outcome", "text of", "group", "value", "over orders"), tuple(rows), note
    )


def _error(leaf: Any) -> str:
    value = number(leaf)
    return "sampled" if value is None else f"sampled, ± {value:.3f}"


def _points(result: Mapping[str, Any]) -> Table:
    rows = tuple((*_named(one), f"{one['share']:.2f}", change(one["value"], 3)) for one in result["line"])
    return Table("Between the checkpoints", ("outcome", "text of", "share of the way", "value"), rows)


_DRIFT = {
    "relative_change": "relative norm of the change",
    "effective_rank": "effective rank of the change",
    "cka": "CKA of the residual stream",
    "lens": "total variation of forced answers read off the layer",
}


def _drift(result: Mapping[str, Any]) -> Table:
    def told(leaf: Any) -> str:
        value = number(leaf)
        return "–" if value is None else f"{value:.3g}"

    rows = tuple(
        (
            _DRIFT[one["what"]],
            f"layer {one['place']}" if one["what"] in ("cka", "lens") else one["place"],
            told(one["value"])
            + ("" if number(one["low"]) is None else f" [{told(one['low'])}, {told(one['high'])}]"),
            told(one["null"]),
            told(one["random"]),
        )
        for one in result["drift"]
    )
    note = (
        "Compared with: of the norm, that of the whole model; of the rank, noise of the same shapes; of "
        "CKA (at the ends of steps, 1: alike but for rotation and scale), unrelated steps; of the answers, "
        "those of the models themselves. A layer is read through the model’s own final norm and head."
    )
    return Table(
        "How far parts moved", ("", "of", "value", "compared with", "random changes of all units"), rows, note
    )


def terminal_text(result: WeightsResult) -> str:
    """What fits a terminal: each change with its place in either background, and what moved most."""
    found = result.to_json()
    units = {(one["outcome"], one["author"], one["background"]): one["unit"] for one in found["places"]}
    rows = tuple(
        (
            *_named(one),
            starred(amount(one["outcome"], one["change"])),
            *(units[one["outcome"], one["author"], background] or "none" for background in SWAPPED),
        )
        for one in found["changes"]
    )
    table = Table("", ("change in", "text of", "whole change", "put in", "taken out"), rows)
    moved = [one for one in found["drift"] if one["what"] == "relative_change"]
    most = max(moved, key=lambda one: number(one["value"]) or 0.0)
    told = (
        f"{same_place(found)} A unit is named where its change alone, put into {found['before']} or taken "
        f"out of {found['after']}, does more than random changes of its size and than every other unit. "
        f"{most['place']} moved most: by {number(most['value']):.2f} of its norm (the whole model: "
        f"{number(most['null']):.2f}). Why there is none, each unit's effect, groups, line and drift stand "
        "in the report. *: no interval."
    )
    return f"{table.text()}\n\n{wrapped(told)}"
