"""Settings of who does long work: this process, or Ray's workers. No result depends on them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mechcot.core.section import Section


class EngineSettings(Section):
    """Workers that share a study's tasks (docs/scale.md)."""

    kind: Literal["ray"] = "ray"
    workers: int | None = Field(
        None, ge=1, description="how many; null: as many as the cluster at `address` has room for"
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="of a cluster that runs: auto, or HOST:PORT; null: one on this machine, for this run",
    )
    gpus_per_worker: float | None = Field(
        None, ge=0, description="GPUs of a worker, or a share of one; null: one where there are GPUs"
    )

    @model_validator(mode="after")
    def _counted(self) -> EngineSettings:
        if self.workers is None and self.address is None:
            raise ValueError("engine: say how many workers this machine has to start (engine.workers)")
        return self
