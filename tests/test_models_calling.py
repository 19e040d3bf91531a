"""One place knows how a forward is called, for every causal LM of the installed transformers."""

import inspect

import pytest
import torch
import transformers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    MambaConfig,
    OpenAIGPTConfig,
    RwkvConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mechcot.core.errors import ReadingError, SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.calling import CACHES, Pass, cache_in, calling_of
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.interventions import add
from mechcot.sampling import Prompt, sample
from reading_cases import VOCAB, make_model, one_thread  # noqa: F401

KEEP_OTHERWISE = {
    "Gemma4AssistantForCausalLM",  # drafts over the cache of another model
    "Gemma4UnifiedAssistantForCausalLM",
    "OpenAIGPTLMHeadModel",  # keeps nothing
    "ReformerModelWithLMHead",  # buckets
    "RwkvForCausalLM",  # a state
    "XLNetLMHeadModel",  # mems
}
TEXT = torch.tensor([[10, 11, 12, 13, 14, 15]])


class Bare(nn.Module):
    """Takes its arguments by position, and what it does not name."""

    def forward(self, input_ids, attention_mask=None, cache=None, use_cache=None, **kwargs):
        return None


def small(family):
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 1}
    config = {
        "mamba": lambda: MambaConfig(**sizes, hidden_size=32, num_hidden_layers=2, state_size=4),
        "rwkv": lambda: RwkvConfig(**sizes, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32),
        "openai-gpt": lambda: OpenAIGPTConfig(**sizes, n_embd=32, n_layer=2, n_head=4),
    }[family]()
    return AutoModelForCausalLM.from_config(config).eval()


def test_every_causal_lm_of_transformers_names_its_cache_or_is_listed():
    unknown = set()
    for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        for name in [names] if isinstance(names, str) else names:
            parameters = inspect.signature(getattr(transformers, name).forward).parameters
            if not set(CACHES) & set(parameters):
                unknown.add(name)
    assert unknown <= KEEP_OTHERWISE


@pytest.mark.parametrize("keyword", CACHES)
def test_a_cache_is_found_under_any_of_its_names_also_where_another_is_in_force(keyword):
    model = make_model("qwen3")
    with torch.no_grad():
        cache = cache_in(model(input_ids=TEXT, use_cache=True))
    assert calling_of(Bare()).begun((), {"input_ids": TEXT, keyword: cache}) == Pass(6, cached=True)


def test_what_a_pass_says_of_itself():
    calling, mask = calling_of(Bare()), torch.ones(1, 1, 6, 6)
    assert calling.begun((TEXT,), {}) == Pass(0)
    assert calling.begun((TEXT,), {"use_cache": True}) == Pass(0, cached=True)
    assert calling.begun((TEXT, None, DynamicCache()), {}) == Pass(0, cached=True)
    assert calling.begun((TEXT, mask), {}) == Pass(0, own_mask=True)
    assert calling.begun((TEXT,), {"attention_mask": {"full_attention": mask}}).own_mask
    assert not calling.begun((TEXT, mask, DynamicCache()), {}).own_mask
    assert calling.known(position_ids=TEXT, attention_mask=mask).keys() == {"attention_mask"}


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gemma3"])
def test_a_family_goes_on_where_its_cache_ends(family):
    model = make_model(family)
    calling = calling_of(model)
    with torch.no_grad():
        whole = model(input_ids=TEXT, use_cache=False).logits[0, -1]
        start = model(input_ids=TEXT[:, :-1], use_cache=True)
        last = model(input_ids=TEXT[:, -1:], **calling.going_on(cache_in(start))).logits[0, -1]
    torch.testing.assert_close(last, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["mamba", "rwkv"])
def test_a_state_that_does_not_count_its_tokens_is_refused_by_position_and_edited_everywhere(family):
    model, v = small(family), torch.ones(32)
    with torch.no_grad():
        kept = model(input_ids=TEXT, use_cache=True)
        more = {"state": kept.state} if family == "rwkv" else calling_of(model).going_on(cache_in(kept))
        for positions in ("prompt", "generated", [0]):
            with (
                add(model, v, layers=[1], positions=positions, prompt_length=3),
                pytest.raises(ReadingError, match="does not say how many tokens it has read"),
            ):
                model(input_ids=TEXT[:, :1], **more)
        bare = model(input_ids=TEXT, use_cache=False).logits
        with add(model, v, layers=[1], positions=[2]):
            edited = model(input_ids=TEXT, use_cache=False).logits
        with add(model, v, layers=[1]):
            everywhere = model(input_ids=TEXT, use_cache=False).logits
    assert torch.equal(edited[:, :2], bare[:, :2])
    assert not torch.equal(edited[:, 2], bare[:, 2])
    assert not torch.equal(everywhere[:, 0], bare[:, 0])


@pytest.mark.parametrize("family", ["rwkv", "openai-gpt"])
def test_a_model_whose_text_so_far_travels_unknown_ways_is_not_sampled(family, tmp_path):
    checkpoint = Checkpoint("tiny", small(family), None, (1,), None)
    prompts = [Prompt("q0", (10, 11)), Prompt("q1", (12, 13, 14))]
    name = type(checkpoint.model).__name__
    with pytest.raises(SamplingError, match=rf"{name}: its forward takes no keyword for a cache \(cache, "):
        sample(checkpoint, prompts, SamplingSettings(), arm="base", seed=0, work=tmp_path, progress=False)


def test_a_block_that_gives_a_list_is_read_and_edited():
    model, v = small("openai-gpt"), torch.ones(32)
    with torch.no_grad():
        bare = model(input_ids=TEXT, output_hidden_states=True)
        with add(model, v, layers=[1], positions=[2]):
            edited = model(input_ids=TEXT, output_hidden_states=True)
    torch.testing.assert_close(edited.hidden_states[1][0, 2], bare.hidden_states[1][0, 2] + v)
    assert torch.equal(edited.hidden_states[1][0, :2], bare.hidden_states[1][0, :2])
    assert not torch.equal(edited.logits[0, 2:], bare.logits[0, 2:])
