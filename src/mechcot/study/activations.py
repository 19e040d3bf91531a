"""The store of activations, format `mechcot-activations/1`. Reading it needs neither torch nor a model.

A folder of `shard-00000.safetensors`, ... (tensors), `index.parquet` (which row of them is which step),
`tokens.parquet` (the same for the rule that keeps every token) and `meta.json`, which is written last:
without it there is no store. `docs/activations.md` has the format in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mechcot.core import files, records
from mechcot.core.errors import StudyError
from mechcot.study.manifest import (
    EVERY_TOKEN,
    FORMAT,
    INDEX,
    TOKENS,
    check_digest,
    check_size,
    checked_index,
    checked_meta,
    files_of,
)
from mechcot.study.tensor_file import TensorFile, as_float32, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

SITE = "resid_post"

Rows = Mapping[str, Any] | pd.DataFrame
"""Some rows of an index, as columns by name."""


def tensor_name(layer: int, rule: str, site: str = SITE) -> str:
    """What a tensor of activations is called: `resid_post.3@end`."""
    return f"{site}.{layer}@{rule}"


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        file: its name.
        rows: rows of each of its tensors of a step rule: steps.
        tokens: rows of each of its tensors of the rule `token`.
        bytes: its size.
        sha256: its digest.
    """

    file: str
    rows: int
    tokens: int
    bytes: int
    sha256: str


def write_shard(
    folder: Path, number: int, tensors: Mapping[str, Tensor | Sequence[Tensor]], model_digest: str = ""
) -> Shard:
    """Write one shard whole or not at all; equal tensors give equal bytes.

    Args:
        folder: the store.
        number: which shard.
        tensors: by `tensor_name`, each [rows, d_model], or pieces of it to be put one below the other.
        model_digest: digest of the reader's weights, kept in the shard: it ties it to its meta.json.
    """
    path = folder / f"shard-{number:05d}.safetensors"
    pieces: dict[str, Sequence[Tensor]] = {
        name: found if isinstance(found, list | tuple) else [cast("Tensor", found)]
        for name, found in tensors.items()
    }
    sha256 = write_tensors(path, pieces, {"model_digest": model_digest} if model_digest else {})
    rows = {name.rpartition("@")[2] == EVERY_TOKEN: sum(map(len, found)) for name, found in pieces.items()}
    return Shard(path.name, rows.get(False, 0), rows.get(True, 0), path.stat().st_size, sha256)


def finish_store(
    folder: Path,
    index: Rows | Iterable[Rows],
    shards: Sequence[Shard],
    about: Mapping[str, Any],
    tokens: Iterable[Rows] = (),
) -> None:
    """Write the index and, last, the meta data that make the shards a store.

    Args:
        folder: the store.
        index: columns as `INDEX`, in the order of steps that the store shall have; or its parts in order.
        shards: all of them in order.
        about: `reader`, `model_digest`, `sites`, `layers`, `rules`, `dtype`, `d_model`, and what else
            meta.json shall say; `places` where not all sites have all layers.
        tokens: the parts of the index of the rule `token`, columns as `TOKENS`.
    """
    meta = {
        "places": [[site, layer] for site in about["sites"] for layer in about["layers"]],
        **about,
        "format": FORMAT,
        "shards": [asdict(shard) for shard in shards],
    }
    parts = [index] if isinstance(index, Mapping | pd.DataFrame) else index
    meta["index"], meta["n_rows"] = _write_index(folder / "index.parquet", INDEX, parts)
    if EVERY_TOKEN in about["rules"]:
        meta["tokens"], meta["n_tokens"] = _write_index(folder / "tokens.parquet", TOKENS, tokens)
    files.write_json(folder / "meta.json", meta)


def _write_index(path: Path, schema: pa.Schema, parts: Iterable[Rows]) -> tuple[dict[str, Any], int]:
    rows = 0
    with records.table_writer(path, schema) as write:
        for part in parts:
            write(part)
            rows += len(part["row"])
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": files.digest(path)}, rows


class Activations:
    """A store opened for reading; a layer is memory-mapped, nothing else is touched."""

    def __init__(self, path: Path, meta: dict[str, Any], index: pd.DataFrame) -> None:
        self.path = path
        self.meta = meta
        self._index = index

    @classmethod
    def open(cls, path: str | Path, **digests: str) -> Activations:
        """Open a store.

        Checked are meta.json, that every file is there in its size, the index's digest, that its rows lie
        in the shards, and that the shards' headers say what meta.json says; the shards' digests only by
        `verify`.

        Args:
            path: the folder.
            digests: what the store is expected to be of, as meta.json calls it: `model_digest`,
                `tokenizer_digest`, `template_digest`, `steps_digest`.

        Raises:
            StudyError: no store, an unknown format, another digest, a file that is missing, of another
                size or of another model, an index whose rows do not fit the shards.
        """
        path = Path(path)
        meta = checked_meta(path / "meta.json")
        for name, expected in digests.items():
            if meta.get(name) != expected:
                raise StudyError(
                    f"{path}: holds activations of another {name.removesuffix('_digest')}: meta.json says "
                    f"{name} {meta.get(name)!r}, expected is {expected!r}; run the reading again"
                )
        for entry in files_of(meta):
            check_size(path / entry["file"], entry["bytes"])
        store = cls(path, meta, checked_index(path, meta, "index", INDEX, "rows", meta["n_rows"]))
        for number in range(len(meta["shards"])):
            store._check_shard(number)
        return store

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return (
            f"Activations({len(self)} steps, reader {self.meta['reader']!r}, sites {self.sites}, layers "
            f"{self.layers}, rules {self.rules}, {self.meta['dtype']}, d_model {self.meta['d_model']})"
        )

    @property
    def sites(self) -> list[str]:
        """The sites that are kept."""
        return list(self.meta["sites"])

    @property
    def layers(self) -> list[int]:
        """The layers that are kept, at one site at least."""
        return list(self.meta["layers"])

    @property
    def places(self) -> list[tuple[str, int]]:
        """The sites and layers that are kept."""
        return [(site, layer) for site, layer in self.meta["places"]]

    @property
    def rules(self) -> list[str]:
        """The position rules at which they are kept."""
        return list(self.meta["rules"])

    def frame(self, rule: str = "end", *, qid: str | None = None, cid: int | None = None) -> pd.DataFrame:
        """The index: what each row of `layer(site, layer, rule)` is, of all traces or of some.

        A row a step, for every rule but `token`, which has a row for each token of the completions. It joins
        with `study.steps(author)` and `study.verdicts(author)` on `qid`, `arm`, `cid` and `sid`; a study may
        keep fewer traces a question (`reading.traces_per_question`) than it has steps of.

        Args:
            rule: of position.
            qid: a question; None: all.
            cid: one of its traces; None: all.

        Raises:
            StudyError: the rule `token` was not kept, its index is damaged, or no such step is kept.
        """
        index = self._index_of(rule)
        return index[self._where(index, qid, cid)].reset_index(drop=True)

    def _where(self, index: pd.DataFrame, qid: str | None, cid: int | None) -> npt.NDArray[np.bool_]:
        """Rows of an index, [rows], of a question and trace."""
        kept = np.ones(len(index), dtype=bool)
        for name, value in (("qid", qid), ("cid", cid)):
            if value is not None:
                kept &= index[name].to_numpy() == value
        if not kept.any() and len(index):
            wanted = " and ".join(
                f"{name} {value!r}" for name, value in (("qid", qid), ("cid", cid)) if value is not None
            )
            n, samples = index["qid"].nunique(), sorted(map(int, set(index["cid"])))
            raise StudyError(
                f"{self.path}: keeps no step of {wanted}; it keeps {len(index)} rows of {n} questions, "
                f"samples {samples}. More are kept with reading.traces_per_question"
            )
        return kept

    def layer(
        self, site: str, layer: int, rule: str = "end", *, qid: str | None = None, cid: int | None = None
    ) -> npt.NDArray[np.float32]:
        """A site at one layer at every step, [steps, d_model], in the order of `frame`.

        For the rule `token` at every token, [tokens, d_model], in the order of `frame("token")`. With
        `qid` and `cid` only the rows of a question or trace, those of `frame(rule, qid=qid, cid=cid)`.

        Raises:
            StudyError: it was not kept.
        """
        if (site, layer) not in self.places or rule not in self.rules:
            raise StudyError(
                f"{self.path}: has no {tensor_name(layer, rule, site)}; it has the sites {self.sites}, "
                f"layers {self.layers}, rules {self.rules} (give a site, then a layer, then a rule)"
            )
        index, width = self._index_of(rule), self.meta["d_model"]
        if qid is not None or cid is not None:
            index = index[self._where(index, qid, cid)]
        out = np.empty((len(index), width), np.float32)
        shard, row = index["shard"].to_numpy(), index["row"].to_numpy()
        for number in range(len(self.meta["shards"])):
            here = np.flatnonzero(shard == number)
            if len(here):
                file, shape = self._headers[number], (self._rows_of(number, rule), width)
                values = file.tensor(tensor_name(layer, rule, site), self.meta["dtype"], shape)
                out[_run(here)] = as_float32(values[_run(row[here])])
        return out

    def verify(self) -> None:
        """Read every file again and compare its digest.

        Raises:
            StudyError: a file is not the one that was written.
        """
        for entry in files_of(self.meta):
            check_digest(self.path / entry["file"], entry["sha256"])

    def _index_of(self, rule: str) -> pd.DataFrame:
        return self._tokens if rule == EVERY_TOKEN else self._index

    @cached_property
    def _tokens(self) -> pd.DataFrame:
        if EVERY_TOKEN not in self.rules:
            raise StudyError(f"{self.path}: has no tokens, only the rules {self.rules}")
        return checked_index(self.path, self.meta, "tokens", TOKENS, "tokens", self.meta["n_tokens"])

    @cached_property
    def _headers(self) -> list[TensorFile]:
        return [TensorFile.open(self.path / entry["file"]) for entry in self.meta["shards"]]

    def _rows_of(self, shard: int, rule: str) -> int:
        rows: int = self.meta["shards"][shard]["tokens" if rule == EVERY_TOKEN else "rows"]
        return rows

    def _check_shard(self, number: int) -> None:
        file = self._headers[number]
        found, expected = file.metadata.get("model_digest"), self.meta["model_digest"]
        if found is not None and found != expected:
            raise StudyError(
                f"{file.path}: is of the model {found!r}, meta.json of {expected!r}: one of them belongs to "
                f"another store; run the reading again"
            )
        for rule in self.rules:
            shape = (self._rows_of(number, rule), self.meta["d_model"])
            for site, layer in self.places:
                file.expect(tensor_name(layer, rule, site), self.meta["dtype"], shape)


def _run(places: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """The same places as a slice where they lie side by side, which is copied faster."""
    first = int(places[0])
    side_by_side = np.array_equal(places, np.arange(first, first + len(places)))
    return slice(first, first + len(places)) if side_by_side else places
