"""Knowledge or willingness: what the models know of a fixed list, and of the claims that went wrong.

The list comes first, as no arm chose it; the wrong claims of the later model come second, as they are
selected on error (methods, amendments 26, 32 and 33).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcot.analyses.form import INTERVAL, missing, pick
from mechcot.analyses.knowledge.facts import FactsResult, facts_of
from mechcot.analyses.knowledge.selected import CLASSES, SelectedOnError, selected_of
from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class Missing(Result):
    """A part that the study does not carry, and why."""

    reason: str


@dataclass(frozen=True, repr=False)
class KnowledgeResult(Result):
    """What the arms know.

    Attributes:
        facts: of a fixed list that neither arm wrote, every arm with weights.
        selected_on_error: at the wrong claims of the arm after.
    """

    facts: FactsResult | Missing
    selected_on_error: SelectedOnError | Missing

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row an arm, form and cell of the list; without a list, those of the wrong claims."""
        own = self.selected_on_error if isinstance(self.facts, Missing) else self.facts
        return [] if isinstance(own, Missing) else own.rows

    def __repr__(self) -> str:
        return f"KnowledgeResult({self.facts}; {self.selected_on_error})"


def knowledge_of(study: Study) -> KnowledgeResult:
    """What the models know of facts that neither of them wrote, asked alone and in their place.

    Raises:
        AnalysisError: the study has neither a list of facts nor claims whose truth is known.
    """
    found: list[Any] = []
    for part in (facts_of, selected_of):
        try:
            found.append(part(study))
        except AnalysisError as error:
            found.append(Missing(str(error)))
    facts, selected = found
    if isinstance(facts, Missing) and isinstance(selected, Missing):
        raise AnalysisError("; ".join(dict.fromkeys((facts.reason, selected.reason))))
    return KnowledgeResult(facts, selected)


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """What each arm knows of the list; shares of the wrong claims by what was known, for summary.json."""
    selected = result.get("selected_on_error", result)
    shares = (
        {name: missing(selected["reason"]) for name in CLASSES}
        if "errors" not in selected
        else {name: selected["errors"]["shares"][name]["estimate"] for name in CLASSES}
    )
    facts = result.get("facts", result)
    return shares | {"facts": missing(facts["reason"]) if "arms" not in facts else _list(facts)}


def _list(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of each arm what it knows of all facts in both forms, and what it knows and does not reach."""
    told: dict[str, Any] = {"n_facts": facts["n_facts"], "n_groups": facts["n_groups"]}
    told |= {"placed_in": facts["placed_in"], "coverage": facts["coverage"]}
    arms = {}
    for arm, own in facts["arms"].items():
        cell = own["cells"]["all"]
        arms[arm] = {form: pick(cell[form]["known"], INTERVAL) for form in ("bare", "placed")}
        arms[arm] |= {name: pick(cell[name], INTERVAL) for name in ("gap", "not_reached")}
        for form in ("bare", "placed"):
            if "change" in cell[form]:
                arms[arm][f"{form}_change"] = pick(cell[form]["change"], INTERVAL)
    return told | {"arms": arms}
