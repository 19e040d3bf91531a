"""From a study's tables to a reading: which tokens of which traces a reader is asked about."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.core import records
from mechcot.core.errors import ReadingError
from mechcot.core.files import digest, write_json
from mechcot.core.plan import Expense
from mechcot.core.sites import SITES
from mechcot.models.checkpoint import load, load_tokenizer
from mechcot.models.weights import load_config
from mechcot.reading.folder import read_to_folder
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, Target, TraceInput
from mechcot.reading.plan import plan_reading
from mechcot.reading.seams import Leads, lead_ids, seams_of
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task, forced_ids, question_of, render_prompt
from mechcot.tasks.tokens import decode, shared_prefix

log = logging.getLogger("mechcot")

DECISION = "decision"
"""Position rule of claims: the last token before the place of a hedge (for a step without a claim, the
token before the step). It is kept wherever the task reads claims."""


def read_arm(
    study: Study, author: str, reader: str, work: Path, task: Task, folder: Path, *, progress: bool
) -> None:
    """Read an author's traces with a reader's weights into the study.

    Raises:
        ReadingError: author and reader do not share a tokenizer; as `read_to_folder`.
    """
    settings = study.settings
    checkpoint = load(settings.arms[reader], folder, settings.device)
    task = with_lead_ins(study, task)
    inputs = question_inputs(study, author, task, checkpoint.tokenizer)
    other = plan_reading([question for question in inputs if question.permutation], 2**40)
    if other.tree_tokens:
        log.info("other orders of the options: %d tokens beside the reading's own", other.tree_tokens)
    out = study.reading_path(author, reader)
    done = read_to_folder(
        Reader(checkpoint.model, reader, _recorded_digest(study, folder)),
        inputs,
        spec_of(study, author),
        ReadingFolder(out, work),
        about=_digests(study, author, task, checkpoint.tokenizer),
        progress=progress,
    )
    skipped = [*_without_steps(study, author), *done.skipped]
    for reason in skipped:
        log.warning("left out of the reading: %s", reason)
    counts = ("questions", "traces", "steps", "straddles", "bare_tokens", "tree_tokens")
    told = {name: value for name, value in asdict(done).items() if name in counts}
    write_json(out / "reading.json", told | {"skipped": skipped})


def with_lead_ins(study: Study, task: Task) -> Task:
    """The task with the reading's further lead-ins behind its own; nothing but a reading asks in them."""
    lead_in = (*task.format.lead_in, *study.settings.reading.lead_ins)
    return replace(task, format=replace(task.format, lead_in=lead_in))


def price(study: Study, author: str, reader: str, task: Task, folder: Path) -> Expense:
    """What reading an author's traces with a reader's weights will take; nothing is run.

    Raises:
        ReadingError: a layer that the reader has not; author and reader do not share a tokenizer.
    """
    arm, spec, task = study.settings.arms[reader], spec_of(study, author), with_lead_ins(study, task)
    tokenizer = load_tokenizer(folder, trust_remote_code=arm.trust_remote_code)
    inputs = [q for q in question_inputs(study, author, task, tokenizer) if q.traces]
    own = [q for q in inputs if not q.permutation]
    whole, plain = (plan_reading(questions, 2**40, spec.rules) for questions in (inputs, own))
    reads = [trace for question in own for trace in question.traces]
    rows = sum(len(trace.spans(rule)) for trace in reads for rule in spec.rules)
    orders = whole.tree_tokens - plain.tree_tokens
    times = whole.tree_tokens / max(1, plain.bare_tokens)
    note = (
        f"{sum(len(trace.steps) for trace in reads):,} steps; {times:.2f} times the tokens of a plain pass "
        f"over the traces ({whole.separate_tokens:,} with one run for each prefix)"
    )
    return Expense(
        f"{author} read by {reader}",
        len(reads),
        "traces",
        tokens_in=whole.tree_tokens,
        disk=rows * _row_bytes(study, reader, folder),
        note=note + (f"; {orders:,} of the tokens are for other orders of the options" if orders else ""),
    )


def _row_bytes(study: Study, reader: str, folder: Path) -> int:
    """Bytes of the activations kept at one position, by the reader's configuration alone."""
    arm, settings = study.settings.arms[reader], study.settings.reading
    config = load_config(folder, trust_remote_code=arm.trust_remote_code).get_text_config()
    every = range(config.num_hidden_layers + 1)
    layers = every if settings.layers is None else settings.layers
    if strange := sorted(set(layers) - set(every)):
        raise ReadingError(f"{reader} has layers 0 (embedding) to {every[-1]}, asked for {strange}")
    places = sum(layer > 0 or SITES[site].embedding for site in settings.sites for layer in layers)
    named = str(config.dtype).removeprefix("torch.") if arm.dtype == "auto" else arm.dtype
    return places * int(config.hidden_size) * (2 if named in ("bfloat16", "float16") else 4)


def spec_of(study: Study, author: str) -> ReadingSpec:
    """What the settings ask of a reading, and the rule `decision` where the task reads claims."""
    settings = study.settings.reading
    claims = () if study.claims(author).empty else (DECISION,)
    rules = tuple(dict.fromkeys((*settings.rules, *claims)))
    return ReadingSpec(
        layers=settings.layers,
        sites=settings.sites,
        rules=rules,
        lens=settings.lens,
        max_tokens=settings.max_tokens,
        skip_unreadable=True,
    )


def question_inputs(study: Study, author: str, task: Task, tokenizer: Any) -> list[QuestionInput]:
    """What is read of an author's traces: the first few of each question of the contrast's domain.

    Readings of other orders of the options stand after the questions' own.

    Raises:
        ReadingError: a trace's tokens are not its text in the reader's tokenizer, or its prompt does not
            begin as the reader's own do.
    """
    limit = study.settings.reading.traces_per_question
    traces, steps, claims = study.traces(author), study.steps(author), study.claims(author)
    by_question = records.rows_by_key(traces[traces.cid < limit], ["qid"])
    steps_of = records.rows_by_key(steps[steps.cid < limit], ["qid", "cid"])
    claims_of = records.rows_by_key(claims[claims.cid < limit], ["qid", "cid"])
    inputs, permuted = [], []
    for row in records.rows(study.questions(study.settings.contrast.domain)):
        question = question_of(row)
        found = by_question.get((question.qid,))
        if not found:
            continue  # an arm that is given as traces may lack some
        leads = cache(partial(lead_ids, question, task.format, tokenizer))
        read = tuple(
            _trace_input(trace, steps_of[key], claims_of.get(key, []), tokenizer, study, leads)
            for trace in found
            if (key := (trace.qid, trace.cid)) in steps_of
        )
        prompt_ids = tuple(int(i) for i in found[0].prompt_ids)
        unsaid = tuple(render_prompt(replace(question, stem=""), task.format, tokenizer)[1])
        _refuse_other_start(found[0], prompt_ids, unsaid, tokenizer.bos_token_id)
        _refuse_other_prompt(
            found[0], prompt_ids, render_prompt(question, task.format, tokenizer)[1], tokenizer
        )
        forced = _lead_ins(question, task, tokenizer)
        inputs.append(QuestionInput(question.qid, prompt_ids, read, forced, unsaid))
        for number, order in enumerate(_orders(study, question), start=1):
            permuted.append(_permuted(question, order, number, read, task, tokenizer))
    return [*inputs, *permuted]


def _refuse_other_start(trace: Any, prompt: Sequence[int], own: Sequence[int], bos: int | None) -> None:
    """Refuse a prompt with more or fewer beginning-of-text tokens than the reader's own prompts have."""
    found, wanted = (sum(1 for _ in takewhile(lambda i: i == bos, ids)) for ids in (prompt, own))
    if found != wanted:
        raise ReadingError(
            f"question {trace.qid!r}, arm {trace.arm!r}: its prompt begins with {found} beginning-of-text "
            f"tokens, the reader's tokenizer and template define {wanted}. Name another reader"
        )


def _refuse_other_prompt(trace: Any, prompt: Sequence[int], own: Sequence[int], tokenizer: Any) -> None:
    """Refuse a prompt that is not what the reader's tokenizer and template make of the question."""
    if list(prompt) == list(own):
        return
    at = shared_prefix([prompt, own])
    wrote, reads = (decode(tokenizer, list(ids[at : at + 12])) for ids in (prompt, own))
    raise ReadingError(
        f"question {trace.qid!r}, arm {trace.arm!r}: from token {at} on it was asked {wrote!r}, and the "
        f"reader's chat template has {reads!r} there. Name another reader, or one template for all "
        "(prompt.template)"
    )


def _without_steps(study: Study, author: str) -> list[str]:
    """The traces of which nothing is read because they have no step, each named."""
    traces, steps = study.traces(author), study.steps(author)
    asked = set(study.questions(study.settings.contrast.domain).qid)
    found = set(zip(steps.qid, steps.cid, strict=True))
    first = traces[(traces.cid < study.settings.reading.traces_per_question) & traces.qid.isin(asked)]
    return [
        f"question {trace.qid!r}, arm {author!r}, trace {trace.cid}: the trace has no "
        f"{'steps' if len(trace.token_ids) else 'tokens'}"
        for trace in records.rows(first)
        if (trace.qid, trace.cid) not in found
    ]


def _orders(study: Study, question: Question) -> list[tuple[int, ...]]:
    """Other orders of a question's options, drawn without repeats from the study's seed."""
    if question.open:  # its prompt shows none
        return []
    n = len(question.options)
    wanted = min(study.settings.reading.permutations, math.factorial(n) - 1)
    rng = np.random.default_rng([study.settings.seed, zlib.crc32(question.qid.encode())])
    orders: dict[tuple[int, ...], None] = {tuple(range(n)): None}
    while len(orders) <= wanted:
        orders.setdefault(tuple(int(i) for i in rng.permutation(n)))
    return list(orders)[1:]


def _permuted(
    question: Question,
    order: tuple[int, ...],
    number: int,
    traces: Sequence[TraceInput],
    task: Task,
    tokenizer: Any,
) -> QuestionInput:
    """The same traces after a prompt that shows the options in another order; answers only."""
    shown = replace(
        question, options=tuple(question.options[i] for i in order), gold=order.index(question.gold)
    )
    place = [order.index(i) for i in range(len(order))]
    forced = tuple(
        LeadIn(lead.ids, tuple(lead.options[i] for i in place)) for lead in _lead_ins(shown, task, tokenizer)
    )
    bare = tuple(replace(trace, positions={}, targets=(), knock_outs=()) for trace in traces)
    prompt = tuple(render_prompt(shown, task.format, tokenizer)[1])
    return QuestionInput(question.qid, prompt, bare, forced, permutation=number)


def _lead_ins(question: Question, task: Task, tokenizer: Any) -> tuple[LeadIn, ...]:
    """The lead-ins and their options; an option that is nothing to the tokenizer has no tokens."""
    written = [task.format.written(question, i) for i in range(len(question.options))]
    said = [bool(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in written]
    leads = [forced_ids(question, text, task.format, tokenizer) for text in task.format.lead_in]
    # Left alone, such an option would be its terminator, and pass for an answer.
    return tuple(
        LeadIn(ids, tuple(o if there else () for o, there in zip(options, said, strict=True)))
        for ids, options in leads
    )


def _trace_input(
    trace: Any, steps: Sequence[Any], claims: Sequence[Any], tokenizer: Any, study: Study, leads: Leads
) -> TraceInput:
    decision = {claim.sid: claim.tok_decision for claim in claims}
    ids = [int(i) for i in trace.token_ids]
    if decode(tokenizer, ids[:-1] if trace.finish_reason == "stop" else ids) != trace.text:
        raise ReadingError(
            f"question {trace.qid!r}, arm {trace.arm!r}, trace {trace.cid}: its tokens are another text to "
            f"the reader's tokenizer; author and reader must share a tokenizer. Name another reader"
        )
    targets = (_target(claim, ids, tokenizer) for claim in claims)
    seams = seams_of(tokenizer, trace.text, ids, list(trace.token_start), steps, leads)
    whole = TraceInput(
        qid=trace.qid,
        arm=trace.arm,
        cid=int(trace.cid),
        token_ids=ids,
        steps=[(int(s.sid), int(s.tok_start), int(s.tok_end)) for s in steps],
        positions={DECISION: [int(decision.get(s.sid, s.tok_start - 1)) for s in steps]},
        targets=[target for target in targets if target is not None],
        seams=seams,
    )
    return replace(whole, knock_outs=_knock_outs(whole, steps, study.settings.reading.knock_out))


def _knock_outs(trace: TraceInput, steps: Sequence[Any], scope: str) -> list[KnockOut]:
    """Each step hidden from the answer forced at the last prefix before the answer is stated.

    Of a step that ends inside a token right there, what stands before the lead-in is hidden.
    """
    k = next((number for number, step in enumerate(steps) if step.states_answer), len(steps))
    if scope == "none" or not k:
        return []
    hidden = [(sid, start, min(end, trace.cut(k - 1))) for sid, start, end in trace.steps[:k]]
    return [
        KnockOut(k, sid, (start, end), later=scope == "later") for sid, start, end in hidden if start < end
    ]


def _target(claim: Any, token_ids: Sequence[int], tokenizer: Any) -> Target | None:
    """The claim's object token and the first tokens of the true objects.

    True objects are tokenised as the said one was, with or without a blank before it. A said object
    that the tokenizer would not begin with the token written has no such form: no target.
    """
    said = token_ids[claim.tok_object]
    for blank in ("", " "):
        if _first_token(tokenizer, blank + claim.object) == said:
            true = dict.fromkeys(_first_token(tokenizer, blank + text) for text in claim.truth)
            return Target(int(claim.sid), int(claim.tok_object), tuple(true), said)
    return None


def _first_token(tokenizer: Any, text: str) -> int:
    return int(tokenizer(text, add_special_tokens=False)["input_ids"][0])


def _digests(study: Study, author: str, task: Task, tokenizer: Any) -> dict[str, str]:
    """What the rows and positions of a store of activations rest on."""
    later = ("items", "template")  # of studies without them nothing is said, so that older stores stay
    told = {name: value for name, value in asdict(task.format).items() if name not in later or value}
    form = json.dumps(told, sort_keys=True, default=str)
    return {
        "tokenizer_digest": _sha256(json.dumps(sorted(tokenizer.get_vocab().items()))),
        "template_digest": _sha256(f"{tokenizer.chat_template}\n{form}"),
        "steps_digest": digest(study.arm_path(author) / "steps.parquet"),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded_digest(study: Study, folder: Path) -> str:
    """The digest that the study's manifest has for a checkpoint."""
    from mechcot.core.manifest import load_manifest

    for record in load_manifest(study.path)["stages"].values():
        for name, found in record["outputs"].items():
            if study.path / name == folder:
                return str(found)
        if str(folder) in record["outside"]:
            return str(record["outside"][str(folder)]["digest"])
    return digest(folder)
