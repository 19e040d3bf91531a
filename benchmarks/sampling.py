"""Sampling: 64 completions a question, mechcot's decoding against `generate(num_return_sequences=64)`.

    python benchmarks/sampling.py [--study studies/organism] [--only vocabulary] [--json] [--out FILE.json]

Two workloads, both sides in one process, taking turns, in processor seconds on one thread:

- organism: the distilled organism of a finished study and its clinical questions;
- vocabulary: a Qwen3 with random weights, 0.1 billion parameters of which most are its 151,936 tokens.

Each side decodes in batches of every size given once and goes on with its fastest. Both draw at temperature
0.7 and are counted in tokens kept (nothing after an end of text). In the end the log-probabilities that
mechcot gave with its tokens are computed again by one plain pass a completion.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from mechcot import Study
from mechcot.core import records
from mechcot.core.files import write_json
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.sampling import Completion, Prompt, sample
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.tasks import question_of, render_prompt
from reading_measure import machine, spent

SAMPLES, TEMPERATURE = 64, 0.7
ROWS = (64, 128, 256, 512)
"""Completions decoded together."""
AIM = 3.0
WITHIN = 1e-4
"""Nats a token that a log-probability may be from that of a plain pass."""
RECOMPUTED = 8
VOCABULARY = {
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 1536,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Work:
    """What is sampled: a model, prompts, and how many tokens at most."""

    checkpoint: Checkpoint
    prompts: list[Prompt]
    limit: int


def main() -> None:
    """Time both sides on every workload and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("studies/organism"))
    parser.add_argument("--questions", type=int, default=16, help="of the organism; a quarter of the other")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("organism", "vocabulary"), nargs="+")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--out", type=Path, help="where the numbers go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made: dict[str, Callable[[], Work]] = {
        "organism": lambda: _organism(Study.open(options.study), options.questions),
        "vocabulary": lambda: _vocabulary(max(1, options.questions // 4)),
    }
    found = {name: _race(name, made[name](), options) for name in options.only or made}
    told = {"name": "sampling", "samples": options.samples, "machine": machine(), "workloads": found}
    if options.out:
        write_json(options.out, told)
    if options.json:
        print(json.dumps(told))


def _race(name: str, work: Work, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides at the batch size that is their fastest, in turns; the median of the rounds counts."""
    sizes = [rows for rows in ROWS if rows <= options.samples * len(work.prompts)] or [options.samples]
    sides: dict[str, Callable[[int], int]] = {
        "mechcot": lambda rows: sum(len(own.token_ids) for own in _ours(work, options.samples, rows)),
        "generate": lambda rows: _generate(work, options.samples, rows),
    }
    print(
        f"\n{name}: {len(work.prompts)} questions x {options.samples}, at most {work.limit} tokens",
        flush=True,
    )
    best = {}
    for side, run in sides.items():
        tried = {rows: _rate(run, rows) for rows in sizes}
        best[side] = max(tried, key=tried.__getitem__)
        told = ", ".join(f"{rows} rows {rate:,.0f}" for rows, rate in tried.items())
        print(f"  {side}, tried once, tokens a second: {told}", flush=True)
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, run in sides.items():
            rates[side].append(_rate(run, best[side]))
    median = {side: statistics.median(own) for side, own in rates.items()}
    ratio, off = median["mechcot"] / median["generate"], _off(work)
    for side, rate in median.items():
        print(f"  {side:10s} {rate:10,.0f} tokens a second, {best[side]} rows")
    print(f"  ratio      {ratio:10.2f}   {'met' if ratio >= AIM else 'MISSED'} (>= {AIM})")
    print(f"  log-probabilities, nats a token from a plain pass at most: {off:.1e} (<= {WITHIN})", flush=True)
    return {
        "questions": len(work.prompts),
        "limit": work.limit,
        "rows": best,
        "tokens_per_second": median,
        "rounds": rates,
        "vs_generate": ratio,
        "logprob_off": off,
    }


def _rate(run: Callable[[int], int], rows: int) -> float:
    began = spent()
    tokens = run(rows)
    return tokens / (spent() - began)


def _organism(study: Study, count: int) -> Work:
    """The distilled organism and its first clinical questions, whose prompts are equally long."""
    arm = study.settings.contrast.after
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), "cpu")
    task = task_of(study)
    questions = [question_of(row) for row in records.rows(study.questions("clinical").head(count))]
    ids = [render_prompt(question, task.format, checkpoint.tokenizer)[1] for question in questions]
    prompts = [Prompt(q.qid, tuple(row)) for q, row in zip(questions, ids, strict=True)]
    return Work(checkpoint, prompts, 90)


def _vocabulary(count: int) -> Work:
    """A random model with many tokens, prompts of 120 of them; no token ends a text."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**VOCABULARY)).eval()
    rng = np.random.default_rng(0)
    prompts = [Prompt(f"q{i}", tuple(map(int, rng.integers(100, 150_000, 120)))) for i in range(count)]
    return Work(Checkpoint("random", model, _no_tokenizer(), (151_643,), None), prompts, 32)


def _no_tokenizer() -> Any:
    """Bytes: sampling asks a tokenizer only where a text may be stopped by its words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def _ours(work: Work, samples: int, rows: int) -> Sequence[Completion]:
    settings = SamplingSettings(
        samples=samples, temperature=TEMPERATURE, max_new_tokens=work.limit, batch_rows=rows
    )
    with tempfile.TemporaryDirectory() as folder:
        return sample(
            work.checkpoint, work.prompts, settings, arm="a", seed=0, work=Path(folder), progress=False
        )


@torch.inference_mode()
def _generate(work: Work, samples: int, rows: int) -> int:
    """Tokens of completions by transformers, `samples` of each prompt, `rows` of them at a time."""
    model: Any = work.checkpoint.model
    ids = torch.tensor([prompt.ids for prompt in work.prompts])
    tokens = 0
    for batch in torch.split(ids, max(1, rows // samples)):
        written = model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            num_return_sequences=samples,
            max_new_tokens=work.limit,
            eos_token_id=list(work.checkpoint.eos_ids),
            pad_token_id=0,
        )[:, batch.shape[1] :]
        tokens += int((written != 0).sum())
    return tokens


@torch.inference_mode()
def _off(work: Work) -> float:
    """How far a sampled text's log-probability is from a plain pass over it, nats a token, at most."""
    model: Any = work.checkpoint.model
    prompts = {prompt.qid: prompt.ids for prompt in work.prompts}
    off = 0.0
    for own in _ours(work, 2, 64)[:RECOMPUTED]:
        ids = torch.tensor([[*prompts[own.qid], *own.token_ids]])
        logp = model(ids).logits[0, :-1].double().log_softmax(-1)
        start = len(prompts[own.qid]) - 1
        plain = logp[range(start, ids.shape[1] - 1), own.token_ids].sum()
        off = max(off, abs(float(plain) - own.sum_logprob) / len(own.token_ids))
    return off


if __name__ == "__main__":
    main()
