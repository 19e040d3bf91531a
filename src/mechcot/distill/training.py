"""What a student is to be taught: the base, the rows and their order, the settings, the seed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mechcot.core import files
from mechcot.core.training_settings import TrainSettings
from mechcot.distill import checkpoints
from mechcot.distill.masks import Supervised
from mechcot.distill.schedule import row_order

DECIDING = ("torch", "transformers", "trl", "peft", "accelerate")
"""Packages whose version may change the weights."""


def deciding(settings: TrainSettings) -> tuple[str, ...]:
    """The packages that a training needs, each of which may change the weights."""
    quantised = settings.lora is not None and settings.lora.base is not None
    return (*DECIDING, "bitsandbytes") if quantised else DECIDING


@dataclass(frozen=True)
class Training:
    """A training that has not begun.

    Attributes:
        base: checkpoint folder.
        data: the rows, from `masks.supervised`.
        settings: of the training.
        seed: of the order of rows, of adapters and of dropout.
        report: what the loss covers.
        trust_remote_code: whether the base's own code may run.
    """

    base: Path
    data: Supervised
    settings: TrainSettings
    seed: int
    report: str = ""
    trust_remote_code: bool = False

    def order(self) -> NDArray[np.int64]:
        """Row numbers in the order of training, `[rows seen]`."""
        return row_order(len(self.data.rows), self.settings.epochs, self.seed)

    def fingerprint(self) -> str:
        """Digest of everything that decides the weights."""
        return checkpoints.fingerprint(
            {
                "rows": self.data.digest,
                "base": files.digest(self.base),
                "settings": self.settings.model_dump(mode="json", exclude={"save_every", "launch"}),
                "seed": self.seed,
                "versions": {name: metadata.version(name) for name in deciding(self.settings)},
            }
        )
