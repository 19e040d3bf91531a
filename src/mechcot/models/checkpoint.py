"""A checkpoint: its weights, its tokenizer, how it is prompted, and the tokens of its options."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core.errors import MissingDependency, ModelError
from mechcot.core.settings import ArmSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def local_folder(name: str, revision: str | None = None) -> Path:
    """The folder that holds a checkpoint: the one named, or the Hub's, fetched if need be.

    Raises:
        ModelError: there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"{folder} holds no config.json: it is no checkpoint folder")
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(
            f"{name}: there is no such folder {_start()}, and it is no Hub name (OWNER/NAME) either"
        )
    _need("huggingface_hub", "models")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{name}: is no folder {_start()}, and the Hub did not give it ({type(error).__name__}). "
            "Give a folder, or check the name, the network and your access"
        ) from error


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
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: its tokenizer cannot be loaded: {error}") from error
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
        ModelError: weights or tokenizer cannot be loaded.
    """
    _need("torch", "models")
    _need("transformers", "models")
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    folder = folder or local_folder(settings.model or "", settings.revision)
    tokenizer = load_tokenizer(folder, trust_remote_code=settings.trust_remote_code)
    dtype: Any = "auto" if settings.dtype == "auto" else getattr(torch, settings.dtype)
    try:
        with quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=dtype,
                trust_remote_code=settings.trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: its weights cannot be loaded: {error}") from error
    refuse_partial(folder, info)
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        model.to(where).eval()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: built without CUDA
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"device: '{where}' cannot be used: {reason}. Set device to cpu, or to one there is"
        ) from error
    context = getattr(model.config, "max_position_embeddings", None)
    return Checkpoint(str(folder), model, tokenizer, _eos_ids(model, tokenizer, folder), context)


def refuse_partial(folder: Path, info: dict[str, Any]) -> None:
    """Refuse weights that lack tensors: the loader fills them with random numbers.

    Raises:
        ModelError: with the first tensor that is missing.
    """
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder}: its weights lack {len(missing)} tensors that the model has, as {missing[0]}"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the loaders' own progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def prepare_torch(threads: int) -> None:
    """Torch's threads; the libraries' telemetry and the tokenizers' own threads off."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _need("torch", "models")
    import torch

    torch.set_num_threads(threads)


def _eos_ids(model: Any, tokenizer: Any, folder: Path) -> tuple[int, ...]:
    found: list[int] = []
    generation = getattr(model, "generation_config", None)
    for value in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        for item in value if isinstance(value, list) else [value]:
            if item is not None and item not in found:
                found.append(int(item))
    if not found:
        raise ModelError(f"{folder}: neither tokenizer nor generation_config names an end-of-text token")
    return tuple(found)


def _need(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingDependency(module, extra)
