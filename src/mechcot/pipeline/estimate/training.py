"""How long a training will take here, by the cost model."""

from __future__ import annotations

import torch

from mechcot.distill.training import Training
from mechcot.pipeline.estimate.load import training as load_of
from mechcot.pipeline.estimate.machines import machine_here
from mechcot.pipeline.estimate.result import time_words
from mechcot.pipeline.estimate.weights import weights_of


def time_of(training: Training) -> str:
    """The time of a prepared training, or why it is not foretold, as a sentence."""
    weights = weights_of(training.base, training.base.name)
    if weights is None:
        return "Time: not foretold, since the checkpoint's files do not say how many weights it has."
    rows, epochs = len(training.data.rows), training.settings.epochs
    tokens = sum(len(row.input_ids) for row in training.data.rows) * epochs
    here = machine_here().cores(torch.get_num_threads())
    load = load_of(
        weights, training.settings, tokens=tokens, rows=rows * epochs, context=tokens / rows / epochs
    )
    return (
        f"Time: about {time_words(load.seconds(here))} here, within a factor of about three: {tokens:,.0f} "
        f"tokens and {weights.active / 1e6:,.1f} million weights, {load.operations:.2g} operations at "
        f"{100 * here.reached['training']:.0f} % of {here.flops / 1e9:,.0f} billion a second ({here.name}, "
        f"{here.status}: {here.source}); it waits for {load.bound(here)}."
    )
