"""What a forward pass gave, sorted by where it was read: batches of trees, cut into traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.reading.forward import Pass
from mechcot.reading.inputs import TraceInput
from mechcot.reading.plan import Part, ReadingPlan
from mechcot.study.manifest import EVERY_TOKEN

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ReadBatch:
    """What one forward pass gave, trace after trace in the order of its parts.

    Answers have a row for each view: the model's own output and, with `lens`, layers 0, 1, ... read
    through the final norm and head. They are log-probabilities in nats, question after question,
    lead-in by lead-in, option by option.

    Attributes:
        number: which batch of the plan.
        parts: the trees that it held.
        prior: answers forced after the prompts that say nothing of the question, [views, answers].
        prompt: answers forced at the bare prompts, [views, answers].
        forced: after each step of each trace, [views, answers].
        knocked: with a step hidden, for each knock-out of each trace, [views, answers].
        entropy: of the distribution before each completion token, in nats, [tokens] (or none).
        surprisal: of each completion token, in nats, [tokens] (or none).
        truth: a row for each target, columns as `forward.TRUTH_COLUMNS`, [targets, 5].
        acts: activations by `tensor_name`, each [steps, d_model] ([tokens, d_model] for the rule
            `token`) in the dtype computed.
        broken: traces (question, trace) with numbers that are not finite, and what was found.
    """

    number: int
    parts: tuple[Part, ...]
    prior: Singles
    prompt: Singles
    forced: Singles
    knocked: Singles
    entropy: Singles
    surprisal: Singles
    truth: npt.NDArray[np.float64]
    acts: dict[str, Tensor]
    broken: dict[tuple[int, int], str]


@dataclass(frozen=True)
class TraceReading:
    """What was read of one trace, the activations apart.

    Attributes:
        question: index of its question in the plan.
        trace: index of the trace in its question.
        source: the trace.
        forced: log-probabilities in nats after each step, [views, steps, lead-ins, options].
        knocked: the same for each knock-out, [views, knock-outs, lead-ins, options].
        entropy: [tokens].
        surprisal: [tokens].
        truth: [targets, 5].
    """

    question: int
    trace: int
    source: TraceInput
    forced: Singles
    knocked: Singles
    entropy: Singles
    surprisal: Singles
    truth: npt.NDArray[np.float64]


def batch_of(plan: ReadingPlan, number: int, done: Pass) -> ReadBatch:
    """Sort a pass's answers by where they were forced, and look for numbers that are not finite."""
    parts = plan.members(number)
    kinds: dict[str, list[slice]] = {"prior": [], "prompt": [], "forced": [], "knocked": []}
    first = 0
    for part in parts:
        question = plan.questions[part.question]
        traces = [question.traces[i] for i in part.traces]
        counts = {
            "prior": int(part.prompt and len(question.prior_ids) > 0),
            "prompt": int(part.prompt),
            "forced": sum(len(trace.steps) for trace in traces),
            "knocked": sum(len(trace.knock_outs) for trace in traces),
        }
        for kind, count in counts.items():
            stop = first + count * question.n_answers
            kinds[kind].append(slice(first, stop))
            first = stop
    answers = done.answers.astype(np.float32)
    split = {kind: np.concatenate([answers[:, s] for s in slices], axis=1) for kind, slices in kinds.items()}
    batch = ReadBatch(
        number=number,
        parts=parts,
        entropy=done.entropy.astype(np.float32),
        surprisal=done.surprisal.astype(np.float32),
        truth=done.truth,
        acts=done.acts,
        broken={},
        **split,
    )
    return replace(batch, broken=_not_finite(plan, batch))


def unpack(plan: ReadingPlan, batch: ReadBatch) -> Iterator[TraceReading]:
    """Cut a batch into its traces, in the order in which their steps lie in `batch.acts`."""
    token = answer = knock = target = 0
    views = len(batch.forced)
    for part in batch.parts:
        question = plan.questions[part.question]
        shape = (len(question.forced), question.n_options)
        for i in part.traces:
            trace = question.traces[i]
            # A reading without signals, or of another order of the options, has no tokens.
            scored = len(batch.entropy) > 0 and not question.permutation
            tokens = slice(token, token + len(trace.token_ids) * scored)
            answers = slice(answer, answer + len(trace.steps) * question.n_answers)
            knocks = slice(knock, knock + len(trace.knock_outs) * question.n_answers)
            targets = slice(target, target + len(trace.targets) * scored)
            token, answer, knock, target = tokens.stop, answers.stop, knocks.stop, targets.stop
            yield TraceReading(
                question=part.question,
                trace=i,
                source=trace,
                forced=batch.forced[:, answers].reshape(views, len(trace.steps), *shape),
                knocked=batch.knocked[:, knocks].reshape(views, len(trace.knock_outs), *shape),
                entropy=batch.entropy[tokens],
                surprisal=batch.surprisal[tokens],
                truth=batch.truth[targets],
            )


def unpack_prompts(plan: ReadingPlan, batch: ReadBatch) -> Iterator[tuple[int, Singles, Singles | None]]:
    """The answers forced at bare prompts and after priors: (question, both [views, lead-ins, options])."""
    first = prior = 0
    for part in batch.parts:
        if not part.prompt:
            continue
        question = plan.questions[part.question]
        shape = (len(batch.prompt), len(question.forced), question.n_options)
        stop = first + question.n_answers
        before = None
        if len(question.prior_ids):
            before = batch.prior[:, prior : prior + question.n_answers].reshape(shape)
            prior += question.n_answers
        yield part.question, batch.prompt[:, first:stop].reshape(shape), before
        first = stop


def _not_finite(plan: ReadingPlan, batch: ReadBatch) -> dict[tuple[int, int], str]:
    broken: dict[tuple[int, int], str] = {}
    owners = [(part.question, i) for part in batch.parts for i in part.traces]
    for name, values in batch.acts.items():
        if torch.isfinite(values.sum()):
            continue  # what is not finite does not vanish in a sum
        sound = torch.isfinite(values).all(-1)
        if not bool(sound.all()):
            rows = rows_of(plan, batch.parts, name.rpartition("@")[2])
            for row in (~sound).nonzero()[:, 0].tolist():
                trace, sid = rows[row]
                key = owners[plan.traces(batch.parts).index(trace)]
                broken.setdefault(
                    key,
                    f"{trace.name}, step {sid}: {name} is not finite (NaN or infinite); is the model sound?",
                )
    if all(np.isfinite(values).all() for values in as_numbers(batch).values()):
        return broken
    for reading in unpack(plan, batch):
        for name in ("entropy", "surprisal", "forced", "knocked", "truth"):
            if not np.isfinite(getattr(reading, name)).all():
                why = f"{reading.source.name}: {name} is not finite; is the model sound?"
                broken.setdefault((reading.question, reading.trace), why)
    for question, prompt, prior in unpack_prompts(plan, batch):
        if not (np.isfinite(prompt).all() and (prior is None or np.isfinite(prior).all())):
            for trace in range(len(plan.questions[question].traces)):
                qid = plan.questions[question].qid
                why = f"question {qid!r}: an answer forced at the bare prompt is not finite"
                broken.setdefault((question, trace), why)
    return broken


def rows_of(plan: ReadingPlan, parts: Sequence[Part], rule: str) -> list[tuple[TraceInput, int]]:
    """(trace, sid) of each row of a rule's activations in a batch; for the rule `token` (trace, token)."""
    rows = []
    for part in parts:
        if plan.questions[part.question].permutation:
            continue
        for trace in (plan.trace(part.question, i) for i in part.traces):
            if rule == EVERY_TOKEN:
                rows += [(trace, token) for token in range(len(trace.token_ids))]
            else:
                rows += [(trace, sid) for sid, _, _ in trace.steps]
    return rows


def as_numbers(batch: ReadBatch) -> Mapping[str, npt.NDArray[Any]]:
    """Everything of a batch but the activations, as arrays by name."""
    names = ("prior", "prompt", "forced", "knocked", "entropy", "surprisal", "truth")
    return {name: getattr(batch, name) for name in names}
