"""Whether all arms are asked as they are compared: their prompts as a model is given them.

What the settings say of prompts is compared where they are read. A chat template is a part of a checkpoint,
so that two arms may still be asked in other words; this is found here, before anything is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError, ModelError
from mechcot.core.stages import Stage
from mechcot.pipeline.votes import asked_file
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, questions_by_id, task_of, world_of
from mechcot.study.folder import Study
from mechcot.tasks import PromptFormat, Question, render_prompt
from mechcot.tasks.tokens import decode, shared_prefix

FILE = "prompts.json"
_SHOWN = 60
Rendered = tuple[dict[str, tuple[int, ...]], dict[str, str]]


def prompt_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that renders every arm's prompts and compares those of arms that are compared.

    Where all arms are given as traces, nobody is asked anything here.
    """
    settings = study.settings
    if settings.given:
        return []
    arms = [name for name, arm in settings.arms.items() if arm.model not in (None, "organism")]
    outside = tuple(dict.fromkeys(path for arm in arms for path in checkpoint_of(study, arm)[1]))
    basis = {
        "prompts": {arm: settings.prompt_of(arm).basis() for arm in settings.arms},
        "tokenizers": {arm: tokenizer_arm(study, arm) for arm in settings.arms},
        "compared": [[where, *pair] for where, pair in compared(study).items()],
    }
    if settings.organism is not None:
        basis["organism"] = settings.organism.model_dump(mode="json")
    return [
        Stage(
            "prompts", 1, basis, (asked_file(study),), (FILE,), partial(write_prompts, study), outside=outside
        )
    ]


def tokenizer_arm(study: Study, arm: str) -> str:
    """The arm whose tokenizer and chat template an arm is asked with.

    A student has those of its base; an arm that is given as traces those of the contrast's arm before.
    """
    own = study.settings.arms[arm]
    if own.distill is not None:
        return own.distill.base
    return arm if own.traces is None else tokenizer_arm(study, study.settings.contrast.before)


def compared(study: Study) -> dict[str, tuple[str, str]]:
    """The pairs of arms that must be asked in the same words, by the setting that compares them."""
    settings = study.settings
    before, after = settings.contrast.before, settings.contrast.after
    pairs = {"contrast": (before, after)}
    pairs |= {f"contrast.replicates, {one}": (before, one) for one in settings.contrast.replicates}
    pairs |= {
        f"controls.{name}": (control.before or before, control.after or after)
        for name, control in settings.controls.items()
        if "prompt" not in control.differs
    }
    return {
        where: pair for where, pair in pairs.items() if all(settings.arms[one].traces is None for one in pair)
    }


def write_prompts(study: Study, work: Path) -> None:
    """Render every question for every arm, compare them, and write what was found.

    Raises:
        ModelError: two arms that are compared are asked in other words, by their checkpoints' templates.
    """
    questions = questions_by_id(study)
    made: dict[tuple[str, PromptFormat], Rendered] = {}
    seen: dict[str, Rendered] = {}
    for arm in study.settings.arms:  # students are asked as their base is: that is rendered once
        how = (tokenizer_arm(study, arm), task_of(study, arm).format)
        if how not in made:
            made[how] = rendered(study, *how, questions)
        seen[arm] = made[how]
    for where, (before, after) in compared(study).items():
        _refuse_other_words(where, before, after, seen)
    told = {
        arm: {"digest": digest_of(ids), "n_questions": len(ids), "longest": max(map(len, ids.values()))}
        for arm, (ids, _) in seen.items()
    }
    files.write_json(study.path / FILE, {"arms": told, "compared": sorted(compared(study))})


def rendered(study: Study, arm: str, form: PromptFormat, questions: dict[str, Question]) -> Rendered:
    """Prompts by question with an arm's tokenizer: as token ids, and as the text of these."""
    tokenizer = tokenizer_of(study, arm)
    ids = {qid: tuple(render_prompt(one, form, tokenizer)[1]) for qid, one in questions.items()}
    return ids, {qid: decode(tokenizer, list(own)) for qid, own in ids.items()}


def tokenizer_of(study: Study, arm: str) -> Any:
    """The tokenizer of an arm that is not made by training; the organism's before its base is there, too."""
    from mechcot.models.checkpoint import load_tokenizer

    own = study.settings.arms[arm]
    if own.model == "organism":
        from mechcot.tasks.organism.tokenizer import build_tokenizer

        return build_tokenizer(world_of(study))
    return load_tokenizer(checkpoint_folder(study, arm), trust_remote_code=own.trust_remote_code)


def digest_of(ids: Mapping[str, tuple[int, ...]]) -> str:
    """A digest of prompts by question, whatever their order."""
    told = "\n".join(f"{qid}\t{' '.join(map(str, ids[qid]))}" for qid in sorted(ids))
    return hashlib.sha256(told.encode()).hexdigest()


def check_asked(study: Study, arm: str, ids: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse prompts of an arm that are not those that were compared before anything was trained.

    Raises:
        DataError: they are others.
    """
    wanted = files.read_json(study.checked(study.path / FILE))["arms"][arm]["digest"]
    if digest_of(ids) != wanted:
        raise DataError(
            f"arm {arm}: its checkpoint's tokenizer now makes other prompts than {study.path / FILE} has, "
            "which were compared first. Put its tokenizer and chat template back as they were"
        )


def _refuse_other_words(where: str, before: str, after: str, seen: dict[str, Any]) -> None:
    for qid, first in seen[before][1].items():
        second = seen[after][1][qid]
        if first == second:
            continue
        at = max(0, shared_prefix([first, second]) - 10)
        declared = (
            f"declare it with {where}.differs=[prompt]"
            if where.startswith("controls.")
            else "compare them in a control that declares it (controls.NAME.differs: [prompt])"
        )
        raise ModelError(
            f"{where}: it compares '{before}' and '{after}', whose chat templates put question '{qid}' in "
            f"other words: from character {at} on '{before}' is asked {first[at : at + _SHOWN]!r} and "
            f"'{after}' {second[at : at + _SHOWN]!r}. Name one template for all (prompt.template), or "
            f"{declared}"
        )
