"""The engine with many workers: Ray's, on this machine or on a cluster. Nothing else knows of Ray.

A worker is a process that gets function and resources of a piece of work once (`core.remade`), does one task
at a time, and saves what it made while it does the next. The driver hands out tasks, and writes into the
journal what comes back. A worker that dies is replaced, and its tasks are done again.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mechcot.core import files, remade
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.errors import MissingDependency, said
from mechcot.core.job import AGAIN, TRIES, Job, WorkError
from mechcot.core.stages import versions
from mechcot.core.work import Function, Keep, PutOff, Save, WorkUnit
from mechcot.core.worker import Worker

log = logging.getLogger("mechcot")

AT_ONCE = 2
"""Tasks that a worker has: one is done while the one before is saved, or the next one is on its way."""
PATIENCE = 900.0
"""Seconds that no worker may be there."""
_STORE = 2**27
_ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on this machine alone
    "RAY_AUTH_MODE": "token",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # where the driver is killed, the rest ends soon
    "RAY_worker_register_timeout_seconds": "300",  # of 60: beside other programs torch is long in coming
    "RAY_worker_niceness": "0",  # 15 by default: beside other programs workers would stand still
}
"""How a cluster of a run's own is started, in Ray's environment variables."""
_NOBODY = (
    "there is no Ray cluster at '{}' ({}). Start one (ray start --head), or leave the address out for "
    "workers on this machine"
)


@dataclass
class _Worker:
    """A worker as the driver sees it; `ready` is what it says of itself once it runs."""

    actor: Any
    ready: Any
    tasks: int = 0
    alone: bool = False


class Cluster:
    """Workers of a run.

    Args:
        asked: how many, and where.
        threads: processor threads of each.
        folder: the study's, which all workers must see.
        prepare: what a worker does first.
        models: folders that workers load models from.
    """

    def __init__(
        self,
        asked: EngineSettings,
        threads: int,
        folder: Path,
        prepare: Callable[[], None],
        models: Sequence[Path] = (),
    ) -> None:
        self._asked, self._threads, self._folder = asked, threads, folder.resolve()
        self._models = [str(model) for model in models]
        self._box = remade.packed(prepare)
        self._workers: list[_Worker] = []
        self._number = 0
        self._failed_starts = 0

    # --- workers come and go ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the workers, and see that they are what they should be.

        Raises:
            WorkError: fewer GPUs or cores than asked for, another version of mechcot, a folder or a model
                that workers do not see.
        """
        import ray

        there = ray.cluster_resources()
        gpus = self._asked.gpus_per_worker
        self._gpus = (1.0 if there.get("GPU") else 0.0) if gpus is None else gpus
        room = [int(there.get("CPU", 0) // self._threads)]
        if self._gpus:
            room.append(int(there.get("GPU", 0) / self._gpus))
        count = self._asked.workers or min(room)
        if count < 1 or count > min(room):
            raise WorkError(
                f"{count or 1} workers of {self._threads} threads and {self._gpus:g} GPUs are asked for; the "
                f"cluster has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs, room for "
                f"{min(room)}. Ask for fewer (--workers), or set engine.gpus_per_worker to a share of a GPU"
            )
        mark, token = self._folder / "work" / "seen", secrets.token_hex(8)
        files.write_text(mark, token)
        try:
            self._workers = [self._new() for _ in range(count)]
            _, late = ray.wait(
                [worker.ready for worker in self._workers], num_returns=count, timeout=PATIENCE
            )
            if late:
                raise WorkError(f"{len(late)} of {count} workers have not started within {PATIENCE:.0f} s")
            asking = [one.actor.about.remote(str(mark), self._models) for one in self._workers]
            for about in ray.get(asking):
                _refuse_other(about, self._folder, token)
            for worker in self._workers:
                worker.ready = None
        except ray.exceptions.RayError as error:
            raise WorkError(f"the workers do not start: {_reason(error)}") from error
        finally:
            files.remove(mark)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._workers)

    def stop(self) -> None:
        """End the workers."""
        import ray

        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []

    def rest(self) -> None:
        """Workers let go of their models."""
        import ray

        resting = [worker.actor.rest.remote() for worker in self._workers]
        ray.wait(resting, num_returns=len(resting), timeout=PATIENCE)

    def _new(self) -> _Worker:
        import ray

        cls = ray.remote(Worker).options(
            num_cpus=self._threads, num_gpus=self._gpus, max_restarts=0, max_concurrency=AT_ONCE + 1
        )
        actor = cls.remote(self._box)
        return _Worker(actor, actor.about.remote(""))

    # --- work ------------------------------------------------------------------------------------------

    def do(
        self, function: Function, tasks: Sequence[WorkUnit], resources: Any, save: Save | None, keep: Keep
    ) -> PutOff | None:
        """See `core.work.Engine`.

        Raises:
            MechcotError: what a task raises; of several the first task's.
            WorkError: tasks that failed three times, named; or no worker is left.
        """
        import ray

        self._number += 1
        box = ray.put(remade.packed((function, save, resources)))
        job = Job(tasks, keep)
        flying: dict[Any, tuple[_Worker, WorkUnit]] = {}
        since = time.monotonic()
        while job.waiting or flying:
            for worker, task in self._given(job, flying):
                ref = worker.actor.do.remote(self._number, [box], task)
                flying[ref] = worker, task
            if not flying and not job.waiting:
                break
            starting = [worker.ready for worker in self._workers if worker.ready is not None]
            done, _ = ray.wait([*flying, *starting], num_returns=1, timeout=PATIENCE)
            if done or flying:
                since = time.monotonic()
            elif time.monotonic() - since >= PATIENCE:
                raise WorkError(f"no worker has been there for {PATIENCE:.0f} s. {AGAIN}")
            for ref in done:
                if ref in flying:
                    self._came(ref, *flying.pop(ref), job)
                else:
                    self._started(ref)
        return job.end()

    def _given(self, job: Job, flying: dict[Any, Any]) -> Iterator[tuple[_Worker, WorkUnit]]:
        """Tasks for workers that have room; one that failed has one to itself, as it may have ended it."""
        for _ in range(AT_ONCE):
            for worker in sorted(self._workers, key=lambda one: one.tasks):
                if worker.ready is not None or worker.alone or worker.tasks >= AT_ONCE:
                    continue
                task = job.next(alone=worker.tasks == 0)
                if task is None:
                    continue
                worker.tasks += 1
                worker.alone = job.tries[task.key] > 0
                yield worker, task

    def _came(self, ref: Any, worker: _Worker, task: WorkUnit, job: Job) -> None:
        """What came of a task; a worker that died is replaced."""
        import ray

        worker.tasks -= 1
        worker.alone = False
        try:
            kind, value, notes = ray.get(ref)
        except ray.exceptions.RayError as error:
            job.failed(task, f"its worker was lost ({_reason(error)})")
            if worker in self._workers:  # else it was lost with another task of its
                log.warning("a worker was lost (%s); what it did is done again", type(error).__name__)
                ray.kill(worker.actor)
                self._workers[self._workers.index(worker)] = self._new()
            return
        for level, text in notes:
            log.log(level, "%s", text)
        job.came(kind, value, task)

    def _started(self, ref: Any) -> None:
        """A worker that took another's place is there, or could not be."""
        import ray

        worker = next(one for one in self._workers if one.ready is ref)
        try:
            ray.get(ref)
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= TRIES:
                raise WorkError(f"workers do not start any more: {_reason(error)}. {AGAIN}") from error
            self._workers[self._workers.index(worker)] = self._new()
            return
        worker.ready = None
        self._failed_starts = 0


def _refuse_other(about: dict[str, Any], folder: Path, token: str) -> None:
    """Refuse a worker of another installation, or one that does not see the study or a model.

    Raises:
        WorkError: it is one.
    """
    ours, where = versions(), f"the worker on {about['host']}"
    other = [name for name in ours if about["versions"].get(name) != ours[name]]
    if other:
        told = ", ".join(f"{name} {about['versions'].get(name)} (here {ours[name]})" for name in other)
        raise WorkError(f"{where} has {told}: results would depend on who made them. Install the same there")
    if about["sees"] != token:
        raise WorkError(
            f"{where} does not see {folder}: workers write their results there. Put the study on a file "
            "system that all nodes share, under the same path"
        )
    if about["lacks"]:
        raise WorkError(
            f"{where} does not see the model {about['lacks'][0]}: workers load models themselves. Put it on "
            "a file system that all nodes share, or on each node under the same path"
        )


def _reason(error: Exception) -> str:
    """What a worker that does not start says, in one line."""
    return said(getattr(error, "cause", None) or error)


@contextmanager
def workers_of(
    asked: EngineSettings,
    threads: int,
    folder: Path,
    prepare: Callable[[], None],
    models: Sequence[Path] = (),
) -> Iterator[Cluster]:
    """Workers while the block lasts: those of a cluster that runs, or of one on this machine for this run.

    Args:
        asked: how many, and where.
        threads: processor threads of each.
        folder: the study's, which all workers must see.
        prepare: what a worker does first, a function of a module or a `partial` of one.
        models: folders of models that workers must see, by the names under which they are loaded.

    Raises:
        MissingDependency: Ray is not installed.
        WorkError: see `Cluster.start`; or there is no cluster at the address.
    """
    refuse_without_ray()
    kept: Path | None = None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if asked.address is None:
        for name, value in _ALONE.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        _refuse_nobody(asked.address)
    import ray

    # What Ray says of lost workers it prints to stdout, where results may stand; they are told here.
    ray._private.worker._worker_logs_enabled = False
    own = not ray.is_initialized()
    common = {"log_to_driver": False, "configure_logging": False}
    try:
        if own and asked.address is None:
            kept = _own_folder()
            _start_here((asked.workers or 1) * threads, kept, common)
        elif own:
            try:
                ray.init(address=asked.address, **common)
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise WorkError(_NOBODY.format(asked.address, said(error))) from error
        cluster = Cluster(asked, threads, folder, prepare, models)
        try:
            cluster.start()
            log.info("%d Ray workers of %d threads", len(cluster), threads)
            yield cluster
        finally:
            cluster.stop()
    finally:
        if own:
            ray.shutdown()
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)


def _refuse_nobody(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself tries for minutes.

    Raises:
        WorkError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise WorkError(_NOBODY.format(address, said(error))) from error


def _start_here(cores: int, folder: Path, common: dict[str, Any]) -> None:
    """Start a cluster on this machine. Ray gives a node 30 s, which beside other programs may be too few.

    Raises:
        WorkError: it does not start.
    """
    import ray

    for tries in range(1, TRIES + 1):
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                object_store_memory=_STORE,
                include_dashboard=False,
                _temp_dir=str(folder),
                **common,
            )
            return
        except Exception as error:  # Ray raises bare ones
            ray.shutdown()
            if tries == TRIES:
                raise WorkError(f"Ray does not start on this machine: {said(error)}") from error


def refuse_without_ray() -> None:
    """Refuse workers where Ray is not installed.

    Raises:
        MissingDependency: it is not.
    """
    if find_spec("ray") is None:
        raise MissingDependency("ray", "cluster")


def _own_folder() -> Path:
    """A folder for Ray's sockets, whose paths may have 107 characters; those of killed runs go."""
    above = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 24 else "/tmp"
    for old in Path(above).glob("mechcot-ray-*"):
        try:
            os.kill(int(old.name.split("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # another user's, or none of ours
    return Path(tempfile.mkdtemp(prefix=f"mechcot-ray-{os.getpid()}-", dir=above))
