"""From an examples file to a student: load, mask, show what the loss covers, train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mechcot.core.errors import UsageError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.examples import load_examples
from mechcot.distill.masks import Supervised, mask_report, supervised
from mechcot.models.checkpoint import load_tokenizer, local_folder
from mechcot.models.weights import load_config

if TYPE_CHECKING:
    from mechcot.distill.trainer import TrainResult


@dataclass(frozen=True)
class Distilled:
    """What `distill` did.

    Attributes:
        report: what the loss covers.
        result: of the training; None after a dry run.
    """

    report: str
    result: TrainResult | None


def distill(
    model: str | Path,
    examples_path: Path,
    out: Path,
    settings: TrainSettings,
    *,
    seed: int,
    work: Path | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> Distilled:
    """Distil an examples file into a checkpoint; the mask report comes before the training.

    A call that was killed goes on when it is made again. A student that this very call has already
    written is left as it is.

    Args:
        model: checkpoint folder, or OWNER/NAME on the Hub.
        examples_path: see `examples.load_examples`.
        out: folder of the student.
        settings: of the training.
        seed: of the order of rows, of adapters and of dropout.
        work: folder for checkpoints; None: `out` with `.work` behind its name.
        dry_run: make the report, train nothing.
        overwrite: replace another student that mechcot wrote to `out`.
        progress: whether to draw a bar.
        say: given the report, and a line when there is nothing to train.
        trust_remote_code: whether the checkpoint's own code may run.
        revision: of a Hub name.

    Raises:
        UsageError: `out` holds something that this call may not replace.
        MechcotError: as `load_examples`, `supervised` and `train` raise it.
    """
    from mechcot.distill.trainer import CARD, check_out, finished, need_packages, run_fingerprint, train

    check_out(out)
    folder = local_folder(str(model), revision)
    data, report = _masked(folder, Path(examples_path), settings, trust_remote_code)
    say(report)
    if dry_run:
        return Distilled(report, None)
    need_packages()
    if out.resolve() == folder.resolve():
        raise UsageError(f"{out} is the base itself; name another folder for the student")
    done = finished(out, run_fingerprint(folder, data, settings, seed), data, settings, seed)
    if done is not None:
        say(f"{out} already holds this student; nothing to train")
        return Distilled(report, done)
    if (out / CARD).is_file() and not overwrite:
        raise UsageError(
            f"{out} holds a student of other examples, settings, seed, base or versions. "
            "Name another folder, or remove it"
        )
    work = work if work is not None else out.with_name(f"{out.name}.work")
    result = train(
        folder, data, out, work, settings, seed=seed, progress=progress, trust_remote_code=trust_remote_code
    )
    return Distilled(report, result)


def _masked(
    folder: Path, examples_path: Path, settings: TrainSettings, trust_remote_code: bool
) -> tuple[Supervised, str]:
    examples = load_examples(examples_path)
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    context = context_of(folder, trust_remote_code=trust_remote_code)
    data = supervised(examples, tokenizer, settings, context=context)
    return data, mask_report(data, tokenizer)


def context_of(folder: Path, *, trust_remote_code: bool = False) -> int | None:
    """The longest sequence that a checkpoint takes, in tokens; None: its config names no limit.

    Raises:
        ModelError: the config cannot be read.
    """
    config = load_config(folder, trust_remote_code=trust_remote_code)
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else None
