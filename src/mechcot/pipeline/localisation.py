"""The stage that patches states between the contrast's checkpoints, where `localisation` is set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.analyses.arms import pair_of
from mechcot.core.localisation_settings import THOROUGH
from mechcot.core.plan import Expense
from mechcot.core.settings import Settings
from mechcot.core.sites import layers_of
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import NO_TEXTS, there
from mechcot.steps.of_study import checkpoint_folder, checkpoints_of, task_basis, task_of
from mechcot.study.folder import Study

STAGE = "localisation-patches"


def localisation_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage; none where the settings do not ask for it."""
    settings = study.settings
    if settings.localisation is None:
        return []
    before, after = pair_of(study)
    weights, outside = checkpoints_of(study, (before, after))
    dump = settings.model_dump(mode="json")
    basis = {name: dump[name] for name in ("localisation", "contrast", "seed", "threads")}
    return [
        Stage(
            STAGE,
            3,
            basis | task_basis(study),
            (
                "questions.parquet",
                *(f"arms/{before}/{name}.parquet" for name in ("traces", "steps", "claims")),
                f"arms/{after}/claims.parquet",
                *(f"readings/{arm}/{arm}" for arm in dict.fromkeys((before, after))),
                *weights,
            ),
            ("localisation",),
            partial(make, study, progress),
            outside=outside,
            plan=partial(price, study),
        )
    ]


def make(study: Study, progress: bool, work: Path) -> None:
    """Patch both ways."""
    from mechcot.analyses.localisation import making

    making.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=progress)


def price(study: Study) -> Expense:
    """What it will take, once the texts and weights are there."""
    from mechcot.analyses.localisation.design import WAYS, runs_of

    settings, (before, _) = study.settings, pair_of(study)
    asked, folder = settings.localisation, checkpoint_folder(study, before)
    assert asked is not None  # else there is no stage
    if not there(study, before, "traces", "claims") or not folder.exists():
        return Expense(STAGE, None, "passes", tokens_in=None, reason=NO_TEXTS)
    from mechcot.models.weights import load_config

    config = load_config(folder, trust_remote_code=settings.arms[before].trust_remote_code)
    depth = int(config.get_text_config().num_hidden_layers)
    questions = set(study.questions(settings.contrast.domain).qid)
    claims = study.claims(before)
    counts = claims[claims.qid.isin(questions)].groupby("qid").size().clip(upper=asked.slots)
    slots = int(counts.sum()) if len(claims) else asked.slots * len(questions)  # by rules, at most
    heads = getattr(config.get_text_config(), "num_attention_heads", 0) if asked.heads else 0
    runs = sum(len(runs_of(layers_of(depth, asked.layers), asked.tokens, way, heads)) + 2 for way in WAYS)
    traces = study.traces(before)
    behind = claims.tok_decision.mean() if len(claims) else traces.token_ids.map(len).mean() / 2
    each = traces.prompt_ids.map(len).mean() + behind
    note = f"{runs} passes over each of {slots} places of hedges, up to where the hedge would stand"
    return Expense(STAGE, runs * slots, "passes", tokens_in=int(runs * slots * each), note=note)


def overrides_of(settings: Settings, *, thorough: bool) -> tuple[str, ...]:
    """What asks a study for it: the defaults where its settings do not yet, or a thorough search."""
    if thorough:
        return tuple(
            f"localisation.{key}={'null' if value is None else value}" for key, value in THOROUGH.items()
        )
    return () if settings.localisation else ("localisation={}",)
