"""An arm's traces from `transformers serve`: a real server that nobody here wrote, in a process of its own.

It takes `n` and `logprobs` and ignores them; without `do_sample` in the checkpoint's generation_config.json
it ignores the temperature too; it parts reasoning from answers by the type of the model.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest

from conftest import save_checkpoint, tiny_model
from mechcot.core.errors import JudgeError, SamplingError
from mechcot.core.files import read_json
from mechcot.pipeline import text
from served_cases import sampler_file, study_of
from test_serving import byte_tokenizer

pytestmark = pytest.mark.skipif(
    find_spec("fastapi") is None, reason="NOT RUN: transformers serve needs fastapi (pip install '.[dev]')"
)
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
SAMPLED = {"temperature": 1.0, "samples": 4}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["serve", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    main = "from transformers.cli.transformers import main; main()"
    own = os.environ | {"PYTHONWARNINGS": ""}  # its deprecations are its own
    with subprocess.Popen(
        [sys.executable, "-c", main, *words], env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        assert process.poll() is None, "transformers serve ended"
        try:
            if httpx2.get(address).status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("llama") / "tiny", "llama")


def traces(study: Any, arm: str = "base") -> pd.DataFrame:
    text.sample_traces(study, arm, False, study.path.parent / f"work-{arm}")
    return pd.read_parquet(study.arm_path(arm) / "traces.parquet")


@pytest.mark.parametrize("sends", ["messages", "text"])
def test_at_temperature_0_the_traces_are_those_sampled_here(
    sends: str, url: str, folder: Path, tmp_path: Path
) -> None:
    study = study_of(
        tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", url, model=str(folder), sends=sends)
    )
    there, here = traces(study), traces(study, "distilled")
    assert list(there.text) == list(here.text)
    assert [list(ids) for ids in there.token_ids] == [list(ids) for ids in here.token_ids]
    assert list(there.finish_reason) == list(here.finish_reason)
    told = read_json(study.arm_path("base") / "server.json")
    assert (told["prompts_compared"], told["logprobs"], told["recomputed"]) == (4, False, None)


def test_without_do_sample_it_is_refused_and_with_it_it_samples(
    url: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = sampler_file(tmp_path / "s.yaml", url, model=str(folder))
    with pytest.raises(SamplingError, match=r"does not sample. `transformers serve` does so unless"):
        traces(study_of(tmp_path / "a", folder, file, sampling=SAMPLED))
    how = json.dumps({"do_sample": True, "eos_token_id": 1, "top_k": 0})
    sampler_file(file, url, model=str(folder), extra_body={"generation_config": how})
    study = study_of(tmp_path / "b", folder, file, sampling=SAMPLED)
    with caplog.at_level(logging.INFO):
        rows = traces(study)
    assert "it takes n=4 and ignores it: one request a sample" in caplog.text
    assert "it does not take top_p, top_k, min_p, repetition_penalty: its own defaults hold" in caplog.text
    assert "it lists no log-probabilities" in caplog.text
    assert rows.groupby("qid").text.nunique().tolist() == [4] * 4
    told = read_json(study.arm_path("base") / "server.json")
    assert (told["usage"]["requests"], told["seed_repeats"]) == (16, True)


def test_reasoning_that_it_parts_off_stands_in_the_text_again(url: str, tmp_path: Path) -> None:
    own = tmp_path / "tiny"
    own.mkdir()
    tokenizer = byte_tokenizer(own, all_bytes=False, text=["abcdefghijklmnopqrstuvwxyz 0123456789.\n<>|_/"])
    tokenizer.chat_template = QWEN
    tokenizer.save_pretrained(own)
    model = tiny_model("qwen3", vocab=len(tokenizer))
    model.config.max_position_embeddings = 512
    model.save_pretrained(own)
    file = sampler_file(tmp_path / "s.yaml", url, model=str(own))
    study = study_of(tmp_path / "a", own, file, questions=3, sampling={"max_new_tokens": 24, "stop": ["y"]})
    there, here = traces(study), traces(study, "distilled")
    assert list(there.text) == list(here.text)
    assert list(there.finish_reason) == list(here.finish_reason)
    assert read_json(study.arm_path("base") / "server.json")["reasoning_joined"] == 3


def test_a_prompt_that_it_hands_back_as_the_answer_is_refused(url: str, tmp_path: Path) -> None:
    """It parts texts of Qwen3 by marks that this template has not: the prompt comes back as content."""
    own = save_checkpoint(tmp_path / "tiny", "qwen3")
    file = sampler_file(tmp_path / "s.yaml", url, model=str(own))
    study = study_of(tmp_path / "a", own, file)
    with pytest.raises(SamplingError, match="puts something into them that the model did not write"):
        traces(study)
    sampler_file(file, url, model=str(own), sends="text")
    study = study_of(tmp_path / "b", own, file)
    assert list(traces(study).text) == list(traces(study, "distilled").text)


def test_what_it_does_not_take_is_said(url: str, folder: Path, tmp_path: Path) -> None:
    file = sampler_file(tmp_path / "s.yaml", url, model=str(folder))
    study = study_of(tmp_path / "a", folder, file, sampling={"top_k": 3})
    with pytest.raises(JudgeError, match=r"HTTP 422.*top_k.*leave out what this server does not take"):
        traces(study)
    sampler_file(file, url, model=str(folder), sends="tokens")
    with pytest.raises(JudgeError, match=r"refused every way .* prompt must be a string"):
        traces(study_of(tmp_path / "b", folder, file))
