"""Models that cannot read a tree: each is read all the same, text by text, and says so."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    MambaConfig,
    Qwen3NextConfig,
    RobertaConfig,
)

from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.reading import reader
from mechcot.reading.inputs import KnockOut, TraceInput
from mechcot.reading.reader import plan_for, read, read_batch
from mechcot.reading.selfcheck import self_check, usable
from mechcot.reading.spec import ReadingSpec, recipe_for
from model_families import TURN, build
from reading_cases import PLAIN, SHAPE, VOCAB, make_model, make_questions, one_thread  # noqa: F401
from test_reading_reader import collect, compare

NEXT = {
    **SHAPE,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
}
STRANGE = {
    "bloom": lambda: BloomConfig(
        vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1
    ),
    "mamba": lambda: MambaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=4, bos_token_id=1, eos_token_id=1
    ),
    "qwen3_next": lambda: Qwen3NextConfig(**NEXT),
}


def strange_model(family):
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(STRANGE[family]()).eval()
    logging.disable(logging.NOTSET)
    return model


@pytest.mark.parametrize("family", STRANGE)
def test_it_is_read_text_by_text_with_a_warning(family, caplog):
    model, questions = strange_model(family), make_questions(sizes=((3,), (2,)))
    recipe = recipe_for(anatomy_of(model), ReadingSpec(rules=("end", "mean")))
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        found, report = usable(model, questions, recipe)
    assert found.alone
    assert report.way == "alone"
    assert report.worst < 1e-4
    assert "cannot read a prefix tree" in caplog.text
    plan = plan_for(model, questions, ReadingSpec(rules=recipe.rules))
    batch = read_batch(model, anatomy_of(model), plan, 0, found)
    assert batch.acts["resid_post.1@end"].shape == (5, 32)


@pytest.mark.parametrize("family", STRANGE)
def test_its_numbers_are_those_of_separate_runs(family):
    model, questions = strange_model(family), make_questions(sizes=((3,), (2,)))
    compare(model, questions, collect(model, questions), nats=1e-4, share=1e-4)


def test_layers_that_would_be_silently_wrong_in_a_tree_are_found_out():
    """Qwen3-Next takes a tree, and its linear layers would read it as one text."""
    model, questions = strange_model("qwen3_next"), make_questions()
    hopeful = replace(anatomy_of(model), strange="", windows={"full_attention": None})
    recipe = recipe_for(hopeful)
    plan = plan_for(model, questions, ReadingSpec(rules=recipe.rules))
    with pytest.raises(ReadingError, match="1 of 3 layers attend"):
        read_batch(model, hopeful, plan, 0, recipe)


def test_a_model_that_mixes_texts_is_found_out_by_its_numbers(caplog):
    model, questions = make_model("qwen3"), make_questions()

    def mix(module, args, output):
        # A state carried along a row, in rows that no single text of this test fills.
        return output + 1e-2 * output.cumsum(1) if output.shape[1] > 60 else output

    model.model.layers[1].register_forward_hook(mix)
    recipe = recipe_for(anatomy_of(model))
    assert self_check(model, questions, recipe).worst > 1e-3
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        found, _ = usable(model, questions, recipe)
    assert found.alone
    assert "trees differ from separate runs by" in caplog.text


def encoder(**settings):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    tokens = {"vocab_size": VOCAB, "pad_token_id": 0, "max_position_embeddings": 96}
    config = RobertaConfig(**sizes, **tokens, initializer_range=0.3, **settings)
    return AutoModelForCausalLM.from_config(config).eval()


def test_a_model_that_sees_later_tokens_is_refused_by_name():
    """A trace would be read with its own future, and plain runs of the whole text agree with that."""
    model, questions = encoder(is_decoder=False), make_questions()
    with pytest.raises(ReadingError, match=r"RobertaForCausalLM: is not causal: .* is_decoder"):
        usable(model, questions, recipe_for(anatomy_of(model)))


def test_positions_that_do_not_begin_at_0_are_the_models_own_text_by_text():
    model, questions = encoder(is_decoder=True), make_questions(sizes=((3,), (2,)))
    recipe = recipe_for(anatomy_of(model), ReadingSpec(rules=("end", "mean")))
    found, report = usable(model, questions, recipe)
    assert found.alone
    assert report.worst < 1e-4


def test_a_model_whose_own_code_fails_is_refused_by_name():
    model, questions = make_model("qwen3"), make_questions()

    def fail(module, args):
        raise ValueError("no such cache")

    model.model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(ReadingError, match=r"Qwen3ForCausalLM: cannot be read, .* ValueError: no such cache"):
        usable(model, questions, recipe_for(anatomy_of(model)))


def test_steps_cannot_be_hidden_without_a_tree():
    model, questions = strange_model("bloom"), make_questions()
    trace = questions[0].traces[0]
    hiding = replace(trace, knock_outs=(KnockOut(2, 0, trace.steps[0][1:]),))
    with pytest.raises(ReadingError, match="question 'q0', arm 'base', trace 0: this model reads no trees"):
        list(read(model, [replace(questions[0], traces=(hiding,))]))


def test_the_lens_is_the_same_text_by_text():
    model, questions = make_model("llama"), make_questions(sizes=((3, 2),))
    plan, anatomy = plan_for(model, questions), anatomy_of(model)
    recipe = recipe_for(anatomy, ReadingSpec(lens=True))
    trees = read_batch(model, anatomy, plan, 0, recipe)
    texts = read_batch(model, anatomy, plan, 0, replace(recipe, alone=True))
    for name in ("prompt", "forced", "entropy", "surprisal", "truth"):
        np.testing.assert_allclose(getattr(trees, name), getattr(texts, name), atol=2e-5)
    assert trees.acts.keys() == texts.acts.keys()
    for name, values in trees.acts.items():
        torch.testing.assert_close(values, texts.acts[name], atol=2e-5, rtol=1e-5)


def at_length(qid, prompt, tokens):
    """A question with a prompt and a trace of so many tokens."""
    rng = np.random.default_rng(prompt + tokens)
    question = make_questions(sizes=((2,),))[0]
    ids = tuple(int(i) for i in rng.integers(10, VOCAB, prompt + tokens))
    steps, decision = ((0, 0, 2), (1, 2, tokens - 1)), {"decision": (-1, 1)}
    trace = TraceInput(qid, "base", 0, ids[prompt:], steps, decision)
    return replace(question, qid=qid, prompt_ids=ids[:prompt], traces=(trace,))


def test_the_self_check_packs_the_longest_text_with_the_shortest(caplog):
    """The longest text is one of a long prompt and a short trace, neither the longest trace nor the first."""
    model = build("longrope")
    questions = [
        at_length("a", 4, 9),
        at_length("b", 5, 8),
        at_length("c", TURN + 5, 7),
        at_length("d", 3, 5),
    ]
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        found, report = usable(model, questions, recipe_for(anatomy_of(model)))
    assert report.questions == ("c", "d")
    assert report.worst < 1e-4
    assert not found.alone
    assert not caplog.text


def test_a_tree_of_the_short_texts_is_tried_beside_the_long_ones(monkeypatch):
    """What a row of its own side is read by has to be true, too."""
    model, trees = build("longrope"), []
    questions = [at_length("a", 4, 9), at_length("c", TURN + 5, 7), at_length("d", 3, 5)]
    real = reader.run_trees
    monkeypatch.setattr(reader, "run_trees", lambda *given: (trees.append(len(given[2])), real(*given))[1])
    self_check(model, questions, recipe_for(anatomy_of(model)))
    assert trees == [1, 1]


@pytest.mark.parametrize("family", ["longrope", "phimoe"])
def test_no_row_is_shared_across_the_length_where_rotary_factors_change(family, caplog):
    model = build(family)
    questions = [at_length(f"short{i}", 4 + i, 9) for i in range(4)]
    questions.insert(2, at_length("across", TURN - 2, 7))
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        compare(model, questions, collect(model, questions, max_tokens=40), nats=1e-4, share=1e-4)
    assert f"its rotary factors change beyond {TURN} positions: 1 of 5 batches" in caplog.text


@pytest.mark.parametrize("prompt", [4, TURN + 1])
def test_texts_on_one_side_of_it_are_read_as_trees(prompt, caplog):
    model = build("longrope")
    questions = [at_length("a", prompt, 9), at_length("b", prompt + 1, 8)]
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        found, report = usable(model, questions, recipe_for(anatomy_of(model)))
        compare(model, questions, collect(model, questions), nats=1e-4, share=1e-4)
    assert not found.alone
    assert report.worst < 1e-4
    assert not caplog.text


def test_a_length_that_no_configuration_tells_of_is_found_out():
    model = make_model("qwen3")

    def turn(module, args):
        hidden, positions = args
        return hidden, positions * (2 if int(positions.max()) >= TURN else 1)

    model.model.rotary_emb.register_forward_pre_hook(turn)
    questions = [at_length("a", 4, 9), at_length("c", TURN + 5, 7)]
    found, report = usable(model, questions, recipe_for(anatomy_of(model)))
    assert found.alone
    assert report.worst < 1e-4


@pytest.mark.parametrize("family", ["qwen3_next", "recurrent_gemma"])
def test_a_cache_that_no_reading_uses_refuses_none(family):
    """One is made untrue, the other hands back none."""
    model, questions = build(family), make_questions(sizes=((3,), (2,)))

    def worse(module, args, kwargs, output):
        return (output[0] * (1.5 if kwargs.get("cache") is not None else 1.0), *output[1:])

    if family == "qwen3_next":
        model.model.layers[-1].self_attn.register_forward_hook(worse, with_kwargs=True)
    found, report = usable(model, questions, recipe_for(anatomy_of(model), ReadingSpec(rules=("end",))))
    assert found.alone
    assert report.worst < 1e-4


def test_a_lens_that_is_not_true_to_the_model_is_refused_by_name():
    """A family that does more than its norm between the last block and the head."""
    model, questions = make_model("llama"), make_questions()
    recipe = recipe_for(anatomy_of(model), ReadingSpec(lens=True))
    model.model.register_forward_hook(
        lambda module, args, out: setattr(out, "last_hidden_state", 1.5 * out.last_hidden_state) or out
    )
    with pytest.raises(ReadingError, match="LlamaForCausalLM: the lens is not true to it"):
        usable(model, questions, recipe)
    found, _ = usable(model, questions, replace(recipe, lens=False))
    assert not found.lens
