"""Files of tensors in the published safetensors layout, written in pieces and read by memory map.

Eight bytes with the header's length, a JSON header with each tensor's dtype, shape and byte range, the
data. Written here so that no second copy of a shard is made and its digest costs no second reading; read
here, rather than by safetensors' numpy reader, which has no bfloat16, so that a store opens without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mechcot.core import files
from mechcot.core.errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {
    "F64": ("<f8", "float64"),
    "F32": ("<f4", "float32"),
    "F16": ("<f2", "float16"),
    "BF16": ("<u2", "bfloat16"),
}
"""How the file names a dtype: how numpy reads it, how torch calls it."""


def write_tensors(
    path: Path, tensors: Mapping[str, Sequence[Tensor | npt.NDArray[Any]]], metadata: Mapping[str, str]
) -> str:
    """Write tensors whole or not at all; the file's SHA-256. Equal tensors give equal bytes.

    Args:
        path: the file.
        tensors: by name, each in pieces to be put one below the other, all of one dtype and on the CPU;
            torch's or numpy's.
        metadata: at most one entry: the order of several is not fixed by the layout.
    """
    names = {torch_name: kind for kind, (_, torch_name) in KINDS.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    first = 0
    for name in sorted(tensors):
        pieces = tensors[name]
        stop = first + sum(piece.nbytes for piece in pieces)
        header[name] = {
            "dtype": names[str(pieces[0].dtype).removeprefix("torch.")],
            "shape": [sum(len(piece) for piece in pieces), *pieces[0].shape[1:]],
            "data_offsets": [first, stop],
        }
        first = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    total = hashlib.sha256()
    with files.whole(path) as sink:
        for part in (len(text).to_bytes(8, "little"), text):
            total.update(part)
            sink.write(part)
        for piece in (piece for name in sorted(tensors) for piece in tensors[name]):
            data = _bytes(piece) if len(piece) else b""
            total.update(data)
            sink.write(data)
    return total.hexdigest()


def _bytes(piece: Any) -> Any:
    """The bytes of a tensor or array, as they are to be written."""
    if isinstance(piece, np.ndarray):
        return np.ascontiguousarray(piece).view(np.uint8)
    import torch

    return piece.contiguous().view(torch.uint8).numpy()


@dataclass(frozen=True)
class TensorFile:
    """A file of tensors whose header was read.

    Attributes:
        path: the file.
        size: its bytes.
        start: where its data begin.
        entries: by tensor name its `dtype`, `shape` and `data_offsets`, as they stand.
        metadata: what else its header says.
    """

    path: Path
    size: int
    start: int
    entries: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Read the header.

        Raises:
            StudyError: it is none.
        """
        size = path.stat().st_size
        try:
            with open(path, "rb") as source:
                start = 8 + int.from_bytes(source.read(8), "little")
                header = json.loads(source.read(min(start, size) - 8))
            return cls(path, size, start, header, header.pop("__metadata__", {}))
        except (OSError, ValueError, AttributeError) as error:
            raise StudyError(f"{path}: has no readable header; run the reading again") from error

    def expect(self, name: str, dtype: str, shape: tuple[int, int]) -> tuple[str, int]:
        """How numpy reads a tensor, and where it begins.

        Raises:
            StudyError: it is missing, or of another dtype or shape, or reaches beyond the file.
        """
        try:
            entry = self.entries[name]
            kind, found = KINDS[entry["dtype"]]
            first, stop = entry["data_offsets"]
            inside = 0 <= first <= stop <= self.size - self.start
            sound = inside and stop - first == shape[0] * shape[1] * np.dtype(kind).itemsize
            fits = tuple(entry["shape"]) == shape and found == dtype
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(f"{self.path}: has no readable tensor {name}; run the reading again") from error
        if not (sound and fits):
            raise StudyError(
                f"{self.path}: {name} is {entry['dtype']} {entry['shape']}, meta.json says {dtype} "
                f"{list(shape)}; run the reading again"
            )
        return kind, self.start + first

    def tensor(self, name: str, dtype: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
        """A tensor through a memory map; bfloat16 as unsigned integers (see `as_float32`).

        Raises:
            StudyError: see `expect`.
        """
        kind, offset = self.expect(name, dtype, shape)
        if not shape[0] * shape[1]:
            return np.empty(shape, kind)
        return np.memmap(self.path, kind, "r", offset=offset, shape=shape)


def as_float32(raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The values of a tensor of any of `KINDS`; a float32 one is not copied."""
    if raw.dtype.kind == "f":
        return raw.astype(np.float32, copy=False)
    # bfloat16 is the upper half of a float32.
    wide = raw.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)
