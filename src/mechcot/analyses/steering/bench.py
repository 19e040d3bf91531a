"""Who writes under an edit, what of its own is read, and which direction it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.analyses.arms import pair_of
from mechcot.analyses.claimed import at_claims
from mechcot.analyses.steering.design import FIT, asked_of, parts_of
from mechcot.analyses.steering.passes import Place, Text
from mechcot.core import records
from mechcot.core.errors import AnalysisError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.stats.direction_forms import FORMS
from mechcot.stats.directions import has_length, random_directions
from mechcot.stats.frames import joined_groups
from mechcot.steps.hedge_places import hedge_token
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task

Floats = NDArray[np.float64]

MIN_CLASS = 20
"""Fewer hedged or asserted claims to fit on than this: no direction."""
MIN_CELL = 5
"""Fewer of either in a kind: the kind does not enter the direction."""


@dataclass(frozen=True)
class Arm:
    """Who writes, and what of its own is read.

    Attributes:
        name: of the arm.
        checkpoint: its weights and tokenizer.
        before: the arm before, which says how strange a text is; None: it has other tokens.
        prompts: question to its tokens.
        texts: traces that it wrote before, with the places of their claims.
        directions: form and layer to the direction, [d_model].
        random: layer to random ones of length 1, [draws, d_model].
    """

    name: str
    checkpoint: Checkpoint
    before: Checkpoint | None
    prompts: dict[str, tuple[int, ...]]
    texts: tuple[Text, ...]
    directions: Mapping[tuple[str, int], Floats]
    random: Mapping[int, Floats]


@dataclass(frozen=True)
class Bench:
    """What all units of the work share.

    Attributes:
        study: whose.
        task: of the study.
        questions: by id.
        every: question to its part.
        parts: the same of those that are written to.
        sampling: how texts are written.
        arms: by name.
        work: folder of work in flight.
        progress: whether to draw bars.
    """

    study: Study
    task: Task
    questions: dict[str, Question]
    every: dict[str, str]
    parts: dict[str, str]
    sampling: SamplingSettings
    arms: dict[str, Arm]
    work: Path
    progress: bool


def bench_of(
    study: Study, task: Task, folder_of: Callable[[str], Path], work: Path, *, progress: bool
) -> Bench:
    """Load both arms and fit the directions of the arm before.

    Raises:
        AnalysisError: no claims, no checker, too few hedged claims for a direction, or the arms' residual
            streams are not of one width.
    """
    settings = study.settings.steering
    assert settings is not None  # else there is no stage
    refuse(study, task)
    parts = parts_in(study)
    asked = asked_of(parts, settings)
    before, after = pair_of(study)
    X, hedged, kinds = to_fit(study, before, parts)
    directions = fitted(X, hedged, kinds)
    if not any(layer for _, layer in directions):
        raise AnalysisError(f"{before}: hedged and asserted claims do not differ in any layer that was read")
    rng = np.random.default_rng(study.settings.seed)
    random = {layer: _units(random_directions(own, kinds, settings.random, rng)) for layer, own in X.items()}
    device = study.settings.device
    loaded = {arm: load(study.settings.arms[arm], folder_of(arm), device) for arm in (before, after)}
    refuse_other_width(loaded, X, before)
    same = loaded[before].tokenizer.get_vocab() == loaded[after].tokenizer.get_vocab()
    arms = {
        arm: Arm(
            arm,
            checkpoint,
            loaded[before] if same or arm == before else None,
            _prompts(study, arm, asked),
            _texts(study, arm, asked, task, checkpoint.tokenizer, settings.samples),
            directions,
            random,
        )
        for arm, checkpoint in loaded.items()
    }
    sampling = study.settings.sampling_of(after).model_copy(update={"samples": settings.samples})
    return Bench(study, task, questions_by_id(study), parts, asked, sampling, arms, work, progress)


def parts_in(study: Study) -> dict[str, str]:
    """Which of the contrast's questions fit the direction, which choose and which report."""
    questions = study.questions(study.settings.contrast.domain)
    return parts_of(list(questions.qid), joined_groups(questions), study.settings.seed)


def refuse(study: Study, task: Task) -> None:
    """Refuse a study in which nothing would say whether a claim that is written anew is wrong.

    Raises:
        AnalysisError: the task reads no claims, has no checker, or knows no hedge.
    """
    if task.claim is None or task.check is None or task.hedge_pair is None:
        raise AnalysisError(
            f"the task {task.name} cannot check claims that are written anew, or knows no hedge; name a task "
            "with a checker of its own (docs/architecture.md)"
        )


def to_fit(
    study: Study, arm: str, parts: Mapping[str, str]
) -> tuple[dict[int, Floats], NDArray[np.bool_], NDArray[np.int64]]:
    """What an arm's hedge directions are fitted on: layer to claims [claims, d_model], hedged or not, kinds.

    Raises:
        AnalysisError: too few hedged or asserted claims.
    """
    X, claims = at_claims(study, arm)
    fit = claims.qid.map(parts).eq(FIT).to_numpy()
    cells = claims[fit].groupby("relation").hedged.agg(["sum", "size"])
    enough = cells.index[(cells["sum"] >= MIN_CELL) & (cells["size"] - cells["sum"] >= MIN_CELL)]
    used = fit & claims.relation.isin(enough).to_numpy()
    hedged = claims.hedged.to_numpy(dtype=bool)[used]
    if min(hedged.sum(), (~hedged).sum()) < MIN_CLASS:
        raise AnalysisError(
            f"{arm}: {hedged.sum()} hedged and {(~hedged).sum()} asserted claims to fit a direction on, in "
            f"kinds with {MIN_CELL} of both; at least {MIN_CLASS} of each are needed. Read more traces or "
            "ask more questions"
        )
    kinds, _ = pd.factorize(claims.relation.to_numpy()[used], sort=True)
    return {layer: np.asarray(own, dtype=np.float64)[used] for layer, own in X.items()}, hedged, kinds


def fitted(
    X: Mapping[int, Floats], hedged: NDArray[np.bool_], kinds: NDArray[np.int64]
) -> dict[tuple[str, int], Floats]:
    """Form and layer to the direction, [d_model], without those that have no length."""
    found = {(form, layer): fit(X[layer], hedged, kinds) for form, fit in FORMS.items() for layer in X}
    return {(form, layer): own for (form, layer), own in found.items() if has_length(own, X[layer])}


def refuse_other_width(loaded: Mapping[str, Checkpoint], states: Mapping[int, Floats], of: str) -> None:
    """Refuse an arm that the directions of another one do not fit.

    Args:
        loaded: arms.
        states: layer to what that other one's directions were fitted on, [claims, d_model].
        of: its name.

    Raises:
        AnalysisError: another width or depth.
    """
    from mechcot.models.anatomy import anatomy_of

    width, depth = next(iter(states.values())).shape[1], max(states)
    for arm, checkpoint in loaded.items():
        anatomy = anatomy_of(checkpoint.model)
        if anatomy.d_model != width or depth > len(anatomy.blocks):
            raise AnalysisError(
                f"{arm} has {len(anatomy.blocks)} layers of width {anatomy.d_model}; the direction of {of} "
                f"has {depth} of width {width}: it cannot be added there"
            )


def _units(rows: Floats) -> Floats:
    """Rows of length 1."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return found


def _prompts(study: Study, arm: str, asked: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    firsts = study.traces(arm).drop_duplicates("qid").set_index("qid").prompt_ids
    return {qid: tuple(int(i) for i in firsts[qid]) for qid in asked if qid in firsts.index}


def _texts(
    study: Study, arm: str, asked: Mapping[str, str], task: Task, tokenizer: Any, samples: int
) -> tuple[Text, ...]:
    """The arm's own first traces of the questions that are asked, with the places of their claims."""
    claims = records.rows_by_key(study.claims(arm), ["qid", "cid"])
    steps = study.steps(arm).set_index(["qid", "cid", "sid"]).text.to_dict()
    labels = study.verdicts(arm).set_index(["qid", "cid", "sid"]).label.to_dict()
    questions = questions_by_id(study)

    def places(trace: Any) -> tuple[Place, ...]:
        found = []
        for row in claims.get((trace.qid, trace.cid), []):
            key = (row.qid, row.cid, row.sid)
            token = hedge_token(task, questions[row.qid], steps[key], tokenizer)
            wrong = {"erroneous": 1, "correct": 0}.get(labels.get(key, ""), -1)
            if token is not None and row.tok_decision + 1 < len(trace.token_ids):
                at = int(row.tok_decision)
                found.append(Place(int(row.sid), row.relation, at, token, -1 if row.hedged else wrong))
        return tuple(found)

    return tuple(
        Text(
            trace.qid,
            int(trace.cid),
            asked[trace.qid],
            tuple(int(i) for i in trace.prompt_ids),
            tuple(int(i) for i in trace.token_ids),
            places(trace),
        )
        for trace in records.rows(study.traces(arm))
        if trace.qid in asked and trace.cid < samples and len(trace.token_ids)
    )
