"""The plan of a reading: which traces share a tree, which trees share a forward pass, at what cost.

A plan is a pure function of the questions, the token budget and the model's attention scale, so a
reading that was killed is taken up with the very same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mechcot.errors import ReadingError
from mechcot.internals.inputs import LeadIn, QuestionInput, TraceInput
from mechcot.internals.prefix_tree import Ints, PrefixTree, build_trie, graft, shared_prefix, sorted_order


@dataclass(frozen=True)
class Branch:
    """The tree that hangs below every prefix of a question: its lead-ins and options.

    Attributes:
        tree: its nodes; the last token of an answer has one only if another answer goes on from it.
        parent: for every option token the branch node before it, -1 for the prefix itself, [pairs].
        token: the option token, [pairs].
        start: where each answer's pairs begin, lead-in by lead-in, option by option, [answers].
        shape: (lead-ins, options).
    """

    tree: PrefixTree
    parent: Ints
    token: Ints
    start: Ints
    shape: tuple[int, int]


@lru_cache(maxsize=4096)
def make_branch(forced: tuple[LeadIn, ...]) -> Branch:
    """Lay out the lead-ins and options of a question."""
    texts = [np.array(lead.ids + option, np.int64) for lead in forced for option in lead.options]
    tree, paths = build_trie([text[:-1] for text in texts])
    parents, tokens, lengths = [], [], []
    n_options = len(forced[0].options) if forced else 0
    for i, (text, path) in enumerate(zip(texts, paths, strict=True)):
        skip = len(forced[i // n_options].ids)
        parents.append(np.concatenate([[-1], path])[skip:])
        tokens.append(text[skip:])
        lengths.append(len(text) - skip)
    empty = np.empty(0, np.int64)
    start = np.cumsum([0, *lengths], dtype=np.int64)[:-1]
    return Branch(
        tree,
        np.concatenate([empty, *parents]).astype(np.int64),
        np.concatenate([empty, *tokens]),
        start,
        (len(forced), n_options),
    )


@dataclass(frozen=True)
class Part:
    """Some traces of one question that are read in one tree.

    Attributes:
        question: index of the question.
        traces: indices of its traces, ascending.
        prompt: whether the answers forced at the bare prompt are read here (in one part a question).
        nodes: how many tokens the tree has.
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
        parts: the trees, largest first.
        batches: the indices of the parts in each forward pass.
        max_tokens: the budget of a forward pass, padding included. A single tree may exceed it.
        text_tokens: tokens of the prompts (once a question) and of the traces.
        tree_tokens: nodes of all trees.
        padded_tokens: the same with padding: what the model really computes.
        separate_tokens: what one run per trace, prefix and lead-in would compute.
    """

    questions: tuple[QuestionInput, ...]
    parts: tuple[Part, ...]
    batches: tuple[tuple[int, ...], ...]
    max_tokens: int
    text_tokens: int
    tree_tokens: int
    padded_tokens: int
    separate_tokens: int

    def members(self, batch: int) -> tuple[Part, ...]:
        """The parts of a batch."""
        return tuple(self.parts[i] for i in self.batches[batch])

    def nodes(self, batch: int) -> int:
        """The nodes of a batch, padding excluded."""
        return sum(part.nodes for part in self.members(batch))

    def trace(self, question: int, trace: int) -> TraceInput:
        """One of the traces."""
        return self.questions[question].traces[trace]


def plan_reading(
    questions: Sequence[QuestionInput], max_tokens: int, attention_scale: float | None = None
) -> ReadingPlan:
    """Decide which traces share a tree and which trees share a forward pass.

    Traces of a question join one tree while that is cheaper than a tree of their own. A tree of n
    nodes costs n * (1 + n / attention_scale): dense attention is quadratic in the tree, so a short
    prompt is cheaper read twice than the traces are masked from one another.

    Args:
        questions: what to read, already checked; those without traces are left out.
        max_tokens: the budget of a forward pass in tokens, padding included.
        attention_scale: the length at which attention costs as much as everything else; None
            counts tokens only.

    Raises:
        ReadingError: the budget is not positive.
    """
    if max_tokens < 1:
        raise ReadingError(f"max_tokens must be at least 1, it is {max_tokens}")
    parts: list[Part] = []
    for number, question in enumerate(questions):
        if question.traces:
            parts += _parts_of(number, question, max_tokens, attention_scale)
    parts.sort(key=lambda part: -part.nodes)
    batches: list[list[int]] = []
    for i in range(len(parts)):
        if not batches or (len(batches[-1]) + 1) * parts[batches[-1][0]].nodes > max_tokens:
            batches.append([])
        batches[-1].append(i)
    read = [question for question in questions if question.traces]
    return ReadingPlan(
        questions=tuple(questions),
        parts=tuple(parts),
        batches=tuple(tuple(batch) for batch in batches),
        max_tokens=max_tokens,
        text_tokens=sum(len(q.prompt_ids) + sum(len(t.token_ids) for t in q.traces) for q in read),
        tree_tokens=sum(part.nodes for part in parts),
        padded_tokens=sum(len(batch) * parts[batch[0]].nodes for batch in batches),
        separate_tokens=sum(_separate(q, t) for q in read for t in q.traces),
    )


def _separate(question: QuestionInput, trace: TraceInput) -> int:
    prompt, runs = len(question.prompt_ids), max(len(question.forced), 1)
    prefixes = sum(prompt + end for _, end in trace.steps) + prompt
    return runs * prefixes + (len(trace.steps) + 1) * runs * question.forced_length() + len(trace.token_ids)


def _trunk_texts(question: QuestionInput, traces: Sequence[int]) -> list[Ints]:
    prompt = np.asarray(question.prompt_ids, np.int64)
    texts = []
    for i in traces:
        trace = question.traces[i]
        texts.append(np.concatenate([prompt, np.asarray(trace.token_ids[: trace.trunk_length()], np.int64)]))
    return texts


def _parts_of(number: int, question: QuestionInput, max_tokens: int, scale: float | None) -> list[Part]:
    texts = _trunk_texts(question, range(len(question.traces)))
    _, paths = build_trie(texts)
    branch = len(make_branch(question.forced).tree)
    prompt = len(question.prompt_ids)

    def cost(nodes: int) -> float:
        return nodes + (nodes * nodes / scale if scale else 0.0)

    parts: list[Part] = []
    members: list[int] = []
    nodes, seen, last = 0, set[int](), np.empty(0, np.int64)
    for i in sorted_order(texts):
        ends = {int(paths[i][prompt + end - 1]) for _, end in question.traces[i].steps}
        alone = len(texts[i]) + branch * len(ends)
        joined = nodes + len(texts[i]) - shared_prefix(last, texts[i]) + branch * len(ends - seen)
        if members and joined <= max_tokens and cost(joined) <= cost(nodes) + cost(alone):
            nodes, seen = joined, seen | ends
            members.append(i)
        else:
            if members:
                parts.append(Part(number, tuple(sorted(members)), not parts, nodes))
            nodes, seen, members = alone + (0 if parts else branch), ends, [i]
        last = texts[i]
    parts.append(Part(number, tuple(sorted(members)), not parts, nodes))
    return parts


@dataclass(frozen=True)
class Layout:
    """One tree and where in it everything is read; rows are nodes of the tree.

    Attributes:
        tree: the tree.
        signal_row: the node before each completion token, trace after trace, [tokens].
        signal_token: that token, [tokens].
        pair_row: the node before each token of each forced answer, [pairs].
        pair_token: that token, [pairs].
        answer_start: where each answer's pairs begin, [answers]: at the bare prompt (if read here),
            then trace after trace, step after step, lead-in by lead-in, option by option.
        site_row: the node of each step under each position rule, [rules, steps].
        target_row: the node before each target, [targets].
    """

    tree: PrefixTree
    signal_row: Ints
    signal_token: Ints
    pair_row: Ints
    pair_token: Ints
    answer_start: Ints
    site_row: Ints
    target_row: Ints


def lay_out(question: QuestionInput, part: Part, rules: Sequence[str]) -> Layout:
    """Build the tree of a part.

    Args:
        question: its question.
        part: which traces.
        rules: position rules whose tokens are wanted.
    """
    prompt = len(question.prompt_ids)
    traces = [question.traces[i] for i in part.traces]
    trunk, paths = build_trie(_trunk_texts(question, part.traces))
    branch = make_branch(question.forced)
    bare = [prompt - 1] if part.prompt else []
    ends = [
        path[[prompt + end - 1 for _, end in t.steps]]
        for t, path in zip(traces, paths, strict=True)
        if t.steps
    ]
    prefixes = np.concatenate([np.array(bare, np.int64), *ends])
    tree, moved, _ = graft(trunk, np.unique(prefixes), branch.tree)
    below = moved[prefixes]
    lengths = [len(trace.token_ids) for trace in traces]
    before = [path[prompt - 1 : prompt - 1 + n] for path, n in zip(paths, lengths, strict=True)]
    sites = [
        np.concatenate(
            [
                p[[prompt + k for k in t.positions[rule]]]
                for t, p in zip(traces, paths, strict=True)
                if t.steps
            ]
        )
        for rule in rules
        if ends
    ]
    targets = [
        path[[prompt - 1 + t.position for t in trace.targets]]
        for trace, path in zip(traces, paths, strict=True)
        if trace.targets
    ]
    n_pairs = len(branch.token)
    return Layout(
        tree=tree,
        signal_row=moved[np.concatenate(before)],
        signal_token=np.concatenate([np.asarray(trace.token_ids, np.int64) for trace in traces]),
        pair_row=(below[:, None] + 1 + branch.parent).ravel(),
        pair_token=np.tile(branch.token, len(below)),
        answer_start=(np.arange(len(below))[:, None] * n_pairs + branch.start).ravel(),
        site_row=moved[np.stack(sites)] if sites else np.empty((len(rules), 0), np.int64),
        target_row=moved[np.concatenate(targets)] if targets else np.empty(0, np.int64),
    )
