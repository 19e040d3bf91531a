"""What stands inside, on the page and at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.sub_steps import figures
from mechcot.analyses.sub_steps.analysis import read
from mechcot.analyses.sub_steps.design import PLACES, PROMPT, WRONG
from mechcot.core.words import change, counted, listed, percent, plain_signs, points, wrapped
from mechcot.report.parts import Findings, Part, Table

Json = Mapping[str, Any]
READ = {"yes": "the sub-step", "answer": "its answer alone", "open": "nothing clearly"}
"""What is read, in words."""


def parts(found: Findings) -> tuple[Part, ...]:
    """What is read inside every arm, and whether answers follow what is said."""
    result = found.results["sub_steps"]
    if "decoded" not in result:
        return (Part("inside", "What stands inside is not known.", reason=result["reason"]),)
    tables = (_decoded(result), _beyond(result))
    return (
        Part("inside", inside(result), figures.decoded(result), tables=tables),
        Part("sub-step-swaps", swaps(result), figures.swapped(result), tables=(_swapped(result),)),
    )


def inside(result: Json) -> str:
    """How far the first sub-step is read, before anything is written and behind a wrong trace."""
    name, told = result["decoded"][0]["sub_step"], []
    for place in (PROMPT, WRONG):
        rows = [one for one in result["decoded"] if (one["sub_step"], one["place"]) == (name, place)]
        shares = [f"{one['arm']} {percent(one['beats'])}" for one in rows]
        told.append(
            f"{PLACES[place].capitalize()}, the right {name} scores above a wrong one that no text says in "
            f"{listed(shares)} of pairs"
        )
        apart = [_apart(result, one) for one in rows if "beyond" in one]
        if apart:
            told[-1] += f"; without what the code of its answer tells of it, in {listed(apart)}"
    return f"{'. '.join(told)}. Chance is 50 %."


def _apart(result: Json, one: Json) -> str:
    """How far a sub-step is read beyond its answer, and by how much more than in the arm before."""
    own = one["over"].get(result["before"])
    over = "" if own is None else f" ({points(own['beyond'])} against {result['before']})"
    return f"{one['arm']} {percent(one['beyond'])}{over}"


def swaps(result: Json) -> str:
    """Whether answers follow the first sub-step when it is swapped."""
    name = result["swapped"][0]["sub_step"]
    told = [f"{one['arm']} {percent(one['follows'])}" for one in result["swapped"] if one["sub_step"] == name]
    return f"Behind a trace that ends with a wrong {name}, the answer is what it leads to in {listed(told)}."


# --- tables -----------------------------------------------------------------------------------------


def _others(result: Json) -> list[str]:
    return [result["before"], *result["answers_alone"]]


def _less(result: Json, one: Json, what: str) -> list[str]:
    """An arm less those that it is compared with."""
    own = [one["over"].get(other) for other in _others(result)]
    return ["" if leaf is None else points(leaf[what]) for leaf in own]


def _decoded(result: Json) -> Table:
    rows = [
        (
            f"{one['arm']}: {one['sub_step']}",
            PLACES[one["place"]],
            *(percent(one[key]) for key in ("beats", "words", "untrained")),
            points(one["over_words"]),
            *_less(result, one, "beats"),
            percent(one["beats_said"]) if "beats_said" in one else "",
            ", ".join(map(str, one["layers"])),
        )
        for one in result["decoded"]
    ]
    head = (
        "", "place", "right above wrong", "words alone", "fresh weights", "less words",
        *(f"less {other}" for other in _others(result)), "above what the trace says", "layers",
    )  # fmt: skip
    left = result["n_left_out"]
    note = (
        "Pairs of the right value and a wrong one that no text says. Layers in the order in which folds "
        "chose them."
    )
    if left:
        note += f" {counted(left, 'question')} without enough wrong values that lead to other answers."
    return Table("Right sub-steps inside, with what their answer says of them", head, tuple(rows), note)


def _beyond(result: Json) -> Table:
    rows = [
        (
            f"{one['arm']}: {one['sub_step']}",
            PLACES[one["place"]],
            percent(one["beyond"]) if "beyond" in one else "",
            points(one["beyond_over_words"]) if "beyond" in one else "",
            percent(one["by_answer"]) if "beyond" in one else "",
            *(_less(result, one, "beyond") if "beyond" in one else [""] * len(_others(result))),
            READ[read(one)],
        )
        for one in result["decoded"]
    ]
    head = (
        "", "place", "right above wrong", "less words", "from its answer’s code",
        *(f"less {other}" for other in _others(result)), "what is read",
    )  # fmt: skip
    note = (
        "A value’s code without what the code of its answer tells of it; the last sub-step bears the answer. "
        "What is read: by intervals above chance and above the text’s words."
    )
    return Table("Right sub-steps inside, beyond their answer", head, tuple(rows), note)


def _swapped(result: Json) -> Table:
    rows = [
        (
            f"{one['arm']}: {one['sub_step']}",
            f"{one['n']:,}",
            percent(one["follows"]),
            percent(one["follows_third"]),
            *(change(one[key], 2) for key in ("right", "moved", "control", "gained")),
        )
        for one in result["swapped"]
    ]
    head = (
        "", "questions", "answer follows", "behind a third value", "log-odds behind the right one",
        "change behind the other", "behind a third", "difference",
    )  # fmt: skip
    note = (
        "A trace ends with the sub-step: the right value, another one, or one of another question; what "
        "comes before it is right. Log-odds of the other value’s answer against the right one, nats."
    )
    return Table("Answers behind a sub-step that was swapped", head, tuple(rows), note)


def terminal_text(result: Any) -> str:
    """The result for a terminal."""
    found = result.to_json()
    told = (inside(found), swaps(found))
    tables = (_decoded(found), _beyond(found), _swapped(found))
    return "\n\n".join([*(wrapped(plain_signs(one)) for one in told), *(table.text() for table in tables)])
