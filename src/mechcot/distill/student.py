"""From a model that is being trained to the student that is written: adapters merged, copies, dtypes."""

from __future__ import annotations

import copy
from typing import Any

import torch

from mechcot.core.errors import TrainingError
from mechcot.core.training_settings import TrainSettings
from mechcot.distill.training import Training


def copy_of(model: Any) -> Any:
    """A copy in main memory of a model that is being trained, which goes on as if it had not been copied.

    An adapter cannot be merged into the model itself: taking it out again rounds.
    """
    held: dict[int, Any] = {id(one): _in_main_memory(one) for one in (*model.parameters(), *model.buffers())}
    if "forward" in vars(model):  # accelerate's, around the class's own; it refuses to be copied
        held[id(vars(model)["forward"])] = None
    made = copy.deepcopy(model, held)
    vars(made).pop("forward", None)
    return made


def _in_main_memory(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().to("cpu", copy=True)
    return (
        torch.nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else copied
    )


def student_of(model: Any, training: Training, step: int, *, copied: bool = False) -> Any:
    """A trained model as a plain one: an adapter merged, weights in `settings.dtype`.

    Args:
        model: what the trainer trains.
        training: what was taught; of an adapter over four bits its base is read again, as it was saved.
        step: after which it is, for messages.
        copied: leave the model as it is, to be trained on.

    Raises:
        TrainingError: a weight is no finite number.
    """
    settings = training.settings
    if settings.lora is not None and settings.lora.base is not None:
        model = _on_whole_base(model, training)
    elif copied:
        model = copy_of(model)
    model = model.merge_and_unload() if settings.lora is not None else model
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise diverged(f"after step {step} {name} holds values that are no finite numbers")
    return model.to(getattr(torch, settings.dtype))


def _on_whole_base(model: Any, training: Training) -> Any:
    """An adapter put on its base as it was saved: merged into four bits it would be rounded with them."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    from mechcot.models.weights import load_weights

    dtype = getattr(torch, training.settings.dtype)
    base = load_weights(training.base, dtype, trust_remote_code=training.trust_remote_code)
    whole = get_peft_model(base, adapter(training.settings))
    set_peft_model_state_dict(whole, {k: v.to("cpu") for k, v in get_peft_model_state_dict(model).items()})
    return whole


def four_bits(dtype: torch.dtype) -> Any:
    """How a frozen base lies in four bits: normal floats, their scales quantised too (arXiv 2305.14314).

    Args:
        dtype: in which it computes.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def diverged(what: str) -> TrainingError:
    """The error for a loss or a weight that is no number."""
    return TrainingError(
        f"{what}; no student was written. Lower learning_rate, lengthen warmup_steps, and check that the "
        "base's own weights are finite"
    )


def adapter(settings: TrainSettings) -> Any:
    """The adapter's shape as peft takes it; None: all weights are trained."""
    if settings.lora is None:
        return None
    from peft import LoraConfig

    lora = settings.lora
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )
