"""Shared by all tests: no network beyond loopback, small real models, one small organism study."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers share the cores
# What the tests start fails on deprecations as they do (pyproject.toml).
os.environ["PYTHONWARNINGS"] = ",".join(
    f"error::{kind}" for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
)

import hypothesis
import pytest

from leftovers import none_left

# On a loaded machine any example may take longer than 0.2 s: time decides no test.
hypothesis.settings.register_profile("any load", deadline=None)
hypothesis.settings.load_profile("any load")

ROOT = Path(__file__).parent.parent

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> Any:
    host = address[0] if isinstance(address, tuple) else ""
    if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test tried to reach {address}")
    return _connect(self, address)


LONG = (
    "test_docs", "test_miniature", "test_distill_trainer", "test_devices", "test_golden",
    "test_distill_along", "test_distill_pretrain", "test_distill_shared", "test_pipeline_served",
    "test_reading_memory",
    "test_pipeline_kill", "test_cli", "test_probe_cli", "test_pipeline_given_traces", "test_notebooks",
    "test_pipeline_run", "test_report_page", "test_reading_certificate", "test_families", "test_probe_report",
    "test_serving", "test_sampling_served", "test_sampling_transformers_serve", "test_pipeline_damage",
    "test_gpu_check", "test_pipeline_traces", "test_analyses_seeds", "test_analyses_likert",
    "test_analyses_viewer",
)  # fmt: skip


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: servers and children that are waited for take none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end.

    Those that want the shared study come behind those that do not: the first one makes it, the others wait.
    """
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    socket.socket.connect = _loopback_only  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where this worker's tests, and what they start, put what they take for temporary."""
    folder = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


@pytest.fixture(autouse=True)
def _nothing_left(_own_temporary_folder: None) -> Iterator[None]:
    with none_left():
        yield


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that is run inside a test, or in a fixture that outlives it, sets how much mechcot says."""
    log = logging.getLogger("mechcot")
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _repository_as_it_was() -> Iterator[None]:
    """No test writes beside the sources."""
    before = set(os.listdir(ROOT))
    yield
    tools = re.compile(r"\..*_cache$|\.hypothesis$|\.venv")
    left = {name for name in set(os.listdir(ROOT)) - before if not tools.match(name)}
    assert not left, f"the tests left {sorted(left)} in {ROOT}"


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    import torch

    torch.set_num_threads(1)  # tiny models: a second thread costs more than it gives


WORDS = ("<pad>", "<eos>", "<think>", "</think>", "answer", ".", *(f"w{i}" for i in range(58)))


def word_tokenizer(folder: Path) -> Any:
    """A word-level tokenizer, saved and loaded as any other."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = "{{ messages[0].content }}{% if add_generation_prompt %} <think>{% endif %}"
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def tiny_model(family: str = "qwen3", *, seed: int = 0, vocab: int = len(WORDS)) -> Any:
    """A random tiny model of a family, float32."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    common = {"vocab_size": vocab, "max_position_embeddings": 128, "eos_token_id": 1, "bos_token_id": None}
    torch.manual_seed(seed)
    if family == "qwen3":
        config: Any = Qwen3Config(**sizes, **common, num_key_value_heads=1, head_dim=16)
        model: Any = Qwen3ForCausalLM(config)
    elif family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes, **common, num_key_value_heads=2))
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocab,
                n_embd=32,
                n_layer=2,
                n_head=2,
                n_positions=128,
                eos_token_id=1,
                bos_token_id=1,
            )
        )
    # Spread the logits: an untrained head is close to uniform and would hide mistakes.
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    return model.eval()


def save_checkpoint(folder: Path, family: str = "qwen3", *, seed: int = 0) -> Path:
    """A random tiny checkpoint with its tokenizer, as a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    word_tokenizer(folder)
    tiny_model(family, seed=seed).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@contextmanager
def shared(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """One folder for all workers: whoever comes first makes it, the others wait and find it done."""
    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root / name


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One small organism study that all tests share; nobody may write to it."""
    from mechcot.pipeline import run as pipeline

    with shared(tmp_path_factory, "shared") as folder:
        return pipeline.run(folder, preset="organism-small", seed=3, progress=False)


@pytest.fixture(scope="session")
def examples_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tiny checkpoints are kept while the tests run: not in the user's cache."""
    with shared(tmp_path_factory, "cache") as folder:
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory, examples_cache: Path) -> Path:
    """One example in miniature that all tests share; to run it again changes nothing."""
    from mechcot.pipeline.miniature.run import run_miniature

    with shared(tmp_path_factory, "miniature") as folder:
        run_miniature(folder, ROOT / "examples" / "medqa-qwen3-1.7b.yaml", progress=False)
        return folder
