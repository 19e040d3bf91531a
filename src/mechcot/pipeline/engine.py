"""What a run computes with: so many threads, and workers where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.core.cluster import workers_of
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.settings import Settings
from mechcot.core.work import done_by
from mechcot.models.checkpoint import prepare_torch
from mechcot.study.folder import Study


def prepare(study: Study, limits: ExitStack) -> None:
    """What a run needs before its first stage, until `limits` ends.

    Args:
        study: whose.
        limits: what is ended behind the last stage.

    Raises:
        WorkError: the workers cannot be had.
    """
    settings, asked = study.settings, asked_of(study.settings)
    limits.enter_context(_limited(settings.threads, torch=not settings.given))
    if asked is not None:
        first = partial(_limit_worker, settings.threads, torch=not settings.given)
        named = [Path(arm.model).expanduser() for arm in settings.arms.values() if arm.model]
        models = [model for model in named if model.is_dir()]  # others are on the Hub
        workers = workers_of(asked, settings.threads, study.path, first, models)
        limits.enter_context(done_by(limits.enter_context(workers)))


_FOR_THIS_RUN: ContextVar[EngineSettings | None] = ContextVar("engine for this run", default=None)


@contextmanager
def shared_by(engine: EngineSettings | None) -> Iterator[None]:
    """While the block lasts, workers do the tasks of runs; no study records it.

    Args:
        engine: what is said of them comes before what a study's settings say; None: nothing.
    """
    token = _FOR_THIS_RUN.set(engine)
    try:
        yield
    finally:
        _FOR_THIS_RUN.reset(token)


def asked_of(settings: Settings) -> EngineSettings | None:
    """The workers of a run; None: this process."""
    engine = _FOR_THIS_RUN.get()
    if engine is None or settings.engine is None:
        return engine or settings.engine
    return settings.engine.model_copy(update=engine.model_dump(exclude_unset=True))


def _limited(threads: int, *, torch: bool) -> AbstractContextManager[Any]:
    """Sums depend on how many threads share them, in numpy and scipy as in torch: all are loaded by now."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    if torch:
        prepare_torch(threads)
    return threadpool_limits(threads)


def _limit_worker(threads: int, *, torch: bool) -> None:
    """The same for the life of a worker."""
    _limited(threads, torch=torch).__enter__()
