"""What a reading's folder costs: memory, writing, reading back."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from mechcot.reading import groups
from mechcot.reading.folder import read_to_folder
from mechcot.reading.reader import read_batch
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec
from mechcot.study.activations import Activations, Shard, finish_store, tensor_name, write_shard
from reading_measure import Options, Result, apart, peak, race
from reading_texts import ORGANISM, Text, Work, make_work

ROWS, WIDTH, LAYERS = 2**15, 768, 3
"""The store that is read back, in two shards."""
WRITINGS = 3
"""Whole readings of which the share of writing is the median, at most."""


def store_costs(options: Options) -> Result:
    """Peak memory by traces a question, the share of writing, a layer against a memory map's copy."""
    result = Result()
    # From where one shard is written while the next is read; below that, less is held at once.
    for traces in (96, 192):
        result.megabytes[f"{traces} traces a question"] = apart(_folder_peak, options, traces)
    few, *_, many = result.megabytes.values()
    result.ratios["peak_growth"] = many / few
    work = make_work(options.shape, Text())
    rounds = min(options.rounds, WRITINGS)
    result.ratios["writing_share"] = statistics.median(_writing_share(work) for _ in range(rounds))
    with tempfile.TemporaryDirectory() as name:
        store = _big_store(Path(name))

        def agree(outputs: dict[str, Any]) -> None:
            if not np.array_equal(outputs["layer"], outputs["memory map"]):
                raise SystemExit("a layer read back differs from the memory map")

        sides = {"layer": {"": lambda: store.layer("resid_post", 1)}, "memory map": {"": _copy(store, 1)}}
        seconds = race(sides, 10 * options.rounds, agree, options)
    result.seconds |= seconds
    for side, taken in seconds.items():
        result.sizes[f"GB/s, {side}"] = round(4 * ROWS * WIDTH / taken / 1e9, 2)
    result.ratios["layer_over_memmap"] = seconds["layer"] / seconds["memory map"]
    return result


def _read_to_folder(work: Work, out: Path) -> None:
    read_to_folder(
        Reader(work.model, "random", "none"),
        work.questions,
        ReadingSpec(rules=("end",)),
        ReadingFolder(out / "out", out / "work"),
        check=False,
        progress=False,
    )


def _folder_peak(options: Options, traces: int) -> float:
    """Memory of reading 4 questions into a folder; 12 traces of each fill a shard, 24 two at a time."""
    torch.set_num_threads(1)
    text = Text(prompt=48, traces=traces, steps=16, lead=4, questions=4)
    work = make_work(ORGANISM, text)
    with tempfile.TemporaryDirectory() as name:
        return peak(lambda: _read_to_folder(work, Path(name)))


def _writing_share(work: Work) -> float:
    """Seconds of a whole reading outside its batches, as a share of those inside."""
    inside = 0.0

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal inside
        started = time.perf_counter()
        batch = read_batch(*given, **named)
        inside += time.perf_counter() - started
        return batch

    with patch.object(groups, "read_batch", timed), tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        _read_to_folder(work, Path(name))
        whole = time.perf_counter() - started
    return (whole - inside) / inside


def _big_store(path: Path) -> Activations:
    generator = torch.Generator().manual_seed(0)
    shards: list[Shard] = []
    for number in range(2):
        names = [tensor_name(layer, "end") for layer in range(LAYERS)]
        tensors = {name: torch.randn(ROWS // 2, WIDTH, generator=generator) for name in names}
        shards.append(write_shard(path, number, tensors))
    step = np.arange(ROWS)
    index = pd.DataFrame({"qid": "q", "arm": "a", "cid": 0, "sid": step})
    index["shard"], index["row"] = step // (ROWS // 2), step % (ROWS // 2)
    about: dict[str, Any] = {
        "reader": "random",
        "model_digest": "none",
        "sites": ["resid_post"],
        "rules": ["end"],
    }
    about |= {"layers": list(range(LAYERS)), "dtype": "float32", "d_model": WIDTH, "packing": {}}
    finish_store(path, index, shards, about)
    return Activations.open(path)


def _copy(store: Activations, layer: int) -> Callable[[], Any]:
    """The same bytes out of plain memory maps, whose offsets are found beforehand."""
    places = []
    for entry in store.meta["shards"]:
        head = (store.path / entry["file"]).read_bytes()
        size = int.from_bytes(head[:8], "little")
        offset = 8 + size + json.loads(head[8 : 8 + size])[tensor_name(layer, "end")]["data_offsets"][0]
        places.append((store.path / entry["file"], offset, entry["rows"]))

    def run() -> Any:
        out, first = np.empty((ROWS, WIDTH), np.float32), 0
        for file, offset, rows in places:
            out[first : first + rows] = np.memmap(file, "<f4", "r", offset=offset, shape=(rows, WIDTH))
            first += rows
        return out

    return run
