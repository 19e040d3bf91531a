import json

import numpy as np
import pytest

from mechcot.errors import AnalysisError
from mechcot.probe import fit_report
from mechcot.probe.report import Baseline, in_words
from mechcot.stats import Interval

ROLES = np.array(["find", "drug", "lab", "gene"])
FAST = {"draws": 200, "null_draws": 20, "seed": 0}


def steps(seed=0, *, n_questions=60, n_traces=3, n_steps=8, d=24, shuffle_kinds=False):
    """A design with noise activations; position is carried by the first columns, as in a real model."""
    rng = np.random.default_rng(seed)
    sid = np.tile(np.arange(n_steps), n_questions * n_traces)
    n = len(sid)
    kind = rng.integers(0, len(ROLES), n) if shuffle_kinds else (sid // 2) % len(ROLES)
    X = rng.normal(size=(n, d))
    X[:, 0] += 4 * (sid - n_steps / 2) / n_steps * 3
    X[np.arange(n), 1 + kind] += 4
    qid = np.repeat([f"q{q}" for q in range(n_questions)], n_traces * n_steps)
    meta = {
        "qid": qid.tolist(),
        "group": [f"g{int(q[1:]) // 2}" for q in qid],
        "text": [f"claim {i}" for i in range(n)],
        "role": ROLES[kind].tolist(),
        "sid": sid.tolist(),
        "n_steps": [n_steps] * n,
    }
    return X, sid, kind, meta, rng


def test_position_only_labels_look_good_and_are_found_out():
    X, sid, _, meta, rng = steps(shuffle_kinds=True)
    y = (rng.random(len(sid)) < np.where(sid >= 4, 0.97, 0.03)).astype(int)
    report = fit_report({0: X}, y, **meta, **FAST)
    assert report.auroc.estimate > 0.9
    within = report.within["position"]
    assert within.low < 0.5 < within.high
    assert report.baselines["position_only"].auroc.estimate > 0.9
    assert "no better than knowing the step's position" in report.verdict
    assert "cannot be told from chance" in report.verdict
    assert report.null.p is None or report.null.p > 0.02


def test_kind_only_labels_look_good_and_are_found_out():
    X, _, kind, meta, rng = steps(seed=1, shuffle_kinds=True)
    y = (rng.random(len(kind)) < np.array([0.03, 0.1, 0.9, 0.97])[kind]).astype(int)
    report = fit_report({0: X}, y, **meta, **FAST)
    assert report.auroc.estimate > 0.85
    assert report.within["kind"].low < 0.5 < report.within["kind"].high
    assert report.baselines["kind_only"].within_kind.estimate == 0.5
    assert "no better than knowing the kind of step" in report.verdict


def test_a_true_direction_under_a_position_confound_is_recovered_within_position():
    X, sid, _, meta, rng = steps(seed=2, shuffle_kinds=True)
    signal = rng.normal(size=len(sid))
    y = (rng.random(len(sid)) < 1 / (1 + np.exp(-(sid - 3.5) - 2.5 * signal))).astype(int)
    X2 = X.copy()
    X2[:, 10] += 2 * signal
    report = fit_report({0: X, 1: X2}, y, **meta, **FAST)
    assert report.within["position"].low > 0.6
    assert report.layer == 1
    assert report.baselines["position_only"].probe_minus.low > 0
    assert "still separates" in report.verdict


def test_a_constant_feature_scores_exactly_one_half():
    _, sid, _, meta, rng = steps(seed=3)
    y = (rng.random(len(sid)) < np.where(sid >= 4, 0.8, 0.2)).astype(int)
    report = fit_report({0: np.full((len(sid), 4), 0.1)}, y, **meta, **FAST)
    assert report.auroc.estimate == 0.5
    assert report.by_layer[0].estimate == 0.5
    assert report.null.observed == 0.5


def test_pure_noise_is_chance():
    X, sid, _, meta, rng = steps(seed=4)
    noise = rng.normal(size=X.shape)
    y = rng.integers(0, 2, len(sid))
    report = fit_report({0: noise, 1: rng.normal(size=X.shape)}, y, **meta, **FAST)
    assert abs(report.auroc.estimate - 0.5) < 0.06
    assert "not distinguishable from chance" in report.verdict


def test_duplicated_claims_across_questions_do_not_inflate():
    # 40 claims, each with a fixed label and a fixed vector: memorising them is worth nothing on new ones
    _, sid, _, meta, rng = steps(seed=5)
    claim = rng.integers(0, 40, len(sid))
    vectors, labels = rng.normal(size=(40, 24)), rng.integers(0, 2, 40)
    X, y = vectors[claim] + 0.1 * rng.normal(size=(len(sid), 24)), labels[claim]
    known = fit_report({0: X}, y, **meta, **FAST)
    meta["text"] = [f"claim {c}" for c in claim]
    assert known.auroc.estimate > 0.85
    with pytest.raises(AnalysisError, match=r"purging .* repeated claims"):
        fit_report({0: X}, y, **meta, **FAST)


def test_some_duplicates_are_purged_and_the_share_is_reported():
    X, sid, _, meta, rng = steps(seed=6)
    y = rng.integers(0, 2, len(sid))
    assert fit_report({0: X}, y, **meta, **FAST).purged_share == 0.0
    meta["text"] = [f"claim {i if i % 4 else 0}" for i in range(len(sid))]
    assert fit_report({0: X}, y, **meta, **FAST).purged_share == pytest.approx(0.25, abs=0.01)


def test_uncertainty_baselines_are_scored_where_they_are_defined():
    X, sid, _, meta, rng = steps(seed=7)
    y = rng.integers(0, 2, len(sid))
    entropy = y + 0.5 * rng.normal(size=len(sid))
    gaps = np.where(np.arange(len(sid)) % 3 == 0, np.nan, entropy)
    report = fit_report({0: X}, y, **meta, signals={"entropy_end": entropy, "entropy_object": gaps}, **FAST)
    assert report.baselines["entropy_end"].auroc.estimate > 0.85
    assert report.baselines["entropy_object"].n_steps == int(np.isfinite(gaps).sum())
    assert report.baselines["entropy_end"].probe_minus.high < 0
    assert report.baselines["stack"].auroc.estimate > 0.8
    assert "oracle" in report.baselines["entropy_object"].label
    with pytest.raises(AnalysisError, match="entropie"):
        fit_report({0: X}, y, **meta, signals={"entropie": entropy}, **FAST)


def test_bad_input_is_refused_with_its_numbers():
    X, sid, _, meta, rng = steps(n_questions=12)
    y = rng.integers(0, 2, len(sid))
    with pytest.raises(AnalysisError, match=f"0 of {len(sid)} steps are erroneous"):
        fit_report({0: X}, np.zeros(len(sid)), **meta)
    broken = X.copy()
    broken[5, 2] = np.inf
    with pytest.raises(AnalysisError, match=r"layer 3: 1 of .* the first is row 5"):
        fit_report({3: broken}, y, **meta)
    with pytest.raises(AnalysisError, match="expected"):
        fit_report({0: X[:-1]}, y, **meta)
    with pytest.raises(AnalysisError, match="must be one 0"):
        fit_report({0: X}, y + 1, **meta)
    with pytest.raises(AnalysisError, match="role has 3 values"):
        fit_report({0: X}, y, **{**meta, "role": ["a", "b", "c"]})
    small = {name: values[:192] for name, values in meta.items()}
    with pytest.raises(AnalysisError, match="8 questions"):
        fit_report({0: X[:192]}, y[:192], **small)


def test_more_confounds_than_steps_is_refused():
    X, _, _, meta, _ = steps(n_questions=20, n_traces=1, n_steps=2)
    meta["role"] = [f"role {i}" for i in range(len(X))]
    y = np.tile([0, 1], 20)
    with pytest.raises(AnalysisError, match="confound columns for 40 steps"):
        fit_report({0: X}, y, **meta)


def test_same_seed_same_report():
    X, sid, _, meta, rng = steps(seed=8, n_questions=20)
    y = rng.integers(0, 2, len(sid))
    one, two = (
        json.dumps(fit_report({0: X}, y, **meta, **FAST).to_json(), allow_nan=False) for _ in range(2)
    )
    assert one == two


def interval(mid, low, high):
    return Interval(mid, low, high, 50, "test")


def test_verdict_in_words():
    kind = Baseline(
        "kind", interval(0.81, 0.78, 0.84), interval(0.5, 0.5, 0.5), interval(-0.02, -0.05, 0.01), 9, 4
    )
    within = {"kind": interval(0.66, 0.6, 0.7), "position": interval(0.7, 0.6, 0.8)}
    text = in_words(interval(0.79, 0.76, 0.82), within, {"kind_only": kind})
    assert text == (
        "The probe is no better than knowing the kind of step: 0.79 against 0.81. "
        "Within one kind it still separates: 0.66 [0.60, 0.70]."
    )
    stack = Baseline(
        "all", interval(0.9, 0.88, 0.92), interval(0.8, 0.7, 0.9), interval(-0.1, -0.2, -0.05), 9, 9
    )
    better = in_words(interval(0.79, 0.76, 0.82), within, {"kind_only": kind, "stack": stack})
    assert better == text + " Position, kind and uncertainty together do better: 0.90."
    assert "chance" in in_words(interval(0.52, 0.45, 0.6), within, {"kind_only": kind})


def test_verdict_says_no_more_than_the_intervals():
    """A lead that its interval does not bear out is no tie, and below chance is not at chance."""
    within = {"kind": interval(0.4, 0.35, 0.45), "position": interval(0.7, 0.6, 0.8)}
    ahead = Baseline(
        "kind", interval(0.78, 0.74, 0.82), interval(0.5, 0.5, 0.5), interval(0.01, -0.02, 0.04), 9, 4
    )
    text = in_words(interval(0.79, 0.76, 0.82), within, {"kind_only": ahead})
    assert text == (
        "The probe is not clearly better than knowing the kind of step: 0.79 against 0.78. "
        "Within one kind it does worse than chance: 0.40 [0.35, 0.45]."
    )
    below = in_words(interval(0.4, 0.35, 0.45), within, {"kind_only": ahead})
    assert below == "The probe does worse than chance: 0.40 [0.35, 0.45]."
