"""Tiny checkpoints that know a miniature's questions by heart, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mechcot.distill.chains import Exercise
from mechcot.distill.variants import completion_of
from mechcot.pipeline.miniature.lore import Case, Chain, student_chain, teacher_chain
from mechcot.tasks import PromptFormat, Question, render_prompt

log = logging.getLogger("mechcot")

VERSION = 2
STEPS, BATCH, RATE = 160, 24, 6e-3
EACH = 4
"""Chains of a question that a checkpoint learns."""
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {"qwen3": "qwen3", "llama": "llama", "mistral": "mistral"}
"""Architectures, by what the name of a checkpoint holds; all others are made as the first."""
CONTEXT, VOCABULARY = 1024, 900
PAD, EOS = "<|endoftext|>", "<|im_end|>"
_TURNS = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{thinks}{% endif %}"
)
_THINKS = (
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)

Style = Literal["student", "teacher"]


@dataclass(frozen=True)
class Tiny:
    """A checkpoint to be made.

    Attributes:
        family: its architecture.
        style: whose chains it knows.
        form: how questions are put and answered.
        test: the study's questions, with what is true of each.
        train: those of the teacher.
        seed: of weights and chains.
    """

    family: str
    style: Style
    form: PromptFormat
    test: tuple[tuple[Question, Case], ...]
    train: tuple[tuple[Question, Case], ...]
    seed: int

    @property
    def key(self) -> str:
        """By all that it is made of."""
        parts = [VERSION, STEPS, BATCH, RATE, EACH, SIZES, asdict(self)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where tiny checkpoints are kept: `mechcot/miniature` of the user's cache (XDG_CACHE_HOME)."""
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) / "mechcot" / "miniature"


def family_of(name: str) -> str:
    """The architecture of a checkpoint, by its name."""
    return next((own for word, own in FAMILIES.items() if word in name.lower()), "qwen3")


def checkpoint(tiny: Tiny) -> tuple[Path, float]:
    """The folder of a tiny checkpoint, and the seconds that making it took; 0.0 where it was kept."""
    folder = cache_folder() / f"{tiny.family}-{tiny.style}-{tiny.key}"
    if (folder / "config.json").exists():
        return folder, 0.0
    started = time.perf_counter()
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    _make(tiny, beside)
    if folder.exists():  # another process was faster
        shutil.rmtree(beside)
    else:
        os.replace(beside, folder)
    return folder, time.perf_counter() - started


def _make(tiny: Tiny, folder: Path) -> None:
    import torch

    from mechcot.models.weights import quiet

    asked = _asked(tiny)
    folder.mkdir(parents=True)
    tokenizer = _tokenizer(
        tiny, [text for question, own in asked for text in (tiny.form.render(question), own)]
    )
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tiny.seed)
        model = _model(tiny.family, tokenizer)
        _train(model, [_row(question, text, tiny.form, tokenizer) for question, text in asked], tiny.seed)
    with quiet():
        model.save_pretrained(folder)


def _asked(tiny: Tiny) -> list[tuple[Question, str]]:
    """The questions, each as often as it is learnt, with completions drawn by the seed.

    One of each question's chains is in the other manner: a student that had never met the teacher's would
    unlearn to write while it learns that.
    """
    rng = random.Random(f"{tiny.seed} {tiny.style}")
    own, other = (student_chain, teacher_chain) if tiny.style == "student" else (teacher_chain, student_chain)
    return [
        (question, completion(question, write(case, rng), tiny.form))
        for question, case in (*tiny.test, *tiny.train)
        for write in (*[own] * (EACH - 1), other)
    ]


def completion(question: Question, chain: Chain, form: PromptFormat) -> str:
    """A chain and its answer in the form that a study asks for."""
    options = (chain.answer,) if question.open else question.options
    answered = replace(question, options=options, gold=options.index(chain.answer))
    return completion_of(chain.reasoning, Exercise(answered), form)[0]


def _row(question: Question, text: str, form: PromptFormat, tokenizer: Any) -> tuple[list[int], int]:
    """Token ids of a prompt and its completion, and where that begins."""
    _, prompt = render_prompt(question, form, tokenizer)
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*prompt, *own, tokenizer.eos_token_id], len(prompt)


def _tokenizer(tiny: Tiny, texts: Sequence[str]) -> Any:
    """Byte pairs of all that is said here, with the marks of turns and thoughts that a chat model has."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    marks = [PAD, EOS, "<|im_start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(sorted(set(texts)), trainer)
    inner.add_tokens([AddedToken(mark, normalized=False) for mark in ("<think>", "</think>")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=EOS, pad_token=PAD, model_max_length=CONTEXT
    )
    fast.chat_template = _TURNS.replace("{thinks}", _THINKS if tiny.family == "qwen3" else "")
    return fast


def _model(family: str, tokenizer: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    ends = {
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    sizes = {**SIZES, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT}
    own = {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True, "sliding_window": None}
    config = AutoConfig.for_model(family, **sizes, **own)
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(
        eos_token_id=ends["eos_token_id"], pad_token_id=ends["pad_token_id"]
    )
    return model.float()


def _train(model: Any, rows: Sequence[tuple[list[int], int]], seed: int) -> None:
    """Learn the completions by heart, nearly: some doubt is left to sample from."""
    import torch
    from torch.nn import functional

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    rng, model = random.Random(seed), model.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * min(1.0, 2 * (1 - step / STEPS))
        batch = rng.sample(rows, min(BATCH, len(rows)))
        length = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([own + [0] * (length - len(own)) for own, _ in batch])
        learnt = torch.zeros((len(batch), length), dtype=torch.bool)
        for place, (own, start) in enumerate(batch):
            learnt[place, start : len(own)] = True
        states = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(states[:, :-1][learnt[:, 1:]])
        loss = functional.cross_entropy(logits, ids[:, 1:][learnt[:, 1:]])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    log.info("a tiny %s: loss %.3f nats a token after %d steps", model.config.model_type, loss.item(), STEPS)
    model.eval()
