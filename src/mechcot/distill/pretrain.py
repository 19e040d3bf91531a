"""Training the organism's base from scratch: a small Qwen3, resumable to the byte.

An optimiser step sees one batch of facts and one of posts; the loss is the mean of the two mean
cross-entropies (nats a labelled token). Documents are never packed together.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.nn import functional

from mechcot.core.errors import TrainingError
from mechcot.core.files import whole
from mechcot.core.progress import Progress
from mechcot.core.training_settings import OrganismSettings
from mechcot.models.weights import quiet
from mechcot.tasks.organism.corpus import Corpus, Row
from mechcot.tasks.organism.recall_corpus import RecallCorpus
from mechcot.tasks.organism.tokenizer import CONTEXT, EOS, PAD, build_tokenizer, vocabulary
from mechcot.tasks.organism.world import World

STATE = "pretrain.safetensors"
WARMUP_STEPS = 40
FINAL_RATE = 0.02
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
_MOMENTS = ("exp_avg", "exp_avg_sq")

log = logging.getLogger(__name__)


def pretrain(
    world: World, settings: OrganismSettings, seed: int, out: Path, work: Path, *, progress: bool
) -> None:
    """Train the base and write it to `out` as an ordinary checkpoint folder.

    The state is saved in `work` every `settings.save_every` steps; a call after a kill goes on from
    there and ends at the same bytes as a call that was never stopped. Set torch's threads before.

    Args:
        world: what the base is to know.
        settings: sizes and lengths.
        seed: of the initial weights and of the corpus.
        out: the checkpoint's folder; appears whole, replacing one of that name.
        work: where the state of an unfinished training lies.
        progress: whether to draw a bar.

    Raises:
        TrainingError: the loss is not finite.
    """
    model = _new_model(world, settings, seed)
    optimizer = _optimizer(model, settings)
    corpus = (RecallCorpus if world.recall else Corpus)(world, settings, seed)
    ids = {word: i for i, word in enumerate(vocabulary(world))}
    state = work / STATE
    run = json.dumps({"seed": seed, **settings.model_dump(mode="json")}, sort_keys=True)
    start = _restore(state, run, model, optimizer)
    model.train()
    with Progress("base", settings.pretrain_steps, "step", shown=progress, done=start, every=0) as bar:
        for step in range(start, settings.pretrain_steps):
            learning_rate = settings.learning_rate * rate(step, settings.pretrain_steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            loss = _loss(model, corpus.facts(step), ids) / 2 + _loss(model, corpus.posts(step), ids) / 2
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"the base's loss is {loss.item()} at step {step} of {settings.pretrain_steps}; "
                    f"lower organism.learning_rate (now {settings.learning_rate:g})"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % settings.save_every == 0 and step + 1 < settings.pretrain_steps:
                _save_state(state, run, step + 1, model, optimizer)
            bar.update(loss=loss.item())
    _write_checkpoint(model, world, out)
    state.unlink(missing_ok=True)


def rate(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step`: warm-up, flat, linear fall over the second half."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * (FINAL_RATE + (1 - FINAL_RATE) * min(1.0, (steps - step) / (steps / 2)))


def _new_model(world: World, settings: OrganismSettings, seed: int) -> Any:
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    words = vocabulary(world)
    pad, eos = words.index(PAD), words.index(EOS)
    heads = settings.hidden_size // 32
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=settings.hidden_size,
        intermediate_size=2 * settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_theta=1e4,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=0, top_p=1.0, eos_token_id=eos, pad_token_id=pad
    )
    return model


def _optimizer(model: Any, settings: OrganismSettings) -> torch.optim.AdamW:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def _loss(model: Any, rows: Sequence[Row], ids: dict[str, int]) -> torch.Tensor:
    """Mean cross-entropy of the learnt words, nats; logits are made at those places only."""
    hidden, targets = [], []
    for group in _by_length(rows):
        tokens, learnt = _padded(group, ids)
        # Padding stands on the right, where a causal model's earlier tokens do not see it.
        states = model.model(input_ids=tokens, use_cache=False).last_hidden_state
        hidden.append(states[:, :-1][learnt[:, 1:]])
        targets.append(tokens[:, 1:][learnt[:, 1:]])
    return functional.cross_entropy(model.lm_head(torch.cat(hidden)), torch.cat(targets))


def _by_length(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows as a group of short and one of long ones, cut where they need least padding."""
    ordered = sorted(rows, key=lambda row: len(row.words))
    lengths = [len(row.words) for row in ordered]
    cut = min(
        range(1, len(ordered) + 1),
        key=lambda at: at * lengths[at - 1] + (len(ordered) - at) * lengths[-1],
    )
    return [group for group in (ordered[:cut], ordered[cut:]) if group]


def _padded(rows: Sequence[Row], ids: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and which of them carry loss, both `[rows, length]`."""
    length = max(len(row.words) for row in rows)
    tokens = torch.full((len(rows), length), ids[PAD])
    learnt = torch.zeros((len(rows), length), dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row.words)] = torch.tensor([ids[word] for word in row.words])
        learnt[i, row.learnt_from : len(row.words)] = True
    return tokens, learnt


def _save_state(path: Path, run: str, step: int, model: Any, optimizer: torch.optim.AdamW) -> None:
    tensors = {"step": torch.tensor(step)}
    for name, parameter in model.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    with whole(path) as sink:
        sink.write(save(tensors, metadata={"run": run}))


def _restore(path: Path, run: str, model: Any, optimizer: torch.optim.AdamW) -> int:
    """Load a saved state of the same run; the step to go on from, 0 when there is none."""
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as saved:
            if saved.metadata() != {"run": run}:
                log.warning("%s was left by another training; starting afresh", path)
                return 0
            step = int(saved.get_tensor("step"))
            for name, parameter in model.named_parameters():
                parameter.data.copy_(saved.get_tensor(f"weight.{name}"))
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    **{moment: saved.get_tensor(f"{moment}.{name}") for moment in _MOMENTS},
                }
    except SafetensorError as error:
        raise TrainingError(f"{path} is damaged: {error}. Delete it to train from the start") from error
    log.info("the base's training goes on from step %d", step)
    return step


def _write_checkpoint(model: Any, world: World, out: Path) -> None:
    """Write the folder beside its place, then rename it."""
    model.eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.tmp")
    old = out.with_name(f".{out.name}.old")
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    with quiet():
        model.save_pretrained(beside)
    build_tokenizer(world).save_pretrained(beside)
    for file in beside.iterdir():
        _sync(file)
    if out.exists():
        os.replace(out, old)
    os.replace(beside, out)
    shutil.rmtree(old, ignore_errors=True)


def _sync(file: Path) -> None:
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
