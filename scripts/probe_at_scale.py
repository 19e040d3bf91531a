"""A whole probe report at the size of an 8-billion-parameter model: what it is predicted to take, and takes.

    taskset -c 0 env OMP_NUM_THREADS=1 python scripts/probe_at_scale.py --folder studies/scale

Makes a store in the format of docs/activations.md (36 layers, 4,096 columns, bfloat16) and labels of 7,000
steps, two traces of 7 for each of 500 questions, with texts, kinds, lengths, entropies, surprisals, final
answers, gold and subject entities; a second store stands for untrained weights. Then it does what

    mechcot probe --activations FOLDER/store --labels FOLDER/steps.parquet --untrained FOLDER/untrained

does, and prints what mechcot said beforehand beside seconds and memory measured. Activations are noise with a
decaying spectrum, in which position, kind, question and whether the step is wrong are written, most clearly
two thirds of the way up; the time depends on the sizes and little on them. A folder that holds the stores
already is used again.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.probe import analysis as probes
from mechcot.analyses.probe.report_page import write_probe
from mechcot.core.records import STEP_KEY
from mechcot.probe.cost import Cost
from mechcot.study.activations import finish_store, tensor_name, write_shard

DECAY = 0.7  # standard deviation of the k-th direction: k ** -DECAY
KINDS = ("finding", "diagnosis", "drug", "dose", "option")
SHARD = 1000  # steps
Floats = NDArray[np.float32]


def main() -> None:
    """Make the stores, fit the report, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="stores and report go here")
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--questions", type=int, default=500, help="two traces of 7 steps each")
    parser.add_argument("--spec", type=Path, help="a specification; by default the default one")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    folder = options.folder
    if not (folder / "untrained" / "meta.json").exists():
        # in a process of its own, whose memory goes with it
        made = multiprocessing.get_context("spawn").Process(target=_make, args=(options,))
        made.start()
        made.join()
        if made.exitcode:
            raise SystemExit(f"the stores could not be made: exit code {made.exitcode}")
    import sklearn.feature_extraction.text  # noqa: F401  so that libraries are in memory before it is measured
    import torch  # noqa: F401

    said = _Said()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("mechcot").addHandler(said)
    before, started, worked = _memory(), time.perf_counter(), time.process_time()
    report, _ = probes.probe_of_store(
        folder / "store", folder / "steps.parquet", options.spec, untrained=folder / "untrained"
    )
    write_probe(report, folder / "report")
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    held = _memory() - before
    print(report.text())
    print(f"\npredicted: {said.cost.seconds:.0f} s, {said.cost.bytes / 2**30:.2f} GiB")
    print(
        f"measured:  {seconds:.0f} s ({worked:.0f} s of processor time), {held / 2**30:.2f} GiB above the "
        f"{before / 2**30:.2f} GiB that Python and its libraries hold"
    )
    if options.json:
        sizes = {"layers": options.layers, "width": options.width, "steps": report.n_steps}
        predicted = {"seconds": said.cost.seconds, "bytes": said.cost.bytes}
        measured = {"seconds": seconds, "processor_seconds": worked, "bytes": held, "bytes_before": before}
        print(json.dumps({"sizes": sizes, "predicted": predicted, "measured": measured}))


class _Said(logging.Handler):
    """Keeps the prediction that mechcot logs."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = Cost(float("nan"), 0)

    def emit(self, record: logging.LogRecord) -> None:
        for item in record.args if isinstance(record.args, tuple) else ():
            if isinstance(item, Cost):
                self.cost = item


def _memory() -> int:
    """Most bytes that this process has held so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _make(options: argparse.Namespace) -> None:
    """Write `steps.parquet`, `store` and `untrained`."""
    table, hidden = _steps(options.questions)
    options.folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(options.folder / "steps.parquet")
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((options.width, options.width)))[0]
    for name, strength in (("store", 1.0), ("untrained", 0.0)):
        _store(options.folder / name, table, hidden * strength, turn.astype(np.float32), options.layers)


def _steps(n_questions: int) -> tuple[pd.DataFrame, Floats]:
    """A row a step, and what is written in its activations: position, kinds, question, error; [steps, 8]."""
    rng = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(4000)])
    n = 14 * n_questions
    question, sid = np.repeat(np.arange(n_questions), 14), np.tile(np.arange(7), 2 * n_questions)
    asked = [" ".join(words[rng.integers(0, 4000, 60)]) for _ in range(n_questions)]
    kind = np.minimum(sid // 2 + rng.integers(0, 3, n), len(KINDS) - 1)
    difficulty, knows = rng.normal(size=n_questions)[question], rng.normal(size=n)
    entropy = rng.gamma(2.0, 0.4, n) + 0.2 * (knows > 0)
    logit = -1.6 + 0.25 * sid + 0.3 * kind + 0.6 * difficulty + 1.5 * knows
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    share = 1 / np.arange(1, len(words) + 1)
    n_words = rng.integers(12, 45, n)
    said = [" ".join(rng.choice(words, size, p=share / share.sum())) for size in n_words]
    repeats = rng.random(n) < 0.1  # a claim of an earlier question, said again
    text = [said[i % 300] if again else said[i] for i, again in enumerate(repeats)]
    named = list(zip(rng.integers(0, 7, n), question, strict=True))  # most subjects are a question's own
    table = pd.DataFrame(
        {
            "qid": [f"q{i}" for i in question],
            "arm": "distilled",
            "cid": np.tile(np.repeat([0, 1], 7), n_questions),
            "sid": sid,
            "label": y,
            "text": [f"{KINDS[k]}: {one}." for k, one in zip(kind, text, strict=True)],
            "question": [asked[i] for i in question],
            "entity": [f"gold {i // 2}" for i in question],
            "subject": [f"{i} of {q}" if i < 4 else f"drug {rng.integers(40)}" for i, q in named],
            "kind": [KINDS[k] for k in kind],
            "n_words": n_words,
            "n_tokens": n_words * 3 // 2,
            "answer_right": np.repeat(rng.random(2 * n_questions) < 0.8, 7).astype(int),
            "entropy_end": entropy,
            "entropy_mean": entropy + rng.normal(0, 0.2, n) ** 2,
            "entropy_max": entropy + rng.gamma(2.0, 0.5, n),
            "surprisal_end": rng.gamma(1.0, 0.5, n),
            "surprisal_mean": rng.gamma(3.0, 0.2, n),
            "surprisal_max": rng.gamma(4.0, 0.8, n),
        }
    )
    hidden = np.column_stack([sid / 3 - 1, 2 * np.eye(len(KINDS))[kind], difficulty, knows])
    return table, hidden.astype(np.float32)


def _store(folder: Path, table: pd.DataFrame, hidden: Floats, turn: Floats, n_layers: int) -> None:
    import torch

    width, shards = len(turn), []
    scale = np.arange(1, width + 1, dtype=np.float32) ** -DECAY
    order = [np.random.default_rng([2, layer]).permutation(width) for layer in range(n_layers)]
    for number, start in enumerate(range(0, len(table), SHARD)):
        part, tensors = hidden[start : start + SHARD], {}
        for layer in range(n_layers):
            rng = np.random.default_rng([3, layer, start, int(hidden.any())])
            latent = rng.standard_normal((len(part), width), dtype=np.float32) * scale[order[layer]]
            depth = (layer + 1) / n_layers
            places = np.argsort(order[layer])[20 : 20 + part.shape[1]]  # directions of middling variance
            latent[:, places] += 0.2 * part * (1 - abs(depth - 2 / 3))
            X = latent @ turn + 0.1 * turn[layer % width]
            X[:, [width // 3, width // 2]] *= 100  # outlier columns, as language models have
            tensors[tensor_name(layer + 1, "end")] = torch.from_numpy(X).to(torch.bfloat16)
        shards.append(write_shard(folder, number, tensors))
    about: dict[str, Any] = {"reader": "synthetic", "model_digest": folder.name, "sites": ["resid_post"]}
    about |= {"layers": list(range(1, n_layers + 1)), "rules": ["end"], "dtype": "bfloat16", "d_model": width}
    rows = np.arange(len(table))
    keys = table[list(STEP_KEY)]
    finish_store(folder, keys.assign(shard=rows // SHARD, row=rows % SHARD), shards, about)


if __name__ == "__main__":
    main()
