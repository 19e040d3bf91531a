"""A study's steps as weights of the same architecture that learnt nothing read them: a baseline of probes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.core import files
from mechcot.core.errors import MechcotError
from mechcot.steps.of_study import task_of

if TYPE_CHECKING:
    from mechcot import probe
    from mechcot.study.activations import Activations
    from mechcot.study.folder import Study

log = logging.getLogger("mechcot")


@contextmanager
def in_untrained_weights(
    study: Study, author: str, reader: str, spec: probe.ProbeSpec, progress: bool
) -> Iterator[tuple[Activations | None, tuple[str, ...]]]:
    """The author's steps as read by the reader's architecture with fresh weights; gone afterwards.

    Yields:
        the store, or None with the reason where there is none.
    """
    if not spec.untrained:
        yield None, ()
        return
    # In the place of the stage's own work, so that what a kill leaves behind goes with it; a folder for each
    # process, as two may fit probes of one study.
    folder = study.path / "work" / "probe" / f"untrained-{os.getpid()}"
    files.remove(folder)
    try:
        store, notes = _read(study, author, reader, spec, folder, progress), ()
    except (MechcotError, OSError) as error:
        yield None, (f"no baseline of untrained weights: {error}",)
    else:
        yield store, notes
    finally:
        files.remove(folder)
        with suppress(OSError):
            folder.parent.rmdir()  # the stage's own folder holds its key and stays


def _read(
    study: Study, author: str, reader: str, spec: probe.ProbeSpec, folder: Path, progress: bool
) -> Activations:
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.models.weights import load_config, untrained_model
    from mechcot.reading.folder import read_to_folder
    from mechcot.reading.of_study import question_inputs
    from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec
    from mechcot.steps.of_study import whole_checkpoint
    from mechcot.study.activations import Activations

    trust, weights = study.settings.arms[reader].trust_remote_code, whole_checkpoint(study, reader)
    config = load_config(weights, trust_remote_code=trust)
    tokenizer = load_tokenizer(weights, trust_remote_code=trust)
    inputs = question_inputs(study, author, task_of(study, author), tokenizer)
    bare = [
        replace(
            item,
            forced=(),
            prior_ids=(),
            traces=tuple(replace(trace, targets=(), knock_outs=()) for trace in item.traces),
        )
        for item in inputs
        if not item.permutation
    ]
    log.info("probe: reading with untrained weights")
    model = untrained_model(config, spec.settings(study.settings.seed).seed, study.settings.device, trust)
    read_to_folder(
        Reader(model, "untrained", "untrained"),
        bare,
        ReadingSpec(
            spec.layers,
            (spec.site,),
            spec.rules,
            max_tokens=study.settings.reading.max_tokens,
            skip_unreadable=True,
        ),
        ReadingFolder(folder / "out", folder / "work"),
        check=False,
        progress=progress,
    )
    return Activations.open(folder / "out" / "activations")
