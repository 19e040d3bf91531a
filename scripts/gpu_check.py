"""What a GPU has to show, in one go of 8 minutes at most: the `gpu` tests, then an 8B-shaped random model.

    python scripts/gpu_check.py [--out gpu_check.json]
    python scripts/gpu_check.py --dry       # the same code on the processor, with a tiny shape

Each of reading, sampling and training prints and writes tokens a second, peak memory and MFU. MFU is the
arithmetic of the weights (2 operations a weight and token, 4 for a training step of an adapter, whose
recomputation is not counted; attention's own products neither) over the time and the rate of a large product
of matrices that is measured first. The exit status is 0 only where everything ran and passed.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.distill.masks import Row, Supervised
from mechcot.models.anatomy import anatomy_of
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.devices import usable_device
from mechcot.reading.inputs import LeadIn, QuestionInput, TraceInput
from mechcot.reading.reader import plan_for, read
from mechcot.reading.spec import ReadingSpec
from mechcot.sampling import Prompt, sample

ROOT = Path(__file__).parent.parent
LIMIT = 480
TESTS_LIMIT = 150


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        model: of the Qwen3 that is made.
        product: rows and columns of the matrices whose product is timed.
        questions: that are read and sampled.
        prompt: tokens of a prompt.
        trace: tokens of a trace; each question has four.
        steps: of a trace.
        samples: completions of a question, all decoded in one batch.
        new: tokens of a completion.
        train_rows: examples of a training step.
        train_length: tokens of each.
    """

    model: dict[str, int]
    product: int
    questions: int
    prompt: int
    trace: int
    steps: int
    samples: int
    new: int
    train_rows: int
    train_length: int


QWEN3_8B = {
    "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960,
}  # fmt: skip
TINY = {
    "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000, "max_position_embeddings": 512,
}  # fmt: skip
WHOLE = Size(QWEN3_8B, 8192, 16, 180, 560, 14, 16, 96, 8, 1024)
DRY = Size(TINY, 256, 2, 12, 40, 4, 2, 6, 2, 24)
TRAIN_STEPS = 6


class Machine:
    """Where it runs: its clock, and its peak memory since a part began."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait(self) -> float:
        """The time once all that was asked for is done, in seconds."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def begin(self) -> None:
        """Forget the peak so far."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> float:
        """Peak memory in GB: of the device, or on a processor of the process since its start."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> int:
    """Run all parts, print and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--dry", action="store_true", help="on the processor, with a tiny shape")
    options = parser.parse_args()
    if not (options.dry or torch.cuda.is_available()):
        print("gpu_check: there is no CUDA device here; nothing was run (--dry tries the script itself)")
        return 2
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    machine = Machine(usable_device("cpu" if options.dry else "cuda"))
    size = DRY if options.dry else WHOLE
    started, found = time.perf_counter(), _about(machine, options.dry)
    try:
        _part(found, "tests", _tests)
        _part(found, "matrix_product", lambda: _product(machine, size))
        model = _model(machine, size)
        _part(found, "reading", lambda: _reading(machine, size, model))
        _part(found, "sampling", lambda: _sampling(machine, size, model))
        _part(found, "training", lambda: _training(machine, size, model))
    except TimeoutError as error:
        found["stopped"] = str(error)
    signal.alarm(0)
    found["seconds"] = time.perf_counter() - started
    _rates(found)
    options.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(json.dumps(found, indent=1, sort_keys=True))
    failed = "stopped" in found or any("error" in part for part in found.values() if isinstance(part, dict))
    return int(failed)


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"after {LIMIT} seconds; the parts that are missing were not run to their end")


def _part(found: dict[str, Any], name: str, run: Callable[[], dict[str, Any]]) -> None:
    """Run a part; what it raises is its result, and the next one runs."""
    print(f"gpu_check: {name}", file=sys.stderr, flush=True)
    try:
        found[name] = run()
    except TimeoutError:
        raise
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"}


def _about(machine: Machine, dry: bool) -> dict[str, Any]:
    from importlib.metadata import version

    name = platform.processor() or platform.machine()
    if machine.device.type == "cuda":
        name = torch.cuda.get_device_name(machine.device)
    packages = {
        package: version(package) for package in ("torch", "transformers", "trl", "peft", "accelerate")
    }
    return {"device": name, "dry": dry, "packages": packages}


def _tests() -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-rs",
        "tests/test_gpu.py",
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_LIMIT)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {TESTS_LIMIT} seconds"}
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    if done.returncode:
        return {**counts, "error": done.stdout[-4000:]}
    return counts


def _product(machine: Machine, size: Size) -> dict[str, Any]:
    """The rate of a product of square matrices in bfloat16, the best of five."""
    a = torch.ones(size.product, size.product, dtype=torch.bfloat16, device=machine.device)
    best = np.inf
    for _ in range(6):
        started = machine.wait()
        a @ a
        best = min(best, machine.wait() - started)
    return {"tflops": 2 * size.product**3 / best / 1e12}


def _model(machine: Machine, size: Size) -> Any:
    from transformers import AutoModelForCausalLM, Qwen3Config

    torch.manual_seed(0)
    config = Qwen3Config(**size.model, tie_word_embeddings=False, eos_token_id=1, bos_token_id=None)
    with torch.device(machine.device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def _weights(model: Any) -> int:
    """Weights that a token goes through: all but the embedding's."""
    return sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()


def _reading(machine: Machine, size: Size, model: Any) -> dict[str, Any]:
    """The forced answers, signals and activations of four traces a question."""
    rng = np.random.default_rng(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(rng.integers(10, size.model["vocab_size"], n).tolist())

    questions, length = [], size.trace // size.steps
    for number in range(size.questions):
        spans = tuple((i, i * length, (i + 1) * length) for i in range(size.steps))
        positions = {"decision": [first - 1 for _, first, _ in spans]}
        traces = tuple(
            TraceInput(f"q{number}", "a", cid, ids(size.trace), spans, positions, ()) for cid in range(4)
        )
        lead = LeadIn(ids(8), tuple((token,) for token in ids(4)))
        questions.append(QuestionInput(f"q{number}", ids(size.prompt), traces, (lead,)))
    spec = ReadingSpec()
    list(read(model, questions[:1], spec))
    plan = plan_for(model, questions, spec)
    machine.begin()
    started = machine.wait()
    kept = sum(values.nbytes for batch in read(model, questions, spec) for values in batch.acts.values())
    seconds = machine.wait() - started
    return _told(machine, plan.tree_tokens, seconds, 2 * _blocks(model)) | {"kept_gb": kept / 1e9}


def _blocks(model: Any) -> int:
    """Weights of the blocks; which rows go through the head differs by what is read."""
    return sum(p.numel() for p in anatomy_of(model).blocks.parameters())


def _sampling(machine: Machine, size: Size, model: Any) -> dict[str, Any]:
    """Every completion to the limit, all rows in one batch."""
    rng = np.random.default_rng(0)
    prompts = [
        Prompt(f"q{i}", tuple(rng.integers(10, size.model["vocab_size"], size.prompt).tolist()))
        for i in range(size.questions)
    ]
    checkpoint = Checkpoint("random", model, None, (), size.model["max_position_embeddings"])
    asked = SamplingSettings(
        samples=size.samples,
        temperature=0.7,
        max_new_tokens=size.new,
        batch_rows=size.questions * size.samples,
    )

    def run(settings: SamplingSettings) -> list[list[int]]:
        with tempfile.TemporaryDirectory() as work:
            done = sample(checkpoint, prompts, settings, arm="a", seed=0, work=Path(work), progress=False)
        return [completion.token_ids for completion in done]

    run(asked.model_copy(update={"max_new_tokens": 2}))
    machine.begin()
    started = machine.wait()
    first = run(asked)
    seconds = machine.wait() - started
    told = _told(machine, sum(map(len, first)), seconds, 2 * _weights(model))
    return told | {"rows": len(first), "repeats": run(asked) == first}


def _training(machine: Machine, size: Size, model: Any) -> dict[str, Any]:
    """Steps of an adapter of rank 16, as `mechcot distill --set lora.rank=16` takes them, but the first."""
    from mechcot.distill.sft import History, build_trainer, quiet_libraries
    from mechcot.distill.training import Training

    rng = np.random.default_rng(0)
    rows = []
    for i in range(size.train_rows * TRAIN_STEPS):
        ids = rng.integers(10, size.model["vocab_size"], size.train_length).astype(np.int32)
        rows.append(Row(str(i), ids, ids.copy(), {}))
    settings = TrainSettings(
        batch_size=size.train_rows, accumulation=1, epochs=1, dtype="bfloat16", save_every=1000,
        lora=LoraSettings(rank=16), device="cpu" if machine.device.type == "cpu" else "auto",
    )  # fmt: skip
    weights, times, history = _weights(model), list[float](), History()
    machine.begin()
    with tempfile.TemporaryDirectory() as work, quiet_libraries():
        training = Training(Path(work), Supervised(tuple(rows), 0, ""), settings, 0)

        def timed(step: int, loss: float, model: Any) -> bool:
            times.append(machine.wait())
            return False

        trainer = build_trainer(model, _tokenizer(), training, Path(work), history, timed)
        trainer.train()
    tokens = size.train_rows * size.train_length * (len(times) - 1)
    return _told(machine, tokens, times[-1] - times[0], 4 * weights) | {"losses": history.losses}


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")


def _told(machine: Machine, tokens: int, seconds: float, operations: float) -> dict[str, Any]:
    return {
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "tflops": operations * tokens / seconds / 1e12,
        "peak_gb": machine.peak(),
    }


def _rates(found: dict[str, Any]) -> None:
    """MFU of each part, once the rate of the product is known."""
    top = found.get("matrix_product", {}).get("tflops")
    for name in ("reading", "sampling", "training"):
        if top and "tflops" in found.get(name, {}):
            found[name]["mfu"] = found[name]["tflops"] / top


if __name__ == "__main__":
    sys.exit(main())
