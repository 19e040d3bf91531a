"""What the judge makes of statements of known truth, and whether it can tell whose step it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from mechcot.analyses.judge_controls.counts import DECIDED, Arms, Estimates
from mechcot.analyses.judge_controls.parts import Decoys, GuessArm
from mechcot.stats.auroc import cluster_bootstrap_auroc


def decoys(items: pd.DataFrame, arms: Arms, asked: Estimates) -> Callable[[], Decoys] | None:
    """Sensitivity to false decoys and specificity on true ones, by arm.

    Args:
        items: of `checked_items`.
        arms: of the items.
        asked: takes the quantities.

    Returns:
        What makes the result once the quantities are estimated; None without decoys.
    """
    rows = items[items["control"] == "decoy"]
    if rows.empty:
        return None
    planted = {truth: rows[rows["variant"] == truth] for truth in ("true", "false")}
    right = {"true": "correct", "false": "erroneous"}
    places = {
        truth: asked.ask_pair(*arms.ratios(own, own["label"] == right[truth], own["label"].isin(DECIDED)))
        for truth, own in planted.items()
    }
    counts = {
        (arm, truth): labels
        for truth, own in planted.items()
        for arm, labels in zip(arms.names, arms.labels(own), strict=True)
    }
    return lambda: Decoys(asked.pair(places["false"]), asked.pair(places["true"]), counts)


def guess_arm(items: pd.DataFrame, arms: Arms, draws: int, seed: int) -> GuessArm | None:
    """AUROC of the judge's probability that the arm after wrote a step; None where it guessed nothing.

    Args:
        items: of `checked_items`.
        arms: of the items.
        draws: bootstrap replicates of the questions.
        seed: of the resampling.
    """
    rows = items[items["control"] == "guess-arm"]
    if rows.empty:
        return None
    guessed = rows[rows["score"].notna()]
    found = cluster_bootstrap_auroc(
        guessed["score"].to_numpy(dtype=np.float64),
        guessed["late"].to_numpy(dtype=bool),
        np.zeros(len(guessed), dtype=np.int64),  # nothing was fitted: all pairs count
        guessed["qid"],
        draws,
        seed,
    )
    if found.estimate is None:
        found = replace(found, reason="the judge guessed no step of one of the arms")
    n_steps = arms.count(guessed, pd.Series(True, index=guessed.index))
    return GuessArm(auroc=found, n_steps=n_steps, n_failed=len(rows) - len(guessed))
