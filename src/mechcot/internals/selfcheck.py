"""Is the reading true to the model? A small sample read as a tree and by plain separate runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.errors import ReadingError
from mechcot.internals.activations import tensor_name
from mechcot.internals.anatomy import Anatomy, anatomy_of, as_found, head_logits, residuals
from mechcot.internals.inputs import QuestionInput
from mechcot.internals.plan import plan_reading
from mechcot.internals.reader import RULES, check_layers, read_batch, unpack, unpack_prompts

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Largest difference allowed: nats, and for activations and logits the share of the largest entry.

Two correct ways of running one model differ by rounding alone, which grows with depth: on tiny
random models (weights of scale 0.3) up to 4e-6 in float32, 0.02 in float16 and 0.09 in bfloat16. On
models of the same shapes with weights of scale 0.02, whose outputs hardly depend on their text, a
sliding window that is off by one shows as 0.05.
"""


@dataclass(frozen=True)
class SelfCheck:
    """What a self-check found.

    Attributes:
        questions: the questions of the sample.
        runs: plain runs that were made.
        tolerance: what was allowed.
        forced: largest difference of a forced answer's log-probability, nats a token of the option.
        signals: largest difference of an entropy or a surprisal, nats.
        residual: largest difference of an activation, as a share of the layer's largest entry.
        head: largest difference between head(final norm) and the model's own logits, as a share of
            the largest logit.
    """

    questions: tuple[str, ...]
    runs: int
    tolerance: float
    forced: float
    signals: float
    residual: float
    head: float

    @property
    def worst(self) -> float:
        """The largest of the differences."""
        return max(self.forced, self.signals, self.residual, self.head)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**self.__dict__, "questions": list(self.questions)}


@dataclass
class _Tally:
    runs: int = 0
    forced: float = 0.0
    signals: float = 0.0
    residual: float = 0.0
    head: float = 0.0

    def note(self, what: str, difference: float) -> None:
        # A difference that is not a number must not be lost in a maximum.
        setattr(self, what, max(getattr(self, what), difference if np.isfinite(difference) else np.inf))


def self_check(
    model: Any,
    questions: Sequence[QuestionInput],
    *,
    rules: Sequence[str] = RULES,
    tolerance: float | None = None,
    max_traces: int = 2,
    max_options: int = 2,
) -> SelfCheck:
    """Read up to two questions as trees in one padded batch and compare with plain separate runs.

    Args:
        model: the reader.
        questions: what to read; the one with the longest trace and the first other one are taken.
        rules: position rules to compare.
        tolerance: largest difference allowed; None takes it from `TOLERANCE` by dtype.
        max_traces: traces taken of each question.
        max_options: options taken of each lead-in, after the bare prompt, the first and the last step.

    Raises:
        ReadingError: a difference is above the tolerance; the message holds the numbers.
    """
    anatomy = anatomy_of(model)
    allowed = TOLERANCE.get(anatomy.dtype, 1e-3) if tolerance is None else tolerance
    sample = _sample(questions, max_traces)
    # No attention scale: all traces of a question share one tree, the harder case.
    plan = plan_reading(sample, 2**40)
    layers = check_layers(anatomy, None)
    tally = _Tally()
    for number in range(len(plan.batches)):
        batch = read_batch(model, anatomy, plan, number, layers, rules)
        first = 0
        for reading in unpack(plan, batch):
            question, trace = sample[reading.question], reading.source
            steps = slice(first, first + len(trace.steps))
            first = steps.stop
            kept = {name: values[steps] for name, values in batch.acts.items()}
            _compare_trace(model, anatomy, question, reading, kept, rules, tally)
            for step in sorted({0, len(trace.steps) - 1}) if trace.steps else []:
                prefix = [*question.prompt_ids, *trace.token_ids[: trace.steps[step][1]]]
                _compare_forced(model, question, prefix, reading.forced[step], max_options, tally)
        for index, values in unpack_prompts(plan, batch):
            question = sample[index]
            _compare_forced(model, question, list(question.prompt_ids), values, max_options, tally)
    names = tuple(question.qid for question in sample)
    result = SelfCheck(names, tally.runs, allowed, tally.forced, tally.signals, tally.residual, tally.head)
    if result.worst > allowed:
        raise ReadingError(
            f"{type(model).__name__} ({anatomy.dtype}) is not read truly: a tree differs from separate runs "
            f"by {result.forced:.2g} nats a token in forced answers, {result.signals:.2g} nats in entropy or "
            f"surprisal, {result.residual:.2g} of the largest activation, and the head from the model's "
            f"logits by {result.head:.2g} of the largest; allowed is {allowed:.2g} (sample {list(names)}). "
            f"Its layers may not attend by the mask alone, or its logits are scaled in a way unknown here"
        )
    return result


def _sample(questions: Sequence[QuestionInput], max_traces: int) -> list[QuestionInput]:
    readable = [question for question in questions if question.traces]
    if not readable:
        raise ReadingError("there is no trace to check the reading with")
    longest = max(readable, key=lambda q: max(len(trace.token_ids) for trace in q.traces))
    other = next((question for question in readable if question is not longest), None)
    sample = []
    for question in [longest, *([other] if other else [])]:
        traces = sorted(question.traces, key=lambda trace: -len(trace.token_ids))[:max_traces]
        sample.append(replace(question, traces=tuple(traces)))
    return sample


def _plain(model: Any, anatomy: Anatomy, ids: Sequence[int]) -> Tensor:
    tokens = torch.tensor([list(ids)], device=anatomy.device)
    logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits[0].float()


def _compare_trace(
    model: Any,
    anatomy: Anatomy,
    question: QuestionInput,
    reading: Any,
    kept: dict[str, Tensor],
    rules: Sequence[str],
    tally: _Tally,
) -> None:
    trace, prompt = reading.source, len(question.prompt_ids)
    ids = [*question.prompt_ids, *trace.token_ids]
    layers = check_layers(anatomy, None)
    with as_found(model), residuals(anatomy, layers, torch.arange(len(ids)), 1) as found:
        logits = _plain(model, anatomy, ids)
        tokens = torch.tensor([ids], device=anatomy.device)
        hidden = anatomy.decoder(input_ids=tokens, use_cache=False).last_hidden_state[0]
        own = head_logits(anatomy, hidden)
        tally.note("head", float((own - logits).abs().max() / logits.abs().max()))
        logp = logits[prompt - 1 : -1].log_softmax(-1)
        surprisal = -logp.gather(-1, tokens[0, prompt:, None])[:, 0]
        entropy = -(logp.exp() * logp).sum(-1)
    tally.runs += 2
    tally.note("signals", _distance(reading.surprisal, surprisal))
    tally.note("signals", _distance(reading.entropy, entropy))
    for layer in layers:
        for rule in rules if trace.steps else ():
            plain = found[layer][[prompt + place for place in trace.positions[rule]]].cpu().float()
            difference = (kept[tensor_name(layer, rule)].float() - plain).abs().max()
            tally.note("residual", float(difference / plain.abs().max()))


def _compare_forced(
    model: Any,
    question: QuestionInput,
    prefix: list[int],
    values: npt.NDArray[np.float32],
    max_options: int,
    tally: _Tally,
) -> None:
    anatomy = anatomy_of(model)
    for lead, row in zip(question.forced, values, strict=True):
        for option, value in list(zip(lead.options, row, strict=True))[:max_options]:
            ids = [*prefix, *lead.ids, *option]
            with as_found(model):
                logp = _plain(model, anatomy, ids[:-1])[-len(option) :].log_softmax(-1)
                token = torch.tensor(option, device=anatomy.device)
                total = float(logp.gather(-1, token[:, None]).sum())
            tally.runs += 1
            tally.note("forced", abs(total - float(value)) / len(option))


def _distance(values: npt.NDArray[np.float32], plain: Tensor) -> float:
    return float(np.abs(values - plain.cpu().numpy()).max())
