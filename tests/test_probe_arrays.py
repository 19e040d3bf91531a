"""A probe on bare arrays: without questions, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mechcot.core.errors import AnalysisError
from mechcot.probe import FitSettings, fit_report

SETTINGS = FitSettings(folds=3, inner=2, draws=100, null_draws=40, grid=(0.01, 1.0))

PLANTED = """
import numpy as np
rng = np.random.default_rng(0)
y = rng.integers(0, 2, 400)
X = rng.normal(size=(400, 6))
X[:, 2] += 1.5 * y
"""

WITHOUT_TORCH = f"""
import json, sys
sys.modules["torch"] = None  # as where it is not installed: to import it fails
{PLANTED}
from pathlib import Path
from mechcot.probe import FitSettings, fit_report, load_card, save_card
found = fit_report(X, y, settings=FitSettings(folds=3, inner=2, draws=100, null_draws=40, grid=(0.01, 1.0)))
wide = fit_report(
    np.hstack([X, rng.normal(size=(400, 500))]),
    y,
    settings=FitSettings(grid=(0.01,), folds=3, inner=2, draws=100, null_draws=0),
)
save_card(found, Path(sys.argv[1]))
same = np.allclose(load_card(sys.argv[1]).score(X), found.card.score(X))
print(json.dumps([found.to_json(), wide.auroc.estimate, bool(same), found.text()]))
"""


def planted() -> tuple[np.ndarray, np.ndarray]:
    given: dict[str, np.ndarray] = {}
    exec(PLANTED, given)
    return given["X"], given["y"]


def test_without_groups_each_row_stands_for_itself_and_the_report_says_so() -> None:
    X, y = planted()
    found = fit_report(X, y, settings=SETTINGS)
    # the AUROC of a normal shift of 1.5 standard deviations is Phi(1.5 / sqrt 2) = .856
    assert found.auroc.low < 0.856 < found.auroc.high
    assert found.n_questions == found.n_blocks == 400
    assert found.within == {}
    assert found.notes[0].startswith("no groups were given, so each of the 400 rows is a question of its own")
    assert found.notes[0] in " ".join(found.text().split())
    assert found.nulls.redrawn.p == pytest.approx(1 / 41)  # rows trade labels freely
    assert fit_report(X, y, settings=SETTINGS).to_json() == found.to_json()
    noise = fit_report(np.random.default_rng(1).normal(size=X.shape), y, settings=SETTINGS)
    assert noise.nulls.redrawn.p > 0.05
    assert noise.auroc.low < 0.5 < noise.auroc.high
    with pytest.raises(AnalysisError, match="9 rows; grouped folds need at least 10"):
        fit_report(X[:9], y[:9])


def test_numpy_alone_gives_the_same_report_as_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    alone, wide, same, text = json.loads(done.stdout)
    X, y = planted()
    here = fit_report(X, y, settings=SETTINGS)
    assert same
    assert wide > 0.6
    assert "resid_post" not in text
    for name in ("auroc", "mass_mean"):
        for end in ("estimate", "low", "high"):
            assert alone[name][end] == pytest.approx(getattr(getattr(here, name), end), abs=1e-3)
    assert alone["nulls"]["redrawn"]["p"] == here.nulls.redrawn.p
    assert alone["n_not_converged"] == 0
