"""The configuration of accelerate that starts the processes of a training: what it may say and starts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mechcot.core.errors import ConfigError, MissingDependency, said
from mechcot.core.training_settings import TrainSettings

SHARDED = {"FSDP": "FSDP", "DEEPSPEED": "DeepSpeed", "MEGATRON_LM": "Megatron"}
"""Ways to cut a model over processes, by what accelerate calls them."""
_NOT_HERE = (
    "a model whose weights are cut over processes is not trained here, each process holds the whole. "
    "Set distributed_type: MULTI_GPU, or train elsewhere and name the student with `model:`"
)


@dataclass(frozen=True)
class Launch:
    """What a configuration starts.

    Attributes:
        path: the file.
        processes: on all machines together.
        rank: of this machine.
        on_cpu: whether they compute on processors.
        by_hand: whether accelerate starts its processes by torchrun only when it is told to.
    """

    path: Path
    processes: int
    rank: int
    on_cpu: bool
    by_hand: bool

    @property
    def command(self) -> list[str]:
        """The module and the arguments that start the processes; `dtype` says the precision."""
        # accelerate itself starts processes on processors by mpirun alone.
        more = ["--multi_gpu"] if self.by_hand else []
        told = ["--config_file", str(self.path), "--mixed_precision", "no", *more]
        return ["accelerate.commands.launch", *told]


def read_launch(file: str | Path) -> Launch:
    """Read a configuration of accelerate.

    Args:
        file: YAML or JSON, as `accelerate config` writes it.

    Raises:
        ConfigError: it is not there, is none, or starts what mechcot does not train with.
        MissingDependency: accelerate is not installed.
    """
    path = Path(file).expanduser()
    if find_spec("accelerate") is None:
        raise MissingDependency("accelerate", "train")
    if not path.is_file():
        raise ConfigError(
            f"{path}: there is no such file. launch names a configuration of accelerate; write one with "
            f"`accelerate config --config_file {path}`"
        )
    found = _loaded(path)
    kind = str(getattr(found.distributed_type, "value", found.distributed_type))
    if kind in SHARDED:
        raise ConfigError(f"{path}: distributed_type is {SHARDED[kind]}: {_NOT_HERE}")
    if not kind.startswith("MULTI_"):
        raise ConfigError(
            f"{path}: distributed_type is {kind}, which starts no processes that share a training. Set "
            "MULTI_GPU (a GPU a process) or MULTI_CPU"
        )
    if found.mixed_precision not in (None, False, "no"):
        raise ConfigError(
            f"{path}: mixed_precision is {found.mixed_precision}; the setting dtype says the precision. "
            "Write mixed_precision: 'no', and dtype=bfloat16 to the settings"
        )
    if found.num_processes < 2:
        raise ConfigError(
            f"{path}: num_processes is {found.num_processes}; name how many processes share the training, "
            "on all machines together, or leave launch out for one"
        )
    by_mpi = bool((found.mpirun_config or {}).get("mpirun_hostfile"))
    on_cpu = kind == "MULTI_CPU" or bool(found.use_cpu)
    return Launch(
        path.resolve(), found.num_processes, found.machine_rank, on_cpu, kind == "MULTI_CPU" and not by_mpi
    )


def launched_by(settings: TrainSettings) -> Launch | None:
    """What starts the processes of a training; None: no file is named.

    Raises:
        ConfigError: as `read_launch`; or the file starts another number than the settings say.
        MissingDependency: likewise.
    """
    if settings.launch is None:
        return None
    found = read_launch(settings.launch)
    if found.processes != settings.processes:
        raise ConfigError(
            f"{found.path}: num_processes is {found.processes}, and the setting processes is "
            f"{settings.processes}: rows a step, and with them the student, depend on it. Make them the same"
        )
    if found.on_cpu and settings.device != "cpu":
        raise ConfigError(
            f"{found.path}: its processes compute on processors. Set device=cpu for the training"
        )
    return found


def with_launch(settings: TrainSettings, file: Path) -> TrainSettings:
    """The settings of a training that a configuration starts: its processes and device, where they say none.

    Raises:
        ConfigError: as `launched_by`.
        MissingDependency: likewise.
    """
    found = read_launch(file)
    own: dict[str, Any] = {"processes": found.processes} | ({"device": "cpu"} if found.on_cpu else {})
    more = {name: value for name, value in own.items() if name not in settings.model_fields_set}
    told = settings.model_copy(update={"launch": str(file), **more})
    launched_by(told)
    return told


def _loaded(path: Path) -> Any:
    """The file as accelerate reads it.

    Raises:
        ConfigError: it does not.
    """
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    try:
        found = load_config_from_file(str(path))
    except Exception as error:  # it raises whatever its own code meets
        raise ConfigError(
            f"{path}: accelerate cannot read it ({type(error).__name__}: {said(error)}). Write one with "
            f"`accelerate config --config_file {path}`"
        ) from error
    if not isinstance(found, ClusterConfig):
        raise ConfigError(f"{path}: is for Amazon SageMaker; processes are started on machines that you have")
    return found
