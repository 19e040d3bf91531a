import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mechcot.core.errors import AnalysisError, DataError
from mechcot.probe import Data, FitSettings, fit_data, load_card, save_card


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 12)) * np.arange(1, 13) + 3
    X[:, 5] = 2.5  # constant: it has no say
    y = (rng.random(400) < 1 / (1 + np.exp(-(X[:, 0] - 3)))).astype(int)
    groups = np.repeat([f"q{i}" for i in range(40)], 10).tolist()
    confounds = pd.DataFrame({"sid": np.tile(np.arange(10), 40), "n_steps": 10})
    about = {"name": "mine", "site": "resid_post", "source": {"model_digest": "abc"}}
    settings = FitSettings(draws=100, null_draws=5)
    report = fit_data(Data({("end", 7): X}, y, groups, confounds), settings, about=about)
    folder = tmp_path_factory.mktemp("card")
    save_card(report, folder)
    return report, X, y, folder


def test_the_card_scores_as_scikit_learns_probe_on_all_rows(fitted):
    report, X, y, folder = fitted
    scaled = StandardScaler().fit_transform(X)
    model = LogisticRegression(C=report.C, tol=1e-10, max_iter=10_000).fit(scaled, y)
    assert np.allclose(load_card(folder).score(X), model.decision_function(scaled), atol=1e-4)
    assert np.array_equal(load_card(folder / "card.json").score(X), report.card.score(X))


def test_the_card_tells_what_it_is(fitted):
    report, _, _, folder = fitted
    card = load_card(folder)
    assert card.about["probe"] | {"iterations": 0} == {
        "site": "resid_post", "rule": "end", "layer": 7, "C": report.C, "d_model": 12, "rows": 400,
        "iterations": 0, "converged": True,
    }  # fmt: skip
    assert card.about["metrics"] == json.loads(json.dumps(report.to_json()))
    assert len(card.about["split"]) == 40
    assert set(card.about["split"].values()) == set(range(5))
    assert report.verdict in card.about["words"]["is"]
    assert "No evidence that the model uses" in card.about["words"]["is_not"]
    assert "layer 7" in repr(card)


def test_loading_and_scoring_need_no_torch(fitted):
    code = (
        "import sys, numpy as np; from mechcot.probe import load_card; "
        f"card = load_card({str(fitted[3])!r}); print(card.score(np.ones((3, 12))).shape, "
        "[m for m in ('torch', 'transformers', 'sklearn', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3,) []"


def test_what_does_not_fit_is_refused(fitted):
    card = load_card(fitted[3])
    with pytest.raises(AnalysisError, match=r"reads \[rows, 12\] activations, got \[3, 11\]"):
        card.score(np.ones((3, 11)))
    with pytest.raises(
        AnalysisError, match="1 of 3 rows have NaN or infinite activations, the first is row 1"
    ):
        card.score(np.where(np.arange(3)[:, None] == 1, np.inf, np.ones((3, 12))))


def _copied(fitted, tmp_path):
    for file in fitted[3].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "probe.safetensors").unlink(), "is missing or not the file"),
        (lambda f: (f / "card.json").unlink(), "cannot be read"),
        (lambda f: (f / "card.json").write_text("{}"), "expected a probe card"),
        (lambda f: (f / "card.json").write_text('{"format": "mechcot-probe/1"}'), "is damaged"),
        (
            lambda f: (f / "probe.safetensors").write_bytes(
                (f / "probe.safetensors").read_bytes()[:-1] + b"\0"
            ),
            "not the file that card.json was written with",
        ),
    ],
)
def test_a_damaged_card_is_refused(fitted, tmp_path, damage, says):
    folder = _copied(fitted, tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=says):
        load_card(folder)


def test_equal_reports_give_equal_bytes(fitted, tmp_path):
    save_card(fitted[0], tmp_path)
    for file in fitted[3].iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
