"""Whether other judges and people say the same: the panel, and the sheet that people filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses.panel import figures
from mechcot.core.words import NBSP, counted, direction, listed, number, percent, points, score, why
from mechcot.report.parts import Findings, Part, Table

if TYPE_CHECKING:
    pass

_SEEN = {
    "up": "wrong steps rise",
    "down": "wrong steps fall",
    "unclear": "no clear change",
    "unknown": "nothing that can be compared",
}
_LABELS = {"four": "four labels", "graded": "right, undecided, wrong", "two": "right or wrong"}


def panel(found: Findings) -> Part:
    """The change as each judge sees it, and how far they agree on the steps."""
    result = found.results["panel"]
    if "judges" not in result:
        hint = "; mechcot judge STUDY --judge FILE adds one, and mechcot run STUDY then compares them"
        return Part(
            "judges", "No other judge stands beside this one.", reason=result["reason"] + hint, undone=True
        )
    judges = _own_first(found, result["judges"])
    ways: list[str] = [direction(one["delta"]) for one in judges.values()]
    seen = [
        f"{ways.count(way)} {'sees' if ways.count(way) == 1 else 'see'} {said}"
        for way, said in _SEEN.items()
        if ways.count(way)
    ]
    told = (
        f"All {counted(len(judges), 'judge')} see {_SEEN[ways[0]]}"
        if len(seen) == 1
        else f"Of {counted(len(judges), 'judge')}, {listed(seen)}"
    )
    raw = [percent(result["agreement"][arm]["two"]["raw"]) for arm in (found.before, found.after)]
    sentence = (
        f"{told}; where two of them call a step right or wrong, they say the same of {raw[0]} of "
        f"{found.before}’s steps and {raw[1]} of {found.after}’s."
    )
    table = Table("Agreement of the judges", _AGREEMENT, tuple(_agreement(found, result)), _sentence(result))
    figure = figures.judges({**result, "judges": judges})
    return Part("judges", sentence, figure, tables=(_rates(found, judges), _together(found, result), table))


_AGREEMENT = (
    "model, labels, judges", "steps", "same label", "kappa (Fleiss or Cohen)", "AC1", "alpha",
    "AC2 and alpha, labels in order",
)  # fmt: skip


def _own_first(found: Findings, judges: Mapping[str, Any]) -> dict[str, Any]:
    """The study's own judge first; a file's keys are in the order of the alphabet."""
    own = found.settings.judge.kind
    return {name: judges[name] for name in sorted(judges, key=lambda name: (name != own, name))}


def _rates(found: Findings, judges: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            name,
            *(f"{percent(one[when])} of {_judged(one['counts'][when]):,}" for when in ("before", "after")),
            points(one["delta"]),
            f"{sum(own['api_failure'] + own['parse_failure'] for own in one['counts'].values()):,}",
        )
        for name, one in judges.items()
    )
    head = ("judge", found.before, found.after, "difference [95 % interval]", "calls that failed")
    return Table("Wrong steps, judge by judge", head, rows)


def _judged(counts: Mapping[str, int]) -> int:
    return counts["correct"] + counts["erroneous"]


def _agreement(found: Findings, result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for arm in (found.before, found.after):
        for labels, said in _LABELS.items():
            own = result["agreement"][arm][labels]
            steps = f"{own['n_steps']:,}"
            rows.append(
                (
                    f"{arm}, {said}, all",
                    steps,
                    *(score(own[name]) for name in ("raw", "kappa", "ac1", "alpha")),
                    _ordinal(own),
                )
            )
            rows += [
                (
                    f"{arm}, {said}, {' and '.join(pair['judges'])}",
                    f"{pair['n_steps']:,}",
                    *(score(pair[name]) for name in ("raw", "kappa", "ac1")),
                    "",
                    "",
                )
                for pair in own["pairs"]
                if len(own["pairs"]) > 1
            ]
    return rows


def _ordinal(own: Mapping[str, Any]) -> str:
    """Coefficients that use the order of the labels, where they have one."""
    return " and ".join(score(own["ordinal"][name]) for name in ("ac2", "alpha")) if "ordinal" in own else ""


def _together(found: Findings, result: Mapping[str, Any]) -> Table:
    """The panel's difference: its judges' mean, and what would be behind them if they erred independently."""
    pooled, latent = result["pooled"], result["latent"]
    spread = number(pooled["spread"])
    n = counted(pooled["n_judges"], "judge")
    rows = (
        ("mean of the judges", "", "", points(pooled)),
        (
            "behind the judges, if they err independently",
            *(percent(latent[when]) for when in ("before", "after")),
            points(latent["difference"]) if number(latent["difference"]) is not None else "–",
        ),
    )
    told = (
        f"not known: {why(pooled['spread'])}"
        if spread is None
        else f"by {100 * spread:.1f} points (standard deviation; {n} say little of it)"
    )
    spare = number(latent["spare"])
    model = (
        f"is not given: {why(latent['difference'])}"
        if spare is None
        else "(Dawid and Skene) is for comparison alone: judges with the same taste make the same "
        "mistakes, and what they share is taken for truth; "
        + (
            "three judges just identify it, so that nothing is left to test it by"
            if spare == 0
            else "its assumption is not tested here"
        )
    )
    note = (
        f"Every judge weighs the same; the interval is about these {n}, over questions. Beyond chance their "
        f"differences are apart {told}. The second row {model}."
    )
    head = ("wrong steps", found.before, found.after, "difference [95 % interval]")
    return Table("The judges taken together", head, rows, note)


def _sentence(result: Mapping[str, Any]) -> str:
    note = str(result["note"])
    return f"{note[0].upper()}{note[1:]}. Intervals leave out whole questions."


def people(found: Findings) -> Part:
    """Error rates corrected by people, and how far they agree with the judges."""
    own = found.results["people"]
    judge = own.judge(found.settings.judge.kind)
    if judge is None:
        reason = own.reason or "the sheet says nothing of the study's own judge"
        return Part("people", "No steps were judged by people.", reason=reason, undone=bool(own.reason))
    sheet = own.sheet
    corrected, naive = judge["design"]["difference"], judge["design"]["naive"]
    checked = sheet["n_checked"]
    judged = counted(checked["before"] + checked["after"], "step")
    sentence = (
        f"People judged {judged}; corrected for where they differ from the judge, the change of wrong steps "
        f"is {points(corrected)} (the judge alone: {points(naive)})."
        if number(corrected) is not None
        else f"People judged {judged}, too few to correct the judge: {why(corrected)}."
    )
    return Part("people", sentence, tables=(_corrected(found, sheet), _with_people(found, sheet)))


def _corrected(found: Findings, sheet: Mapping[str, Any]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, judge in _own_first(found, sheet["judges"]).items():
        as_judged = (percent(judge["judged"][when]) for when in ("before", "after"))
        rows.append((f"{name}, as judged", *as_judged, points(judge["design"]["naive"])))
        for key, said in (("design", "design-weighted"), ("prediction", "prediction-powered")):
            three = judge[key]
            rates = (_with_interval(three[when]) for when in ("before", "after"))
            rows.append((f"{name}, {said}", *rates, points(three["difference"])))
    own = sheet["people"]
    alone = (_with_interval(own[when]) for when in ("before", "after"))
    rows.append(("people alone", *alone, points(own["difference"])))
    checked = sheet["n_checked"]
    note = (
        f"{sheet['n_answered']:,} of {sheet['n_items']:,} items judged: {checked['before']:,} steps of "
        f"{found.before}, {checked['after']:,} of {found.after}. Each stands for the steps of its cell of "
        "the draw. Corrected rates concern the steps that the judge called right or wrong."
    )
    head = ("wrong steps", found.before, found.after, "difference [95 % interval]")
    return Table("Error rates corrected by people", head, tuple(rows), note)


def _with_interval(leaf: Any) -> str:
    low, high = (number(leaf[end]) for end in ("low", "high"))
    between = "" if low is None or high is None else f" [{100 * low:.1f},{NBSP}{100 * high:.1f}]"
    return percent(leaf) + between


def _with_people(found: Findings, sheet: Mapping[str, Any]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, judge in _own_first(found, sheet["judges"]).items():
        for part in judge["agreement"]:
            arm = "both models" if part["arm"] == "both" else part["arm"]
            three = (score(part[key]) for key in ("raw", "kappa", "ac1"))
            rows.append((f"{name}, {arm}, {_LABELS[part['labels']]}", f"{part['n_steps']:,}", *three))
    if "pairs" in sheet["retest"]:
        pair = sheet["retest"]["pairs"][0]
        three = (score(pair[key]) for key in ("raw", "kappa", "ac1"))
        rows.append(("people, the same step twice", f"{pair['n_steps']:,}", *three))
    blind = sheet["blinding"]
    note = (
        f"{_sentence(sheet)} Guesses of the model (0: chance, 1: always right): {score(blind['before'])} "
        f"on {found.before}’s steps, {score(blind['after'])} on {found.after}’s."
    )
    head = ("judge, model, labels", "steps", "same label", "kappa (Cohen)", "AC1")
    return Table("Agreement of the judges with people", head, tuple(rows), note)
