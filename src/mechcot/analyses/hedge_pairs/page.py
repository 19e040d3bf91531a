"""The same claims with a hedge and without, on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.analyses.hedge_pairs.design import END
from mechcot.analyses.hedge_pairs.result import HedgePairs
from mechcot.core.words import Table, number, p_value, percent, score, wrapped
from mechcot.report.parts import Findings, Part

Json = Mapping[str, Any]


def part(found: Findings) -> Part:
    """What a hedge changes behind the word, in a few sentences and a table."""
    result = found.results["hedge_pairs"]
    if "places" not in result:
        return Part("hedge-pairs", "No claims were written both ways.", reason=result["reason"])
    return Part("hedge-pairs", said(result), tables=(_places(result), _cosines(result)))


def said(result: Json) -> str:
    """Whether what a hedge changes is more than its word, and whether it is what foretells hedges."""
    before = result["before"]
    own = [one for one in result["places"] if (one["arm"], one["position"]) == (before, END)]
    known = [one for one in own if number(one["foretells_rest"]) is not None]
    start = (
        f"{result['n_pairs']} of {before}’s claims were written with a hedge and without, and read behind it."
    )
    if not known:
        return f"{start} Whether that foretells hedges is not known ({own[0]['foretells_rest']['reason']})."
    best = max(known, key=lambda one: number(one["foretells_rest"]) or 0.0)
    sure = (number(best["foretells_rest"]["low"]) or 0.0) > 0.5
    verdict = "still foretells" if sure else "does not foretell"
    return (
        f"{start} At the claim’s end, layer {best['layer']} (the best, picked after looking), "
        f"{percent(best['held'], 0)} of held-out pairs lie on the hedged side, and "
        f"{percent(best['word_share'], 0)} of the direction is the hedge’s own embedding. "
        f"Without that share it {verdict} hedges before they are said: AUROC {score(best['foretells_rest'])}."
    )


def terminal_text(result: HedgePairs) -> str:
    """The same sentences in a terminal."""
    return wrapped(said(result.to_json()))


def _places(result: Json) -> Table:
    rows = tuple(
        (
            f"{one['arm']}, {one['position']}",
            f"{one['layer']}",
            percent(one["held"], 0),
            f"{_short(one['word_in'])} / {_short(one['word_out'])}",
            percent(one["word_share"], 0),
            score(one["foretells"]),
            score(one["foretells_rest"]),
            score(one["errors"]),
        )
        for one in result["places"]
    )
    head = (
        "read by, at", "layer", "held-out pairs", "cosine with embedding / unembedding", "word’s share",
        "foretells hedges", "without the word", "wrong told, without the word",
    )  # fmt: skip
    lost = "; ".join(f"{n:,}: {why}" for why, n in result["lost"].items()) or "none"
    unread = "; ".join(f"{arm}: {why}" for arm, why in result["no_states"].items())
    note = (
        f"{result['n_pairs']} pairs of {result['n_questions']} questions, {result['n_was_hedged']} hedged "
        f"as written; the other form by {result['source']}. Held-out pairs: share on the hedged side of the "
        "direction of the other half of the questions; chance is one half. Behind: the first token that both "
        "texts share behind the hedge. Foretells: AUROC before the place of a hedge, each half by the "
        f"other’s direction. Steps without a pair: {lost}." + (f" Not read: {unread}." if unread else "")
    )
    return Table("The same claims with a hedge and without", head, rows, note)


def _cosines(result: Json) -> Table:
    names = {
        "claims": f"{result['before']}, before hedged claims",
        "arms": f"{result['after']}, same texts",
    }
    rows = tuple(
        (
            names[one["of"]],
            one["position"],
            f"{one['layer']}",
            _short(one["cosine"]),
            f"{one['chance']['low']:.2f} to {one['chance']['high']:.2f}",
            p_value(one["chance"]["p"]),
        )
        for one in result["cosines"]
    )
    head = ("with the direction of", "at", "layer", "cosine", "95 %, texts exchanged", "p")
    return Table(f"Cosines with {result['before']}’s direction of pairs, without the word", head, rows)


def _short(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # nothing is minus nothing
