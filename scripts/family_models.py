"""A tiny random checkpoint of any family of transformers that has a causal LM head.

A family's own default configuration is shrunk: every size by its name (`SIZES`), lists of kinds of layers
to a few layers that hold every kind, parts (`text_config`, ...) in the same way. What a name does not tell
stands in `CORRECTIONS`, family by family. Switches whose default hides a mistake (windows that no short text
outgrows, factors of 1) get values that show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LAYERS, POSITIONS, EOS = 4, 160, 1
WORDS = ("<pad>", "<eos>", "<bos>", "<unk>", *(f"w{i}" for i in range(60)))


def _named(**sizes: str) -> dict[str, int]:
    return {name: int(size[1:]) for size, names in sizes.items() for name in names.split()}


SIZES: dict[str, Any] = _named(
    _64="vocab_size vocab_size_per_layer_input unpadded_vocab_size n_words pronunciation_vocab_size "
    "shape_vocab_size vocab_size_per_type",
    _160="max_position_embeddings n_positions n_ctx max_seq_len model_max_length max_target_positions "
    "context_length max_source_positions max_sequence_length",
    _4="num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers "
    "num_encoder_layers num_blocks num_attention_heads n_head n_heads num_heads decoder_attention_heads "
    "encoder_attention_heads num_decoder_attention_heads num_encoder_attention_heads attention_heads "
    "swa_num_attention_heads mamba_n_heads mamba_num_heads linear_num_value_heads linear_num_heads "
    "num_experts n_routed_experts num_local_experts moe_num_experts rotary_dim "
    "",
    _32="hidden_size d_model n_embd dim emb_dim embedding_dim embedding_size word_embed_proj_dim "
    "attention_hidden_size input_embedding_size output_embedding_size lru_width",
    _48="intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim d_inner dff dim_ff n_inner "
    "ffn_hidden_size "
    "feed_forward_size expert_ffn_hidden_size shared_intermediate_size intermediate_size_mlp "
    "dense_intermediate_size",
    _24="moe_intermediate_size shared_expert_intermediate_size shared_experts_intermediate_size "
    "moe_shared_expert_intermediate_size",
    _2="num_key_value_heads num_kv_heads swa_num_key_value_heads num_experts_per_tok moe_topk top_k_experts "
    "moe_k linear_num_key_heads moe_num_active num_experts_per_token topk_group n_group "
    "mamba_n_groups n_groups num_query_groups",
    _8="head_dim swa_head_dim qk_nope_head_dim qk_rope_head_dim v_head_dim linear_key_head_dim "
    "linear_value_head_dim linear_head_dim index_head_dim dim_head d_head kv_channels mamba_d_state "
    "state_size ssm_state_size time_step_rank mamba_dt_rank attention_head_size kv_lora_rank q_lora_rank "
    "chunk_size mamba_chunk_size laurel_rank hidden_size_per_layer_input adapter_rank o_lora_rank",
    _16="index_n_heads attention_head_dim mamba_d_head mamba_headdim mamba_head_dim qk_head_dim index_topk",
    _7="sliding_window sliding_window_size attention_chunk_size window_size local_attention "
    "attention_window_size",
)
"""What is named so is made so large, wherever a configuration has it."""

TELLING: dict[str, Any] = {
    "use_sliding_window": True,
    "max_window_layers": 2,
    "logits_scaling": 3.0,
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.5,
    "final_logit_softcapping": 5.0,
    "logit_scale": 0.5,
    "is_decoder": True,
    "tie_word_embeddings": False,
}
"""Switches whose usual value hides a mistake; set where a configuration has them."""

NOT_BUILT = {
    "gemma3n": "its picture part needs timm; gemma3n_text is built",
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), "it drafts over another model's cache"),
    **dict.fromkeys(("musicgen", "musicgen_melody"), "it writes codes of sound, several at a place"),
}
"""Families of which no checkpoint is made here, and why."""

UNMADE = {"moshi": {"audio_vocab_size": 16}}
"""What even a family's default configuration cannot be made without."""

QSA = {"n_heads": 4, "kv_heads": 1, "head_dim": 8, "budget": 16, "compress_ratio": 2}
BLT = {"hidden_size_global": 32}
CORRECTIONS: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "n_group": 1,
        "topk_group": 1,
    },
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {"encoder_hash_byte_group_vocab": 64, "encoder_hash_byte_group_size": [3, 4]},
    "blt_local_encoder": BLT,
    "blt_local_decoder": BLT,
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "default", "rope_theta": 1e5},
        },
    },
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4}},
    "deepseek_v2": {"topk_method": "greedy", "num_experts_per_tok": 2},
    "dots1": {
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
    },
    "dots3_note_vision_encoder": {"adapter_in_dim": 32, "adapter_out_dim": 32},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_out_dim": 32},
    "dots3_note_text": {"layer_types": ["indexed_attention"] * LAYERS},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_d_head": 16},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {
        "num_experts_per_tok": 2,
        "num_experts_per_token": None,
        "num_expert_group": 1,
        "n_group": None,
        "topk_group": 1,
    },
    "gemma3n_text": {"num_kv_shared_layers": 2, "activation_sparsity_pattern": None, "intermediate_size": 48},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"head_dim": 16, "expand": 2},
    "moshi": {"audio_vocab_size": 16, "head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp_text": {f"indexer_{name}": value for name, value in QSA.items()},
    "reformer": {"axial_pos_shape": [10, 16], "axial_pos_embds_dim": [8, 24]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4},
    "zamba2": {"mamba_headdim": 8, "attention_hidden_size": 64, "attention_head_dim": 16},
    "longcat_flash": {"zero_expert_num": 2},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}
"""What the names of a configuration's fields do not tell; None: as the family has it."""


def configuration(family: str) -> Any:
    """A tiny configuration of a family, by its `model_type`."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[family]
    return kind(**_shrunk(kind, CORRECTIONS.get(family, {})))


def _shrunk(kind: Any, corrections: Mapping[str, Any]) -> dict[str, Any]:
    """What a class of configurations is called with, tiny."""
    given = {name: value for name, value in corrections.items() if value is not None}
    default = kind(**UNMADE.get(kind.model_type, {}))
    n_layers = getattr(default, "num_hidden_layers", LAYERS)
    found: dict[str, Any] = {}
    for name, value in vars(default).items():
        if name in SIZES and (_whole(value) or (name == "head_dim" and value is None)):
            found[name] = SIZES[name]
        elif name in TELLING and value is not None:
            found[name] = TELLING[name]
        elif name.endswith("token_id"):
            found[name] = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}.get(name, 3)
        elif _of_layers(value, n_layers):
            found[name] = (list(dict.fromkeys(value)) * LAYERS)[:LAYERS]
        elif hasattr(value, "sub_configs"):
            own = CORRECTIONS.get(value.model_type, {}) | given.pop(name, {})
            found[name] = {**_shrunk(type(value), own), "model_type": value.model_type}
    if "kv_lora_rank" in found:  # its keys are made for each head
        found["num_key_value_heads"] = found["num_attention_heads"]
    found |= given
    return {name: value for name, value in found.items() if name not in corrections or name in given}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _of_layers(value: Any, n_layers: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == n_layers and {*map(type, value)} == {str}


def model_of(config: Any, seed: int = 0) -> Any:
    """The causal LM of a configuration in float32, with weights under which texts differ widely.

    Matrices are drawn anew, so that every layer mixes what it reads; vectors (norms, biases) are moved from
    where their family begins, which hides what a norm's weight or a bias does.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape)
            if parameter.dim() > 1:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.copy_(parameter.nan_to_num() + 0.1 * noise)
        model.get_input_embeddings().weight.normal_()
        head = model.get_output_embeddings().weight
        head.mul_(2)
        head[EOS] = 0  # seldom the first word
    return model


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of `WORDS`, saved as any other."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
