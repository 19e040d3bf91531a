"""Tiny random models and invented questions that the tests of the reading share."""

import logging

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from mechcot.reading.inputs import LeadIn, QuestionInput, Target, TraceInput

VOCAB = 61


@pytest.fixture(autouse=True)
def one_thread():
    """For tests on models this small: two threads cost more than they save, and bytes stay equal."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": VOCAB,
    "max_position_embeddings": 96,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
PLAIN = {name: value for name, value in SHAPE.items() if name != "head_dim"}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "n_positions": 96}
CONFIGS = {
    "qwen3": lambda: Qwen3Config(**SHAPE),
    "llama": lambda: LlamaConfig(**SHAPE),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=7),
    "gemma2": lambda: Gemma2Config(**SHAPE, sliding_window=7, final_logit_softcapping=3.0),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, sliding_window=7, sliding_window_pattern=2),
    "qwen2": lambda: Qwen2Config(**PLAIN),
    "qwen3_moe": lambda: Qwen3MoeConfig(**SHAPE, **EXPERTS),
    "phi3": lambda: Phi3Config(**PLAIN),
    "olmo2": lambda: Olmo2Config(**PLAIN),
    "gpt_neox": lambda: GPTNeoXConfig(**{k: v for k, v in PLAIN.items() if k != "num_key_value_heads"}),
    "gpt2": lambda: GPT2Config(**GPT2, bos_token_id=1, eos_token_id=1, initializer_range=0.3),
}


def make_model(family, dtype=torch.float32, **kwargs):
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family](), dtype=dtype, **kwargs)
    logging.disable(logging.NOTSET)
    return model.eval()


def make_trace(rng, qid, cid, n_steps, tail=4, start=(), arm="base"):
    spans, ids = [], list(start)
    for n in range(n_steps):
        first = len(ids) if n else 0
        ids += rng.integers(10, VOCAB, rng.integers(2, 6)).tolist()
        spans.append((n, first, len(ids)))
    ids += rng.integers(10, VOCAB, tail).tolist()
    targets = [Target(n, end - 1, (int(rng.integers(10, VOCAB)), 11), ids[end - 1]) for n, _, end in spans]
    positions = {"decision": [-1, *[end - 2 for _, _, end in spans[1:]]][: len(spans)]}
    return TraceInput(qid, arm, cid, tuple(ids), tuple(spans), positions, targets[:3])


def make_questions(seed=0, sizes=((3, 4), (5,), (0, 2, 6))):
    rng, questions = np.random.default_rng(seed), []
    for number, steps in enumerate(sizes):
        qid = f"q{number}"
        prompt = rng.integers(10, VOCAB, 5 + number).tolist()
        options = ((20,), (20, 21), (22, 23), (24,))[: 3 + number % 2]
        forced = (
            LeadIn((4, 5), tuple((*option, 1) for option in options)),
            LeadIn((), tuple((30, *option) for option in options)),
        )
        start = (12, 13, 14)
        traces = [make_trace(rng, qid, cid, n, start=start) for cid, n in enumerate(steps)]
        questions.append(QuestionInput(qid, prompt, tuple(traces), forced))
    return questions
