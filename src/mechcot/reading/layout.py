"""The layout of one tree: its tokens, its texts, and where in it everything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mechcot.reading.inputs import LeadIn, QuestionInput, TraceInput
from mechcot.reading.prefix_tree import Ints, PrefixTree, build_trie


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


def branch_size(forced: tuple[LeadIn, ...]) -> int:
    """How many nodes the forced answers add below a prefix."""
    return len(make_branch(forced).tree)


def trunk_text(question: QuestionInput, trace: TraceInput, rules: Sequence[str]) -> Ints:
    """The tokens of prompt and trace that need a node."""
    length = trace.trunk_length(_own_rules(question, rules))
    return np.array([*question.prompt_ids, *trace.token_ids[:length]], np.int64)


def _own_rules(question: QuestionInput, rules: Sequence[str]) -> tuple[str, ...]:
    """A reading of a permuted prompt gives forced answers only."""
    return () if question.permutation else tuple(rules)


@dataclass(frozen=True)
class Trunk:
    """One text of a tree from its root: a prompt and a trace.

    Attributes:
        path: its nodes, [tokens]; the n-th is at depth n.
        own: how many of the first tokens belong to a trunk before it too.
        blind: (lo, hi, since): from depth `since` on its tokens do not see the depths lo to hi - 1.
    """

    path: Ints
    own: int
    blind: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Copy:
    """A branch below one of the prefixes in a tree.

    Attributes:
        tree: its nodes.
        trunk: the trunk that it hangs on.
        at: depth of the trunk's token that it hangs below.
        first: its first node.
        blind: the depths lo to hi - 1 that it does not see; 0, 0 is none.
    """

    tree: PrefixTree
    trunk: int
    at: int
    first: int
    blind: tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """One tree and where in it everything is read; rows are nodes of the tree.

    Attributes:
        token_ids: the token at each node, [nodes].
        depth: its position in its text, [nodes].
        trunks: the texts.
        copies: what hangs below the prefixes.
        signal_row: the node before each completion token, trace after trace, [tokens].
        signal_token: that token, [tokens].
        pair_row: the node before each token of each forced answer, [pairs].
        pair_token: that token, [pairs].
        answer_start: where each answer's pairs begin, [answers]: after the prior's prompt and at the
            bare prompt (if read here), then trace after trace, step after step, then trace after trace,
            knock-out after knock-out; each lead-in by lead-in, option by option.
        spans: for each position rule the nodes to average, span after span, and their number, [spans].
        target_row: the node before each target, [targets].
    """

    token_ids: Ints
    depth: Ints
    trunks: tuple[Trunk, ...]
    copies: tuple[Copy, ...]
    signal_row: Ints
    signal_token: Ints
    pair_row: Ints
    pair_token: Ints
    answer_start: Ints
    spans: dict[str, tuple[Ints, Ints]]
    target_row: Ints


class Hung(NamedTuple):
    """A branch below a prefix: the prefix's last node, the branch's first, and what hangs there."""

    node: int
    first: int
    branch: Branch


class _Nodes:
    """Nodes, trunks and copies of a tree that is being laid out; copies come after all trunks."""

    def __init__(self, texts: Sequence[Ints]) -> None:
        tree, paths = build_trie(texts)
        self.tokens, self.depths = [tree.token_ids], [tree.depth]
        self.size = len(tree)
        self.trunks: list[Trunk] = []
        self.copies: dict[tuple[int, tuple[int, int], int], Copy] = {}
        self.branches: dict[tuple[LeadIn, ...], tuple[int, Branch]] = {}
        self.last: tuple[tuple[LeadIn, ...], tuple[int, Branch]] | None = None
        seen = np.zeros(len(tree), np.bool_)
        for path in paths:
            self.trunks.append(Trunk(path, int(seen[path].sum())))
            seen[path] = True

    def grow(self, tokens: Ints, depth: Ints) -> int:
        """Add nodes; the first of them."""
        self.tokens.append(tokens)
        self.depths.append(depth)
        self.size += len(tokens)
        return self.size - len(tokens)

    def add_trunk(self, before: Ints, tokens: Ints, blind: tuple[int, int, int] | None = None) -> int:
        """Add a text whose first nodes are there; its number."""
        depth = np.arange(len(before), len(before) + len(tokens))
        first = self.grow(tokens, depth)
        path = np.concatenate([before, np.arange(first, self.size)])
        self.trunks.append(Trunk(path, len(before), blind))
        return len(self.trunks) - 1

    def hang(self, trunk: int, at: int, blind: tuple[int, int], forced: tuple[LeadIn, ...]) -> Hung:
        """Put a branch below a prefix, or find it there."""
        node, (number, branch) = int(self.trunks[trunk].path[at]), self.branch(forced)
        copy = self.copies.get((node, blind, number))
        if copy is None:
            copy = self.copies[node, blind, number] = Copy(branch.tree, trunk, at, self.size, blind)
            self.size += len(branch.tree)
        return Hung(node, copy.first, branch)

    def laid(self) -> tuple[Ints, Ints]:
        """The token at each node and its depth; branches lie behind the trunks as they were hung."""
        copies = self.copies.values()
        below = np.repeat([copy.at + 1 for copy in copies], [len(copy.tree) for copy in copies])
        inside = _joined([copy.tree.depth for copy in copies])
        return (
            np.concatenate([*self.tokens, *(copy.tree.token_ids for copy in copies)]),
            np.concatenate([*self.depths, below.astype(np.int64) + inside]),
        )

    def branch(self, forced: tuple[LeadIn, ...]) -> tuple[int, Branch]:
        """The branch of some lead-ins, and its number here; nearly all prefixes have the question's own."""
        if self.last is None or self.last[0] is not forced:
            found = self.branches.setdefault(forced, (len(self.branches), make_branch(forced)))
            self.last = (forced, found)
        return self.last[1]


def lay_out(question: QuestionInput, members: Sequence[int], at_prompt: bool, rules: Sequence[str]) -> Layout:
    """Build the tree of some traces.

    Args:
        question: the question.
        members: indices of the traces.
        at_prompt: whether answers are forced at the bare prompt and after the prior's prompt.
        rules: position rules whose tokens are wanted.
    """
    prompt = len(question.prompt_ids)
    traces = [question.traces[i] for i in members]
    nodes = _Nodes([trunk_text(question, trace, rules) for trace in traces])
    paths = [trunk.path for trunk in nodes.trunks]
    below = (
        [nodes.hang(*place) for place in _prefixes(question, at_prompt, traces, nodes)]
        if question.n_options
        else []
    )
    both = list(zip(traces, paths, strict=True))
    scored = [] if question.permutation else both
    empty = np.empty(0, np.int64)
    spans = {}
    for rule in _own_rules(question, rules):
        found = [(path[prompt + a : prompt + b], b - a) for t, path in both for a, b in t.spans(rule)]
        lengths = np.array([length for _, length in found], np.int64)
        spans[rule] = (np.concatenate([empty, *(part for part, _ in found)]), lengths)
    token_ids, depth = nodes.laid()
    pairs = np.array([len(hung.branch.parent) for hung in below], np.int64)
    parent = _joined([hung.branch.parent for hung in below])
    node, start = (
        np.repeat(np.array(ids, np.int64), pairs)
        for ids in ([hung.node for hung in below], [hung.first for hung in below])
    )
    answers = [len(hung.branch.start) for hung in below]
    return Layout(
        token_ids=token_ids,
        depth=depth,
        trunks=tuple(nodes.trunks),
        copies=tuple(nodes.copies.values()),
        signal_row=np.concatenate(
            [empty, *(path[prompt - 1 : prompt - 1 + len(t.token_ids)] for t, path in scored)]
        ),
        signal_token=np.array([token for trace, _ in scored for token in trace.token_ids], np.int64),
        pair_row=np.where(parent < 0, node, start + parent),
        pair_token=_joined([hung.branch.token for hung in below]),
        answer_start=_joined([hung.branch.start for hung in below])
        + np.repeat(np.cumsum(pairs) - pairs, answers),
        spans=spans,
        target_row=np.array([p[prompt - 1 + a.position] for t, p in scored for a in t.targets], np.int64),
    )


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _prefixes(
    question: QuestionInput, at_prompt: bool, traces: Sequence[TraceInput], nodes: _Nodes
) -> list[tuple[int, int, tuple[int, int], tuple[LeadIn, ...]]]:
    """Where answers are forced: trunk, depth of the prefix's last token, what they do not see, lead-ins."""
    prompt, forced, found = len(question.prompt_ids), question.forced, []
    if at_prompt and len(question.prior_ids):
        empty = np.empty(0, np.int64)
        trunk = nodes.add_trunk(empty, np.asarray(question.prior_ids, np.int64))
        found.append((trunk, len(question.prior_ids) - 1, (0, 0), forced))
    if at_prompt:
        found.append((0, prompt - 1, (0, 0), forced))
    for number, trace in enumerate(traces):
        places = question.prefixes(trace)
        found += [(number, prompt + cut - 1, (0, 0), leads) for cut, leads in places]
    for number, trace in enumerate(traces):
        for knock_out in trace.knock_outs:
            lo, hi = (prompt + place for place in knock_out.hidden)
            end, trunk = prompt + trace.cut(knock_out.k - 1), number
            if knock_out.later and hi < end:
                again = np.asarray(trace.token_ids[hi - prompt : end - prompt], np.int64)
                trunk = nodes.add_trunk(nodes.trunks[number].path[:hi], again, (lo, hi, hi))
            found.append((trunk, end - 1, (lo, hi), question.asked(trace, knock_out.k - 1)))
    return found


def alone(question: QuestionInput, trace: int) -> QuestionInput:
    """One trace with nothing forced: a tree that is a plain text."""
    bare = replace(question.traces[trace], knock_outs=(), seams={})
    return replace(question, traces=(bare,), forced=(), prior_ids=())


def lay_out_answer(prefix: Sequence[int], lead: LeadIn, option: int) -> Layout:
    """One forced answer as a tree that is a plain text: prefix, lead-in, option."""
    text = np.array([*prefix, *lead.ids, *lead.options[option]], np.int64)
    first, last = len(text) - len(lead.options[option]), len(text) - 1
    empty = np.empty(0, np.int64)
    return Layout(
        token_ids=text[:-1],
        depth=np.arange(last),
        trunks=(Trunk(np.arange(last), 0),),
        copies=(),
        signal_row=empty,
        signal_token=empty,
        pair_row=np.arange(first - 1, last),
        pair_token=text[first:],
        answer_start=np.zeros(1, np.int64),
        spans={},
        target_row=empty,
    )
