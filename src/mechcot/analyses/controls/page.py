"""The controls beside the headline, on the page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mechcot.analyses.controls import figures
from mechcot.core.words import direction, listed, points, why
from mechcot.report.parts import Findings, Part, Section


def controls(found: Findings) -> Section:
    """The controls beside the headline."""
    results = {name: found.results["controls"][name] for name in found.settings.controls}
    reading = Markup(
        "A <dfn>control</dfn> is a second comparison, made in the same way, in which the headline's effect "
        "is expected to be absent or to turn round. "
    ) + Markup(" ").join(_told(found, name, result) for name, result in results.items())
    limits = Markup(
        "That nothing else differs between the headline and a control. And no clear change is not the same "
        "as no change: the interval's far end is what can still be true."
    )
    title = "Does it happen where it should not?"
    if not results:
        part = Part("controls", "This study has no controls.", reason="its settings name none", undone=True)
        return Section("controls", title, (part,), reading, limits)
    rows = [{"name": "headline", "answers": found.results["answers"], "audit": found.results["audit"]}]
    rows += [{"name": name, **result} for name, result in results.items()]
    said = [
        f"in the control “{name}” they {_shift(result['audit']['delta'])}" for name, result in results.items()
    ]
    sentence = f"In the headline wrong steps {_shift(found.results['audit']['delta'])}; {listed(said)}."
    return Section("controls", title, (Part("controls", sentence, figures.controls(rows)),), reading, limits)


def _shift(delta: Any) -> str:
    verb = {"up": "rise by", "down": "fall by", "unclear": "show no clear change:"}
    found = direction(delta)
    if found == "unknown":
        return f"cannot be compared ({why(delta)})"
    text = points(delta)
    # the verb carries the sign, the interval keeps its own
    return f"{verb[found]} {text.lstrip('+−') if found in ('up', 'down') else text}"


def _told(found: Findings, name: str, result: dict[str, Any]) -> Markup:
    contrast = result["contrast"]
    arm = found.settings.arms[contrast["after"]]
    taught = (
        Markup(", a student of “{}”").format(arm.distill.examples)
        if arm.distill is not None and contrast["after"] != found.after
        else Markup()
    )
    domain = contrast["domain"]
    return Markup("<b>{name}</b> compares {before} with {after}{taught} on {asked}.").format(
        name=name,
        before=contrast["before"],
        after=contrast["after"],
        taught=taught,
        asked=f"{domain} questions" if domain else "all questions",
    )
