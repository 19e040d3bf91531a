"""What is to be done: the controls that are wanted of a study's judge, and those that cannot be had."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mechcot.analyses.judge_controls.items import Control, control_of
from mechcot.analyses.judge_controls.names import chosen, names, reason_against
from mechcot.analyses.judge_controls.sample import Sample, sample_of
from mechcot.core import files
from mechcot.core.errors import StudyError, UsageError
from mechcot.core.manifest import load_manifest
from mechcot.judging.instrument import asked_digest
from mechcot.judging.judge_file import Judge, read_judge
from mechcot.study.folder import Study

EXACT = "exact"
"""The name of the exact checker's controls."""
VERSION = 1
"""Of what is judged and kept: another one makes the controls of a study anew."""

_NOTHING = {
    "hedge-flip": "no step holds a claim that a hedge can be put into or taken out of",
    "decoy": "no step lends its words: a decoy needs a step that states an answer and nothing else",
}


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
class Job:
    """The controls to judge.

    Attributes:
        study: whose.
        wanted: what was asked for.
        name: of the judge.
        judge: the primary instrument; None: the exact checker.
        rewriter: who rewrites steps, if anybody does.
        sample: what is judged.
        controls: the primary first.
        left_out: wanted controls that cannot be had, and why.
    """

    study: Study
    wanted: Wanted
    name: str
    judge: Judge | None
    rewriter: Judge | None
    sample: Sample
    controls: tuple[Control, ...]
    left_out: Mapping[str, str]


def job_of(study: Study, wanted: Wanted) -> Job:
    """Read the judge files, draw the sample and make the items of every control.

    Raises:
        StudyError, UsageError, ConfigError, DataError, AnalysisError: as `run_judge_controls`.
    """
    name, judge = _judge(study, wanted.judge_file)
    rewriter = None if wanted.rewriter_file is None else read_judge(Path(wanted.rewriter_file))
    known = names(study.settings.steps.segmenter)
    asked_for = chosen(wanted.only, known)
    _refuse_unmade(study)
    sample = sample_of(study, wanted.questions, wanted.traces)
    decoys = None if wanted.decoys is None else Path(wanted.decoys)
    controls, left_out = [], {}
    for control_name in asked_for:
        reason = reason_against(control_name, judge, rewriter, sample)
        if reason is None:
            control = control_of(control_name, sample, judge, decoys)
            reason = _NOTHING.get(control_name, "no step can be judged") if control.items.empty else None
        if reason is None:
            controls.append(control)
        else:
            left_out[control_name] = reason
    return Job(study, wanted, name, judge, rewriter, sample, tuple(controls), left_out)


def _judge(study: Study, file: str | Path | None) -> tuple[str, Judge | None]:
    own = study.settings.judge
    if file is None and own.kind == "exact":
        return EXACT, None
    if file is None and own.kind == "table":
        raise UsageError(
            f"{study.path}: its verdicts come from a table, which cannot be asked again. Name a judge file "
            "with --judge"
        )
    path = Path(str(own.path)).expanduser() if file is None else Path(file)
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


def key_of(job: Job) -> str:
    """Hash of all that decides what is judged, but for the tables of the study."""
    wanted, settings = job.wanted, job.study.settings
    parts = [
        VERSION,
        *(None if file is None else asked_digest(file) for file in (job.judge, job.rewriter)),
        [control.name for control in job.controls],
        sorted(job.sample.questions),
        wanted.traces,
        None if wanted.decoys is None else files.digest(Path(wanted.decoys)),
        (settings.seed, settings.analysis.bootstrap),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
