"""The findings that a study set out to confirm, each with its test, corrected for their number.

The numbers are those of the other analyses. A finding is confirmatory where the plan of today (family,
smallest effects, cells, contrast, judge) was registered before its outcome was known (`core.registration`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mechcot.core.registration import Registration, registrations
from mechcot.core.results import Result, because, keyed
from mechcot.core.words import number, why
from mechcot.stats.inference import ALPHA, detectable_difference, holm, t_test

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

Unit = Literal["points", "bits", "AUROC"]


@dataclass(frozen=True)
class Place:
    """Where a finding's number stands.

    Attributes:
        says: what it is.
        result: the analysis that makes it.
        keys: the way to it in `results/NAME.json`; `{after}` is the arm, `{cells}` the
            audit's.
        outcome: what has to be unknown when it is planned.
        part: the statement of the page that says it; `{after}` as above.
        unit: of the number.
    """

    says: str
    result: str
    keys: tuple[str, ...]
    outcome: str
    part: str
    unit: Unit = "points"


FINDINGS = {
    "answers": Place("right answers, by vote", "answers", ("delta_sc",), "answers", "headline"),
    "steps": Place("wrong steps", "audit", ("delta",), "verdicts", "headline"),
    "calibration": Place("vote share minus share right", "answers", ("delta_gap",), "answers", "calibration"),
    "within": Place("error inside cells", "audit", ("resolutions", "{cells}", "within"), "verdicts", "split"),
    "commitment": Place(
        "own answer at the prompt",
        "commitment",
        ("difference", "differences", "agrees_at_prompt"),
        "verdicts",
        "curves",
    ),
    "probe_bits": Place(
        "bits a step that the probe adds to place, kind and length",
        "probe",
        ("{after}", "beyond", "bits", "gain"),
        "verdicts",
        "probe-{after}",
        "bits",
    ),
    "probe_over_stack": Place(
        "what the probe adds to all simpler things",
        "probe",
        ("{after}", "stack", "gain"),
        "verdicts",
        "probe-{after}",
        "AUROC",
    ),
}
"""By the name that `confirmatory.family` calls them by."""


@dataclass(frozen=True)
class Finding(Result):
    """One finding of the family.

    Attributes:
        name: in the settings.
        says: what it is.
        unit: of estimate, ends and effects; points are fractions here.
        part: the statement of the page that says it.
        confirmatory: whether the plan was registered before the outcome was known.
        estimate: after - before, or what the probe adds.
        low: lower end of its 95 % interval.
        high: upper end.
        family_low: lower end of the interval that covers together with those of the whole family
            (Bonferroni).
        family_high: upper end.
        p: two-sided, Student's t with the interval's standard error and degrees of freedom.
        p_family: corrected for the family (Holm).
        smallest: the smallest effect that matters, as planned.
        detectable: the smallest true effect that this test alone finds at 5 % in 80 of 100 studies.
        reads: what the corrected test and the family's interval allow to be said.
        reason: why a number is None.
    """

    name: str
    says: str
    unit: Unit
    part: str
    confirmatory: bool
    estimate: float | None = field(metadata=because(""))
    low: float | None = field(metadata=because(""))
    high: float | None = field(metadata=because(""))
    family_low: float | None = field(metadata=because(""))
    family_high: float | None = field(metadata=because(""))
    p: float | None = field(metadata=because(""))
    p_family: float | None = field(metadata=because(""))
    smallest: float | None = field(metadata=because(""))
    detectable: float | None = field(metadata=because(""))
    reads: str
    reason: str


@dataclass(frozen=True)
class ConfirmatoryResult(Result):
    """The family of a study's confirmatory findings.

    Attributes:
        registered: by outcome, whether the plan was registered before it was known.
        findings: by name, in the order of the settings.
        alpha: level of the family.
    """

    registered: tuple[Registration, ...] = field(metadata=keyed("outcome"))
    findings: tuple[Finding, ...] = field(metadata=keyed("name"))
    alpha: float = ALPHA

    table = "findings"

    def __repr__(self) -> str:
        told = "; ".join(f"{one.says}: {one.reads}" for one in self.findings)
        return f"ConfirmatoryResult({told or 'no finding was planned'})"


def confirmatory_of(study: Study) -> ConfirmatoryResult:
    """What was to be confirmed, tested and corrected for the number of findings."""
    names = {FINDINGS[name].result for name in study.settings.confirmatory.family}
    results = {name: study.result(name) for name in names}
    return confirm(results, study.settings, registrations(study.path, study.settings))


def confirm(
    results: Mapping[str, Mapping[str, Any]], settings: Settings, registered: Mapping[str, Registration]
) -> ConfirmatoryResult:
    """Test the family's findings.

    Args:
        results: analysis to its JSON, of those that the family needs.
        settings: of the study.
        registered: outcome to whether the plan stood before it.
    """
    family = settings.confirmatory.family
    leaves = [_leaf(results, settings, FINDINGS[name]) for name in family]
    tests = [_test(leaf) for leaf in leaves]
    corrected = holm([test and test[2] for test in tests])
    findings = [
        _finding(name, leaf, test, p, settings, results, registered)
        for name, leaf, test, p in zip(family, leaves, tests, corrected, strict=True)
    ]
    return ConfirmatoryResult(tuple(registered.values()), tuple(findings))


def found(study: Study) -> dict[str, Any]:
    """The same as JSON, for the page and the summary."""
    return confirmatory_of(study).to_json()


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """What was registered when, and each finding's test, for summary.json."""
    kept = ("confirmatory", "estimate", "p", "p_family", "detectable", "reads")
    return {
        "registered_before": {name: one["before"] for name, one in result["registered"].items()},
        "findings": {name: {key: one[key] for key in kept} for name, one in result["findings"].items()},
    }


def _leaf(results: Mapping[str, Any], settings: Settings, place: Place) -> Mapping[str, Any]:
    """The interval of a finding, or `{"reason": why there is none}`."""
    here: Any = results[place.result]
    for key in place.keys:
        name = results["audit"]["cells"] if key == "{cells}" else key.format(after=settings.contrast.after)
        if not isinstance(here, Mapping) or here.get(name) is None:
            told = here.get("reason") if isinstance(here, Mapping) else None
            return {"reason": told or "nothing simpler was known of these steps"}
        here = here[name]
    return dict(here)


_Test = tuple[float, float, float]
"""Standard error, degrees of freedom, p."""


def _test(leaf: Mapping[str, Any]) -> _Test | None:
    estimate, se, freedom = (number(leaf.get(name)) for name in ("estimate", "se", "freedom"))
    if estimate is None or se is None or freedom is None:
        return None
    return se, freedom, t_test(estimate, se, freedom)


def _finding(
    name: str,
    leaf: Mapping[str, Any],
    test: _Test | None,
    p_family: float | None,
    settings: Settings,
    results: Mapping[str, Any],
    registered: Mapping[str, Registration],
) -> Finding:
    place, estimate = FINDINGS[name], number(leaf)
    smallest = float(getattr(settings.confirmatory.smallest, name))
    if name == "probe_bits":
        report = results[place.result].get(settings.contrast.after, {})
        smallest *= _entropy(report) or math.nan
    known = None if math.isnan(smallest) else smallest
    reason = "" if test else why(leaf) or why(leaf.get("low")) or str(leaf.get("reason") or "")
    low, high = _simultaneous(estimate, test, len(settings.confirmatory.family))
    return Finding(
        name=name,
        says=place.says,
        unit=place.unit,
        part=place.part.format(after=settings.contrast.after),
        confirmatory=registered[place.outcome].before,
        estimate=estimate,
        low=number(leaf.get("low")),
        high=number(leaf.get("high")),
        family_low=low,
        family_high=high,
        p=test and test[2],
        p_family=p_family,
        smallest=known,
        detectable=test and detectable_difference(test[0], freedom=test[1]),
        reads=_not_identifiable(name, results) or reads(p_family, estimate, low, high, known),
        reason=reason,
    )


def _simultaneous(estimate: float | None, test: _Test | None, size: int) -> tuple[float | None, float | None]:
    """The interval at 1 - alpha / size; those of the whole family cover together."""
    from scipy.special import stdtrit

    if estimate is None or test is None:
        return None, None
    reach = float(stdtrit(test[1], 1 - ALPHA / (2 * size))) * test[0]
    return estimate - reach, estimate + reach


def _entropy(report: Mapping[str, Any]) -> float | None:
    """Entropy of a probe's labels, bits a step."""
    n, errors = number(report.get("n_steps")), number(report.get("n_errors"))
    if not n or errors is None or not 0 < errors < n:
        return None
    return -sum(share * math.log2(share) for share in (errors / n, 1 - errors / n))


def _not_identifiable(name: str, results: Mapping[str, Any]) -> str | None:
    """Where the within term's sign hangs on a choice, no test of it says anything."""
    told = str(results["audit"]["within_reads"]) if name == "within" else ""
    return told if told.startswith("not") else None


def reads(
    p_family: float | None,
    estimate: float | None,
    low: float | None,
    high: float | None,
    smallest: float | None,
) -> str:
    """What may be said: a direction, that no change matters, or that it is open.

    Args:
        p_family: corrected for the family.
        estimate: of the change.
        low: of the family's interval.
        high: likewise.
        smallest: the smallest effect that matters.
    """
    if p_family is None or estimate is None or low is None or high is None:
        return "not tested"
    small = smallest is not None and -smallest < low and high < smallest
    if p_family <= ALPHA:
        large = smallest is not None and (low > smallest or high < -smallest)
        size = ", more than the smallest that matters" if large else ""
        size = ", less than the smallest that matters" if small else size
        return ("up" if estimate > 0 else "down") + size
    return "no change that matters" if small else "open"
