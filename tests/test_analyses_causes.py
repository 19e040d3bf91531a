"""Which steps matter: planted readers, arithmetic by hand, and through a study."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, namedtuple
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

import test_reading_seams as seam_cases
from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.causes import analysis, design, forced, items, others, wording, writing
from mechcot.analyses.causes import make as making
from mechcot.analyses.causes.cases import Case, cases_of
from mechcot.analyses.causes.effects import effects_of, of_knock_outs, of_regenerations, of_swaps, regenerated
from mechcot.analyses.causes.forced import Reading, log_odds, swaps_of
from mechcot.analyses.causes.items import Item, chosen
from mechcot.analyses.causes.page import headline, section
from mechcot.analyses.causes.result import (
    ANY,
    CHANGED,
    DIRECT,
    FLIPPED,
    HELD,
    HIDDEN,
    MOVED,
    OWN,
    RIGHT,
    TOTAL,
    UNANSWERED,
    UNCHANGED,
    WRONGNESS,
)
from mechcot.analyses.causes.writing import Writer, continued, step_jobs
from mechcot.cli import app
from mechcot.core import files, records
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.results import Pair
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint, load_tokenizer
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.causes import cause_stages, overrides_of
from mechcot.pipeline.reading import plan_readings, reading_stages
from mechcot.reading.batch import unpack
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, TraceInput
from mechcot.reading.reader import plan_for, read
from mechcot.report.parts import Findings
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.steps.table import token_at
from mechcot.tasks import PromptFormat, Question, Task
from rederived import jackknife, ratio

# --- a transformer that is wired by hand ---------------------------------------------------------------

VALUES = ("va", "vb", "vc", "vd")
OTHERS = ("ua", "ub", "uc", "ud")
WORDS = ("<pad>", "<eos>", "ask", "one", "two", "three", "four", ".", "so", "answer", *VALUES, *OTHERS)
ID = {word: i for i, word in enumerate(WORDS)}
SCHEDULE = [
    *("ask", "?", "one", "ua", ".", "two", "ub", ".", "three", "va", ".", "four", "uc", ".", "so"),
    *("answer", "?", "<eos>"),
]
"""What stands where: the prompt is two words; `?` is read off."""
PROMPT, PLACES, STEPS = 2, 64, (("one", 0), ("two", 1), ("three", 2), ("four", 3))


def wired(looks_at: str) -> GPT2LMHeadModel:
    """A GPT-2 that writes a schedule by position, and answers what it reads at one place.

    Each token's embedding is one-hot, each position's too, in dimensions of their own: the layer norm is the
    same scale for all. Its one head looks, from the word "answer", for the token at that place, and writes it
    into a third part of the stream, which the unembedding reads.
    """
    n = len(WORDS)
    width = 2 * n + PLACES
    config = GPT2Config(
        vocab_size=n, n_positions=PLACES, n_embd=width, n_layer=1, n_head=1, tie_word_embeddings=False,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1,
        layer_norm_epsilon=1e-12,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    token, place, told = slice(0, n), slice(n, n + PLACES), slice(n + PLACES, width)
    spot = SCHEDULE.index("three") + 1 if looks_at == "step 3" else 1
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        block, norm = model.transformer.h[0], model.transformer.ln_f
        for one in (block.ln_1, block.ln_2, norm):
            one.weight.fill_(1.0)
        model.transformer.wte.weight[:, token] = torch.eye(n)
        model.transformer.wpe.weight[:, place] = torch.eye(PLACES)
        query, key, value = (block.attn.c_attn.weight[:, i * width : (i + 1) * width] for i in range(3))
        query[ID["answer"], 0] = 40.0
        key[n + spot, 0] = 40.0
        value[token, told] = torch.eye(n)
        block.attn.c_proj.weight.copy_(torch.eye(width))
        head = model.lm_head.weight
        for at, word in enumerate(SCHEDULE[1:]):
            if word in ID:
                head[ID[word], n + at] = 30.0
        head[[ID[v] for v in VALUES], [n + PLACES + ID[v] for v in VALUES]] = 5.0
    return model


FORM = PromptFormat(
    "{stem}", "{text}", " ", False, None, "", r"answer (?P<answer>\S+)", "text", ("so answer",)
)
CLAIM = namedtuple("CLAIM", "sid text char_start char_end tok_start tok_end straddles states_answer role")


def word_tokenizer():
    inner = Tokenizer(models.WordLevel(dict(ID), unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")


def cases(model_reads: str, n: int = 8) -> list[Case]:
    """Traces whose third step names a value; its truth is another one in half of them."""
    found = []
    for i in range(n):
        said, given = VALUES[i % 4], VALUES[(i + 1) % 4]
        own = VALUES.index(said if model_reads == "step 3" else given)
        objects = [OTHERS[i % 4], OTHERS[(i + 2) % 4], said, OTHERS[(i + 3) % 4]]
        words = [w for (name, _), o in zip(STEPS, objects, strict=True) for w in (name, o, ".")]
        text, steps, at = " ".join(words), [], 0
        for number, (name, _) in enumerate(STEPS):
            own_text = f"{name} {objects[number]} ."
            start = text.index(own_text, at)
            at = start + len(own_text)
            steps.append(CLAIM(number, own_text, start, at, 3 * number, 3 * number + 3, False, False, name))
        items = tuple(_item(number, objects[number], number == 2, i) for number in range(4))
        starts = [0]
        for word in words[:-1]:
            starts.append(starts[-1] + len(word) + 1)
        lead = LeadIn((ID["so"], ID["answer"]), tuple((ID[v], 1) for v in VALUES))
        prompt = QuestionInput(f"q{i}", (ID["ask"], ID[given]), (), (lead,))
        spans = tuple((s.sid, s.tok_start, s.tok_end) for s in steps)
        trace = TraceInput(f"q{i}", "toy", 0, tuple(ID[w] for w in words), spans)
        gold = (own + 1) % 4
        found.append(Case(f"q{i}", 0, own, gold, text, prompt, trace, tuple(steps), 4, items, tuple(starts)))
    return found


def _item(number: int, said: str, value: bool, i: int) -> Item:
    pool = VALUES if value else OTHERS
    right = i % 2 == 0
    truth = said if right else pool[(pool.index(said) + 1) % 4]
    objects = tuple((name, (ID[name],)) for name in pool)
    label = "correct" if right else "erroneous"
    return Item(
        number, number, STEPS[number][0], label, 3 * number + 1, 3 * number + 2, said, (truth,), objects
    )


def toy(looks_at: str, tmp_path, draws: int = 8):
    model, tokenizer = wired(looks_at), word_tokenizer()
    own, lost = cases(looks_at), Counter()
    swaps, written = swaps_of(Reading(model, tokenizer, 512), own, lost)
    questions = {c.qid: Question(c.qid, "", "", VALUES, c.gold, c.qid) for c in own}
    task = Task("toy", FORM, "sentences", lambda q, text: "")
    sampling = SamplingSettings(samples=draws, max_new_tokens=18, temperature=0.7, batch_rows=64)
    writer = Writer(Checkpoint("toy", model, tokenizer, (1,), None), task, questions, sampling, "toy", 0)
    jobs = [job for job in step_jobs(tokenizer, own, swaps, written, 50, 0) if len(job.ids) < 13]
    rows = continued(writer, jobs, tmp_path / looks_at, lost, progress=False)
    gold = pd.Series({c.qid: c.gold for c in own})
    assert not +lost
    return model, own, pd.DataFrame(swaps), written, regenerated(pd.DataFrame(rows), gold)


@pytest.fixture(scope="module")
def reads_step_3(tmp_path_factory):
    return toy("step 3", tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def reads_prompt(tmp_path_factory):
    return toy("prompt", tmp_path_factory.mktemp("toy"))


def hidden_steps(model, own):
    """What hiding each step from the lead-in does, by way of the reading's tables."""
    asked = [replace(case.prompt, traces=(replace(case.trace, knock_outs=knock_outs(case)),)) for case in own]
    plan, rows, plain = plan_for(model, asked), [], []
    for batch in read(model, asked):
        for one in unpack(plan, batch):
            ids = {"qid": one.source.qid, "arm": "toy", "cid": 0, "k": 4}
            ids |= {"lead_in": 0, "permutation": 0, "layer": -1}
            plain.append(ids | {"logp": one.forced[0, 3, 0]})
            rows += [
                ids | {"sid": sid, "scope": "answer", "logp": logp[0]}
                for sid, logp in enumerate(one.knocked[0])
            ]
    traces = pd.DataFrame([{"qid": c.qid, "arm": "toy", "cid": 0, "answer": c.own} for c in own])
    steps = pd.DataFrame(
        [{"qid": c.qid, "arm": "toy", "cid": 0, "sid": s.sid, "role": s.role} for c in own for s in c.steps]
    )
    return of_knock_outs(pd.DataFrame(rows), pd.DataFrame(plain), traces, steps)


def knock_outs(case):
    return tuple(KnockOut(4, sid, (start, end)) for sid, start, end in case.trace.steps)


def test_a_reader_of_step_3_locks_there_and_depends_on_it_alone(reads_step_3):
    """Hidden, swapped or written anew: three estimands, one step."""
    model, own, swaps, written, turns = reads_step_3
    for case in own:
        p = np.exp([row - np.logaddexp.reduce(row) for row in written[case.name, 0]])[:, case.own]
        assert (p[3:] > 0.99).all()
        assert (p[:2] < 0.5).all()
    moved = (swaps.p - swaps.p_said).abs()
    assert (moved[swaps.kind == "three"] > 0.99).all()
    assert swaps.flipped[swaps.kind == "three"].all()
    assert (moved[swaps.kind != "three"] < 1e-5).all()
    changed = turns[turns.variant.isin([name for names in design.SWAPS_OF.values() for name in names])]
    assert (changed[CHANGED][changed.kind == "three"] >= 0.99).all()
    assert (changed[CHANGED][changed.kind != "three"] == 0).all()
    assert (turns.differ[turns.variant == UNCHANGED] == 0).all()
    hidden = hidden_steps(model, own)
    hidden = hidden[hidden.measure == MOVED]
    assert (hidden.value[hidden.kind == "three"] > 0.5).all()
    assert (hidden.value[hidden.kind != "three"] < 1e-5).all()
    assert set(hidden.estimand) == {DIRECT}


def test_a_reader_of_the_prompt_shows_no_step_that_matters(reads_prompt):
    model, own, swaps, written, turns = reads_prompt
    for case in own:
        assert all(row.argmax() == case.own for row in written[case.name, 0])
    assert (swaps.p - swaps.p_said).abs().max() < 1e-5
    assert not swaps.flipped.any()
    assert (turns[CHANGED] == 0).all()
    hidden = hidden_steps(model, own)
    assert hidden[hidden.measure == MOVED].value.max() < 1e-5


def test_a_swapped_text_is_read_as_a_plain_run_reads_it(reads_step_3):
    model, own, swaps, *_ = reads_step_3
    by_name = {case.qid: case for case in own}
    for row in swaps.itertuples():
        case = by_name[row.qid]
        item = case.items[row.sid]
        ids = [*case.prompt.prompt_ids, *case.trace.token_ids]
        ids[PROMPT + item.start] = ID[row.object]
        with torch.no_grad():
            logits = model(torch.tensor([[*ids, ID["so"], ID["answer"]]])).logits[0]
        logp = logits[-1].log_softmax(-1)[[ID[v] for v in VALUES]].double().numpy()
        p = np.exp(logp - np.logaddexp.reduce(logp))
        assert row.p == pytest.approx(p[case.own], abs=1e-5)
        slot = logits[PROMPT + item.start - 1].log_softmax(-1)
        assert row.surprisal == pytest.approx(-float(slot[ID[row.object]]), abs=1e-4)


@pytest.mark.parametrize("kind", seam_cases.KINDS)
def test_with_tokens_of_letters_the_text_asked_is_the_text_with_another_object(kind):
    """Objects of one token and of several, in steps that end inside a token and before one."""
    tokenizer = seam_cases.tokenizer_of(kind)
    text = "The fever comes from the lung.\n\nThe acid comes from the heart. So the base comes from the salt."
    row, steps = seam_cases.trace_of(tokenizer, seam_cases.token_list(tokenizer, text))
    spans = tuple((s.sid, s.tok_start, s.tok_end) for s in steps)
    trace = TraceInput(
        "q0", "base", 0, tuple(row.token_ids), spans, seams=seam_cases.seams(tokenizer, row, steps)
    )
    prompt = QuestionInput("q0", (1,), (), (LeadIn((), ((2,),)),))
    case = Case("q0", 0, 0, 1, row.text, prompt, trace, tuple(steps), 3, (), tuple(row.token_start))
    tokens = cache(partial(items._tokens, tokenizer))
    said = {"lung": 0, "heart": 1, "salt": 2}
    before = items.Before(seam_cases.QUESTION, steps, trace, trace.cut(2))
    for name, number in said.items():
        start = token_at(row.token_start, row.token_end, text.index(name))
        others = dict.fromkeys((name, "liver", "zinc"))
        placed = items._placed(item("correct", name, (name,)), start, others, tokens, before)
        if kind == "metaspace":  # its tokens hold the words before the object too: left out
            assert placed.start == -1
            continue
        assert placed.start == start
        for other in ("liver", "zinc"):
            swapped, longer = forced._swapped(case, placed, other)
            assert seam_cases.told(tokenizer, swapped.token_ids) == text.replace(name, other)
            asked = forced._prefix_alone(case, swapped, longer, 7)
            assert seam_cases.told(tokenizer, asked.token_ids) == text.replace(name, other)
            assert asked.cut(0) == trace.cut(2) + longer
        upto = writing._upto(tokenizer, case, number + 1)
        assert seam_cases.told(tokenizer, upto) == text[: steps[number].char_end].rstrip()
    assert writing._upto(tokenizer, case, 0) == ()
    assert len(tokens(" zinc")) > 1


# --- arithmetic ------------------------------------------------------------------------------------------


def item(label, said, truth):
    return Item(0, 0, "fact", label, said=said, truth=truth)


def test_what_a_claim_is_swapped_for():
    surprisal = {"a": 0.1, "b": 2.0, "c": 2.2, "d": 5.0, "e": 0.3}
    assert chosen(item("erroneous", "a", ("b", "d")), surprisal) == {
        design.REPAIR: "b",  # the likeliest true one
        design.LATERAL: "c",  # wrong, as likely as b
        design.ALIKE: "e",  # wrong, as likely as a
    }
    assert chosen(item("correct", "b", ("b", "d")), surprisal) == {design.OTHER_RIGHT: "d", design.BREAK: "c"}
    assert chosen(item("correct", "b", ("b",)), surprisal) == {design.BREAK: "c"}
    assert chosen(item("erroneous", "a", ("b",)), {"a": 0.1, "b": 1.0}) == {design.REPAIR: "b"}
    assert chosen(item("erroneous", "a", ("b",)), {"a": 0.1}) == {}
    assert chosen(item("correct", "a", ("a",)), {}) == {}


def swap_rows(values):
    """Rows of `SWAPPED` from (qid, sid, kind, variant, change of the log-odds)."""
    rows = []
    for qid, sid, kind, variant, change in values:
        label = "erroneous" if variant in design.SWAPS_OF["erroneous"] else "correct"
        row = {"qid": qid, "arm": "a", "cid": 0, "sid": sid, "kind": kind, "label": label, "variant": variant}
        row |= {"said": "x", "object": "y", "surprisal": 1.0, "surprisal_said": 1.0, "margin": float(sid)}
        row |= {"log_odds_said": 1.0, "log_odds": 1.0 + change, "right_said": 0.5, "right": 0.5 - change}
        rows.append(row | {"p_said": 0.5, "p": 0.5 + change / 100, "flipped": change < -1})
    return pd.DataFrame(rows)


def mean_of(rows, **keys):
    found = [row for row in rows if all(getattr(row, key) == value for key, value in keys.items())]
    assert len(found) == 1, keys
    return found[0]


def test_wrongness_is_repair_less_lateral_within_a_step():
    rows = swap_rows(
        [("q0", 1, "fact", design.REPAIR, 3.0), ("q0", 1, "fact", design.LATERAL, 1.0),
         ("q0", 1, "fact", design.ALIKE, 0.5), ("q0", 2, "fact", design.REPAIR, -2.0),
         ("q1", 1, "find", design.REPAIR, 4.0), ("q1", 1, "find", design.LATERAL, 5.0),
         ("q1", 2, "find", design.BREAK, -4.0), ("q1", 2, "find", design.OTHER_RIGHT, 1.0)]
    )  # fmt: skip
    found = effects_of(of_swaps(rows), Pair("a", "b"), {"both": ("fact", "find")})
    one = mean_of(found, measure=OWN, what=WRONGNESS, kind="both")
    assert one.before.estimate == pytest.approx((2 - 1) / 2)  # the step without a lateral swap has no term
    assert one.n_steps == (2, 0)
    assert one.after.estimate is None
    assert "no such step" in one.after.reason
    assert mean_of(found, measure=RIGHT, what=WRONGNESS, kind="both").before.estimate == pytest.approx(-0.5)
    assert mean_of(found, measure=OWN, what=design.REPAIR, kind="fact").before.estimate == 0.5
    assert mean_of(found, measure=MOVED, what=ANY, kind="fact").before.estimate == pytest.approx(
        np.mean([np.mean([3, 1, 0.5]), 2]) / 100
    )
    assert mean_of(found, measure=FLIPPED, what=ANY, kind="both").before.estimate == pytest.approx(
        np.mean([0, 1, 0, 0.5])
    )
    right = mean_of(found, what="wrongness, from right steps", measure=OWN, kind="find")
    assert right.before.estimate == -5.0


def test_where_right_and_wrong_values_do_alike_the_interval_holds_zero():
    """Repair and lateral swap drawn alike, question by question: 0 lies within in about .95 of 60 worlds."""
    rng, held = np.random.default_rng(0), []
    for _ in range(60):
        at = [(f"q{q}", s, float(rng.normal(0, 1))) for q in range(12) for s in range(rng.integers(1, 4))]
        rows = [
            (qid, s, "fact", variant, trend + float(rng.normal(0, 2)))
            for qid, s, trend in at
            for variant in (design.REPAIR, design.LATERAL)
        ]
        values = of_swaps(swap_rows(rows))
        values = values[(values.measure == OWN) & (values.what == WRONGNESS)]
        (row, _) = effects_of(values, Pair("a", "b"), {"all": ("fact",)})
        held.append(row.before.low <= 0 <= row.before.high)
    assert 0.88 <= np.mean(held) < 1


def continued_rows(answers, *, job=design.STEP, own=0, aim=-1):
    """Rows of `CONTINUED` from variant to answers; -2 is cut."""
    return pd.DataFrame(
        [
            {"qid": qid, "arm": "a", "cid": 0, "sid": 1, "kind": "fact", "label": "erroneous", "job": job,
             "variant": variant, "margin": 1.0, "own": own, "aim": aim, "draw": draw,
             "answer": max(answer, -1), "cut": answer == -2, "n_tokens": 5}
            for qid, variants in answers.items()
            for variant, drawn in variants.items()
            for draw, answer in enumerate(drawn)
        ],
        columns=design.CONTINUED.names,
    )  # fmt: skip


def test_regenerations_are_compared_over_pairs():
    drawn = {design.WRITTEN: [0, 0, 1, -1], design.REPAIR: [1, 1, 1, -2], design.LATERAL: [0, -1, 1, 1]}
    turns = regenerated(continued_rows({"q": drawn}), pd.Series({"q": 1})).set_index("variant")
    same = (
        sum(a == b for i, a in enumerate([0, 0, 1, -1]) for j, b in enumerate([0, 0, 1, -1]) if i != j) / 12
    )
    assert turns.differ[UNCHANGED] == pytest.approx(1 - same)
    assert turns.differ[design.REPAIR] == pytest.approx(0.75)  # what was cut is no answer
    assert turns[CHANGED][design.REPAIR] == pytest.approx(0.75 - (1 - same))
    assert turns[OWN][design.REPAIR] == pytest.approx(0 - 0.5)
    assert turns[RIGHT][design.REPAIR] == pytest.approx(1 - 0.25)
    assert turns[UNANSWERED][design.LATERAL] == pytest.approx(0)
    values = of_regenerations(turns.reset_index())
    wrong = values[(values.what == WRONGNESS) & (values.measure == RIGHT)]
    assert wrong.value.tolist() == pytest.approx([1 - 0.5])
    alone = {"q": {design.WRITTEN: [0], design.REPAIR: [1]}}
    assert regenerated(continued_rows(alone), pd.Series({"q": 1})).empty  # one draw has no pair


def test_the_null_of_regenerations_is_zero_on_average():
    """Two sets of answers drawn from one distribution differ no oftener than one set among itself."""
    rng = np.random.default_rng(0)
    drawn = {
        f"q{q}": {name: rng.choice(4, 8, p=p).tolist() for name in (design.WRITTEN, design.REPAIR)}
        for q in range(400)
        for p in [rng.dirichlet(np.ones(4))]
    }
    turns = regenerated(continued_rows(drawn), pd.Series(dict.fromkeys(drawn, 0)))
    changed = turns[turns.variant == design.REPAIR][CHANGED]
    assert abs(changed.mean()) < 3 * changed.std() / np.sqrt(len(changed))
    assert turns[turns.variant == UNCHANGED].differ.mean() > 0.4


def test_forced_and_free_answers_are_compared_without_bias():
    """Over all ways in which three answers can fall, the mean is the squared distance itself."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    mean = {"distance": 0.0, "hit": 0.0}
    for draw in np.ndindex(3, 3, 3):
        for name, value in others._apart(p, np.array(draw)).items():
            mean[name] += value * float(np.prod(q[list(draw)]))
    assert mean["distance"] == pytest.approx(((p - q) ** 2).sum())
    assert mean["hit"] == pytest.approx((p * q).sum() - (p**2).sum())


def test_free_answers_that_name_no_option_are_counted_apart():
    rows = continued_rows(
        {"q0": {"prompt": [0, 0, -1, -2]}, "q1": {"prompt": [0, -1, -1, -1]}}, job=design.FREE
    )
    forced = pd.DataFrame(
        [{"qid": q, "arm": "a", "cid": 0, "place": "prompt", "p": [1.0, 0.0]} for q in ("q0", "q1")]
    )
    (found,) = others.free_of(forced, rows, "a")
    assert found.n_traces == 1  # q1 has one free answer, too few for a pair
    assert found.distance.estimate == 0
    assert found.unanswered == pytest.approx(4 / 7)


def test_an_answer_put_first_is_counted_where_traces_end_in_it():
    drawn = {
        f"q{i}": {design.NONE: [0, 2], design.OWN: [0, 0], design.WRONG: [2, -1, 2, -2]} for i in range(7)
    }
    found = {row.stated: row for row in others.first_of(continued_rows(drawn, job=design.FIRST, aim=2), "a")}
    wrong = found[design.WRONG]
    assert (wrong.without.estimate, wrong.with_it.estimate) == (0.5, pytest.approx(2 / 3))
    assert wrong.difference.estimate == pytest.approx(1 / 6)
    assert wrong.unanswered_with == pytest.approx(1 / 3)
    assert (found[design.OWN].without.estimate, found[design.OWN].with_it.estimate) == (0.5, 1.0)
    assert wrong.n_traces == 7


def test_flips_are_sorted_by_the_margin_before_the_step():
    rows = swap_rows([(f"q{i % 8}", i, "fact", v, -3.0 if i < 20 else 0.0)
                      for i in range(40) for v in (design.REPAIR, design.LATERAL)])  # fmt: skip
    rows.loc[rows.variant == design.LATERAL, "flipped"] = False
    found = others.flips_of(rows, regenerated(continued_rows({}), pd.Series(dtype=int)), "a")
    assert [row.decile for row in found] == list(range(1, 11))
    assert [row.n_steps for row in found] == [4] * 10
    assert [row.swapped.estimate for row in found] == [1.0] * 5 + [0.0] * 5
    assert {row.lateral.estimate for row in found} == {0.0}
    assert {row.changed.estimate for row in found} == {None}
    assert others.flips_of(rows.head(30), regenerated(continued_rows({}), pd.Series(dtype=int)), "a") == ()


def test_log_odds_by_hand():
    logp = np.log([0.2, 0.1, 0.1])
    assert log_odds(logp, 0) == pytest.approx(0.0)
    assert log_odds(np.array([-100.0, 0.0]), 0) == -100.0


# --- through a study ---------------------------------------------------------------------------------------

ASKED = CauseSettings(traces=16, regenerated=1, questions=4)


def with_links(study: Study, folder, **update) -> Study:
    """The study's own tables, weights and readings, and room for causes/."""
    folder.mkdir()
    for name in ("questions.parquet", "arms", "models", "readings", "manifest.json"):
        (folder / name).symlink_to(study.path / name)
    return Study(folder, study.settings.model_copy(update=update))


class Unchecked(Study):
    """A study whose tables were changed by hand on purpose."""

    def checked(self, path):
        return path


@pytest.fixture(scope="module")
def changed(study, tmp_path_factory):
    """A study with causes/ of both arms."""
    root = tmp_path_factory.mktemp("causes")
    own = with_links(study, root / "study", causes=ASKED)
    for stage in cause_stages(own, False):
        stage.run(root / stage.name)
    return own


def test_a_trace_as_written_is_read_as_the_study_reads_it(changed):
    for arm in ("base", "distilled"):
        swaps = records.read_table(changed.path / "causes" / arm / "swaps.parquet", design.SWAPPED)
        forced = changed.forced(arm)
        forced = forced[(forced.lead_in == 0) & (forced.layer == -1)].set_index(["qid", "cid", "k"]).logp
        steps, traces = changed.steps(arm), changed.traces(arm).set_index(["qid", "cid"])
        assert len(swaps) > 20
        for row in swaps.itertuples():
            own = steps[(steps.qid == row.qid) & (steps.cid == row.cid)].reset_index()
            stated = own.states_answer.idxmax() if own.states_answer.any() else len(own)
            number = int(own.index[own.sid == row.sid][0])
            assert number < stated
            last = np.array(forced[row.qid, row.cid, stated], dtype=float)
            answer = traces.answer[row.qid, row.cid]
            assert row.log_odds_said == pytest.approx(log_odds(last, answer), abs=1e-3)
            before = np.sort(np.array(forced[row.qid, row.cid, number], dtype=float))
            assert row.margin == pytest.approx(before[-1] - before[-2], abs=1e-3)


def test_swaps_put_in_what_they_say(changed):
    task = task_of(changed)
    for arm in ("base", "distilled"):
        swaps = records.read_table(changed.path / "causes" / arm / "swaps.parquet", design.SWAPPED)
        claims = changed.claims(arm).set_index(["qid", "cid", "sid"])
        for row in swaps.itertuples():
            claim = claims.loc[(row.qid, row.cid, row.sid)]
            assert row.said == claim.object
            assert (row.label == "correct") == (row.said in claim.truth)
            right = row.variant in (design.REPAIR, design.OTHER_RIGHT)
            assert (row.object in claim.truth) == right, row
            assert row.object != row.said
            assert row.kind in task.core or row.kind in ("disease fact", "drug fact")


def test_the_result_of_a_study_and_its_page(changed):
    result = changed.causes()
    assert result.traces == (16, 16)
    told = result.to_json()
    assert json.loads(json.dumps(told)) == told
    assert set(result.no_other_right) <= {"disease fact", "drug fact", "find", "drug", "rev"}
    assert all(0 <= n <= of for n, of in result.no_other_right.values())
    for row in result.effects:
        assert row.n_steps.before or row.n_steps.after
        assert row.estimand in (HELD, TOTAL)
    assert {row.kind for row in result.effects} >= {"rationale", "core", "drug", "disease fact"}
    assert {(row.arm, row.control) for row in result.controls} >= {
        (arm, name) for arm in ("base", "distilled") for name in (design.WRITTEN, design.BARE, design.FILLER)
    }
    assert all(row.change.estimate == 0 for row in result.controls if row.control == design.WRITTEN)
    assert {row.place for row in result.free} == set(design.PLACES)
    assert "rationale" in result.text()
    assert max(map(len, result.text().splitlines())) <= 80
    page = section(Findings(changed.settings, {"causes": told}))
    assert [part.name for part in page.parts][:3] == ["causes", "causes-moves", "causes-flips"]
    assert result.figure().layout.title.text
    assert len(result.to_frame()) == len(result.effects)


NUMBER = re.compile(r"(?<![\w.])[-+−]?\d(?:[\d,]*\d)?(?:\.\d+)?")


def told_of(values, scale, digits):
    """Numbers of one mean: estimate, ends where six questions or more differ, and how many steps."""
    if not values:
        return []
    by_question = {}
    for qid, value in values:
        by_question.setdefault(qid, []).append(value)
    rows = np.array([[sum(own), len(own)] for own in by_question.values()], float)
    found = jackknife(rows, ratio, rows[:, 1]) if len(rows) > 1 else [ratio(rows)]
    if len(rows) < 6:
        ends = [len(rows)] if len(rows) > 1 else []
    else:
        ends = [scale * end for end in found[1:]] if found[2] - found[1] > 1e-9 else []
    return [round(scale * found[0], digits), *ends, len(values)]


def wrong_steps(study, arm, kinds, pick):
    """What is picked of every wrong step of these kinds that has both swaps."""
    swaps = pd.read_parquet(study.path / "causes" / arm / "swaps.parquet")
    swaps = swaps[swaps.kind.isin(kinds)]
    pairs = swaps.pivot(index=["qid", "cid", "sid"], columns="variant", values="log_odds")
    both = pairs.reindex(columns=[design.REPAIR, design.LATERAL]).dropna()
    return [(step[0], pick(step, row)) for step, row in both.iterrows()]


def right_answers(study, arm, step):
    """Share of right answers written behind the repaired step less that behind the lateral swap."""
    rows = pd.read_parquet(study.path / "causes" / arm / "continuations.parquet")
    gold = dict(zip(study.questions().qid, study.questions().gold, strict=True))
    own = rows[(rows.job == "step") & (rows.qid == step[0]) & (rows.cid == step[1]) & (rows.sid == step[2])]
    shares = [
        np.mean([a == gold[step[0]] for a in own[own.variant == name].answer])
        if (own.variant == name).any()
        else None
        for name in (design.REPAIR, design.LATERAL)
    ]
    return None if None in shares else shares[0] - shares[1]


def test_the_sentences_are_derived_again_from_the_tables(changed):
    """Every number of the first screen's sentence, and of the one with the prefix held."""
    groups = (("disease fact", "drug fact"), ("find", "drug", "rev", "hop"))
    held, anew = [], []
    for kinds in groups:
        for arm in ("base", "distilled"):
            steps = wrong_steps(
                changed, arm, kinds, lambda step, row: row[design.REPAIR] - row[design.LATERAL]
            )
            held += told_of(steps, 1, 2)
            both = wrong_steps(changed, arm, kinds, lambda step, row: step)
            drawn = [(qid, right_answers(changed, arm, step)) for qid, step in both]
            anew += told_of([(qid, value) for qid, value in drawn if value is not None], 100, 1)
    result = changed.causes().to_json()
    for text, found in ((wording.held(result), held), (wording.wrongness(result), anew)):
        said = [float(word.replace(",", "").replace("−", "-")) for word in NUMBER.findall(text)]
        assert len(said) == len(found), (text, found)
        assert said == pytest.approx(found, abs=0.0501 if text == wording.wrongness(result) else 0.00501), (
            text
        )
    assert len(held) > 8


def test_hidden_steps_of_a_study_are_looked_at(study, tmp_path):
    own = with_links(
        study, tmp_path / "study", reading=study.settings.reading.model_copy(update={"knock_out": "answer"})
    )
    assert registry.made(next(one for one in registry.ANALYSES if one.name == "causes"), own.settings)
    (own.path / "readings").unlink()
    for stage in reading_stages(own, False):
        if stage.name in ("read-base-by-base", "read-distilled-by-distilled"):
            stage.run(tmp_path / stage.name)
    own = Unchecked(own.path, own.settings)
    result = own.causes()
    assert {row.estimand for row in result.effects} == {DIRECT}
    assert "the settings ask for knock-outs alone" in result.text()
    knocked, answered = own.knockouts("distilled"), own.forced("distilled")
    knocked = knocked[(knocked.lead_in == 0) & (knocked.layer == -1)]
    roles = own.steps("distilled").set_index(["qid", "cid", "sid"]).role
    answers = own.traces("distilled").set_index(["qid", "cid"]).answer
    plain = answered[(answered.lead_in == 0) & (answered.layer == -1)].set_index(["qid", "cid", "k"]).p
    values = [
        abs(row.p[answers[row.qid, row.cid]] - plain[row.qid, row.cid, row.k][answers[row.qid, row.cid]])
        for row in knocked.itertuples()
        if answers[row.qid, row.cid] >= 0 and roles[row.qid, row.cid, row.sid] == "drug"
    ]
    found = mean_of(result.effects, kind="drug", measure=MOVED, what=HIDDEN)
    assert found.after.estimate == pytest.approx(np.mean(values), abs=1e-5)
    assert found.n_steps.after == len(values)


def test_a_study_that_is_killed_goes_on_with_the_same_bytes(changed, study, tmp_path, monkeypatch):
    own = with_links(study, tmp_path / "study", causes=ASKED)
    (stage, _), done, read_changed = cause_stages(own, False), [], making.read_changed

    def dies(bench, task):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(task.key)
        return read_changed(bench, task)

    monkeypatch.setattr(making, "read_changed", dies)
    with pytest.raises(KeyboardInterrupt):
        stage.run(tmp_path / "work")
    monkeypatch.setattr(making, "read_changed", lambda b, t: done.append(t.key) or read_changed(b, t))
    stage.run(tmp_path / "work")
    assert len(done) == len(set(done)) == 2
    for name in (*(f"{name}.parquet" for name in design.TABLES), "about.json"):
        ours, theirs = (one.path / "causes" / "base" / name for one in (own, changed))
        assert files.digest(ours) == files.digest(theirs), name


def test_without_a_checker_whole_steps_are_swapped_for_those_of_other_traces(study, tmp_path, monkeypatch):
    """Of the same kind, question and arm, with a verdict; everything else is there as ever."""
    own = with_links(study, tmp_path / "study", causes=ASKED)
    task = replace(task_of(own), objects=None, core=frozenset())
    monkeypatch.setattr(analysis, "task_of", lambda study: task)
    for arm in ("base", "distilled"):
        making.make(own, arm, task, checkpoint_folder(own, arm), tmp_path / arm, progress=False)
    assert (
        "steps are swapped for those of other traces"
        in making.price(own, "base", task, checkpoint_folder(own, "base")).note
    )
    seen = 0
    for arm in ("base", "distilled"):
        steps = own.steps(arm).merge(own.verdicts(arm)[[*records.STEP_KEY, "label"]], on=records.STEP_KEY)
        swaps = records.read_table(own.path / "causes" / arm / "swaps.parquet", design.SWAPPED)
        for row in swaps.itertuples():
            there = steps[(steps.qid == row.qid) & (steps.role == row.kind)]
            assert row.said in set(there.text[(there.cid == row.cid) & (there.sid == row.sid)])
            verdicts = set(there.label[there.text == row.object])
            right = row.variant in (design.REPAIR, design.OTHER_RIGHT)
            assert verdicts == {"correct" if right else "erroneous"}, row
            seen += 1
    assert seen > 20
    result = own.causes()
    assert not result.no_swaps
    assert result.swapped == "steps of other traces"
    assert {row.kind for row in result.effects} > {"all steps", "drug"}
    assert "a right step of another trace stands in its place" in wording.wrongness(result.to_json())
    page = section(Findings(own.settings, {"causes": result.to_json()}))
    assert "these differ in more than truth" in page.limits
    assert len(result.first) == 4
    assert len(result.controls) == 12


def test_where_nothing_can_be_swapped_steps_are_left_out_and_all_else_stays(study, tmp_path, monkeypatch):
    own = with_links(study, tmp_path / "study", causes=ASKED)
    task = replace(task_of(own), objects=None, core=frozenset())
    monkeypatch.setattr(analysis, "task_of", lambda study: task)
    monkeypatch.setattr(items, "BORROWED", 0)
    for arm in ("base", "distilled"):
        making.make(own, arm, task, checkpoint_folder(own, arm), tmp_path / arm, progress=False)
    result = own.causes()
    assert "swaps of claims need a task with a checker" in result.no_swaps
    assert {row.what for row in result.effects} == {UNCHANGED, design.WITHOUT}
    assert sum("steps: no other trace" in why for why in result.left_out.after) == 1
    assert "is not known: swaps of claims need" in wording.wrongness(result.to_json())
    assert "Left out, all behind written anew" in wording.moves(result.to_json())
    assert result.figure().data
    assert "swaps of claims need" in result.text()
    assert headline(Findings(own.settings, {"causes": result.to_json()})) == ()
    reason = {"reason": "it could not be made"}
    assert section(Findings(own.settings, {"causes": reason})).parts[0].reason == "it could not be made"


def test_what_is_left_out_is_counted(study, tmp_path):
    """A trace cut, one without an answer, one that states it at once, a text twice, and nothing left."""
    own = with_links(study, tmp_path / "study", causes=ASKED)
    (own.path / "arms").unlink()
    shutil.copytree(study.path / "arms", own.path / "arms")
    traces, steps = own.traces("base"), own.steps("base")
    domain = own.questions("clinical")
    first = traces[traces.qid.isin(domain.qid) & (traces.cid == 0) & (traces.answer >= 0)].index
    traces.loc[first[0], ["finish_reason", "answer", "answer_rule"]] = ["length", -1, "truncated"]
    for name in ("token_ids", "token_start", "token_end"):  # the end of text was not written
        traces.at[first[0], name] = traces.at[first[0], name][:-1]
    at_once = traces.loc[first[1]]
    steps.loc[(steps.qid == at_once.qid) & (steps.cid == 0), "states_answer"] = True
    tokenizer = load_tokenizer(checkpoint_folder(own, "base"))
    records.write_table(own.path / "arms" / "base" / "traces.parquet", traces, records.TRACES)
    records.write_table(own.path / "arms" / "base" / "steps.parquet", steps, records.STEPS)
    (own.path / "manifest.json").unlink()
    shutil.copy(study.path / "manifest.json", own.path)
    found, lost = cases_of(Unchecked(own.path, own.settings), "base", task_of(own), tokenizer, 10_000)
    assert lost["cut by the token limit"] == 1
    assert lost["its first step states the answer"] == 1
    read_of = traces[traces.qid.isin(domain.qid) & (traces.cid < own.settings.reading.traces_per_question)]
    assert lost["no answer among the options"] == (read_of.answer < 0).sum() - 1
    assert len(found) == (read_of.answer >= 0).sum() - 1
    traces["answer"] = -1
    records.write_table(own.path / "arms" / "base" / "traces.parquet", traces, records.TRACES)
    found, lost = cases_of(Unchecked(own.path, own.settings), "base", task_of(own), tokenizer, 10_000)
    assert found == []
    assert lost["no answer among the options"] == len(read_of) - 1


def test_an_arm_without_a_trace_to_ask_leaves_the_other_one(study, changed, tmp_path):
    """An arm that gives no option has no numbers, and no run ends for it."""
    own = with_links(study, tmp_path / "study", causes=ASKED)
    (own.path / "arms").unlink()
    shutil.copytree(study.path / "arms", own.path / "arms")
    traces = own.traces("base").assign(answer=-1)
    records.write_table(own.path / "arms" / "base" / "traces.parquet", traces, records.TRACES)
    own = Unchecked(own.path, own.settings)
    task, folder = task_of(own), checkpoint_folder(own, "base")
    assert making.price(own, "base", task, folder).n == 0
    making.make(own, "base", task, folder, tmp_path / "base", progress=False)
    shutil.copytree(changed.path / "causes" / "distilled", own.path / "causes" / "distilled")
    result = own.causes()
    assert result.traces == (0, 16)
    assert result.left_out.before["no answer among the options"] > 40
    assert {row.n_steps.before for row in result.effects} == {0}
    assert {row.arm for row in (*result.first, *result.controls, *result.free)} == {"distilled"}
    page = section(Findings(own.settings, {"causes": result.to_json()}))
    assert "no step in base" in page.parts[0].sentence
    assert all(part.sentence for part in page.parts)


def test_what_is_asked_of_a_study(study, tmp_path):
    assert "causes" not in registry.results(study.settings)
    with pytest.raises(AnalysisError, match=r"mechcot commitment .* --steps swaps"):
        study.causes()
    own = with_links(study, tmp_path / "study", causes=ASKED)
    with pytest.raises(AnalysisError, match=r"is not there yet\. Make it: mechcot commitment"):
        own.causes()
    settings = study.settings
    assert overrides_of(settings, "swaps", thorough=False) == ("causes={}",)
    assert overrides_of(own.settings, "swaps", thorough=False) == ()
    assert "causes.draws=16" in overrides_of(settings, "swaps", thorough=True)
    assert overrides_of(settings, "knockouts", thorough=False) == ("reading.knock_out=answer",)
    with pytest.raises(UsageError, match="--steps is swaps or knockouts, not 'both'"):
        overrides_of(settings, "both", thorough=False)
    with pytest.raises(UsageError, match="--thorough and --rewriter go with --steps swaps"):
        overrides_of(settings, "knockouts", thorough=True)
    hidden = pipeline.plan_added(study.path, overrides_of(settings, "knockouts", thorough=False), ("read-",))
    plain = plan_readings(study, [("base", "base")])
    assert len(hidden.rows) == len(settings.authors()) * len(settings.readers())
    assert hidden.rows[0].tokens_in > plain.rows[0].tokens_in
    planned = pipeline.plan_added(study.path, ("causes={}",), ("causes-",))
    assert [row.what for row in planned.rows] == ["causes-of-base", "causes-of-distilled"]
    assert all(row.tokens_in and row.tokens_out and row.n for row in planned.rows)
    assert not (study.path / "causes").exists()


def test_the_command_adds_stages_a_result_a_section_and_a_sentence(study, tmp_path):
    path = tmp_path / "study"
    shutil.copytree(study.path, path)
    before = load_manifest(path)["stages"]
    plan = CliRunner().invoke(app, ["commitment", str(path), "--steps", "swaps", "--dry-run", "--json"])
    assert plan.exit_code == 0, (plan.output, plan.exception)
    assert load_manifest(path)["stages"] == before
    Study(path, study.settings.model_copy(update={"causes": ASKED})).save_settings()
    done = CliRunner().invoke(app, ["commitment", str(path), "--steps", "swaps", "--quiet"])
    assert done.exit_code == 0, (done.output, done.exception)
    opened, stages = Study.open(path), load_manifest(path)["stages"]
    assert set(stages) - set(before) == {"causes-of-base", "causes-of-distilled", "causes"}
    assert {name for name in before if before[name] != stages[name]} == {"report"}
    assert verify(path) == []
    result = opened.causes()
    assert result.to_json() == opened.result("causes")
    assert [row["n"] for row in json.loads(plan.stdout)["rows"]] > [16, 16]  # the default takes all
    again = CliRunner().invoke(app, ["commitment", str(path), "--steps", "swaps", "--dry-run", "--json"])
    rows = json.loads(again.stdout)["rows"]
    assert [(row["state"], row["tokens_in"], row["tokens_out"]) for row in rows] == [("cached", 0, 0)] * 2
    assert "Does any step matter to the answer?" in opened.report.read_text()
    page = opened.report.read_text()
    assert page.index("Does it matter that a step is wrong?") < page.index('id="planned"')
    assert any("wrongness of core steps" in key for key in opened.summary()["causes"])
    assert max(len(line) for line in done.stdout.splitlines() if "report.html" not in line) <= 80
    for wrong in (["--steps", "both"], ["--steps", "swaps", "--by", "token"], ["--thorough"]):
        refused = CliRunner().invoke(app, ["commitment", str(path), *wrong])
        assert isinstance(refused.exception, UsageError), wrong
