"""The reading: what a model computes while it reads traces, each token of a tree run once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import SITES, Anatomy, anatomy_of
from mechcot.reading.forward import Pass, Places, run_alone, run_trees
from mechcot.reading.inputs import QuestionInput, TraceInput, question_problem, trace_problem
from mechcot.reading.layout import lay_out
from mechcot.reading.plan import Part, ReadingPlan, plan_reading
from mechcot.study.manifest import EVERY_TOKEN

log = logging.getLogger(__name__)

Singles = npt.NDArray[np.float32]

RULES = ("end", "before")
DEFAULT_MAX_TOKENS = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True)
class Recipe:
    """What a reading keeps.

    Attributes:
        places: (site, layer) of the activations.
        rules: position rules of the activations.
        signals: whether to score every token of the traces (entropy, surprisal, targets).
        lens: whether to read the forced answers at every layer too.
        alone: whether to run every text by itself, for a model that cannot read a tree.
    """

    places: tuple[tuple[str, int], ...]
    rules: tuple[str, ...]
    signals: bool = True
    lens: bool = False
    alone: bool = False

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, in the order in which they were asked for."""
        return tuple(dict.fromkeys(site for site, _ in self.places))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, ascending."""
        return tuple(sorted({layer for _, layer in self.places}))


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


def default_max_tokens(anatomy: Anatomy) -> int:
    """The token budget of a forward pass when none is given."""
    return DEFAULT_MAX_TOKENS.get(anatomy.device.type, 4096)


def recipe_for(
    anatomy: Anatomy,
    *,
    layers: Sequence[int] | None = None,
    sites: Sequence[str] = ("resid_post",),
    rules: Sequence[str] = RULES,
    signals: bool = True,
    lens: bool = False,
) -> Recipe:
    """Check what is to be kept.

    Args:
        anatomy: the reader.
        layers: which layers; None is all that a site has, empty is none.
        sites: which sites, of `anatomy.SITES`.
        rules: which position rules: `inputs.STEP_RULES`, `token`, or names of `TraceInput.positions`.
        signals: see `Recipe`.
        lens: see `Recipe`.

    Raises:
        ReadingError: a site or layer that the model has not, or no site at any of the layers; the lens for
            a model without a known final norm.
    """
    strange = [layer for layer in layers or () if layer not in anatomy.layers]
    if strange:
        raise ReadingError(
            f"the model has layers 0 (embedding) to {len(anatomy.blocks)}, asked for {strange}"
        )
    unknown = [site for site in sites if site not in SITES]
    if unknown:
        raise ReadingError(f"there is no site {unknown[0]!r}; there are {', '.join(SITES)}")
    wanted = anatomy.layers if layers is None else sorted(set(layers))
    places = tuple(
        (site, layer) for site in dict.fromkeys(sites) for layer in wanted if anatomy.has(site, layer)
    )
    if sites and wanted and not places:
        raise ReadingError(
            f"there is nothing to keep of {', '.join(sites)} at layers {wanted}: layer 0 has resid_post alone"
        )
    if lens and anatomy.norm is None:
        raise ReadingError("the lens needs the final norm, and the decoder has none of a known name")
    return Recipe(places, tuple(dict.fromkeys(rules)) if places else (), signals, lens)


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
        rules: position rules.
        max_tokens: budget of a forward pass; None takes `DEFAULT_MAX_TOKENS`.

    Raises:
        ReadingError: a question or trace that cannot be read, named.
    """
    anatomy = anatomy_of(model)
    keys = [(question.qid, question.permutation) for question in questions]
    if len(set(keys)) != len(keys):
        twice = sorted({qid for qid, order in keys if keys.count((qid, order)) > 1})
        raise ReadingError(f"each question may be given once; given more often: {twice[:5]}")
    for problem in unreadable(model, questions, rules).values():
        raise ReadingError(f"{problem}; leave it out of the reading")
    return plan_reading(questions, max_tokens or default_max_tokens(anatomy), rules)


def unreadable(
    model: Any, questions: Sequence[QuestionInput], rules: Sequence[str] = RULES
) -> dict[tuple[str, str, int], str]:
    """Traces that cannot be read, or whose question cannot be put: (qid, arm, cid) -> why."""
    anatomy = anatomy_of(model)
    problems: dict[tuple[str, str, int], str] = {}
    for question in questions:
        whole = question_problem(question, anatomy.vocab_size)
        for trace in question.traces:
            problem = whole or trace_problem(
                question,
                trace,
                () if question.permutation else rules,
                max_positions=anatomy.max_positions,
                vocab_size=anatomy.vocab_size,
            )
            if problem is not None:
                problems.setdefault((trace.qid, trace.arm, trace.cid), problem)
    return problems


def read(
    model: Any,
    questions: Sequence[QuestionInput],
    *,
    layers: Sequence[int] | None = None,
    sites: Sequence[str] = ("resid_post",),
    rules: Sequence[str] = RULES,
    max_tokens: int | None = None,
    signals: bool = True,
    lens: bool = False,
) -> Iterator[ReadBatch]:
    """Read traces, batch by batch, in the order given.

    The model is in evaluation mode only while a batch runs and is otherwise as it was given. One whose
    layers cannot read a tree (`anatomy.strange`) runs every text by itself, with a warning.

    Args:
        model: the reader, a Hugging Face causal language model.
        questions: what to read.
        layers: which layers to keep; None is all, empty is none.
        sites: which sites to keep; see `anatomy.SITES`.
        rules: position rules at which to keep them.
        max_tokens: budget of a forward pass.
        signals: whether to score every token of the traces.
        lens: whether to read the forced answers at every layer too.

    Raises:
        ReadingError: what cannot be read, or numbers that are not finite; each named.
    """
    anatomy = anatomy_of(model)
    recipe = recipe_for(anatomy, layers=layers, sites=sites, rules=rules, signals=signals, lens=lens)
    plan = plan_for(model, questions, rules=recipe.rules, max_tokens=max_tokens)
    if anatomy.strange:
        recipe = alone(recipe, anatomy.strange)
    for number in range(len(plan.batches)):
        batch = read_batch(model, anatomy, plan, number, recipe)
        for problem in batch.broken.values():
            raise ReadingError(problem)
        yield batch


def alone(recipe: Recipe, why: str) -> Recipe:
    """The same recipe, every text run by itself; a warning says so."""
    log.warning("the model cannot read a prefix tree (%s); every prefix is run by itself, which is slow", why)
    return replace(recipe, alone=True)


def read_batch(model: Any, anatomy: Anatomy, plan: ReadingPlan, number: int, recipe: Recipe) -> ReadBatch:
    """Run one batch of a plan.

    Raises:
        ReadingError: a layer did not see the tree as texts; knock-outs of a model that reads no trees.
    """
    parts = plan.members(number)
    wanted = Places(recipe.places, recipe.rules, recipe.signals, recipe.lens)
    work = [(plan.questions[part.question], part.traces, part.prompt) for part in parts]
    if recipe.alone:
        done = run_alone(model, anatomy, work, wanted)
    else:
        layouts = [lay_out(question, members, prompt, recipe.rules) for question, members, prompt in work]
        targets = [
            t for q, members, _ in work if not q.permutation for i in members for t in q.traces[i].targets
        ]
        done = run_trees(model, anatomy, layouts, targets, wanted)
    return _named(plan, number, parts, done)


def _named(plan: ReadingPlan, number: int, parts: tuple[Part, ...], done: Pass) -> ReadBatch:
    """Sort a pass's answers by where they were forced, and look for numbers that are not finite."""
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
        if torch.isfinite(values.sum(dtype=torch.float64)):
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
