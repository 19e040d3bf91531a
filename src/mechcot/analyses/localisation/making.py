"""Every patch between the contrast's two checkpoints: localisation/ in the study's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.both_ways import pairs_of, source_of
from mechcot.analyses.claimed import at_claims, nothing_claimed
from mechcot.analyses.localisation.design import (
    AFTER,
    BEFORE,
    DENOISE,
    MEANS,
    READS,
    SETS,
    VALUES,
    WAYS,
    Run,
    runs_of,
)
from mechcot.analyses.localisation.matched import TokenSet, described, matched_sets
from mechcot.analyses.localisation.patching import Slot, at_the_place, batches, log_odds, patched
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError, ReadingError
from mechcot.core.journal import Journal
from mechcot.core.localisation_settings import LocalisationSettings
from mechcot.core.progress import Progress
from mechcot.core.sites import layers_of
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.anatomy import Anatomy, anatomy_of, as_found, head_logits
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.devices import device_of
from mechcot.models.heads import heads_in
from mechcot.stats.directions import difference_of_means, random_directions
from mechcot.steps.hedge_places import hedge_token
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study
from mechcot.tasks import Task
from mechcot.tasks.tokens import shared_prefix

Floats = NDArray[np.float64]
FEWEST = 12
"""Slots below which nothing is looked for."""
RANDOM = 200
_TOP = 5


@dataclass(frozen=True)
class Bench:
    """What all batches share.

    Attributes:
        models: `before` and `after`.
        chosen: sets of tokens, the hedge first.
        runs: what is patched, both ways.
        batches: slots.
        heads: attention heads of a layer, where single ones are patched.
    """

    models: Mapping[str, Any]
    chosen: tuple[TokenSet, ...]
    runs: Mapping[str, tuple[Run, ...]]
    batches: tuple[tuple[Slot, ...], ...]
    heads: int = 0

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """Token ids, the hedge first."""
        return [one.tokens for one in self.chosen]

    @property
    def units(self) -> list[WorkUnit]:
        """The work: a way and a batch each."""
        return [
            WorkUnit(
                content_key(way, number, [slot.ids for slot in batch], self.sets), (way, number), len(batch)
            )
            for way in WAYS
            for number, batch in enumerate(self.batches)
        ]


def make(study: Study, task: Task, folder_of: Callable[[str], Path], work: Path, *, progress: bool) -> None:
    """Make `localisation/` of a study.

    Where states of the one cannot stand in the other, or too few claims could be hedged, `about.json` holds
    the reason.

    Args:
        study: its traces, steps, claims and readings must be there.
        task: of the study.
        folder_of: arm to the folder of its weights.
        work: work in flight; what is done is kept.
        progress: whether to draw a bar.
    """
    settings, out = study.settings.localisation, study.path / "localisation"
    assert settings is not None  # else there is no stage
    before, after = pair_of(study)
    pair = {
        role: load(study.settings.arms[arm], folder_of(arm), study.settings.device)
        for role, arm in ((BEFORE, before), (AFTER, after))
    }
    try:
        refuse_unlike(pair, (before, after))
        slots, hedge = slots_of(study, before, task, pair[BEFORE].tokenizer, settings.slots, settings.tokens)
    except AnalysisError as error:  # the rest of the study says what it can
        _write(out, [], [], [], [], {"reason": str(error)})
        return
    models = {role: checkpoint.model for role, checkpoint in pair.items()}
    bench, about = bench_of(models, slots, hedge, settings, study.settings.seed)
    about |= {"source": source_of(task), "words": [pair[BEFORE].tokenizer.decode([token]) for token in hedge]}
    units = bench.units
    with closing(Journal(work / "patches.jsonl")) as journal:
        with Progress(
            "patching", 2 * len(slots), "slot", shown=progress, done=done_of(units, journal)
        ) as bar:
            map_tasks(patch_batch, units, bench, journal=journal, bar=bar)
        done = [(unit.arguments[0], journal.results[unit.key]) for unit in units]
    values, means = tables(bench, done)
    reads = [
        row
        for arm, role in ((before, BEFORE), (after, AFTER))
        for row in reads_of(study, arm, pair[role], hedge, about["layers"])
    ]
    _write(out, values, means, set_rows(bench.chosen), reads, about)


def bench_of(
    models: Mapping[str, Any],
    slots: Sequence[Slot],
    hedge: Sequence[int],
    asked: LocalisationSettings,
    seed: int,
) -> tuple[Bench, dict[str, Any]]:
    """What is patched between two models, the sets that go the same way, and `about.json`.

    Args:
        models: `before` and `after`, of one build.
        slots: places where a claim is hedged or asserted.
        hedge: first tokens of the hedge.
        asked: how much of it.
        seed: of the sets.
    """
    cut = tuple(tuple(batch) for batch in batches(slots))
    p = np.concatenate([at_the_place(models[BEFORE], batch).exp().double().cpu().numpy() for batch in cut])
    depth = len(anatomy_of(models[BEFORE]).blocks)
    layers = layers_of(depth, asked.layers)
    heads, no_heads = reached_heads(models, layers[1:], wanted=asked.heads)
    bench = Bench(
        models,
        (described(p, hedge), *matched_sets(p, hedge, asked.sets, seed)),
        {way: runs_of(layers, asked.tokens, way, heads) for way in WAYS},
        cut,
        heads,
    )
    about = {"depth": depth, "layers": list(layers), "n_slots": len(slots), "hedge": list(hedge)}
    return bench, about | {"heads": heads, "no_heads": no_heads}


def reached_heads(models: Mapping[str, Any], layers: Sequence[int], *, wanted: bool) -> tuple[int, str]:
    """Heads of a layer that can be patched one by one, and why there are none."""
    if not wanted:
        return 0, "the settings do not ask for them (localisation.heads)"
    try:
        before, after = (heads_in(models[role], layers) for role in (BEFORE, AFTER))
    except ReadingError as error:  # all else is patched without them
        return 0, str(error)
    if before != after:
        return 0, f"one checkpoint has {before} heads a layer, the other {after}"
    return before, ""


def refuse_unlike(pair: Mapping[str, Checkpoint], names: tuple[str, str]) -> None:
    """Refuse two checkpoints whose states do not stand for one another.

    Raises:
        AnalysisError: other tokens, depth or width.
    """
    ours, theirs = (pair[role].tokenizer.get_vocab() for role in (BEFORE, AFTER))
    if ours != theirs:
        raise AnalysisError(
            f"{names[0]} and {names[1]} have other tokenizers: their states are not of the same tokens"
        )
    one, other = (anatomy_of(pair[role].model) for role in (BEFORE, AFTER))
    if (len(one.blocks), one.d_model) != (len(other.blocks), other.d_model):
        raise AnalysisError(
            f"{names[0]} has {len(one.blocks)} layers of width {one.d_model}, {names[1]} {len(other.blocks)} "
            f"of {other.d_model}: states of one cannot stand in the other"
        )


def slots_of(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int, tokens: int
) -> tuple[list[Slot], tuple[int, ...]]:
    """Places of hedges in an arm's own traces, each cut in front of the hedge, and the hedge's first tokens.

    The first of each question, hedged or not: places are chosen by what they are, not by how likely a hedge
    is there, which would choose where the two checkpoints differ (regression to the mean).

    Raises:
        AnalysisError: there are too few.
    """
    own_words = task.claim is not None and task.hedge_pair is not None
    places = (_of_claims if own_words else _of_pairs)(study, arm, task, tokenizer, most)
    found = [(qid, ids, token) for qid, ids, token in places if len(ids) >= tokens]
    if len(found) < FEWEST:
        raise AnalysisError(f"{arm}: {len(found)} claims could be hedged; at least {FEWEST} are needed")
    hedge = dict.fromkeys(token for _, _, token in found)
    return [Slot(qid, ids) for qid, ids, _ in found], tuple(hedge)


def _of_claims(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int
) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Claims that the task reads: question, tokens up to the hedge's place, and the task's own hedge."""
    questions, domain = questions_by_id(study), set(study.questions(study.settings.contrast.domain).qid)
    traces = {(row.qid, row.cid): row for row in records.rows(study.traces(arm))}
    texts = study.steps(arm).set_index(["qid", "cid", "sid"]).text.to_dict()
    taken: Counter[str] = Counter()
    for row in records.rows(study.claims(arm).sort_values(["qid", "cid", "sid"])):
        if row.qid not in domain or taken[row.qid] >= most:
            continue
        token = hedge_token(task, questions[row.qid], texts[row.qid, row.cid, row.sid], tokenizer)
        trace = traces[row.qid, row.cid]
        ids = (*trace.prompt_ids, *trace.token_ids[: row.tok_decision + 1])
        if token is not None:
            taken[row.qid] += 1
            yield row.qid, tuple(int(i) for i in ids), token


def _of_pairs(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int
) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """The same of steps that can be written with a hedge and without: up to where the two forms part."""
    for pair in pairs_of(study, arm, task, tokenizer, most)[0]:
        same = shared_prefix((pair.hedged, pair.plain))
        yield pair.row["qid"], pair.hedged[:same], pair.hedged[same]


def patch_batch(bench: Bench, unit: WorkUnit) -> dict[str, Any]:
    """Log-odds of one batch both unpatched and under every run of one way: by slot, and summed by set."""
    way, number = unit.arguments
    batch = bench.batches[number]
    donor, host = (bench.models[role] for role in ((BEFORE, AFTER) if way == DENOISE else (AFTER, BEFORE)))
    found = [log_odds(at_the_place(host, batch), bench.sets)]
    runs = patched(donor, host, batch, bench.runs[way], bench.heads)
    found += [log_odds(logp, bench.sets) for logp in runs]
    table = np.stack(found)  # [1 + runs, slots, sets]
    return {"hedge": table[:, :, 0].tolist(), "sums": table.sum(axis=1).tolist()}


def tables(
    bench: Bench, done: Sequence[tuple[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `VALUES` and of `MEANS`."""
    values, means = [], []
    order = [slot.qid for batch in bench.batches for slot in batch]
    qids, code = np.unique(order, return_inverse=True)
    counts = np.bincount(code)
    for way in WAYS:
        parts = [own for said, own in done if said == way]
        hedge = np.concatenate([np.array(own["hedge"]) for own in parts], axis=1)
        sums = np.sum([np.array(own["sums"]) for own in parts], axis=0) / len(order)
        whole = Run(AFTER if way == DENOISE else BEFORE)
        for number, run in enumerate((whole, *bench.runs[way])):
            by_question = np.bincount(code, hedge[number])
            values += [
                run.row | {"qid": str(qid), "log_odds": float(value), "n": int(n)}
                for qid, value, n in zip(qids, by_question, counts, strict=True)
            ]
            means += [run.row | {"set": at, "log_odds": float(one)} for at, one in enumerate(sums[number])]
    return values, means


def set_rows(chosen: Sequence[TokenSet]) -> list[dict[str, Any]]:
    """Rows of `SETS`."""
    return [
        {"set": at, "tokens": list(one.tokens), "logp": one.logp, "spread": one.spread, "parts": one.parts}
        for at, one in enumerate(chosen)
    ]


def reads_of(
    study: Study, arm: str, checkpoint: Checkpoint, hedge: Sequence[int], layers: Sequence[int]
) -> list[dict[str, Any]]:
    """What the arm's hedge direction says by itself at each layer, rows of `READS`.

    A direction that lies along the unembedding of the hedge is the word, read off rather than in front of it.
    """
    if nothing_claimed(study, arm):
        return []
    X, claims = at_claims(study, arm)
    kinds = claims.groupby("relation").hedged.transform(lambda own: 0 < own.sum() < len(own)).to_numpy(bool)
    if not kinds.any():
        return []
    hedged = claims.hedged.to_numpy(bool)[kinds]
    _, codes = np.unique(claims.relation.to_numpy(str)[kinds], return_inverse=True)
    anatomy, rng = anatomy_of(checkpoint.model), np.random.default_rng(study.settings.seed)
    head: Any = anatomy.head
    word = head.weight[hedge[0]].detach().double().cpu().numpy()
    found = []
    for layer in (layer for layer in layers if layer in X):
        rows = np.asarray(X[layer], dtype=np.float64)[kinds]
        direction = difference_of_means(rows, hedged[None], codes)[0]
        chance = _cosines(random_directions(rows, codes, RANDOM, rng), word)
        low, high = np.quantile(chance, [0.025, 0.975])
        cosine = float(_cosines(direction[None], word)[0])
        told = _top_tokens(anatomy, checkpoint.tokenizer, direction)
        found.append(
            {
                "arm": arm,
                "layer": layer,
                "cosine": cosine,
                "low": float(low),
                "high": float(high),
                "tokens": told,
            }
        )
    return found


def _cosines(rows: Floats, word: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(word)
    found: Floats = rows @ word / np.maximum(lengths, 1e-300)
    return found


def _top_tokens(anatomy: Anatomy, tokenizer: Any, direction: Floats) -> list[str]:
    """The tokens that a direction alone stands for, through the final norm and the head (logit lens)."""
    norm: Any = anatomy.norm
    if norm is None:
        return []
    with as_found(anatomy.decoder):
        state = torch.tensor(direction, dtype=anatomy.dtype, device=device_of(norm))[None]
        logits = head_logits(anatomy, norm(state).to(device_of(anatomy.head)))[0]
    return [tokenizer.decode([int(token)]) for token in logits.topk(_TOP).indices]


def _write(out: Path, values: Any, means: Any, sets: Any, reads: Any, about: Mapping[str, Any]) -> None:
    tables = (
        ("values", values, VALUES),
        ("means", means, MEANS),
        ("sets", sets, SETS),
        ("reads", reads, READS),
    )
    for name, rows, schema in tables:
        records.write_table(out / f"{name}.parquet", rows, schema)
    files.write_json(out / "about.json", about)
