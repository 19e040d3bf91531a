"""Arms that are compared must have been asked alike: what a file of traces says of its making.

Arms that the study samples differ in what the settings say, if in anything, and the settings hold that
to what is declared. Traces out of a file may differ in all: a control that compares such an arm stops
here, before any sampling or judging, unless it names what may differ.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.core import files
from mechcot.core.errors import DataError
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.stages import Stage
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.pipeline.given_parity import given_parity_stages
from mechcot.pipeline.text import given_file
from mechcot.pipeline.votes import asked_file
from mechcot.sampling import given_rows
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, questions_by_id, task_of
from mechcot.study.folder import Study
from mechcot.tasks import render_prompt

log = logging.getLogger("mechcot")

STATED = ("temperature", "top_p", "top_k", "max_new_tokens")
"""Columns of a file of traces that are settings of `sampling`."""


def parity_stages(study: Study, progress: bool) -> list[Stage]:
    """The gate, in a study whose controls compare traces out of a file.

    Where all arms are out of files, what these say is compared with each other.
    """
    if study.settings.given:
        return given_parity_stages(study)
    asked = _compared(study)
    if not asked:
        return []
    settings = study.settings
    own, outside = checkpoint_of(study, settings.contrast.before)  # prompts are in its template
    basis = {
        "controls": {name: list(settings.controls[name].differs) for name, _ in asked},
        "arms": [arm for _, arm in asked],
        "sampling": settings.sampling.model_dump(
            mode="json", exclude=set() if settings.sampling.greedy else {"greedy"}
        ),
        "prompt": settings.prompt.basis(),
        "domain": settings.contrast.domain,
    }
    own_sampling = {name: arm.sampling.model_dump() for name, arm in settings.arms.items() if arm.sampling}
    own_prompts = {
        name: settings.prompt_of(name).basis() for name, arm in settings.arms.items() if arm.prompt
    }
    basis |= {"own": own_sampling} if own_sampling else {}
    basis |= {"own prompts": own_prompts} if own_prompts else {}
    sources = tuple(given_file(str(settings.arms[arm].traces)) for _, arm in asked)
    return [
        Stage(
            "parity",
            1,
            basis,
            (asked_file(study), *own),
            ("parity.json",),
            partial(check_parity, study),
            outside=(*outside, *dict.fromkeys(sources)),
        )
    ]


def _compared(study: Study) -> list[tuple[str, str]]:
    """Controls and the arms out of files that they compare; a teacher of the study is no such arm."""
    settings = study.settings
    return [
        (name, arm)
        for name, control in settings.controls.items()
        for arm in dict.fromkeys((control.before, control.after))
        if arm is not None
        and settings.arms[arm].traces is not None
        and settings.arms[arm].traces not in (*TEACHER_VARIANTS, OWN_TEACHER)
    ]


def check_parity(study: Study, work: Path) -> None:
    """Compare every such arm with the study, and write what was found to `parity.json`.

    Raises:
        DataError: a value differs, and the control does not say that it may.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, arm in _compared(study):
        control = study.settings.controls[name]
        source = str(study.settings.arms[arm].traces)
        domain = control.domain or study.settings.contrast.domain
        asked = list(study.questions(domain).qid)
        table = pd.DataFrame([row for _, row in given_rows(given_file(source), asked)], dtype=object)
        table = table[table["qid"].astype(str).isin(asked)]
        said: dict[str, str] = {}
        for what, problem in _differences(study, _other(study, name, arm), table, asked):
            said[what] = problem or "alike"
            if problem and problem != _SILENT and what not in control.differs:
                raise DataError(
                    f"{source}, {problem}. The control '{name}' compares arm '{arm}' with arms that were "
                    f"asked otherwise. Make them anew, or accept it with controls.{name}.differs=[{what}]"
                )
        silent = [what for what, problem in said.items() if problem == _SILENT]
        if silent:
            log.warning(
                "control %s: %s does not say %s of its traces (columns of these names): whether arm %s was "
                "asked as the others is not known", name, source, ", ".join(silent), arm,
            )  # fmt: skip
        if study.settings.sampling.greedy:
            said["greedy"] = _SILENT
            log.warning(
                "control %s: arm %s is given as traces and has no greedy ones: without sampling nothing is "
                "compared there", name, arm,
            )  # fmt: skip
        found.setdefault(name, {})[arm] = said
    files.write_json(study.path / "parity.json", found)


_SILENT = "not stated"


def _other(study: Study, name: str, arm: str) -> str:
    """The arm that a control compares an arm out of a file with; where none is sampled, the headline's."""
    settings, control = study.settings, study.settings.controls[name]
    both = (control.before or settings.contrast.before, control.after or settings.contrast.after)
    sampled = [one for one in both if one != arm and settings.arms[one].traces is None]
    return sampled[0] if sampled else settings.contrast.before


def _differences(
    study: Study, other: str, table: pd.DataFrame, asked: list[str]
) -> Iterator[tuple[str, str]]:
    """What was compared, and what differs first, with its row; "" where nothing does."""
    settings = study.settings.sampling_of(other)
    counts = table["qid"].astype(str).value_counts().reindex(asked, fill_value=0)
    odd = counts[counts != settings.samples]
    yield (
        "samples",
        f"question '{odd.index[0]}': {odd.iloc[0]} traces, the study samples {settings.samples}"
        if len(odd)
        else "",
    )
    for name in STATED:
        yield name, _first(table, name, getattr(settings, name))
    yield "prompt", _prompts(study, other, table)


def _first(table: pd.DataFrame, name: str, wanted: Any) -> str:
    if name not in table.columns:
        return _SILENT
    numbers = pd.to_numeric(table[name], errors="coerce")
    for row, given, value in zip(table.index, table[name], numbers, strict=True):
        if value != wanted:
            return f"row {row + 1}: {name} is {given!r}, the study's sampling.{name} is {wanted!r}"
    return ""


def _prompts(study: Study, other: str, table: pd.DataFrame) -> str:
    """Prompts are compared as the model is given them, chat template included."""
    if "prompt" not in table.columns:
        return _SILENT
    from mechcot.models.checkpoint import load_tokenizer

    before, questions = study.settings.contrast.before, questions_by_id(study)
    form = task_of(study, other).format
    tokenizer = load_tokenizer(
        checkpoint_folder(study, before), trust_remote_code=study.settings.arms[before].trust_remote_code
    )
    wanted: dict[str, str] = {}
    for row, qid, prompt in zip(table.index, table["qid"].astype(str), table["prompt"], strict=True):
        if qid not in wanted:
            wanted[qid] = render_prompt(questions[qid], form, tokenizer)[0]
        if prompt != wanted[qid]:
            return (
                f"row {row + 1}: the prompt of question '{qid}' is {str(prompt)[:60]!r}, the study's is "
                f"{wanted[qid][:60]!r} (both with the chat template)"
            )
    return ""
