import numpy as np
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe import Data, FitSettings
from mechcot.probe.control_task import control_job
from mechcot.probe.folds import design
from mechcot.probe.sweeps import sweep


def data(seed=0, *, n_types=300, n=1500, d=400):
    """Steps of repeated types; activations hold the type's own random vector and the true direction."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, n_types, n)
    truth = rng.normal(size=n_types)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * truth[kind]))).astype(np.int64)
    X = 0.3 * rng.normal(size=(n, d))
    X[:, 0] += 3 * truth[kind]
    qid = np.repeat(np.arange(n // 10), 10)
    plan = design(Data(X, y, qid, text=[f"s{i}" for i in range(n)]), FitSettings(seed=seed))
    return rng.normal(size=(n_types, d))[kind], X, plan, [f"type {k}" for k in kind]


def test_a_direction_is_selective_and_a_lookup_table_is_not():
    identity, direction, plan, types = data()
    found = sweep({"direction": direction, "identity": identity}, [control_job(plan, types)])[0]
    assert found["direction"].control < 0.6
    assert found["direction"].selectivity > 0.3
    assert found["identity"].control > 0.8  # memory alone answers
    assert found["identity"].selectivity < 0.15
    assert found["identity"].n_types == len(set(types))


def test_only_steps_of_a_type_seen_in_training_are_scored():
    _, X, plan, types = data()
    types = [f"own {i}" if plan.fold[i] == 0 else kind for i, kind in enumerate(types)]
    found = sweep({0: X}, [control_job(plan, types, 3)])[0][0]
    assert found.n_steps <= (plan.fold != 0).sum()
    with pytest.raises(AnalysisError, match="0 steps are of a type that their training folds have too"):
        control_job(plan, [f"own {i}" for i in range(len(plan.y))], 3)


def test_few_types_are_refused():
    _, _, plan, types = data(n_types=50)
    with pytest.raises(AnalysisError, match="50 types"):
        control_job(plan, types)
