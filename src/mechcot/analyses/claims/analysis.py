"""The ledger: each claim of two papers, measured on a study in a way that holds, and what becomes of it.

A claim *holds* where an interval lies on its side of the value at which nothing happens, is *reversed* where
it lies on the other, and *indistinguishable* where it covers that value. A claim that nothing is there holds
where the whole interval lies within a margin. These are verdicts on two checkpoints, not on the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mechcot.analyses.claims.published import CLAIMS, Published
from mechcot.analyses.judge_controls.study_report import results_of
from mechcot.core.results import Result, keyed
from mechcot.core.words import number, percent, why
from mechcot.probe.incremental import NOT_USED

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Json = Mapping[str, Any]
Verdict = Literal["holds", "reversed", "indistinguishable", "not tested here"]
_READ = ("answers", "audit", "certainty", "scales", "panel", "controls", "coupling", "hedge_words", "probe")
NOT_STEERED = "mechcot hedge STUDY writes without the direction"
SAME = 0.1
"""Correlations smaller than this are no association to speak of."""


@dataclass(frozen=True)
class Measured:
    """What a study says of a claim.

    Attributes:
        leaf: the number, an interval or bounds as JSON values.
        kind: how it is written: `points`, `score` or `change`.
        as_published: the same on this study in the published way, "" where that cannot be done.
        other: what this number is of, where there are several.
        null: in place of the measure's own.
    """

    leaf: Json
    kind: str
    as_published: str = ""
    other: str = ""
    null: float | None = None


@dataclass(frozen=True)
class Measure:
    """How a study measures a claim.

    Attributes:
        way: in words.
        of: `(results, study)` to what it finds, one or several.
        side: 1 or -1, the side of `null` that the claim is on; 0: it says that nothing is there.
        null: the value at which nothing happens.
    """

    way: str
    of: Callable[[Json, Study], Sequence[Measured]]
    side: int = 1
    null: float = 0.0


@dataclass(frozen=True)
class ClaimRow(Result):
    """One claim.

    Attributes:
        name: of the claim; a claim of several numbers has a row for each.
        paper: a word of its title.
        claim: in words.
        published: its number there.
        published_way: how it was measured there.
        as_published: this study's number in that way, "" where that cannot be done here.
        way: how it is measured here.
        estimate: here, as JSON values: an interval, or why there is none.
        kind: how `estimate` is written.
        verdict: what becomes of the claim.
        reason: why it was not tested, else "".
    """

    name: str
    paper: str
    claim: str
    published: str
    published_way: str
    as_published: str
    way: str
    estimate: Json
    kind: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, repr=False)
class ClaimsResult(Result):
    """Each claim of both papers and what a study says of it.

    Attributes:
        claims: in order.
    """

    claims: tuple[ClaimRow, ...] = field(metadata=keyed("name"))

    table = "rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a claim."""
        return [
            {"claim": one.claim, "published": one.published, "as_published": one.as_published}
            | {f"here_{end}": number(one.estimate.get(end)) for end in ("estimate", "low", "high")}
            | {"verdict": one.verdict, "way": one.way, "reason": one.reason}
            for one in self.claims
        ]

    def __repr__(self) -> str:
        told = {verdict: sum(one.verdict == verdict for one in self.claims) for verdict in VERDICTS}
        return f"ClaimsResult({', '.join(f'{n} {verdict}' for verdict, n in told.items() if n)})"


VERDICTS: tuple[Verdict, ...] = ("holds", "reversed", "indistinguishable", "not tested here")


def claims_of(study: Study) -> ClaimsResult:
    """Each claim of both papers, and what this study says of it."""
    results = {name: study.result(name) for name in _READ} | {"judge_controls": results_of(study)}
    asked = study.settings.steering is not None
    results["steering"] = study.result("steering") if asked else _nothing(NOT_STEERED)
    return ClaimsResult(tuple(row for claim in CLAIMS for row in _rows(claim, results, study)))


def found(study: Study) -> dict[str, Any]:
    """The same as JSON values."""
    return claims_of(study).to_json()


def summarised(result: Json, arms: Mapping[str, str]) -> dict[str, Any]:
    """The verdict of every claim, for summary.json."""
    return {name: one["verdict"] for name, one in result["claims"].items()}


def _rows(claim: Published, results: Json, study: Study) -> Iterator[ClaimRow]:
    measure = MEASURES.get(claim.name)
    about = (claim.paper, claim.claim, claim.number, claim.way)
    if measure is None:
        reason = NOT_HERE[claim.name]
        yield ClaimRow(
            claim.name, *about, "", "", {"value": None, "reason": reason}, "", "not tested here", reason
        )
        return
    for one in measure.of(results, study):
        verdict = read(one.leaf, measure.side, measure.null if one.null is None else one.null)
        name, told = claim.name, claim.claim
        if one.other:
            name, told = f"{name}: {one.other}", f"{told} ({one.other})"
        reason = (why(one.leaf) or "there is no interval") if verdict == "not tested here" else ""
        yield ClaimRow(
            name,
            claim.paper,
            told,
            claim.number,
            claim.way,
            one.as_published,
            measure.way,
            dict(one.leaf),
            one.kind,
            verdict,
            reason,
        )


def read(leaf: Json, side: int, null: float) -> Verdict:
    """What becomes of a claim by its interval.

    Args:
        leaf: with `low` and `high`.
        side: on which the claim is; 0 for one that nothing is there.
        null: the value at which nothing happens.
    """
    low, high = number(leaf.get("low")), number(leaf.get("high"))
    if low is None or high is None:
        return "indistinguishable" if why(leaf.get("low")) == NOT_USED else "not tested here"
    if side == 0:
        inside = abs(low - null) < SAME and abs(high - null) < SAME
        apart = low - null >= SAME or high - null <= -SAME
        return "holds" if inside else "reversed" if apart else "indistinguishable"
    toward = (low - null, high - null) if side > 0 else (null - high, null - low)
    return "holds" if toward[0] > 0 else "reversed" if toward[1] < 0 else "indistinguishable"


def _both(results: Json, analysis: str, key: str, write: Callable[[Any], str]) -> str:
    """A number of both arms, before to after."""
    own = results[analysis]
    return " to ".join(write(own[when][key]) for when in ("before", "after"))


def _answers(results: Json, study: Study) -> Sequence[Measured]:
    votes = results["answers"]
    return [Measured(votes["delta_sc"], "points", _both(results, "answers", "sc", percent))]


def _calibration(results: Json, study: Study) -> Sequence[Measured]:
    plain = _both(results, "answers", "ece", lambda value: f"{number(value) or 0.0:.3f}")
    return [Measured(results["answers"]["delta_ece_squared"], "change", plain)]


def _steps(results: Json, study: Study) -> Sequence[Measured]:
    return [Measured(results["audit"]["delta"], "points", _first_traces(study))]


def _first_traces(study: Study) -> str:
    """Step error of the first trace of every question, before to after."""
    asked = set(study.questions(study.settings.contrast.domain).qid)
    rates = []
    for arm in (study.settings.contrast.before, study.settings.contrast.after):
        verdicts = study.verdicts(arm)
        first = verdicts[verdicts.qid.isin(asked) & (verdicts.cid == 0)]
        labels = first.label[first.label.isin(("correct", "erroneous"))]
        if labels.empty:
            return ""
        rates.append(f"{percent(float((labels == 'erroneous').mean()))} of {len(labels):,}")
    return " to ".join(rates)


def _both_right(results: Json, study: Study) -> Sequence[Measured]:
    strata = results["audit"]["strata"]["both"]
    return [Measured(strata, "points")]


def _judge_control(name: str) -> Callable[[Json, Study], Sequence[Measured]]:
    def of(results: Json, study: Study) -> Sequence[Measured]:
        rows = [
            Measured(
                row["error"]["difference"],
                "points",
                other="" if len(results["judge_controls"]) == 1 else judge,
            )
            for judge, result in results["judge_controls"].items()
            for row in result["controls"]
            if row["control"] == name
        ]
        return rows or [Measured(_nothing("mechcot judge-controls STUDY runs this control"), "points")]

    return of


def _panel(results: Json, study: Study) -> Sequence[Measured]:
    panel = results["panel"]
    if "pooled" not in panel:
        return [Measured(_nothing(panel["reason"]), "points")]
    each = [number(judge["delta"]) for judge in panel["judges"].values()]
    ends = [100 * value for value in each if value is not None]
    plain = f"{min(ends):+.1f} to {max(ends):+.1f} points" if ends else ""
    return [Measured(panel["pooled"], "points", plain.replace("-", "−"))]


def _segments(results: Json, study: Study) -> Sequence[Measured]:
    scales = results["scales"]
    return [Measured(scales["scales"]["cloglog_with_length"] if "scales" in scales else scales, "change")]


def _abstention(results: Json, study: Study) -> Sequence[Measured]:
    certainty = results["certainty"]
    bounds = certainty["abstention"]["difference"] if "abstention" in certainty else certainty
    if number(bounds.get("interval_low")) is None:
        return [Measured(bounds, "points")]
    ends = {"low": bounds["interval_low"], "high": bounds["interval_high"]}
    middle = (number(bounds["low"]) or 0.0) + (number(bounds["high"]) or 0.0)
    plain = " to ".join(f"{100 * bounds[end]:+.1f}" for end in ("low", "high")).replace("-", "−")
    return [Measured({"estimate": middle / 2, **ends}, "points", f"{plain} points")]


def _probe(results: Json, study: Study) -> Sequence[Measured]:
    report = results["probe"][study.settings.contrast.after]
    if "auroc" not in report:
        return [Measured(_nothing(report["reason"]), "change")]
    own = f"AUROC {number(report['auroc']) or 0.0:.2f}, not pooled: of pairs inside a fold"
    gain = (
        report["stack"]["gain"]
        if "stack" in report
        else _nothing("there are no simpler things to compare with")
    )
    return [Measured(gain, "change", own)]


def _hedge_ablation(results: Json, study: Study) -> Sequence[Measured]:
    found = results["steering"]
    if "arms" not in found:
        return [Measured(_nothing(found["reason"]), "points")]
    doses = found["arms"][study.settings.contrast.before]["doses"]
    own = next(one for one in doses if one["form"] == "ablate")
    return [Measured(own["shares"]["hedged"]["change"], "points")]


def _hedge_error(results: Json, study: Study) -> Sequence[Measured]:
    found = results["hedge_words"]
    return [Measured(found["change"] if "change" in found else _nothing(found["reason"]), "change")]


def _coupled_domain(results: Json, study: Study) -> Sequence[Measured]:
    domain, margin = study.settings.contrast.domain, study.settings.confirmatory.smallest.steps
    found = [
        Measured(own["audit"]["delta"], "points", other=name, null=margin)
        for name, own in results["controls"].items()
        if own["contrast"]["domain"] != domain
    ]
    return found or [Measured(_nothing("no control asks questions of another domain"), "points")]


def _independence(results: Json, study: Study) -> Sequence[Measured]:
    if "contrasts" not in results["coupling"]:
        return [Measured(results["coupling"], "change")]
    after = results["coupling"]["contrasts"]["headline"]["after"]
    return [Measured(after["phi"], "change", f"{percent(after['right_and_clean'])} of traces: both right")]


def _nothing(reason: str) -> Json:
    return {"value": None, "reason": reason}


MEASURES: Mapping[str, Measure] = {
    "answers": Measure("vote of all traces, paired by question", _answers),
    "calibration": Measure(
        "squared calibration error without the bias of noise, paired by question", _calibration, -1
    ),
    "steps": Measure("all judged steps of all traces, questions left out together", _steps),
    "both_right": Measure("questions that both votes get right, questions left out together", _both_right),
    "tone_swap": Measure(
        "the same judge on rewritten steps, questions left out together", _judge_control("tone-swap")
    ),
    "answer_blind": Measure(
        "the same judge without the answer, on the same steps", _judge_control("answer-blind")
    ),
    "panel": Measure("mean of the judges' differences, questions left out together", _panel),
    "segments": Measure("errors a word on the scale that merging steps does not move", _segments),
    "abstention": Measure("bounds for abstentions, with sampling error around them", _abstention),
    "probe": Measure("what the probe adds to all simpler things together, held-out questions", _probe),
    "hedge_ablation": Measure(
        "hedged claims without the direction minus with it, questions that it was not fitted on",
        _hedge_ablation,
        -1,
    ),
    "hedge_error": Measure(
        "change of AUROC of a hedge for a wrong step, pairs of one question", _hedge_error, -1
    ),
    "coupled_domain": Measure(
        "rise of wrong steps on another domain below the smallest that matters (confirmatory.smallest)",
        _coupled_domain,
        -1,
    ),
    "independence": Measure(
        f"correlation of right and clean traces within ±{SAME}, the arm after", _independence, 0
    ),
}
NOT_HERE: Mapping[str, str] = {
    "wrong_traces": "needs students of right and of wrong traces; no study makes them by itself",
    "ratings": "needs people",
}
