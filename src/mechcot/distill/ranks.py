"""A training that several processes share: which of them this is, and waiting for the others."""

from __future__ import annotations

import os

from mechcot.core.errors import TrainingError
from mechcot.core.training_settings import TrainSettings


def started() -> int:
    """How many processes `accelerate launch` or `torchrun` has started for this training; 1: none has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def are_missing(settings: TrainSettings) -> bool:
    """Whether the processes of a training are still to be started: nobody else has started any."""
    return settings.processes > 1 and started() == 1


def is_first() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"


def local() -> int:
    """Number of this process on its machine, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def meet(settings: TrainSettings) -> None:
    """Wait until every process of the training is here; at once where there is one.

    Args:
        settings: of the training; the first meeting makes the connection, on the device that they name.
    """
    if started() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=settings.device == "cpu" or not torch.cuda.is_available()).wait_for_everyone()


def check(settings: TrainSettings) -> None:
    """Refuse a start that is not the one of the settings.

    Raises:
        TrainingError: another number of processes, or a way to share weights that was not tried.
    """
    if started() != 1 and started() != settings.processes:
        raise TrainingError(
            f"{started()} processes were started, and the setting processes is {settings.processes}: rows a "
            f"step, and with them the student, depend on it. Set processes={started()}, or start as many"
        )
    sharded = [
        name
        for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")
        if os.environ.get(name, "false").lower() in ("true", "1")
    ]
    if sharded:
        raise TrainingError(
            f"{sharded[0]} is set: a model whose weights are cut over processes is not trained here, each "
            "process holds the whole. Take it out of accelerate's configuration, or train elsewhere and name "
            "the student with `model:`"
        )
