"""The stage in which both arms read claims with a hedge and without, where `localisation` is set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.analyses.arms import pair_of
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import NO_TEXTS, there
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_basis, task_of
from mechcot.study.folder import Study

STAGE = "localisation-pairs"


def hedge_pair_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.localisation is None:
        return []
    before, after = pair_of(study)
    weights, outside = checkpoints_of(study, (before, after))
    basis = {"slots": settings.localisation.slots, "contrast": settings.contrast.model_dump(mode="json")}
    return [
        Stage(
            STAGE,
            1,
            basis | task_basis(study),
            (
                "questions.parquet",
                *(f"arms/{before}/{name}.parquet" for name in ("traces", "steps", "claims")),
                f"readings/{before}/{before}",
                *weights,
            ),
            ("hedge-pairs",),
            partial(make, study, progress),
            outside=outside,
            plan=partial(price, study),
        )
    ]


def make(study: Study, progress: bool, work: Path) -> None:
    """Read the pairs with both arms."""
    from mechcot.analyses.hedge_pairs import making

    making.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=progress)


def price(study: Study) -> Expense:
    """What it will take at most, once the texts are there: two texts of each pair, read by both arms."""
    settings, (before, after) = study.settings, pair_of(study)
    asked = settings.localisation
    assert asked is not None  # else there is no stage
    if not there(study, before, "traces", "steps"):
        return Expense(STAGE, None, "passes", tokens_in=None, reason=NO_TEXTS)
    pairs = asked.slots * len(study.questions(settings.contrast.domain))
    passes = 2 * pairs * len({before, after})
    traces = study.traces(before)
    each = traces.prompt_ids.map(len).mean() + traces.token_ids.map(len).mean() / 2
    note = f"{pairs} claims at most, with a hedge and without"
    return Expense(STAGE, passes, "passes", tokens_in=int(passes * each), note=note)
