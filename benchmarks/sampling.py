"""Sampling: mechcot's decoding against transformers' `generate`, in one process, alternating.

    python benchmarks/sampling.py [--study studies/organism] [--json]

The workload is a finished study's: its distilled organism and its clinical questions. `generate` gets the
same prompts, each repeated for its samples, at the better of two batch sizes; both draw at temperature 0.7
and are counted in tokens kept (nothing after an end of text).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mechcot import Study
from mechcot.core import records
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.sampling import Prompt, sample
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.tasks import question_of, render_prompt

LIMIT = 90


def main() -> None:
    """Time both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("studies/organism"))
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint, prompts = _workload(Study.open(options.study), options.questions)
    sides: dict[str, Callable[[], int]] = {}
    for rows in (256, 512):
        sides[f"mechcot, {rows} rows"] = lambda rows=rows: _ours(checkpoint, prompts, options.samples, rows)  # type: ignore[misc]
        sides[f"generate, {rows} rows"] = lambda rows=rows: _generate(  # type: ignore[misc]
            checkpoint, prompts, options.samples, rows
        )
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            tokens = run()
            taken = time.perf_counter() - started
            if number:  # the first round warms up
                seconds[name].append(taken)
                rates[name].append(tokens / taken)
    median = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in median.items():
        print(f"{name:24s} {rate:10,.0f} tokens/s   median {statistics.median(seconds[name]):6.2f} s")
    best = {
        side: max(rate for name, rate in median.items() if name.startswith(side))
        for side in ("mechcot", "generate")
    }
    ratio = best["mechcot"] / best["generate"]
    print(f"mechcot at its best over generate at its best: {ratio:.2f}")
    if options.json:
        print(
            json.dumps(
                {
                    "name": "sampling",
                    "sizes": {"questions": options.questions, "samples": options.samples, "limit": LIMIT},
                    "seconds": {name: statistics.median(values) for name, values in seconds.items()},
                    "ratios": {"vs_generate": ratio},
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads",
                }
            )
        )


def _workload(study: Study, count: int) -> tuple[Checkpoint, list[Prompt]]:
    """The distilled organism and its first clinical questions, whose prompts are equally long."""
    arm = study.settings.contrast.after
    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), "cpu")
    task = task_of(study)
    questions = [question_of(row) for row in records.rows(study.questions("clinical").head(count))]
    ids = [render_prompt(question, task.format, checkpoint.tokenizer)[1] for question in questions]
    return checkpoint, [Prompt(q.qid, tuple(row)) for q, row in zip(questions, ids, strict=True)]


def _ours(checkpoint: Checkpoint, prompts: list[Prompt], samples: int, rows: int) -> int:
    settings = SamplingSettings(samples=samples, temperature=0.7, max_new_tokens=LIMIT, batch_rows=rows)
    with tempfile.TemporaryDirectory() as work:
        found = sample(checkpoint, prompts, settings, arm="a", seed=0, work=Path(work), progress=False)
    return sum(len(completion.token_ids) for completion in found)


@torch.inference_mode()
def _generate(checkpoint: Checkpoint, prompts: list[Prompt], samples: int, rows: int) -> int:
    model: Any = checkpoint.model
    ids = torch.tensor([prompt.ids for prompt in prompts for _ in range(samples)])
    tokens = 0
    for batch in ids.split(rows):
        out = model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            do_sample=True,
            temperature=0.7,
            top_k=0,
            max_new_tokens=LIMIT,
            eos_token_id=list(checkpoint.eos_ids),
            pad_token_id=0,
        )[:, batch.shape[1] :]
        tokens += int((out != 0).sum())
    return tokens


if __name__ == "__main__":
    main()
