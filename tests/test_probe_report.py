import io
import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe import Baseline, Data, FitSettings, fit_data, fit_report
from mechcot.probe.fit import Nested
from mechcot.probe.fitting import _edge
from mechcot.probe.incremental import BeyondPosition
from mechcot.probe.nulls import Null, Nulls
from mechcot.probe.verdict import Evidence, verdict_of
from mechcot.stats import Interval

KINDS = np.array(["find", "drug", "lab", "gene"])
FAST = FitSettings(draws=100, null_draws=20, grid=(0.01, 0.1))


def steps(seed=0, *, n_questions=40, n_traces=2, n_steps=8, d=16):
    """Noise activations whose first columns carry position and kind, as in a real model."""
    rng = np.random.default_rng(seed)
    sid = np.tile(np.arange(n_steps), n_questions * n_traces)
    n = len(sid)
    kind = rng.integers(0, len(KINDS), n)
    X = rng.normal(size=(n, d))
    X[:, 0] += 4 * (sid - n_steps / 2) / n_steps * 3
    X[np.arange(n), 1 + kind] += 4
    groups = np.repeat([f"q{q}" for q in range(n_questions)], n_traces * n_steps).tolist()
    confounds = pd.DataFrame({"sid": sid, "n_steps": n_steps, "kind": KINDS[kind]})
    return X, sid, kind, {"groups": groups, "confounds": confounds}, rng


@pytest.fixture(scope="module")
def by_position():
    X, sid, _, given, rng = steps()
    y = (rng.random(len(sid)) < np.where(sid >= 4, 0.97, 0.03)).astype(int)
    text = [f"claim {row}" for row in range(len(sid))]
    return fit_data(Data({3: X, 4: rng.normal(size=X.shape)}, y, **given, text=text), FAST)


def test_position_only_labels_look_good_and_are_found_out(by_position):
    report = by_position
    assert report.auroc.estimate > 0.9
    within = report.within["position"]
    assert within.low < 0.5 < within.high
    assert report.baselines["position_only"].auroc.estimate > 0.9
    assert "not clearly better than knowing the step's position" in report.verdict
    assert "cannot be told from chance" in report.verdict
    assert "The signal is the step's position: alone it scores 0.9" in report.verdict
    assert report.position.gain.high < report.position.margin
    assert any(told in report.verdict for told in ("cannot be told from 0", "no fold used the probe"))
    gain = report.beyond.bits.gain  # exactly 0, without an interval, where no fold added the probe
    assert gain.estimate == 0 if gain.low is None else gain.low <= 0 <= gain.high
    assert report.nulls.redrawn.p is None or report.nulls.redrawn.p > 0.02


def test_kind_only_labels_look_good_and_are_found_out():
    X, _, kind, given, rng = steps(seed=1)
    y = (rng.random(len(kind)) < np.array([0.03, 0.1, 0.9, 0.97])[kind]).astype(int)
    report = fit_data(Data(X, y, **given), FAST)
    assert report.auroc.estimate > 0.85
    assert report.within["kind"].low < 0.5 < report.within["kind"].high
    assert report.baselines["kind_only"].within_kind.estimate == 0.5
    assert "The probe is not clearly better than knowing the kind of step" in report.verdict
    gain = report.beyond.bits.gain  # exactly 0, without an interval, where no fold added the probe
    assert gain.estimate == 0 if gain.low is None else gain.low <= 0 <= gain.high


def test_a_true_direction_under_a_position_confound_is_recovered_within_position():
    X, sid, _, given, rng = steps(seed=2)
    signal = rng.normal(size=len(sid))
    y = (rng.random(len(sid)) < 1 / (1 + np.exp(-(sid - 3.5) - 2.5 * signal))).astype(int)
    told = X.copy()
    told[:, 10] += 2 * signal
    report = fit_data(Data({("end", 0): X, ("end", 1): lambda: told}, y, **given), FAST)
    assert (report.rule, report.layer) == ("end", 1)
    assert report.within["position"].low > 0.6
    assert report.stack.gain.low > 0
    assert report.beyond.bits.gain.low > 0
    assert "The signal is" not in report.verdict
    assert "Beyond the step's position it adds +" in report.verdict
    assert report.position.gain.low > report.position.margin
    spread = report.fold_draws
    assert len(set(spread.auroc.values)) == 5  # every deal is another one
    assert 0.8 < spread.auroc.low < spread.auroc.high < 1
    assert spread.within_position.low > 0.75
    assert (
        f"on 5 deals of the folds, same place and penalty: AUROC {spread.auroc.low:.3f} to" in report.text()
    )
    assert "(a spread, no interval)" in report.text()
    pairs = report.pairs["question and position"]
    assert 0 < pairs < report.pairs["position"]
    assert f"within one question and position ({pairs} pairs)" in report.text()
    weights = np.abs(report.card.coef)
    assert weights.argmax() == 10 or np.abs(report.card.coef[10]) > 0.5 * weights.max()


def test_a_constant_feature_scores_exactly_one_half():
    _, sid, _, given, rng = steps(seed=3)
    y = (rng.random(len(sid)) < np.where(sid >= 4, 0.8, 0.2)).astype(int)
    report = fit_data(Data(np.full((len(sid), 4), 0.1), y, **given), FAST)
    assert report.auroc.estimate == 0.5
    assert report.by_layer[0]["auroc"].estimate == 0.5
    assert report.mass_mean.estimate == 0.5
    assert (report.card.coef == 0).all()
    assert "not distinguishable from chance" in report.verdict


def test_the_report_of_bare_arrays_names_no_baseline_that_it_was_not_given():
    X, sid, _, given, rng = steps(seed=4)
    report = fit_data(Data(rng.normal(size=X.shape), rng.integers(0, 2, len(sid)), given["groups"]), FAST)
    assert abs(report.auroc.estimate - 0.5) < 0.08
    assert report.baselines == {}
    assert report.stack is None
    assert report.beyond is None
    assert list(report.within) == ["question"]
    assert "no texts" in report.notes[0]
    assert "chance" in report.verdict
    assert report.text().splitlines()[0] == "Probe: the label is 1"
    assert "judged" not in report.text()


def test_some_duplicates_are_purged_and_the_share_is_reported(by_position):
    X, sid, _, given, rng = steps(seed=6)
    y = rng.integers(0, 2, len(sid))
    text = [f"claim {i if i % 4 else 0}" for i in range(len(sid))]
    assert by_position.purged_share == 0.0
    report = fit_data(Data(X, y, **given, text=text), FAST)
    assert report.purged_share == pytest.approx(0.25, abs=0.01)


def test_claims_that_all_repeat_are_refused_rather_than_memorised():
    _, sid, _, given, rng = steps(seed=5)
    claim = rng.integers(0, 40, len(sid))
    vectors, labels = rng.normal(size=(40, 16)), rng.integers(0, 2, 40)
    X, y = vectors[claim] + 0.1 * rng.normal(size=(len(sid), 16)), labels[claim]
    assert fit_data(Data(X, y, **given), FAST).auroc.estimate > 0.8
    with pytest.raises(AnalysisError, match=r"purging .* repeated claims"):
        fit_data(Data(X, y, **given, text=[f"claim {c}" for c in claim]), FAST)


def test_arrays_alone_are_the_short_way_to_the_same_report():
    X, sid, _, given, rng = steps(seed=11, n_questions=20)
    y = rng.integers(0, 2, len(sid))
    text = [f"claim {row}" for row in range(len(sid))]
    settings = FitSettings(draws=100, null_draws=5, seed=3)
    short = fit_report(X, y, **given, text=text, settings=settings, meaning="a drug is named")
    long = fit_data(Data(X, y, text=text, **given, meaning="a drug is named"), settings)
    assert short.to_json() == long.to_json()
    assert short.text().splitlines()[0] == "Probe: a drug is named"


@pytest.mark.parametrize("kind", [np.array, pd.Series, lambda x: pd.Series(x, index=range(7, 7 + len(x)))])
def test_columns_may_be_lists_arrays_or_columns_of_a_frame(kind):
    X, sid, _, given, rng = steps(seed=12, n_questions=20)
    y = rng.integers(0, 2, len(sid))
    columns = {
        "groups": given["groups"],
        "text": [f"claim {row}" for row in range(len(sid))],
        "entity": given["groups"],
        "question": given["groups"],
        "subject": [f"s{row % 90}" for row in range(len(sid))],
    }
    fast = replace(FAST, draws=50, null_draws=0)
    one = fit_data(Data(X, y.tolist(), **columns), fast)
    two = fit_data(Data(X, kind(y), **{name: kind(column) for name, column in columns.items()}), fast)
    assert one.to_json() == two.to_json()
    assert one.subjects is not None


def test_confounds_of_the_caller_join_the_stack():
    X, sid, _, given, rng = steps(seed=7)
    hour = rng.normal(size=len(sid))
    y = (rng.random(len(sid)) < 1 / (1 + np.exp(-3 * hour))).astype(int)
    given["confounds"] = given["confounds"].assign(hour=hour, room=rng.choice(["a", "b"], len(sid)))
    report = fit_data(Data(X, y, **given), FAST)
    assert report.baselines["confounds_only"].auroc.estimate > 0.85
    assert report.baselines["stack"].auroc.estimate > 0.85


def test_sources_beside_are_shown_and_never_chosen(by_position):
    X, sid, _, given, rng = steps(seed=8)
    y = rng.integers(0, 2, len(sid))
    knows = X + 5 * y[:, None]
    report = fit_data(Data({("end", 1): X}, y, **given, beside={("mean", 1): lambda: knows}), FAST)
    assert report.by_source["mean", 1].estimate > 0.95
    assert report.auroc.estimate < 0.65
    assert (report.rule, report.layer) == ("end", 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"y": np.zeros(640)}, "0 of 640 steps have the label 1; a probe needs both classes"),
        ({"y": np.full(640, 2)}, "y must be one 0 or 1"),
        ({"X": np.zeros((639, 4))}, r"layer 0: expected \[640, d_model\]"),
        ({"groups": ["a"] * 320 + ["b"] * 320}, "2 questions; grouped folds need at least 10"),
        ({"text": ["a"]}, "text has 1 values for 640 labels"),
        ({"confounds": pd.DataFrame({"sid": [np.nan] * 640})}, "confound 'sid', row 0: 'nan' is no number"),
        (
            {"confounds": pd.DataFrame({"who": [str(i) for i in range(640)]})},
            "confound columns for 640 steps",
        ),
        ({"X": {}}, "no activations"),
    ],
)
def test_bad_input_is_refused_with_its_numbers(change, says):
    X, sid, _, given, rng = steps()
    arguments = {"X": X, "y": rng.integers(0, 2, len(sid)), **given} | change
    with pytest.raises(AnalysisError, match=says):
        fit_data(Data(**arguments), FAST)


@pytest.mark.parametrize("lazily", [False, True])
def test_infinite_activations_are_refused_with_their_layer_and_row(lazily):
    X, sid, _, given, _rng = steps()
    X[5, 2] = np.inf
    with pytest.raises(AnalysisError, match=r"layer .*3.*the first is row 5"):
        fit_data(
            Data({("end", 3): (lambda: X) if lazily else X}, np.tile([0, 1], len(sid) // 2), **given), FAST
        )


def test_one_class_in_a_fold_is_refused_by_the_fold():
    X, sid, _, given, _ = steps()
    y = np.zeros(len(sid), dtype=int)
    y[:4] = 1  # all in the first question: the fold that tests it has nothing to learn from
    with pytest.raises(AnalysisError, match=r"outer fold \d: its \d+ training steps hold 0 erroneous ones"):
        fit_data(Data(X, y, **given), FAST)


def test_json_is_whole_finite_and_the_same_for_the_same_seed(by_position):
    X, sid, _, given, rng = steps()
    y = (rng.random(len(sid)) < np.where(sid >= 4, 0.97, 0.03)).astype(int)
    text = [f"claim {row}" for row in range(len(sid))]
    again = fit_data(Data({3: X, 4: rng.normal(size=X.shape)}, y, **given, text=text), FAST)
    one, two = (json.dumps(report.to_json(), allow_nan=False) for report in (by_position, again))
    assert one == two
    found = json.loads(one)
    assert {(row["rule"], row["layer"]) for row in found["map"]} == {("given", 3), ("given", 4)}
    assert found["nulls"]["redrawn"]["draws"] in (0, 20)


def test_the_table_a_person_reads_holds_every_number_with_its_interval(by_position):
    text, frame = by_position.text(), by_position.to_frame()
    assert by_position.verdict.split(":")[0] in text.replace("\n", " ")
    for value in (by_position.auroc, by_position.baselines["stack"].auroc, by_position.within["question"]):
        assert f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]" in text
    assert "optimistic" in text
    assert "null, labels redrawn" in text
    assert max(len(line) for line in text.splitlines()) <= 130
    assert frame.loc[frame.measure == "nested estimate", "value"].item() == by_position.auroc.estimate
    assert "position only" in by_position._repr_html_()
    statement = by_position.figure().layout.meta["statement"]
    assert by_position.verdict.startswith(statement)


def test_a_bar_is_drawn_in_a_terminal_and_silence_is_kept(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    X, sid, _, given, rng = steps(seed=10)
    y = rng.integers(0, 2, len(sid))
    for progress in (True, False):
        monkeypatch.setattr(sys, "stderr", Terminal())
        fit_data(Data({0: X, 1: X[:, :4]}, y, **given), FAST, progress=progress)
        assert ("probe: 100%" in sys.stderr.getvalue()) is progress
        assert bool(sys.stderr.getvalue()) is progress


def test_a_penalty_at_an_edge_of_the_grid_is_told_with_its_folds():
    X, sid, _, given, rng = steps(seed=9)
    y = (rng.random(len(sid)) < 1 / (1 + np.exp(-2 * X[:, 9]))).astype(int)
    narrow = fit_data(Data(X, y, **given), replace(FAST, grid=(1e-6, 1e-5)))
    assert any("folds chose the weakest penalty of the grid, C 1e-05" in note for note in narrow.notes)
    assert "note: " in narrow.text()
    one = fit_data(Data(X, y, **given), replace(FAST, grid=(0.01,)))
    assert not any("penalty of the grid" in note for note in one.notes)
    chosen = tuple({"C": C} for C in (0.1, 1.0, 0.1, 0.001, 0.1))
    fit = Nested(np.zeros(1), {}, chosen, 0, 0, 0)
    assert _edge(fit, (0.0001, 0.001, 0.1, 1.0, 10.0)) == ""
    assert _edge(fit, (0.001, 0.1, 1.0)) == (
        "1 of 5 folds chose the strongest penalty of the grid, C 0.001: a wider grid might do better; "
        "1 of 5 folds chose the weakest penalty of the grid, C 1: a wider grid might do better"
    )


def interval(mid, low, high):
    return Interval(mid, low, high, 50, "test")


def baseline(auroc, minus):
    return Baseline("x", interval(*auroc), interval(0.5, 0.5, 0.5), interval(*minus), 9, 4)


NULL = Null(0.8, 0.7, 0.75, 0.005, None, 900, 200)
NULLS = Nulls(NULL, NULL, {0: 0.8}, 0.01)


KEPT = dict.fromkeys(("question", "position", "position and length", "kind"), interval(0.7, 0.6, 0.8))
"""Strata of all that the null can keep."""


def said_of(auroc, within, baselines, nulls=NULLS, **more):
    return verdict_of(Evidence(interval(*auroc), within, baselines, None, nulls, **more))


def test_verdicts_say_no_more_than_the_intervals():
    within = {**KEPT, "kind": interval(0.66, 0.6, 0.7), "position": interval(0.7, 0.6, 0.8)}
    kind = baseline((0.81, 0.78, 0.84), (-0.02, -0.05, 0.01))
    auroc = (0.79, 0.76, 0.82)
    assert said_of(auroc, within, {"kind_only": kind}) == (
        "The probe is no better than knowing the kind of step: 0.79 against 0.81. Within one kind it still "
        "separates: 0.66 [0.60, 0.70]. The best layer scores more than question, position, length and kind "
        "explain: p = 0.005 against labels redrawn given these (200 draws)."
    )
    ahead = {"kind_only": baseline((0.78, 0.74, 0.82), (0.01, -0.02, 0.04))}
    assert "not clearly better than knowing the kind" in said_of(auroc, within, ahead)
    worse = {"kind_only": baseline((0.9, 0.88, 0.92), (-0.1, -0.2, -0.05))}
    assert "is worse than knowing the kind" in said_of(auroc, within, worse)
    gone = {**within, "kind": interval(0.5, 0.45, 0.55)}
    assert said_of(auroc, gone, {"kind_only": kind}).startswith(
        "The probe is not clearly better than knowing the kind of step"
    )
    below = said_of((0.4, 0.35, 0.45), within, {"kind_only": kind})
    assert below.startswith("The probe does worse than chance: 0.40 [0.35, 0.45].")
    none = replace(NULL, p=None, reason="labels of 3 steps can move; a p-value needs 50")
    unsure = said_of((0.52, 0.45, 0.6), within, {}, replace(NULLS, redrawn=none))
    assert unsure.startswith("The probe is not distinguishable from chance: 0.52 [0.45, 0.60].")
    assert "labels of 3 steps can move" in unsure


@pytest.mark.parametrize(
    ("p", "draws", "says"),
    [
        (
            0.005,
            200,
            "The best layer scores more than question, position, length and kind explain: p = 0.005",
        ),
        (
            0.07,
            200,
            "The best layer scores not clearly more than question, position, length and kind explain",
        ),
        (0.2, 4, "explain cannot be said with so few draws: p = 0.200 against labels redrawn given these (4"),
    ],
)
def test_a_verdict_reads_its_own_p(p, draws, says):
    null = replace(NULL, p=p, draws=draws)
    assert says in said_of((0.79, 0.76, 0.82), KEPT, {}, Nulls(null, null, {0: 0.8}, 0.01))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("question",), "scores more than question explains: p"),
        (("question", "kind", "position"), "scores more than question, position and kind explain: p"),
        ((), "scores more than on labels dealt out at random: p"),
    ],
)
def test_what_the_null_kept_is_what_was_given(given, says):
    within = {name: interval(0.7, 0.6, 0.8) for name in given}
    assert says in said_of((0.79, 0.76, 0.82), within, {})


ALONE = baseline((0.78, 0.74, 0.82), (0.01, -0.02, 0.04))


@pytest.mark.parametrize(
    ("gain", "alone", "says"),
    [
        (
            (0.0, -0.02, 0.03),
            ALONE,
            "The signal is the step's position: alone it scores 0.78 [0.74, 0.82], and",
        ),
        (
            (0.02, -0.02, 0.06),
            ALONE,
            "What it adds to the step's position is open: +0.020 [-0.020, +0.060] bits",
        ),
        ((0.2, 0.1, 0.3), ALONE, "Beyond the step's position it adds +0.200 [+0.100, +0.300] bits a step. "),
        ((0.02, 0.01, 0.03), ALONE, "lies under the margin of 0.050: +0.020 [+0.010, +0.030] bits a step. "),
        # position alone is not told from chance, or the probe ranks better than it
        ((0.0, -0.02, 0.03), baseline((0.53, 0.45, 0.6), (0.2, -0.1, 0.3)), "lies under the margin"),
        ((0.0, -0.02, 0.03), baseline((0.7, 0.65, 0.75), (0.1, 0.05, 0.15)), "lies under the margin"),
    ],
)
def test_position_is_the_signal_only_under_a_margin_and_where_it_works_alone(gain, alone, says):
    found = BeyondPosition(interval(*gain), 0.05)
    said = said_of((0.79, 0.76, 0.82), {}, {"position_only": alone}, position=found)
    assert says in said
    assert ("The signal is" in said) == says.startswith("The signal is")
