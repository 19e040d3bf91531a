"""Worlds with a known change: each is called what it is, and else no more often than by chance."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mechcot.analyses.arms import Arms
from mechcot.analyses.audit.page import split
from mechcot.analyses.audit.resolution import headline_of, resolutions
from mechcot.analyses.audit.scales import error_scales
from mechcot.core.config import resolve
from mechcot.report.parts import Findings

SEEDS = range(20)
FALSE = int(stats.binom.ppf(0.99, len(SEEDS), 0.05))
"""Calls of what is not there that 95 % intervals make in 20 worlds, but for one time in a hundred."""
QUESTIONS, TRACES, CELLS = 40, 4, 6
CELLS_ARE = "kind x stratum"
LOW = np.array([0.05, 0.1, 0.3, 0.1, 0.2, 0.4])
EVEN = np.ones(CELLS) / CELLS
RARE = np.array([1, 1, 4, 1, 2, 4]) / 13
SPREAD = 0.05
"""Standard deviation over questions of what they add to every cell's rate, in both arms: steps cluster."""


@dataclass(frozen=True)
class World:
    """What the arm after does otherwise than the arm before: six cells evenly, 6 steps a trace, rates LOW."""

    steps: int = 6
    mix: tuple = tuple(EVEN)
    worse: float = 0.0


WORLDS = {
    "length": World(steps=18),
    "within": World(worse=0.10),
    "mix": World(mix=tuple(RARE)),
    "within and mix": World(worse=0.10, mix=tuple(RARE)),
}
TRUE = {
    "length": set(),
    "within": {"total", "within"},
    "mix": {"total", "composition"},
    "within and mix": {"total", "within", "composition"},
}


def arms_of(world, seed):
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, SPREAD, QUESTIONS).clip(-0.05, 0.1)
    hard -= hard.mean()
    ids = [f"q{i:02}" for i in range(QUESTIONS)]
    questions = pd.DataFrame({"qid": ids, "options": [["x", "y"]] * QUESTIONS, "gold": 0})
    tables = []
    for name, own in (("base", World()), ("new", world)):
        q = np.repeat(np.arange(QUESTIONS), TRACES * own.steps)
        cell = rng.choice(CELLS, len(q), p=own.mix)
        steps = pd.DataFrame(
            {
                "qid": np.array(ids)[q],
                "arm": name,
                "cid": np.tile(np.repeat(np.arange(TRACES), own.steps), QUESTIONS),
                "sid": np.tile(np.arange(own.steps), QUESTIONS * TRACES),
                "role": np.array(["find", "fact"])[cell // 3],
                "stratum": np.array(["head", "middle", "tail"])[cell % 3],
                "n_words": rng.integers(3, 8, len(q)),
            }
        )
        wrong = rng.random(len(q)) < np.clip((LOW + own.worse)[cell] + hard[q], 0, 1)
        verdicts = steps[["qid", "arm", "cid", "sid"]].assign(
            instrument="i", label=np.where(wrong, "erroneous", "correct")
        )
        traces = steps[["qid", "arm", "cid"]].drop_duplicates().assign(answer=0)
        tables += [traces, steps, verdicts]
    return Arms(questions, *tables)


def side(interval):
    """Where an interval lies."""
    return "up" if interval["low"] > 0 else "down" if interval["high"] < 0 else "unclear"


@cache
def called(name):
    """Of each of the worlds: what each term reads, the within term, and the report's sentence."""
    found, settings = [], resolve(preset="organism-small")
    for seed in SEEDS:
        sizes = resolutions(arms_of(WORLDS[name], seed).steps)
        headline, reads = headline_of(sizes, CELLS_ARE)
        told = {one.name: one.to_json() for one in sizes}
        audit = {"resolutions": told, "cells": headline.name, "within_reads": reads}
        own = told[headline.name]
        said = {term: side(own[term]) for term in ("total", "composition")} | {
            "within": audit["within_reads"]
        }
        found.append((said, own["within"], split(Findings(settings, {}), audit).sentence))
    return found


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("term", ["total", "composition", "within"])
def test_each_term_is_called_where_it_is_planted(name, term):
    calls = [said[term] for said, _, _ in called(name)]
    if term in TRUE[name]:
        assert calls.count("up") >= len(SEEDS) - 1
        assert "down" not in calls
    else:
        assert len(SEEDS) - calls.count("unclear") <= FALSE, calls


@pytest.mark.parametrize("name", ["length", "within"])
def test_every_scale_says_the_same_where_steps_are_alike(name):
    """Words a step are alike in both arms, so no scale may call length alone a change."""
    found = [error_scales(arms_of(WORLDS[name], seed)).to_json()["scales"] for seed in SEEDS]
    for scale in found[0]:
        calls = [side(scales[scale]) for scales in found]
        if name == "within":
            assert calls.count("up") == len(SEEDS), scale
        else:
            assert len(SEEDS) - calls.count("unclear") <= FALSE, scale


@pytest.mark.parametrize("name", WORLDS)
def test_the_sentence_says_what_its_term_reads(name):
    for said, _, told in called(name):
        ends = {"up": "the error inside cells rises", "down": "the error inside cells falls"}
        for way, words in ends.items():
            assert (words in told) == (said["within"] == way), told


@pytest.mark.parametrize("name", WORLDS)
def test_the_within_term_covers_what_was_planted(name):
    missed = sum(not own["low"] < WORLDS[name].worse < own["high"] for _, own, _ in called(name))
    assert missed <= FALSE
