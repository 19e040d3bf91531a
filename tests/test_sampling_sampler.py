from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_model, word_tokenizer
from mechcot.core.errors import SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint
from mechcot.sampling import Prompt, sample
from mechcot.sampling.choice import MANY, all_finite, choose, nucleus
from mechcot.sampling.sampler import uniforms

PROMPTS = [Prompt(f"q{i}", tuple(range(6 + i, 6 + i + 3 + i % 3))) for i in range(7)]
SETTINGS = SamplingSettings(samples=3, temperature=0.9, max_new_tokens=12, batch_rows=8)


def _checkpoint(family: str = "qwen3", tmp_path: Path | None = None) -> Checkpoint:
    tokenizer = word_tokenizer(tmp_path) if tmp_path else None
    return Checkpoint("tiny", tiny_model(family), tokenizer, (1,), 128)


def _sample(work: Path, checkpoint: Checkpoint, settings: SamplingSettings = SETTINGS, **more: Any) -> Any:
    keys: dict[str, Any] = {"arm": "a", "seed": 2} | more
    prompts = keys.pop("prompts", PROMPTS)
    return sample(checkpoint, prompts, settings, work=work, progress=False, **keys)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_greedy_is_what_the_library_generates(tmp_path: Path, family: str) -> None:
    checkpoint = _checkpoint(family)
    model: Any = checkpoint.model
    for completion, prompt in zip(
        _sample(tmp_path, checkpoint, SETTINGS.model_copy(update={"temperature": 0.0, "samples": 1})),
        PROMPTS,
        strict=True,
    ):
        ids = torch.tensor([prompt.ids])
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=0
        )[0, len(prompt.ids) :]
        assert completion.token_ids == expected.tolist()


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_neither_order_nor_batch_size_decides_what_is_drawn(tmp_path: Path, family: str) -> None:
    checkpoint = _checkpoint(family)
    first = _sample(tmp_path / "1", checkpoint)
    other = _sample(
        tmp_path / "2", checkpoint, SETTINGS.model_copy(update={"batch_rows": 2}), prompts=PROMPTS[::-1]
    )
    drawn = {(c.qid, c.cid): c.token_ids for c in first}
    assert drawn == {(c.qid, c.cid): c.token_ids for c in other}
    assert len({tuple(ids) for ids in drawn.values()}) > len(PROMPTS)  # the samples of a question differ
    assert [(c.qid, c.cid) for c in first] == [(p.qid, cid) for p in PROMPTS for cid in range(3)]


def test_log_probabilities_are_those_of_a_plain_forward_pass(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    model: Any = checkpoint.model
    for completion in _sample(tmp_path, checkpoint)[:6]:
        prompt = next(p for p in PROMPTS if p.qid == completion.qid)
        ids = torch.tensor([[*prompt.ids, *completion.token_ids]])
        with torch.no_grad():
            logp = model(ids).logits.log_softmax(-1)[0, len(prompt.ids) - 1 : -1]
        expected = logp.gather(-1, torch.tensor(completion.token_ids)[:, None]).sum().item()
        assert completion.sum_logprob == pytest.approx(expected, abs=1e-3)
        assert (completion.finish_reason == "stop") == (completion.token_ids[-1] == 1)
        assert completion.finish_reason == "stop" or len(completion.token_ids) == 12
        assert 1 not in completion.token_ids[:-1]


def test_a_run_that_was_killed_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    whole = _sample(tmp_path / "whole", checkpoint)
    journal = (tmp_path / "whole" / "journal.jsonl").read_bytes()
    (tmp_path / "killed").mkdir()
    cut = tmp_path / "killed" / "journal.jsonl"
    cut.write_bytes(journal[: len(journal) // 2])
    lines = cut.read_bytes().count(b"\n")
    assert 0 < lines < journal.count(b"\n")
    assert _sample(tmp_path / "killed", checkpoint) == whole
    assert cut.read_bytes() == journal


def test_tokens_are_drawn_from_the_filtered_distribution() -> None:
    logits = torch.tensor([[2.0, 1.5, 1.0, 0.5, -1.0]])
    settings = SamplingSettings(temperature=0.8, top_k=4, top_p=0.85)
    p = torch.softmax(logits[0] / 0.8, -1)[:4]
    p = p / p.sum()
    kept = p[: int((p.cumsum(0) < 0.85).sum()) + 1]
    expected = (kept / kept.sum()).tolist()
    draws = torch.from_numpy(np.random.default_rng(0).random(20_000))
    tokens, logprobs = choose(logits.expand(20_000, -1), draws, settings)
    counts = Counter(tokens.tolist())
    assert sorted(counts) == list(range(len(expected)))
    for token, share in enumerate(expected):
        assert counts[token] / 20_000 == pytest.approx(share, abs=0.015)
    assert logprobs[0].item() == pytest.approx(logits.log_softmax(-1)[0, tokens[0]].item())


def _full_sort(logits: torch.Tensor, draws: torch.Tensor, settings: SamplingSettings) -> torch.Tensor:
    """The tokens by sorting all of the vocabulary."""
    p = torch.softmax(logits / settings.temperature, -1, dtype=torch.float64)
    if 0 < settings.top_k < p.shape[-1]:
        p = p.masked_fill(p < p.topk(settings.top_k, -1).values[:, -1:], 0.0)
    p = p / p.sum(-1, keepdim=True)
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    dropped = ordered.cumsum(-1) - ordered >= settings.top_p
    if settings.top_p < 1:
        p = torch.zeros_like(p).scatter(-1, order, ordered.masked_fill(dropped, 0.0))
    total = p.cumsum(-1)
    return torch.searchsorted(total, draws[:, None] * total[:, -1:], right=True)[:, 0]


@hypothesis.settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([2, 63, 64, 65, 700, 3000]), st.sampled_from([0.0, 0.3, 1.0, 6.0]),
    st.booleans(), st.sampled_from([0.01, 0.3, 0.9, 0.95, 0.999999, 1.0]), st.sampled_from([0, 1, 5, 99]),
)  # fmt: skip
def test_top_p_draws_the_tokens_of_the_full_sort(
    seed: int, vocab: int, spread: float, ties: bool, top_p: float, top_k: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(40, vocab)).astype(np.float32)) * spread
    logits = logits.round() if ties else logits
    draws = torch.from_numpy(rng.random(40))
    asked = SamplingSettings(temperature=0.9, top_p=top_p, top_k=top_k)
    tokens, _ = choose(logits, draws, asked)
    assert tokens.tolist() == _full_sort(logits, draws, asked).tolist()


def test_of_tokens_that_are_equals_the_first_are_kept() -> None:
    p = torch.full((2, 1000), 1e-3, dtype=torch.float64)
    p[1, :] = 0.0
    p[1, [900, 20, 500]] = torch.tensor([0.2, 0.4, 0.4], dtype=torch.float64)
    values, ids = nucleus(p, 0.0995)
    assert ids[0][values[0] > 0].tolist() == list(range(100))
    assert ids[1][values[1] > 0].tolist() == [20]


def test_a_large_vocabulary_is_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_: list[int] = []
    plain = torch.Tensor.sort

    def counting(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        sorted_.append(self.shape[-1])
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "sort", counting)
    logits = 3 * torch.randn(4, 262_144, generator=torch.Generator().manual_seed(0))
    choose(logits, torch.rand(4, dtype=torch.float64), SamplingSettings(temperature=0.3, top_p=0.9))
    assert 64 <= max(sorted_) <= 4096


def test_a_large_vocabulary_is_drawn_from_as_by_float64_throughout() -> None:
    """In blocks of float32; a draw at the very edge of two tokens may fall to the other one."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, MANY + 100)
    logits[:, 700:1600] = -1e4  # whole blocks without weight, and parts of some
    draws = torch.rand(4, 500, dtype=torch.float64)
    draws[:, :2] = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    asked = SamplingSettings(temperature=0.7)
    total = torch.softmax(logits.double() / 0.7, -1).cumsum(-1)
    for column in draws.T:
        tokens, logprobs = choose(logits, column, asked)
        wanted = torch.searchsorted(total, column[:, None] * total[:, -1:], right=True)[:, 0]
        edge = (total.gather(-1, (wanted - 1).clamp(min=0)[:, None])[:, 0] - column).abs().lt(1e-5)
        assert bool(((tokens == wanted.clamp(max=logits.shape[1] - 1)) | edge | column.ge(1 - 1e-5)).all())
        assert not bool(((tokens >= 700) & (tokens < 1600)).any())
        assert logprobs.equal(logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0])


def test_rows_that_are_not_finite_are_told_apart_and_large_ones_are_finite() -> None:
    rows = torch.zeros(5, 10)
    rows[1, 3], rows[2, 4], rows[3, :2] = torch.inf, torch.nan, torch.tensor([torch.inf, -torch.inf])
    rows[4] = 3e38  # the sum overflows
    assert all_finite(rows).tolist() == [True, False, False, False, True]
    assert all_finite(rows[:1]).tolist() == [True]


def test_streams_differ_by_every_part_of_their_key() -> None:
    keys = [(0, "a", "q", 0), (1, "a", "q", 0), (0, "b", "q", 0), (0, "a", "r", 0), (0, "a", "q", 1)]
    streams = [tuple(uniforms(*key, count=4)) for key in keys]
    assert len(set(streams)) == len(keys)
    assert streams[0] == tuple(uniforms(*keys[0], count=9))[:4]


def test_many_empty_completions_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    with pytest.raises(
        SamplingError, match=r"\d+ of its \d+ completions are empty \(first: question 'q\d', sample"
    ):
        _sample(tmp_path, replace(_checkpoint(), eos_ids=tuple(range(64))))


def test_few_empty_completions_are_kept_and_are_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mechcot.sampling import empty as empty_ones
    from mechcot.sampling import trace_rows
    from mechcot.tasks import PromptFormat, Question

    monkeypatch.setattr(empty_ones, "MOST_EMPTY", 1.0)
    ends = replace(_checkpoint(tmp_path=tmp_path), eos_ids=tuple(range(0, 64, 2)))
    done = _sample(tmp_path, ends)
    empty = [c for c in done if len(c.token_ids) == 1 and c.finish_reason == "stop"]
    assert 0 < len(empty) < len(done)
    form = PromptFormat("{stem} {options}", "{text}", " ", True, None, "", r"(?P<answer>x)", "text", ("",))
    questions = {p.qid: Question(p.qid, "", "stem", ("a", "b"), 0, "") for p in PROMPTS}
    rows = trace_rows(done, PROMPTS, questions, form, ends.tokenizer, "arm")
    assert [row["answer_rule"] for row in rows if not row["text"]] == ["empty"] * len(empty)
    assert all(row["answer"] == -1 for row in rows if not row["text"])
    monkeypatch.setattr(empty_ones, "MOST_EMPTY", 0.9 * len(empty) / len(done))
    with pytest.raises(SamplingError, match=rf"{len(empty)} of its {len(done)} completions are empty"):
        trace_rows(done, PROMPTS, questions, form, ends.tokenizer, "arm")


def test_logits_that_are_not_finite_and_prompts_too_long_are_errors(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    with torch.no_grad():
        next(checkpoint.model.parameters())[6] = float("nan")
    with pytest.raises(SamplingError, match="not finite"):
        _sample(tmp_path / "nan", checkpoint)
    with pytest.raises(SamplingError, match=r"question 'q0'.*context of 10"):
        _sample(tmp_path / "long", replace(_checkpoint(), context=10))
