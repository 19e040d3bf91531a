"""The same claims with a hedge and without, read by both arms: hedge-pairs/ in the study's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from mechcot.analyses.arms import pair_of
from mechcot.analyses.both_ways import Pair, pairs_of, source_of
from mechcot.analyses.hedge_pairs.design import BEHIND, END, PAIRS, WORD_IN, WORD_OUT, key_of
from mechcot.core import files, records
from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.anatomy import anatomy_of, as_found
from mechcot.models.calling import calling_of
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.devices import input_device
from mechcot.models.interventions import record
from mechcot.study.folder import Study
from mechcot.tasks import Task

TOKENS = 4096
"""Tokens of one pass."""
FEWEST = 20
"""Pairs below which nothing is said."""


@dataclass(frozen=True)
class Reading:
    """What all batches of one arm share.

    Attributes:
        model: of the arm.
        pairs: all of them.
        layers: that are read.
        work: folder for states of batches that are done.
    """

    model: Any
    pairs: Sequence[Pair]
    layers: Sequence[int]
    work: Path


def make(study: Study, task: Task, folder_of: Callable[[str], Path], work: Path, *, progress: bool) -> None:
    """Make `hedge-pairs/` of a study: pairs of the arm before's own steps, and both arms' states in them.

    Where there are too few, `about.json` holds the reason.

    Args:
        study: its traces and steps must be there, and the arm before's reading.
        task: of the study.
        folder_of: arm to the folder of its weights.
        work: work in flight; what is done is kept.
        progress: whether to draw bars.
    """
    out, (before, after) = study.path / "hedge-pairs", pair_of(study)
    settings = study.settings.localisation
    assert settings is not None  # else there is no stage
    first = load(study.settings.arms[before], folder_of(before), study.settings.device)
    pairs, lost = pairs_of(study, before, task, first.tokenizer, settings.slots)
    about: dict[str, Any] = {
        "lost": dict(sorted(lost.items())),
        "source": source_of(task),
    }
    if len(pairs) < FEWEST:
        about["reason"] = (
            f"{before}: {len(pairs)} claims can be written with a hedge and without; {FEWEST} are needed"
        )
        records.write_table(out / "pairs.parquet", [], PAIRS)
        files.write_json(out / "about.json", about)
        return
    # At layer 0, the embedding, the tokens that are read are the same in both texts.
    places = study.activations(before).places
    layers = [layer for site, layer in places if site == "resid_post" and layer > 0]
    about |= {"layers": layers, "no_states": {}}
    for arm in dict.fromkeys((before, after)):
        checkpoint = (
            first if arm == before else load(study.settings.arms[arm], folder_of(arm), study.settings.device)
        )
        why = _unlike(checkpoint, first, before, layers)
        if why:
            about["no_states"][arm] = why
            continue
        tensors = states_of(arm, Reading(checkpoint.model, pairs, layers, work), progress=progress)
        _save(out / f"{arm}.safetensors", tensors)
    records.write_table(out / "pairs.parquet", [one.row for one in pairs], PAIRS)
    files.write_json(out / "about.json", about)


def _unlike(checkpoint: Checkpoint, first: Checkpoint, before: str, layers: Sequence[int]) -> str:
    """Why an arm cannot read the pairs; "" if it can."""
    if checkpoint.tokenizer.get_vocab() != first.tokenizer.get_vocab():
        return f"it has other tokens than {before}, whose texts these are"
    depth = len(anatomy_of(checkpoint.model).blocks)
    return "" if max(layers) <= depth else f"it has {depth} layers, {before} was read at {max(layers)}"


def states_of(arm: str, reading: Reading, *, progress: bool) -> dict[str, NDArray[np.float32]]:
    """Hedged less plain states at every place, [pairs, d_model], and the words' own embeddings.

    The difference is taken in float32 of states in the model's dtype.
    """
    pairs = reading.pairs
    units = [
        WorkUnit(
            content_key(arm, reading.layers, [(pairs[at].hedged, pairs[at].plain) for at in batch]),
            (batch,),
            len(batch),
        )
        for batch in _batches(pairs)
    ]
    with closing(Journal(reading.work / "pairs.jsonl")) as journal:
        done = done_of(units, journal)
        with Progress(f"pairs read by {arm}", len(pairs), "pair", shown=progress, done=done) as bar:
            map_tasks(_read_batch, units, reading, journal=journal, save=_save_batch, bar=bar)
        parts = [load_file(reading.work / journal.results[unit.key]) for unit in units]
    back = np.argsort([at for unit in units for at in unit.arguments[0]])
    found = {place: np.concatenate([part[place] for part in parts])[back] for place in parts[0]}
    return found | _words(reading.model, pairs)


def _read_batch(reading: Reading, unit: WorkUnit) -> dict[str, NDArray[np.float32]]:
    """Hedged less plain states of one batch at every place."""
    own = [reading.pairs[at] for at in unit.arguments[0]]
    common = [pair.common for pair in own]
    hedged, plain = (
        _read(reading.model, [getattr(pair, form) for pair in own], common, reading.layers)
        for form in ("hedged", "plain")
    )
    return {place: (states - plain[place]).cpu().numpy() for place, states in hedged.items()}


def _save_batch(reading: Reading, unit: WorkUnit, tensors: dict[str, NDArray[np.float32]]) -> str:
    """Keep the states of one batch; the journal keeps the name of their file."""
    name = f"{unit.key}.safetensors"
    _save(reading.work / name, tensors)
    return name


def _batches(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Rows of pairs of like length together."""
    batch: list[int] = []
    for at in sorted(range(len(pairs)), key=lambda at: (len(pairs[at].hedged), at)):
        longest = max(len(pairs[at].hedged), len(pairs[at].plain))
        if batch and (len(batch) + 1) * longest > TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _read(
    model: Any, texts: Sequence[Sequence[int]], common: Sequence[int], layers: Sequence[int]
) -> dict[str, Tensor]:
    """States of some texts at both positions, [texts, d_model], float32.

    Shorter texts are filled up behind their end, which a causal model does not see.
    """
    width = max(map(len, texts))
    rows = [[*text, *([text[-1]] * (width - len(text)))] for text in texts]
    with record(model, layers=list(layers)) as kept, as_found(model):
        ids = torch.tensor(rows, device=input_device(model))
        model(input_ids=ids, **calling_of(model).known(use_cache=False, logits_to_keep=1))
    at = {
        END: [len(text) - 1 for text in texts],
        BEHIND: [len(text) - n for text, n in zip(texts, common, strict=True)],
    }
    return {
        key_of(position, layer): kept[layer][torch.arange(len(texts)), torch.tensor(index)].float()
        for layer in layers
        for position, index in at.items()
    }


def _words(model: Any, pairs: Sequence[Pair]) -> dict[str, NDArray[np.float32]]:
    """Embedding and unembedding of the words put in, less those taken out, mean over pairs, [d_model]."""
    tables = {
        WORD_IN: model.get_input_embeddings().weight,
        WORD_OUT: model.get_output_embeddings().weight,
    }
    found = {}
    for name, table in tables.items():
        total = torch.zeros(table.shape[1], dtype=torch.float64)
        for pair in pairs:
            for ids, sign in ((pair.row["hedged_ids"], 1.0), (pair.row["plain_ids"], -1.0)):
                rows = table[torch.tensor(ids, dtype=torch.long, device=table.device)]
                total += sign * rows.detach().double().cpu().sum(dim=0)
        found[name] = (total / len(pairs)).float().numpy()
    return found


def _save(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    with files.whole(path) as out:
        out.write(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
