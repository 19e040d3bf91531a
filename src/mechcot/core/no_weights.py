"""Studies whose arms are all given as traces: what of the settings asks for weights that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mechcot.core.errors import UsageError

NO_WEIGHTS = (
    "this needs a model's weights, and all arms of the study are given as traces; make a study whose arms "
    "name the checkpoints (arms.NAME.model)"
)


def need_weights(path: Path, settings: Any) -> None:
    """Refuse to ask anything of the weights of a study that has none.

    Args:
        path: of the study.
        settings: of it (`Settings`, which imports this file).

    Raises:
        UsageError: all its arms are given as traces.
    """
    if settings.given:
        raise UsageError(f"{path}: {NO_WEIGHTS}")


def check_no_weights(settings: Any) -> None:
    """Refuse settings that ask something of weights.

    Args:
        settings: of a study (`Settings`, which imports this file).

    Raises:
        ValueError: with the setting, and what to do.
    """
    asked: dict[str, Any] = {
        "sampling.greedy": settings.sampling.greedy,
        "knowledge.pairs": settings.knowledge.pairs,
        "reading.readers": settings.reading.readers,
        "traces.forced": settings.traces is not None and settings.traces.forced,
        "traces.inside": settings.traces is not None and settings.traces.inside,
    }
    sections = ("handover", "causes", "weights", "localisation", "steering")
    asked |= {name: getattr(settings, name) is not None for name in sections}
    for name, there in asked.items():
        if there:
            raise ValueError(f"{name}: {NO_WEIGHTS}")
