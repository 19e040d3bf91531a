"""A study's checkpoints and step prefixes in nnsight and TransformerLens.

Both libraries are loaded when first asked for. nnsight wraps the model it is given and leaves it
alone; TransformerLens rebuilds it (its blocks are exchanged, attention becomes eager), so it gets
an instance of its own. Neither is given a name to look up on the Hub.
"""

from __future__ import annotations

import math
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mechcot.core.errors import DataError, MissingDependency, ModelError, UsageError, foreign_errors
from mechcot.models.anatomy import as_found
from mechcot.models.checkpoint import Checkpoint, arm_folder, load, load_tokenizer
from mechcot.models.tolerance import allowed_for
from mechcot.models.weights import quiet
from mechcot.study.folder import Study

WORDS_COMPARED = 24
"""Tokens of the text on which TransformerLens has to give the model's own logits."""


def prefix_ids(study: Study, arm: str, qid: str, cid: int, sid: int | None = None) -> list[int]:
    """The tokens that a reader has seen at the end of a step.

    Args:
        study: the study.
        arm: whose trace.
        qid: question.
        cid: which sample.
        sid: the step; None: the bare prompt.

    Returns:
        The prompt's tokens and the completion's up to the step's last, [tokens]. The stream at the
        last of them is what a reading stores for this step under the rule `end`.

    Raises:
        DataError: there is no such trace or step.
    """
    traces = study.traces(arm)
    found = traces[(traces.qid == qid) & (traces.cid == cid)]
    if found.empty:
        raise DataError(f"arm {arm} has no trace {cid} of question '{qid}'")
    prompt = [int(i) for i in found.prompt_ids.iloc[0]]
    if sid is None:
        return prompt
    steps = study.steps(arm)
    steps = steps[(steps.qid == qid) & (steps.cid == cid)]
    step = steps[steps.sid == sid]
    if step.empty:
        raise DataError(
            f"arm {arm}, question '{qid}', trace {cid}: has no step {sid}; it has {sorted(steps.sid)}"
        )
    end = int(step.tok_end.iloc[0])
    return prompt + [int(i) for i in found.token_ids.iloc[0][:end]]


def to_nnsight(source: Any, arm: str | None = None) -> Any:
    """A model in nnsight: `with wrapped.trace(ids): ...`.

    Args:
        source: a study (with `arm`), a checkpoint as `mechcot.models.checkpoint.load` gives it, or a model.
        arm: which arm's weights, for a study.

    Returns:
        nnsight's `TransformersModel`, which takes text and token ids and generates; for a bare model
        its `NNsight`, which takes what the model takes. A checkpoint or model is wrapped itself, not
        copied (the tokenizer is); a study's arm is loaded anew.

    Raises:
        MissingDependency: nnsight is not installed.
        UsageError: a study without an arm, or an arm without a study.
        StudyError: the study has no such arm.
        ModelError: the checkpoint cannot be loaded.
    """
    _need("nnsight", "nnsight")
    given = _opened(source, arm)
    from nnsight import NNsight, TransformersModel

    if isinstance(given, Checkpoint):
        # It sets the padding side of the tokenizer that it gets.
        return TransformersModel(given.model, tokenizer=deepcopy(given.tokenizer))
    return NNsight(given)


def to_transformer_lens(source: Any, arm: str | None = None, *, tokenizer: Any = None) -> Any:
    """A model in TransformerLens: `bridge.run_with_cache(ids)`.

    The bridge gets an instance of its own, weights and tokenizer, in the dtype of the source and on
    its device; what is given stays as it is.

    Args:
        source: as in `to_nnsight`.
        arm: as in `to_nnsight`.
        tokenizer: for a bare model; a study's arm and a checkpoint bring their own.

    Returns:
        A `TransformerBridge`. The stream after block l (from 1) is its `blocks.{l-1}.hook_resid_post`.

    Raises:
        MissingDependency: TransformerLens is not installed.
        UsageError: as `to_nnsight`; a bare model without a tokenizer.
        StudyError: the study has no such arm.
        ModelError: the checkpoint cannot be loaded; TransformerLens does not know the family, or gives other
            logits than the model.
    """
    _need("transformer_lens", "transformer-lens")
    given = _opened(source, arm)
    if isinstance(given, Checkpoint):
        tokenizer = given.tokenizer
        model = given.model if isinstance(source, Study) else deepcopy(given.model)
    else:
        model = deepcopy(given)
    if tokenizer is None:
        raise UsageError(
            f"{type(model).__name__}: TransformerLens needs its tokenizer; give tokenizer=... or a checkpoint"
        )
    return _booted(model, tokenizer)


def _booted(model: Any, tokenizer: Any) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    name = type(model).__name__
    # A model made from a config names no architecture, by which the library finds its adapter.
    model.config.architectures = model.config.architectures or [name]
    first = next(model.parameters())
    n_words = int(model.get_input_embeddings().weight.shape[0])
    ids = torch.linspace(0, n_words - 1, WORDS_COMPARED).long()[None].to(first.device)
    with as_found(model):
        plain = model(input_ids=ids, use_cache=False).logits.float()
    # Its tokenizer is read again from the folder it came from, which one made in memory has not.
    with TemporaryDirectory() as folder, quiet(), foreign_errors(f"TransformerLens cannot take {name}"):
        tokenizer.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(
            folder,
            hf_model=model,
            tokenizer=load_tokenizer(Path(folder)),
            device=str(first.device),
            dtype=first.dtype,
        )
        with torch.inference_mode():
            given = bridge(ids).float()
    off = float((given - plain).abs().max() / plain.abs().max()) if given.shape == plain.shape else math.inf
    if not off <= allowed_for(first.dtype):
        raise ModelError(
            f"TransformerLens does not run {name} truly: its logits are off by {off:.2g} of the largest. Use "
            "to_nnsight, which leaves the model as it is"
        )
    return bridge


def _opened(source: Any, arm: str | None) -> Any:
    """A checkpoint, or the model as it is."""
    if not isinstance(source, Study):
        if arm is not None:
            raise UsageError(f"an arm ('{arm}') is named of a study; got {type(source).__name__}")
        return source
    if arm is None:
        raise UsageError(f"which arm's weights? There are {sorted(source.settings.arms)}")
    source.arm_path(arm)
    settings = source.settings.arms[arm]
    return load(settings, arm_folder(source.path, settings, arm), source.settings.device)


def _need(module: str, package: str) -> None:
    if find_spec(module) is None:
        raise MissingDependency(package, "bridges")
