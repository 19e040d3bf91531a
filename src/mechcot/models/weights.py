"""A checkpoint folder's config and weights: what is loaded is what was saved, or it is refused by name.

The loader fills what weights lack with random numbers, leaves out what its model has no place for, casts
whatever is stored, and takes one of several sets of weights: all of it at most with a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError, ModelError, foreign_errors

log = logging.getLogger("mechcot")

ADAPTER = "adapter_config.json"
SETS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that weights begin with, in the order in which the loader looks for them."""

_SHARD = re.compile(r"(model-\d+-of-\d+\.safetensors|pytorch_model-\d+-of-\d+\.bin)")
_FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint folder's config.json as it stands; needs neither torch nor transformers.

    Raises:
        ModelError: there is none, it is no JSON object, or the folder holds an adapter and no whole model.
    """
    if (folder / ADAPTER).exists():
        raise ModelError(
            f"{folder}: holds an adapter ({ADAPTER}), which changes the weights of another model. Merge it "
            "(peft: merge_and_unload, then save_pretrained) and name the folder of the merged model"
        )
    if not (folder / "config.json").exists():
        raise ModelError(f"{folder} holds no config.json: it is no checkpoint folder")
    return _read_object(folder, "config.json")


def load_config(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """A checkpoint folder's config, as transformers knows it.

    Raises:
        ModelError: there is none, it cannot be used, or the folder holds an adapter and no whole model.
    """
    config = read_config(folder)
    from transformers import AutoConfig

    _refuse_unknown_quantisation(folder / "config.json", config)
    with foreign_errors(f"{folder}: its config.json cannot be used"):
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)


def load_weights(
    folder: Path,
    dtype: Any,
    *,
    device: Any = "cpu",
    trust_remote_code: bool = False,
    quantised: Any = None,
) -> Any:
    """A checkpoint folder's causal LM with its weights, every one of them as it was saved.

    Args:
        folder: with config.json and one set of weights.
        dtype: a torch dtype, or `auto`: as saved.
        device: where they go, tensor by tensor as they are read: the host need not hold them all.
        trust_remote_code: whether the checkpoint's own code may run.
        quantised: transformers' configuration by which linear weights are rounded as they are read.

    Raises:
        ModelError: see `load_config`; there is no causal model of its kind; weights are missing, damaged,
            ambiguous or kept in a way unknown here, or are not the tensors of the model that config.json
            describes.
    """
    config = load_config(folder, trust_remote_code=trust_remote_code)
    _refuse_no_causal_model(folder, config, trust_remote_code)
    if (folder / "generation_config.json").exists():
        _read_object(folder, "generation_config.json")  # the loader would go on without a damaged one
    stored = stored_tensors(folder)
    from transformers import AutoModelForCausalLM

    with foreign_errors(f"{folder}: its weights cannot be loaded"), quiet():
        model, info = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            device_map=None if str(device) == "cpu" else {"": device},
            trust_remote_code=trust_remote_code,
            # None would be taken as a request to leave out what config.json says
            **({} if quantised is None else {"quantization_config": quantised}),
            weights_only=True,  # what lies in a .bin may be code
            ignore_mismatched_sizes=True,  # then they are named in what is handed back, and refused here
            output_loading_info=True,
        )
    _refuse_other_tensors(folder, info)
    _refuse_broken_ties(folder, model)
    if quantised is None and getattr(config, "quantization_config", None) is None:
        _refuse_packed(folder, model, stored)
    return model


def _refuse_no_causal_model(folder: Path, config: Any, trust_remote_code: bool) -> None:
    """Refuse a config for which the library has no model that writes token by token, in a line."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    own = trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if own or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    text = config.get_text_config(decoder=True)
    inside = text is not config and type(text) in MODEL_FOR_CAUSAL_LM_MAPPING
    part = (
        f"Its text part is one ({text.model_type}): save that part with its head and tokenizer as a "
        "checkpoint of its own"
        if inside
        else "Only such models are sampled and read; name another checkpoint"
    )
    raise ModelError(
        f"{folder}: its config.json has the model_type {config.model_type!r}, for which transformers has no "
        f"causal language model (AutoModelForCausalLM). {part}"
    )


def stored_tensors(folder: Path) -> dict[str, str]:
    """The tensors that a folder's weights hold, by name; what each is kept as (`F32`, `bfloat16`, ...).

    Only headers are read.

    Raises:
        ModelError: the folder holds no set of weights, more than one of a kind, shards that do not belong
            together, or a file that is damaged or holds more than tensors.
    """
    found: dict[str, str] = {}
    at: dict[str, Path] = {}
    for file in weight_files(folder):
        if not file.is_file():
            raise ModelError(
                f"{file}: is missing, or no file; the weights are not whole. Copy the folder again"
            )
        for name, kind in _header(file).items():
            if name in at:
                raise ModelError(
                    f"{folder}: {at[name].name} and {file.name} both hold the tensor {name}. Save the "
                    "model anew"
                )
            found[name], at[name] = kind, file
    return found


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold a folder's weights, as the loader would choose them.

    Raises:
        ModelError: it cannot be told which; see `stored_tensors`.
    """
    if any(folder.glob("*.distcp")):
        raise ModelError(
            f"{folder}: holds a distributed checkpoint of torch (*.distcp), which may hold code. Save the "
            "model with save_pretrained"
        )
    named = read_config(folder).get("transformers_weights")
    there = [name for name in SETS if (folder / name).exists()]
    if named is not None:
        raise ModelError(
            f"{folder / 'config.json'}: transformers_weights names a file of weights. Leave it out, and call "
            f"the file {SETS[0]}"
        )
    for kind in (SETS[:2], SETS[2:]):
        if set(kind) <= {*there}:
            raise ModelError(
                f"{folder}: holds two sets of weights, {kind[0]} and {kind[1]}. Remove the one that is not "
                "meant"
            )
    if not there:
        raise ModelError(f"{folder}: holds no weights, that is none of {', '.join(SETS)}")
    chosen, *others = there
    if others:
        log.warning("%s: %s is loaded; %s, which lies there too, is not", folder, chosen, others[0])
    shards = _shards(folder / chosen) if chosen.endswith(".json") else (folder / chosen,)
    ending = ".bin" if ".bin" in chosen else ".safetensors"
    stray = {path.name for path in folder.glob(f"*{ending}") if _SHARD.fullmatch(path.name)} - {
        path.name for path in shards
    }
    if stray:
        raise ModelError(
            f"{folder}: {named_few(stray)} {'is' if len(stray) == 1 else 'are'} no part of {chosen}: shards "
            "of two sets lie there. Remove those that are not meant"
        )
    return shards


@contextmanager
def quiet() -> Iterator[None]:
    """Without the loaders' own progress bars and reports."""
    from transformers.utils import logging as theirs

    shown, level = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if shown:
            theirs.enable_progress_bar()


def named_few(names: Collection[str]) -> str:
    """The first three of some names, and how many more there are."""
    first = sorted(names)[:3]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    try:
        loaded = files.read_json(folder / name)
    except DataError as error:
        raise ModelError(f"{folder}: its {name} cannot be used: {error}") from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{folder}: its {name} cannot be used: it holds a {type(loaded).__name__}")
    return loaded


def _refuse_unknown_quantisation(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse packed weights that the loader would take for plain ones."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    found = config.get("quantization_config")
    if isinstance(found, dict):
        method = found.get("quant_method")
        if method in KNOWN or found.get("load_in_4bit") or found.get("load_in_8bit"):
            found = None
    if found is not None:
        what = repr(found.get("quant_method")) if isinstance(found, dict) else f"a {type(found).__name__}"
        raise ModelError(
            f"{file}: quantization_config names the method {what}, which transformers does not know; it "
            f"knows {', '.join(sorted(KNOWN))}. Save the model unquantised"
        )
    for part in config.values():
        if isinstance(part, dict):  # text_config, ...
            _refuse_unknown_quantisation(file, part)


def _header(file: Path) -> dict[str, str]:
    import torch
    from safetensors import safe_open

    with foreign_errors(f"{file.parent}: its weights cannot be loaded: {file.name}"):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                names = opened.keys()
                return {name: str(opened.get_slice(name).get_dtype()) for name in names}
        try:
            tensors = torch.load(file, map_location="meta", weights_only=True)
        except Exception as error:
            raise ModelError(
                f"{file}: is damaged, or holds more than tensors (a pickle, which may be code). Save the "
                "model as safetensors"
            ) from error
        if not isinstance(tensors, dict):
            raise ModelError(f"{file}: expected tensors by name, found a {type(tensors).__name__}")
        return {
            name: str(t.dtype).removeprefix("torch.") for name, t in tensors.items() if torch.is_tensor(t)
        }


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        loaded = files.read_json(index)
    except DataError as error:
        raise ModelError(str(error)) from error
    names = loaded.get("weight_map") if isinstance(loaded, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"{index}: expected a weight_map of tensors to files. Save the model anew")
    outside = {name for name in names.values() if Path(name).name != name}
    if outside:
        raise ModelError(f"{index}: names {named_few(outside)}, outside of the folder. Save the model anew")
    shards = tuple(index.parent / name for name in sorted(set(names.values())))
    held = {(name, file.name) for file in shards if file.is_file() for name in _header(file)}
    gone = {
        name for name, file in names.items() if (name, file) not in held and (index.parent / file).is_file()
    }
    extra = {name for name, file in held if names.get(name) != file}
    for which, what in (
        (gone, "names tensors that its files lack"),
        (extra, "does not name, or names elsewhere,"),
    ):
        if which:
            raise ModelError(
                f"{index}: {what} {named_few(which)}. Index and files are of two models; save it anew"
            )
    return shards


def untrained_model(config: Any, seed: int, device: str, trust_remote_code: bool) -> Any:
    """A model of a config's architecture with fresh weights.

    Args:
        config: as transformers has it.
        seed: of the weights.
        device: `cpu`, `cuda`, ... or `auto`.
        trust_remote_code: whether the architecture may bring its own code.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            config, trust_remote_code=trust_remote_code, dtype=config.dtype
        )
    return model.to(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device).eval()


def _refuse_other_tensors(folder: Path, info: Mapping[str, Any]) -> None:
    """Refuse a model that is not made of the folder's tensors, all of them and no others."""
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    shapes = sorted(info["mismatched_keys"])
    problems = [f"{message}" for message in info.get("error_msgs") or ()]
    if missing:
        problems.append(
            f"its weights lack {len(missing)} tensors that the model has, as {named_few(missing)}"
        )
    if unexpected:
        problems.append(
            f"its weights hold {len(unexpected)} tensors that the model has no place for, as "
            f"{named_few(unexpected)}"
        )
    if shapes:
        name, saved, wanted = shapes[0]
        problems.append(
            f"{len(shapes)} of its tensors have other shapes than the model's, as {name}: {list(saved)} "
            f"saved, {list(wanted)} in the model"
        )
    if problems:
        raise ModelError(
            f"{folder}: {'; '.join(problems)}. Its config.json does not describe its weights, or they are of "
            "a kind that transformers does not load as a causal LM; bring the config.json they were saved "
            "with"
        )


def _refuse_broken_ties(folder: Path, model: Any) -> None:
    """Refuse two tensors where the config says that they are one: which one counts is told by nobody."""
    for name, source in model.get_expanded_tied_weights_keys(all_submodels=True).items():
        if model.get_parameter_or_buffer(name) is not model.get_parameter_or_buffer(source):
            raise ModelError(
                f"{folder}: its config.json ties {name} to {source}, its weights hold two different tensors. "
                "Set tie_word_embeddings to false in config.json, or take the tensor out that does not count"
            )


def _refuse_packed(folder: Path, model: Any, stored: Mapping[str, str]) -> None:
    """Refuse whole numbers where the model has fractions: codes of a quantisation that nobody names."""
    floating = {name for name, value in model.state_dict().items() if value.is_floating_point()}
    packed = {name for name, kind in stored.items() if name in floating and kind not in _FLOATS}
    if packed:
        name = min(packed)
        raise ModelError(
            f"{folder}: {len(packed)} of its tensors are kept as {stored[name]}, as {name}, and config.json "
            "names no quantisation, so their values are not known. Save the model unquantised"
        )
