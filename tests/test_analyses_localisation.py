"""Where a hedge is lost: patches against plain passes, planted places, no place by chance."""

from __future__ import annotations

import copy
import json
import runpy
import shutil
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import tiny_model
from mechcot import Study, plots
from mechcot.analyses.both_ways import pairs_of
from mechcot.analyses.localisation import making, page
from mechcot.analyses.localisation.analysis import analyse
from mechcot.analyses.localisation.design import (
    ATTENTION,
    HEAD,
    MEANS,
    MLP,
    READS,
    RESID,
    SETS,
    VALUES,
    WAYS,
    Run,
    runs_of,
)
from mechcot.analyses.localisation.making import bench_of, patch_batch, set_rows, tables
from mechcot.analyses.localisation.matched import SIZES, described, matched_sets
from mechcot.analyses.localisation.page import most
from mechcot.analyses.localisation.patching import Slot, at_the_place, batches, log_odds, patched
from mechcot.core.errors import AnalysisError, ReadingError
from mechcot.core.localisation_settings import LocalisationSettings
from mechcot.core.settings import Settings
from mechcot.core.sites import layers_of
from mechcot.models.checkpoint import load
from mechcot.models.heads import heads_in, patch_head, record_heads
from mechcot.models.interventions import record
from mechcot.pipeline.localisation import price
from mechcot.steps import hedging
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.tasks.tokens import decode

PLANTED = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "planted_hedge.py"))
TOKEN = 9


def slots(n=12, seed=0, vocabulary=40):
    rng = np.random.default_rng(seed)
    return [
        Slot(f"q{i // 2:02d}", tuple(int(t) for t in rng.integers(3, vocabulary, 5 + i % 4)))
        for i in range(n)
    ]


def other_model(model, seed=1, scale=0.3):
    """The same build with every matrix moved by a random change of low rank, as fine-tuning by LoRA does."""
    torch.manual_seed(seed)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name, own in moved.named_parameters():
            if own.dim() == 2 and "embed" not in name and "lm_head" not in name:
                a, b = torch.randn(own.shape[0], 2), torch.randn(2, own.shape[1])
                change = a @ b
                own += scale * change * own.norm() / change.norm()
    return moved


# --- patches --------------------------------------------------------------------------------------


def test_record_keeps_what_the_model_says_itself():
    model = tiny_model("qwen3")
    ids = torch.tensor([[3, 4, 5, 6]])
    with record(model, layers=[0, 1]) as kept, torch.inference_mode():
        own = model(input_ids=ids, output_hidden_states=True)
    for layer in (0, 1):
        assert torch.equal(kept[layer], own.hidden_states[layer])
    with pytest.raises(ReadingError, match="has layers"), record(model, layers=[99]):
        pass


def test_states_of_the_model_itself_change_nothing():
    model, batch = tiny_model("qwen3"), slots()
    plain = at_the_place(model, batch)
    for logp in patched(model, model, batch, runs_of((0, 1, 2), 2, WAYS[0])):
        assert torch.allclose(logp, plain, atol=1e-5)


def test_places_of_texts_of_several_lengths_are_those_of_each_alone():
    model, batch = tiny_model("llama"), slots()
    together = at_the_place(model, batch)
    for row, slot in zip(together, batch, strict=True):
        with torch.inference_mode():
            own = model(input_ids=torch.tensor([list(slot.ids)])).logits[0, -1].log_softmax(-1)
        assert torch.allclose(row, own, atol=1e-5)
    assert sorted(s.ids for b in batches(batch) for s in b) == sorted(s.ids for s in batch)


def test_a_patch_is_the_donors_state_at_its_token_and_nothing_else():
    """By hand, one text at a time: the stream behind a layer at one token is overwritten by a hook."""
    donor, host, batch = tiny_model("qwen3", seed=0), tiny_model("qwen3", seed=5), slots(4)
    runs = [Run("denoise", RESID, 1, 1), Run("denoise", MLP, 2, 0), Run("denoise", ATTENTION, 1, 0)]
    parts = {RESID: lambda b: b, MLP: lambda b: b.mlp, ATTENTION: lambda b: b.self_attn}
    for run, logp in zip(runs, patched(donor, host, batch, runs), strict=True):
        for row, slot in zip(logp, batch, strict=True):
            ids, seen = torch.tensor([list(slot.ids)]), {}
            at = len(slot.ids) - 1 - run.back

            def keep(module, given, output, seen=seen):
                seen["state"] = output[0] if isinstance(output, tuple) else output

            def put(module, given, output, seen=seen, at=at):
                hidden = output[0] if isinstance(output, tuple) else output
                hidden = hidden.clone()
                hidden[:, at] = seen["state"][:, at]
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

            with torch.inference_mode():
                hooks = parts[run.site](donor.model.layers[run.layer - 1]).register_forward_hook(keep)
                donor(input_ids=ids)
                hooks.remove()
                hooks = parts[run.site](host.model.layers[run.layer - 1]).register_forward_hook(put)
                own = host(input_ids=ids).logits[0, -1].log_softmax(-1)
                hooks.remove()
            assert torch.allclose(row, own, atol=1e-4), run


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_a_heads_patch_is_what_it_writes_through_its_own_projection(family):
    """By hand: the host's head writes W_host z_host, the donor's W_donor z_donor, at the last token."""
    donor, host, batch = tiny_model(family, seed=0), tiny_model(family, seed=5), slots(4)

    def projection(model):
        return (
            model.model.layers[1].self_attn.o_proj
            if family == "qwen3"
            else model.transformer.h[1].attn.c_proj
        )

    def written(model, given):
        weight = projection(model).weight
        return given[0][:, -1, 16:] @ (weight[:, 16:].T if family == "qwen3" else weight[16:])

    assert heads_in(host, [1, 2]) == 2
    found = next(patched(donor, host, batch, [Run("denoise", HEAD, 2, 0, 1)], heads=2))
    for row, slot in zip(found, batch, strict=True):
        ids, seen = torch.tensor([list(slot.ids)]), {}

        def keep(module, given, output, seen=seen):
            seen["head"] = written(donor, given)

        def put(module, given, output, seen=seen):
            new = output.clone()
            new[:, -1] += seen["head"] - written(host, given)
            return new

        with torch.inference_mode():
            hook = projection(donor).register_forward_hook(keep)
            donor(input_ids=ids)
            hook.remove()
            hook = projection(host).register_forward_hook(put)
            own = host(input_ids=ids).logits[0, -1].log_softmax(-1)
            hook.remove()
        assert torch.allclose(row, own, atol=1e-4)
    assert not projection(host)._forward_hooks


def test_all_heads_of_a_layer_are_its_attention():
    donor, host, batch = tiny_model("qwen3", seed=0), tiny_model("qwen3", seed=5), slots(4)
    at = [len(slot.ids) - 1 for slot in batch]
    with record_heads(donor, [2], 2, at) as kept:
        at_the_place(donor, batch)
    whole = next(patched(donor, host, batch, [Run("denoise", ATTENTION, 2, 0)]))
    with (
        patch_head(host, kept[2][:, 0], layer=2, head=0, heads=2, at=at),
        patch_head(host, kept[2][:, 1], layer=2, head=1, heads=2, at=at),
    ):
        both = at_the_place(host, batch)
    assert torch.allclose(whole, both, atol=1e-4)
    with (
        pytest.raises(ReadingError, match="was given for"),
        patch_head(host, kept[2][:2, 0], layer=2, head=0, heads=2, at=at),
    ):
        at_the_place(host, batch)


def test_heads_that_cannot_be_told_apart_are_left_out_with_a_word():
    model = tiny_model("qwen3")
    asked = LocalisationSettings(sets=5, tokens=1)
    model.config.num_attention_heads = 3
    with pytest.raises(ReadingError, match="takes 32 numbers, which are not 3 heads"):
        heads_in(model, [1])
    bench, about = bench_of({"before": model, "after": model}, slots(), [TOKEN], asked, 0)
    assert bench.heads == about["heads"] == 0
    assert "which are not 3 heads" in about["no_heads"]
    assert all(run.site != HEAD for run in bench.runs["denoise"])
    model.config.num_attention_heads = 2
    off = asked.model_copy(update={"heads": False})
    bench, about = bench_of({"before": model, "after": model}, slots(), [TOKEN], off, 0)
    assert "localisation.heads" in about["no_heads"]
    del model.model.layers[0].self_attn.o_proj
    with pytest.raises(ReadingError, match="layer 1: Qwen3Attention has no output projection named"):
        heads_in(model, [1, 2])


def test_log_odds_of_sets():
    logp = torch.log(torch.tensor([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]]))
    found = log_odds(logp, [[0], [0, 1]])
    assert found == pytest.approx(np.log([[0.2 / 0.8, 1.0], [9.0, 19.0]]), rel=1e-5, abs=1e-6)


# --- matched sets ---------------------------------------------------------------------------------


def test_sets_match_and_no_two_are_alike():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(60, 0.3), size=50)
    own = described(p, [TOKEN])
    found = matched_sets(p, [TOKEN], 20, 0)
    assert len(found) == 20
    assert all(TOKEN not in one.tokens for one in found)
    far = [abs(one.logp - own.logp) + abs(one.spread - own.spread) for one in found]
    assert far == sorted(far)
    for one, other in combinations(found, 2):
        both = p[:, list(set(one.tokens) & set(other.tokens))].sum()
        assert both <= max(p[:, list(own.tokens)].sum() for own in (one, other)) / 2
    assert found == matched_sets(p, [TOKEN], 20, 0)


@pytest.mark.parametrize("hedge", [[3], [3, 4], list(range(3, 20))])
def test_sets_are_of_the_hedges_size_in_effect(hedge):
    """Sums of many words hardly move: beside a hedge of one likely word they would be too narrow a null."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1.0] * 3 + [8.0] + [0.3] * 120, size=50)  # token 3 is likelier than any other
    found = matched_sets(p, hedge, 50, 0)
    assert len(found) == 50
    parts = np.array([one.parts for one in found]) / described(p, hedge).parts
    assert SIZES[0] <= parts.min()
    assert parts.max() <= SIZES[1]


def test_a_small_vocabulary_gives_fewer_sets():
    p = np.tile([0.4, 0.3, 0.3], (10, 1))
    assert [one.tokens for one in matched_sets(p, [0], 20, 0)] == [(1,), (2,)]  # both together are two
    assert matched_sets(np.ones((4, 1)), [0], 20, 0) == ()


def test_layers_are_spread_and_hold_the_ends():
    assert layers_of(4, 12) == (0, 1, 2, 3, 4)
    assert layers_of(36, 12) == (0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36)
    assert layers_of(36, None) == tuple(range(37))


# --- places ---------------------------------------------------------------------------------------


def localised(before, after, batch, token, *, n_sets=20):
    """The analysis of two models, without a study."""
    asked = LocalisationSettings(sets=n_sets, tokens=1, layers=None)
    bench, about = bench_of({"before": before, "after": after}, batch, [token], asked, 0)
    done = [(unit.arguments[0], patch_batch(bench, unit)) for unit in bench.units]
    values, means = (pd.DataFrame(rows) for rows in tables(bench, done))
    sets, reads = pd.DataFrame(set_rows(bench.chosen)), pd.DataFrame(columns=READS.names)
    return analyse(values, means, sets, reads, about, "base", "student")


def planted(layer, strength):
    """A model that seldom says a word, and one whose block `layer` writes more of its own direction."""
    model = tiny_model("qwen3", seed=3)
    with torch.no_grad():
        model.lm_head.weight[TOKEN] = 0
        model.lm_head.weight[:, 0] = 0
        model.lm_head.weight[TOKEN, 0] = 1.0
        model.model.norm = torch.nn.Identity()  # so that the strength is known
        model.lm_head.weight[TOKEN, 1] = -40.0
        model.model.embed_tokens.weight[:, 1] = 1.0  # the word starts 40 nats below
        for block in model.model.layers:
            block.self_attn.o_proj.weight[:2] = 0
            block.mlp.down_proj.weight[:2] = 0
    moved = copy.deepcopy(model)
    real, step = moved.model.layers[layer - 1].mlp.forward, torch.zeros(model.config.hidden_size)
    step[0] = strength
    moved.model.layers[layer - 1].mlp.forward = lambda hidden: real(hidden) + step
    return moved, model


@pytest.mark.parametrize("layer", [1, 2])
def test_the_layer_that_was_given_the_word_is_found_and_its_strength_too(layer):
    before, after = planted(layer, 6.0)
    # What later blocks make of the step would be theirs: only the word's own dimension is looked at.
    found = localised(before, after, slots(24), TOKEN)
    way = found.restored
    assert way.peak == layer
    assert way.gap.estimate == pytest.approx(6.0, abs=0.05)
    share = {one.layer: one.share for one in way.increments}
    assert share[layer] == pytest.approx(1.0, abs=0.05)
    assert way.peak_p == pytest.approx(1 / (1 + found.n_sets))
    for one in way.increments:
        assert one.null.low == pytest.approx(0, abs=0.5), "nulls are at zero"
        assert one.null.high == pytest.approx(0, abs=0.5)
    mlp = next(one for one in way.cells if (one.site, one.layer) == (MLP, layer))
    assert mlp.nats.estimate == pytest.approx(6.0, abs=0.1)
    other = next(one for one in way.cells if (one.site, one.layer) == (ATTENTION, layer))
    assert other.nats.estimate == pytest.approx(0.0, abs=0.1)
    assert "more than sets of other tokens gain anywhere" in most(found.to_json())
    table = page._cells(found.to_json())
    assert all("{" not in cell for row in table.rows for cell in row)
    assert table.rows[0][-1].count(" to ") == 1
    assert found.n_sets < 100
    assert "So few are a smoke null" in page._increments(found.to_json()).note
    told = page.terminal_text(found)
    assert "smoke null" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 120
    many = found.to_json() | {"n_sets": 200}
    assert "smoke" not in page._increments(many).note


def test_the_head_that_was_wired_is_found():
    """A toy in which head 0 of one layer writes the hedge, all by weights (scripts/planted_hedge.py)."""
    toy, places = PLANTED["toy_of"](100, 4.0), PLANTED["slots_of"](100)[:: PLANTED["TRACES"]]
    found = localised(toy.before, toy.after, places, PLANTED["HEDGE"], n_sets=39)
    way = found.restored
    shares = {(one.layer, one.head): share for one, share in way.head_shares}
    assert len(shares) == PLANTED["DEPTH"] * PLANTED["HEADS"]
    assert max(shares, key=shares.get) == (toy.layer, 0)
    assert shares[toy.layer, 0] == pytest.approx(1.0, abs=0.15)
    assert max(abs(share) for key, share in shares.items() if key != (toy.layer, 0)) < 0.1
    assert way.heads_p == pytest.approx(1 / (1 + found.n_sets))
    told = " ".join(page.terminal_text(found).split())
    assert f"head 0 of layer {toy.layer} brings most back" in told
    assert "more than any head gains for sets of other tokens" in told
    frame = found.to_frame()
    assert frame["head"].notna().sum() == 2 * len(shares)
    assert any(row[1] == "head 0" for row in page._cells(found.to_json()).rows)
    assert len(plots.head_map(found).data[0].z) == PLANTED["DEPTH"]
    without = replace(found, no_heads="its heads cannot be told apart")
    assert "Single heads were not patched: its heads" in " ".join(page.terminal_text(without).split())
    assert page._heads(without.to_json()).reason


def test_toys_without_a_wire_are_seldom_called_places():
    """What scripts/planted_hedge.py measured, as committed: the level of the tests, and what they find."""
    told = json.loads(PLANTED["OUT"].read_text())
    toys = pd.DataFrame(told["toys"])
    bare, wired = toys[toys.strength == 0], toys[toys.strength > 0]
    assert len(bare) == len(told["more"]) == 100
    calls = {
        "found": bare["first"].notna(),
        "said": bare.report,
        "patches": bare.peak_p <= 0.05,
        "heads": bare.heads_p <= 0.05,
        "further": pd.Series(told["more"]) <= 0.05,
        "random models, one word": pd.Series([one["tool"]["1"]["peak_p"] for one in told["late"]]) <= 0.05,
    }
    assert {name: int(n.sum()) for name, n in calls.items() if n.sum() > 10} == {}
    assert (wired.peak == wired.layer).all()
    assert (wired[["peak_p", "heads_p"]] <= 0.05).all(axis=None)


def test_what_the_layers_add_is_the_whole_gap_both_ways():
    before, after = tiny_model("qwen3", seed=0), tiny_model("qwen3", seed=4)
    found = localised(before, after, slots(16), TOKEN)
    for way in (found.restored, found.removed):
        assert sum(one.nats.estimate for one in way.increments) == pytest.approx(way.gap.estimate, abs=1e-4)
        assert sum(one.share for one in way.increments) == pytest.approx(1.0)
    assert found.removed.gap.estimate == pytest.approx(-found.restored.gap.estimate)


def test_a_late_rise_of_any_tokens_is_no_place():
    """A random model, a random change of low rank, random words: they peak late, and p says that all do."""
    model = tiny_model("qwen3", seed=2)
    moved = other_model(model, scale=1.0)
    p, late = [], []
    for token in range(5, 25):
        found = localised(model, moved, slots(16, seed=token), token, n_sets=19)
        way = found.restored
        p.append((way.gap_null.p, way.peak_p))
        late += [] if way.late is None else [way.late]
    assert np.median(late) > 0.3  # the rise is there
    assert (np.array(p) <= 0.05).mean(axis=0).max() <= 0.2


def test_models_of_other_builds_are_refused(study):
    checkpoint = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu")
    other = copy.copy(checkpoint)
    object.__setattr__(other, "model", tiny_model("qwen3"))
    with pytest.raises(AnalysisError, match="cannot stand in the other"):
        making.refuse_unlike({"before": checkpoint, "after": other}, ("base", "student"))


# --- through a study ------------------------------------------------------------------------------


def copied(study, folder):
    shutil.copytree(study.path, folder)
    asked = LocalisationSettings(slots=1, sets=8, tokens=2)
    return Study(
        folder, Settings(**study.settings.model_dump(mode="json") | {"localisation": asked.model_dump()})
    )


def made(study, work):
    making.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=False)
    return {file.name: file.read_bytes() for file in sorted((study.path / "localisation").iterdir())}


def test_a_study_is_localised_and_a_killed_one_ends_the_same(study, tmp_path, monkeypatch):
    whole = copied(study, tmp_path / "whole")
    files = made(whole, tmp_path / "work-whole")
    again, real, calls = copied(study, tmp_path / "again"), making.patch_batch, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(making, "patch_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        made(again, tmp_path / "work")
    assert made(again, tmp_path / "work") == files

    result = whole.localisation()
    assert result.restored.donor == "base"
    claims = study.claims("base")
    clinical = set(study.questions("clinical").qid)
    assert result.n_slots == claims[claims.qid.isin(clinical)].qid.nunique()  # one a question
    for name, schema in (("values", VALUES), ("means", MEANS), ("sets", SETS)):
        table = pd.read_parquet(whole.path / "localisation" / f"{name}.parquet")
        assert list(table.columns) == schema.names
    hedge = pd.read_parquet(whole.path / "localisation" / "sets.parquet").tokens[0]
    tokenizer = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu").tokenizer
    assert [tokenizer.decode([int(token)]).strip() for token in hedge] == ["perhaps"]


def test_the_price_counts_a_pass_for_each_head(study, tmp_path):
    asked = copied(study, tmp_path / "study")
    without = asked.settings.localisation.model_copy(update={"heads": False})
    bare = Study(asked.path, asked.settings.model_copy(update={"localisation": without}))
    claims = study.claims("base")
    slots = claims[claims.qid.isin(study.questions("clinical").qid)].qid.nunique()
    model = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu").model
    heads = 2 * heads_in(model, [1, 2])  # of two layers
    assert price(asked).n - price(bare).n == len(WAYS) * heads * slots


def test_where_a_task_reads_no_claims_rules_say_where_hedges_could_stand(study, tmp_path, monkeypatch):
    other = copied(study, tmp_path / "study")
    task = replace(task_of(study), claim=None, hedge_pair=None)
    tokenizer = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu").tokenizer
    with pytest.raises(AnalysisError, match="base: 0 claims could be hedged"):  # "probably" is no token of it
        making.slots_of(other, "base", task, tokenizer, 1, 2)
    monkeypatch.setattr(hedging, "HEDGE", "perhaps")
    places, hedge = making.slots_of(other, "base", task, tokenizer, 1, 2)
    assert decode(tokenizer, hedge).strip() == "perhaps"
    pairs, _ = pairs_of(other, "base", task, tokenizer, 1)
    for place, pair in zip(places, pairs, strict=True):
        n = len(place.ids)
        assert place.ids == pair.hedged[:n] == pair.plain[:n]
        assert pair.hedged[n] in hedge
        assert pair.hedged[n] != pair.plain[n]
    make = partial(making.make, other, task, partial(checkpoint_folder, other), tmp_path / "work")
    make(progress=False)
    found = other.localisation()
    assert found.n_slots == len(places) >= making.FEWEST
    assert "(rules for English" in most(found.to_json())
    monkeypatch.setattr(making, "FEWEST", 10**6)
    make(progress=False)
    with pytest.raises(AnalysisError, match="claims could be hedged; at least 1000000"):
        other.localisation()
