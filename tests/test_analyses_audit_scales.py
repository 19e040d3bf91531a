from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.arms import Arms
from mechcot.analyses.audit.analysis import analyse
from mechcot.analyses.audit.scales import error_scales
from mechcot.core.errors import AnalysisError
from test_analyses_audit import AFTER, BEFORE, GOLDS, make_arm, make_questions


def tables():
    before, after = make_arm("base", BEFORE), make_arm("distilled", AFTER)
    after[1]["n_words"] = np.arange(len(after[1])) + 1
    return make_questions(GOLDS), *before, *after


def test_every_scale_of_a_study_small_enough_to_count_by_hand():
    result = error_scales(Arms(*tables()))
    assert result.arms == ("base", "distilled")
    # 4 correct and 3 erroneous before, of 5 words each; the failure and the plan are no judged steps
    assert (result.n_erroneous[0], result.n_judged[0], result.n_words[0]) == (3, 7, 35)
    audit = analyse(Arms(*tables()))
    assert result.scales["risk"].difference == audit.delta
    assert result.scales["risk"].se == audit.delta_se
    assert result.scales["per_100_words"].before == pytest.approx(300 / 35)
    rates = [wrong / judged for wrong, judged in zip(result.n_erroneous, result.n_judged, strict=True)]
    odds = [np.log(rate / (1 - rate)) for rate in rates]
    assert result.scales["log_odds"].difference.estimate == pytest.approx(odds[1] - odds[0])
    assert result.scales["cloglog"].before == pytest.approx(np.log(-np.log(1 - rates[0])))
    # every step before has 5 words, so the offset only moves the intercept
    assert result.scales["cloglog_with_length"].before == pytest.approx(
        result.scales["cloglog"].before - np.log(5)
    )
    assert result.scales["cloglog_with_length"].after != pytest.approx(
        result.scales["cloglog"].after - np.log(5)
    )


def test_result_is_json_and_a_frame_and_one_line():
    result = error_scales(Arms(*tables()))
    loaded = json.loads(json.dumps(result.to_json(), allow_nan=False))
    names = "risk per_100_words log_odds log_odds_with_length cloglog cloglog_with_length"
    assert " ".join(loaded["scales"]) == names
    frame = result.to_frame().set_index("scale")
    assert frame.loc["log_odds", "ratio"] == pytest.approx(np.exp(frame.loc["log_odds", "estimate"]))
    assert np.isnan(frame.loc["risk", "ratio"])
    assert repr(result).startswith("ErrorScales(base -> distilled, exact: risk ")
    assert "cloglog" in result._repr_html_()


def test_an_arm_without_errors_has_risks_and_no_odds():
    questions, *arms = tables()
    arms[2] = arms[2].assign(label=arms[2].label.where(arms[2].label != "erroneous", "correct"))
    result = error_scales(Arms(questions, *arms))
    assert result.scales["risk"].difference.estimate == pytest.approx(
        result.n_erroneous[1] / result.n_judged[1]
    )
    assert result.scales["log_odds"].difference.reason == "no judged step before is wrong"
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (
            2,
            lambda steps: steps.assign(n_words=(steps.qid != "q0").astype(int)),
            "steps before: 4 judged steps have no words",
        ),
        (3, lambda verdicts: verdicts.assign(instrument="other"), "different instruments"),
        (6, lambda verdicts: pd.concat([verdicts, verdicts]), "more than once"),
    ],
)
def test_bad_tables_are_named(place, change, words):
    given = list(tables())
    given[place] = change(given[place])
    with pytest.raises(AnalysisError, match=words):
        error_scales(Arms(*given))
