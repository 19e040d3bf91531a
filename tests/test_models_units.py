"""Units of two checkpoints, models made of both, and random changes of one size."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_model
from mechcot.core.errors import ModelError
from mechcot.models.units import (
    AFTER,
    effective_rank,
    hybrid,
    parents_of,
    refuse_unlike,
    relative_change,
    turned,
    units_of,
)
from model_families import build

NAMES = ("base", "student")


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.fixture(scope="module")
def parents():
    return parents_of(tiny_model(), tiny_model(seed=1), NAMES, 7, None)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_every_parameter_belongs_to_one_unit(family):
    model = tiny_model(family)
    units = units_of(model)
    held = [name for unit in units for name in unit.tensors]
    assert sorted(held) == sorted(name for name, _ in model.named_parameters())
    kinds = ["embedding", "attention 1", "MLP 1", "attention 2", "MLP 2", "norms"]
    tied = model.config.tie_word_embeddings
    assert [unit.name for unit in units] == kinds + ([] if tied else ["unembedding"])


@pytest.mark.parametrize("family", ["longrope", "phimoe", "minimax", "yarn"])
def test_more_families_are_sorted_whole(family):
    model = build(family)
    held = [name for unit in units_of(model) for name in unit.tensors]
    assert sorted(held) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("family", ["mamba", "lfm2", "roberta"])
def test_a_family_whose_parts_are_not_known_is_refused_by_name(family):
    model = build(family)
    with pytest.raises(ModelError, match=rf"{type(model).__name__}.*weights=null"):
        units_of(model)


def test_bands_join_layers_and_hold_all_of_them():
    model = tiny_model()
    units = units_of(model, bands=1)
    assert [unit.name for unit in units[:3]] == ["embedding", "attention 1-2", "MLP 1-2"]
    assert sum(len(unit.tensors) for unit in units) == len(list(model.named_parameters()))


def test_a_hybrid_is_of_both_and_leaves_the_model_as_it_was(parents):
    before = weights(parents.model)
    own = next(unit for unit in parents.units if unit.name == "MLP 2")
    with hybrid(parents, {"MLP 2": AFTER}) as model:
        for name, value in model.named_parameters():
            wanted = parents.after if name in own.tensors else parents.before
            assert torch.equal(value, wanted[name]), name
    with (
        pytest.raises(ZeroDivisionError),
        hybrid(parents, dict.fromkeys((u.name for u in parents.units), AFTER)),
    ):
        raise ZeroDivisionError
    assert all(torch.equal(value, before[name]) for name, value in weights(parents.model).items())


def test_all_of_the_other_parent_computes_what_it_computes(parents):
    ids = torch.arange(2, 12)[None]
    other = tiny_model(seed=1)
    with hybrid(parents, dict.fromkeys((u.name for u in parents.units), AFTER)) as model, torch.no_grad():
        assert torch.equal(model(ids).logits, other(ids).logits)


def test_halfway_is_the_mean(parents):
    with hybrid(parents, {"norms": ("before", 0.5, 0), "embedding": ("after", 0.25, 0)}) as model:
        found = weights(model)
    for unit, share in (("norms", 0.5), ("embedding", 0.75)):
        for name in next(u for u in parents.units if u.name == unit).tensors:
            wanted = (1 - share) * parents.before[name] + share * parents.after[name]
            assert torch.allclose(found[name], wanted, atol=1e-6)


def test_an_unknown_unit_is_refused(parents):
    with pytest.raises(ModelError, match="there is no unit 'MLP 9'"), hybrid(parents, {"MLP 9": AFTER}):
        pass


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 99))
def test_a_turned_change_keeps_its_singular_values_and_nothing_else(shape, seed):
    change = torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()
    found = turned(change, [seed, 1])
    assert found.shape == change.shape
    if change.dim() == 1:
        assert float(found.norm()) == pytest.approx(float(change.norm()), rel=1e-4)
    else:
        ours, theirs = (torch.linalg.svdvals(t.double()) for t in (change, found))
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.equal(found, turned(change, [seed, 1]))


def test_turned_changes_point_nowhere_in_particular():
    """Their angle to the change, and to each other, is that of independent directions."""
    change = torch.from_numpy(np.random.default_rng(0).normal(size=(32, 24))).float()
    change[:, 0] += 5.0  # one direction that stands out
    flat = torch.stack([turned(change, [5, draw]).flatten() for draw in range(60)])
    flat = torch.nn.functional.normalize(torch.cat([change.flatten()[None], flat]), dim=1)
    angles = (flat @ flat.T)[~torch.eye(61, dtype=bool)]
    assert abs(float(angles.mean())) < 0.01
    strength = float((torch.linalg.svdvals(change) ** 4).sum() / (change.square().sum() ** 2))
    assert float(angles.std()) < 2 * (strength / 24) ** 0.5


def test_the_change_of_a_unit_in_numbers():
    one = tiny_model("llama")
    other = copy.deepcopy(one)
    with torch.no_grad():
        matrix = other.model.layers[1].mlp.down_proj.weight
        rank_two = torch.randn(32, 2) @ torch.randn(2, 64)
        matrix += rank_two * (0.5 * matrix.norm() / rank_two.norm())
    found = parents_of(one, other, NAMES, 0, None)
    assert [unit.name for unit in found.changed] == ["MLP 2"]
    name = "model.layers.1.mlp.down_proj.weight"
    assert relative_change(found, [name]) == pytest.approx(0.5, rel=1e-5)
    rank, noise = effective_rank(found, [name])
    values = np.linalg.svd(rank_two.numpy(), compute_uv=False) ** 2
    assert rank == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-3)
    assert noise == pytest.approx(32 * 64 / 97)
    assert np.isnan(effective_rank(found, ["model.norm.weight"])[0])


def test_noise_has_the_effective_rank_that_is_said():
    one = tiny_model("llama")
    other = copy.deepcopy(one)
    torch.manual_seed(3)
    with torch.no_grad():
        for layer in other.model.layers:
            layer.mlp.up_proj.weight += torch.randn(64, 32)
    rank, noise = effective_rank(
        parents_of(one, other, NAMES, 0, None), [f"model.layers.{i}.mlp.up_proj.weight" for i in range(2)]
    )
    assert rank == pytest.approx(noise, rel=0.03)


def test_unlike_checkpoints_are_refused_by_name():
    base = tiny_model("llama")
    with pytest.raises(ModelError, match=r"base and student are of other builds: .*weights=null"):
        refuse_unlike(base, tiny_model("qwen3"), NAMES)
    with pytest.raises(ModelError, match=r"vocab_size in config\.json is 64 and 60"):
        refuse_unlike(base, tiny_model("llama", vocab=60), NAMES)
    tied = tiny_model("llama")
    tied.config.tie_word_embeddings = True
    with pytest.raises(ModelError, match=r"student ties its unembedding .* tie_word_embeddings: false"):
        refuse_unlike(base, tied, NAMES)
    packed = tiny_model("llama")
    packed.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(ModelError, match=r"student: its weights are quantised.*dequantise"):
        refuse_unlike(base, packed, NAMES)
    half = tiny_model("llama").to(torch.bfloat16)
    with pytest.raises(ModelError, match=r"of float32 there and .* of bfloat16 here.*arms.base.dtype"):
        refuse_unlike(base, half, NAMES)
    refuse_unlike(base, tiny_model("llama", seed=4), NAMES)
