"""The store of activations, format `mechcot-activations/1`. Reading it needs neither torch nor a model.

A folder with three kinds of files:

- `shard-00000.safetensors`, ...: one tensor for each site, layer and position rule, named
  `resid_post.3@end`, each [rows, d_model]; all tensors of a shard have the same rows. float32,
  float16 or bfloat16, as the model computed them.
- `index.parquet`: one row a step with `qid`, `arm`, `cid`, `sid`, `shard` (which shard, counted
  from 0) and `row` (which row of its tensors). Its order is the store's order of steps.
- `meta.json`: `format`, `reader`, `model_digest`, `sites`, `layers`, `rules`, `dtype`, `d_model`,
  `n_rows`, `shards` (a list of `file`, `rows`, `bytes`, `sha256`), `index` (`file`, `bytes`,
  `sha256`), and `packing`, which is information only. Written last: without it there is no store.

Layer 0 is the residual stream after the embedding, layer l the one after block l, before the
final norm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mechcot import files, records
from mechcot.errors import DataError, StudyError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "mechcot-activations/1"
SITE = "resid_post"
INDEX = pa.schema(
    [
        ("qid", pa.string()),
        ("arm", pa.string()),
        ("cid", pa.int32()),
        ("sid", pa.int32()),
        ("shard", pa.int32()),
        ("row", pa.int32()),
    ]
)

_WIDTHS = {"F32": ("<f4", "float32"), "F16": ("<f2", "float16"), "BF16": ("<u2", "bfloat16")}


def tensor_name(layer: int, rule: str, site: str = SITE) -> str:
    """What a tensor of activations is called: `resid_post.3@end`."""
    return f"{site}.{layer}@{rule}"


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        file: its name.
        rows: rows of each of its tensors.
        bytes: its size.
        sha256: its digest.
    """

    file: str
    rows: int
    bytes: int
    sha256: str


def write_shard(folder: Path, number: int, tensors: Mapping[str, Tensor]) -> Shard:
    """Write one shard whole or not at all; equal tensors give equal bytes.

    Args:
        folder: the store.
        number: which shard.
        tensors: by `tensor_name`, each [rows, d_model].
    """
    from safetensors.torch import save

    path = folder / f"shard-{number:05d}.safetensors"
    with files.whole(path) as sink:
        sink.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    rows = next(iter(tensors.values())).shape[0]
    return Shard(path.name, rows, path.stat().st_size, files.digest(path))


def finish_store(
    folder: Path, index: pd.DataFrame, shards: Sequence[Shard], about: Mapping[str, Any]
) -> None:
    """Write the index and, last, the meta data that make the shards a store.

    Args:
        folder: the store.
        index: columns as `INDEX`, in the order of steps that the store shall have.
        shards: all of them in order.
        about: `reader`, `model_digest`, `sites`, `layers`, `rules`, `dtype`, `d_model`, `packing`.
    """
    path = folder / "index.parquet"
    records.write_table(path, index, INDEX)
    meta = {
        **about,
        "format": FORMAT,
        "n_rows": len(index),
        "shards": [asdict(shard) for shard in shards],
        "index": {"file": path.name, "bytes": path.stat().st_size, "sha256": files.digest(path)},
    }
    files.write_json(folder / "meta.json", meta)


class Activations:
    """A store opened for reading; a layer is memory-mapped, nothing else is touched."""

    def __init__(self, path: Path, meta: dict[str, Any], index: pd.DataFrame) -> None:
        self.path = path
        self.meta = meta
        self._index = index

    @classmethod
    def open(cls, path: str | Path) -> Activations:
        """Open a store; sizes are checked, digests only by `verify`.

        Raises:
            StudyError: no store, an unknown format, a file that is missing or of another size.
        """
        path = Path(path)
        if not (path / "meta.json").exists():
            raise StudyError(f"{path / 'meta.json'}: does not exist, so there are no activations to open")
        try:
            meta = files.read_json(path / "meta.json")
        except DataError as error:
            raise StudyError(str(error)) from error
        found = meta.get("format") if isinstance(meta, dict) else None
        if found != FORMAT:
            raise StudyError(f"{path / 'meta.json'}: expected the format {FORMAT!r}, found {found!r}")
        for entry in [*meta["shards"], meta["index"]]:
            file = path / entry["file"]
            if not file.exists():
                raise StudyError(f"{file}: is missing; run the reading again")
            if file.stat().st_size != entry["bytes"]:
                raise StudyError(
                    f"{file}: has {file.stat().st_size} bytes, {entry['bytes']} were written; run the "
                    f"reading again"
                )
        try:
            index = records.read_table(path / meta["index"]["file"], INDEX)
        except DataError as error:
            raise StudyError(str(error)) from error
        if len(index) != meta["n_rows"]:
            raise StudyError(
                f"{path / 'index.parquet'}: has {len(index)} rows, meta.json says {meta['n_rows']}"
            )
        return cls(path, meta, index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return (
            f"Activations({len(self)} steps, reader {self.meta['reader']!r}, layers {self.layers}, "
            f"rules {self.rules}, {self.meta['dtype']}, d_model {self.meta['d_model']})"
        )

    @property
    def layers(self) -> list[int]:
        """The layers that are kept."""
        return list(self.meta["layers"])

    @property
    def rules(self) -> list[str]:
        """The position rules at which they are kept."""
        return list(self.meta["rules"])

    def frame(self) -> pd.DataFrame:
        """The index: a row a step, in the order of the rows of `layer`."""
        return self._index.copy()

    def layer(self, layer: int, rule: str = "end", site: str = SITE) -> npt.NDArray[np.float32]:
        """One layer at every step, [steps, d_model], in the order of `frame`.

        Raises:
            StudyError: it was not kept, or a shard does not hold what meta.json says.
        """
        if layer not in self.layers or rule not in self.rules or site not in self.meta["sites"]:
            raise StudyError(
                f"{self.path}: has no {tensor_name(layer, rule, site)}; it has the sites "
                f"{self.meta['sites']}, layers {self.layers}, rules {self.rules}"
            )
        out = np.empty((len(self), self.meta["d_model"]), np.float32)
        shard, row = self._index["shard"].to_numpy(), self._index["row"].to_numpy()
        for number, entry in enumerate(self.meta["shards"]):
            here = np.flatnonzero(shard == number)
            if len(here):
                values = _tensor(self.path / entry["file"], tensor_name(layer, rule, site), self.meta, entry)
                out[here] = values[row[here]]
        return out

    def verify(self) -> None:
        """Read every file again and compare its digest.

        Raises:
            StudyError: a file is not the one that was written.
        """
        for entry in [*self.meta["shards"], self.meta["index"]]:
            file = self.path / entry["file"]
            if files.digest(file) != entry["sha256"]:
                raise StudyError(
                    f"{file}: is damaged or foreign (its SHA-256 differs); run the reading again"
                )


def _tensor(
    path: Path, name: str, meta: Mapping[str, Any], shard: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """One tensor of a safetensors file as float32, through a memory map.

    The layout is the published one: eight bytes with the header's length, a JSON header with each
    tensor's dtype, shape and byte range, the data. Read here rather than by safetensors' numpy
    reader, which has no bfloat16, so that a store opens without torch.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as source:
            start = 8 + int.from_bytes(source.read(8), "little")
            entry = json.loads(source.read(min(start, size) - 8))[name]
        kind, dtype = _WIDTHS[entry["dtype"]]
        first, stop = entry["data_offsets"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path}: has no readable tensor {name}; run the reading again") from error
    shape = (shard["rows"], meta["d_model"])
    item = np.dtype(kind).itemsize
    sound = 0 <= first <= stop <= size - start and stop - first == shape[0] * shape[1] * item
    if tuple(entry["shape"]) != shape or dtype != meta["dtype"] or not sound:
        raise StudyError(
            f"{path}: {name} is {entry['dtype']} {entry['shape']}, meta.json says {meta['dtype']} "
            f"{list(shape)}; run the reading again"
        )
    if not shape[0]:
        return np.empty(shape, np.float32)
    raw = np.memmap(path, kind, "r", offset=start + first, shape=shape)
    if dtype != "bfloat16":
        return np.asarray(raw).astype(np.float32, copy=False)
    # bfloat16 is the upper half of a float32.
    return (raw.astype(np.uint32) << 16).view(np.float32)
