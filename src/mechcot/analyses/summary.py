"""summary.json: the numbers of a study that a program asks for, in one small object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses.registry import RESULTS

if TYPE_CHECKING:
    from mechcot.study.folder import Study

SCHEMA_VERSION = 1
_ANSWERS = ("accuracy", "sc", "ece", "k", "n_questions")
_AUDIT = ("error_rate", "abstain_rate", "not_checkable_rate", "n_steps", "n_judged")
_INTERVAL = ("estimate", "low", "high")
_COMMITMENT = ("locked_at_prompt", "locked_at_first_claim", "never_share")
_KNOWLEDGE = ("knew", "never_knew", "forgot")


def summarise(study: Study, versions: Mapping[str, str]) -> dict[str, Any]:
    """The study's numbers under fixed keys; rates and differences are fractions.

    Keys below `answers`, `audit`, `commitment` and `probe` are the names of the contrast's arms. Below a
    control they are *roles*: the arm before and the arm after stand under the names that these roles have
    in the headline, so that `controls.terse.distilled` is the terse student. A list by layer has layer 0
    (the embedding) first. A number that does not exist is `{"value": null, "reason": ...}`.

    Args:
        study: with all results.
        versions: package to version.

    Raises:
        AnalysisError: a result is missing.
    """
    found = {name: study.result(name) for name in RESULTS}
    contrast = study.settings.contrast
    arms = {"before": contrast.before, "after": contrast.after}
    answers, audit = found["answers"], found["audit"]
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.settings.preset,
        "contrast": contrast.model_dump(mode="json"),
        "seed": study.settings.seed,
        "versions": dict(sorted(versions.items())),
        "answers": {arm: _pick(answers[role], _ANSWERS) for role, arm in arms.items()}
        | {"delta_sc": _pick(answers["delta_sc"], _INTERVAL)},
        "audit": {arm: _pick(audit[role], _AUDIT) for role, arm in arms.items()}
        | {
            "delta": _pick(audit["delta"], _INTERVAL),
            "both_correct": _pick(audit["both_correct"], (*_INTERVAL, "n_questions")),
            "split": _pick(audit["split"], ("common_composition", "common_within", "unshared")),
        },
        "controls": {name: _control(result, arms) for name, result in found["controls"].items()},
        "commitment": {arm: _commitment(found["commitment"], arm) for arm in arms.values()},
        "hedge": _hedge(found["hedge"], contrast.before, contrast.after),
        "probe": {arm: _probe(found["probe"][arm]) for arm in arms.values()},
        "knowledge": _knowledge(found["knowledge"]),
    }


def _pick(source: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: source[name] for name in names}


def _control(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    both = {
        arm: {"sc": result["answers"][role]["sc"], "error_rate": result["audit"][role]["error_rate"]}
        for role, arm in arms.items()
    }
    return both | {"delta_error": _pick(result["audit"]["delta"], _INTERVAL)}


def _missing(reason: str) -> dict[str, Any]:
    return {"value": None, "reason": reason}


def _commitment(result: Mapping[str, Any], arm: str) -> dict[str, Any]:
    if "arms" not in result:
        return {name: _missing(result["reason"]) for name in _COMMITMENT}
    return {name: result["arms"][arm][name]["estimate"] for name in _COMMITMENT}


def _hedge(result: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
    own: Any
    moved: Any
    if "before" in result:
        own, moved = _by_layer(result["before"]), _by_layer(result["after"])
    else:
        own = moved = _missing(result["reason"])
    return {
        before: {"auroc_by_layer": own},
        f"{before}_direction_in_{after}": {"error_auroc_by_layer": moved},
    }


def _by_layer(result: Mapping[str, Any]) -> list[Any]:
    """AUROC of layers 0, 1, ...; a layer that was not kept has a reason in its place."""
    known = {row["layer"]: row["auroc"]["estimate"] for row in result["by_layer"]}
    return [known.get(layer, _missing("this layer was not kept")) for layer in range(max(known) + 1)]


def _probe(report: Mapping[str, Any]) -> dict[str, Any]:
    names = ("layer", "auroc", "position_only", "kind_only", "entropy", "within_kind")
    if "auroc" not in report:
        return {name: _missing(report["reason"]) for name in names}
    baselines = report["baselines"]

    def baseline(name: str) -> Any:
        if name not in baselines:
            return _missing(f"the baseline '{name}' could not be fitted on this study's folds")
        return baselines[name]["auroc"]["estimate"]

    return {
        "layer": report["layer"],
        "auroc": report["auroc"]["estimate"],
        "position_only": baseline("position_only"),
        "kind_only": baseline("kind_only"),
        "entropy": baseline("entropy_end"),
        "within_kind": report["within"]["kind"]["estimate"],
    }


def _knowledge(result: Mapping[str, Any]) -> dict[str, Any]:
    if "errors" not in result:
        return {name: _missing(result["reason"]) for name in _KNOWLEDGE}
    return {name: result["errors"]["shares"][name]["estimate"] for name in _KNOWLEDGE}
