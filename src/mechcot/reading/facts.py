"""What a model says of a list of facts: each asked alone and in its place, texts of one length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechcot.core.fact_records import FORMS
from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.anatomy import Anatomy, anatomy_of, as_found, head_logits, hidden_of
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.devices import device_of
from mechcot.reading.scoring import CHUNK_LOGITS
from mechcot.tasks import Fact, PromptFormat, forced_ids, render_prompt
from mechcot.tasks.pairs import PAIR
from mechcot.tasks.tokens import Tokens, adds_bos, continuation, decode, following, shared_prefix

TOKENS = 4096
"""Of one forward pass; fixed, so that no number depends on the machine's memory."""


@dataclass(frozen=True)
class Text:
    """A text that is run for a fact.

    Attributes:
        fact: the number of the fact.
        form: one of `FORMS`.
        part: which of the form's texts: of a pair, its statement, and in its place order and statement.
        ids: its tokens.
        start: its tokens from here on are scored; the end: what would come next is.
        truth: of what would come next, the tokens that begin true objects.
    """

    fact: int
    form: str
    part: int
    ids: tuple[int, ...]
    start: int
    truth: tuple[int, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A list of facts as texts of one tokenizer.

    Attributes:
        texts: to be run.
        undecided: facts and forms that cannot be asked, with the reason.
    """

    texts: tuple[Text, ...]
    undecided: dict[tuple[int, str], str]


def asked_of(facts: Sequence[Fact], form: PromptFormat, tokenizer: Any, window: int | None) -> Asked:
    """Put a list of facts into tokens.

    Args:
        facts: the list.
        form: how questions are put.
        tokenizer: of the model that is asked.
        window: the longest text that it takes, in tokens; None: any.
    """
    first = cache(partial(_first_token, tokenizer))
    texts: list[Text] = []
    undecided: dict[tuple[int, str], str] = {}
    for number, fact in enumerate(facts):
        for way in FORMS:
            if fact.kind == PAIR:
                found = list(_pair_texts(number, fact, way, form, tokenizer))
                why = ""
            else:
                own, why = _fact_text(number, fact, way, form, tokenizer, first)
                found = [own]
            if not why and window is not None and any(len(text.ids) > window for text in found):
                why = f"longer than the window of {window} tokens"
            if why:
                undecided[number, way] = why
            else:
                texts += found
    return Asked(tuple(texts), undecided)


def _first_token(tokenizer: Any, name: str) -> int:
    """The token that begins a name behind a text."""
    return following(tokenizer, f" {name}")[0]


def _fact_text(
    number: int, fact: Fact, way: str, form: PromptFormat, tokenizer: Any, first: Any
) -> tuple[Text, str]:
    """The text before a fact's object, and why its objects cannot be told apart there."""
    if way == "bare":
        ids = _whole(tokenizer, fact.bare)
    else:
        prompt, head = render_prompt(fact.question, form, tokenizer)
        alone = Tokens(tokenizer(fact.reasoning, add_special_tokens=False)["input_ids"], [])
        behind = continuation(tokenizer, prompt, head, fact.reasoning, alone) or alone
        ids = [*head, *behind.ids]
    truth = dict.fromkeys(first(name) for name in fact.truth)
    wrong = [name for name in fact.objects if name not in fact.truth]
    same = next((name for name in wrong if first(name) in truth), None)
    why = "" if same is None else f"its truth and {same!r} begin with the same token"
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown in truth:
        why = "the tokenizer does not know its truth"
    return Text(number, way, 0, tuple(ids), len(ids), tuple(truth)), why


def _pair_texts(number: int, fact: Fact, way: str, form: PromptFormat, tokenizer: Any) -> Iterator[Text]:
    """Both statements of a pair: by themselves, or as the options of a question in both orders."""
    if way == "bare":
        rows = [_whole(tokenizer, text) for text in fact.objects]
        shared = shared_prefix(rows)
        if not shared:  # a first token has no probability of its own: behind the end of another text it has
            rows, shared = [[tokenizer.eos_token_id, *row] for row in rows], 1
        for part, row in enumerate(rows):
            yield Text(number, way, part, tuple(row), shared)
        return
    for order, options in enumerate((fact.question.options, fact.question.options[::-1])):
        question = _posed(fact, options, form)
        prompt = render_prompt(question, form, tokenizer)[1]
        lead, ends = forced_ids(question, form.lead_in[0], form, tokenizer)
        for place, end in enumerate(ends):
            part = 2 * order + (place if order == 0 else 1 - place)
            ids = (*prompt, *lead, *end)
            yield Text(number, way, part, ids, len(ids) - len(end))


def _posed(fact: Fact, options: tuple[str, ...], form: PromptFormat) -> Any:
    """The question of a pair; a format that shows no options has them in the stem."""
    from dataclasses import replace

    shows = "{options}" in form.question
    stem = fact.question.stem if shows else "\n".join([fact.question.stem, *options])
    return replace(fact.question, stem=stem, options=options, open=not shows)


def _whole(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [tokenizer.bos_token_id, *ids] if adds_bos(tokenizer) else ids


def read_facts(
    checkpoint: Checkpoint,
    facts: Sequence[Fact],
    form: PromptFormat,
    *,
    arm: str,
    work: Path,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Ask a model a list of facts, alone and in their places.

    Finished batches are kept in `work`, so that a killed run goes on with the next.

    Returns:
        Rows of `fact_records.KNOWN`, two a fact, in the order of the list.

    Raises:
        ReadingError: the model has no parts where they are looked for.
    """
    anatomy, tokenizer = anatomy_of(checkpoint.model), checkpoint.tokenizer
    asked = asked_of(facts, form, tokenizer, anatomy.max_positions)
    tasks = [
        WorkUnit(content_key([[text.ids, text.start, text.truth] for text in batch]), (batch,), len(batch))
        for batch in _batches(asked.texts)
    ]
    journal, answers = Journal(work / "journal.jsonl"), {}
    total, done = sum(task.size for task in tasks), done_of(tasks, journal)
    try:
        with Progress(f"facts, {arm}", total, "text", shown=progress, done=done) as bar:
            map_tasks(_run, tasks, anatomy, journal=journal, bar=bar)
    finally:
        journal.close()
    for task in tasks:
        for text, answer in zip(task.arguments[0], journal.results[task.key], strict=True):
            answers[text.fact, text.form, text.part] = answer
    return [
        {"fid": fact.fid, "arm": arm, "form": way}
        | _row(number, fact, way, asked.undecided.get((number, way), ""), answers, tokenizer)
        for number, fact in enumerate(facts)
        for way in FORMS
    ]


def _batches(texts: Sequence[Text]) -> Iterator[tuple[Text, ...]]:
    """Texts of one length together: none needs padding."""
    by_length: dict[int, list[Text]] = {}
    for text in texts:
        by_length.setdefault(len(text.ids), []).append(text)
    for length in sorted(by_length):
        own, size = by_length[length], max(1, TOKENS // length)
        yield from (tuple(own[at : at + size]) for at in range(0, len(own), size))


def _run(anatomy: Anatomy, task: WorkUnit) -> list[list[float]]:
    """Of each text: the log-probability of its scored tokens; or of its truth, and what comes first."""
    with as_found(anatomy.decoder), as_found(anatomy.head):
        return _answers(anatomy, task.arguments[0])


def _answers(anatomy: Anatomy, batch: Sequence[Text]) -> list[list[float]]:
    ids = torch.tensor([text.ids for text in batch], device=anatomy.device)
    hidden = hidden_of(_decoded(anatomy, ids)).to(device_of(anatomy.head))
    rows = [(i, at) for i, text in enumerate(batch) for at in _places(text)]
    states = hidden[[i for i, _ in rows], [at for _, at in rows]]
    size = max(1, CHUNK_LOGITS.get(states.device.type, 2**24) // anatomy.vocab_size)
    found: list[list[float]] = [[0.0] if not text.truth else [] for text in batch]
    for first in range(0, len(rows), size):
        logits = head_logits(anatomy, states[first : first + size]).double()
        logp = torch.log_softmax(logits, -1)
        for (i, at), own in zip(rows[first : first + size], logp, strict=True):
            text = batch[i]
            if text.truth:
                found[i] = _next(own, text.truth)
            else:
                found[i][0] += float(own[text.ids[at + 1]])
    return found


def _decoded(anatomy: Anatomy, ids: Tensor) -> Any:
    output = anatomy.decoder(input_ids=ids, use_cache=False)
    return getattr(output, "last_hidden_state", output)


def _places(text: Text) -> range:
    """Where a text's hidden states are wanted: before each scored token, or at its end."""
    last = len(text.ids) - 1
    return range(last, last + 1) if text.truth else range(text.start - 1, last)


def _next(logp: Tensor, truth: Sequence[int]) -> list[float]:
    """Probability of the truth, the margin of its likeliest token over any other, and the first token."""
    true = logp[list(truth)]
    others = logp.clone()
    others[list(truth)] = -torch.inf
    return [float(true.exp().sum()), float(true.max() - others.max()), float(logp.argmax())]


def _row(
    number: int, fact: Fact, way: str, why: str, answers: dict[tuple[int, str, int], Any], tokenizer: Any
) -> dict[str, Any]:
    """A form's answer of a fact: its state, and the numbers behind it."""
    if why:
        return _undecided(why)
    if fact.kind != PAIR:
        p, margin, first = answers[number, way, 0]
        if not np.isfinite(margin):
            return _undecided("its probabilities are not finite")
        why = "a true and another token are equally likely" if margin == 0 else ""
        said = decode(tokenizer, [int(first)]).strip()
        return _told([margin], p, said, why)
    parts = 2 if way == "bare" else 4
    logp = [answers[number, way, part][0] for part in range(parts)]
    margins = [logp[part] - logp[part + 1] for part in range(0, parts, 2)]
    if not np.isfinite(margins).all():
        return _undecided("its probabilities are not finite")
    p = float(np.mean([1 / (1 + np.exp(-margin)) for margin in margins]))
    tie = "both statements are equally likely" if way == "bare" else "the order of the two decides"
    why = "" if min(margins) > 0 or max(margins) < 0 else tie
    said = fact.objects[0 if margins[0] > 0 else 1]
    return _told(margins, p, "" if why else said, why)


def _told(margins: Sequence[float], p: float, first: str, why: str) -> dict[str, Any]:
    margin = float(np.mean(margins))
    state = "undecided" if why else "known" if margin > 0 else "unknown"
    return {"state": state, "reason": why, "p_truth": p, "margin": margin, "first": first}


def _undecided(why: str) -> dict[str, Any]:
    return {"state": "undecided", "reason": why, "p_truth": None, "margin": None, "first": ""}
