"""The simulation of many GPUs: its closed-form cases, and the page holds what it gave."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "simulate_scale.py"))
Engine, play = SCRIPT["Engine"], SCRIPT["play"]
TASKS = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40)


@given(TASKS)
def test_one_worker_takes_the_sum(tasks: list[float]) -> None:
    done = play(tasks, 1, Engine())
    assert done.wall == pytest.approx(sum(tasks))
    assert done.workers == pytest.approx(1.0)
    assert play(tasks, 1, Engine(start=5.0)).wall == pytest.approx(5.0 + sum(tasks))


@given(st.integers(1, 8), st.integers(1, 6))
def test_equal_tasks_are_shared_evenly(workers: int, rounds: int) -> None:
    assert play([2.0] * (workers * rounds), workers, Engine()).wall == pytest.approx(2.0 * rounds)


@given(st.integers(2, 8), st.integers(1, 30))
def test_one_long_task_at_the_front_is_the_least_time(workers: int, others: int) -> None:
    tasks = [10.0, *[10.0 / others] * (others * (workers - 1))]
    wall = play(tasks, workers, Engine(ahead=1)).wall
    assert wall == pytest.approx(max(sum(tasks) / workers, 10.0))


@settings(deadline=None)
@given(TASKS, st.integers(1, 8))
def test_no_sharing_beats_its_bounds_and_holding_the_last_tasks_keeps_graham_s(
    tasks: list[float], workers: int
) -> None:
    least = max(sum(tasks) / workers, max(tasks))
    one_by_one = play(tasks, workers, Engine(ahead=1)).wall
    assert least - 1e-9 <= one_by_one <= sum(tasks) / workers + max(tasks) * (1 - 1 / workers) + 1e-9
    for hold in (False, True):
        assert play(tasks, workers, Engine(hold_last=hold)).wall >= least - 1e-9


def test_a_driver_that_takes_longer_than_the_workers_is_the_limit() -> None:
    done = play([1.0] * 1000, 100, Engine(keep=0.1))
    assert done.wall == pytest.approx(1000 * 0.1, rel=0.05)
    assert done.driver > 0.95


def test_the_page_and_the_plot_have_the_committed_result() -> None:
    told = json.loads(SCRIPT["OUT"].read_text())["ways"]
    page = SCRIPT["PAGE"].read_text()
    assert SCRIPT["BEGIN"] + SCRIPT["page"](told) + SCRIPT["END"] in page
    assert SCRIPT["PLOT"].read_text() == SCRIPT["drawn"](told)
