"""Ablating a probe's direction: what changes in what the model says of the same texts.

A probe that reads a quantity need not be what the model uses. Here the component along the probe's
direction is taken out of the residual stream after one layer, at every position, and the reader reads
the traces again (teacher-forced). What changes is compared with random directions that take out equally
much: each is drawn as M^a g with g standard normal, M the mean of h h' over the traces' tokens, and `a`
such that the mean square of h's component along it is the probe direction's. Without that, a direction in
which the stream is large does more than a random one whatever it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from mechcot.core.errors import AnalysisError, UsageError
from mechcot.core.progress import Progress
from mechcot.core.records import TRACE_KEY
from mechcot.probe.ablation_result import MEASURES, AblationMeasure, AblationResult
from mechcot.stats import ratio_interval

if TYPE_CHECKING:
    from mechcot.reading.batch import TraceReading
    from mechcot.reading.inputs import QuestionInput

FloatArray = NDArray[np.float64]
TraceKey = tuple[str, str, int]

MIN_RANDOM = 20
"""Fewer random directions could not give a p-value under 0.05."""

_POWERS = (-32.0, 32.0)  # of M: from the smallest component that there is to the largest
_FLOOR = 1e-6  # of M's eigenvalues, as a share of the largest


def own_answers(traces: pd.DataFrame, steps: pd.DataFrame) -> dict[TraceKey, tuple[int, int]]:
    """Where to force each trace's own answer: after how many steps, and which option.

    It is forced after the last step before the first that states the answer; traces without an answer are
    left out.

    Args:
        traces: rows of `records.TRACES`.
        steps: rows of `records.STEPS`.
    """
    stated = {
        key: int(np.argmax(flags)) if flags.any() else len(flags)
        for key, part in steps.sort_values("sid").groupby(TRACE_KEY, sort=False)
        for flags in [part["states_answer"].to_numpy(dtype=bool)]
    }
    rows = zip(*(traces[name] for name in (*TRACE_KEY, "answer")), strict=True)
    found = {}
    for qid, arm, cid, answer in rows:
        key = (qid, arm, int(cid))
        if answer >= 0 and key in stated:
            found[key] = (stated[key], int(answer))
    return found


@dataclass(frozen=True, eq=False)
class Rereading:
    """What is read again with a direction ablated.

    Attributes:
        model: the reader, a Hugging Face causal language model.
        questions: what to read; other orders of the options are left out, knock-outs are not run.
        layer: whose `resid_post` the probe reads; 0 is the embedding.
        answers: `own_answers`; without them `own_answer` has no items.
        max_tokens: budget of a forward pass.

    Raises:
        AnalysisError: no traces; an answer that its question or trace does not have.
    """

    model: Any
    questions: Sequence[QuestionInput]
    layer: int
    answers: Mapping[TraceKey, tuple[int, int]] = field(default_factory=dict)
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        own = [
            replace(q, prior_ids=(), traces=tuple(replace(t, knock_outs=()) for t in q.traces))
            for q in self.questions
            if not q.permutation and q.traces
        ]
        if not own:
            raise AnalysisError(
                "there is no trace to read: give questions with traces, in their own order of options"
            )
        for question in own:
            for trace in question.traces:
                k, option = self.answers.get((trace.qid, trace.arm, trace.cid), (0, 0))
                n_options, n_steps = question.n_options, len(trace.steps)
                if not 0 <= k <= n_steps or not 0 <= option < max(n_options, 1):
                    raise AnalysisError(
                        f"{trace.name}: option {option} after {k} steps is not there; it has {n_options} "
                        f"options and {n_steps} steps"
                    )
        object.__setattr__(self, "questions", own)


def ablation(
    given: Rereading,
    direction: ArrayLike,
    *,
    n_random: int = MIN_RANDOM,
    draws: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> AblationResult:
    """Read traces with a direction ablated, and with random directions that take out as much.

    The length of a direction plays no part. The model is as before afterwards. This takes
    2 + `n_random` readings.

    Args:
        given: model, questions and layer.
        direction: in the units of the activations, [d_model]; of a probe its coefficients.
        n_random: random directions, at least `MIN_RANDOM`.
        draws: bootstrap replicates.
        seed: of random directions and bootstrap.
        progress: whether to draw a bar.

    Raises:
        AnalysisError: a direction that is 0, not finite or of another shape than the stream.
        ReadingError: a layer that the model has not, or what it cannot read.
        UsageError: too few random directions.
    """
    if n_random < MIN_RANDOM:
        raise UsageError(f"n_random must be at least {MIN_RANDOM}, not {n_random}: p could not go below 0.05")
    bare, moment = _read(given, moments=True)
    vector = _unit(direction, len(moment))
    drawn = _matched(moment, vector, n_random, np.random.default_rng(seed))
    vectors = [vector, *drawn]
    with Progress("ablation", len(vectors), "reading", shown=progress) as bar:
        edited, *others = [_read_without(u, given, bare) for u in bar.over(vectors)]
    total = float(np.trace(moment))
    traces = [(t.qid, t.arm, t.cid) for q in given.questions for t in q.traces]
    return AblationResult(
        layer=given.layer,
        measures={name: _measure(name, bare, edited, others) for name in MEASURES},
        energy=float(vector @ moment @ vector) / total,
        random_energy=tuple(float(u @ moment @ u) / total for u in drawn),
        n_random=n_random,
        n_traces=len(traces),
        n_no_answer=sum(key not in given.answers for key in traces),
        n_questions=len(given.questions),
        draws=draws,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """One reading: sums and counts over each question's items, and what the forced answers were."""

    sums: dict[str, FloatArray]  # of each measure, [questions]
    counts: dict[str, FloatArray]  # [questions]
    forced: dict[TraceKey, FloatArray]  # probabilities, k = 0 first, [steps + 1, lead-ins, options]


def _unit(direction: ArrayLike, width: int) -> FloatArray:
    vector = np.asarray(direction, dtype=np.float64)
    if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
        raise AnalysisError(
            f"the direction must be [{width}] finite numbers, not all 0; got {list(vector.shape)}"
        )
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def _read_without(vector: FloatArray, given: Rereading, bare: _Read) -> _Read:
    """Read with a direction ablated; the forced answers' distance is that to the bare reading."""
    from mechcot.models.interventions import ablate

    with ablate(given.model, vector, layers=[given.layer]):
        found, _ = _read(given, moments=False)
    number = {question.qid: i for i, question in enumerate(given.questions)}
    for key, p in found.forced.items():
        distance = np.abs(p - bare.forced[key])[1:].sum(axis=2) / 2  # [steps, lead-ins]
        if distance.size:
            found.sums["forced_shift"][number[key[0]]] += distance.mean(axis=1).sum()
    return found


def _read(given: Rereading, *, moments: bool) -> tuple[_Read, FloatArray]:
    """Read once, as the model now is; with `moments` also the mean of h h' over tokens, [d_model, d_model].

    All readings keep the same activations, used or not, so that they run in the same batches.
    """
    from mechcot.reading.batch import unpack, unpack_prompts
    from mechcot.reading.reader import plan_for, read
    from mechcot.reading.spec import ReadingSpec
    from mechcot.study.manifest import EVERY_TOKEN

    model, questions = given.model, given.questions
    spec = ReadingSpec(layers=[given.layer], rules=(EVERY_TOKEN,), max_tokens=given.max_tokens)
    plan = plan_for(model, questions, spec)
    number = {question.qid: i for i, question in enumerate(questions)}
    sums, counts = ({name: np.zeros(len(questions)) for name in MEASURES} for _ in range(2))
    found = _Read(sums, counts, {})
    prompts: dict[int, NDArray[Any]] = {}
    moment, tokens = np.zeros((1, 1)), 0
    for batch in read(model, questions, spec):
        for states in batch.acts.values() if moments else ():
            wide = states.float()
            moment = moment + (wide.T @ wide).cpu().numpy().astype(np.float64)
            tokens += len(wide)
        prompts |= {index: prompt[0] for index, prompt, _ in unpack_prompts(plan, batch)}
        for reading in unpack(plan, batch):
            trace = reading.source
            key = (trace.qid, trace.arm, trace.cid)
            logp = np.concatenate([prompts[reading.question][None], reading.forced[0]]).astype(np.float64)
            found.forced[key] = softmax(logp, axis=-1) if logp.size else logp  # over the options
            for name, values in _items(reading, found.forced[key], given.answers.get(key)).items():
                found.sums[name][number[trace.qid]] += values.sum()
                found.counts[name][number[trace.qid]] += len(values)
    return found, moment / max(tokens, 1)


def _items(reading: TraceReading, forced: FloatArray, own: tuple[int, int] | None) -> dict[str, NDArray[Any]]:
    """A trace's values of every measure, [items] each; a distance to itself is 0."""
    p_truth, _, p_said, _, _ = reading.truth.T
    out: dict[str, NDArray[Any]] = {
        "surprisal": reading.surprisal.astype(np.float64),
        "entropy": reading.entropy.astype(np.float64),
        "said_object": p_said,
        "true_object": p_truth,
    }
    if forced.size:
        out["forced_shift"] = np.zeros(len(forced) - 1)
        if own is not None:
            out["own_answer"] = forced[own[0], :, own[1]].mean(keepdims=True)
    return out


def _matched(moment: FloatArray, vector: FloatArray, n: int, rng: np.random.Generator) -> list[FloatArray]:
    """Random unit vectors u with u' M u that of the given one, M the second moment; see the module."""
    values, basis = np.linalg.eigh(moment)
    logs = np.log(np.maximum(values, values[-1] * _FLOOR))
    wanted = float(vector @ moment @ vector)
    found = []
    for _ in range(n):
        g = rng.normal(size=len(values))
        low, high = _POWERS
        for _ in range(60):
            power = (low + high) / 2
            u = g * np.exp(power * logs - (power * logs).max())
            u /= np.linalg.norm(u)
            low, high = (power, high) if (u**2 * values).sum() < wanted else (low, power)
        found.append(basis @ u)
    return found


def _measure(name: str, bare: _Read, edited: _Read, others: Sequence[_Read]) -> AblationMeasure:
    count, level = bare.counts[name], bare.sums[name]
    n_items = int(count.sum())
    change = edited.sums[name] - level
    random = np.stack([other.sums[name] for other in others]) - level  # [directions, questions]
    means = random.sum(axis=1) / max(n_items, 1)
    reached = np.abs(means) >= abs(change.sum() / max(n_items, 1)) * (1 - 1e-9)
    return AblationMeasure(
        name=name,
        unedited=float(level.sum() / n_items) if n_items else None,
        change=ratio_interval(change, count),
        random=tuple(float(mean) for mean in means) if n_items else (),
        beyond_random=ratio_interval(change - random.mean(axis=0), count),
        p=float((1 + reached.sum()) / (1 + len(others))) if n_items else None,
        n_items=n_items,
        n_questions=int((count > 0).sum()),
    )
