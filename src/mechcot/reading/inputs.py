"""What a reading is asked to read, and the checks that it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from mechcot.study.manifest import EVERY_TOKEN, STEP_RULES


@dataclass(frozen=True)
class LeadIn:
    """Words that make the model answer now, and the answers whose probability is asked for.

    Attributes:
        ids: the lead-in's tokens, put after a prefix; may be empty.
        options: for each option the tokens that follow the lead-in, its terminator included.
    """

    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]

    def __hash__(self) -> int:
        """A reading looks its lead-ins up at every prefix, so their tokens are gone through once."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.ids, self.options))


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
class KnockOut:
    """A forced answer that may not look at some tokens: does what they say matter to it?

    Attributes:
        k: after how many steps the answer is forced.
        sid: the step that is hidden.
        hidden: its first token and the one past its last.
        later: whether the text after those tokens is read without them too; else only the lead-in
            and the options are.
    """

    k: int
    sid: int
    hidden: tuple[int, int]
    later: bool = False


@dataclass(frozen=True)
class Seam:
    """Where an answer is forced after a step whose last token holds text beyond the step.

    Such a token cannot stand before the lead-in: what it holds of the step is put into tokens together with
    the lead-in, so that the text asked is the text up to the end of the step and the lead-in.

    Attributes:
        cut: how many tokens of the completion stand before the lead-in.
        leads: the tokens from there to the options, for each lead-in of the question.
    """

    cut: int
    leads: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TraceInput:
    """One trace to read. Token positions count from the first token of the completion.

    Attributes:
        qid: question.
        arm: who wrote it.
        cid: which sample.
        token_ids: the completion as it was generated (end of text included if it was written).
        steps: (sid, first token, one past the last token) of each step in order.
        positions: for each rule of the caller's own one token a step; -1 is the last token of the prompt.
        targets: claims to look at.
        knock_outs: forced answers with a step hidden.
        seams: for the number of each step (from 0) that ends inside a token, how the answer is forced there;
            after any other step it is forced behind the step's last token.
    """

    qid: str
    arm: str
    cid: int
    token_ids: Sequence[int]
    steps: Sequence[tuple[int, int, int]] = ()
    positions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    targets: Sequence[Target] = ()
    knock_outs: Sequence[KnockOut] = ()
    seams: Mapping[int, Seam] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"question {self.qid!r}, arm {self.arm!r}, trace {self.cid}"

    def spans(self, rule: str) -> list[tuple[int, int]]:
        """The tokens that a rule reads: first and one past the last for each step, or for each token."""
        if rule == "end":
            return [(end - 1, end) for _, _, end in self.steps]
        if rule == "start":
            return [(start, start + 1) for _, start, _ in self.steps]
        if rule == "mean":
            return [(start, end) for _, start, end in self.steps]
        if rule == "before":
            return [(start - 1, start) for _, start, _ in self.steps]
        if rule == EVERY_TOKEN:
            return [(i, i + 1) for i in range(len(self.token_ids))]
        return [(place, place + 1) for place in self.positions[rule]]

    def cut(self, step: int) -> int:
        """How many of its tokens stand before the lead-in after a step, by the step's number."""
        seam = self.seams.get(step)
        return self.steps[step][2] if seam is None else seam.cut

    def trunk_length(self, rules: Sequence[str] = ()) -> int:
        """How many of its tokens need a node: the last needs none if nothing is read after it."""
        ends = [end for _, _, end in self.steps]
        sites = [stop for rule in rules for _, stop in self.spans(rule)]
        return max([len(self.token_ids) - 1, *ends, *sites])


@dataclass(frozen=True)
class QuestionInput:
    """A question's prompt, the traces to read after it, and the lead-ins to put to the model.

    Attributes:
        qid: question.
        prompt_ids: the rendered prompt's tokens.
        traces: the traces that follow this very prompt; any arms.
        forced: the lead-ins, in the order of the settings; all with the same options.
        prior_ids: a prompt that says nothing of the question, after which the answers are forced once
            more: how probable each is anyway. Empty: not asked.
        permutation: which order of the options the prompt shows; 0 is the question's own. A reading
            of another order gives forced answers only. The options of `forced` keep their own order.
    """

    qid: str
    prompt_ids: Sequence[int]
    traces: Sequence[TraceInput]
    forced: tuple[LeadIn, ...] = ()
    prior_ids: Sequence[int] = ()
    permutation: int = 0

    @property
    def n_options(self) -> int:
        """How many options each lead-in has."""
        return len(self.forced[0].options) if self.forced else 0

    @property
    def n_answers(self) -> int:
        """How many answers are forced at a prefix."""
        return len(self.forced) * self.n_options

    def asked(self, trace: TraceInput, step: int) -> tuple[LeadIn, ...]:
        """The lead-ins that follow the trace's first `trace.cut(step)` tokens."""
        seam = trace.seams.get(step)
        if seam is None:
            return self.forced
        if all(lead.ids == ids for lead, ids in zip(self.forced, seam.leads, strict=True)):
            return self.forced
        return tuple(replace(lead, ids=ids) for lead, ids in zip(self.forced, seam.leads, strict=True))

    def prefixes(self, trace: TraceInput) -> list[tuple[int, tuple[LeadIn, ...]]]:
        """Of each step how many of the trace's tokens stand before the lead-ins, and these."""
        if not trace.seams:
            return [(end, self.forced) for _, _, end in trace.steps]
        return [(trace.cut(step), self.asked(trace, step)) for step in range(len(trace.steps))]


@lru_cache(maxsize=4096)
def forced_length(forced: tuple[LeadIn, ...]) -> int:
    """How many tokens a forced answer adds below a prefix at most (its last needs no node)."""
    return max((len(lead.ids) + len(o) - 1 for lead in forced for o in lead.options), default=0)


def whole_length(question: QuestionInput, trace: TraceInput) -> int:
    """Tokens of the longest text that is run for a trace: its prompt, the trace or a prefix, an answer."""
    asked = [cut + forced_length(forced) for cut, forced in question.prefixes(trace)]
    longest = max(len(trace.token_ids), forced_length(question.forced), *asked, 0)
    return max(len(question.prompt_ids) + longest, len(question.prior_ids) + forced_length(question.forced))


def question_problem(question: QuestionInput, vocab_size: int | None = None) -> str | None:
    """Why none of a question's traces can be read, or None.

    An empty prompt, lead-ins with different numbers of options, an option without tokens, two options
    with the same tokens, a token outside the vocabulary, a trace that is there twice.
    """
    where = f"question {question.qid!r}"
    if not len(question.prompt_ids):
        return f"{where}: the prompt has no tokens; the first trace token has nothing to follow"
    for number, lead in enumerate(question.forced):
        if len(lead.options) != question.n_options:
            return (
                f"{where}: lead-in {number} has {len(lead.options)} options, lead-in 0 has "
                f"{question.n_options}"
            )
        if problem := _option_problem(where, number, lead):
            return problem
    names = [(trace.arm, trace.cid) for trace in question.traces]
    if len(set(names)) != len(names) or any(trace.qid != question.qid for trace in question.traces):
        return f"{where}: its traces are {names}; each (arm, trace) must occur once, under its own qid"
    texts: list[tuple[str, Sequence[int]]] = [
        ("the prompt", question.prompt_ids),
        ("the prompt of the prior", question.prior_ids),
    ]
    for lead in question.forced:
        texts += [("a lead-in", lead.ids), *(("an option", option) for option in lead.options)]
    return _foreign_token(where, texts, vocab_size)


def _option_problem(where: str, number: int, lead: LeadIn) -> str | None:
    first: dict[tuple[int, ...], int] = {}
    for i, option in enumerate(lead.options):
        if not option:
            return f"{where}: option {i} has no tokens after lead-in {number}"
        if option in first:
            return (
                f"{where}: options {first[option]} and {i} have the same tokens {list(option)} after "
                f"lead-in {number}, so they cannot be told apart; give them different texts"
            )
        first[option] = i
    return None


def _foreign_token(
    where: str, texts: Sequence[tuple[str, Sequence[int]]], vocab_size: int | None
) -> str | None:
    for what, ids in texts:
        if vocab_size is not None and len(ids) and not 0 <= min(ids) <= max(ids) < vocab_size:
            bad = next(i for i in ids if not 0 <= i < vocab_size)
            return (
                f"{where}: {what} holds token {bad}, but the reader's vocabulary has {vocab_size} tokens; "
                f"author and reader must share a tokenizer"
            )
    return None


def trace_problem(
    question: QuestionInput,
    trace: TraceInput,
    rules: Sequence[str] = (),
    *,
    max_positions: int | None = None,
    vocab_size: int | None = None,
) -> str | None:
    """Why a trace cannot be read although its question can, or None.

    Args:
        question: its question.
        trace: the trace.
        rules: position rules that are wanted.
        max_positions: how many positions the model has, None if unbounded.
        vocab_size: how many tokens it has a row for.
    """
    n = len(trace.token_ids)
    if not n:
        return f"{trace.name}: the trace has no tokens"
    texts = [("the trace", trace.token_ids)]
    texts += [("a lead-in", ids) for seam in trace.seams.values() for ids in seam.leads]
    texts += [(f"the target of step {t.sid}", (*t.true_ids, t.said_id)) for t in trace.targets]
    problem = (
        _foreign_token(trace.name, texts, vocab_size)
        or _step_problem(trace)
        or _seam_problem(question, trace)
        or _rule_problem(trace, rules)
        or _aim_problem(trace)
    )
    if problem or max_positions is None:
        return problem
    prompt, answer = len(question.prompt_ids), forced_length(question.forced)
    asked = [cut + forced_length(forced) for cut, forced in question.prefixes(trace)]
    longest = prompt + max(trace.trunk_length(rules), answer, *asked)
    if longest > max_positions:
        return (
            f"{trace.name}: prompt, trace and forced answer need {longest} positions ({prompt} prompt, {n} "
            f"trace, {answer} forced answer), the model has {max_positions}"
        )
    return None


def _step_problem(trace: TraceInput) -> str | None:
    n = len(trace.token_ids)
    for sid, start, end in trace.steps:
        if not 0 <= start < end <= n:
            return (
                f"{trace.name}, step {sid}: it should hold the tokens {start} to {end - 1}; the trace has "
                f"{n} tokens (0 to {n - 1})"
            )
    return None


def _seam_problem(question: QuestionInput, trace: TraceInput) -> str | None:
    for step, seam in trace.seams.items():
        if not 0 <= step < len(trace.steps):
            return f"{trace.name}: a seam is given for step number {step}; it has {len(trace.steps)} steps"
        _, _, end = trace.steps[step]
        if not 0 <= seam.cut < end or len(seam.leads) != len(question.forced):
            return (
                f"{trace.name}, step {trace.steps[step][0]}: a seam needs a cut before the end of the step "
                f"(0 to {end - 1}) and {len(question.forced)} lead-ins; it cuts at {seam.cut} and has "
                f"{len(seam.leads)}"
            )
    return None


def _rule_problem(trace: TraceInput, rules: Sequence[str]) -> str | None:
    n = len(trace.token_ids)
    for rule in rules:
        if rule in STEP_RULES or rule == EVERY_TOKEN:
            continue
        places = trace.positions.get(rule)
        if places is None or len(places) != len(trace.steps):
            return (
                f"{trace.name}: the position rule {rule!r} needs one token for each of "
                f"{len(trace.steps)} steps, it has {'none' if places is None else len(places)}"
            )
        for (sid, _, _), place in zip(trace.steps, places, strict=True):
            if not -1 <= place < n:
                return (
                    f"{trace.name}, step {sid}: rule {rule!r} points at token {place}; the trace has {n} "
                    f"tokens (-1 is the last token of the prompt)"
                )
    return None


def _aim_problem(trace: TraceInput) -> str | None:
    n = len(trace.token_ids)
    for target in trace.targets:
        if not 0 <= target.position < n or not target.true_ids:
            return (
                f"{trace.name}, step {target.sid}: a target needs a token of the trace (0 to {n - 1}) and a "
                f"true object; it has token {target.position} and {len(target.true_ids)} true objects"
            )
    for knock_out in trace.knock_outs:
        start, end = knock_out.hidden
        if not (1 <= knock_out.k <= len(trace.steps) and 0 <= start < end <= trace.cut(knock_out.k - 1)):
            return (
                f"{trace.name}: a knock-out hides tokens {start} to {end - 1} from the answer after "
                f"{knock_out.k} steps; they must lie before the lead-in there, and the trace has "
                f"{len(trace.steps)} steps"
            )
    return None
