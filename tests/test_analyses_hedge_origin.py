"""Doubt, frequency or memorised: hedges that follow one of them are called by its name, and nothing else."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mechcot.analyses.hedge.origin import answer_of, levels, origin

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
            follows = {"fact": not drilled, "subject": not often, "coin": head, "noise": True}[world]
            # Of a fact that no post is about a coin is not known: what is hedged there is arbitrary.
            p = rng.random() if world == "coin" and not shown else 0.85 if follows else 0.15
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
    undecided = {"low": 0.5, "high": 0.7}
    below, above = {"low": 0.4, "high": 0.55}, {"low": 0.6, "high": 0.9}
    assert answer_of(undecided, above, above) == ("cannot tell", "fact")
    assert answer_of(below, undecided, above) == ("cannot tell", "subject")
    assert answer_of(below, above, undecided) == ("frequency", "subject")
    assert answer_of(below, below, below) == ("cannot tell", "again")


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
