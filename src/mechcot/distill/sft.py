"""The one module that touches TRL: its SFT trainer on rows that are tokenised and labelled already.

What TRL and transformers do by themselves and mechcot decides otherwise: the order of rows and the
rate (`schedule`), the padding (by lengths, so that a pad token that is also the end of text cannot
hide it), no metrics but the loss, no model cards, no reports to anyone.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging as hf_logging
from trl import SFTConfig, SFTTrainer

from mechcot.core.errors import ModelError, TrainingError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import checkpoints, ranks
from mechcot.distill.batches import check_packing, collate, pack
from mechcot.distill.masks import IGNORED, Row
from mechcot.distill.schedule import rate_factor
from mechcot.distill.student import adapter, diverged
from mechcot.distill.training import Training

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class History:
    """The loss of every optimiser step so far, and of the batches of the one under way."""

    losses: list[float] = field(default_factory=list)
    pending: float = 0.0

    def close_step(self) -> float:
        """Take the batches of a step together."""
        self.losses.append(self.pending)
        self.pending = 0.0
        return self.losses[-1]


def build_trainer(
    model: Any,
    tokenizer: Any,
    training: Training,
    work: Path,
    history: History,
    on_step: Callable[[int, float, Any], bool],
) -> SFTTrainer:
    """A trainer, not yet started.

    Args:
        model: a causal LM; trained in place.
        tokenizer: its tokenizer.
        training: the rows, their order, and how they are trained on.
        work: where checkpoints go.
        history: filled with the loss of every step.
        on_step: called behind each step with its number, loss and model, before a checkpoint is
            written; whether to stop there.

    Raises:
        ModelError: the adapter does not fit the model.
        TrainingError: TRL or transformers refuse the call.
    """
    settings, rows = training.settings, training.data.rows
    lay = pack if settings.packing else collate
    if settings.packing:
        check_packing(
            model, [rows[i] for i in training.order()[: min(4, settings.batch_size)]], training.base
        )
    try:
        trainer = _Trainer(
            model=model,
            args=_arguments(settings, work, training.seed),
            train_dataset=Dataset.from_dict({"row": _shared_out(training)}),
            processing_class=tokenizer,
            data_collator=lambda items: lay([_row(rows, item["row"]) for item in items]),
            callbacks=[_Keeper(history, on_step, settings)],
            peft_config=adapter(settings),
        )
    except ValueError as error:
        if settings.lora is not None:
            raise ModelError(f"the adapter of settings.lora does not fit the model: {error}") from error
        raise TrainingError(f"the trainer refuses this call: {error}") from error
    trainer.settings, trainer.history = settings, history
    trainer.remove_callback(PrinterCallback)
    return trainer


def _shared_out(training: Training) -> list[int]:
    """Row numbers in the order of training; -1, where several processes share the last step unevenly."""
    order = training.order().tolist()
    together = training.settings.batch_size * training.settings.processes
    missing = -len(order) % together if training.settings.processes > 1 else 0
    return order + [-1] * missing


def _row(rows: Sequence[Row], number: int) -> Row:
    """A row; for -1 one of which nothing is trained, so that no row counts twice."""
    if number >= 0:
        return rows[number]
    return replace(rows[0], labels=np.full_like(rows[0].labels, IGNORED))


class _Trainer(SFTTrainer):
    """SFT with our schedule, the loss alone as metric, and an end at the first loss that is no number."""

    settings: TrainSettings
    history: History

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The schedule of `rate_factor`; its position is part of every checkpoint."""
        settings = self.settings
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer, lambda step: rate_factor(step, num_training_steps, settings)
        )
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy, nats, summed and divided by the trained tokens of the whole step.

        TRL's head, which never holds all logits, saves memory on an accelerator. On a processor the
        model's own head takes a third less time.
        """
        if inputs["input_ids"].device.type != "cpu" or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if num_items_in_batch is None:
            return model(**inputs, use_cache=False).loss
        loss = model(**inputs, use_cache=False, num_items_in_batch=num_items_in_batch).loss
        # The tokens are those of all processes, whose gradients are averaged.
        return loss * self.accelerator.num_processes

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One batch forward and back."""
        loss = super().training_step(*args, **kwargs)
        value = self.accelerator.gather(loss).mean().item()
        if not math.isfinite(value):
            raise diverged(f"the loss of step {self.state.global_step + 1} is {value}")
        self.history.pending += value
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Not written."""

    def _send_telemetry(self) -> None:
        """Nothing is sent to anyone."""


class _Keeper(TrainerCallback):
    """Closes steps, and marks checkpoints that are written to their end."""

    def __init__(
        self, history: History, on_step: Callable[[int, float, Any], bool], settings: TrainSettings
    ) -> None:
        self.history, self.on_step, self.settings = history, on_step, settings

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """On going on: what was loaded must be what was saved."""
        if state.global_step == 0:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        kept = checkpoints.read_state(folder)
        if kept["weights"] != sample_digest(model):
            raise TrainingError(
                f"{folder}: its weights do not load back as they were saved; the checkpoint was discarded. "
                "The same call starts from the beginning"
            )
        self.history.losses[:] = kept["losses"]

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The last step needs no checkpoint: the student itself is written next."""
        if self.on_step(state.global_step, self.history.close_step(), model):
            control.should_training_stop = True
        if state.global_step >= state.max_steps or control.should_training_stop:
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """All files of the checkpoint are written, by every process."""
        ranks.meet(self.settings)
        if not ranks.is_first():
            return
        kept = {"step": state.global_step, "losses": self.history.losses, "weights": sample_digest(model)}
        checkpoints.complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", kept)


def sample_digest(model: Any, most: int = 64) -> str:
    """SHA-256 over up to `most` evenly spaced values of every trained parameter: cheap, yet telling."""
    total = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            flat = parameter.detach().reshape(-1)
            values = flat[:: max(1, len(flat) // most)].float().cpu().numpy()
            total.update(name.encode() + values.tobytes())
    return total.hexdigest()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the libraries' notices and bars; errors still come through."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")  # peft sets it right itself
            # peft up to 0.21 asks transformers 5.24 for its old name; nobody else's warning is hidden.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


def _arguments(settings: TrainSettings, work: Path, seed: int) -> SFTConfig:
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(work),
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        num_train_epochs=1,  # all epochs are in `order`
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=settings.dtype == "bfloat16",
        use_cpu=on_cpu,
        ddp_find_unused_parameters=False if settings.processes > 1 else None,
        activation_checkpointing=not on_cpu,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        dataloader_pin_memory=not on_cpu,
        save_strategy="steps",
        save_steps=settings.save_every,
        save_total_limit=None,  # `checkpoints.complete` drops the older ones, after its mark
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        seed=seed % 2**32,
    )
