import pytest

from mechcot.analyses.commitment.page import _left_out
from mechcot.analyses.hedge.analysis import LayerScore, NullBand
from mechcot.analyses.hedge.page import _best
from mechcot.stats import Interval


def layers(*scores, chance=0.6):
    """Scores of layers 0, 1, ... as the hedge analysis writes them."""
    band = NullBand(1 - chance, chance, 0.01, 100)
    rows = [
        LayerScore(layer, Interval(estimate, low, estimate + 0.1, 40, "bootstrap", reason=reason), band, band)
        for layer, (estimate, low, reason) in enumerate((*score, "")[:3] for score in scores)
    ]
    return [row.to_json() for row in rows]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (layers((0.5, 0.4), (0.8, 0.7)), "with an AUROC of 0.80 [0.70,\u00a00.90] at layer 1, its best"),
        (layers((0.3, 0.2), (0.45, 0.3)), "only the other way round (an AUROC of 0.30 [0.20,\u00a00.40] at"),
        (layers((0.7, 0.45), (0.6, 0.4)), "no better than by chance (an AUROC of 0.70"),
        (
            layers((0.7, 0.55), (0.6, 0.4), chance=0.75),
            "no better than random directions can (an AUROC of 0.70",
        ),
    ],
)
def test_the_best_layer_is_praised_only_as_far_as_chance_allows(rows, said):
    assert _best(rows).startswith(said)


def test_without_a_value_the_reason_is_told():
    score = LayerScore(0, Interval(None, None, None, 0, "", reason="3 hedged claims"), None, None).to_json()
    assert _best([score]) == "at no layer (3 hedged claims)"


def test_nothing_is_said_of_traces_left_out_where_none_are():
    whole = {"n_traces": 8, "excluded": {"truncated": 0, "no_answer": 0, "no_reading": 0}}
    less = {"n_traces": 5, "excluded": {"truncated": 1, "no_answer": 2, "no_reading": 0}}
    assert _left_out({"a": whole, "b": whole}) == ""
    assert "(0 of a’s 8\u00a0traces and 3 of b’s 8\u00a0traces)" in _left_out({"a": whole, "b": less})
