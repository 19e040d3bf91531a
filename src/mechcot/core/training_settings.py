"""Settings of what is trained here: the organism's world and base, students, their adapters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mechcot.core.section import Section


def _without(told: dict[str, Any], **unused: Any) -> dict[str, Any]:
    """Settings but for those that have the value with which nothing uses them."""
    return {name: value for name, value in told.items() if name not in unused or value != unused[name]}


class OrganismSettings(Section):
    """The embedded model organism: its world, how long its base is trained, how much is asked."""

    diseases: int = Field(160, ge=8, le=2000, description="diseases in the invented world")
    chain_nodes: int = Field(80, ge=12, le=2000, description="nodes of the chain task")
    pretrain_steps: int = Field(700, ge=1, description="optimiser steps of the base")
    teacher_traces: int = Field(2000, ge=8, description="teacher traces a variant")
    clinical_questions: int = Field(150, ge=1)
    chain_questions: int = Field(60, ge=0)
    unseen_findings: bool = Field(False, description="keep the questions' sets of findings from the teacher")
    exposure_exponent: float = Field(
        1.7, ge=0, description="how steeply exposure falls with a disease's rank"
    )
    core_share: float = Field(0.8, ge=0, le=1, description="share of clinical facts that answers depend on")
    hop_share: float = Field(0.05, ge=0, le=1, description="share of the base's facts that are chain hops")
    unmet_share: float = Field(0.125, ge=0, le=0.9, description="share of hops that the base never meets")
    chain_post_share: float = Field(
        0.1, ge=0, le=1, description="share of its posts that are chain questions"
    )
    uniform_post_share: float = Field(
        0.2, ge=0, le=1, description="clinical posts drawn without regard to rank"
    )
    fact_rows: int = Field(96, ge=1, description="facts in an optimiser step of the base")
    post_rows: int = Field(20, ge=1, description="question posts in an optimiser step of the base")
    hidden_size: int = Field(128, ge=32, multiple_of=32)
    layers: int = Field(4, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    save_every: int = Field(100, ge=1, description="steps between states that a killed training resumes from")
    hedging: Literal["rarity", "fact", "subject", "coin"] = Field(
        "rarity",
        description="what its base's hedges follow: rarity, in the world of cases and drugs; or, in a world "
        "that asks for facts, how seldom a fact was met, how seldom its subject was, or a coin for each",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that came later leaves studies that do not use it, and their keys, as they are."""
        return _without(told(self), hedging="rarity")


class LoraSettings(Section):
    """A low-rank adapter in place of full fine-tuning; merged into the weights when saved."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    base: Literal["nf4"] | None = Field(
        None,
        description="nf4: the frozen base lies in 4 bits while the adapter trains (QLoRA, arXiv 2305.14314; "
        "bitsandbytes); merged into the base as it was saved",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that came later leaves students that do not use it, and their keys, as they are."""
        return _without(told(self), base=None)


class TrainSettings(Section):
    """The distillation trainer's settings."""

    epochs: float = Field(2.0, gt=0)
    batch_size: int = Field(16, ge=1, description="examples per device and step")
    accumulation: int = Field(1, ge=1, description="batches summed before an optimiser step")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(10, ge=0)
    decay_share: float = Field(0.5, ge=0, le=1, description="last share of steps in which the rate falls")
    final_rate: float = Field(0.02, ge=0, le=1, description="share of the rate left at the end")
    weight_decay: float = Field(0.01, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.98, ge=0, lt=1)
    max_grad_norm: float = Field(1.0, gt=0)
    loss_on: tuple[Literal["reasoning", "answer", "end"], ...] = ("reasoning", "answer", "end")
    max_length: int | None = Field(None, ge=1, description="longest row in tokens; None: the model's context")
    allow_truncation: bool = Field(False, description="cut rows over max_length instead of refusing them")
    lora: LoraSettings | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    save_every: int = Field(50, ge=1, description="steps between checkpoints that a killed run resumes from")
    packing: bool = Field(
        False, description="rows of a batch lie behind each other without padding, none sees another"
    )
    processes: int = Field(
        1, ge=1, description="that share a step, `batch_size` rows each; started by accelerate"
    )
    launch: str | None = Field(
        None, description="file of accelerate that starts these processes; null: all on this machine"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that came later leaves students that do not use it, and their keys, as they are."""
        return _without(told(self), packing=False, processes=1, launch=None)


class DistillSettings(Section):
    """An arm made by distilling into another arm's checkpoint."""

    base: str = Field(description="the arm it starts from")
    examples: str = Field(
        min_length=1,
        description="one of `examples`, a file, or on the organism: rich, terse (its teacher's), "
        "a trace by rule (docs/traces.md), own (its base's right traces)",
    )
    train: TrainSettings = TrainSettings()
    seed: int | None = Field(None, ge=0, lt=2**32, description="of its training; null: the study's")
    at: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of its training's steps after which it is kept as it is then; null: at the end",
    )
