"""Reading every arm for its sub-steps, and swapping what is said: sub-steps/ in the study's folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.analyses.sub_steps.decoding import (
    Floats,
    Read,
    Values,
    read_values,
    told_apart,
    values_of,
)
from mechcot.analyses.sub_steps.design import (
    ANSWER,
    BEYOND,
    BEYOND_WORDS,
    BY_ANSWER,
    DECODED,
    DEPTH,
    OWN,
    PLACES,
    SLOT,
    SWAPS,
    UNTRAINED,
    WORDS,
    WRONG,
    Case,
    cases_of,
    names_of,
    right_before,
)
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.sites import layers_of
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.anatomy import anatomy_of, as_found
from mechcot.models.calling import calling_of
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.devices import input_device
from mechcot.models.interventions import record
from mechcot.models.weights import untrained_model
from mechcot.steps.of_study import contrast_questions, task_of
from mechcot.study.folder import Study
from mechcot.tasks import Task, render_prompt
from mechcot.tasks.base import Value, Verifiable
from mechcot.tasks.render import before_answer, forced_ids
from mechcot.tasks.tokens import following, shared_prefix
from mechcot.tasks.verifiable import readable

TOKENS = 4096
"""Tokens of one pass."""
Ids = tuple[int, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """What a model is read behind.

    Attributes:
        ids: its tokens.
        options: tokens of each option and its end that may follow; empty where no answer is due.
    """

    ids: Ids
    options: tuple[Ids, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What all arms share.

    Attributes:
        study: whose arms they are.
        folder_of: arm to the folder of its weights.
        cases: questions with values that compete.
    """

    study: Study
    folder_of: Callable[[str], Path]
    cases: tuple[Case, ...]


def make(study: Study, folder_of: Callable[[str], Path], work: Path, *, progress: bool) -> None:
    """Make `sub-steps/`: how the right values fare in every arm with weights, and what swapping them does.

    Where there is nothing to read, `about.json` holds the reason.
    """
    settings = study.settings
    assert settings.traces is not None  # else there is no stage
    task = task_of(study).verifiable
    assert task is not None  # by Settings' own validation
    folder = study.path / "sub-steps"
    questions, _ = readable(task, contrast_questions(study))
    cases, left = cases_of(task, [*questions.values()], settings.traces.inside, settings.seed)
    about: dict[str, Any] = {
        "n_questions": len(cases),
        "n_left_out": left,
        "n_entities": len({one.entity for one in cases}),
    }
    arms = [name for name, arm in settings.arms.items() if arm.traces is None]
    units = [WorkUnit(content_key(arm), (arm,), 1) for arm in arms]
    decoded: list[Row] = []
    swaps: list[Row] = []
    try:
        bench = Bench(study, folder_of, tuple(cases))
        with closing(Journal(work / "sub-steps.jsonl")) as journal:
            with Progress(
                "sub-steps", len(units), "arm", shown=progress, done=done_of(units, journal)
            ) as bar:
                map_tasks(_arm, units, bench, journal=journal, bar=bar)
            for unit in units:
                decoded += journal.results[unit.key]["decoded"]
                swaps += journal.results[unit.key]["swaps"]
    except AnalysisError as error:  # the rest of the study says what it can
        decoded, swaps, about = [], [], {**about, "reason": str(error)}
    records.write_table(folder / "decoded.parquet", decoded, DECODED)
    records.write_table(folder / "swaps.parquet", swaps, SWAPS)
    files.write_json(folder / "about.json", about)


def _arm(bench: Bench, unit: WorkUnit) -> dict[str, list[Row]]:
    (arm,) = unit.arguments
    settings = bench.study.settings
    own = settings.arms[arm]
    checkpoint = load(own, bench.folder_of(arm), settings.device)
    config = checkpoint.model.config
    fresh = untrained_model(config, settings.seed, settings.device, own.trust_remote_code)
    decoded, swaps = look(checkpoint, fresh, task_of(bench.study, arm), bench.cases, settings.seed)
    return {
        "decoded": [{"arm": arm, **row} for row in decoded],
        "swaps": [{"arm": arm, **row} for row in swaps],
    }


# --- one arm ----------------------------------------------------------------------------------------


def look(
    checkpoint: Checkpoint, untrained: Any, task: Task, cases: Sequence[Case], seed: int
) -> tuple[list[Row], list[Row]]:
    """Rows of `DECODED` and `SWAPS` of one arm, but for its name.

    Args:
        checkpoint: of the arm.
        untrained: a model of its architecture with fresh weights.
        task: as it is put to this arm.
        cases: what is asked.
        seed: of folds and draws.

    Raises:
        AnalysisError: too few entities.
    """
    assert task.verifiable is not None
    if not cases:
        raise AnalysisError("no question has wrong values that lead to other answers")
    layers = layers_of(len(anatomy_of(checkpoint.model).blocks), DEPTH)
    decoded: list[Row] = []
    names = names_of(cases[0])
    qid, entity = [case.question.qid for case in cases], [case.entity for case in cases]
    values: dict[str, Values] = {}
    apart: dict[str, Values] = {}
    answers = _codes(
        checkpoint, [[(case.question.options[c.answer],) for c in case.choices] for case in cases]
    )
    for name in names:
        called = [[choice.values[name] for choice in case.choices] for case in cases]
        codes = _codes(checkpoint, called)
        values[name] = values_of(codes, called)
        if name != names[-1]:
            apart[name], told = told_apart(codes, answers, called, qid, entity, seed=seed)
            decoded += _rows(told, cases, name, "", BY_ANSWER)
    for place in PLACES:
        shared = None if place == SLOT else _texts(checkpoint, task, cases, place, names[0])
        seen = None if shared is None else _seen(checkpoint.model, untrained, shared, layers)
        for name in names:
            texts = shared or _texts(checkpoint, task, cases, place, name)
            states = seen or _seen(checkpoint.model, untrained, texts, layers)
            sources = [(source, states[source], values[name]) for source in (OWN, UNTRAINED, WORDS)]
            if name in apart:
                sources += [(BEYOND, states[OWN], apart[name]), (BEYOND_WORDS, states[WORDS], apart[name])]
            for source, state, own in sources:
                found = read_values(
                    state,
                    own,
                    qid,
                    entity,
                    said=place == WRONG,
                    seed=seed,
                )
                decoded += _rows(found, cases, name, place, source)
    swaps = [row for name in names for row in swaps_of(checkpoint, task, cases, name, seed)]
    return decoded, swaps


def _codes(checkpoint: Checkpoint, values: Sequence[Sequence[Value]]) -> list[list[Floats]]:
    return [[_code(checkpoint, value) for value in own] for own in values]


def _code(checkpoint: Checkpoint, value: Value) -> Floats:
    """What a value means to the model: the mean of its tokens' rows in the unembedding."""
    model: Any = checkpoint.model
    table = model.get_output_embeddings().weight
    ids = [i for text in value for i in following(checkpoint.tokenizer, text)]
    own = table[torch.tensor(ids, device=table.device)]
    found: Floats = own.detach().double().mean(dim=0).cpu().numpy()
    return found


def _texts(checkpoint: Checkpoint, task: Task, cases: Sequence[Case], place: str, name: str) -> list[Text]:
    """What stands before a place in each question; `SLOT` is that of the sub-step named."""
    assert task.verifiable is not None
    found = []
    for case in cases:
        if place in (ANSWER, WRONG):
            trace = "" if place == ANSWER else task.verifiable.render(case.question, case.choices[1].values)
            found.append(_forcing(checkpoint, task, case, trace))
            continue
        start = tuple(render_prompt(case.question, task.format, checkpoint.tokenizer)[1])
        if place == SLOT:
            start += _slot(checkpoint.tokenizer, task.verifiable, case, name)
        found.append(Text(start))
    return found


def _slot(tokenizer: Any, task: Verifiable, case: Case, name: str) -> Ids:
    """What a trace says before a sub-step, those before it right: as far as all its values share."""
    before = right_before(case, name)
    rows = [
        following(tokenizer, task.render(case.question, {**before, name: choice.values[name]}))
        for choice in case.choices
    ]
    return tuple(rows[0][: shared_prefix(rows)])


def _seen(
    model: Any, untrained: Any, texts: Sequence[Text], layers: Sequence[int]
) -> dict[str, Mapping[int, Floats]]:
    """What values are read from, by source."""
    ids = [text.ids for text in texts]
    return {
        OWN: last_states(model, ids, layers),
        UNTRAINED: last_states(untrained, ids, layers),
        WORDS: _words(ids),
    }


def _words(texts: Sequence[Ids]) -> dict[int, Floats]:
    """How often each token stands in each text, at layer 0."""
    columns = {token: i for i, token in enumerate(sorted({token for text in texts for token in text}))}
    counts = np.zeros((len(texts), len(columns)))
    for row, text in enumerate(texts):
        np.add.at(counts[row], [columns[token] for token in text], 1.0)
    return {0: counts}


def _rows(found: Read, cases: Sequence[Case], name: str, place: str, source: str) -> Iterator[Row]:
    for draw in range(len(found.beats)):
        for i, case in enumerate(cases):
            yield {
                "sub_step": name,
                "place": place,
                "source": source,
                "draw": draw,
                "qid": case.question.qid,
                "layer": int(found.layer[draw, i]),
                "beats": float(found.beats[draw, i]),
                "beats_said": float(found.beats_said[draw, i]),
            }


# --- swaps ------------------------------------------------------------------------------------------


def swaps_of(
    checkpoint: Checkpoint, task: Task, cases: Sequence[Case], name: str, seed: int
) -> Iterator[Row]:
    """Rows of `SWAPS` of one arm and sub-step, but for the arm's name.

    Sub-steps before it are right, those behind it are not written. The third value is the right one of a
    question about another entity.

    Args:
        checkpoint: of the arm.
        task: as it is put to this arm.
        cases: what is asked.
        name: of the sub-step.
        seed: of the draws of third values.
    """
    rng = random.Random(f"swaps {seed} {name}")
    thirds = []
    for case in cases:
        own = {choice.values[name] for choice in case.choices}
        others = [one.choices[0].values[name] for one in cases if one.entity != case.entity]
        thirds.append(rng.choice([value for value in others if value not in own] or others))
    said = (
        [case.choices[0].values[name] for case in cases],
        [case.choices[-1].values[name] for case in cases],
        thirds,
    )
    texts = [
        [_behind(checkpoint, task, case, value, name) for case, value in zip(cases, values, strict=True)]
        for values in said
    ]
    logp = [forced(checkpoint.model, own) for own in texts]
    for i, case in enumerate(cases):
        right, other = case.choices[0].answer, case.choices[-1].answer
        yield {
            "sub_step": name,
            "qid": case.question.qid,
            **{
                what: float(one[i][other] - one[i][right])
                for what, one in zip(("right", "other", "third"), logp, strict=True)
            },
            **{
                what: float(int(np.argmax(one[i])) == other)
                for what, one in zip(("follows", "follows_third"), logp[1:], strict=True)
            },
        }


def _behind(checkpoint: Checkpoint, task: Task, case: Case, value: Value, name: str) -> Text:
    """The words that force an answer behind a trace that ends with a value of a sub-step."""
    assert task.verifiable is not None
    trace = task.verifiable.render(case.question, {**right_before(case, name), name: value})
    return _forcing(checkpoint, task, case, trace)


def _forcing(checkpoint: Checkpoint, task: Task, case: Case, trace: str) -> Text:
    start = render_prompt(case.question, task.format, checkpoint.tokenizer)[1]
    ids, options = forced_ids(
        case.question, before_answer(trace, task.format), task.format, checkpoint.tokenizer
    )
    return Text((*start, *ids), options)


# --- passes -----------------------------------------------------------------------------------------


def last_states(model: Any, texts: Sequence[Ids], layers: Sequence[int]) -> dict[int, Floats]:
    """States of the residual stream at each text's last token, [texts, d_model] a layer."""
    decoder = anatomy_of(model).decoder  # no logits are needed
    out = {layer: np.zeros((len(texts), anatomy_of(model).d_model)) for layer in layers}
    for batch in _batches([len(text) for text in texts]):
        rows = [texts[i] for i in batch]
        with record(model, layers=layers) as kept:
            _run(decoder, rows)
        last = torch.tensor([len(row) - 1 for row in rows])
        for layer in layers:
            own = kept[layer]
            out[layer][batch] = own[torch.arange(len(rows)), last.to(own.device)].double().cpu().numpy()
    return out


def forced(model: Any, texts: Sequence[Text]) -> list[Floats]:
    """Log-probabilities of each text's options with their ends, nats."""
    rows = [(i, j) for i, text in enumerate(texts) for j in range(len(text.options))]
    out = [np.zeros(len(text.options)) for text in texts]
    for batch in _batches([len(texts[i].ids) + len(texts[i].options[j]) for i, j in rows]):
        own = [rows[n] for n in batch]
        full = [(*texts[i].ids, *texts[i].options[j]) for i, j in own]
        logits = _run(model, full).logits
        for n, (i, j) in enumerate(own):
            logp = logits[n, len(texts[i].ids) - 1 : len(full[n]) - 1].float().log_softmax(-1)
            ids = torch.tensor(texts[i].options[j], device=logp.device)
            out[i][j] = float(logp.gather(1, ids[:, None]).double().sum())
    return out


def _run(model: Any, rows: Sequence[Ids]) -> Any:
    """A pass; shorter texts are filled up behind their end, which a causal model does not see."""
    width = max(map(len, rows))
    filled = torch.tensor(
        [[*row, *([row[-1]] * (width - len(row)))] for row in rows], device=input_device(model)
    )
    with as_found(model):
        return model(input_ids=filled, **calling_of(model).known(use_cache=False))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of like length together."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[i] > TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
