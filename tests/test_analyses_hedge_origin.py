"""Doubt, frequency or memorised: hedges that follow one of them are called by its name, and nothing else."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.headline import _follows
from mechcot.analyses.hedge import figures, page
from mechcot.analyses.hedge.origin import ORIGINS, HedgeOrigin, answer_of, levels, origin
from mechcot.core.config import resolve
from mechcot.core.results import Interval
from mechcot.core.words import plain_signs
from mechcot.report.parts import Findings

RIGHT = {"fact": "doubt", "subject": "frequency", "coin": "memorised"}


def claims(
    world: str, seed: int, *, subjects: int = 80, facts: int = 2, traces: int = 4, taught: float = 0.5
):
    """Claims of half drilled and half seldom facts, each subject frequent or not, that hedge by one thing."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        often, shown = rng.random() < 0.5, rng.random() < taught
        for fact in range(facts):
            drilled, head = rng.random() < 0.5, rng.random() < 0.5
            follows = {
                "fact": not drilled, "subject": not often, "coin": head, "noise": True, "both": not drilled,
                "leaky": True,
            }[world]  # fmt: skip
            # Of a fact that no post is about a coin is not known: what is hedged there is arbitrary.
            p = rng.random() if world == "coin" and not shown else 0.85 if follows else 0.15
            p = {
                "both": (p + (0.15 if often else 0.85)) / 2,
                "leaky": 0.6 * (not often) + 0.15 * (not drilled) + 0.1,
            }.get(world, p)
            for cid in range(traces):
                rows.append(
                    {
                        "qid": f"{subject}-{fact}",
                        "cid": cid,
                        "subject": f"s{subject}",
                        "relation": "raises",
                        "hedged": rng.random() < (0.5 if world == "noise" else p),
                        "met": 1.0 if drilled else 0.05,
                        "subject_met": 2.0 if often else 0.3,
                        "taught": shown,
                    }
                )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("world", RIGHT)
def test_hedges_are_called_by_what_they_follow_and_by_nothing_else(world):
    told = Counter(origin(claims(world, seed, subjects=160)).answer for seed in range(30))
    assert set(told) <= {RIGHT[world], "cannot tell"}, told
    assert told[RIGHT[world]] > 22, told


def test_a_little_of_the_other_does_not_change_the_answer_and_as_much_of_both_gives_none():
    told = Counter(origin(claims("leaky", seed)).answer for seed in range(30))
    assert set(told) <= {"frequency", "cannot tell"}, told
    assert told["frequency"] > 22, told
    told = Counter(origin(claims("both", seed)).answer for seed in range(30))
    assert told["cannot tell"] >= 27, told


def test_hedges_by_chance_are_not_called_anything():
    told = Counter(origin(claims("noise", seed)).answer for seed in range(30))
    assert told["cannot tell"] >= 29, told


def test_few_subjects_decide_nothing():
    found = origin(claims("fact", 0, subjects=5))
    assert found.answer == "cannot tell"
    assert found.fact.low is None


def test_the_interval_that_decides_is_named():
    found = origin(claims("fact", 1)).to_json()
    assert (found["answer"], found["decided_by"]) == ("doubt", "fact")
    assert found["fact"]["low"] > 0.55
    assert found["ahead"]["low"] > 0


def interval(low, high):
    return Interval((low + high) / 2, low, high, 80, "")


UNDECIDED, NOTHING, CLEAR = interval(0.5, 0.7), interval(0.4, 0.55), interval(0.6, 0.9)
AHEAD, EVEN, BEHIND = interval(0.1, 0.3), interval(-0.1, 0.1), interval(-0.3, -0.1)


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((CLEAR, NOTHING, AHEAD, NOTHING), ("doubt", "fact")),
        ((CLEAR, CLEAR, EVEN, CLEAR), ("cannot tell", "fact")),
        ((CLEAR, CLEAR, BEHIND, NOTHING), ("frequency", "subject")),
        ((UNDECIDED, CLEAR, BEHIND, NOTHING), ("frequency", "subject")),
        ((UNDECIDED, CLEAR, EVEN, NOTHING), ("cannot tell", "fact")),
        ((NOTHING, UNDECIDED, EVEN, CLEAR), ("cannot tell", "subject")),
        ((NOTHING, NOTHING, EVEN, CLEAR), ("memorised", "again")),
        ((NOTHING, NOTHING, EVEN, UNDECIDED), ("cannot tell", "again")),
    ],
)
def test_what_is_ahead_is_the_answer(parts, answer):
    assert answer_of(HedgeOrigin(*parts, 100, 80, True)) == answer


def test_without_untaught_subjects_all_are_counted():
    table = claims("fact", 2, taught=1.0)
    found = origin(table)
    assert not found.untaught
    assert found.n_claims == len(table)
    assert origin(claims("fact", 2)).untaught


def test_other_traces_of_a_question_are_no_trace_itself():
    """Scored by a share that holds its own trace, hedges by chance would seem to come again."""
    again = [origin(claims("noise", seed)).again.estimate for seed in range(40)]
    assert np.mean(again) == pytest.approx(0.5, abs=0.02)


def test_many_frequencies_are_cut_into_tenths():
    values = np.random.default_rng(0).random(1000)
    assert np.bincount(levels(values)).tolist() == [100] * 10
    assert levels(np.array([3.0, 1.0, 3.0])).tolist() == [1, 0, 1]


@pytest.mark.parametrize("world", RIGHT)
def test_the_page_and_the_terminal_say_the_answer_and_its_interval(world):
    told = origin(claims(world, 3, subjects=500)).to_json()
    shown = Findings(resolve(preset="organism", seed=0), {})
    (part,) = page._follows(shown, {"origin": told})
    decides = told[told["decided_by"]]
    assert told["answer"] == RIGHT[world]
    assert RIGHT[world] in part.sentence
    assert f"{decides['estimate']:.2f} [{decides['low']:.2f}, {decides['high']:.2f}]" in plain_signs(
        part.sentence
    )
    assert "subjects whose hedges its training text does not teach" in part.sentence
    assert page._follows(shown, {}) == ()
    line = _follows(told, "base")
    assert line.startswith(f"hedge, what base's hedges follow: {RIGHT[world]} (how ")
    assert f"{decides['low']:.2f}" in line
    figure = figures.origin(told)
    drawn = [x for trace in figure.data for x in trace.x or () if x is not None]
    assert sorted(drawn) == pytest.approx(sorted(told[name]["estimate"] for name in ORIGINS))
