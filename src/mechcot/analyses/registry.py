"""The stages between the readings and the report: which analyses a study has and what each one reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mechcot.analyses import contrasts
from mechcot.analyses.probe import analysis as probing
from mechcot.core.stages import Stage
from mechcot.pipeline import jobs
from mechcot.study.folder import Study


def analysis_stages(study: Study) -> list[Stage]:
    """The analyses of a study in the order of `report.summary.RESULTS`, each writing `results/NAME.json`."""
    settings = study.settings
    dump = settings.model_dump(mode="json")
    basis = {"contrast": dump["contrast"], "analysis": dump["analysis"], "seed": settings.seed}
    basis["judge"] = dump["judge"]
    cut = tuple(f"arms/{arm}/{name}.parquet" for arm in settings.arms for name in ("traces", "steps"))
    own = tuple(f"arms/{arm}/verdicts/{settings.judge.kind}.parquet" for arm in settings.arms)
    before, after = settings.contrast.before, settings.contrast.after
    readings = tuple(
        f"readings/{author}/{reader}" for author in (before, after) for reader in (before, after)
    )
    inputs = {
        "cut": ("questions.parquet", *cut),
        "judged": ("questions.parquet", *cut, *own),
        "panel": ("questions.parquet", *cut, *own, *_further_verdicts(study)),
    }
    inputs["inside"] = (
        *inputs["judged"],
        *(f"arms/{arm}/claims.parquet" for arm in (before, after)),
        *readings,
    )
    extra = {"controls": {"controls": dump["controls"]}, "segments": {"steps": dump["steps"]}}
    return [
        Stage(
            name,
            version,
            basis | extra.get(name, {}),
            inputs[read],
            (f"results/{name}.json",),
            partial(jobs.analyse, study, name, job),
        )
        for name, version, read, job in _analyses()
    ]


def _analyses() -> list[tuple[str, int, str, Callable[[Study], dict[str, Any]]]]:
    """Name, version of the code, what it reads (a key of the inputs above), and the analysis."""

    def or_reason(analysis: Callable[[Study], Any]) -> Callable[[Study], dict[str, Any]]:
        return lambda study: contrasts.or_reason(lambda: analysis(study))

    return [
        ("answers", 2, "judged", lambda study: contrasts.answers_of(study).to_json()),
        ("audit", 3, "judged", lambda study: contrasts.audit_of(study).to_json()),
        ("inference", 1, "judged", or_reason(lambda study: contrasts.inference_of(study).to_json())),
        ("scales", 1, "judged", or_reason(lambda study: contrasts.error_scales_of(study).to_json())),
        ("segments", 1, "cut", contrasts.segments_json),
        ("margins", 1, "judged", or_reason(lambda study: contrasts.margins_of(study).to_json())),
        ("panel", 1, "panel", or_reason(contrasts.panel_json)),
        ("controls", 3, "judged", contrasts.controls_of),
        ("commitment", 2, "inside", or_reason(contrasts.commitments_of)),
        ("hedge", 2, "inside", or_reason(contrasts.hedge_json)),
        ("probe", 3, "inside", probing.probes_of),
        ("knowledge", 2, "inside", or_reason(contrasts.knowledge_json)),
    ]


def _further_verdicts(study: Study) -> tuple[str, ...]:
    """Verdicts of the contrast's arms by further judges (`mechcot judge`): with them the panel changes."""
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    return tuple(
        f"arms/{arm}/verdicts/{name}.parquet" for name in contrasts.further_instruments(study) for arm in pair
    )
