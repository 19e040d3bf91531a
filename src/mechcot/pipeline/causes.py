"""The stages that change traces and ask for their answers, an arm each, where `causes` is set."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.analyses.arms import pair_of
from mechcot.core.cause_settings import THOROUGH
from mechcot.core.errors import UsageError
from mechcot.core.plan import Expense
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage
from mechcot.pipeline.plan import NO_TEXTS, calls_expense, no_calls_yet, there
from mechcot.pipeline.step_kinds import kind_files
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, checkpoints_of, task_basis, task_of
from mechcot.study.folder import Study

if TYPE_CHECKING:
    from mechcot.analyses.causes.rewritten import Servers


def cause_stages(study: Study, progress: bool) -> list[Stage]:
    """A stage an arm of the contrast; none where the settings do not ask for it."""
    if study.settings.causes is None:
        return []
    return [*_rewriting(study, progress), *(_stage(study, arm, progress) for arm in pair_of(study))]


def _rewriting(study: Study, progress: bool) -> list[Stage]:
    """The stage in which a server writes steps of both arms anew; none where steps come from other traces."""
    settings = study.settings
    assert settings.causes is not None
    servers = _servers(study)
    if servers is None:
        return []
    weights, outside = checkpoints_of(study, pair_of(study))
    tables = tuple(f"arms/{arm}/{name}.parquet" for arm in pair_of(study) for name in ("traces", "steps"))
    verdicts = tuple(f"arms/{arm}/verdicts/{settings.judge.kind}.parquet" for arm in pair_of(study))
    basis = settings.causes.asks() | {"seed": settings.seed, "contrast": settings.contrast.domain}
    basis |= {"read": settings.reading.traces_per_question} | task_basis(study)
    return [
        Stage(
            REWRITING,
            1,
            basis,
            (
                "questions.parquet",
                *tables,
                *kind_files(study, pair_of(study)),
                *verdicts,
                *weights,
            ),
            (*(f"rewritten/{arm}.parquet" for arm in pair_of(study)), "instruments/rewriter.json"),
            partial(rewrite, study, progress),
            outside=(*servers, *outside),
            plan=partial(price_rewriting, study),
        )
    ]


def _servers(study: Study) -> tuple[Path, Path] | None:
    """The files of rewriter and checker, each read once; None: no server is asked for."""
    from mechcot.judging.judge_file import judge_path, read_judge

    settings = study.settings
    assert settings.causes is not None
    rewriter, checker = settings.causes.rewriter, settings.causes.checker
    if rewriter is None or task_of(study).objects is not None:
        return None
    own = settings.judge.path if settings.judge.kind == "llm" else None
    found = judge_path(rewriter), judge_path(checker or own or rewriter)
    for path in found:
        read_judge(path)  # before hours of sampling, not after them
    return found


def _read_servers(study: Study) -> Servers:
    from mechcot.analyses.causes.rewritten import Servers
    from mechcot.judging.judge_file import read_judge

    files = _servers(study)
    assert files is not None  # else there is no stage
    return Servers(*map(read_judge, files))


def rewrite(study: Study, progress: bool, work: Path) -> None:
    """Have steps written anew; replies cost money and outlive the stage, as verdicts' do."""
    from mechcot.analyses.causes import rewritten

    rewritten.make(study, _read_servers(study), progress=progress)


def price_rewriting(study: Study) -> Expense:
    """What rewriter and checker will take, once the texts are there."""
    kind = f"verdicts/{study.settings.judge.kind}"
    arms = pair_of(study)
    ready = all(there(study, arm, "traces", "steps", kind) for arm in arms)
    if not ready or not all(checkpoint_folder(study, arm).exists() for arm in arms):
        return no_calls_yet(REWRITING, "steps", "the texts and verdicts")
    from mechcot.analyses.causes import rewritten

    n, found, guessed = rewritten.price(study, _read_servers(study))
    row = calls_expense(REWRITING, n, "steps", found)
    return replace(row, note=f"{row.note}; {_GUESSED}") if guessed else row


REWRITING = "causes-rewritten"
_GUESSED = "checks are counted on the steps themselves, as many as a rewriter may write"


def _stage(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = checkpoint_of(study, arm)
    tables = tuple(f"arms/{arm}/{name}.parquet" for name in ("traces", "steps", "claims"))
    tables += kind_files(study, (arm,))
    tables += () if _servers(study) is None else (f"rewritten/{arm}.parquet",)
    dump = settings.model_dump(mode="json")
    assert settings.causes is not None
    names = ("contrast", "sampling", "seed", "threads")
    basis = {name: dump[name] for name in names} | task_basis(study)
    basis["causes"] = settings.causes.basis()
    basis["prompt"] = settings.prompt.whole()
    basis |= {"own sampling": settings.sampling_of(arm).model_dump(mode="json")}
    basis |= {name: dump["reading"][name] for name in ("traces_per_question", "max_tokens")}
    return Stage(
        f"causes-of-{arm}",
        1,
        basis,
        ("questions.parquet", *tables, f"arms/{arm}/verdicts/{settings.judge.kind}.parquet", *own),
        (f"causes/{arm}",),
        partial(make, study, arm, progress),
        outside=outside,
        plan=partial(price, study, arm),
    )


def make(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Change an arm's traces, and ask its weights."""
    from mechcot.analyses.causes.make import make

    make(study, arm, task_of(study), checkpoint_folder(study, arm), work, progress=progress)


def price(study: Study, arm: str) -> Expense:
    """What it will take, once the texts are there."""
    ready = there(study, arm, "traces", "steps", "claims", f"verdicts/{study.settings.judge.kind}")
    if _servers(study) is not None:
        ready = ready and (study.path / "rewritten" / f"{arm}.parquet").exists()
    if not ready or not checkpoint_folder(study, arm).exists():
        return Expense(f"causes-of-{arm}", None, "traces", tokens_in=None, tokens_out=None, reason=NO_TEXTS)
    from mechcot.analyses.causes import make

    return make.price(study, arm, task_of(study), checkpoint_folder(study, arm))


SWAPS, KNOCKOUTS = "swaps", "knockouts"
"""What `mechcot commitment --steps` may ask for."""


def overrides_of(
    settings: Settings, steps: str, *, thorough: bool, rewriter: str | None = None
) -> tuple[str, ...]:
    """What asks a study for it.

    Args:
        settings: of the study.
        steps: SWAPS, or KNOCKOUTS: of readings that hide steps from the answer.
        thorough: all traces and questions that are read, and more continuations.
        rewriter: the file of a server that writes the swaps of whole steps; None: as the settings have it.

    Raises:
        UsageError: neither of the two, or thorough knock-outs: these hide every step that is read.
    """
    if steps not in (SWAPS, KNOCKOUTS):
        raise UsageError(f"--steps is {SWAPS} or {KNOCKOUTS}, not '{steps}'")
    if steps == KNOCKOUTS:
        if thorough or rewriter is not None:
            raise UsageError(
                f"--thorough and --rewriter go with --steps {SWAPS}; knock-outs hide every step that is read"
            )
        return () if settings.reading.knock_out != "none" else ("reading.knock_out=answer",)
    named = () if rewriter is None else (f"causes.rewriter={rewriter}",)
    if thorough:
        asks = rewriter is not None or (settings.causes is not None and settings.causes.rewriter is not None)
        more = {"rewritten": THOROUGH["regenerated"]} if asks else {}  # what is written anew has its swaps
        return (*(f"causes.{key}={value}" for key, value in (THOROUGH | more).items()), *named)
    return named if settings.causes or named else ("causes={}",)
