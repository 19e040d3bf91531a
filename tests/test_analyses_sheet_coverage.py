"""How often the corrected intervals of a sheet hold the true difference; questions are new each time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.sheet.draw import _members, _shares
from mechcot.analyses.sheet.findings import _corrected
from mechcot.analyses.sheet.population import cells, label_column
from sheet_cases import BIASED, RATES

QUESTIONS, SIZE, STEPS, RUNS = 150, 12, 300, 80


def _population(rng):
    parts = []
    for arm, rate in RATES.items():
        truth = rng.random(QUESTIONS * SIZE) < np.repeat(rng.beta(4 * rate, 4 * (1 - rate), QUESTIONS), SIZE)
        calls = {
            "first": rng.random(len(truth)) < np.where(truth, BIASED.hits[arm], BIASED.alarms[arm]),
            "second": rng.random(len(truth)) < np.where(truth, 0.8, 0.1),
        }
        labels = {label_column(k): np.where(said, "erroneous", "correct") for k, said in calls.items()}
        keys = {"qid": np.repeat(np.arange(QUESTIONS), SIZE), "sid": np.tile(np.arange(SIZE), QUESTIONS)}
        truth = np.where(truth, "erroneous", "correct")
        parts.append(pd.DataFrame({**keys, **labels, "arm": arm, "cid": 0, "label": truth}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instruments", "low", "high"),
    # cells by disagreement too leave less error than the intervals, which know the first judge's labels
    [(["first"], 0.88, 1.0), (["first", "second"], 0.9, 1.0)],
)
def test_coverage(instruments, low, high):
    rng = np.random.default_rng(7)
    arms = ("base", "distilled")
    gap = RATES["distilled"] - RATES["base"]
    hits = dict.fromkeys(("design", "prediction"), 0)
    naive = []
    for _ in range(RUNS):
        table = _population(rng)
        members = _members(cells(table, instruments))
        shares = _shares(members, arms, STEPS)
        picked = [rng.choice(rows, shares[key], replace=False) for key, rows in members.items()]
        weights = [len(rows) / shares[key] for key, rows in members.items()]
        once = table.loc[np.concatenate(picked)]
        once = once.assign(weight=np.repeat(weights, [len(rows) for rows in picked]))
        for method in hits:
            found = _corrected(table.drop(columns="label"), once, label_column("first"), arms, method)
            hits[method] += found.difference.low <= gap <= found.difference.high
        naive.append(found.naive)
    assert abs(np.mean(naive) - gap) > 0.2
    for method, count in hits.items():
        assert low <= count / RUNS <= high, (method, count / RUNS)
