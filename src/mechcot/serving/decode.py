"""Decoding for the local server: rows of several requests in one batch, each held to its own schema."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from mechcot.core.errors import MissingDependency, ModelError, UsageError
from mechcot.models.checkpoint import Checkpoint
from mechcot.serving.request import ChatRequest, TextRequest

log = logging.getLogger("mechcot")

CLOSING_TOKENS = 64
"""From here to the limit an open string of a schema is closed, so that the object is finished."""

TRIED_TOKENS = 32
"""Of the longest text on which it is tried how texts go on, and of what may follow it."""

MOST_TOKENS = 2**16
"""Of prompt and reply together, where the model's own context is not shorter."""


@dataclass(frozen=True)
class Completion:
    """What was decoded for a request.

    Attributes:
        texts: one a choice.
        finish_reasons: "stop" or "length", likewise.
        completion_tokens: of all choices, end of text included.
        tokens: of each choice, as texts, with their log-probabilities under the model at temperature 1, nats,
            whatever held the choice to a schema; empty unless asked for.
    """

    texts: list[str]
    finish_reasons: list[str]
    completion_tokens: int
    tokens: list[list[tuple[str, float]]] = field(default_factory=list)


Piece = tuple[int, str]
"""More of a choice's text: its index, and what is new."""


@dataclass(eq=False)
class Prepared:
    """A request ready to be decoded.

    Attributes:
        request: as it came.
        prompt_ids: tokens of the rendered conversation.
        grammar: for llguidance; None: any text.
        tell: called with every piece of a streamed reply while it is decoded, and with its end.
        dropped: set when nobody waits for the reply any more: it is not decoded further.
    """

    request: ChatRequest | TextRequest
    prompt_ids: list[int]
    grammar: str | None
    tell: Callable[[Piece | Completion | Exception], None] = lambda _: None
    dropped: bool = False


@dataclass
class _Row:
    """One choice under way; `told` is as much of its text as was streamed."""

    of: Prepared
    choice: int
    generator: Any
    matcher: Any
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    told: str = ""
    finish_reason: str = ""
    error: ModelError | None = None


class Decoder:
    """A checkpoint that answers batches of requests.

    A choice depends on its seed and its prompt; beside other requests in a batch its numbers differ by
    rounding, so that a seed repeats a text exactly only where it is asked for alone.

    Args:
        checkpoint: a chat model; without a chat template, messages are joined by blank lines.

    Raises:
        MissingDependency: llguidance is not installed.
        SamplingError: the model's texts go on truly in no way (`models.ways`).
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise MissingDependency("llguidance", "serve") from error
        from mechcot.models.ways import shares, way_of

        self._model = cast(Any, checkpoint.model)
        self._tokenizer = checkpoint.tokenizer
        self._context = checkpoint.context
        self._eos = frozenset(checkpoint.eos_ids)
        self._vocab = int(self._model.get_output_embeddings().weight.shape[0])
        self._way = way_of(self._model, self._texts(), TRIED_TOKENS).way
        # A judge is asked about step after step of one trace: prompts that end apart.
        longest, most = self._texts()[1], self._context or MOST_TOKENS
        self._shared = shares(self._model, self._way, longest, most)
        self._no_ends = np.array([token not in self._eos for token in range(self._vocab)])
        self._lock = threading.Lock()
        self._guide: Any = None
        self._closers: list[list[int]] = []
        try:
            self._guide = from_tokenizer(self._tokenizer, self._vocab, eos_token=list(checkpoint.eos_ids))
        except (ValueError, RuntimeError) as error:
            self._unguided = f"{checkpoint.name}: llguidance cannot use its tokenizer: {error}"
            log.warning(
                "%s. Texts are served, and a response_format with a schema is refused", self._unguided
            )
            return
        self._closers = [
            [tokens[0] for tokens in map(self._guide.greedy_tokenize, signs) if len(tokens) == 1]
            for signs in ('"', "}]")
        ]

    def prepare(self, request: ChatRequest | TextRequest) -> Prepared:
        """Render a request and compile its schema. May run in several threads.

        Raises:
            UsageError: the template refuses the messages, the schema cannot be held to, or prompt and reply
                are longer than the model's context.
        """
        from llguidance import LLMatcher

        prompt_ids = self._given(request) if isinstance(request, TextRequest) else self._render(request)
        most = min(self._context or MOST_TOKENS, MOST_TOKENS)
        if len(prompt_ids) + request.limit > most:
            raise UsageError(
                f"the prompt has {len(prompt_ids)} tokens and the reply may have {request.limit}: more "
                f"than the {most} of the model's context. Lower max_tokens or shorten the messages"
            )
        schema, grammar = request.schema_to_hold, None
        if schema is not None and self._guide is None:
            raise UsageError(f"response_format: no schema can be held to: {self._unguided}")
        if schema is not None:
            # Where blanks are free, a weak model writes nothing else.
            grammar = LLMatcher.grammar_from_json_schema(
                {**schema, "x-guidance": {"whitespace_flexible": False}}
            )
            problem = LLMatcher.validate_grammar(grammar, self._guide)
            if problem and not problem.startswith("WARNING"):
                raise UsageError(f"response_format: the schema cannot be held to: {problem}")
        return Prepared(request, prompt_ids, grammar)

    def complete(self, batch: Sequence[Prepared]) -> list[Completion | ModelError]:
        """Decode requests side by side; where memory is short, in halves. An error is its request's alone."""
        from mechcot.models.devices import input_device, out_of_memory, release

        try:
            return self._complete(batch)
        except Exception as error:
            if not out_of_memory(error):
                raise
        # Outside the handler: the error's frames hold the tensors that were too many.
        release(input_device(self._model))
        if len(batch) == 1:
            return [ModelError("the device's memory is too short for this request: lower n or max_tokens")]
        middle = len(batch) // 2
        return [*self.complete(batch[:middle]), *self.complete(batch[middle:])]

    def _given(self, request: TextRequest) -> list[int]:
        if isinstance(request.prompt, str):
            with self._lock:
                return list(self._tokenizer(request.prompt)["input_ids"])
        strange = next((token for token in request.prompt if not 0 <= token < self._vocab), None)
        if strange is not None:
            raise UsageError(
                f"prompt: {strange} is no token; the model has the tokens 0 to {self._vocab - 1}"
            )
        return request.prompt

    def _render(self, request: ChatRequest) -> list[int]:
        messages = [message.model_dump() for message in request.messages]
        with self._lock:  # tokenizers are not safe to share
            if self._tokenizer.chat_template is None:
                text = "\n\n".join(message["content"] for message in messages) + "\n\n"
                return list(self._tokenizer(text)["input_ids"])
            try:
                # The material may spell tokens that end a turn: in messages they are text.
                ids = self._tokenizer.apply_chat_template(
                    messages,
                    add_generation_prompt=True,
                    return_dict=False,
                    sanitize_control_tokens=True,
                    **request.chat_template_kwargs,
                )
            except Exception as error:  # a template is a program: it may raise anything
                raise UsageError(
                    f"messages: the model's chat template refuses them: {type(error).__name__}: {error}"
                ) from error
            return list(ids)

    def _texts(self) -> list[list[int]]:
        """Two texts of unlike length, out of all of the vocabulary, to try on how texts go on."""
        longest = min(TRIED_TOKENS, (self._context or MOST_TOKENS) - TRIED_TOKENS)
        ids = np.linspace(0, self._vocab - 1, max(longest, 2)).astype(int).tolist()
        return [ids[: len(ids) // 2], ids]

    def _complete(self, batch: Sequence[Prepared]) -> list[Completion | ModelError]:
        import torch

        from mechcot.models.rows import Rows

        rows = [self._rows(prepared) for prepared in batch]
        alive = [row for group in rows for row in group]
        prompts, counts = [item.prompt_ids for item in batch], [len(group) for group in rows]
        with torch.inference_mode():
            room = max(item.request.limit for item in batch)
            going = Rows(self._model, self._way, prompts, counts, room, shared=self._shared)
            while True:
                logits = going.logits
                for row in alive:
                    if row.of.dropped and not row.finish_reason:
                        row.error, row.finish_reason = ModelError("the request was given up"), "dropped"
                tokens = [
                    0 if row.finish_reason else self._next(row, logits[i]) for i, row in enumerate(alive)
                ]
                kept = [i for i, row in enumerate(alive) if not row.finish_reason]
                if not kept:
                    return [self._completion(group) for group in rows]
                # Dropping rows copies the cache: worth it once a quarter of them is done.
                if len(kept) <= 0.75 * len(alive):
                    going.keep(torch.tensor(kept, device=logits.device))
                    alive, tokens = [alive[i] for i in kept], [tokens[i] for i in kept]
                going.add(torch.tensor(tokens, device=logits.device))

    def _rows(self, prepared: Prepared) -> list[_Row]:
        import torch
        from llguidance import LLMatcher

        request, rows = prepared.request, []
        seed = secrets.randbits(63) if request.seed is None else request.seed
        for choice in range(request.n):
            generator = torch.Generator(self._model.device)
            state = np.random.SeedSequence([seed, choice]).generate_state(1, np.uint64)
            generator.manual_seed(int(state[0] >> np.uint64(1)))
            matcher = None if prepared.grammar is None else LLMatcher(self._guide, prepared.grammar)
            rows.append(_Row(prepared, choice, generator, matcher))
        return rows

    def _next(self, row: _Row, logits: Any) -> int:
        """Draw a row's next token from its logits, [vocabulary], and note how the row stands."""
        try:
            token = self._draw(row, logits.float())
        except ModelError as error:
            row.error, row.finish_reason = error, "error"
            return 0
        row.tokens.append(token)
        if row.of.request.listed:
            row.logprobs.append(float(logits.float().log_softmax(-1)[token]))
        if token in self._eos or (row.matcher is not None and row.matcher.is_stopped()):
            row.finish_reason = "stop"
        elif len(row.tokens) >= row.of.request.limit:
            row.finish_reason = "length"
        if row.of.request.stream:
            self._stream(row)
        return token

    def _stream(self, row: _Row) -> None:
        """Tell what a row's text has gained; a character is held back until all its bytes are there."""
        text = self._text(row)
        if not row.finish_reason:
            text = text.rstrip("\ufffd")
        if new := text[len(row.told) :]:
            row.of.tell((row.choice, new))
            row.told = text

    def _draw(self, row: _Row, logits: Any) -> int:
        import torch

        if row.matcher is not None:
            allowed = torch.from_numpy(self._allowed(row)).to(logits.device)
            logits = logits.masked_fill(~allowed, float("-inf"))
        if row.of.request.temperature == 0.0:
            token = int(logits.argmax())
        else:
            shares = torch.softmax(logits / row.of.request.temperature, dim=-1)
            token = int(torch.multinomial(shares, 1, generator=row.generator))
        if row.matcher is not None and not row.matcher.consume_token(token):
            raise ModelError(f"llguidance refused a token that it had allowed: {row.matcher.get_error()}")
        return token

    def _allowed(self, row: _Row) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tokens the schema allows next, [vocabulary]."""
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        bits = allocate_token_bitmask(1, self._vocab)
        fill_next_token_bitmask(row.matcher, bits, 0)
        allowed = np.unpackbits(bits[0].view(np.uint8), bitorder="little")[: self._vocab].astype(bool)
        # At a dead end llguidance allows the end of the text, or nothing.
        if not row.matcher.is_accepting() and not allowed[self._no_ends].any():
            raise ModelError("the model's tokens cannot spell what the schema asks for here")
        if row.of.request.limit - len(row.tokens) <= CLOSING_TOKENS:
            for tokens in self._closers:
                closing = [token for token in tokens if allowed[token]]
                if closing:
                    allowed[:] = False
                    allowed[closing] = True
                    break
        return allowed

    def _completion(self, group: Sequence[_Row]) -> Completion | ModelError:
        return next((row.error for row in group if row.error), None) or Completion(
            [self._text(row) for row in group],
            [row.finish_reason for row in group],
            sum(len(row.tokens) for row in group),
            [self._listed(row) for row in group if row.of.request.listed],
        )

    def _listed(self, row: _Row) -> list[tuple[str, float]]:
        with self._lock:
            texts = [str(self._tokenizer.decode([token])) for token in row.tokens]
        return list(zip(texts, row.logprobs, strict=True))

    def _text(self, row: _Row) -> str:
        tokens = [token for token in row.tokens if token not in self._eos]
        if row.matcher is not None:
            return str(self._guide.decode_bytes(tokens).decode("utf-8", "replace"))
        with self._lock:
            return str(self._tokenizer.decode(tokens, skip_special_tokens=True))
