"""The reading: what a model computes while it reads traces, each token of a tree run once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.errors import ReadingError
from mechcot.internals.activations import tensor_name
from mechcot.internals.anatomy import Anatomy, anatomy_of, as_found, masks_for, residuals
from mechcot.internals.inputs import QuestionInput, TraceInput, check_question, trace_problem
from mechcot.internals.plan import Layout, Part, ReadingPlan, lay_out, plan_reading
from mechcot.internals.prefix_tree import Ints, pad_trees
from mechcot.internals.scoring import Floats, Scores, score

RULES = ("end", "decision")
DEFAULT_MAX_TOKENS = {"cpu": 2048, "cuda": 16384}
"""On one CPU thread, with a model of 0.7 M parameters, budgets from 1,000 to 4,000 are equally fast; 600
and 16,000 are a fifth slower. The value for a GPU is a guess: it was not measured."""

TRUTH_COLUMNS = ("p_truth", "rank_truth", "p_said", "rank_said", "entropy")


@dataclass(frozen=True)
class ReadBatch:
    """What one forward pass gave, trace after trace in the order of its parts.

    Attributes:
        number: which batch of the plan.
        parts: the trees that it held.
        prompt: log-probabilities in nats of the answers forced at the bare prompt, question after
            question, lead-in by lead-in, option by option, [answers].
        forced: the same after each step of each trace, [answers].
        entropy: of the distribution before each completion token, in nats, [tokens].
        surprisal: of each completion token, in nats, [tokens].
        truth: a row for each target, columns as `TRUTH_COLUMNS`, [targets, 5].
        acts: activations by `tensor_name`, each [steps, d_model] in the dtype computed.
    """

    number: int
    parts: tuple[Part, ...]
    prompt: npt.NDArray[np.float32]
    forced: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    surprisal: npt.NDArray[np.float32]
    truth: Floats
    acts: dict[str, Tensor]


@dataclass(frozen=True)
class TraceReading:
    """What was read of one trace, the activations apart.

    Attributes:
        question: index of its question in the plan.
        trace: index of the trace in its question.
        source: the trace.
        forced: log-probabilities in nats after each step, [steps, lead-ins, options].
        entropy: [tokens].
        surprisal: [tokens].
        truth: [targets, 5], columns as `TRUTH_COLUMNS`.
    """

    question: int
    trace: int
    source: TraceInput
    forced: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    surprisal: npt.NDArray[np.float32]
    truth: Floats


def default_max_tokens(anatomy: Anatomy) -> int:
    """The token budget of a forward pass when none is given."""
    return DEFAULT_MAX_TOKENS.get(anatomy.device.type, 2048)


def plan_for(
    model: Any,
    questions: Sequence[QuestionInput],
    *,
    rules: Sequence[str] = RULES,
    max_tokens: int | None = None,
) -> ReadingPlan:
    """Check what is to be read and fix the batches; nothing is run.

    Args:
        model: the reader.
        questions: what to read.
        rules: position rules that every trace must carry.
        max_tokens: budget of a forward pass, padding included; None takes `DEFAULT_MAX_TOKENS`.

    Raises:
        ReadingError: a question or trace that cannot be read, named.
    """
    anatomy = anatomy_of(model)
    _check(questions, anatomy, rules)
    return plan_reading(questions, max_tokens or default_max_tokens(anatomy), anatomy.attention_scale)


def unreadable(model: Any, questions: Sequence[QuestionInput]) -> dict[tuple[str, str, int], str]:
    """Traces that are empty or too long for the model: (qid, arm, cid) -> why."""
    limit = anatomy_of(model).max_positions
    problems = {
        (trace.qid, trace.arm, trace.cid): trace_problem(question, trace, limit)
        for question in questions
        for trace in question.traces
    }
    return {key: problem for key, problem in problems.items() if problem is not None}


def _check(questions: Sequence[QuestionInput], anatomy: Anatomy, rules: Sequence[str]) -> None:
    qids = [question.qid for question in questions]
    if len(set(qids)) != len(qids):
        twice = sorted({qid for qid in qids if qids.count(qid) > 1})
        raise ReadingError(f"each question may be given once; given more often: {twice[:5]}")
    for question in questions:
        check_question(question, rules, anatomy.vocab_size)
        for trace in question.traces:
            problem = trace_problem(question, trace, anatomy.max_positions)
            if problem:
                raise ReadingError(f"{problem}; leave the trace out of the reading")


def read(
    model: Any,
    questions: Sequence[QuestionInput],
    *,
    layers: Sequence[int] | None = None,
    rules: Sequence[str] = RULES,
    max_tokens: int | None = None,
) -> Iterator[ReadBatch]:
    """Read traces, batch by batch, largest trees first.

    The residual stream at layer 0 is what enters the first block (the embedding), at layer l what
    leaves block l; the last layer is read before the final norm. The model is in evaluation mode
    only while a batch runs and is otherwise as it was given.

    Args:
        model: the reader, a Hugging Face causal language model.
        questions: what to read.
        layers: which layers to keep; None is all, empty is none.
        rules: position rules at which to keep them.
        max_tokens: budget of a forward pass, padding included.

    Raises:
        ReadingError: what cannot be read, or numbers that are not finite; each named.
    """
    anatomy = anatomy_of(model)
    wanted = check_layers(anatomy, layers)
    fixed = plan_for(model, questions, rules=rules, max_tokens=max_tokens)
    for number in range(len(fixed.batches)):
        yield read_batch(model, anatomy, fixed, number, wanted, rules)


def check_layers(anatomy: Anatomy, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers to keep, ascending.

    Raises:
        ReadingError: a layer that the model has not.
    """
    wanted = anatomy.layers if layers is None else tuple(sorted(set(layers)))
    strange = [layer for layer in wanted if layer not in anatomy.layers]
    if strange:
        raise ReadingError(
            f"the model has layers 0 (embedding) to {len(anatomy.blocks)}, asked for {strange}"
        )
    return wanted


def read_batch(
    model: Any, anatomy: Anatomy, plan: ReadingPlan, number: int, layers: Sequence[int], rules: Sequence[str]
) -> ReadBatch:
    """Run one batch of a plan.

    Raises:
        ReadingError: a number that is not finite, named by question, trace and step.
    """
    parts = plan.members(number)
    layouts = [lay_out(plan.questions[part.question], part, rules) for part in parts]
    padded = pad_trees([layout.tree for layout in layouts])
    width = padded.token_ids.shape[1]

    def flat(name: str, axis: int = 0) -> Ints:
        rows = [getattr(layout, name) + i * width for i, layout in enumerate(layouts)]
        return np.concatenate(rows, axis=axis)

    sites, device = flat("site_row", axis=1), anatomy.device
    with as_found(model), residuals(anatomy, layers, torch.from_numpy(sites.ravel()), len(parts)) as found:
        output = anatomy.decoder(
            input_ids=torch.from_numpy(padded.token_ids).to(device),
            position_ids=torch.from_numpy(padded.depth).to(device),
            attention_mask=masks_for(padded, anatomy),
            use_cache=False,
        )
        hidden = output.last_hidden_state.reshape(len(parts) * width, -1)
        signal_token = np.concatenate([layout.signal_token for layout in layouts])
        signals = score(anatomy, hidden, flat("signal_row"), signal_token, entropy=True)
        truth = _truth(anatomy, hidden, plan, parts, flat("target_row"), signals)
        pair_token = np.concatenate([layout.pair_token for layout in layouts])
        pairs = score(anatomy, hidden, flat("pair_row"), pair_token).logp
    acts = _by_name(found, layers, rules, sites.shape[1])
    prompt, forced = _answers(plan, parts, layouts, pairs)
    entropy = signals.entropy_at(flat("signal_row"))
    batch = ReadBatch(
        number,
        parts,
        prompt,
        forced,
        entropy.astype(np.float32),
        (-signals.logp).astype(np.float32),
        truth,
        acts,
    )
    _refuse_not_finite(plan, batch)
    return batch


def _by_name(
    found: dict[int, Tensor], layers: Sequence[int], rules: Sequence[str], steps: int
) -> dict[str, Tensor]:
    acts = {}
    for layer in layers:
        values = found[layer].cpu()
        for i, rule in enumerate(rules):
            acts[tensor_name(layer, rule)] = values[i * steps : (i + 1) * steps].clone()
    return acts


def _answers(
    plan: ReadingPlan, parts: Sequence[Part], layouts: Sequence[Layout], logp: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Sum the log-probabilities of each answer; those at bare prompts apart from those after steps."""
    prompt, forced, first = [], [], 0
    for part, layout in zip(parts, layouts, strict=True):
        pairs = logp[first : first + len(layout.pair_token)]
        first += len(pairs)
        sums = np.add.reduceat(pairs, layout.answer_start) if len(layout.answer_start) else pairs
        question = plan.questions[part.question]
        bare = len(question.forced) * question.n_options if part.prompt else 0
        prompt.append(sums[:bare])
        forced.append(sums[bare:])
    return np.concatenate(prompt).astype(np.float32), np.concatenate(forced).astype(np.float32)


def _truth(
    anatomy: Anatomy, hidden: Tensor, plan: ReadingPlan, parts: Sequence[Part], rows: Ints, signals: Scores
) -> Floats:
    """Probability and rank of the true and the said token, and the entropy, before each target."""
    targets = [t for part in parts for i in part.traces for t in plan.trace(part.question, i).targets]
    if not targets:
        return np.empty((0, len(TRUTH_COLUMNS)))
    tokens = [np.array([*sorted(set(target.true_ids)), target.said_id], np.int64) for target in targets]
    lengths = np.array([len(row) for row in tokens])
    scores = score(anatomy, hidden, np.repeat(rows, lengths), np.concatenate(tokens), ranks=True)
    p, rank = np.exp(scores.logp), scores.rank.astype(np.float64)
    said = np.cumsum(lengths) - 1
    # Boundaries alternate: the run of true tokens, then the said token alone.
    starts = np.stack([said - lengths + 1, said], axis=1).ravel()
    sums, best = np.add.reduceat(p, starts)[::2], np.minimum.reduceat(rank, starts)[::2]
    return np.stack([sums, best, p[said], rank[said], signals.entropy_at(rows)], axis=1)


def unpack(plan: ReadingPlan, batch: ReadBatch) -> Iterator[TraceReading]:
    """Cut a batch into its traces, in the order in which their steps lie in `batch.acts`."""
    token = answer = target = 0
    for part in batch.parts:
        question = plan.questions[part.question]
        leads, options = len(question.forced), question.n_options
        for i in part.traces:
            trace = question.traces[i]
            tokens = slice(token, token + len(trace.token_ids))
            answers = slice(answer, answer + len(trace.steps) * leads * options)
            targets = slice(target, target + len(trace.targets))
            token, answer, target = tokens.stop, answers.stop, targets.stop
            yield TraceReading(
                part.question,
                i,
                trace,
                batch.forced[answers].reshape(len(trace.steps), leads, options),
                batch.entropy[tokens],
                batch.surprisal[tokens],
                batch.truth[targets],
            )


def unpack_prompts(plan: ReadingPlan, batch: ReadBatch) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The answers forced at bare prompts: (index of the question, [lead-ins, options])."""
    first = 0
    for part in batch.parts:
        if part.prompt:
            question = plan.questions[part.question]
            shape = (len(question.forced), question.n_options)
            stop = first + shape[0] * shape[1]
            yield part.question, batch.prompt[first:stop].reshape(shape)
            first = stop


def _refuse_not_finite(plan: ReadingPlan, batch: ReadBatch) -> None:
    for name, values in batch.acts.items():
        broken = ~torch.isfinite(values).all(-1)
        if bool(broken.any()):
            row = int(broken.nonzero()[0, 0])
            trace, sid = steps_of(plan, batch.parts)[row]
            raise ReadingError(
                f"{trace.name}, step {sid}: {name} is not finite (NaN or infinite); is the model sound?"
            )
    for reading in unpack(plan, batch):
        for name in ("entropy", "surprisal", "forced", "truth"):
            if not np.isfinite(getattr(reading, name)).all():
                raise ReadingError(f"{reading.source.name}: {name} is not finite; is the model sound?")
    if not np.isfinite(batch.prompt).all():
        raise ReadingError("an answer forced at the bare prompt has a log-probability that is not finite")


def steps_of(plan: ReadingPlan, parts: Sequence[Part]) -> list[tuple[TraceInput, int]]:
    """(trace, sid) of each row of the activations of a batch."""
    traces = (plan.trace(part.question, i) for part in parts for i in part.traces)
    return [(trace, sid) for trace in traces for sid, _ in trace.steps]
