"""The reading: what a model computes while it reads traces, each token of a tree run once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import Anatomy, anatomy_of
from mechcot.models.rotary import turn_of
from mechcot.reading.batch import ReadBatch, batch_of
from mechcot.reading.forward import run_alone, run_trees
from mechcot.reading.inputs import QuestionInput, question_problem, trace_problem, whole_length
from mechcot.reading.layout import lay_out
from mechcot.reading.plan import ReadingPlan, plan_reading
from mechcot.reading.spec import RULES, ReadingSpec, Recipe, default_max_tokens, recipe_for

log = logging.getLogger(__name__)


def plan_for(model: Any, questions: Sequence[QuestionInput], spec: ReadingSpec | None = None) -> ReadingPlan:
    """Check what is to be read and fix the batches; nothing is run.

    Args:
        model: the reader.
        questions: what to read.
        spec: position rules and budget count.

    Raises:
        ReadingError: a question or trace that cannot be read, named.
    """
    spec = spec or ReadingSpec()
    keys = [(question.qid, question.permutation) for question in questions]
    if len(set(keys)) != len(keys):
        twice = sorted({qid for qid, order in keys if keys.count((qid, order)) > 1})
        raise ReadingError(f"each question may be given once; given more often: {twice[:5]}")
    for problem in unreadable(model, questions, spec.rules).values():
        raise ReadingError(f"{problem}; leave it out of the reading")
    return plan_reading(questions, spec.max_tokens or default_max_tokens(anatomy_of(model)), spec.rules)


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
    model: Any, questions: Sequence[QuestionInput], spec: ReadingSpec | None = None
) -> Iterator[ReadBatch]:
    """Read traces, batch by batch, in the order given.

    The model is in evaluation mode only while a batch runs and is otherwise as it was given. One whose
    layers cannot read a tree runs every text by itself, with a warning; so does a batch whose texts may not
    share a row (`turned_apart`).

    Args:
        model: the reader, a Hugging Face causal language model.
        questions: what to read.
        spec: what to keep of it.

    Raises:
        ReadingError: what cannot be read, or numbers that are not finite; each named.
    """
    anatomy, spec = anatomy_of(model), spec or ReadingSpec()
    recipe = recipe_for(anatomy, spec)
    plan = plan_for(model, questions, replace(spec, rules=recipe.rules))
    if anatomy.strange:
        recipe = alone(recipe, anatomy.strange)
    tell_apart(anatomy, plan, recipe)
    for number in range(len(plan.batches)):
        batch = read_batch(model, anatomy, plan, number, recipe)
        for problem in batch.broken.values():
            raise ReadingError(problem)
        yield batch


def turned_apart(anatomy: Anatomy, plan: ReadingPlan, number: int) -> bool:
    """Whether the texts of a batch may not share a row, as far as the model's configuration says.

    Where the longest position of a row decides how all of it is turned, no texts share one across the length
    at which that changes.
    """
    turn = turn_of(anatomy.config)
    if turn is None:
        return False
    lengths = []
    for part in plan.members(number):
        question = plan.questions[part.question]
        starts = [len(question.prompt_ids), *([len(question.prior_ids)] if len(question.prior_ids) else [])]
        lengths += [1 + start for start in starts]
        lengths += [whole_length(question, question.traces[i]) for i in part.traces]
    return turn.parts(min(lengths), max(lengths))


def tell_apart(anatomy: Anatomy, plan: ReadingPlan, recipe: Recipe) -> None:
    """Warn of batches whose texts may not share a row."""
    turn, batches = turn_of(anatomy.config), range(len(plan.batches))
    apart = 0 if turn is None or recipe.alone else sum(turned_apart(anatomy, plan, n) for n in batches)
    if turn is not None and apart:
        log.warning(
            "its rotary factors change beyond %d positions: %d of %d batches, with texts on both sides, are "
            "run text by text, which is slow",
            turn.at,
            apart,
            len(batches),
        )


def alone(recipe: Recipe, why: str) -> Recipe:
    """The same recipe, every text run by itself; a warning says so."""
    log.warning("the model cannot read a prefix tree (%s); every prefix is run by itself, which is slow", why)
    return replace(recipe, alone=True)


def read_batch(model: Any, anatomy: Anatomy, plan: ReadingPlan, number: int, recipe: Recipe) -> ReadBatch:
    """Run one batch of a plan.

    Raises:
        ReadingError: a layer did not see the tree as texts; knock-outs of a model that reads no trees.
    """
    work = [(plan.questions[part.question], part.traces, part.prompt) for part in plan.members(number)]
    if recipe.alone or turned_apart(anatomy, plan, number):
        done = run_alone(model, anatomy, work, recipe)
    else:
        layouts = [lay_out(question, members, prompt, recipe.rules) for question, members, prompt in work]
        targets = [
            t for q, members, _ in work if not q.permutation for i in members for t in q.traces[i].targets
        ]
        done = run_trees(model, anatomy, layouts, targets, recipe)
    return batch_of(plan, number, done)
