"""summary.json: the numbers of a study that a program asks for, in one small object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mechcot.analyses import registry

if TYPE_CHECKING:
    from mechcot.study.folder import Study

SCHEMA_VERSION = 1


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
    shown = registry.shown_in(study.settings)
    contrast = study.settings.contrast
    arms = {"before": contrast.before, "after": contrast.after}
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.settings.preset,
        "contrast": contrast.model_dump(mode="json", exclude={"replicates"}),
        "seed": study.settings.seed,
        "versions": dict(sorted(versions.items())),
        **{
            analysis.name: analysis.summary(registry.json_of(analysis, study), arms)
            for analysis in shown.values()
            if analysis.summary is not None
        },
    }
