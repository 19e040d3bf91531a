"""The design of a study's judge controls: which are wanted, on what, and which cannot be had."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.analyses.judge_controls import registry
from mechcot.analyses.judge_controls.asking import Calls
from mechcot.analyses.judge_controls.control import Control, Items, Setup, reason_against
from mechcot.analyses.judge_controls.controls.again import PRIMARY
from mechcot.analyses.judge_controls.sample import sample_of
from mechcot.core import files
from mechcot.core.errors import StudyError, UsageError
from mechcot.core.manifest import load_manifest
from mechcot.judging.instrument import asked_digest
from mechcot.judging.judge_file import Judge, judge_path, read_judge
from mechcot.study.folder import Study

EXACT = "exact"
"""The name of the exact checker's controls."""
VERSION = 1
"""Of what is judged and kept: another one makes the controls of a study anew."""


@dataclass(frozen=True)
class Wanted:
    """Which controls are wanted, of which judge, on how much of a study.

    Attributes:
        judge_file: the judge whose controls they are; None: the study's own.
        rewriter_file: judge file of who rewrites steps for `tone-swap`; None: that control is left out.
        only: names of controls, or `factor` and `segment` for all of theirs; empty: all.
        questions: how many are sampled; None: all of the contrast's domain.
        traces: of a question and arm.
        decoys: a file of decoys (qid, arm, text, truth); None: mechcot plants its own.
    """

    judge_file: str | Path | None = None
    rewriter_file: str | Path | None = None
    only: tuple[str, ...] = ()
    questions: int | None = None
    traces: int = 1
    decoys: str | Path | None = None


@dataclass(frozen=True)
class Design:
    """The controls to judge.

    Attributes:
        study: whose.
        wanted: what was asked for.
        name: of the judge.
        setup: what all controls start from.
        controls: with their items, the primary first.
        left_out: wanted controls that cannot be had, and why.
    """

    study: Study
    wanted: Wanted
    name: str
    setup: Setup
    controls: tuple[tuple[Control, Items], ...]
    left_out: Mapping[str, str]

    def calls(self, control: Control, **more: Any) -> Calls:
        """How a control's calls are made; a reply that any judge of the study got serves here too."""
        judge = None if self.setup.judge is None else control.changes(self.setup.judge)
        work = self.study.path / "work" / "calls"
        return Calls(self.setup.sample, judge, self.setup.rewriter, control.sample, self.name, work, **more)


def design_of(study: Study, wanted: Wanted) -> Design:
    """Read the judge files, draw the sample and make the items of every control.

    Raises:
        StudyError, UsageError, ConfigError, DataError, AnalysisError: as `run_judge_controls`.
    """
    name, judge = judge_of(study, wanted.judge_file)
    rewriter = None if wanted.rewriter_file is None else read_judge(judge_path(wanted.rewriter_file))
    asked_for = chosen(wanted.only, study.settings.steps.segmenter)
    _refuse_unmade(study)
    decoys = None if wanted.decoys is None else Path(wanted.decoys)
    setup = Setup(sample_of(study, wanted.questions, wanted.traces), judge, rewriter, decoys)
    controls, left_out = [], {}
    for control in asked_for:
        reason = reason_against(control, setup)
        if not reason:
            items = control.items(setup)
            reason = control.nothing if items.table.empty else ""
        if reason:
            left_out[control.name] = reason
        else:
            controls.append((control, items))
    return Design(study, wanted, name, setup, tuple(controls), left_out)


def chosen(only: Sequence[str], segmenter: str) -> tuple[Control, ...]:
    """The controls that are wanted, the primary always among them.

    Args:
        only: names, or `factor` and `segment` for all of theirs; empty: every control.
        segmenter: of the study.

    Raises:
        UsageError: there is no such control.
    """
    known = [control for control in registry.CONTROLS if control.segmenter != segmenter]
    names, families = [control.name for control in known], sorted({c.family for c in known} - {""})
    unknown = [name for name in only if name not in names and name not in families]
    if unknown:
        raise UsageError(
            f"there is no judge control '{unknown[0]}'; there are: {', '.join(names)}; and "
            f"{' and '.join(families)} for all of theirs"
        )
    wanted = {*(only or names), PRIMARY.name}
    return tuple(control for control in known if wanted & {control.name, control.family})


def judge_of(study: Study, file: str | Path | None) -> tuple[str, Judge | None]:
    """The name of a judge's controls, and the judge; None: the exact checker.

    Args:
        study: whose steps are judged.
        file: of the judge; None: the study's own.

    Raises:
        UsageError: the study's verdicts are a table, or the file is called as the exact checker is.
        ConfigError: the judge file cannot be used.
    """
    own = study.settings.judge
    if file is None and own.kind == "exact":
        return EXACT, None
    if file is None and own.kind == "table":
        raise UsageError(
            f"{study.path}: its verdicts come from a table, which cannot be asked again. Name a judge file "
            "with --judge"
        )
    path = judge_path(str(own.path) if file is None else file)
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower() or "judge"
    if name == EXACT:
        raise UsageError(f"{path}: 'exact' is the name of the exact checker; give the judge file another one")
    return name, read_judge(path)


def _refuse_unmade(study: Study) -> None:
    done = load_manifest(study.path)["stages"]
    for arm in (study.settings.contrast.before, study.settings.contrast.after):
        if f"steps-{arm}" not in done:
            raise StudyError(
                f"{study.path}: the arm '{arm}' has no steps yet. Make them: mechcot run {study.path}"
            )


def key_parts(study: Study) -> tuple[int, int]:
    """What of a study's settings decides a sample and its intervals."""
    return study.settings.seed, study.settings.analysis.bootstrap


def key_of(design: Design) -> str:
    """Hash of all that decides what is judged, but for the tables of the study."""
    wanted, setup = design.wanted, design.setup
    parts = [
        VERSION,
        *(None if file is None else asked_digest(file) for file in (setup.judge, setup.rewriter)),
        [control.name for control, _ in design.controls],
        sorted(setup.sample.questions),
        wanted.traces,
        None if setup.decoys is None else files.digest(setup.decoys),
        key_parts(design.study),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
