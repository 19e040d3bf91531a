"""Training a student on supervised rows: resumable, and whole or not there at all."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mechcot.core import files
from mechcot.core.errors import MissingDependency, ModelError, TrainingError, UsageError
from mechcot.core.progress import Progress
from mechcot.core.results import UNSTORED, Result
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import checkpoints, ranks
from mechcot.distill.launched import launch
from mechcot.distill.masks import IGNORED
from mechcot.distill.schedule import n_steps, steps_along
from mechcot.distill.training import Training, deciding
from mechcot.models.checkpoint import load_tokenizer

log = logging.getLogger("mechcot")

CARD = "distillation.json"
"""The file in a student's folder that says what it was trained on."""
FORMAT = "mechcot-student/1"


class Keeping(NamedTuple):
    """After which steps a training is kept, what is done with a copy of it, and where the training stops."""

    steps: Set[int]
    keep: Callable[[int, Any], None]
    until: int | None


@dataclass(frozen=True)
class TrainResult(Result):
    """What a training did.

    Attributes:
        steps: optimiser steps.
        losses: mean cross-entropy of the trained tokens of each step, nats, `[steps]`.
        tokens: tokens read, padding left out.
        trained_tokens: those of them that were trained.
        seconds: wall time of this call; no part of `to_json`, as it differs from run to run.
        resumed_from: step that this call went on from, 0 for the start; likewise apart.
    """

    steps: int
    losses: tuple[float, ...]
    tokens: int
    trained_tokens: int
    seconds: float = field(metadata=UNSTORED)
    resumed_from: int = field(metadata=UNSTORED)

    derived = ("final_loss",)

    @property
    def final_loss(self) -> float:
        """Loss of the last step, nats."""
        return self.losses[-1]


def train(
    training: Training,
    out: Path,
    work: Path,
    *,
    along: Mapping[Path, float] | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a checkpoint on supervised rows and write the student as an ordinary checkpoint folder.

    AdamW (no weight decay on norms and biases), the schedule of `schedule.rate_factor`, the loss a
    mean over the trained tokens of a step. Full fine-tuning keeps its weights in float32 while it
    trains; `dtype: bfloat16` computes and writes in bfloat16. A process runs on a GPU where there is one and
    `device` allows it, else on the processor, where the same seed, threads and versions give the same
    file.

    Killed at any instant, the same call goes on from the last whole checkpoint in `work` and ends
    with the same weights. Checkpoints of other rows, settings, seed, base or versions are discarded.

    What is kept along the training is the student as it would be were this step the last one: written from a
    copy, so that the training and its end are the same bytes without it.

    Args:
        training: what is to be taught, to which base.
        out: folder of the student; an older student there is replaced at the end.
        work: folder for checkpoints; emptied of them at the end.
        along: folders of further checkpoints, and the share of the steps after which each is kept.
        progress: whether to draw a bar.

    Raises:
        UsageError: `out`, or a folder of `along`, holds something other than a student, or `work` others'
            checkpoints.
        MissingDependency: a package of the extra `train` is not installed.
        ModelError: weights or tokenizer cannot be used.
        TrainingError: a loss or weight is no finite number, processes or GPUs are not the settings', a
            process failed, or shares of `along` lie on one step, or at an end.
    """
    need_packages(training.settings)
    kept = kept_steps(training, along)
    for folder in (out, *kept):
        check_out(folder)
    started = time.perf_counter()
    if ranks.are_missing(training.settings):
        resumed = launch(training, out, work, along or {}, only_along=False, progress=progress)
        card = files.read_json(out / CARD)
        result = _result(card["result"]["losses"], training)
        return replace(result, seconds=time.perf_counter() - started, resumed_from=resumed)
    tokenizer = load_tokenizer(training.base, trust_remote_code=training.trust_remote_code)
    run = training.fingerprint()
    student, losses, resumed = _trained(training, tokenizer, work, kept, None, progress)
    result = _result(losses, training)
    if ranks.is_first():
        _write(student, tokenizer, out, _card(run, training, result))
        checkpoints.clear(work)
    ranks.meet(training.settings)
    return replace(result, seconds=time.perf_counter() - started, resumed_from=resumed)


def train_along(
    training: Training, out: Path, work: Path, along: Mapping[Path, float], *, progress: bool = True
) -> int:
    """Write what a finished training would have kept along it: trained once more, up to the last share.

    Args:
        training: what the student was taught.
        out: folder of the student, which stays as it is.
        work: folder for checkpoints; emptied of them at the end.
        along: folders of further checkpoints, and the share of the steps after which each is kept.
        progress: whether to draw a bar.

    Returns:
        The optimiser steps that were trained again; 0 where all is there.

    Raises:
        TrainingError: the student is of another training, so that these would not lie on its way; else as
            `train`.
    """
    need_packages(training.settings)
    kept = kept_steps(training, along)
    for folder in kept:
        check_out(folder)
    if finished(out, training) is None:
        versions = ", ".join(deciding(training.settings))
        raise TrainingError(
            f"{out}: is not what this training ends in (other examples, settings, seed, base or versions of "
            f"{versions}); what would be kept does not lie on its way. Train it again first"
        )
    if all_kept(training, kept):
        return 0
    if ranks.are_missing(training.settings):
        return launch(training, out, work, along, only_along=True, progress=progress)
    last = max(kept.values())
    tokenizer = load_tokenizer(training.base, trust_remote_code=training.trust_remote_code)
    _, _, resumed = _trained(training, tokenizer, work, kept, last, progress)
    if ranks.is_first():
        checkpoints.clear(work)
    ranks.meet(training.settings)
    return last - resumed


def _trained(
    training: Training,
    tokenizer: Any,
    work: Path,
    kept: Mapping[Path, int],
    until: int | None,
    progress: bool,
) -> tuple[Any, list[float], int]:
    """Train to the end or to a step: the student, the loss of every step, the step gone on from."""
    _no_telemetry()
    run, base = training.fingerprint(), _load(training)
    folders = {step: folder for folder, step in kept.items() if not _is_kept(folder, run, step)}
    if ranks.is_first():
        checkpoints.discard_behind(work, checkpoints.open_work(work, run), [*folders])
    ranks.meet(training.settings)
    newest = checkpoints.newest(work)

    def keep(step: int, model: Any) -> None:
        _write(model, tokenizer, folders[step], _kept_card(run, training, step))

    try:
        keeping = Keeping({*folders}, keep, until)
        student, losses = _run(base, tokenizer, training, work, newest, keeping, progress)
    except TrainingError:
        # The same call would end the same way: nothing in `work` is worth going on from.
        checkpoints.clear(work)
        raise
    return student, losses, checkpoints.step_of(newest)


def need_packages(settings: TrainSettings) -> None:
    """Check that what training needs is installed.

    Raises:
        MissingDependency: with the line that installs it.
    """
    for package in deciding(settings):
        if find_spec(package) is None:
            raise MissingDependency(package, "qlora" if package == "bitsandbytes" else "train")


def check_out(out: Path) -> None:
    """Refuse to write a student over anything but a student.

    Raises:
        UsageError: `out` is a file, or a folder with something else in it.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; expected the folder of a student")
    if out.is_dir() and any(out.iterdir()) and not (out / CARD).is_file():
        raise UsageError(
            f"{out} exists and is no student that mechcot wrote; it is not touched. Name another folder"
        )


def kept_steps(training: Training, along: Mapping[Path, float] | None) -> dict[Path, int]:
    """The step after which the training is kept in each folder.

    Raises:
        TrainingError: as `schedule.steps_along`.
    """
    return steps_along(along or {}, n_steps(len(training.order()), training.settings))


def all_kept(training: Training, kept: Mapping[Path, int]) -> bool:
    """Whether every folder holds the student as it is after its step of this training."""
    run = training.fingerprint() if kept else ""
    return all(_is_kept(folder, run, step) for folder, step in kept.items())


def _is_kept(folder: Path, run: str, step: int) -> bool:
    """Whether a folder holds the student as it is after a step of the run with this fingerprint."""
    return (folder / CARD).is_file() and files.read_json(folder / CARD).get("run") == _run_to(run, step)


def _run_to(run: str, step: int) -> str:
    """Fingerprint of a run up to a step: another one than that of the run's end."""
    return checkpoints.fingerprint({"run": run, "step": step})


def finished(out: Path, training: Training) -> TrainResult | None:
    """The result recorded in `out` if this training has already ended there."""
    if not (out / CARD).is_file():
        return None
    card = files.read_json(out / CARD)
    if card.get("run") != training.fingerprint():
        return None
    return replace(_result(card["result"]["losses"], training), resumed_from=card["result"]["steps"])


def _run(
    model: Any,
    tokenizer: Any,
    training: Training,
    work: Path,
    newest: Path | None,
    keeping: Keeping,
    progress: bool,
) -> tuple[Any, list[float]]:
    """Train from the checkpoint `newest` on: the student where it stops, and the loss of every step."""
    from mechcot.distill import sft
    from mechcot.distill.student import student_of

    # TRL and transformers write into the config; the student keeps the base's own.
    config = copy.deepcopy(model.config)
    total, resumed = n_steps(len(training.order()), training.settings), checkpoints.step_of(newest)
    if resumed:
        log.info("going on from step %d of %d", resumed, total)
    history = sft.History()
    bar = Progress("training", total, "step", shown=progress, done=resumed, every=0)
    with bar, sft.quiet_libraries():

        def on_step(step: int, loss: float, model: Any) -> bool:
            bar.update(loss=loss)
            if step in keeping.steps and ranks.is_first():
                kept = student_of(model, training, step, copied=True)
                kept.config = copy.deepcopy(config)
                keeping.keep(step, kept)
            return step == keeping.until

        trainer = sft.build_trainer(model, tokenizer, training, work, history, on_step)
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        student = student_of(trainer.model, training, total)
    student.config = config
    return student, history.losses


def _load(training: Training) -> Any:
    import torch

    from mechcot.distill.student import four_bits
    from mechcot.models.devices import usable_device
    from mechcot.models.weights import load_weights

    settings, folder = training.settings, training.base
    ranks.check(settings)
    gpus = 0 if settings.device == "cpu" else torch.cuda.device_count()
    if gpus > 1 and ranks.started() == 1:
        raise TrainingError(
            f"{gpus} GPUs are visible, and the setting processes is 1. Make a single one visible, for "
            f"example with CUDA_VISIBLE_DEVICES=0, or set processes={gpus}: a process a GPU"
        )
    quantised = settings.lora.base if settings.lora is not None else None
    # A frozen base may lie in bfloat16; weights that are trained need float32 for small updates.
    dtype = getattr(torch, settings.dtype) if settings.lora is not None else torch.float32
    device = usable_device(f"cuda:{ranks.local()}" if gpus else "cpu")
    model = load_weights(
        folder,
        dtype,
        device=device,
        trust_remote_code=training.trust_remote_code,
        quantised=None if quantised is None else four_bits(dtype),
    )
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(int(row.input_ids.max()) for row in training.data.rows)
    if largest >= rows:
        raise ModelError(
            f"{folder}: the tokenizer gives token id {largest}, the model has embeddings for {rows} tokens. "
            "Use the tokenizer that belongs to the weights"
        )
    return model


def _card(run: str, training: Training, result: TrainResult) -> dict[str, Any]:
    return _about(run, training) | {"result": result.to_json()}


def _kept_card(run: str, training: Training, step: int) -> dict[str, Any]:
    total = n_steps(len(training.order()), training.settings)
    return _about(_run_to(run, step), training) | {"kept": {"run": run, "step": step, "steps": total}}


def _about(run: str, training: Training) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run": run,
        "rows": training.data.digest,
        "n_rows": len(training.data.rows),
        "n_truncated": training.data.n_truncated,
        "seed": training.seed,
        "settings": training.settings.model_dump(mode="json", exclude={"save_every", "launch"}),
    }


def _write(student: Any, tokenizer: Any, out: Path, card: dict[str, Any]) -> None:
    from mechcot.models.weights import quiet

    beside = out.with_name(f".{out.name}.tmp")
    files.remove(beside)
    beside.mkdir(parents=True)
    with quiet():
        student.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    files.write_json(beside / CARD, card)
    checkpoints.appear(beside, out)


def _result(losses: list[float], training: Training) -> TrainResult:
    rows = [training.data.rows[i] for i in training.order()]
    return TrainResult(
        steps=len(losses),
        losses=tuple(losses),
        tokens=sum(len(row.input_ids) for row in rows),
        trained_tokens=sum(int((row.labels != IGNORED).sum()) for row in rows),
        seconds=0.0,
        resumed_from=0,
    )


def _no_telemetry() -> None:
    """Nothing is sent: set before TRL is imported, and where the Hub's client has read it already."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
