"""The stage in which the contrast's arms write while hedging is put back, where `steering` is set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.analyses.arms import pair_of
from mechcot.core.errors import AnalysisError
from mechcot.core.plan import Expense
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage
from mechcot.core.steering_settings import THOROUGH
from mechcot.pipeline.plan import NO_TEXTS, there
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_basis, task_of
from mechcot.study.folder import Study

STAGE = "steering-texts"


def steering_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.steering is None:
        return []
    before, after = pair_of(study)
    arms = tuple(dict.fromkeys((before, after)))
    tables = tuple(f"arms/{arm}/{name}.parquet" for arm in arms for name in ("traces", "steps", "claims"))
    verdicts = tuple(f"arms/{arm}/verdicts/{settings.judge.kind}.parquet" for arm in arms)
    weights, outside = checkpoints_of(study, arms)
    dump = settings.model_dump(mode="json")
    basis = {name: dump[name] for name in ("steering", "contrast", "steps", "seed", "threads")}
    basis |= {"prompt": settings.prompt.whole()}
    basis |= {"sampling": settings.sampling_of(after).model_dump(mode="json", exclude={"greedy", "samples"})}
    return [
        Stage(
            STAGE,
            3,
            basis | task_basis(study),
            (
                "questions.parquet",
                *tables,
                *verdicts,
                f"readings/{before}/{before}",
                *weights,
            ),
            ("steering",),
            partial(make, study, progress),
            outside=outside,
            plan=partial(price, study),
        )
    ]


def make(study: Study, progress: bool, work: Path) -> None:
    """Fit the direction, choose layer and strength, and write."""
    from mechcot.analyses.steering import writing

    writing.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=progress)


def price(study: Study) -> Expense:
    """What it will take, once the texts are there."""
    settings, pair = study.settings, pair_of(study)
    asked = settings.steering
    assert asked is not None  # else there is no stage
    kind = settings.judge.kind
    if not all(there(study, arm, "traces", "steps", "claims", f"verdicts/{kind}") for arm in pair):
        return Expense(STAGE, None, "traces", tokens_out=None, reason=NO_TEXTS)
    each = min(asked.questions, len(study.questions(settings.contrast.domain)) // 2) * asked.samples
    edits = len(asked.scales) + 2
    n = each * (len(set(pair)) * edits + asked.random)
    lengths = {arm: study.traces(arm).token_ids.map(len).mean() for arm in pair}
    usual = max(lengths.values())
    prompt = study.traces(pair[0]).prompt_ids.map(len).mean()
    return Expense(
        STAGE,
        n,
        "traces",
        tokens_in=int(each * len(set(pair)) * edits * (prompt + usual)),
        tokens_out=int(n * usual),
        note=f"{edits} edits of each arm and {asked.random} random directions, {each} traces each, about as "
        f"long as {max(lengths, key=lambda arm: lengths[arm])}’s; each edit is also read over as many traces",
    )


def overrides_of(settings: Settings, *, thorough: bool) -> tuple[str, ...]:
    """What asks a study for it: the defaults where its settings do not yet, or a thorough test."""
    if thorough:
        return tuple(f"steering.{key}={value}" for key, value in THOROUGH.items())
    return () if settings.steering else ("steering={}",)


def refusal(study: Study) -> str:
    """Why nothing can be put back in a finished study; "" if it can.

    The study's task cannot check what is written anew, or the arm before hedges too few claims for a
    direction.
    """
    from mechcot.analyses.steering.bench import parts_in, refuse, to_fit

    before = study.settings.contrast.before
    try:
        refuse(study, task_of(study))
        if (study.path / "readings" / before / before).is_dir():
            to_fit(study, before, parts_in(study))
    except AnalysisError as error:
        return str(error)
    return ""
