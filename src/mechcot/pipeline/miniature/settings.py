"""The settings of a study in miniature: the same sections made small, stand-ins for what is far or dear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mechcot.core import files
from mechcot.core.errors import ConfigError
from mechcot.core.settings import TEACHER_VARIANTS, ArmSettings, Settings
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.core.training_settings import TrainSettings
from mechcot.pipeline.miniature.checkpoints import Style

MOST: dict[str, int] = {
    "sampling.samples": 4,
    "sampling.max_new_tokens": 96,
    "sampling.batch_rows": 128,
    "reading.traces_per_question": 2,
    "reading.permutations": 1,
    "analysis.bootstrap": 200,
    "analysis.folds": 3,
    "analysis.permutations": 4,
    "analysis.traces_shown": 2,
    "handover.prefixes": 12,
    "causes.traces": 8,
    "causes.regenerated": 1,
    "causes.questions": 4,
    "causes.draws": 8,
    "causes.rewritten": 2,
    "weights.questions": 6,
    "weights.draws": 3,
    "weights.orders": 0,
    "weights.bands": 2,
    "localisation.slots": 1,
    "localisation.sets": 5,
    "localisation.tokens": 2,
    "localisation.layers": 2,
    "steering.questions": 12,
    "steering.samples": 1,
    "steering.random": 3,
    "judge_controls.questions": 4,
    "sheet.steps": 24,
    "sheet.repeat": 4,
}
"""The most that a miniature takes of what is counted; a setting that is smaller stays."""

ANEW: dict[str, Any] = {"threads": 1, "device": "cpu"}
TRAINING = {
    "epochs": 6.0, "batch_size": 16, "accumulation": 1, "learning_rate": 1e-3, "warmup_steps": 2,
    "dtype": "float32", "device": "cpu", "save_every": 1000,
}  # fmt: skip
"""Tiny weights learn nothing at the rates of large ones."""
SERVED = {
    "api_key_env": None,
    "price_in": 0.0,
    "price_out": 0.0,
    "timeout": 60.0,
    "max_retries": 1,
    "concurrency": 8,
}


@dataclass(frozen=True)
class Inputs:
    """What stands in for what the settings name.

    Attributes:
        folder: where server files are written.
        url: of the loopback that is teacher, judge and rewriter.
        questions: the section `questions`, with a local file.
        teacher_questions: likewise of the teacher; None: there is none.
        model: the folder of a tiny checkpoint, by the name of the real one and whose chains it knows.
    """

    folder: Path
    url: str
    questions: Any
    teacher_questions: Any
    model: Callable[[str, Style], Path]


def refuse_files(settings: Settings) -> None:
    """Refuse settings whose texts lie in files: a miniature has questions of its own.

    Raises:
        ConfigError: with the settings that name them.
    """
    if settings.organism is not None:
        raise ConfigError("the organism is a miniature already: run it with preset: organism-small")
    named = {f"arms.{name}.traces": arm.traces for name, arm in settings.arms.items()}
    named |= {
        f"arms.{name}.distill.examples": arm.distill.examples
        for name, arm in settings.arms.items()
        if arm.distill is not None and not settings.made_here(arm.distill.examples)
    }
    named |= {
        "teacher.traces": settings.teacher.traces if settings.teacher else None,
        "judge.path": settings.judge.path if settings.judge.kind == "table" else None,
        "knowledge.pairs": settings.knowledge.pairs,
        "kinds.labels": settings.kinds.labels,
        "judge_controls.decoys": settings.judge_controls.decoys if settings.judge_controls else None,
    }
    known = (None, OWN_TEACHER, *TEACHER_VARIANTS)
    given = [name for name, value in named.items() if value not in known]
    if given:
        raise ConfigError(
            f"a miniature has twenty questions of its own, and {', '.join(given)} names a file that is about "
            "others. Take it out for the miniature: --set KEY=null"
        )


def in_miniature(settings: Settings, inputs: Inputs) -> Settings:
    """The settings of the miniature, checked as any.

    Args:
        settings: of the study, server files where they lie.
        inputs: what stands in for what.
    """
    small = settings.model_dump(mode="json")
    small |= ANEW | {"miniature": True, "questions": inputs.questions.model_dump(mode="json")}
    for key, most in MOST.items():
        section, _, name = key.partition(".")
        own = small[section]
        if own is not None and (own[name] is None or own[name] > most):
            own[name] = most
    if small["steering"] is not None:
        small["steering"]["scales"] = [-1.0, 1.0, 2.0]
    if small["teacher"] is not None:
        small["teacher"] |= {
            "questions": inputs.teacher_questions.model_dump(mode="json"),
            "server": _teacher(settings.teacher.server, settings.teacher.attempts, inputs),  # type: ignore[union-attr, arg-type]
            "budget": None,
        }
    for name, arm in settings.arms.items():
        small["arms"][name] |= _arm(name, arm, settings, inputs)
    _judges(small, settings, inputs)
    return Settings.model_validate(small)


def _arm(name: str, arm: ArmSettings, settings: Settings, inputs: Inputs) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "revision": None,
        "dtype": "float32",
        "server": None,
        "trust_remote_code": False,
    }
    if arm.model is not None:
        bases = {own.distill.base for own in settings.arms.values() if own.distill is not None}
        student = name == settings.contrast.before or name in bases
        changed["model"] = str(inputs.model(arm.model, "student" if student else "teacher"))
    if arm.distill is not None:
        train = _trained(arm.distill.train)
        changed["distill"] = arm.distill.model_copy(update={"train": train}).model_dump(mode="json")
    if arm.sampling is not None:
        own = arm.sampling.model_dump(mode="json")
        limits = {name: MOST[f"sampling.{name}"] for name in ("samples", "max_new_tokens")}
        changed["sampling"] = own | {n: min(own[n], most) for n, most in limits.items() if own[n] is not None}
    return changed


def _trained(train: TrainSettings) -> TrainSettings:
    return train.model_copy(update=TRAINING)


def _judges(small: dict[str, Any], settings: Settings, inputs: Inputs) -> None:
    """Every judge file with the loopback's address in place of its own."""
    if settings.judge.kind == "llm":
        small["judge"]["path"] = _judge(settings.judge.path or "", inputs)
    small["panel"] = [_judge(file, inputs) for file in settings.panel]
    places: tuple[tuple[str, str], ...] = (
        ("judge_controls", "judge"),
        ("judge_controls", "rewriter"),
        ("answers", "judge"),
        ("handover", "judge"),
        ("kinds", "server"),
        ("causes", "rewriter"),
        ("causes", "checker"),
    )
    for section, key in places:
        if small[section] is not None and small[section][key] is not None:
            small[section][key] = _judge(small[section][key], inputs)
    for section in ("judge_controls", "causes"):
        if small[section] is not None:
            small[section]["budget"] = None


def _judge(file: str, inputs: Inputs) -> str:
    from mechcot.judging.judge_file import judge_path, read_judge

    path = judge_path(file)
    return _written(read_judge(path).model_dump(mode="json"), f"judges/{path.stem}.yaml", inputs, {})


def _teacher(file: str, attempts: int, inputs: Inputs) -> str:
    from mechcot.distill.teacher_file import read_teacher

    path = Path(file).expanduser()
    own = read_teacher(path, attempts).model_dump(mode="json")
    return _written(own, f"teacher/{path.stem}.yaml", inputs, {"seed": own["seed"] or 0})


def _written(own: Mapping[str, Any], name: str, inputs: Inputs, more: Mapping[str, Any]) -> str:
    """A server file that asks the loopback, and is all else that it was."""
    path = inputs.folder / name
    files.write_text(path, yaml.safe_dump({**own, **SERVED, **more, "base_url": inputs.url}, sort_keys=False))
    return str(path)
