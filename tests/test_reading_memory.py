"""A reading that finds too little memory: its budget found, halved, and down to one text at a time."""

import json
import logging
import weakref
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mechcot.core import records
from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.models.devices import out_of_memory
from mechcot.reading import budget, groups
from mechcot.reading import folder as folder_module
from mechcot.reading.inputs import KnockOut, QuestionInput
from mechcot.reading.reader import plan_for
from mechcot.reading.spec import DEFAULT_MAX_TOKENS, ReadingSpec, recipe_for
from mechcot.study.activations import Activations
from reading_cases import make_model, make_questions, one_thread  # noqa: F401
from test_reading_folder import SIZES, content, killed_at
from test_reading_folder import run as read_folder

ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
)


@pytest.fixture(scope="module")
def model():
    return make_model("qwen3")


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Several shards from few questions."""
    monkeypatch.setattr(groups, "SHARD_TOKENS", 400)


@contextmanager
def short_memory(model, limit, error=ERRORS[0]):
    """The model raises what torch raises when a row is longer than its memory allows."""

    def refuse(module, args, kwargs):
        if kwargs["input_ids"].numel() > limit:
            raise error

    handle = model.get_decoder().register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def run(model, tmp_path, name, questions=None, **given):
    return read_folder(model, tmp_path, name, questions, **{"check": False, "max_tokens": 600, **given})


def same_numbers(tmp_path, one, two, **tolerance):
    for name in ("forced", "signals", "truth"):
        a, b = (records.read_table(tmp_path / run / "out" / f"{name}.parquet") for run in (one, two))
        assert list(a.columns) == list(b.columns)
        for column in a.columns:
            if column in ("logp", "p", "entropy", "surprisal", "p_truth", "p_said") and len(a):
                left, right = (np.concatenate([np.atleast_1d(v) for v in t[column]]) for t in (a, b))
                np.testing.assert_allclose(left, right, **tolerance)
            elif column in ("qid", "arm", "cid", "sid", "k", "lead_in", "layer"):
                assert a[column].tolist() == b[column].tolist()
    stores = [Activations.open(tmp_path / run / "out" / "activations") for run in (one, two)]
    keys = [store.frame()[records.STEP_KEY].to_numpy().tolist() for store in stores]
    assert keys[0] == keys[1]
    for place in stores[0].places:
        np.testing.assert_allclose(stores[0].layer(*place), stores[1].layer(*place), **tolerance)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_budget_is_halved_and_nothing_is_lost(model, tmp_path, caplog, error):
    run(model, tmp_path, "whole")
    with short_memory(model, 250, error), caplog.at_level(logging.WARNING):
        summary = run(model, tmp_path, "short")
    assert summary.halvings
    budgets = [600, *(found for _, found in summary.halvings)]
    assert all(2 * after <= before for before, after in pairwise(budgets))
    assert "memory is short" in caplog.text
    same_numbers(tmp_path, "whole", "short", atol=1e-4)
    packing = json.loads((tmp_path / "short" / "out" / "activations" / "meta.json").read_text())["packing"]
    assert packing["halvings"] == [list(halving) for halving in summary.halvings]
    assert (packing["max_tokens"], packing["batches"]) == (600, summary.batches)


def finished_before_a_halving():
    """Small questions first, so that a group is finished before memory falls short."""
    sizes = ((1,), (1,), (1,), (1,), (1,), (1,), (6, 6), (3, 4), (1,), (2, 5))
    return make_questions(seed=3, sizes=sizes)


def test_halvings_are_replayed_so_that_a_killed_reading_ends_with_the_same_bytes(
    model, tmp_path, monkeypatch
):
    questions = finished_before_a_halving()
    given = {"questions": questions, "max_tokens": 180}
    monkeypatch.setattr(groups, "SHARD_TOKENS", 140)
    with short_memory(model, 160):
        summary = run(model, tmp_path, "whole", **given)
        assert summary.halvings[0][0] > 0, "a group was finished before"
        assert summary.groups > 2
        killed = 0
        for instant in range(1, 40, 6):
            name = f"at-{instant}"
            killed += killed_at(model, tmp_path, name, instant, run=run, **given)
            resumed = run(model, tmp_path, name, **given)
            assert resumed.halvings == summary.halvings
            assert content(tmp_path, name) == content(tmp_path, "whole"), f"killed at write {instant}"
    assert killed > 4


def test_a_group_that_was_finished_is_not_read_again_after_a_halving(model, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "SHARD_TOKENS", 140)
    read, real = [], groups.read_batch

    def noted(model, anatomy, plan, number, recipe):
        read.append(tuple(plan.members(number)))
        return real(model, anatomy, plan, number, recipe)

    monkeypatch.setattr(groups, "read_batch", noted)
    with short_memory(model, 160):
        summary = run(model, tmp_path, "a", finished_before_a_halving(), max_tokens=180)
    assert len(summary.halvings) == 1
    times = [sum(part.question == question for parts in read for part in parts) for question in range(10)]
    assert times[:4] == [1] * 4, "the finished group"
    assert times[4:6] == [2] * 2, "the group that was dropped"


def test_a_trace_too_long_for_memory_is_read_text_by_text(model, tmp_path, caplog):
    questions = make_questions(sizes=((2, 6),))
    run(model, tmp_path, "whole", questions)
    longest = max(len(q.prompt_ids) + len(t.token_ids) for q in questions for t in q.traces) + 6
    with short_memory(model, longest), caplog.at_level(logging.WARNING):
        run(model, tmp_path, "short", questions)
        killed_at(model, tmp_path, "killed", 3, run=run, questions=questions)
        run(model, tmp_path, "killed", questions)
    assert "its texts are run one by one" in caplog.text
    assert "question 'q0', arm 'base', trace 1" in caplog.text
    same_numbers(tmp_path, "whole", "short", atol=1e-4)
    assert json.loads((tmp_path / "short" / "out" / "activations" / "meta.json").read_text())["packing"][
        "alone"
    ]
    assert content(tmp_path, "killed") == content(tmp_path, "short")


def test_when_even_one_text_does_not_fit_the_trace_is_named_and_finished_groups_stay(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(groups, "SHARD_TOKENS", 30)
    questions = finished_before_a_halving()
    with short_memory(model, 30), pytest.raises(ReadingError) as raised:
        run(model, tmp_path, "a", questions, max_tokens=40)
    assert "question 'q6', arm 'base', trace 0: memory is short even for this trace by itself" in str(
        raised.value
    )
    assert "out of memory" in str(raised.value)
    assert not (tmp_path / "a" / "out" / "forced.parquet").exists()
    summary = run(model, tmp_path, "a", questions, max_tokens=40)
    assert (summary.groups_kept, summary.traces) == (6, 13)


def test_knock_outs_cannot_be_read_text_by_text(model, tmp_path):
    question = make_questions(sizes=((4,),))[0]
    trace = question.traces[0]
    hidden = tuple(KnockOut(4, sid, (a, b)) for sid, a, b in trace.steps)
    question = replace(question, traces=(replace(trace, knock_outs=hidden),))
    with short_memory(model, 60), pytest.raises(ReadingError, match="memory is short even for this trace"):
        run(model, tmp_path, "a", [question])


def test_other_errors_are_not_taken_for_short_memory(model, tmp_path):
    other = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with short_memory(model, 250, other), pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(model, tmp_path, "a")
    assert not out_of_memory(ReadingError("out of memory"))
    assert out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))


def test_the_budget_grows_with_free_memory_between_its_bounds(model):
    anatomy = anatomy_of(model)
    recipe = recipe_for(anatomy)
    free = [0, *np.linspace(2**24, 2**26, 20), 2**40]
    found = [budget.find_max_tokens(anatomy, recipe, int(size), int(size)) for size in free]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (budget.LEAST_TOKENS, DEFAULT_MAX_TOKENS["cpu"])
    assert len(set(found)) > 3
    assert all(power & (power - 1) == 0 for power in found)


def test_a_larger_model_and_more_that_is_kept_need_more_of_each_token(model):
    anatomy = anatomy_of(model)
    half = anatomy_of(make_model("qwen3", torch.bfloat16))
    assert budget.computed_bytes(half) < budget.computed_bytes(anatomy)
    assert budget.computed_bytes(anatomy_of(make_model("gpt2"))) > 0
    kept = [
        budget.kept_bytes(anatomy, recipe_for(anatomy, ReadingSpec(layers=layers, rules=rules)))
        for layers, rules in (((), ("end",)), ((1,), ("end",)), (None, ("end", "mean")), (None, ("token",)))
    ]
    assert kept[0] == 0
    assert kept == sorted(set(kept))


class Alive(TorchDispatchMode):
    """Bytes of the tensors that are alive, and their largest sum, as operation after operation makes them."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else [found]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.seen:
                storage = tensor.untyped_storage()
                self.seen.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor, self.gone, storage._cdata, storage.nbytes())
        return found

    def gone(self, key, size):
        self.now -= size
        self.seen.discard(key)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_estimate_of_a_tokens_bytes_is_of_the_right_size(attention):
    model = make_model("qwen3", attn_implementation=attention)
    anatomy = anatomy_of(model)
    questions = make_questions(sizes=SIZES)
    recipe = recipe_for(anatomy, ReadingSpec(layers=()))
    plan = plan_for(model, questions, ReadingSpec(rules=(), max_tokens=2**20))
    with Alive() as alive:
        groups.read_batch(model, anatomy, plan, 0, recipe)
    assert 0.5 < budget.computed_bytes(anatomy) / (alive.peak / plan.nodes(0)) < 4


def test_a_budget_that_was_found_is_kept_when_the_reading_is_taken_up_again(model, tmp_path, monkeypatch):
    def free(device):
        return given["free"]

    monkeypatch.setattr(folder_module, "free_memory", free)
    monkeypatch.setattr(groups, "SHARD_TOKENS", 200)
    given = {"free": 2**34}
    questions = [
        replace(question, qid=f"{copy}-{question.qid}", traces=tuple(
            replace(trace, qid=f"{copy}-{question.qid}") for trace in question.traces))
        for copy in range(3) for question in make_questions(sizes=SIZES)
    ]  # fmt: skip
    whole = run(model, tmp_path, "whole", questions, max_tokens=None)
    assert whole.max_tokens == DEFAULT_MAX_TOKENS["cpu"]
    given["free"] = 2**24
    few = run(model, tmp_path, "few", questions, max_tokens=None)
    assert few.max_tokens < whole.max_tokens
    assert few.batches > 1
    assert killed_at(model, tmp_path, "resumed", 8, run=run, questions=questions, max_tokens=None)
    given["free"] = 2**34
    resumed = run(model, tmp_path, "resumed", questions, max_tokens=None)
    assert resumed.groups_kept > 0
    assert resumed.max_tokens == few.max_tokens
    assert content(tmp_path, "resumed") == content(tmp_path, "few")
    explicit = run(model, tmp_path, "explicit", questions, max_tokens=77)
    assert explicit.max_tokens == 77


def spoil(model, token):
    """Whoever reads a token gets numbers that are not finite from then on."""

    def after(module, args, output):
        output[args[0] == token] = float("nan")
        return output

    return model.get_input_embeddings().register_forward_hook(after)


def with_token(question, which, token):
    traces = list(question.traces)
    traces[which] = replace(traces[which], token_ids=(*traces[which].token_ids[:-3], token, 12, 13))
    return replace(question, traces=tuple(traces))


def test_traces_whose_numbers_are_not_finite_are_left_out_only_when_asked(model, tmp_path):
    questions = make_questions(sizes=SIZES)
    questions[2] = with_token(questions[2], 1, 3)
    questions[4] = QuestionInput("q4", (3, 12), questions[4].traces, questions[4].forced)
    handle = spoil(model, 3)
    try:
        with pytest.raises(ReadingError, match=r"question 'q2', arm 'base', trace 1.* not finite"):
            run(model, tmp_path, "strict", questions)
        assert not (tmp_path / "strict" / "out" / "forced.parquet").exists()
        summary = run(model, tmp_path, "lenient", questions, skip_unreadable=True)
    finally:
        handle.remove()
    assert [text.split(":")[0].split(", step")[0] for text in summary.skipped] == [
        "question 'q2', arm 'base', trace 1",
        "question 'q4', arm 'base', trace 0",
    ]
    sound = [
        replace(q, traces=tuple(t for t in q.traces if (t.qid, t.cid) not in (("q2", 1), ("q4", 0))))
        for q in questions
    ]
    plain = run(model, tmp_path, "plain", sound)
    assert (summary.questions, summary.traces, summary.steps) == (plain.questions, plain.traces, plain.steps)
    same_numbers(tmp_path, "lenient", "plain", atol=1e-4)
    Activations.open(tmp_path / "lenient" / "out" / "activations").verify()


def test_a_reading_without_one_finite_trace_is_refused(model, tmp_path):
    question = with_token(make_questions(sizes=((3,),))[0], 0, 3)
    handle = spoil(model, 3)
    try:
        with pytest.raises(ReadingError, match=r"no trace gave numbers that are finite; question 'q0'"):
            run(model, tmp_path, "a", [question], skip_unreadable=True)
    finally:
        handle.remove()
    assert not (tmp_path / "a" / "out" / "forced.parquet").exists()


def longest_of(questions):
    """Which question, and which of its traces, is the longest: the self-check's own choice."""
    traces = [
        (len(t.token_ids), number, i) for number, q in enumerate(questions) for i, t in enumerate(q.traces)
    ]
    return max(traces)[1:]


def test_a_trace_that_is_not_finite_does_not_cost_the_reading_although_the_self_check_would_take_it(
    model, tmp_path, caplog
):
    questions = make_questions(sizes=SIZES)
    number, which = longest_of(questions)
    name = f"question 'q{number}', arm 'base', trace {which}"
    questions[number] = with_token(questions[number], which, 3)
    handle = spoil(model, 3)
    try:
        summary = run(model, tmp_path, "lenient", questions, skip_unreadable=True, check=True)
        with pytest.raises(ReadingError, match=f"{name}.* not finite"):
            run(model, tmp_path, "strict", questions, check=True)
    finally:
        handle.remove()
    assert [text.split(":")[0].split(", step")[0] for text in summary.skipped] == [name]
    assert summary.check.way == "trees"
    assert summary.check.worst < 1e-4
    assert f"{name}" in caplog.text


def test_a_model_without_finite_numbers_is_refused_by_trace_and_step(tmp_path):
    model = make_model("qwen3")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    for lenient in (False, True):
        with pytest.raises(
            ReadingError, match=r"question 'q\d', arm 'base', trace \d, step \d: resid_post.2"
        ):
            run(model, tmp_path, f"a{lenient}", skip_unreadable=lenient, check=True)


@pytest.mark.parametrize("limit", [100, 60])
def test_a_self_check_too_large_for_memory_takes_a_smaller_sample(model, tmp_path, caplog, limit):
    run(model, tmp_path, "whole")
    with short_memory(model, limit), caplog.at_level(logging.WARNING):
        summary = run(model, tmp_path, "short", check=True)
    assert summary.check.worst < 1e-4
    assert len(summary.check.questions) == 1
    assert "the self-check was made on a smaller sample" in caplog.text
    same_numbers(tmp_path, "whole", "short", atol=1e-4)


def test_a_model_for_which_no_text_fits_is_refused(model, tmp_path):
    with (
        short_memory(model, 3),
        pytest.raises(ReadingError, match=r"questions \['q2', .* too large for the memory"),
    ):
        run(model, tmp_path, "a", check=True)
