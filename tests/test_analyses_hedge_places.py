import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.hedge.places import scored
from mechcot.core.errors import AnalysisError
from mechcot.models.directions import load_direction
from mechcot.stats.direction_forms import FORMS
from test_analyses_hedge import planted


def places(seed=0, **options):
    """Doubt before the decision at layer 1 alone; at the step's end the hedge itself."""
    X, claims, _ = planted(seed, **options)
    said = X[0].copy()
    said[:, 3] += 4.0 * claims.hedged
    return {("decision", 0): X[0], ("decision", 1): X[1], ("end", 1): said}, claims


def test_every_form_is_found_at_its_place_and_nowhere_else(tmp_path):
    states, claims = places()
    found = scored(states, claims)
    frame = found.to_frame().set_index(["position", "layer", "form"])
    assert len(frame) == 3 * len(FORMS)
    for form in FORMS:
        assert frame.auroc_low["decision", 1, form] > 0.7
        assert frame.auroc_low["decision", 0, form] < 0.5 < frame.auroc_high["decision", 0, form]
        assert frame.auroc["end", 1, form] > 0.95
        vector = found.direction(layer=1, form=form).vector
        assert abs(vector[0]) > 0.8 * np.linalg.norm(vector)
    assert frame.after_hedge.to_dict() == {key: key[0] == "end" for key in frame.index}
    assert frame.cosine["decision", 1, "means"] == pytest.approx(1)
    found.save(tmp_path)
    kept = load_direction(tmp_path / "decision-logistic", layer=1)
    assert np.array_equal(kept.vector, found.direction(layer=1, form="logistic").vector)
    assert (kept.card["position"], kept.card["form"], kept.card["arm"]) == ("decision", "logistic", "base")


def test_shuffled_labels_have_intervals_that_cover_one_half():
    rng, covered = np.random.default_rng(0), []
    for seed in range(25):
        states, claims = places(seed)
        shuffled = claims.groupby("relation").hedged.transform(lambda own: rng.permutation(own.to_numpy()))
        found = scored({("decision", 1): states["decision", 1]}, claims.assign(hedged=shuffled.astype(bool)))
        covered += [one.auroc.low <= 0.5 <= one.auroc.high for one in found.places]
    assert np.mean(covered) > 0.85


def test_a_place_that_is_not_there_is_named():
    states, claims = places()
    found = scored(states, claims)
    with pytest.raises(
        AnalysisError, match=r"no hedge direction at position end, layer 0, form means; there"
    ):
        found.direction(layer=0, position="end")
    with pytest.raises(AnalysisError, match="no kind of claim holds 5 hedged"):
        scored(states, claims.assign(hedged=False))
    with pytest.raises(AnalysisError, match="no claims"):
        scored(states, pd.DataFrame(columns=claims.columns))
