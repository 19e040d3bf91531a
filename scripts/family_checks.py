"""What mechcot does with one family, beside the plain runs of the same weights in transformers.

The reference is the model in memory, called as its own documentation does; mechcot gets the checkpoint that
was saved of it. No part of a reference goes through mechcot: streams are transformers' own `hidden_states`, a
step is hidden by an `attention_mask` of zeros and ones, an edit is one forward hook.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from family_models import EOS, NOT_BUILT, WORDS, configuration, model_of, save_tokenizer
from mechcot.core.errors import MechcotError, ReadingError, SamplingError, said
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.core.settings import ArmSettings
from mechcot.models.anatomy import anatomy_of, hidden_of
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.interventions import add, replace
from mechcot.reading.batch import unpack
from mechcot.reading.bridges import to_nnsight, to_transformer_lens
from mechcot.reading.certificate import certify
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, TraceInput
from mechcot.reading.reader import plan_for, read_batch
from mechcot.reading.selfcheck import usable
from mechcot.reading.spec import ReadingSpec, Recipe, recipe_for
from mechcot.sampling import Prompt, sample

ALLOWED = 1e-3
"""As in the reading's self-check in float32: nats, or the share of the largest entry."""

TRUE, REFUSED, UNBUILT, CRASH, MISMATCH = "true", "refused", "not built", "crash", "MISMATCH"
NO_REFERENCE = "no reference"
OUTCOMES = (TRUE, REFUSED, UNBUILT, NO_REFERENCE, CRASH, MISMATCH)

NEW_TOKENS = 20


@dataclass(frozen=True)
class Cell:
    """What one column of the table says of a family.

    Attributes:
        outcome: one of `OUTCOMES`.
        found: the largest deviation from the reference; None: nothing was compared.
        says: the reason, or in which way it was done.
    """

    outcome: str
    found: float | None = None
    says: str = ""


@dataclass(frozen=True)
class Family:
    """One family's model, and the checkpoint that mechcot loaded of it."""

    plain: Any
    checkpoint: Checkpoint

    @property
    def model(self) -> Any:
        """The model that mechcot loaded."""
        return self.checkpoint.model

    @functools.cached_property
    def recipe(self) -> Recipe:
        """How it is to be read, by the self-check that comes before every reading."""
        anatomy = anatomy_of(self.model)
        asked = recipe_for(anatomy, ReadingSpec(rules=("end",), lens=anatomy.norm is not None))
        try:
            return usable(self.model, _questions(), asked)[0]
        except ReadingError as error:
            if "without the lens" not in str(error):
                raise
            return usable(self.model, _questions(), dataclasses.replace(asked, lens=False))[0]


Worst = Callable[[float], None]


def cells_of(name: str) -> dict[str, Cell]:
    """Every column of one family's row, by its `model_type`."""
    if name in NOT_BUILT:
        return dict.fromkeys(COLUMNS, Cell(UNBUILT, says=NOT_BUILT[name]))
    try:
        plain = model_of(configuration(name))
    except Exception as error:
        says = f"transformers cannot make it: {said(error)}"
        return dict.fromkeys(COLUMNS, Cell(UNBUILT, says=says))
    with tempfile.TemporaryDirectory() as folder:
        try:
            with torch.inference_mode():
                plain(input_ids=torch.tensor([_text(8, 0)]), use_cache=False)
            plain.save_pretrained(folder)
            save_tokenizer(Path(folder))
        except Exception as error:
            return dict.fromkeys(COLUMNS, Cell(UNBUILT, says=f"transformers cannot run it: {said(error)}"))
        try:
            family = Family(plain, load(ArmSettings(model=folder), device="cpu"))
        except Exception as error:
            return dict.fromkeys(COLUMNS, _failed(error, folder))
        return {column: _cell(function, family, folder) for column, function in COLUMNS.items()}


def _cell(function: Callable[[Family, list[float]], str], family: Family, folder: str) -> Cell:
    found: list[float] = []
    try:
        with torch.no_grad():
            says = function(family, found)
    except Exception as error:
        return _failed(error, folder)
    worst = max(found) if np.isfinite(found).all() else float("inf")
    return Cell(TRUE if worst <= ALLOWED else MISMATCH, float(f"{worst:.2g}"), says)


def _failed(error: Exception, folder: str) -> Cell:
    if isinstance(error, MechcotError):
        return Cell(REFUSED, says=f"{error}".replace(folder, "FOLDER"))
    if isinstance(error, NoReference):
        return Cell(NO_REFERENCE, says=f"{error}")
    return Cell(CRASH, says=said(error).replace(folder, "FOLDER"))


class CheckFailed(MechcotError):
    """`mechcot check` says FAIL."""


class NoReference(Exception):
    """There is nothing to compare with."""


def check(family: Family, found: list[float]) -> str:
    """`mechcot check`: its verdict, and the largest difference that it found."""
    certificate = certify(family.checkpoint)
    for finding in certificate.findings:
        if not finding.passed:
            number = "" if finding.found is None else f"{finding.found:.2g} {finding.unit}; "
            raise CheckFailed(f"check says FAIL: {finding.name}: {number}{finding.note}".rstrip("; "))
        if finding.unit.startswith(("nats", "of the")):
            found.append(finding.found or 0.0)
    return certificate.findings[0].note


def reading(family: Family, found: list[float]) -> str:
    """Forced answers, surprisals and activations, each against one plain run of its very text."""
    questions = _questions()
    recipe = family.recipe
    for batch, read in _read(family, questions, recipe):
        question, trace = questions[read.question], read.source
        row = [(r.question, r.trace) for r in unpack(*batch)].index((read.question, read.trace))
        first = sum(len(r.source.steps) for r in list(unpack(*batch))[:row])
        layers = [n for n in anatomy_of(family.model).layers if n]
        logp, _ = _plain(family, [*question.prompt_ids, *trace.token_ids])
        for i, token in enumerate(trace.token_ids):
            found.append(abs(float(read.surprisal[i]) + float(logp[len(question.prompt_ids) + i - 1, token])))
        for n, (_, _, end) in enumerate(trace.steps):
            prefix = [*question.prompt_ids, *trace.token_ids[:end]]
            _, streams = _plain(family, prefix)
            kept = [batch[1].acts[f"resid_post.{layer}@end"][first + n] for layer in layers]
            found.append(_streams_off(kept, [stream[-1] for stream in streams]))
            found += _answers_off(family, question, prefix, read.forced[0, n])
    return "text by text" if recipe.alone else "by trees"


def knock_out(family: Family, found: list[float]) -> str:
    """A step hidden from all that follows: a plain run whose `attention_mask` is 0 there.

    Hidden from the lead-in alone: a cache of the whole text, and such a mask for what is read after it.
    """
    for later in (True, False):
        questions = [_hiding(question, later) for question in _questions()]
        for _, read in _read(family, questions, family.recipe):
            question, trace = questions[read.question], read.source
            for knock, row in zip(trace.knock_outs, read.knocked[0], strict=True):
                end = trace.steps[knock.k - 1][2]
                prefix = [*question.prompt_ids, *trace.token_ids[:end]]
                hidden = [len(question.prompt_ids) + place for place in knock.hidden]
                found += _answers_off(family, question, prefix, row, hidden, later)
    return ""


def interventions(family: Family, found: list[float]) -> str:
    """A vector added at a layer, or put in place of a token's stream, against one plain hook."""
    plain, model = family.plain, family.model
    blocks, ids = anatomy_of(plain).blocks, torch.tensor([_text(20, 5)])
    width = anatomy_of(plain).d_model
    vector = torch.randn(width, generator=torch.Generator().manual_seed(1))
    layer, place = len(blocks) // 2, 7

    def everywhere(module: Any, args: Any, output: Any) -> Any:
        return _with(output, hidden_of(output) + vector)

    def there(module: Any, args: Any, output: Any) -> Any:
        hidden = hidden_of(output).clone()
        hidden[:, place] = vector
        return _with(output, hidden)

    before = model(input_ids=ids, use_cache=False).logits
    for edit, hook in (
        (add(model, vector, layers=[layer]), everywhere),
        (replace(model, vector, layers=[layer], positions=[place]), there),
    ):
        with edit:
            edited = model(input_ids=ids, use_cache=False).logits
        handle = blocks[layer - 1].register_forward_hook(hook)
        try:
            wanted = plain(input_ids=ids, use_cache=False).logits
        finally:
            handle.remove()
        found.append(float((edited - wanted).abs().max() / wanted.abs().max()))
        if float((edited - before).abs().max()) < 1e-3:
            found.append(float("inf"))  # an edit that does nothing
    after = model(input_ids=ids, use_cache=False).logits
    found.append(float((after - before).abs().max() / before.abs().max()))
    return ""


def _with(output: Any, hidden: Tensor) -> Any:
    """What a block gave, with other hidden states."""
    if hasattr(output, "_replace"):  # a tuple with names (Reformer)
        return output._replace(**{output._fields[0]: hidden})
    return type(output)((hidden, *output[1:])) if isinstance(output, tuple | list) else hidden


def sampling(family: Family, found: list[float]) -> str:
    """The log-probability that was recorded of a completion, against one plain run over it, nats a token."""
    prompts = [Prompt(f"q{n}", tuple(_text(n, n))) for n in (4, 9, 13)]
    settings = SamplingSettings(samples=4, max_new_tokens=NEW_TOKENS, batch_rows=12)
    for seed in range(4):
        with tempfile.TemporaryDirectory() as work:
            at = {"arm": "a", "seed": seed, "work": Path(work), "stop": _ended, "progress": False}
            try:
                completions = sample(family.checkpoint, prompts, settings, **at)
                break
            except SamplingError as error:  # a random model may say nothing
                if "are empty" not in str(error) or seed == 3:
                    raise
    by_qid = {prompt.qid: list(prompt.ids) for prompt in prompts}
    for completion in completions:
        prompt, tokens = by_qid[completion.qid], completion.token_ids
        if tokens[-1] == EOS and _ended(completion.qid, tokens[:-1]):
            tokens = tokens[:-1]  # an end that was put there
        logp, _ = _plain(family, [*prompt, *tokens])
        rows = torch.arange(len(prompt) - 1, len(prompt) + len(tokens) - 1)
        total = float(logp[rows, torch.tensor(tokens)].sum())
        found.append(abs(total - completion.sum_logprob) / len(tokens))
    return ""


def _ended(qid: str, tokens: Any) -> int | None:
    """Stops texts at many lengths, so that rows are dropped on the way."""
    return len(tokens) if len(tokens) > 2 and tokens[-1] % 5 == 0 else None


def nnsight(family: Family, found: list[float]) -> str:
    """Streams seen through nnsight against transformers' `hidden_states`."""
    import nnsight as library

    ids = _text(12, 3)
    wrapped = to_nnsight(family.model)
    anatomy = anatomy_of(family.model)
    path = next(name for name, module in family.model.named_modules() if module is anatomy.blocks)
    with wrapped.trace(input_ids=torch.tensor([ids]), use_cache=False):
        kept = library.save([])
        for block in functools.reduce(getattr, path.split("."), wrapped):
            kept.append(block.output)
    _, streams = _plain(family, ids)
    given = [stream[0] if isinstance(stream, tuple | list) else stream for stream in kept]
    found.append(_streams_off([stream[0] for stream in given], streams))
    return ""


def transformer_lens(family: Family, found: list[float]) -> str:
    """Logits and streams that TransformerLens gives, against transformers' own."""
    ids = _text(12, 3)
    bridge = to_transformer_lens(family.checkpoint)
    logits, cache = bridge.run_with_cache(
        torch.tensor([ids]), names_filter=lambda name: name.endswith("hook_resid_post")
    )
    logp, streams = _plain(family, ids)
    found.append(float((logits[0].float().log_softmax(-1) - logp).abs().max() / logp.abs().max()))
    blocks = range(len(anatomy_of(family.model).blocks))
    names = [f"blocks.{n}.hook_resid_post" for n in blocks]
    if not {*names} <= {*cache}:
        return "it has no stream after each block; only logits were compared"
    found.append(_streams_off([cache[name][0] for name in names], streams))
    return ""


COLUMNS: dict[str, Callable[[Family, list[float]], str]] = {
    "check": check,
    "reading": reading,
    "knock-out": knock_out,
    "interventions": interventions,
    "sampling": sampling,
    "nnsight": nnsight,
    "TransformerLens": transformer_lens,
}


def _text(n: int, seed: int) -> list[int]:
    """Tokens of ordinary words."""
    return np.random.default_rng(seed).integers(4, len(WORDS), n).tolist()


def _questions() -> list[QuestionInput]:
    """Two questions, three traces of two or three steps, two lead-ins of two options."""
    questions = []
    for number, steps in enumerate(((2, 3), (2,))):
        options = ((20, 1), (21, 22))
        forced = (LeadIn((30, 31), options), LeadIn((), options))
        traces = []
        for cid, n in enumerate(steps):
            spans = tuple((sid, 5 * sid, 5 * sid + 5) for sid in range(n))
            ids = tuple(_text(5 * n + 2, 10 * number + cid + 1))
            traces.append(TraceInput(f"q{number}", "a", cid, ids, spans))
        questions.append(
            QuestionInput(f"q{number}", tuple(_text(6 + number, 90 + number)), tuple(traces), forced)
        )
    return questions


def _hiding(question: QuestionInput, later: bool) -> QuestionInput:
    traces = []
    for trace in question.traces:
        sid, start, end = trace.steps[0]
        hidden = KnockOut(len(trace.steps), sid, (start, end), later)
        traces.append(dataclasses.replace(trace, knock_outs=(hidden,)))
    return dataclasses.replace(question, traces=tuple(traces))


def _read(family: Family, questions: list[QuestionInput], recipe: Any) -> Any:
    plan = plan_for(family.model, questions, ReadingSpec(rules=recipe.rules))
    for number in range(len(plan.batches)):
        batch = read_batch(family.model, anatomy_of(family.model), plan, number, recipe)
        for read in unpack(plan, batch):
            yield (plan, batch), read


def _plain(family: Family, ids: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Log-probabilities [tokens, vocab] and the streams that transformers gives, [tokens, d_model]."""
    done = family.plain(input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=True)
    # The last has gone through the final norm.
    streams = [stream[0] for stream in (getattr(done, "hidden_states", None) or ())[:-1]]
    return done.logits[0].float().log_softmax(-1), streams


def _streams_off(given: list[Tensor], streams: list[Tensor]) -> float:
    """How far streams after blocks 1, 2, ... are from transformers', a share of the largest entry.

    Most families begin with what enters the first block; some leave that out.
    """
    if not streams:
        raise NoReference("transformers gives no hidden_states of it to compare with")
    if given[0].shape != streams[0].shape:
        raise NoReference(
            f"blocks give {list(given[0].shape)}, transformers' hidden_states are {list(streams[0].shape)}"
        )
    both = [list(zip(given, streams[first:], strict=False)) for first in (1, 0)]
    return min(max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs) for pairs in both)


def _answers_off(
    family: Family,
    question: QuestionInput,
    prefix: list[int],
    given: Any,
    hidden: list[int] | None = None,
    later: bool = True,
) -> list[float]:
    """How far each forced answer after a prefix is from a plain run of its own, nats a token."""
    off = []
    for lead, row in zip(question.forced, given, strict=True):
        for option, value in zip(lead.options, row, strict=True):
            asked = [*lead.ids, *option[:-1]]
            logits = _asked(family, prefix, asked, hidden, later)[-len(option) :]
            logp = logits.float().log_softmax(-1)
            total = sum(float(logp[i, token]) for i, token in enumerate(option))
            off.append(abs(total - float(value)) / len(option))
    return off


def _asked(
    family: Family, prefix: list[int], asked: list[int], hidden: list[int] | None, later: bool
) -> Tensor:
    """Logits over the last token of a prefix and what is asked after it."""
    whole = torch.tensor([[*prefix, *asked]])
    if hidden is None:
        return family.plain(input_ids=whole, use_cache=False).logits[0, len(prefix) - 1 :]
    places, mask = torch.arange(whole.shape[1])[None], torch.ones_like(whole)
    mask[:, hidden[0] : hidden[1]] = 0
    if later:
        done = family.plain(input_ids=whole, attention_mask=mask, position_ids=places, use_cache=False)
        return done.logits[0, len(prefix) - 1 :]
    n = len(prefix)
    done = family.plain(input_ids=whole[:, :n], use_cache=True)
    if not asked:
        return done.logits[0, -1:]
    name = next(name for name in ("cache", "past_key_values") if getattr(done, name, None) is not None)
    kept = {name: getattr(done, name), "use_cache": True}
    more = family.plain(input_ids=whole[:, n:], attention_mask=mask, position_ids=places[:, n:], **kept)
    return torch.cat([done.logits[0, -1:], more.logits[0]])
