"""Sub-steps inside: toys that compute one, carry it unused, or do not; what is read of them and of arrays."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mechcot.analyses.sub_steps.analysis import analyse, read
from mechcot.analyses.sub_steps.decoding import read_values, values_of
from mechcot.analyses.sub_steps.design import PLACES, WRONG, cases_of
from mechcot.analyses.sub_steps.making import Text, forced, last_states, look, swaps_of
from mechcot.analyses.sub_steps.page import inside, swaps
from mechcot.core.config import resolve
from mechcot.core.errors import AnalysisError
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.weights import untrained_model
from mechcot.tasks.base import Question
from mechcot.tasks.cotemp import CLASSES, VERIFIABLE
from mechcot.tasks.organism.questions import clinical_options
from mechcot.tasks.organism.tokenizer import build_tokenizer
from mechcot.tasks.organism.world import build_world
from mechcot.tasks.registry import task_for
from trace_cases import cotemp_questions

ENTITIES, PART = 40, 16
ALIKE = 0.7
SETTINGS = resolve(
    preset="organism", overrides=(f"organism.diseases={ENTITIES}", f"organism.chain_nodes={ENTITIES}")
)
WORLD = build_world(SETTINGS.organism, SETTINGS.seed)
TASK = task_for(SETTINGS)
TOKENIZER = build_tokenizer(WORLD)


def question_of(number: int) -> Question:
    """A case whose disease is that of a sign which no other one has: a word with no share in its name."""
    disease = WORLD.diseases[number]
    options = clinical_options(WORLD, disease, random.Random(number))
    gold = options.index(WORLD.drug_of(disease))
    stem = f"case {WORLD.nodes[number]}"
    return Question(f"q{number:02d}", "clinical", stem, tuple(options), gold, disease)


CASES, LEFT = cases_of(TASK.verifiable, [question_of(i) for i in range(ENTITIES)], ENTITIES, 0)


@torch.no_grad()
def toy(*, computes: bool, uses: bool, reads: bool = False) -> Checkpoint:
    """A transformer that carries from a sign, where it stands, to later tokens what leads to the drug.

    Its residual stream has parts: words, what a sign says of disease and of drug, what was carried of both.
    Codes of a disease and its drug are alike. It carries the disease and looks the drug up in its second
    block (it uses what it computes); or it carries the drug, and the disease beside it or not.
    """
    words, sign_disease, sign_drug, disease, drug = (slice(i * PART, (i + 1) * PART) for i in range(5))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=5 * PART, intermediate_size=ENTITIES, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, head_dim=5 * PART, max_position_embeddings=64,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    for own in model.parameters():
        if own.dim() == 2:
            own.zero_()
    codes = torch.randn(2, ENTITIES, PART)
    codes[0] = ALIKE * codes[1] + (1 - ALIKE**2) ** 0.5 * codes[0]
    codes = torch.nn.functional.normalize(codes, dim=-1)
    table, head = model.model.embed_tokens.weight, model.lm_head.weight
    table[:, words] = 0.3 * torch.randn(len(table), PART)
    eye, (first, second) = torch.eye(PART), model.model.layers
    first.self_attn.v_proj.weight.copy_(torch.eye(5 * PART))
    if computes:
        first.self_attn.o_proj.weight[disease, sign_disease] = 20 * eye
    if uses:
        second.mlp.gate_proj.weight[:, disease] = 4 * codes[0]
        second.mlp.up_proj.weight[:, disease] = codes[0]
        second.mlp.down_proj.weight[drug] = codes[1].T
    else:
        first.self_attn.o_proj.weight[drug, sign_drug] = 20 * eye
    for i in range(ENTITIES):
        sign, ill, cure = (
            TOKENIZER.convert_tokens_to_ids(getattr(WORLD, kind)[i])
            for kind in ("nodes", "diseases", "drugs")
        )
        table[sign, sign_disease], table[sign, sign_drug] = codes[0, i], codes[1, i]
        head[ill, disease], head[cure, drug] = 3 * codes[0, i], 3 * codes[1, i]
        head[ill, drug] = 3 * ALIKE * codes[1, i]  # names lie as their codes do
        if reads:
            table[ill, sign_drug] = table[cure, sign_drug] = 3 * codes[1, i]
    return Checkpoint("toy", model, TOKENIZER, (1,), 64)


@pytest.fixture(scope="module")
def found() -> Any:
    """The three toys as arms of one study: the one that carries the drug alone is the arm before."""
    arms = {
        "shortcut": toy(computes=False, uses=False),
        "aside": toy(computes=True, uses=False),
        "uses": toy(computes=True, uses=True),
    }
    decoded: list[dict] = []
    swaps: list[dict] = []
    for arm, checkpoint in arms.items():
        fresh = untrained_model(checkpoint.model.config, 0, "cpu", False)
        one, other = look(checkpoint, fresh, TASK, CASES, 0)
        decoded += [{"arm": arm, **row} for row in one]
        swaps += [{"arm": arm, **row} for row in other]
    entity = {case.question.qid: case.entity for case in CASES}
    about = {"n_questions": len(CASES), "n_entities": ENTITIES, "n_left_out": LEFT}
    return analyse(pd.DataFrame(decoded), pd.DataFrame(swaps), entity, "shortcut", (), about)


def test_a_planted_sub_step_is_read_on_entities_that_no_map_was_fitted_on(found: Any) -> None:
    by = {(one.arm, one.sub_step, one.place): one for one in found.decoded}
    assert len(by) == 3 * 2 * len(PLACES)
    for arm in ("aside", "uses"):
        for place in PLACES:
            own = by[arm, "disease", place]
            assert own.beats.low > 0.8, (arm, place)
            assert own.beyond.low > 0.8
            assert 0.35 < own.words.estimate < 0.65
            assert own.untrained.estimate < 0.65
            assert own.over_words.low > 0.2
            assert own.over[0].other == "shortcut"
            assert own.over[0].beyond.low > 0.2
            assert read(own.to_json()) == "yes"
        assert by[arm, "disease", WRONG].beats_said.low > 0.8, "the wrong trace does not take it away"


def test_an_answer_that_says_much_of_a_sub_step_is_not_taken_for_it(found: Any) -> None:
    """The toy never carries the disease, and a probe for it alone would find it."""
    for one in found.decoded:
        if one.arm == "shortcut" and one.sub_step == "disease":
            assert one.beats.low > 0.6
            assert 0.35 < one.beyond.estimate < 0.65
            assert read(one.to_json()) == "answer"
            assert one.over == ()
            assert (one.beats_said is None) == (one.place != WRONG)
        if one.sub_step == "drug":
            assert (one.beyond, one.beyond_over_words) == (None, None)
            assert read(one.to_json()) == "yes"


@pytest.mark.parametrize("name", ["disease", "drug"])
def test_an_answer_follows_what_is_said_in_a_toy_that_reads_it(found: Any, name: str) -> None:
    """Names of diseases and drugs carry a drug's code in it, and nothing in the others."""
    reads = pd.DataFrame(swaps_of(toy(computes=False, uses=False, reads=True), TASK, CASES, name, 0))
    assert reads.follows.mean() > 0.75
    assert reads.follows_third.mean() < 0.25
    assert (reads.other - reads.third).mean() > 1
    assert (reads.right < 0).all()
    for one in found.swapped:
        assert one.follows.estimate < 0.1
        assert one.gained.estimate == pytest.approx(0, abs=0.5)


def test_the_page_says_what_is_planted(found: Any) -> None:
    result = found.to_json()
    assert inside(result).startswith("At the prompt's end, the right disease scores above a wrong one")
    assert "against shortcut)" in inside(result)
    assert "shortcut 0.0\N{NO-BREAK SPACE}%" in swaps(result)
    told = found.text()
    assert "beyond their answer" in told
    assert "its answer alone" in told
    assert "a sub-step that was swapped" in told
    assert found.to_frame().shape[0] == len(found.decoded)
    assert found.figure().data


# --- what competes ----------------------------------------------------------------------------------


def test_values_that_compete_differ_everywhere_and_lead_to_options() -> None:
    assert len(CASES) + LEFT == ENTITIES
    for case in CASES:
        first, *others = case.choices
        assert case.question.options[first.answer] == WORLD.drug_of(case.entity)
        assert 2 <= len(others) <= 3
        for name in ("disease", "drug"):
            assert len({one.values[name] for one in case.choices}) == len(case.choices)
        assert len({one.answer for one in case.choices}) == len(case.choices)


def test_open_questions_have_the_answers_of_their_choices_as_options() -> None:
    questions = [question for name in CLASSES for question in cotemp_questions(name, 12)]
    cases, left = cases_of(VERIFIABLE, questions, 20, 0)
    assert len(cases) == 20
    assert left < len(questions) / 4
    for case in cases:
        assert [one.answer for one in case.choices] == list(range(len(case.choices)))
        assert case.question.options[0] == next(q for q in questions if q.qid == case.question.qid).options[0]
    again, _ = cases_of(VERIFIABLE, questions[::-1], 20, 0)
    assert again == cases, "the order of a file does not matter"


def test_questions_without_enough_wrong_ways_are_counted() -> None:
    two = [replace(one, options=one.options[:2]) for one in map(question_of, range(4))]
    two = [one for one in two if one.gold < 2]
    cases, left = cases_of(TASK.verifiable, two, 10, 0)
    assert (cases, left) == ([], len(two))


# --- the map ----------------------------------------------------------------------------------------


def planted(n: int, width: int, entities: int, seed: int) -> tuple[Any, ...]:
    """Random codes of entities; states that hold the right one, turned, and states that do not."""
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((entities, width))
    who = np.arange(n) % entities
    others = (who[:, None] + rng.permuted(np.tile(np.arange(1, 20), (n, 1)), axis=1)[:, :3]) % entities
    ways = [(a, *b) for a, b in zip(who, others, strict=True)]
    values = values_of([[codes[one] for one in own] for own in ways], ways)
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    holds = codes[who] @ turn + 0.5 * rng.standard_normal((n, width))
    return values, holds, rng.standard_normal((n, width)), [str(i) for i in range(n)], who.astype(str)


def test_layer_and_penalty_are_chosen_where_the_value_stands() -> None:
    values, holds, empty, qid, entity = planted(120, 16, 60, 0)
    found = read_values({0: empty, 3: holds}, values, qid, entity, said=False, seed=0)
    assert (found.layer == 3).all()
    assert found.beats.mean() > 0.9
    assert np.isnan(found.beats_said).all()


def test_states_without_the_value_are_at_chance_as_often_as_an_interval_says() -> None:
    rates = []
    for seed in range(12):
        values, _, empty, qid, entity = planted(60, 12, 60, seed)
        found = read_values({0: empty}, values, qid, entity, said=True, seed=seed)
        rates.append(found.beats.mean())
        assert np.nanmin(found.beats_said) >= 0
    assert abs(np.mean(rates) - 0.5) < 0.04


def test_states_that_are_all_alike_say_nothing() -> None:
    values, _, _, qid, entity = planted(60, 12, 60, 1)
    found = read_values({0: np.ones((60, 5))}, values, qid, entity, said=False, seed=0)
    assert (found.beats == 0.5).all()


def test_too_few_entities_are_named() -> None:
    values, holds, _, qid, _ = planted(12, 4, 12, 0)
    with pytest.raises(AnalysisError, match="folds need at least"):
        read_values({0: holds}, values, qid, ["a", "b", "c"] * 4, said=False, seed=0)


# --- passes -----------------------------------------------------------------------------------------


def test_a_pass_of_many_texts_is_that_of_each_alone() -> None:
    model = toy(computes=True, uses=True).model
    texts = [(7, 40, 9), (7, 41, 9, 12, 6), (5,)]
    states = last_states(model, texts, (0, 1, 2))
    for i, text in enumerate(texts):
        alone = last_states(model, [text], (0, 1, 2))
        for layer in states:
            np.testing.assert_allclose(states[layer][i], alone[layer][0], atol=1e-5)
    asked = [Text((7, 40, 9), ((11, 1), (12, 13, 1))), Text((7, 41, 9, 12), ((14,), (15, 1)))]
    logp = forced(model, asked)
    with torch.no_grad():
        whole = model(torch.tensor([[7, 40, 9, 12, 13]])).logits[0, 2:].log_softmax(-1)
    assert logp[0][1] == pytest.approx(float(whole[0, 12] + whole[1, 13] + whole[2, 1]), abs=1e-4)
