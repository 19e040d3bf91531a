"""Training a student on supervised rows: resumable, and whole or not there at all."""

from __future__ import annotations

import copy
import logging
import os
import time
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import MissingDependency, ModelError, TrainingError, UsageError
from mechcot.core.progress import Progress
from mechcot.core.results import UNSTORED, Result
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import checkpoints
from mechcot.distill.masks import IGNORED, Supervised
from mechcot.distill.schedule import n_steps, row_order
from mechcot.models.checkpoint import load_tokenizer, local_folder

log = logging.getLogger("mechcot")

CARD = "distillation.json"
"""The file in a student's folder that says what it was trained on."""
FORMAT = "mechcot-student/1"
_DECIDING = ("torch", "transformers", "trl", "peft", "accelerate")


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
    model: str | Path,
    data: Supervised,
    out: Path,
    work: Path,
    settings: TrainSettings,
    *,
    seed: int,
    progress: bool = True,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> TrainResult:
    """Train a checkpoint on supervised rows and write the student as an ordinary checkpoint folder.

    AdamW (no weight decay on norms and biases), the schedule of `schedule.rate_factor`, the loss a
    mean over the trained tokens of a step. Full fine-tuning keeps its weights in float32 while it
    trains; `dtype: bfloat16` computes and writes in bfloat16. Runs on one GPU where there is one and
    `device` allows it, else on the processor, where the same seed, threads and versions give the same
    file.

    Killed at any instant, the same call goes on from the last whole checkpoint in `work` and ends
    with the same weights. Checkpoints of other rows, settings, seed, base or versions are discarded.

    Args:
        model: checkpoint folder, or OWNER/NAME on the Hub.
        data: the rows, from `masks.supervised`.
        out: folder of the student; an older student there is replaced at the end.
        work: folder for checkpoints; emptied of them at the end.
        settings: of the training.
        seed: of the order of rows, of adapters and of dropout.
        progress: whether to draw a bar.
        trust_remote_code: whether the checkpoint's own code may run.
        revision: of a Hub name.

    Raises:
        UsageError: `out` holds something other than a student, or `work` others' checkpoints.
        MissingDependency: a package of the extra `train` is not installed.
        ModelError: weights or tokenizer cannot be used.
        TrainingError: a loss or weight is no finite number, or there are several GPUs or processes.
    """
    need_packages()
    check_out(out)
    started = time.perf_counter()
    _no_telemetry()
    folder = local_folder(str(model), revision)
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    run = run_fingerprint(folder, data, settings, seed)
    base = _load(folder, data, settings, trust_remote_code)
    newest = checkpoints.open_work(work, run)
    try:
        student, losses = _run(base, tokenizer, data, settings, work, seed, newest, progress)
    except TrainingError:
        # The same call would end the same way: nothing in `work` is worth going on from.
        checkpoints.clear(work)
        raise
    result = _result(losses, data, settings, seed)
    _write(student, tokenizer, out, _card(run, data, settings, seed, result))
    checkpoints.clear(work)
    return replace(result, seconds=time.perf_counter() - started, resumed_from=_step_of(newest))


def need_packages() -> None:
    """Check that what training needs is installed.

    Raises:
        MissingDependency: with the line that installs it.
    """
    for package in _DECIDING:
        if find_spec(package) is None:
            raise MissingDependency(package, "train")


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


def run_fingerprint(folder: Path, data: Supervised, settings: TrainSettings, seed: int) -> str:
    """Digest of everything that decides the weights of a run."""
    return checkpoints.fingerprint(
        {
            "rows": data.digest,
            "base": files.digest(folder),
            "settings": settings.model_dump(mode="json", exclude={"save_every"}),
            "seed": seed,
            "versions": {name: metadata.version(name) for name in _DECIDING},
        }
    )


def finished(out: Path, run: str, data: Supervised, settings: TrainSettings, seed: int) -> TrainResult | None:
    """The result recorded in `out` if the run with this fingerprint has already ended there."""
    if not (out / CARD).is_file():
        return None
    card = files.read_json(out / CARD)
    if card.get("run") != run:
        return None
    return replace(
        _result(card["result"]["losses"], data, settings, seed), resumed_from=card["result"]["steps"]
    )


def _run(
    model: Any,
    tokenizer: Any,
    data: Supervised,
    settings: TrainSettings,
    work: Path,
    seed: int,
    newest: Path | None,
    progress: bool,
) -> tuple[Any, list[float]]:
    """Train from the checkpoint `newest` on: the student, and the loss of every step."""
    from mechcot.distill import sft

    # TRL and transformers write into the config; the student keeps the base's own.
    config = copy.deepcopy(model.config)
    order = row_order(len(data.rows), settings.epochs, seed)
    total, resumed = n_steps(len(order), settings), _step_of(newest)
    if resumed:
        log.info("going on from step %d of %d", resumed, total)
    history = sft.History()
    bar = Progress("training", total, "step", shown=progress, done=resumed, every=0)
    with bar, sft.quiet_libraries():

        def on_step(loss: float) -> None:
            bar.update(loss=loss)

        trainer = sft.build_trainer(
            model, tokenizer, data, order, settings, work=work, seed=seed, history=history, on_step=on_step
        )
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        student = sft.student_of(trainer, settings)
    student.config = config
    return student, history.losses


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.split("-")[1]) if checkpoint else 0


def _load(folder: Path, data: Supervised, settings: TrainSettings, trust_remote_code: bool) -> Any:
    import torch

    from mechcot.models.devices import usable_device
    from mechcot.models.weights import load_weights

    gpus = 0 if settings.device == "cpu" else torch.cuda.device_count()
    if gpus > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError(
            "mechcot trains in one process on at most one GPU. Make a single one visible, for example "
            "with CUDA_VISIBLE_DEVICES=0, and start without torchrun"
        )
    # A frozen base may lie in bfloat16; weights that are trained need float32 for small updates.
    dtype = getattr(torch, settings.dtype) if settings.lora is not None else torch.float32
    device = usable_device("auto" if gpus else "cpu")
    model = load_weights(folder, dtype, device=device, trust_remote_code=trust_remote_code)
    rows, largest = (
        model.get_input_embeddings().weight.shape[0],
        max(int(r.input_ids.max()) for r in data.rows),
    )
    if largest >= rows:
        raise ModelError(
            f"{folder}: the tokenizer gives token id {largest}, the model has embeddings for {rows} tokens. "
            "Use the tokenizer that belongs to the weights"
        )
    return model


def _card(
    run: str, data: Supervised, settings: TrainSettings, seed: int, result: TrainResult
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run": run,
        "rows": data.digest,
        "n_rows": len(data.rows),
        "n_truncated": data.n_truncated,
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"save_every"}),
        "result": result.to_json(),
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


def _result(losses: list[float], data: Supervised, settings: TrainSettings, seed: int) -> TrainResult:
    rows = [data.rows[i] for i in row_order(len(data.rows), settings.epochs, seed)]
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
