"""The main job: which stages a study has, what each reads and writes, and running them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from mechcot.analyses import registry
from mechcot.core.cluster import refuse_without_ray
from mechcot.core.errors import UsageError
from mechcot.core.no_weights import need_weights
from mechcot.core.plan import Plan
from mechcot.core.registration import remember
from mechcot.core.settings import Settings
from mechcot.core.stages import Stage, check_beside, forget_from, run_stages, versions
from mechcot.models.checkpoint import without_fetching
from mechcot.pipeline.analyses import forget_renamed
from mechcot.pipeline.engine import asked_of, prepare
from mechcot.pipeline.facts import fact_stages
from mechcot.pipeline.kinds import stages_of
from mechcot.pipeline.pinning import pinned
from mechcot.pipeline.plan import plan_stages
from mechcot.pipeline.settings import reading_settings, settings_in
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open, locked, refuse_unfit, unless_refused

if TYPE_CHECKING:
    from mechcot.pipeline.estimate.result import Estimate


def run(
    path: str | Path,
    *,
    config: str | Path | None = None,
    preset: str | None = None,
    seed: int | None = None,
    overrides: tuple[str, ...] = (),
    restart_from: str | None = None,
    rehash: bool = False,
    progress: bool = True,
) -> Study:
    """Make a study, or go on with one: every stage that is not done, and the report.

    Args:
        path: the study's folder; made when it is not there.
        config: settings (YAML); None: the embedded organism, or an existing study's own.
        preset: a named set of defaults (`organism`, `organism-small`, `models`).
        seed: the study's seed, 0 by default.
        overrides: settings of the form `a.b=c`.
        restart_from: a stage to make again with all after it; changed settings are then taken over.
        rehash: read every recorded file again, also those whose size, times and inode are as they were.
        progress: whether to draw bars.

    Returns:
        The study, finished.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    wanted = partial(settings_in, folder, config, preset, seed, overrides)
    return _execute(folder, wanted, lambda stage: True, restart_from, progress, rehash)


def plan(
    path: str | Path,
    *,
    config: str | Path | None = None,
    preset: str | None = None,
    seed: int | None = None,
    overrides: tuple[str, ...] = (),
    restart_from: str | None = None,
) -> Plan:
    """What `run` would do with a study, stage by stage, and what that takes; nothing is run or written.

    A checkpoint on the Hub is not fetched for it: what rests on its tokenizer is unknown until it is there.

    Args:
        path: the study's folder, which may not be there yet; or a settings file, for a new study of it.
        config: as in `run`, like all that follow.
        preset: see there.
        seed: see there.
        overrides: see there.
        restart_from: see there.

    Raises:
        MechcotError: what `run` would refuse before it begins.
    """
    from mechcot.pipeline.estimate.estimate import estimate_of, timed_plan

    with ExitStack() as stack:
        study, found = _planned(stack, path, config, preset, seed, overrides, restart_from)
        unknown = any(row.state != "cached" and row.seconds is None for row in found.rows)
        return timed_plan(found, estimate_of(study, found)) if unknown else found


def foretell(
    path: str | Path,
    *,
    config: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    workers: int | None = None,
) -> Foretold:
    """The plan of a study, and what the stages that are to do are expected to take.

    Args:
        path: as in `plan`.
        config: likewise.
        overrides: likewise.
        workers: that share it; None: those that the settings ask for, or none.
    """
    from mechcot.pipeline.estimate.estimate import estimate_of, timed_plan, workers_of

    with ExitStack() as stack:
        study, found = _planned(stack, path, config, None, None, overrides, None)
        estimate = estimate_of(study, found, workers or workers_of(study.settings.engine))
        return Foretold(timed_plan(found, estimate), estimate)


class Foretold(NamedTuple):
    """What stages there are, and what they are expected to take."""

    plan: Plan
    estimate: Estimate


def _planned(
    stack: ExitStack,
    path: str | Path,
    config: str | Path | None,
    preset: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    restart_from: str | None,
) -> tuple[Study, Plan]:
    """A study that may not be there yet, and its plan; nothing is fetched until the stack ends."""
    stack.enter_context(without_fetching())
    if config is None and Path(path).is_file():
        path, config = stack.enter_context(TemporaryDirectory()), path
    folder = Path(path)
    settings = pinned(folder, settings_in(folder, config, preset, seed, overrides))
    refuse_unfit(folder, settings, restarting=restart_from is not None)
    study = Study(folder, settings)
    return study, plan_stages(folder, stages_of(study), restart_from)


def read(
    path: str | Path,
    *,
    authors: Sequence[str] = (),
    readers: Sequence[str] = (),
    overrides: tuple[str, ...] = (),
    progress: bool = True,
) -> Study:
    """Read the traces of some arms with the weights of some arms; what that needs is made first.

    Analyses are left to the next `run`.

    Args:
        path: the study's folder.
        authors: whose traces; none: all that the settings name.
        readers: by whose weights; none: all that the settings name.
        overrides: settings of the form `a.b=c`; they stay in the study.
        progress: whether to draw bars.

    Returns:
        The study.

    Raises:
        UsageError: the study has no weights.
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    settings = reading_settings(folder, authors, readers, overrides)
    need_weights(folder, settings)
    wanted = {f"read-{author}-by-{reader}" for author, reader in settings.readings(authors, readers)}
    ends = {*_ENDS, *registry.results(settings)}
    apart = (*_BESIDE, *_BEHIND)

    def chosen(stage: Stage) -> bool:
        return stage.name in wanted or not (stage.name.startswith(apart) or stage.name in ends)

    wanted_settings = partial(reading_settings, folder, authors, readers, overrides)
    return _execute(folder, wanted_settings, chosen, None, progress)


_ENDS = ("report", "sheet")
_BEHIND = (
    "read-", "handover-", "weights-", "causes-", "localisation-", "steering-", "forced-traces", "sub-steps",
)  # fmt: skip
"""How stages begin that run models on what a study has."""
_BESIDE = ("judge-", "judge_controls-")
"""Stages that no reading and no list of facts needs: of the last, and by how those of judges begin."""


def teach(
    path: str | Path,
    *,
    config: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    progress: bool = True,
) -> Study:
    """Have a study's teacher write its chains, and make its examples; nothing is trained.

    Args:
        path: the study's folder; made when it is not there.
        config: settings (YAML); None: an existing study's own.
        overrides: settings of the form `a.b=c`.
        progress: whether to draw bars.

    Raises:
        UsageError: the settings name no teacher.
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    wanted = partial(_teaching_settings, folder, config, overrides)
    return _execute(folder, wanted, lambda stage: stage.name.startswith(TEACHING), None, progress)


def plan_teaching(
    path: str | Path, *, config: str | Path | None = None, overrides: tuple[str, ...] = ()
) -> Plan:
    """What `teach` would ask and make; nothing is run, sent or written."""
    folder = Path(path)
    settings = _teaching_settings(folder, config, overrides)
    refuse_unfit(folder, settings, restarting=False)
    stages = [stage for stage in stages_of(Study(folder, settings)) if stage.name.startswith(TEACHING)]
    return plan_stages(folder, stages)


TEACHING = ("questions", "prompts", "teacher", "own-", "examples")
"""Stages up to what students are taught, by the beginnings of their names."""


def take_in(path: str | Path, *, preset: str, overrides: tuple[str, ...], progress: bool = True) -> Study:
    """Make a study of given traces up to their steps; nothing is judged yet (`pipeline.imported`).

    Args:
        path: the new study's folder.
        preset: a named set of defaults.
        overrides: settings of the form `a.b=c`.
        progress: whether to draw bars.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    wanted = partial(settings_in, folder, None, preset, None, overrides)
    return _execute(folder, wanted, lambda stage: stage.name.startswith(_TEXTS), None, progress)


_TEXTS = ("questions", "parity", "given-", "votes", "steps-")
"""Stages up to the steps of given traces, by the beginnings of their names."""


def _teaching_settings(folder: Path, config: str | Path | None, overrides: tuple[str, ...]) -> Settings:
    settings = settings_in(folder, config, None, None, overrides)
    if settings.teacher is None:
        raise UsageError(
            f"{folder}: the settings name no teacher. Write one into the settings file (docs/teacher.md):\n"
            "  teacher: {server: teacher.yaml, questions: {set: medqa}}"
        )
    return settings


def knowledge(path: str | Path, *, pairs: str | Path | None = None, progress: bool = True) -> Study:
    """Ask all arms of a study what they know of its list of facts; what that needs is made first.

    The report is left to the next `run`.

    Args:
        path: the study's folder.
        pairs: a file of pairs (`tasks.pairs`), which stays in the study's settings; None: the list that the
            study has.
        progress: whether to draw bars.

    Returns:
        The study.

    Raises:
        UsageError: the study has no list of facts.
        MechcotError: with what was expected, what came and what to do.
    """
    folder = Path(path)
    Study.open(folder)
    wanted = partial(knowledge_settings, folder, pairs)
    ends = {*_ENDS, *registry.results(wanted())} - {"knowledge"}

    def chosen(stage: Stage) -> bool:
        return stage.name not in ends and not stage.name.startswith(_BESIDE)

    return _execute(folder, wanted, chosen, None, progress)


def knowledge_settings(folder: Path, pairs: str | Path | None) -> Settings:
    """A study's settings with a list of facts.

    Raises:
        UsageError: neither its task nor its settings have one.
    """
    more = () if pairs is None else (f"knowledge.pairs={json.dumps(str(pairs))}",)
    settings = settings_in(folder, None, None, None, more)
    need_weights(folder, settings)
    if not fact_stages(Study(folder, settings), False):
        raise UsageError(
            f"{folder}: its task has no facts of its own; name a file of pairs: --pairs FILE (columns id, "
            "subject, claim, correction, checked)"
        )
    return settings


def plan_knowledge(path: str | Path, pairs: str | Path | None = None) -> Plan:
    """What `knowledge` would ask; nothing is run or written."""
    folder = Path(path)
    Study.open(folder)
    study = Study(folder, knowledge_settings(folder, pairs))
    return plan_stages(folder, fact_stages(study, False))


def hand_over(path: str | Path, *, judge_file: str | Path | None = None, progress: bool = True) -> Study:
    """Add a hand-over to a study: both arms go on from both arms' prefixes (`study.handover()`).

    What is not done yet of the study is made first, and its report anew. The same call again finds it done.

    Args:
        path: the study's folder.
        judge_file: who judges next steps; None: the study's own instrument, or whom its settings name.
        progress: whether to draw bars.

    Raises:
        MechcotError: with what was expected, what came and what to do.
    """
    Study.open(path)
    return run(path, overrides=_handed(judge_file), progress=progress)


def plan_handover(path: str | Path, *, judge_file: str | Path | None = None) -> Plan:
    """What `hand_over` would add to a study: tokens, calls, money. Nothing is run, sent or written.

    Raises:
        MechcotError: what `hand_over` would refuse before it begins.
    """
    Study.open(path)
    return plan_added(path, _handed(judge_file), ("handover",))


def plan_added(path: str | Path, overrides: tuple[str, ...], begins: tuple[str, ...]) -> Plan:
    """What stages take that settings add to a study; nothing where they are done.

    Args:
        path: the study's folder.
        overrides: settings of the form `a.b=c`.
        begins: how the names of these stages begin.

    Raises:
        MechcotError: what `run` would refuse before it begins.
    """
    found = plan(path, overrides=overrides)
    return Plan(tuple(row for row in found.rows if row.what.startswith(begins)), found.notes)


def _handed(judge_file: str | Path | None) -> tuple[str, ...]:
    return ("handover={}",) if judge_file is None else (f"handover.judge={json.dumps(str(judge_file))}",)


def _execute(
    folder: Path,
    wanted: Callable[[], Settings],
    chosen: Callable[[Stage], bool],
    restart_from: str | None,
    progress: bool,
    rehash: bool = False,
) -> Study:
    restarting, new = restart_from is not None, not folder.exists()
    if asked_of(wanted()) is not None:
        refuse_without_ray()
    settings = pinned(folder, wanted())
    refuse_unfit(folder, settings, restarting=restarting)
    planned = stages_of(Study(folder, settings))  # what they refuse is refused before a folder is made
    with locked(folder), ExitStack() as limits:
        limits.enter_context(unless_refused(folder, planned, new=new))
        # Read anew: another process may have held the study until now.
        study = create_or_open(folder, pinned(folder, wanted()), restarting=restarting)
        stages = stages_of(study, progress=progress)
        if restart_from is not None:
            forget_from(folder, stages, restart_from)
            study.save_settings()
            stages = stages_of(study, progress=progress)  # verdicts of steps made again are no inputs
        forget_renamed(folder)
        check_beside(folder, stages, reread=rehash)
        run_stages(
            folder,
            [stage for stage in stages if chosen(stage)],
            versions(),
            reread=rehash,
            prepare=partial(prepare, study, limits),
        )
        remember(folder)  # here, so that a second run writes nothing
    return study
