"""summary.json: the numbers of a study that a program asks for, in one small object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses import registry

if TYPE_CHECKING:
    from mechcot.study.folder import Study

SCHEMA_VERSION = 1
_ANSWERS = ("accuracy", "sc", "ece", "k", "n_questions")
_AUDIT = ("error_rate", "abstain_rate", "not_checkable_rate", "n_steps", "n_judged")
_INTERVAL = ("estimate", "low", "high")


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
    found = {name: study.result(name) for name in registry.results()}
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
        **{
            analysis.name: analysis.summary(found[analysis.name], arms)
            for analysis in registry.ANALYSES
            if analysis.summary is not None
        },
    }


def _pick(source: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _value(source[name]) for name in names}


def _value(leaf: Any) -> Any:
    """A number, or why it is missing; of an interval its estimate."""
    return leaf.get("estimate", leaf) if isinstance(leaf, Mapping) else leaf


def _control(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    both = {
        arm: {"sc": result["answers"][role]["sc"], "error_rate": _value(result["audit"][role]["error_rate"])}
        for role, arm in arms.items()
    }
    return both | {"delta_error": _pick(result["audit"]["delta"], _INTERVAL)}
