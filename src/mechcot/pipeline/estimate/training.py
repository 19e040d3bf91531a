"""How long a training will take here, by the operations of its weights."""

from __future__ import annotations

from mechcot.distill.training import Training
from mechcot.pipeline.estimate.rows import USE
from mechcot.pipeline.estimate.weights import measured_rate, weights_of


def time_of(training: Training) -> str:
    """The time of a prepared training, or why it is not foretold, as a sentence."""
    weights = weights_of(training.base, training.base.name)
    if weights is None:
        return "Time: not foretold, since the checkpoint's files do not say how many weights it has."
    tokens = sum(len(row.input_ids) for row in training.data.rows) * training.settings.epochs
    passes = 3 if training.settings.lora is None else 2
    rate, what = measured_rate()
    seconds = passes * 2 * weights.active * tokens / (rate * USE["training"])
    told = f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 3600:,.1f} hours"
    return (
        f"Time: about {told} here, within a factor of about three: {passes} forward passes' worth of "
        f"{tokens:,.0f} tokens and {weights.active / 1e6:,.1f} million weights, at "
        f"{100 * USE['training']:.0f}% of the {rate / 1e9:,.0f} billion operations a second measured here "
        f"({what})."
    )
