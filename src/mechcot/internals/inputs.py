"""What a reading is asked to read, and the checks that it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mechcot.errors import ReadingError


@dataclass(frozen=True)
class LeadIn:
    """Words that make the model answer now, and the answers whose probability is asked for.

    Attributes:
        ids: the lead-in's tokens, put after a prefix; may be empty.
        options: for each option the tokens that follow the lead-in, its terminator included.
    """

    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Target:
    """A claim whose object the model was about to name.

    Attributes:
        sid: the step of the claim.
        position: the completion token that is the first of the object.
        true_ids: the first tokens of all objects that would make the claim true.
        said_id: the first token of the object that the trace names.
    """

    sid: int
    position: int
    true_ids: tuple[int, ...]
    said_id: int


@dataclass(frozen=True)
class TraceInput:
    """One trace to read. Token positions count from the first token of the completion.

    Attributes:
        qid: question.
        arm: who wrote it.
        cid: which sample.
        token_ids: the completion as it was generated (end of text included if it was written).
        steps: (sid, tok_end) of each step in order; tok_end is exclusive.
        positions: for each position rule one token a step; -1 is the last token of the prompt.
        targets: claims to look at.
    """

    qid: str
    arm: str
    cid: int
    token_ids: Sequence[int]
    steps: Sequence[tuple[int, int]] = ()
    positions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    targets: Sequence[Target] = ()

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"question {self.qid!r}, arm {self.arm!r}, trace {self.cid}"

    def trunk_length(self) -> int:
        """How many of its tokens need a node: the last needs none if nothing is read after it."""
        ends = [end for _, end in self.steps]
        sites = [position + 1 for rule in self.positions.values() for position in rule]
        return max([len(self.token_ids) - 1, *ends, *sites])


@dataclass(frozen=True)
class QuestionInput:
    """A question's prompt, the traces to read after it, and the lead-ins to put to the model.

    Attributes:
        qid: question.
        prompt_ids: the rendered prompt's tokens.
        traces: the traces that follow this very prompt; any arms.
        forced: the lead-ins, in the order of the settings; all with the same options.
    """

    qid: str
    prompt_ids: Sequence[int]
    traces: Sequence[TraceInput]
    forced: tuple[LeadIn, ...] = ()

    @property
    def n_options(self) -> int:
        """How many options each lead-in has."""
        return len(self.forced[0].options) if self.forced else 0

    def forced_length(self) -> int:
        """How many tokens a forced answer adds below a prefix at most (its last needs no node)."""
        return max((len(lead.ids) + len(o) - 1 for lead in self.forced for o in lead.options), default=0)


def check_question(question: QuestionInput, rules: Sequence[str], vocab_size: int | None = None) -> None:
    """Refuse a question that no model could be made to read; traces are checked apart.

    Raises:
        ReadingError: an empty prompt, lead-ins with different numbers of options, an option
            without tokens, two options with the same tokens, a token outside the vocabulary.
    """
    where = f"question {question.qid!r}"
    if not len(question.prompt_ids):
        raise ReadingError(f"{where}: the prompt has no tokens; the first trace token has nothing to follow")
    for number, lead in enumerate(question.forced):
        if len(lead.options) != question.n_options:
            raise ReadingError(
                f"{where}: lead-in {number} has {len(lead.options)} options, lead-in 0 has "
                f"{question.n_options}"
            )
        first: dict[tuple[int, ...], int] = {}
        for i, option in enumerate(lead.options):
            if not option:
                raise ReadingError(f"{where}: option {i} has no tokens after lead-in {number}")
            if option in first:
                raise ReadingError(
                    f"{where}: options {first[option]} and {i} have the same tokens {list(option)} after "
                    f"lead-in {number}, so they cannot be told apart; give them different texts"
                )
            first[option] = i
    if vocab_size is not None:
        _check_vocabulary(question, vocab_size)
    names = [(trace.arm, trace.cid) for trace in question.traces]
    if len(set(names)) != len(names) or any(trace.qid != question.qid for trace in question.traces):
        raise ReadingError(
            f"{where}: its traces are {names}; each (arm, trace) must occur once, under its own qid"
        )
    for trace in question.traces:
        _check_positions(trace, rules)


def _check_vocabulary(question: QuestionInput, vocab_size: int) -> None:
    texts: list[tuple[str, Sequence[int]]] = [("the prompt", question.prompt_ids)]
    for lead in question.forced:
        texts += [("a lead-in", lead.ids), *(("an option", option) for option in lead.options)]
    for trace in question.traces:
        texts.append((f"trace {trace.cid} of arm {trace.arm!r}", trace.token_ids))
        texts += [(f"a target of trace {trace.cid}", (*t.true_ids, t.said_id)) for t in trace.targets]
    for what, ids in texts:
        if len(ids) and not 0 <= min(ids) <= max(ids) < vocab_size:
            bad = next(i for i in ids if not 0 <= i < vocab_size)
            raise ReadingError(
                f"question {question.qid!r}: {what} holds token {bad}, but the reader's vocabulary has "
                f"{vocab_size} tokens; author and reader must share a tokenizer"
            )


def _check_positions(trace: TraceInput, rules: Sequence[str]) -> None:
    n = len(trace.token_ids)
    for sid, end in trace.steps:
        if not 1 <= end <= n:
            raise ReadingError(
                f"{trace.name}, step {sid}: it ends before token {end}, the trace has {n} tokens"
            )
    for rule in rules:
        places = trace.positions.get(rule)
        if places is None or len(places) != len(trace.steps):
            raise ReadingError(
                f"{trace.name}: the position rule {rule!r} needs one token for each of "
                f"{len(trace.steps)} steps, it has {'none' if places is None else len(places)}"
            )
        for (sid, _), place in zip(trace.steps, places, strict=True):
            if not -1 <= place < n:
                raise ReadingError(
                    f"{trace.name}, step {sid}: rule {rule!r} points at token {place}; the trace has {n} "
                    f"tokens (-1 is the last token of the prompt)"
                )
    for target in trace.targets:
        if not 0 <= target.position < n or not target.true_ids:
            raise ReadingError(
                f"{trace.name}, step {target.sid}: a target needs a token of the trace (0 to {n - 1}) and a "
                f"true object; it has token {target.position} and {len(target.true_ids)} true objects"
            )


def trace_problem(question: QuestionInput, trace: TraceInput, max_positions: int | None) -> str | None:
    """Why a trace cannot be read although its question can, or None.

    Args:
        question: its question.
        trace: the trace.
        max_positions: how many positions the model has, None if unbounded.
    """
    if not len(trace.token_ids):
        return f"{trace.name}: the trace has no tokens"
    if max_positions is None:
        return None
    longest = len(question.prompt_ids) + trace.trunk_length()
    forced = (
        max((end for _, end in trace.steps), default=0) + len(question.prompt_ids) + question.forced_length()
    )
    if max(longest, forced) > max_positions:
        return (
            f"{trace.name}: prompt, trace and forced answer need {max(longest, forced)} positions "
            f"({len(question.prompt_ids)} prompt, {len(trace.token_ids)} trace, {question.forced_length()} "
            f"forced answer), the model has {max_positions}"
        )
    return None
