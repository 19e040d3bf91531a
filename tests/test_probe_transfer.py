import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mechcot import Study
from mechcot.analyses.probe.analysis import probe_of
from mechcot.core.errors import AnalysisError
from mechcot.core.records import VERDICTS, write_table
from mechcot.probe import FitSettings, ProbeSpec
from mechcot.probe.metrics import auroc_interval
from mechcot.probe.transfer import _pairs_by_stratum, _sides, transfer_matrix
from mechcot.stats import fold_auroc, stratified_auroc

D = 8
FAST = FitSettings(draws=200)


def side(seed, arm="base", *, n_questions=40, n_steps=8, direction=0, strength=2.5, kinds=None, claims=None):
    """A table of steps whose errors one column of the activations carries."""
    rng = np.random.default_rng(seed)
    sid = np.tile(np.arange(n_steps), n_questions)
    n = len(sid)
    signal = rng.normal(size=n)
    X = rng.normal(size=(n, D))
    X[:, direction] += 2 * signal
    y = (rng.random(n) < 1 / (1 + np.exp(-strength * signal))).astype(int)
    role = (np.array(["find", "drug"])[rng.integers(0, 2, n)] if kinds is None else kinds(rng, n)).tolist()
    qid = np.repeat([f"q{i}" for i in range(n_questions)], n_steps)
    table = pd.DataFrame(
        {
            "qid": qid,
            "arm": arm,
            "cid": 0,
            "sid": sid,
            "group": [f"g{int(q[1:]) // 2}" for q in qid],
            "text": [f"{arm} claim {i}" for i in range(n)] if claims is None else claims(rng, n),
            "role": role,
            "y": y,
        }
    )
    return {0: rng.normal(size=(n, D)), 1: X}, table


def test_the_same_direction_transfers_and_another_does_not():
    many = {"n_questions": 100}
    cells = {
        "base": side(0, **many),
        "distilled": side(1, "distilled", **many),
        "other": side(2, "other", direction=3, **many),
    }
    found = transfer_matrix(cells, FAST)
    assert found.cell("base", "distilled").auroc.low > 0.75
    assert found.cell("base", "distilled").matched.low > 0.7
    assert found.cell("base", "distilled").minus_own.high > -0.02
    far = found.cell("base", "other")
    assert abs(far.auroc.estimate - 0.5) < 0.1
    assert far.minus_own.high < -0.2
    assert far.minus_home.high < -0.2
    for name in cells:
        same = found.cell(name, name)
        assert (same.minus_own.estimate, same.minus_own.low) == (0, None)
        assert same.minus_home.estimate == 0
    assert all(row["layer"] == 1 for item in found.training for row in item.chosen)
    assert found.matrix().loc["base", "other"] == far.auroc.estimate
    assert found.matrix("matched").shape == (3, 3)
    assert far.n_steps == 800
    assert far.prevalence == pytest.approx(cells["other"][1].y.mean())
    assert len(found.to_frame()) == 9
    assert "lowest off the diagonal: " in repr(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_no_question_group_or_claim_is_on_both_sides():
    repeated = lambda rng, n: [f"claim {i}" for i in rng.integers(0, 400, n)]  # noqa: E731
    cells = {"base": side(0, claims=repeated), "far": side(1, "far", n_questions=60, claims=repeated)}
    sides, n_questions = _sides(cells, FAST)
    assert n_questions == 60
    names = list(cells)
    for a in sides:
        for b in sides:
            for fold in range(5):
                train = cells[a.name][1][a.plan.train[fold]]
                test = cells[b.name][1][b.plan.fold == fold]
                assert len(train)
                assert len(test)
                for column in ("qid", "group", "text"):
                    assert not set(train[column]) & set(test[column])
    found = transfer_matrix({name: cells[name] for name in names}, FAST)
    assert found.training[0].purged_share > 0.1


def test_memorised_claims_do_not_transfer():
    """Claims that carry a fixed vector and label, shared by both sides: there is nothing else to learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 150)
    cells, unpurged = {}, {}
    for number, name in enumerate(("base", "distilled")):
        _, table = side(number, name, n_questions=60)
        claim = rng.integers(0, 150, len(table))
        X = {0: (np.eye(150) + 0.01 * rng.normal(size=(150, 150)))[claim]}
        table = table.assign(y=labels[claim])
        unpurged[name] = (X, table)
        cells[name] = (X, table.assign(text=[f"claim {c}" for c in claim]))
    assert transfer_matrix(unpurged, FAST).cell("base", "distilled").auroc.estimate > 0.9
    cell = transfer_matrix(cells, FAST).cell("base", "distilled")
    assert cell.auroc.low < 0.5 < cell.auroc.high
    with pytest.raises(AnalysisError, match=r"after purging \d+ repeated claims; both classes"):
        transfer_matrix(
            {name: (X, table.assign(text="the same")) for name, (X, table) in cells.items()}, FAST
        )


def test_scores_equal_scikit_learn_on_the_same_rows():
    cells = {"base": side(0), "distilled": side(1, "distilled")}
    found = transfer_matrix(cells, FitSettings(grid=(0.1,), draws=200))
    sides, _ = _sides(cells, FAST)
    a, b = sides
    expected = np.zeros(len(b.plan.y))
    for fold in range(5):
        layer = found.training[0].chosen[fold]["layer"]
        # the solver scales by all rows of the training side, which moves nothing but the penalty
        scaler = StandardScaler().fit(a.X[layer])
        model = make_pipeline(scaler, LogisticRegression(C=0.1, tol=1e-8))
        rows = a.plan.train[fold]
        model[-1].fit(scaler.transform(a.X[layer][rows]), a.plan.y[rows])
        tested = b.plan.fold == fold
        expected[tested] = model[-1].decision_function(scaler.transform(b.X[layer][tested]))
    cell = found.cell("base", "distilled")
    assert cell.auroc.estimate == pytest.approx(fold_auroc(expected, b.plan.y, b.plan.fold), abs=1e-3)
    interval = auroc_interval(expected, b.plan)
    assert (cell.auroc.low, cell.auroc.high) == pytest.approx((interval.low, interval.high), abs=2e-3)
    pairs = [_pairs_by_stratum(one) for one in sides]
    weights = np.minimum(*pairs)
    by_hand = [
        stratified_auroc(expected[here], b.plan.y[here], b.plan.fold[here], None)
        for here in (b.stratum == s for s in range(len(weights)))
    ]
    mean = sum(w * part.auroc for w, part in zip(weights, by_hand, strict=True) if w) / weights.sum()
    assert cell.matched.estimate == pytest.approx(mean, abs=2e-3)
    assert pairs[1].tolist() == [part.n_pairs for part in by_hand]


def kind_probe_cells(seed=0):
    """Errors depend on the kind alone; the sides differ in their mix of kinds."""
    cells = {}
    for number, (name, share) in enumerate({"even": 0.5, "rare": 0.08}.items()):
        rng = np.random.default_rng(seed + number)
        _, table = side(seed + number, name, n_questions=80)
        drug = rng.random(len(table)) < share
        y = (rng.random(len(table)) < np.where(drug, 0.85, 0.15)).astype(int)
        X = rng.normal(size=(len(table), D))
        X[:, 0] += 4 * drug
        table = table.assign(role=np.where(drug, "drug", "find"), y=y)
        cells[name] = ({0: X}, table)
    return cells


def test_a_probe_of_the_kind_is_chance_once_matched_and_the_mix_moves_only_the_rest():
    found = transfer_matrix(kind_probe_cells(), FAST)
    even, rare = found.cell("even", "even"), found.cell("even", "rare")
    assert even.auroc.estimate - rare.auroc.estimate > 0.1  # another mix of kinds alone
    for cell in (even, rare):
        assert cell.matched.low < 0.5 < cell.matched.high
    assert rare.minus_home.low < 0 < rare.minus_home.high
    assert even.n_strata == 16
    assert 8 <= rare.n_strata < 16  # the rare kind is not everywhere
    assert found.cell("rare", "even").matched_share < rare.matched_share == even.matched_share == 1


def test_matching_gives_the_strata_one_weight_on_every_side():
    """The probe sees errors of one kind only; a side with less of that kind looks worse until matched."""
    cells = {}
    for number, (name, share) in enumerate({"much": 0.8, "little": 0.25}.items()):
        rng = np.random.default_rng(number)
        _, table = side(number, name, n_questions=120)
        seen = rng.random(len(table)) < share
        y = rng.integers(0, 2, len(table))
        X = rng.normal(size=(len(table), D))
        X[:, 0] += 3 * y * seen
        cells[name] = ({0: X}, table.assign(role=np.where(seen, "seen", "unseen"), y=y))
    found = transfer_matrix(cells, FAST)
    cell = found.cell("much", "little")
    assert found.cell("much", "much").auroc.estimate - cell.auroc.estimate > 0.15
    assert cell.minus_home.low < 0 < cell.minus_home.high
    assert abs(cell.minus_home.estimate) < 0.06


def test_sides_without_a_kind_in_common_have_no_matched_number():
    cells = {"base": side(0), "far": side(1, "far", kinds=lambda rng, n: np.full(n, "gene"))}
    cell = transfer_matrix(cells, FAST).cell("base", "far")
    assert cell.auroc.estimate > 0.7
    assert cell.matched.estimate is None
    assert "on both sides" in cell.matched.reason
    assert cell.matched_pairs == 0


def test_another_judge_on_the_same_activations():
    X, table = side(0, n_questions=80)
    rng = np.random.default_rng(5)
    noisy = table.assign(y=np.where(rng.random(len(table)) < 0.2, 1 - table.y, table.y))
    found = transfer_matrix({"exact": (X, table), "noisy": (X, noisy)}, FAST)
    # trained on noisy labels, the probe is nearly as good against the exact ones as their own
    assert found.cell("noisy", "exact").minus_own.estimate > -0.05
    assert found.cell("noisy", "exact").auroc.estimate > found.cell("noisy", "noisy").auroc.estimate + 0.05


def test_same_seed_same_result():
    cells = {"base": side(0), "distilled": side(1, "distilled")}
    assert transfer_matrix(cells, FAST).to_json() == transfer_matrix(cells, FAST).to_json()


def test_bad_input_is_refused():
    (X, table), other = side(0), side(1, "distilled")
    with pytest.raises(AnalysisError, match="at least two"):
        transfer_matrix({"base": (X, table)}, FAST)
    with pytest.raises(AnalysisError, match="no layer is there on every side"):
        transfer_matrix({"base": ({0: X[0]}, table), "distilled": ({7: other[0][0]}, other[1])}, FAST)
    with pytest.raises(AnalysisError, match="differ in width"):
        transfer_matrix({"base": (X, table), "distilled": ({1: other[0][1][:, :3]}, other[1])}, FAST)
    with pytest.raises(AnalysisError, match=r"side 'base', layer 0: expected \[320, d_model\]"):
        transfer_matrix({"base": ({0: X[0][:-1], 1: X[1]}, table), "distilled": other}, FAST)
    broken = X[1].copy()
    broken[4, 0] = np.nan
    with pytest.raises(AnalysisError, match=r"side 'base', layer 1: 1 of 320 .* row 4"):
        transfer_matrix({"base": ({0: X[0], 1: broken}, table), "distilled": other}, FAST)
    with pytest.raises(AnalysisError, match="side 'base': 0 of 320 steps"):
        transfer_matrix({"base": (X, table.assign(y=0)), "distilled": other}, FAST)
    with pytest.raises(AnalysisError, match="side 'base': question q0, arm base, trace 0, step 0 occurs"):
        transfer_matrix({"base": (X, table.assign(sid=0)), "distilled": other}, FAST)
    with pytest.raises(AnalysisError, match="side 'base': 5 questions"):
        transfer_matrix({"base": ({1: X[1][:40]}, table[:40]), "distilled": other}, FAST)
    with pytest.raises(AnalysisError, match="there is no entry 'a' on 'b'"):
        transfer_matrix({"base": (X, table), "distilled": other}, FAST).cell("a", "b")


def test_on_the_organism_a_probe_of_a_noisy_judge_is_scored_against_the_exact_checker(study, tmp_path):
    """A second instrument's verdicts lie beside the checker's: each trains a probe that meets both."""
    shutil.copytree(study.path, tmp_path / "study", ignore=shutil.ignore_patterns("models", "work"))
    rng = np.random.default_rng(0)
    for arm in ("base", "distilled"):
        exact = study.verdicts(arm)
        turned = exact["label"].map({"correct": "erroneous", "erroneous": "correct"}).fillna(exact["label"])
        label = exact["label"].where(rng.random(len(exact)) > 0.25, turned)
        noisy = exact.assign(label=label, instrument="noisy", reason="")
        write_table(tmp_path / "study" / "arms" / arm / "verdicts" / "noisy.parquet", noisy, VERDICTS)
    spec = ProbeSpec(untrained=False, ablate=0, null_draws=0, bootstrap=100, beside=())
    report = probe_of(Study.open(tmp_path / "study"), "distilled", None, spec)
    own, other = "distilled read by distilled", "distilled read by distilled, judged by noisy"
    names = [item.side for item in report.transfer.training]
    assert names[-1] == other
    assert len(report.transfer.cells) == len(names) ** 2 == 25
    cell = report.transfer.cell
    # noise in the labels that test a probe lowers its score, whichever labels trained it
    assert cell(other, own).auroc.estimate > cell(other, other).auroc.estimate
    assert cell(own, own).auroc.estimate > cell(own, other).auroc.estimate
    text = report.text()
    assert f"{len(names)}  {other}" in text
    told = f"{cell(other, own).auroc.estimate:.2f} ({cell(other, own).matched.estimate:.2f})"
    assert told in next(line for line in text.splitlines() if line.startswith(f"{len(names)}  {other}"))
    assert text.count("Use: ") == 1
