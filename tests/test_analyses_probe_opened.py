"""`study.probe` opens what lies in the study, and fits only when asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mechcot import Study
from mechcot.analyses.probe import opened
from mechcot.analyses.probe.untrained import in_untrained_weights
from mechcot.core.errors import AnalysisError, StudyError, UsageError
from mechcot.probe import ProbeReport, ProbeSpec, solver
from mechcot.study.writing import InUse, locked

FAST = ProbeSpec(
    name="fast",
    layers=(1,),
    grid=(0.01, 0.1),
    null_draws=5,
    bootstrap=100,
    beside=(),
    folds=2,
    inner_folds=2,
    ablate=0,
    untrained=False,
    transfer=False,
)


@pytest.fixture(scope="module")
def own(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, ProbeReport]:
    """A study that is written to, and a probe that was fitted on it."""
    folder = tmp_path_factory.mktemp("opened") / "study"
    shutil.copytree(study.path, folder, ignore=shutil.ignore_patterns("work"))
    copy = Study.open(folder)
    with pytest.raises(AnalysisError, match=r"mechcot probe .* --author distilled --spec FILE"):
        copy.probe("distilled", spec=FAST)
    return copy, copy.probe("distilled", spec=FAST, refit=True, progress=False)


def test_what_the_run_fitted_is_opened_and_nothing_is_fitted(study: Study, monkeypatch) -> None:
    monkeypatch.setattr(solver, "solve", None)
    monkeypatch.setattr(opened, "probe_of", None)
    found = study.probe("distilled")
    assert json.loads(json.dumps(found.to_json())) == study.result("probe")["distilled"]
    said = " ".join(found.text().split())
    assert found.verdict in said
    assert "resid_post, layer" in said
    assert found.figure().data
    assert list(found.baselines)[:3] == ["position_only", "length_only", "kind_only"]
    with pytest.raises(UsageError, match=r"not its card\. `mechcot probe STUDY`, or .*refit=True"):
        found.card.score([[0.0]])
    assert not hasattr(found, "cards")


def test_two_probes_at_once_read_untrained_weights_apart(own, monkeypatch) -> None:
    copy, _ = own
    spec = FAST.model_copy(update={"untrained": True})
    with in_untrained_weights(copy, "distilled", "distilled", spec, False) as (first, notes):
        monkeypatch.setattr("os.getpid", lambda: 1)  # another process
        with in_untrained_weights(copy, "distilled", "distilled", spec, False) as (second, _):
            assert len(list((copy.path / "work" / "probe").glob("untrained-*"))) == 2
            there, again = (one.layer("resid_post", 1) for one in (first, second))
            assert np.array_equal(there, again)
        assert len(first.layer("resid_post", 1)) == len(there)  # the second's end takes its own alone
        monkeypatch.undo()
    assert notes == ()
    assert not list((copy.path / "work").glob("probe/untrained-*"))


def test_a_probe_is_fitted_when_asked_and_then_opened_as_it_was(own) -> None:
    copy, fitted = own
    again = copy.probe("distilled", spec=FAST)
    assert again.to_json() == fitted.to_json()
    assert again.text() == fitted.text()
    assert list(again.baselines) == list(fitted.baselines)
    assert list(again.within) == list(fitted.within)
    assert np.array_equal(again.scores, fitted.scores)
    assert np.array_equal(again.fold, fitted.fold)
    assert np.array_equal(again.card.coef, fitted.card.coef)
    assert again.rows.equals(fitted.rows.astype(again.rows.dtypes))
    # another specification is another probe
    with pytest.raises(AnalysisError, match="holds no probe of the specification 'fast' as given"):
        copy.probe("distilled", spec=FAST.model_copy(update={"folds": 3}))
    assert copy.probe("distilled").n_folds == copy.settings.analysis.folds


def test_a_probe_of_what_has_changed_since_is_not_opened(own) -> None:
    copy, _ = own
    meta = copy.reading_path("distilled") / "activations" / "meta.json"
    about = meta.read_text()
    meta.write_text(json.dumps(json.loads(about) | {"model_digest": "another"}))
    with pytest.raises(AnalysisError, match="as they are now"):
        copy.probe("distilled", spec=FAST)
    meta.write_text(about)
    assert copy.probe("distilled", spec=FAST).n_steps > 0


def test_to_fit_takes_the_study_s_lock(own) -> None:
    copy, _ = own
    with locked(copy.path), pytest.raises(InUse, match="in use by process"):
        copy.probe("distilled", spec=FAST, refit=True, progress=False)


def test_a_result_of_another_version_says_what_to_do(study: Study, tmp_path: Path) -> None:
    found = study.result("probe")["distilled"]
    about = {"name": "x", "probe": {"site": "resid_post"}}
    with pytest.raises(StudyError, match=r"another version of mechcot \(ProbeReport: 'n_steps' is missing\)"):
        opened._opened(tmp_path / "probe.json", {k: v for k, v in found.items() if k != "n_steps"}, about)
