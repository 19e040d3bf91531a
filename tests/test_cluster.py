"""A study by Ray's workers: the bytes of one process, whoever is killed on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from mechcot.core import files
from mechcot.core.manifest import load_manifest
from mechcot.pipeline import run as pipeline
from test_pipeline_kill import SMALL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: pip install 'mechcot[cluster]'"
    ),
]
SHARED = ("sample-base", "facts-distilled", "read-distilled-by-base", "handover-by-base", "probe")
"""Stages whose tasks are shared, one of a kind; workers and driver are killed inside them."""


def begun(study: Path, *more: str, workers: int = 2) -> subprocess.Popen[str]:
    """A run with workers, in a process of its own."""
    run = [sys.executable, "-m", "mechcot", "run", str(study), "--workers", str(workers), "--quiet", *more]
    return subprocess.Popen(run, env=calm(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def calm() -> dict[str, str]:
    """The environment for Ray, whose own processes do not stand warnings as errors."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}


def workers_below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    own = psutil.Process(process.pid).children(recursive=True)
    return [child for child in own if "ray::Worker" in child.name()]


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    _, said = process.communicate(timeout=900)
    assert process.returncode == code, said
    return said


def results(study: Path) -> dict[str, str]:
    """Digest of every file that a run leaves, but for seconds."""
    kept = [p for p in files.files_in(study) if p.name != "manifest.json" and "work" not in p.parts]
    return {p.relative_to(study).as_posix(): files.digest(p) for p in kept}


def sharing(study: Path, stage: str) -> bool:
    """Whether a stage is under way."""
    return (study / "work" / stage / "key").exists() and stage not in load_manifest(study)["stages"]


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    while process.poll() is None:
        found = what()
        if found:
            return found
        time.sleep(0.002)
    return None


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By one process."""
    folder = tmp_path_factory.mktemp("one") / "study"
    given = (*SMALL, "threads=1", "handover={prefixes: 20}")
    pipeline.run(folder, preset="organism-small", overrides=given, seed=3, progress=False)
    return folder


@pytest.fixture
def two(one: Path, tmp_path: Path) -> Path:
    """The same study, for workers: from its sampling on it is made again."""
    return Path(shutil.copytree(one, tmp_path / "study"))


def test_with_workers_that_are_killed_the_files_are_those_of_one_process(one: Path, two: Path) -> None:
    rng, killed = random.Random(1), []
    process = begun(two, "--restart-from", "sample-base")
    for stage in SHARED:
        if wait_for(lambda: sharing(two, stage), process):  # noqa: B023 - called at once
            time.sleep(rng.uniform(0, 0.3))
            found = workers_below(process)
            if found:
                rng.choice(found).kill()
                killed.append(stage)
    said = ended(process)
    assert len(killed) >= 3, said
    assert results(two) == results(one)
    before = load_manifest(two)
    pipeline.run(two, progress=False)
    assert load_manifest(two) == before, "one process finds all of it done"


def test_a_driver_that_is_killed_goes_on_to_the_same_files(one: Path, two: Path) -> None:
    rng, killed, more = random.Random(2), [], ("--restart-from", "sample-base")
    for stage in SHARED[:4]:
        process = begun(two, *more)
        more = ()
        if wait_for(lambda: sharing(two, stage), process):  # noqa: B023 - called at once
            time.sleep(rng.uniform(0, 0.5))
            killed.append(stage)
        own = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, alive = psutil.wait_procs([p for p in own if "agent" not in p.name().lower()], timeout=60)
        assert not alive, "what belongs to the run ends with it"
        for agent in own:  # Ray's agents look for their parent once a minute
            if agent.is_running():
                agent.kill()
    assert len(killed) >= 3
    ended(begun(two, *more))
    assert results(two) == results(one)


def test_ray_listens_on_this_machine_alone_and_tells_nobody(two: Path) -> None:
    process = begun(two, "--restart-from", "sample-distilled")

    assert wait_for(lambda: len(workers_below(process)) == 2, process), process.communicate()
    heard, told = set(), set()
    while process.poll() is None:
        try:
            all_of = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for one_of in all_of:
            try:
                for at in one_of.net_connections("inet"):
                    heard |= {at.laddr.ip} if at.status == psutil.CONN_LISTEN else set()
                    told |= {at.raddr.ip} if at.raddr else set()
            except psutil.Error:
                continue
        time.sleep(0.2)
    ended(process)
    here = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert heard, "it listens"
    assert heard <= here
    assert told <= here
    assert not (Path.home() / ".ray" / "auth_token").exists() or "RAY_AUTH_TOKEN" in os.environ


def test_a_task_that_ends_its_worker_each_time_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    script = """
import json, os, sys
from pathlib import Path
from mechcot.core.cluster import workers_of
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.journal import Journal
from mechcot.core.work import WorkUnit, content_key, done_by, map_tasks

def do(resources, task):
    if task.arguments[0] == 3:
        os.kill(os.getpid(), 9)
    return task.arguments[0]

folder = Path(sys.argv[1])
(folder / "work").mkdir()
journal = Journal(folder / "journal.jsonl")
with workers_of(EngineSettings(workers=2), 1, folder, dict) as cluster, done_by(cluster):
    try:
        map_tasks(do, [WorkUnit(content_key(i), (i,)) for i in range(6)], None, journal=journal)
    except Exception as error:
        kept = sorted(journal.results.values())
        print(json.dumps([type(error).__name__, str(error), kept, len(journal.entries)]))
"""
    run = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(run, env=calm(), capture_output=True, text=True)
    kind, text, kept, lines = json.loads(done.stdout.splitlines()[-1])
    assert kind == "WorkError"
    assert "1 of 6 tasks failed 3 times, first task 4 ((3,)): its worker was lost" in text
    assert (kept, lines) == ([0, 1, 2, 4, 5], 5)


def test_more_than_there_is_room_for_is_refused_before_work_starts(two: Path) -> None:
    gpus = "engine={workers: 2, gpus_per_worker: 100}"
    said = ended(begun(two, "--set", gpus, "--restart-from", "sample-base"), 1)
    assert "Ask for fewer" in said
