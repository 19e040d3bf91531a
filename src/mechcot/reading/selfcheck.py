"""Is the reading true to the model? A small sample read as trees and by plain separate runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechcot.core.errors import MechcotError, ReadingError, said
from mechcot.core.progress import Progress
from mechcot.core.results import SPREAD, Result
from mechcot.models.anatomy import Anatomy, anatomy_of, as_found, head_logits, watched
from mechcot.models.causal import not_causal
from mechcot.models.devices import out_of_memory, release
from mechcot.models.tolerance import allowed_for
from mechcot.reading.batch import Singles, TraceReading, unpack, unpack_prompts
from mechcot.reading.inputs import LeadIn, QuestionInput, TraceInput, whole_length
from mechcot.reading.plan import ReadingPlan, plan_reading
from mechcot.reading.reader import alone, read_batch, turned_apart
from mechcot.reading.spec import Recipe
from mechcot.study.activations import tensor_name

log = logging.getLogger(__name__)

SAMPLE_TRACES, SAMPLE_OPTIONS = 2, 2
"""Of each question, and of each lead-in after the bare prompt and the steps of `_checked_steps`."""

SELDOM = 5.0
"""Seconds between two lines that say how far a self-check is."""


@dataclass(frozen=True)
class Compared:
    """One way in which numbers of a reading are compared with the model's own.

    Attributes:
        name: what is compared.
        unit: of the difference.
    """

    name: str
    unit: str


COMPARED = {
    "forced": Compared("forced answers", "nats a token"),
    "signals": Compared("entropy and surprisal", "nats"),
    "residual": Compared("activations", "of the largest"),
    "head": Compared("final norm and head", "of the largest logit"),
}
"""A forced answer's log-probability is compared a token of the option, an activation with the largest entry
at its place, the head after the final norm with the model's own logits."""

TREES = ("forced", "signals", "residual")
"""What depends on how the texts are run: as trees, or one by one."""


@dataclass(frozen=True)
class SelfCheck(Result):
    """What a self-check found.

    Attributes:
        questions: the questions of the sample.
        runs: plain runs that were made.
        way: "trees", or "alone" for a model that every text is run through by itself.
        tolerance: what was allowed.
        differences: the largest difference of each kind of `COMPARED`.
        why: why it is not read by trees.
        broken: a trace of the sample whose numbers are not finite, and where; "" if there is none.
    """

    questions: tuple[str, ...]
    runs: int
    way: str
    tolerance: float
    differences: Mapping[str, float] = field(metadata=SPREAD)
    why: str = ""
    broken: str = ""

    @property
    def worst(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values())

    def numbers(self) -> str:
        """The differences in words."""
        said = [f"{COMPARED[key].name} {d:.2g} {COMPARED[key].unit}" for key, d in self.differences.items()]
        return f"{', '.join(said)}; allowed is {self.tolerance:.2g}"


class _Comparison:
    """Plain runs of a model, and the largest difference of each kind from what a reading gave."""

    def __init__(self, model: Any, recipe: Recipe, bar: Progress) -> None:
        self.model, self.anatomy, self.recipe, self.bar = model, anatomy_of(model), recipe, bar
        self.runs, self.differences = 0, dict.fromkeys(COMPARED, 0.0)

    def note(self, what: str, difference: float) -> None:
        # A difference that is not a number must not be lost in a maximum.
        found = difference if np.isfinite(difference) else np.inf
        self.differences[what] = max(self.differences[what], found)

    def logits(self, ids: Sequence[int]) -> Tensor:
        tokens = torch.tensor([list(ids)], device=self.anatomy.device)
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        self._ran()
        return logits[0].float().to(self.anatomy.device)

    def _ran(self) -> None:
        self.runs += 1
        self.bar.update()

    def trace(self, question: QuestionInput, reading: TraceReading, kept: dict[str, Tensor]) -> None:
        """Signals, activations and the head over one trace."""
        anatomy, recipe = self.anatomy, self.recipe
        trace, prompt = reading.source, len(question.prompt_ids)
        ids = [*question.prompt_ids, *trace.token_ids]
        found: dict[tuple[str, int], Tensor] = {}

        def see(site: str, layer: int, hidden: Tensor) -> None:
            # A copy: some models add to it in place afterwards.
            found[site, layer] = hidden.to("cpu", torch.float32, copy=True)

        last = ("resid_post", len(anatomy.blocks))
        lens = [last] if recipe.lens and last not in recipe.places else []
        with as_found(self.model):
            with watched(anatomy, [*recipe.places, *lens], see):
                logits = self.logits(ids)
            tokens = torch.tensor([ids], device=anatomy.device)
            hidden = anatomy.decoder(input_ids=tokens, use_cache=False).last_hidden_state[0]
            self._ran()
            own = head_logits(anatomy, hidden).to(logits.device)
            self.note("head", float((own - logits).abs().max() / logits.abs().max()))
            if recipe.lens and anatomy.norm is not None:
                seen = head_logits(anatomy, anatomy.norm(found[last].to(hidden)))
                off = float((seen - own).abs().max() / own.abs().max())
                if off > allowed_for(anatomy.dtype):
                    raise ReadingError(
                        f"{type(self.model).__name__}: the lens is not true to it: final norm and head over "
                        f"the last layer are off by {off:.2g} of the largest logit. Read it without the lens"
                    )
            logp = logits[prompt - 1 : -1].log_softmax(-1)
            surprisal = -logp.gather(-1, tokens[0, prompt:, None])[:, 0]
            entropy = -(logp.exp() * logp).sum(-1)
        if recipe.signals:
            self.note("signals", _distance(reading.surprisal, surprisal))
            self.note("signals", _distance(reading.entropy, entropy))
        for site, layer in recipe.places:
            plain = found[site, layer]
            for rule in recipe.rules if trace.steps else ():
                if (name := tensor_name(layer, rule, site)) in kept:
                    spans = [plain[prompt + a : prompt + b].mean(0) for a, b in trace.spans(rule)]
                    difference = (kept[name].float() - torch.stack(spans)).abs().max()
                    self.note("residual", float(difference / plain.abs().max()))

    def forced(self, forced: Sequence[LeadIn], prefix: Sequence[int], values: Singles) -> None:
        """Some of the answers forced after a prefix."""
        for lead, row in zip(forced, values, strict=True):
            for option, value in list(zip(lead.options, row, strict=True))[:SAMPLE_OPTIONS]:
                ids = [*prefix, *lead.ids, *option]
                with as_found(self.model):
                    logp = self.logits(ids[:-1])[-len(option) :].log_softmax(-1)
                    token = torch.tensor(option, device=self.anatomy.device)
                    total = float(logp.gather(-1, token[:, None]).sum())
                self.note("forced", abs(total - float(value)) / len(option))


def usable(
    model: Any, questions: Sequence[QuestionInput], recipe: Recipe, *, progress: bool = False
) -> tuple[Recipe, SelfCheck]:
    """The way in which a model can be read truly: by trees or, with a warning, every text by itself.

    A sample that is too large for the memory, or that holds a trace with numbers that are not finite, says
    nothing of the other traces: a smaller one is taken.

    Raises:
        ReadingError: neither is true to the model's own runs, with the numbers; a prompt with two
            beginning-of-text tokens; no sample that fits the memory and has finite numbers.
    """
    anatomy = anatomy_of(model)
    _refuse_two_starts(anatomy, questions)
    refused: list[str] = []
    for sample, way in _samples(questions, recipe):
        try:
            found, report = best_way(model, sample, way, progress=progress)
        except Exception as error:
            if not out_of_memory(error):
                raise
            qids = [question.qid for question in _sample(sample, 1)]
            refused.append(
                f"traces of the questions {qids}: too large for the memory: {error}".partition("\n")[0]
            )
        else:
            if not report.broken:
                break
            refused.append(report.broken)
            continue
        # Outside the handler: the error's frames hold the tensors that were too many.
        release(anatomy.device)
    else:
        raise ReadingError(
            f"no sample of the traces can be read, so the reading is not checked: {refused[0]}"
        )
    if refused:
        log.warning("the self-check was made on a smaller sample (%s)", "; ".join(dict.fromkeys(refused)))
    if report.worst > report.tolerance:
        raise ReadingError(
            f"{type(model).__name__} ({anatomy.dtype}) is not read truly: {report.numbers()} (sample "
            f"{list(report.questions)}). Its logits may be scaled in a way unknown here"
        )
    return alone(found, report.why) if found.alone and not recipe.alone else found, report


def _samples(
    questions: Sequence[QuestionInput], recipe: Recipe
) -> Iterator[tuple[Sequence[QuestionInput], Recipe]]:
    """What to check the reading with: all, the longest trace, the shortest, and that one without a tree."""
    yield questions, recipe
    pairs = [(q, trace) for q in questions if not q.permutation for trace in q.traces]
    pairs.sort(key=lambda pair: whole_length(*pair))
    short = next((pair for pair in pairs if pair[1].steps), pairs[0])
    longest, shortest = ([replace(q, traces=(trace,))] for q, trace in (pairs[-1], short))
    yield longest, recipe
    yield shortest, recipe
    yield shortest, replace(recipe, alone=True)


def best_way(
    model: Any, questions: Sequence[QuestionInput], recipe: Recipe, *, progress: bool = False
) -> tuple[Recipe, SelfCheck]:
    """By trees if they give what separate runs give, else text by text; and what that was found to give."""
    anatomy = anatomy_of(model)
    why = "a tree of it does not fit the memory" if recipe.alone else anatomy.strange
    if not why:
        try:
            report = self_check(model, questions, recipe, progress=progress)
        except ReadingError as error:
            why = str(error)
        except Exception as error:  # any way in which a model's own code refuses the mask of a tree
            if out_of_memory(error):
                raise
            why = f"its own code raised {type(error).__name__}: {error}"
        else:
            off = max(report.differences[name] for name in TREES) > report.tolerance
            why = f"trees differ from separate runs by {report.numbers()}" if off else ""
            if not why:
                return recipe, report
    slow = replace(recipe, alone=True)
    try:
        return slow, replace(self_check(model, questions, slow, progress=progress), why=why)
    except Exception as error:
        if isinstance(error, MechcotError) or out_of_memory(error):
            raise
        what = f"{type(model).__name__}: cannot be read, its own code raised {type(error).__name__}"
        raise ReadingError(f"{what}: {said(error)}") from error


def _refuse_two_starts(anatomy: Anatomy, questions: Sequence[QuestionInput]) -> None:
    bos = getattr(anatomy.config, "bos_token_id", None)
    for question in questions:
        if bos is not None and list(question.prompt_ids[:2]) == [bos, bos]:
            raise ReadingError(
                f"question {question.qid!r}: the prompt begins with two beginning-of-text tokens ({bos}): "
                f"the chat template and the tokenizer both add one. Mend the template or set prompt.chat"
            )


def self_check(
    model: Any, questions: Sequence[QuestionInput], recipe: Recipe, *, progress: bool = False
) -> SelfCheck:
    """Read up to two questions in one pass and compare with plain separate runs.

    Args:
        model: the reader.
        questions: what to read; those of the longest text (prompt, trace and answer) and of the shortest one
            are taken.
        recipe: what is kept, and how it is read.
        progress: whether to say how far it is.
    """
    sample = _sample(questions, SAMPLE_TRACES)
    name = f"comparing the reading {'text by text' if recipe.alone else 'by trees'} with plain runs"
    with Progress(name, _runs(sample), "run", shown=progress, every=SELDOM) as bar:
        return _compare(_Comparison(model, recipe, bar), sample, recipe)


def _runs(sample: Sequence[QuestionInput]) -> int:
    """How many plain runs a sample takes."""
    total = 0
    for question in sample:
        answers = sum(min(len(lead.options), SAMPLE_OPTIONS) for lead in question.forced)
        prefixes = sum(len(_checked_steps(trace)) for trace in question.traces)
        prefixes += 1 + bool(len(question.prior_ids))
        total += 2 * len(question.traces) + answers * prefixes
    return total


def _compare(found: _Comparison, sample: Sequence[QuestionInput], recipe: Recipe) -> SelfCheck:
    model, plan = found.model, plan_reading(sample, 2**40, recipe.rules)
    longest = [*sample[0].prompt_ids, *sample[0].traces[0].token_ids]
    if why := not_causal(model, longest):
        raise ReadingError(why)
    if turned_apart(found.anatomy, plan, 0):  # a row for each side, so that trees are tried on one
        plan = plan_reading(sample, 1, recipe.rules)
    broken: dict[tuple[int, int], str] = {}
    for number in range(len(plan.batches)):
        broken |= _compare_batch(found, plan, number, recipe)
    return SelfCheck(
        questions=tuple(question.qid for question in sample),
        runs=found.runs,
        way="alone" if recipe.alone else "trees",
        tolerance=allowed_for(found.anatomy.dtype),
        differences=found.differences,
        broken=next(iter(broken.values()), ""),
    )


def _compare_batch(
    found: _Comparison, plan: ReadingPlan, number: int, recipe: Recipe
) -> dict[tuple[int, int], str]:
    """Compare a batch of the sample; what of it is not finite."""
    batch = read_batch(found.model, found.anatomy, plan, number, replace(recipe, lens=False))
    first = 0
    for reading in unpack(plan, batch):
        question, trace = plan.questions[reading.question], reading.source
        steps = slice(first, first + len(trace.steps))
        first = steps.stop
        # The rule `token` has other rows; its values are those of `end` and `start` at other tokens.
        kept = {n: values[steps] for n, values in batch.acts.items() if not n.endswith("@token")}
        found.trace(question, reading, kept)
        for step in _checked_steps(trace):
            prefix = [*question.prompt_ids, *trace.token_ids[: trace.cut(step)]]
            found.forced(question.asked(trace, step), prefix, reading.forced[0, step])
    for index, prompt, prior in unpack_prompts(plan, batch):
        question = plan.questions[index]
        found.forced(question.forced, question.prompt_ids, prompt[0])
        if prior is not None:
            found.forced(question.forced, question.prior_ids, prior[0])
    return dict(batch.broken)


def _checked_steps(trace: TraceInput) -> list[int]:
    """The first step and the last, and the first that ends inside a token."""
    steps = {0, len(trace.steps) - 1, *sorted(trace.seams)[:1]}
    return sorted(steps) if trace.steps else []


def _sample(questions: Sequence[QuestionInput], max_traces: int) -> list[QuestionInput]:
    """The question of the longest text and that of the shortest one, else the first other one.

    The longest and the shortest share a row, as they may in the reading: what a text's numbers owe to the
    longest one beside it shows there.
    """
    readable = [question for question in questions if question.traces and not question.permutation]
    if not readable:
        raise ReadingError("there is no trace to check the reading with")
    pairs = [(question, trace) for question in readable for trace in question.traces]
    longest, _ = max(pairs, key=lambda pair: whole_length(*pair))
    other, shortest = min(pairs, key=lambda pair: whole_length(*pair))
    others = [question for question in (other, *readable) if question is not longest]
    sample = []
    for question in (longest, *others[:1]):
        traces = sorted(question.traces, key=lambda trace: -whole_length(question, trace))
        kept = traces[:max_traces]
        if question is other and len(kept) > 1:
            kept[-1] = shortest
        sample.append(replace(question, traces=tuple(replace(trace, knock_outs=()) for trace in kept)))
    return sample


def _distance(values: Singles, plain: Tensor) -> float:
    return float(np.abs(values - plain.cpu().numpy()).max())
