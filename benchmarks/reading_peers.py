"""The other ways to get what a reading gives, each written as well as its library allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from mechcot.models.calling import calling_of
from mechcot.reading.inputs import QuestionInput
from reading_texts import Work


class Answers(NamedTuple):
    """What each way must give.

    Attributes:
        forced: log-probabilities, [prefixes, options]; the bare prompt's first, then trace after trace.
        acts: the embedding and what leaves each block at each step's end, [layers + 1, steps, d_model].
    """

    forced: Tensor
    acts: Tensor


class Prefix(NamedTuple):
    """A trace up to the end of a step; up to 0, the bare prompt."""

    trace: int
    length: int
    ids: list[int]


def prefixes(question: QuestionInput) -> list[Prefix]:
    """All prefixes after which an answer is forced; `length` counts the prompt."""
    prompt = list(question.prompt_ids)
    found = [Prefix(0, len(prompt), prompt)]
    for i, trace in enumerate(question.traces):
        for _, _, end in trace.steps:
            found.append(Prefix(i, len(prompt) + end, [*prompt, *trace.token_ids[:end]]))
    return found


@contextmanager
def gathering(decoder: Any, rows: Tensor) -> Iterator[list[Tensor]]:
    """Keep some rows, [batch * tokens] flat, of the embedding and of what leaves each block."""
    found: list[Tensor] = []

    def keep(module: Any, given: Any, output: Tensor) -> None:
        found.append(output.reshape(-1, output.shape[-1])[rows])

    hooks = [part.register_forward_hook(keep) for part in (decoder.embed_tokens, *decoder.layers)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def batches(sequences: Sequence[Sequence[int]], rows: int) -> list[tuple[list[int], Tensor]]:
    """Sequences of like lengths together, padded on the right: (which, ids [rows, width]).

    Under causal attention what stands on the right is not seen, so no mask is needed.
    """
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found = []
    for first in range(0, len(order), rows):
        which = order[first : first + rows]
        ids = torch.zeros(len(which), len(sequences[which[-1]]), dtype=torch.long)
        for row, i in enumerate(which):
            ids[row, : len(sequences[i])] = torch.tensor(sequences[i])
        found.append((which, ids))
    return found


def bare(work: Work, rows: int, *, logits: bool = False) -> Callable[[], None]:
    """A plain forward pass over the traces, and nothing else."""
    forward = work.model if logits else work.model.get_decoder()
    inputs = [ids for _, ids in batches(work.sequences(), rows)]

    @torch.inference_mode()
    def run() -> None:
        for ids in inputs:
            forward(input_ids=ids, use_cache=False)

    return run


def _options(question: QuestionInput) -> Tensor:
    return torch.tensor([option[0] for option in question.forced[0].options])


@torch.inference_mode()
def separate(work: Work, every: int) -> Answers:
    """One forward pass for each n-th prefix with the lead-in after it; all options from its last logits."""
    question, model = work.questions[0], work.model
    lead, options = list(question.forced[0].ids), _options(question)
    forced, acts = [], []
    for prefix in prefixes(question)[::every]:
        with gathering(model.get_decoder(), torch.tensor([prefix.length - 1])) as found:
            ids = torch.tensor([prefix.ids + lead])
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        forced.append(logits.log_softmax(-1)[options])
        acts.append(torch.stack(found))
    return Answers(torch.stack(forced), torch.cat(acts[1:], dim=1))


@torch.inference_mode()
def padded(work: Work, rows: int, every: int) -> Answers:
    """The same passes in batches of like lengths, the head at the last token of each only."""
    question, model = work.questions[0], work.model
    lead, options = list(question.forced[0].ids), _options(question)
    all_prefixes = prefixes(question)[::every]
    forced: list[Tensor] = [options] * len(all_prefixes)
    acts = forced.copy()
    for which, ids in batches([prefix.ids + lead for prefix in all_prefixes], rows):
        start = torch.arange(len(which)) * ids.shape[1]
        length = torch.tensor([all_prefixes[i].length for i in which])
        with gathering(model.get_decoder(), start + length - 1) as found:
            hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        last = hidden.flatten(0, 1)[start + length + len(lead) - 1]
        logp = model.lm_head(last).log_softmax(-1)[:, options]
        for row, i in enumerate(which):
            forced[i], acts[i] = logp[row], torch.stack([layer[row] for layer in found])
    return Answers(torch.stack(forced), torch.stack(acts[1:], dim=1))


@torch.inference_mode()
def kv_branch(work: Work, rows: int, *, share_prompt: bool) -> Answers:
    """One cached forward pass over the traces; its keys and values cut at every step, the lead-in run on.

    Args:
        work: the model and the question.
        rows: how many prefixes of like lengths are continued in one forward pass.
        share_prompt: run the prompt once and copy its keys and values, or run it before each trace.
    """
    question, model = work.questions[0], work.model
    lead, options, all_prefixes = question.forced[0].ids, _options(question), prefixes(question)
    cache, acts = _trunks(work, share_prompt)
    calling = calling_of(model.get_decoder())
    forced: list[Tensor] = [options] * len(all_prefixes)
    order = sorted(range(1, len(all_prefixes)), key=lambda i: all_prefixes[i].length)
    for which in [[0], *(order[first : first + rows] for first in range(0, len(order), rows))]:
        length = torch.tensor([all_prefixes[i].length for i in which])
        longest = int(length[-1])
        step = torch.arange(len(lead))
        seen = (torch.arange(longest) < length[:, None])[:, None].expand(-1, len(lead), -1)
        causal = (step <= step[:, None]).expand(len(which), -1, -1)
        hidden = model.get_decoder()(
            input_ids=torch.tensor([lead]).expand(len(which), -1),
            position_ids=length[:, None] + step,
            attention_mask=torch.cat([seen, causal], dim=-1)[:, None],
            **calling.going_on(_cut(cache, [all_prefixes[i].trace for i in which], longest)),
        ).last_hidden_state
        logp = model.lm_head(hidden[:, -1]).log_softmax(-1)[:, options]
        for row, i in enumerate(which):
            forced[i] = logp[row]
    return Answers(torch.stack(forced), acts)


def _cut(cache: DynamicCache, traces: list[int], length: int) -> DynamicCache:
    """The first keys and values of some traces; nothing is copied where these are all traces in order."""
    cut = DynamicCache()
    for layer in cache.layers:
        which = slice(None) if traces == list(range(len(layer.keys))) else traces
        part = DynamicLayer()
        part.lazy_initialization(layer.keys, layer.values)
        part.keys, part.values = layer.keys[which, :, :length], layer.values[which, :, :length]
        cut.layers.append(part)
    return cut


def _trunks(work: Work, share_prompt: bool) -> tuple[DynamicCache, Tensor]:
    """Keys and values of all traces, and the activations at their steps' ends."""
    question, decoder = work.questions[0], work.model.get_decoder()
    prompt, traces = list(question.prompt_ids), question.traces
    cache, skip, calling = DynamicCache(), 0, calling_of(decoder)
    if share_prompt:
        decoder(input_ids=torch.tensor([prompt]), **calling.going_on(cache))
        cache.batch_repeat_interleave(len(traces))
        skip = len(prompt)
    width = len(prompt) + max(len(trace.token_ids) for trace in traces)
    ids = torch.zeros(len(traces), width, dtype=torch.long)
    for row, sequence in enumerate(work.sequences()):
        ids[row, : len(sequence)] = torch.tensor(sequence)
    ends = [p.trace * (width - skip) + p.length - skip - 1 for p in prefixes(question)[1:]]
    with gathering(decoder, torch.tensor(ends)) as found:
        decoder(input_ids=ids[:, skip:], **calling.going_on(cache))
    return cache, torch.stack(found)


def _caching(work: Work, rows: int, streams: Callable[[Tensor], Sequence[Tensor]]) -> Callable[[], Tensor]:
    """Run batches of traces, keep the streams at the steps' ends: [layers + 1, steps, d_model].

    Args:
        work: the model and the questions.
        rows: traces a forward pass.
        streams: ids [rows, tokens] to the embedding and what leaves each block, [rows, tokens, d_model].
    """
    ends = [
        [len(question.prompt_ids) + end - 1 for _, _, end in trace.steps]
        for question in work.questions
        for trace in question.traces
    ]
    first = np.cumsum([0, *map(len, ends)])
    inputs, order = [], []
    for which, ids in batches(work.sequences(), rows):
        flat = [row * ids.shape[1] + end for row, i in enumerate(which) for end in ends[i]]
        inputs.append((ids, torch.tensor(flat)))
        order += [step for i in which for step in range(first[i], first[i + 1])]
    back = torch.from_numpy(np.argsort(order))

    @torch.inference_mode()
    def run() -> Tensor:
        found = [torch.stack([s.flatten(0, 1)[rows] for s in streams(ids)]) for ids, rows in inputs]
        return torch.cat(found, dim=1)[:, back]

    return run


def nnsight_cache(work: Work, rows: int) -> Callable[[], Tensor]:
    """The cache of nnsight on the decoder, without the head."""
    from nnsight import NNsight

    wrapped = NNsight(work.model.get_decoder())
    names = ["model.embed_tokens", *(f"model.layers.{i}" for i in range(len(wrapped.layers)))]

    def streams(ids: Tensor) -> list[Tensor]:
        with wrapped.trace(input_ids=ids, use_cache=False) as tracer:
            cache = tracer.cache(modules=[wrapped.embed_tokens, *wrapped.layers])
        return [cache[name].output for name in names]

    return _caching(work, rows, streams)


def transformer_lens_cache(work: Work, rows: int) -> Callable[[], Tensor]:
    """TransformerLens' run_with_cache of the residual stream only, on an instance of its own.

    It has no way to leave out the head, so the head is asked for one token.
    """
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from mechcot.reading.bridges import to_transformer_lens

    words = Tokenizer(models.WordLevel({"<end>": 0}, unk_token="<end>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    bridge = to_transformer_lens(work.model, tokenizer=tokenizer)
    names = ["embed.hook_out", *(f"blocks.{i}.hook_out" for i in range(len(bridge.blocks)))]
    settings = {"return_cache_object": False, "use_cache": False, "logits_to_keep": 1}

    def streams(ids: Tensor) -> list[Tensor]:
        cache = bridge.run_with_cache(ids, names_filter=names, **settings)[1]
        return [cache[name] for name in names]

    return _caching(work, rows, streams)
