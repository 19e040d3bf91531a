"""A checkpoint: its weights, its tokenizer, how it is prompted, and the tokens of its options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core.errors import MissingDependency, ModelError, foreign_errors
from mechcot.core.remade import Recipe, known
from mechcot.core.settings import ArmSettings
from mechcot.models.weights import load_config, load_weights, read_config

if TYPE_CHECKING:
    from torch import nn


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded causal LM.

    Attributes:
        name: where it came from.
        model: the model, in eval mode.
        tokenizer: its tokenizer.
        eos_ids: token ids that end a text.
        context: the longest sequence it takes, in tokens; None: no limit known.
    """

    name: str
    model: nn.Module
    tokenizer: Any
    eos_ids: tuple[int, ...]
    context: int | None


def named_folder(name: str) -> Path | None:
    """The folder of this machine that a checkpoint's name stands for; None: it is a name of the Hub.

    Raises:
        ModelError: it is neither, or the folder holds no checkpoint.
    """
    folder = Path(name).expanduser()
    if folder.is_file():
        raise ModelError(f"{folder} is a file; name the folder that holds config.json and the weights")
    if folder.is_dir():
        read_config(folder)
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(
            f"{name}: there is no such folder {_start()}, and it is no Hub name (OWNER/NAME) either"
        )
    return None


def local_folder(name: str, revision: str | None = None) -> Path:
    """The folder that holds a checkpoint: the one named, or the Hub's, fetched if need be.

    Raises:
        ModelError: there is neither, or the folder holds no checkpoint.
    """
    if (folder := named_folder(name)) is not None:
        return folder
    _need("huggingface_hub", "models")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    fetched = not _PLANNING.get()
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=not fetched))
    except LocalEntryNotFoundError:
        if not fetched:
            return _NOWHERE / name
        raise _not_given(name, "LocalEntryNotFoundError") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise _not_given(name, type(error).__name__) from error


_PLANNING: ContextVar[bool] = ContextVar("planning", default=False)
_NOWHERE = Path("not fetched yet")


@contextmanager
def without_fetching() -> Iterator[None]:
    """While it lasts, a checkpoint of the Hub that is not on this machine is a folder that is not there."""
    token = _PLANNING.set(True)
    try:
        yield
    finally:
        _PLANNING.reset(token)


def _not_given(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name}: is no folder {_start()}, and the Hub did not give it ({why}). Give a folder, or check the "
        "name, the network and your access"
    )


def _start() -> str:
    """Where relative paths begin, for messages."""
    return f"in {Path.cwd()} (relative paths begin where mechcot is started)"


def arm_folder(root: Path, settings: ArmSettings, arm: str) -> Path:
    """The folder of an arm's weights and tokenizer: the study's own below `root`, or the one it names.

    Raises:
        ModelError: it names one that is not there.
    """
    if settings.model is None:
        return root / "models" / arm
    if settings.model == "organism":
        return root / "models" / "base"
    return local_folder(settings.model, settings.revision)


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a checkpoint folder.

    Raises:
        ModelError: there is none, or it gives no character offsets.
    """
    _need("transformers", "models")
    from transformers import AutoTokenizer

    # Without files some families' tokenizers load empty, without a word.
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"{folder}: holds no tokenizer. Save one beside the weights: tokenizer.save_pretrained(folder)"
        )
    with foreign_errors(f"{folder}: its tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: its tokenizer gives no character offsets; a fast tokenizer is needed")
    return tokenizer


def load(settings: ArmSettings, folder: Path | None = None, device: str = "auto") -> Checkpoint:
    """Load an arm's checkpoint for sampling and reading.

    Args:
        settings: the arm's settings.
        folder: where the study keeps it, for an arm made by the study.
        device: `cpu`, `cuda`, ... or `auto`.

    Raises:
        ModelError: the device cannot be used; weights or tokenizer cannot be loaded.
    """
    _need("torch", "models")
    _need("transformers", "models")
    import torch

    from mechcot.models.devices import usable_device

    where = usable_device(device)
    folder = folder or local_folder(settings.model or "", settings.revision)
    load_config(folder, trust_remote_code=settings.trust_remote_code)  # the tokenizer rests on it
    tokenizer = load_tokenizer(folder, trust_remote_code=settings.trust_remote_code)
    dtype: Any = "auto" if settings.dtype == "auto" else getattr(torch, settings.dtype)
    model = load_weights(folder, dtype, device=where, trust_remote_code=settings.trust_remote_code).eval()
    context = getattr(model.config, "max_position_embeddings", None)
    found = Checkpoint(str(folder), model, tokenizer, _eos_ids(model, tokenizer, folder), context)
    parts = [(("model", *filter(None, name.split("."))), part) for name, part in model.named_modules()]
    known(
        found,
        Recipe(_again, (settings.model_dump_json(), str(folder.resolve()), device)),
        [*parts, (("model", "config"), model.config), (("tokenizer",), tokenizer)],
    )
    return found


def _again(settings: str, folder: str, device: str) -> Checkpoint:
    """`load` in another process, perhaps on a machine that keeps the Hub's files elsewhere."""
    arm, place = ArmSettings.model_validate_json(settings), Path(folder)
    return load(arm, None if arm.model is not None and not place.exists() else place, device)


def prepare_torch(threads: int) -> None:
    """Torch's threads; the libraries' telemetry and the tokenizers' own threads off."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _need("torch", "models")
    import torch

    torch.set_num_threads(threads)


def _eos_ids(model: Any, tokenizer: Any, folder: Path) -> tuple[int, ...]:
    """The tokens that end a text, by generation_config.json and by the tokenizer."""
    generation = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    rows = model.get_output_embeddings().weight.shape[0]
    found: dict[int, None] = {}
    for source, value in (("generation_config.json", generation), ("its tokenizer", tokenizer.eos_token_id)):
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is None:
                continue
            if type(item) is not int or not 0 <= item < rows:
                raise ModelError(
                    f"{folder}: {source} names {item!r} as eos_token_id; the model has the tokens 0 to "
                    f"{rows - 1}. Mend eos_token_id"
                )
            found[item] = None
    if not found:
        raise ModelError(f"{folder}: neither tokenizer nor generation_config names an end-of-text token")
    return tuple(found)


def _need(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingDependency(module, extra)
