"""Tiny random models of families whose text so far, or whose positions, are not keys and values alone."""

import logging

import torch
from transformers import (
    AutoModelForCausalLM,
    BambaConfig,
    BartConfig,
    CpmAntConfig,
    DogeConfig,
    FalconH1Config,
    FalconMambaConfig,
    JambaConfig,
    Lfm2Config,
    LlamaConfig,
    Mamba2Config,
    MambaConfig,
    MiniMaxConfig,
    NemotronHConfig,
    Phi3Config,
    PhimoeConfig,
    ProphetNetConfig,
    Qwen3_5TextConfig,
    Qwen3NextConfig,
    RecurrentGemmaConfig,
    RobertaConfig,
    XLMConfig,
)

from reading_cases import PLAIN, SHAPE, VOCAB

FOUR = {**SHAPE, "num_hidden_layers": 4}
STATE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
MIXER = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
FACTORS = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4}
TURN = 25
"""Beyond so many positions the rotary factors of "longrope" and "phimoe" change."""

MAMBA_2 = {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8}
NEMOTRON = {name: value for name, value in SHAPE.items() if name != "num_hidden_layers"}
GRIFFIN = {
    name: v for name, v in SHAPE.items() if name not in ("initializer_range", "max_position_embeddings")
}
CONFIGS = {
    "mamba": lambda: MambaConfig(**STATE, state_size=4),
    "mamba2": lambda: Mamba2Config(**STATE, **MAMBA_2, state_size=8),
    "falcon_mamba": lambda: FalconMambaConfig(**STATE, state_size=4),
    "falcon_h1": lambda: FalconH1Config(**SHAPE, mamba_d_ssm=64, **MIXER),
    "qwen3_next": lambda: Qwen3NextConfig(
        **FOUR, **LINEAR, **EXPERTS, decoder_sparse_step=1, shared_expert_intermediate_size=24
    ),
    "qwen3_5": lambda: Qwen3_5TextConfig(**FOUR, **LINEAR),
    "jamba": lambda: JambaConfig(
        **{**PLAIN, "num_hidden_layers": 4},
        attn_layer_period=2,
        attn_layer_offset=1,
        num_experts=4,
        mamba_d_state=4,
        use_mamba_kernels=False,
    ),
    "bamba": lambda: BambaConfig(**PLAIN, attn_layer_indices=[1], **MIXER),
    "lfm2": lambda: Lfm2Config(**PLAIN, layer_types=["conv", "full_attention", "conv"]),
    "recurrent_gemma": lambda: RecurrentGemmaConfig(
        **GRIFFIN,
        lru_width=32,
        attention_window_size=16,
        block_types=["recurrent", "attention", "recurrent"],
    ),
    "nemotron_h": lambda: NemotronHConfig(
        **NEMOTRON,
        layers_block_type=["mamba", "attention", "moe"],
        mamba_num_heads=4,
        mamba_head_dim=16,
        ssm_state_size=8,
        n_groups=1,
        chunk_size=8,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        moe_shared_expert_intermediate_size=24,
    ),
    "minimax": lambda: MiniMaxConfig(**FOUR, num_local_experts=4, num_experts_per_tok=2, block_size=8),
    "doge": lambda: DogeConfig(**PLAIN, sliding_window=None, keep_window_size=6),
    "longrope": lambda: Phi3Config(
        **PLAIN, original_max_position_embeddings=TURN, rope_scaling={"rope_type": "longrope", **FACTORS}
    ),
    "phimoe": lambda: PhimoeConfig(
        **PLAIN,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_scaling={
            "rope_type": "longrope",
            "short_mscale": 1.0,
            "long_mscale": 1.3,
            "original_max_position_embeddings": TURN,
            **FACTORS,
        },
    ),
    "dynamic": lambda: LlamaConfig(
        **{**SHAPE, "max_position_embeddings": 20},
        rope_scaling={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    ),
    "roberta": lambda: RobertaConfig(**{**PLAIN, "pad_token_id": 1}, is_decoder=True),
    "encoder": lambda: RobertaConfig(**PLAIN),
    "cpmant": lambda: CpmAntConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        num_attention_heads=4,
        dim_head=8,
        dim_ff=48,
        num_hidden_layers=2,
        prompt_types=4,
        prompt_length=4,
        segment_types=4,
        init_std=0.3,
    ),
    "prophetnet": lambda: ProphetNetConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        decoder_ffn_dim=48,
        num_decoder_layers=2,
        num_decoder_attention_heads=4,
        init_std=0.3,
        is_decoder=True,
        is_encoder_decoder=False,
    ),
    "xlm": lambda: XLMConfig(
        vocab_size=VOCAB, emb_dim=32, n_layers=2, n_heads=4, embed_init_std=0.3, init_std=0.3
    ),
    "bart": lambda: BartConfig(
        vocab_size=VOCAB,
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        is_decoder=True,
        is_encoder_decoder=False,
    ),
    "yarn": lambda: LlamaConfig(
        **SHAPE,
        rope_scaling={
            "rope_type": "yarn",
            "factor": 4.0,
            "rope_theta": 1e4,
            "original_max_position_embeddings": 24,
        },
    ),
}


def build(family):
    """A random model of a family, float32, in evaluation mode."""
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family](), dtype=torch.float32)
    logging.disable(logging.NOTSET)
    return model.eval()
