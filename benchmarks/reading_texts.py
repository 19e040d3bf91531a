"""What the reading benchmark reads: models with random weights, questions and traces of random tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from mechcot.reading.inputs import LeadIn, QuestionInput, TraceInput

OPTIONS = 4
END = 1
"""The token that ends an option of several tokens."""

LARGE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 2048,
    "vocab_size": 32_000,
}
GEMMA = {
    "hidden_size": 640,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "intermediate_size": 2048,
    "vocab_size": 262_144,
}
"""The shape of Gemma 3 270M, of which the vocabulary is most."""
ORGANISM = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 256,
    "vocab_size": 500,
}


@dataclass(frozen=True)
class Text:
    """The lengths, in tokens, of what is read.

    Attributes:
        prompt: of a prompt.
        traces: traces a question.
        steps: steps a trace.
        step: of a step; with `jitter` up to so many more or fewer.
        tail: of what follows the last step.
        lead: of a lead-in.
        leads: lead-ins; 0 asks for no forced answers.
        option: of an option; with three, the first is common to all.
        questions: how many.
    """

    prompt: int = 180
    traces: int = 4
    steps: int = 14
    step: int = 40
    jitter: int = 0
    tail: int = 0
    lead: int = 8
    leads: int = 1
    option: int = 1
    questions: int = 1


@dataclass(frozen=True)
class Work:
    """A model and what it shall read."""

    model: Any
    questions: tuple[QuestionInput, ...]

    def sequences(self) -> list[list[int]]:
        """Each prompt with each of its traces."""
        return [[*q.prompt_ids, *t.token_ids] for q in self.questions for t in q.traces]

    def bare_tokens(self) -> int:
        """The tokens of a bare forward pass over the traces, each after its prompt."""
        return sum(map(len, self.sequences()))

    def trace_tokens(self) -> int:
        """The tokens of the traces themselves."""
        return sum(len(trace.token_ids) for question in self.questions for trace in question.traces)

    def tree_tokens(self) -> int:
        """The distinct prefixes that have to be computed, question by question."""
        return sum(_distinct_prefixes(question) for question in self.questions)


def make_work(shape: dict[str, int], text: Text, seed: int = 0) -> Work:
    """A Qwen3 with random weights, in float32, and random tokens for it to read.

    The weights are wide enough for attention to be far from uniform: a wrong mask would show.
    """
    torch.manual_seed(seed)
    config = Qwen3Config(
        **shape, max_position_embeddings=4096, tie_word_embeddings=True, initializer_range=0.1
    )
    model = Qwen3ForCausalLM._from_config(config, dtype=torch.float32).eval()
    rng = np.random.default_rng(seed)
    return Work(
        model, tuple(_question(rng, f"q{i}", text, shape["vocab_size"]) for i in range(text.questions))
    )


def _question(rng: np.random.Generator, qid: str, text: Text, vocab: int) -> QuestionInput:
    def draw(n: int) -> tuple[int, ...]:
        return tuple(rng.integers(10, vocab, n).tolist())

    words = rng.choice(np.arange(10, vocab), OPTIONS + 1, replace=False).tolist()
    tails: dict[int, tuple[int, ...]] = {1: (), 2: (END,), 3: (END,)}
    start = (words[-1],) if text.option == 3 else ()
    options = tuple((*start, word, *tails[text.option]) for word in words[:OPTIONS])
    traces = []
    for cid in range(text.traces):
        lengths = text.step + rng.integers(-text.jitter, text.jitter + 1, text.steps)
        ends = np.cumsum(lengths).tolist()
        steps = tuple(zip(range(text.steps), [0, *ends], ends, strict=False))
        traces.append(TraceInput(qid, "random", cid, draw(ends[-1] + text.tail), steps))
    leads = tuple(LeadIn(draw(text.lead), options) for _ in range(text.leads))
    return QuestionInput(qid, draw(text.prompt), tuple(traces), leads)


def _distinct_prefixes(question: QuestionInput) -> int:
    trie: dict[int, Any] = {}
    size = 0

    def insert(node: dict[int, Any], ids: Sequence[int]) -> dict[int, Any]:
        nonlocal size
        for token in ids:
            size += token not in node
            node = node.setdefault(token, {})
        return node

    prompt = insert(trie, question.prompt_ids)
    for trace in question.traces:
        for end in (0, *(end for _, _, end in trace.steps), len(trace.token_ids)):
            prefix = insert(prompt, trace.token_ids[:end])
            for lead in question.forced:
                for option in lead.options:
                    insert(prefix, (*lead.ids, *option[:-1]))
    return size
