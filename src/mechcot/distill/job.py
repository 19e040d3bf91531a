"""From an examples file to a student: load, mask, say what the loss covers, train."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.core.errors import UsageError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.examples import load_examples
from mechcot.distill.masks import mask_report, supervised
from mechcot.distill.training import Training
from mechcot.models.checkpoint import load_tokenizer, local_folder
from mechcot.models.weights import load_config

if TYPE_CHECKING:
    from mechcot.distill.trainer import TrainResult

log = logging.getLogger("mechcot")


def prepare(
    model: str | Path,
    examples_path: Path,
    settings: TrainSettings,
    *,
    seed: int,
    trust_remote_code: bool = False,
) -> Training:
    """Read an examples file and mask it, without training: `report` of what comes says what the loss covers.

    Args:
        model: checkpoint folder, or OWNER/NAME on the Hub.
        examples_path: see `examples.load_examples`.
        settings: of the training.
        seed: of the order of rows, of adapters and of dropout.
        trust_remote_code: whether the checkpoint's own code may run.

    Raises:
        MechcotError: as `load_examples` and `supervised` raise it.
    """
    folder = local_folder(str(model))
    examples = load_examples(Path(examples_path))
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    context = context_of(folder, trust_remote_code=trust_remote_code)
    data = supervised(examples, tokenizer, settings, context=context)
    return Training(folder, data, settings, seed, mask_report(data, tokenizer), trust_remote_code)


def distill(
    training: Training,
    out: Path,
    *,
    work: Path | None = None,
    along: Mapping[Path, float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Distil prepared examples into a student.

    A call that was killed goes on when it is made again. A student that this very call has already
    written is left as it is.

    Args:
        training: from `prepare`.
        out: folder of the student.
        work: folder for checkpoints; None: `out` with `.work` behind its name.
        along: folders of further checkpoints, and the share of the steps after which each is kept.
        overwrite: replace another student that mechcot wrote to `out`.
        progress: whether to draw a bar.

    Raises:
        UsageError: `out` holds something that this call may not replace.
        MechcotError: as `train` raises it.
    """
    from mechcot.distill.trainer import CARD, all_kept, check_out, finished, kept_steps, need_packages, train

    check_out(out)
    need_packages(training.settings)
    if out.resolve() == training.base.resolve():
        raise UsageError(f"{out} is the base itself; name another folder for the student")
    done, kept = finished(out, training), kept_steps(training, along)
    if done is not None and all_kept(training, kept):
        log.info("%s already holds this student; nothing to train", out)
        return done
    if done is None and (out / CARD).is_file() and not overwrite:
        raise UsageError(
            f"{out} holds a student of other examples, settings, seed, base or versions. "
            "Name another folder, or remove it"
        )
    work = work if work is not None else out.with_name(f"{out.name}.work")
    return train(training, out, work, along=along, progress=progress)


def context_of(folder: Path, *, trust_remote_code: bool = False) -> int | None:
    """The longest sequence that a checkpoint takes, in tokens; None: its config names no limit.

    Raises:
        ModelError: the config cannot be read.
    """
    config = load_config(folder, trust_remote_code=trust_remote_code)
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else None
