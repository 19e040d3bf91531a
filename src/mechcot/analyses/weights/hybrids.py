"""Making the hybrids of a study's two checkpoints and asking each: weights/ in the study's folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcot.analyses.weights.design import (
    AFTER,
    DRIFT,
    HYBRIDS,
    OUTCOMES,
    VALUES,
    Role,
    Source,
    orders_of,
    roles_of,
)
from mechcot.analyses.weights.drift import drift
from mechcot.analyses.weights.outcomes import Asked, Distributions, asked_of, said
from mechcot.analyses.weights.prefixes import Prefix, prefixes_of
from mechcot.core import files, records
from mechcot.core.errors import ModelError
from mechcot.core.journal import Journal
from mechcot.core.plan import Expense
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, done_of, map_tasks
from mechcot.models.checkpoint import load, load_tokenizer
from mechcot.models.units import WITHOUT, Parents, hybrid, parents_of, refuse_unlike, units_of
from mechcot.models.weights import load_config
from mechcot.reading.plan import plan_reading
from mechcot.reading.reader import unreadable
from mechcot.study.folder import Study
from mechcot.tasks import Task

log = logging.getLogger("mechcot")
Folders = Callable[[str], Path]


@dataclass(frozen=True)
class Bench:
    """All that a hybrid needs.

    Attributes:
        parents: both checkpoints.
        asked: what hybrids are asked, by author.
        own: distributions of the parents before and after, by author.
    """

    parents: Parents
    asked: Mapping[str, Asked]
    own: Mapping[str, Sequence[Distributions]]


def bench_of(parents: Parents, prefixes: Mapping[str, Sequence[Prefix]], max_tokens: int | None) -> Bench:
    """Plan the passes, and ask the parents for what all hybrids are compared with."""
    asked = asked_of(parents.model, prefixes, max_tokens)
    whole: dict[str, Source] = dict.fromkeys((unit.name for unit in parents.changed), AFTER)
    own: dict[str, list[Distributions]] = {author: [] for author in asked}
    for recipe in ({}, whole):
        with hybrid(parents, recipe) as model:
            for author, one in asked.items():
                own[author].append(said(model, one)[1])
    return Bench(parents, asked, own)


def ask(bench: Bench, task: WorkUnit) -> dict[str, list[list[float | None]]]:
    """Outcomes of one hybrid by author, [prefixes][outcomes]; None where there is none."""
    recipe: dict[str, Source] = {unit: (start, share, draw) for unit, (start, share, draw) in task.arguments}
    found = {}
    with hybrid(bench.parents, recipe) as model:
        for author, asked in bench.asked.items():
            values, _ = said(model, asked, bench.own[author])
            found[author] = [[None if v != v else float(v) for v in row] for row in values]
    return found


def ask_all(
    bench: Bench, roles: Sequence[Role], journal: Journal, *, progress: bool = False
) -> dict[str, dict[str, list[list[float | None]]]]:
    """Ask the model of every role, each model once; by its key."""
    recipes = {role.hybrid: tuple(role.recipe.items()) for role in roles}
    tasks = [WorkUnit(key, recipe, 1) for key, recipe in recipes.items()]
    with Progress("hybrids", len(tasks), "model", shown=progress, done=done_of(tasks, journal)) as bar:
        map_tasks(ask, tasks, bench, journal=journal, bar=bar)
    return {key: journal.results[key] for key in recipes}


def make(study: Study, task: Task, folder_of: Folders, work: Path, *, progress: bool) -> None:
    """Make `weights/` of a study: which hybrids there are, what each says, how far parts have moved.

    Args:
        study: its traces, steps and verdicts must be there.
        task: of the study.
        folder_of: arm to the folder of its weights.
        work: work in flight; each hybrid is kept when it is done.
        progress: whether to draw a bar.

    Raises:
        ModelError: the checkpoints are not of one build, or have parts that are not known; each named.
        ReadingError: a text that the model cannot read.
        AnalysisError: too few questions.
    """
    settings = study.settings
    asked = settings.weights
    assert asked is not None  # else there is no stage
    pair = (settings.contrast.before, settings.contrast.after)
    before = load(settings.arms[pair[0]], folder_of(pair[0]), settings.device)
    after = load(settings.arms[pair[1]], folder_of(pair[1]), "cpu")  # its weights stay on the host
    refuse_other_words(before.tokenizer, after.tokenizer, pair)
    parents = parents_of(before.model, after.model, pair, settings.seed, asked.bands)
    names = [unit.name for unit in parents.changed]
    if not names:
        raise ModelError(
            f"{pair[0]} and {pair[1]} have the same weights in every tensor: there is nothing to place. "
            f"Name two checkpoints that differ. {WITHOUT}"
        )
    prefixes, excluded = prefixes_of(study, pair, task, before.tokenizer)
    prefixes, unread = _readable(before.model, prefixes)
    budget = settings.reading.max_tokens
    bench = bench_of(parents, prefixes, budget)
    roles = roles_of(names, asked, settings.seed)
    with closing(Journal(work / "hybrids.jsonl")) as journal:
        found = ask_all(bench, roles, journal, progress=progress)
    out = study.path / "weights"
    records.write_table(out / "hybrids.parquet", role_rows(roles), HYBRIDS)
    records.write_table(out / "outcomes.parquet", value_rows(found, prefixes), VALUES)
    records.write_table(out / "drift.parquet", drift(parents, prefixes, budget), DRIFT)
    told = {
        "units": {unit.name: len(unit.tensors) for unit in parents.units},
        "changed": names,
        "orders": list(orders_of(names, asked.orders, settings.seed)),
        "excluded": excluded | ({"longer than the model reads": unread} if unread else {}),
    }
    files.write_json(out / "about.json", told)


def refuse_other_words(before: Any, after: Any, names: tuple[str, str]) -> None:
    """Refuse two tokenizers whose tokens are not the same words.

    Raises:
        ModelError: another vocabulary.
    """
    ours, theirs = (dict(tokenizer.get_vocab()) for tokenizer in (before, after))
    if ours != theirs:
        word = min(word for word in {*ours, *theirs} if ours.get(word) != theirs.get(word))
        raise ModelError(
            f"{names[0]} and {names[1]} have other tokenizers: {word!r} is token {ours.get(word, 'none')} "
            f"and {theirs.get(word, 'none')}. Weights are swapped between equal vocabularies alone. "
            f"{WITHOUT}"
        )


def _readable(model: Any, prefixes: Mapping[str, list[Prefix]]) -> tuple[dict[str, list[Prefix]], int]:
    """The prefixes of questions that the model can read in both authors, and how many questions it cannot."""
    lost = {
        qid
        for part in prefixes.values()
        for which in ("question", "steps")
        for qid, _, _ in unreadable(model, [getattr(prefix, which) for prefix in part], ("end",))
    }
    kept = {
        author: [prefix for prefix in part if prefix.trace.qid not in lost]
        for author, part in prefixes.items()
    }
    return kept, len(lost)


def role_rows(roles: Sequence[Role]) -> list[dict[str, Any]]:
    """Rows of `HYBRIDS`."""
    return [
        {
            "role": role.role,
            "unit": role.unit,
            "draw": role.draw,
            "share": role.share,
            "hybrid": role.hybrid,
            "recipe": json.dumps(role.recipe),
        }
        for role in roles
    ]


def value_rows(
    found: Mapping[str, Mapping[str, list[list[float | None]]]], prefixes: Mapping[str, Sequence[Prefix]]
) -> list[dict[str, Any]]:
    """Rows of `VALUES`, from what `ask_all` found."""
    return [
        {"hybrid": key, "author": author, "qid": prefix.trace.qid, "outcome": outcome, "value": value}
        for key, authors in found.items()
        for author, rows in authors.items()
        for prefix, row in zip(prefixes[author], rows, strict=True)
        for outcome, value in zip(OUTCOMES, row, strict=True)
        if value is not None
    ]


def price(study: Study, task: Task, folder_of: Folders) -> Expense:
    """What `make` will take at most: both models are built without weights, and nothing is run.

    Raises:
        ModelError: see `make`; what only the weights tell is not seen here.
        AnalysisError: too few questions.
    """
    settings = study.settings
    asked, pair = settings.weights, (settings.contrast.before, settings.contrast.after)
    assert asked is not None  # else there is no stage
    ours, theirs = (
        load_tokenizer(folder_of(arm), trust_remote_code=settings.arms[arm].trust_remote_code) for arm in pair
    )
    refuse_other_words(ours, theirs, pair)
    model, other = (_built(folder_of(arm), trust=settings.arms[arm].trust_remote_code) for arm in pair)
    refuse_unlike(model, other, pair)
    units = [unit.name for unit in units_of(model, asked.bands)]
    prefixes, _ = prefixes_of(study, pair, task, ours)
    models = len({role.hybrid for role in roles_of(units, asked, settings.seed)})
    questions = [[prefix.question for prefix in part] for part in prefixes.values()]
    tokens = sum(plan_reading(part, 2**40).tree_tokens for part in questions)
    n = sum(map(len, questions))
    return Expense(
        "hybrids of the weights",
        models,
        "models",
        tokens_in=models * tokens,
        memory=3 * sum(value.numel() * value.element_size() for value in model.parameters()),
        note=f"{len(units)} units (those equal in both are left out), each model is asked at {n} traces "
        f"({tokens:,} tokens); activations of five models come on top; memory: a model and two sets of "
        "weights",
    )


def _built(folder: Path, *, trust: bool) -> Any:
    """The model of a checkpoint's config without numbers."""
    import torch
    from transformers import AutoModelForCausalLM

    config = load_config(folder, trust_remote_code=trust)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
    model.tie_weights()
    return model
