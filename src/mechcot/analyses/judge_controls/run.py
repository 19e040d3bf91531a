"""The judge controls of a study: planned or run, their items kept in the study and analysed.

Replies are on disk as they come, so that a run that is killed goes on where it was; the items, what was
asked, the result and the page are written at the end, as one stage of the study.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.arms import on_questions, pair_of
from mechcot.analyses.judge_controls.analysis import analyse
from mechcot.analyses.judge_controls.asking import one_model
from mechcot.analyses.judge_controls.controls.again import PRIMARY
from mechcot.analyses.judge_controls.design import VERSION, Design, Wanted, design_of, key_of
from mechcot.analyses.judge_controls.page import write_judge_controls
from mechcot.analyses.judge_controls.plan import ControlsPlan, left_out_lines, plan_rows
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.judge_controls.study_report import STAGE
from mechcot.asking.spending import Ledger
from mechcot.core import files, records
from mechcot.core.errors import JudgeError, StudyError
from mechcot.core.manifest import load_manifest
from mechcot.core.results import UNSTORED, Pair, Result, plain
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.study.folder import Study
from mechcot.study.writing import locked

log = logging.getLogger("mechcot")

FILES = ("items.parquet", "about.json", "result.json", "report.html")


@dataclass(frozen=True, repr=False)
class JudgeControls(Result):
    """What the judge controls found, and where it lies.

    Attributes:
        name: of the judge.
        folder: `STUDY/judge_controls/NAME`.
        about: of each control what it changes, its items and calls; which were left out, and why.
        result: of the analysis.
    """

    name: str
    folder: Path = field(metadata=UNSTORED)
    about: dict[str, Any]
    result: JudgeControlsResult

    def text(self) -> str:
        """The result's tables, then what could not be treated, and which controls were left out."""
        lines = [
            f"{name}: {what}: {', '.join(f'{n:,} of {arm}' for arm, n in counts.items())}"
            for name, control in self.about["controls"].items()
            for what, counts in control.get("untreated", {}).items()
        ]
        lines += left_out_lines(self.about["left_out"])
        return "\n".join([self.result.text(), *([""] if lines else []), *lines])


def run_judge_controls(
    path: str | Path, wanted: Wanted | None = None, *, budget: float | None = None, progress: bool = True
) -> JudgeControls:
    """Judge a sample of a study's steps under every control of a judge, and analyse what comes out.

    Writes `judge_controls/NAME/` (`FILES`), which the study's manifest records. Replies that are kept,
    of `mechcot judge` too, are not asked for again. The same call again finds it done, unless calls
    failed or the steps have changed.

    Args:
        path: the study's folder; the steps of its contrast's arms must be there.
        wanted: which controls of which judge; None: all of the study's own.
        budget: money that all calls may cost together, what earlier runs paid for them included.
        progress: whether to draw bars.

    Raises:
        StudyError: the study has no steps yet, or another process writes to it.
        UsageError: there is no such control, the study's own verdicts are a table, too many questions.
        ConfigError: a judge file, or the environment variable that it names, cannot be used.
        DataError: the file of decoys cannot be used.
        JudgeError: too many calls failed, a server cannot be used, or the budget is reached. Replies got
            are kept.
        AnalysisError: an arm has nothing to judge.
    """
    study, wanted = Study.open(path), wanted or Wanted()
    with locked(study.path):
        design = design_of(study, wanted)
        key = key_of(design)
        if _is_done(design, key):
            result = judge_controls_of(study, design.name)
        else:
            items, about = _judge_all(design, _ledger(design, budget), progress)
            about |= {"key": key}
            result = _analysed(study, items)
            run_stages(study.path, [_stage(design, key, items, about, result)], versions())
    folder = _folder(study, design.name)
    return JudgeControls(design.name, folder, files.read_json(study.checked(folder / "about.json")), result)


def write_judge_controls_of(study: Study, wanted: Wanted, *, budget: float | None, progress: bool) -> None:
    """The work of `run_judge_controls` inside a stage that records the files (`files_of`)."""
    design = design_of(study, wanted)
    items, about = _judge_all(design, _ledger(design, budget), progress)
    about |= {"key": key_of(design)}
    _write(_folder(study, design.name), items, about, _analysed(study, items), study.path)


def plan_judge_controls(path: str | Path, wanted: Wanted | None = None) -> ControlsPlan:
    """What `run_judge_controls` would send for each control. Sends and writes nothing.

    Raises:
        StudyError, UsageError, ConfigError, DataError, AnalysisError: as `run_judge_controls`.
    """
    return plan_controls_of(Study.open(path), wanted or Wanted())


def plan_controls_of(study: Study, wanted: Wanted) -> ControlsPlan:
    """The same of a study that is open, with settings that may be new to it."""
    design = design_of(study, wanted)
    return ControlsPlan(tuple(plan_rows(design)), design.left_out, len(design.setup.sample.questions))


def judge_controls_of(study: Study, name: str) -> JudgeControlsResult:
    """The analysis of the judge controls that a study holds.

    Args:
        study: whose.
        name: of the judge: its file's name without its ending, or `exact`.

    Raises:
        StudyError: the study has none of this name.
    """
    path = _folder(study, name) / "items.parquet"
    if not path.exists():
        there = sorted(folder.name for folder in path.parent.parent.glob("*") if folder.is_dir())
        raise StudyError(
            f"{path} does not exist; there are judge controls of: {', '.join(there) or 'nothing'}. "
            f"Make them: mechcot judge-controls {study.path}"
        )
    return _analysed(study, records.read_table(study.checked(path), records.JUDGE_CONTROLS))


def _analysed(study: Study, items: pd.DataFrame) -> JudgeControlsResult:
    contrast, settings = study.settings.contrast, study.settings
    questions = study.questions(contrast.domain)
    questions = questions[questions.qid.isin(items.qid[items.control == PRIMARY.name])].reset_index(drop=True)
    arms = pair_of(study)
    traces = Pair(*(on_questions(questions, study.traces(arm)) for arm in arms))
    return analyse(questions, traces, items, arms, draws=settings.analysis.bootstrap, seed=settings.seed)


def _ledger(design: Design, budget: float | None) -> Ledger:
    """One for all controls, refused before anything is sent where a file's calls cannot be held to it."""
    ledger = Ledger(budget)
    for file in (design.setup.judge, design.setup.rewriter):
        if file is not None:
            ledger.accept(file)
    return ledger


def _judge_all(design: Design, ledger: Ledger, progress: bool) -> tuple[pd.DataFrame, dict[str, Any]]:
    tables, made = [], {}
    for number, (control, items) in enumerate(design.controls, start=1):
        name, calls = control.name, design.calls(control, ledger=ledger, progress=progress)
        log.info("judge controls [%d/%d] %s", number, len(design.controls), name)
        try:
            rows, made[name] = control.ask.send(items.table, calls)
        except JudgeError as error:
            raise type(error)(
                f"{error}\nThis was the judge control '{name}'; --only chooses others."
            ) from error
        tables.append(_completed(rows, name))
        one_model(made)
    judge = design.setup.judge
    if judge is not None and judge.cost(0, 0) is not None:
        told = f"{ledger.spent:.2f} spent"
        if ledger.uncounted:
            told = f"cost unknown (servers did not count {ledger.uncounted} replies), at most {told}"
        log.info("judge controls: %s, earlier runs included", told)
    return pd.concat(tables, ignore_index=True), _about(design, tables, made)


def _completed(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Judged items of one control as rows of `records.JUDGE_CONTROLS`."""
    empty: dict[str, Any] = {"label": "", "reason": "", "fidelity": "", "score": pd.NA}
    own = {column: nothing for column, nothing in empty.items() if column not in rows}
    table = rows.assign(control=name, n_words=[len(text.split()) for text in rows.text], **own)
    # One type in every control's table: one without scores must not decide it when they are put together.
    return table[records.JUDGE_CONTROLS.names].astype({"score": "Float64"}).reset_index(drop=True)


def _about(design: Design, tables: list[pd.DataFrame], calls: Mapping[str, Any]) -> dict[str, Any]:
    sample = design.setup.sample
    controls: dict[str, dict[str, Any]] = {}
    for (control, items), table in zip(design.controls, tables, strict=True):
        controls[control.name] = {
            "changes": items.changes or control.says,
            "items": {arm: int((table.arm == arm).sum()) for arm in sample.arms},
            "calls": calls[control.name],
        }
        if items.untreated:
            controls[control.name]["untreated"] = plain(items.untreated)
    return {
        "name": design.name,
        "arms": plain(sample.arms),
        "questions": {"sampled": len(sample.questions), "of": sample.n_questions},
        "traces": design.wanted.traces,
        "seed": sample.seed,
        "controls": controls,
        "left_out": dict(design.left_out),
        "api_failures": sum(own["api_failures"] for made in calls.values() for own in made.values()),
    }


# --- files ----------------------------------------------------------------------------------------


def _is_done(design: Design, key: str) -> bool:
    """Whether these controls stand there, made from the tables as they are now, with no call failed."""
    stages = load_manifest(design.study.path)["stages"]
    record = stages.get(STAGE + design.name)
    if record is None:
        return False
    made = {name: digest for other in stages.values() for name, digest in other["outputs"].items()}
    current = all(made.get(name) == digest for name, digest in record["inputs"].items())
    if not current or not all((design.study.path / name).exists() for name in record["outputs"]):
        return False
    about = files.read_json(design.study.checked(_folder(design.study, design.name) / "about.json"))
    # Made by a stage that the settings ask for, the record itself has no such key.
    made_with = record["settings"].get("key", about.get("key"))
    return bool(made_with == key and about["api_failures"] == 0)


def inputs_of(study: Study) -> tuple[str, ...]:
    """The files of a study that judge controls read."""
    contrast = study.settings.contrast
    arms = (contrast.before, contrast.after)
    return (
        "questions.parquet",
        *(f"arms/{arm}/{name}.parquet" for arm in arms for name in ("traces", "steps")),
    )


def files_of(name: str) -> tuple[str, ...]:
    """The files of a study in which a judge's controls lie."""
    return tuple(f"judge_controls/{name}/{file}" for file in FILES)


def _stage(
    design: Design, key: str, items: pd.DataFrame, about: dict[str, Any], result: JudgeControlsResult
) -> Stage:
    rows = hashlib.sha256(pd.util.hash_pandas_object(items, index=False).to_numpy().tobytes()).hexdigest()
    return Stage(
        STAGE + design.name,
        VERSION,
        # The rows count: a second run may have verdicts where calls failed in the first.
        {"key": key, "rows": rows},
        inputs_of(design.study),
        files_of(design.name),
        partial(_write, _folder(design.study, design.name), items, about, result),
    )


def _write(
    folder: Path, items: pd.DataFrame, about: dict[str, Any], result: JudgeControlsResult, work: Path
) -> None:
    records.write_table(folder / "items.parquet", items, records.JUDGE_CONTROLS)
    files.write_json(folder / "about.json", about)
    without_calls = {
        name: {key: value for key, value in control.items() if key != "calls"}
        for name, control in about["controls"].items()
    }
    write_judge_controls(result, folder, about | {"controls": without_calls})  # prompts make no table


def _folder(study: Study, name: str) -> Path:
    return study.path / "judge_controls" / name
