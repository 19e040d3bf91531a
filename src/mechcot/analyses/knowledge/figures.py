"""Figures of what was known."""

from __future__ import annotations

from itertools import cycle

import plotly.graph_objects as go

from mechcot.core.naming import ARM_COLOURS
from mechcot.core.words import counted, number, percent
from mechcot.report.charts import Axis, Bar, Mark, Row, row_chart
from mechcot.report.figures import AFTER, ARMS, BEFORE, INK, NULL, TEACHER, Json
from mechcot.report.palette import OTHERS, of_arm

_KNOWLEDGE = {"knew": ARMS[3], "forgot": ARMS[4], "learned": TEACHER, "never_knew": NULL}


def knowledge(result: Json) -> go.Figure:
    """What a study has of the two: the list of facts, else the wrong claims.

    Args:
        result: `KnowledgeResult.to_json()`.
    """
    if "arms" in result["facts"]:
        return facts_known(result["facts"] | {ARM_COLOURS: result.get(ARM_COLOURS, {})})
    return knowledge_bars(result["selected_on_error"])


def facts_known(result: Json, *, title: str | None = None) -> go.Figure:
    """What each arm knows of a fixed list, by stratum: bars alone, dots in their place.

    Args:
        result: `FactsResult.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    arms, place = result["arms"], f"in a {result['placed_in']}"
    defaults = zip(arms, cycle((BEFORE, AFTER, *OTHERS)), strict=False)
    colours = {arm: of_arm(result, arm, default) for arm, default in defaults}
    cells = [name for name in arms[result["before"]]["cells"] if not name.startswith("kind: ")]
    rows = []
    for cell in cells:
        for arm, colour in colours.items():
            own = arms[arm]["cells"][cell]
            alone, placed = own["bare"]["known"], own["placed"]["known"]
            said = f"{arm}, {cell}: {percent(alone)} alone, {percent(placed)} {place}"
            name = cell.removeprefix("stratum: ")
            rows.append(
                Row(
                    f"{arm}\n{name}, {own['n_facts']}",
                    marks=[Mark(placed, INK, said, place, "diamond")],
                    bars=[Bar(alone, colour, said)],
                )
            )
    known = {arm: own["cells"]["all"]["bare"]["known"] for arm, own in arms.items()}
    told = ", ".join(f"{arm} {percent(leaf, 0)}" for arm, leaf in known.items())
    caption = (
        f"{counted(result['n_facts'], 'fact')} of {counted(result['n_groups'], 'subject')}. Bar: asked "
        f"alone; diamond: {place}. Known: a true object is first. 95 % intervals over subjects; under each "
        "name: facts."
    )
    x = Axis("share of facts known", ".0%", ends=(0, 1))
    said = title or f"Known of a fixed list, asked alone: {told}"
    return row_chart(said, caption, rows, x, apart=0.13)  # whiskers beside each other


def knowledge_bars(result: Json, *, title: str | None = None) -> go.Figure:
    """What both models knew where the distilled model wrote an error.

    Args:
        result: `SelectedOnError.to_json()`.
        title: a statement in place of the one read off the numbers.
    """
    errors = result["errors"]
    parts = {"all errors": errors} | result["errors_by_relation"] | {"all claims": result["claims"]}
    share = {name: percent(errors["shares"][name], 0) for name in _KNOWLEDGE}
    statement = title or (
        f"Selected on error: of the errors that {result['author']} asserts, neither model knew the truth of "
        f"{share['never_knew']}; {share['learned']} were learned, {share['forgot']} forgotten; "
        f"{share['knew']} both know"
    )
    caption = (
        f"{errors['n_claims']} erroneous asserted claims of {errors['n_questions']} questions. "
        "Known: a true object is the model's first choice at that place. Under each name: claims."
    )
    rows = []
    for name, part in parts.items():
        drawn = [
            Bar(number(part["shares"].get(key)), colour, f"{said}: %{{x:.1%}}", said)
            for key, colour in _KNOWLEDGE.items()
            for said in [key.replace("_", " ")]
        ]
        rows.append(Row(f"{name}\n{part['n_claims']}", bars=drawn))
    x = Axis("share of claims", ".0%", ends=(0, 1))
    return row_chart(statement, caption, rows, x, stacked=True)
