"""The plan of a reading: which traces share a tree, which trees share a forward pass, at what cost.

A plan is a pure function of the questions and the token budget, so a reading that was killed is
taken up with the very same batches. Parts and batches keep the order of the questions and traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mechcot.core.errors import ReadingError
from mechcot.reading.inputs import LeadIn, QuestionInput, TraceInput, forced_length
from mechcot.reading.layout import branch_size, trunk_text
from mechcot.reading.prefix_tree import build_trie

Prefix = tuple[int, tuple[LeadIn, ...]]
"""A prefix's last node, and the lead-ins that follow it."""


@dataclass(frozen=True)
class Part:
    """Consecutive traces of one question that are read in one tree.

    Attributes:
        question: index of the question.
        traces: indices of its traces, ascending.
        prompt: whether the answers forced at the bare prompt, and after the prior's prompt, are read
            here (in one part a question).
        nodes: how many tokens the tree has (at most, where equal traces have equal knock-outs).
    """

    question: int
    traces: tuple[int, ...]
    prompt: bool
    nodes: int


@dataclass(frozen=True)
class ReadingPlan:
    """What will be run, fixed before the first token is read.

    Attributes:
        questions: what is read.
        rules: position rules.
        parts: the trees, in the order of the questions.
        batches: the indices of the parts in each forward pass.
        max_tokens: the budget of a forward pass in tokens. A single tree may exceed it.
        bare_tokens: tokens of a plain forward pass over the traces, each after its prompt.
        tree_tokens: nodes of all trees: what is computed.
        separate_tokens: what one run per trace and per prefix and lead-in would compute.
    """

    questions: tuple[QuestionInput, ...]
    rules: tuple[str, ...]
    parts: tuple[Part, ...]
    batches: tuple[tuple[int, ...], ...]
    max_tokens: int
    bare_tokens: int
    tree_tokens: int
    separate_tokens: int

    def members(self, batch: int) -> tuple[Part, ...]:
        """The parts of a batch."""
        return tuple(self.parts[i] for i in self.batches[batch])

    def nodes(self, batch: int) -> int:
        """The nodes of a batch."""
        return sum(part.nodes for part in self.members(batch))

    def trace(self, question: int, trace: int) -> TraceInput:
        """One of the traces."""
        return self.questions[question].traces[trace]

    def traces(self, parts: Sequence[Part]) -> list[TraceInput]:
        """The traces of some parts, in their order."""
        return [self.trace(part.question, i) for part in parts for i in part.traces]


def plan_reading(
    questions: Sequence[QuestionInput], max_tokens: int, rules: Sequence[str] = ()
) -> ReadingPlan:
    """Decide which traces share a tree and which trees share a forward pass.

    Args:
        questions: what to read, already checked; those without traces are left out.
        max_tokens: the budget of a forward pass in tokens.
        rules: position rules.

    Raises:
        ReadingError: the budget is not positive.
    """
    work = [(number, tuple(range(len(q.traces))), True) for number, q in enumerate(questions)]
    return _planned(tuple(questions), tuple(rules), (), (), work, max_tokens)


def with_budget(plan: ReadingPlan, batch: int, max_tokens: int) -> ReadingPlan:
    """The same plan with another budget from a batch on; the batches before it stay as they are."""
    done = sum(len(members) for members in plan.batches[:batch])
    rest: dict[int, tuple[tuple[int, ...], bool]] = {}
    for part in plan.parts[done:]:
        traces, prompt = rest.get(part.question, ((), False))
        rest[part.question] = ((*traces, *part.traces), prompt or part.prompt)
    work = [(number, traces, prompt) for number, (traces, prompt) in rest.items()]
    return _planned(plan.questions, plan.rules, plan.parts[:done], plan.batches[:batch], work, max_tokens)


def _planned(
    questions: tuple[QuestionInput, ...],
    rules: tuple[str, ...],
    parts: tuple[Part, ...],
    batches: tuple[tuple[int, ...], ...],
    work: Sequence[tuple[int, tuple[int, ...], bool]],
    max_tokens: int,
) -> ReadingPlan:
    """Cut the work (question, its traces, whether its prompt too) into parts, and the parts into batches."""
    if max_tokens < 1:
        raise ReadingError(f"max_tokens must be at least 1, it is {max_tokens}")
    found, filled = list(parts), [list(batch) for batch in batches]
    used = max_tokens
    for number, traces, prompt in work:
        for part in _parts_of(number, questions[number], traces, prompt, rules, max_tokens):
            if used + part.nodes > max_tokens:
                filled.append([])
                used = 0
            filled[-1].append(len(found))
            found.append(part)
            used += part.nodes
    read = [
        (questions[part.question], questions[part.question].traces[i]) for part in found for i in part.traces
    ]
    return ReadingPlan(
        questions=questions,
        rules=rules,
        parts=tuple(found),
        batches=tuple(tuple(batch) for batch in filled),
        max_tokens=max_tokens,
        bare_tokens=sum(len(q.prompt_ids) + len(t.token_ids) for q, t in read),
        tree_tokens=sum(part.nodes for part in found),
        separate_tokens=sum(_separate(q, t) for q, t in read),
    )


def _separate(question: QuestionInput, trace: TraceInput) -> int:
    prompt, runs = len(question.prompt_ids), max(len(question.forced), 1)
    prefixes = prompt + forced_length(question.forced)
    prefixes += sum(prompt + cut + forced_length(forced) for cut, forced in question.prefixes(trace))
    return runs * prefixes + len(trace.token_ids)


def _parts_of(
    number: int,
    question: QuestionInput,
    traces: Sequence[int],
    prompt: bool,
    rules: Sequence[str],
    max_tokens: int,
) -> list[Part]:
    branch, start = branch_size(question.forced), len(question.prompt_ids)
    bare = branch + (len(question.prior_ids) + branch if len(question.prior_ids) else 0)
    bare *= question.n_options > 0
    texts = [trunk_text(question, question.traces[i], rules) for i in traces]
    _, paths = build_trie(texts)
    parts: list[Part] = []
    members: list[int] = []
    # A first step of no whole token is asked where the prompt is: the tree holds that branch once.
    at_prompt = {(int(path[start - 1]), question.forced) for path in paths[:1]} if prompt else set()
    held, ends_held = (
        np.zeros(1 + max((int(p.max(initial=-1)) for p in paths), default=-1), np.bool_),
        at_prompt,
    )
    nodes = 0
    for i, path in zip(traces, paths, strict=True):
        trace = question.traces[i]
        asked = [(int(path[start + cut - 1]), forced) for cut, forced in question.prefixes(trace)]
        ends = set(asked)
        later = sum(trace.cut(k.k - 1) - k.hidden[1] for k in trace.knock_outs if k.later)
        hidden = later + _sizes(asked[k.k - 1] for k in trace.knock_outs)
        joined = nodes + hidden + int((~held[path]).sum()) + _sizes(ends - ends_held)
        if members and joined > max_tokens:
            parts.append(Part(number, tuple(members), prompt and not parts, nodes))
            members, ends_held, joined = [], set(), hidden + len(path) + _sizes(ends)
            held[:] = False
        nodes = joined if members or parts or not prompt else joined + bare
        members.append(i)
        held[path] = True
        ends_held = ends_held | ends
    return [*parts, Part(number, tuple(members), prompt and not parts, nodes)] if members else parts


def _sizes(prefixes: Iterable[Prefix]) -> int:
    return sum(branch_size(forced) for _, forced in prefixes)
