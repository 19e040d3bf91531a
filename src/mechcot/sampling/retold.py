"""A server's texts as an arm's completions: in the tokens of the arm's tokenizer, ended as it ends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcot.asking.choices import Choice
from mechcot.core.errors import ModelError, SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.sampling.empty import MOST_EMPTY
from mechcot.sampling.sampler import Completion
from mechcot.sampling.stops import Stop, kept_of
from mechcot.sampling.thoughts import Thoughts, joined
from mechcot.tasks.tokens import Tokens, continuation, decode, turn_marks

_ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_string", "end_of_text"}
_CUT = {"length", "max_tokens", "model_length"}
_ROOM = 2  # tokens: the end of text, a stop string
_SHARES = (0.8, 1.05)


@dataclass(frozen=True)
class Put:
    """A question as it is put to a server.

    Attributes:
        qid: whose.
        text: the prompt as this study renders it.
        ids: its tokens.
        messages: the same as messages for a chat template; none where prompts are plain texts.
    """

    qid: str
    text: str
    ids: tuple[int, ...]
    messages: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Listed:
    """A choice whose tokens the server lists with their log-probabilities, and the tokens that they are here.

    Attributes:
        qid: whose.
        prompt_ids: tokens of the prompt.
        token_ids: of the whole text, before any stop, the end of text included.
        logprobs: as the server lists them, nats.
    """

    qid: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass
class Counts:
    """What happened to texts on their way.

    Attributes:
        finish_reasons: as the server said them.
        joined: had their reasoning in a field of its own.
        respelled: the tokenizer does not give back as they came, blanks aside.
        stopped: were ended here, at a stop string or behind the answer, where the server went on.
        texts: all of them.
        counted_texts: those whose tokens the server counted.
        counted: their tokens as it counted.
        tokens: their tokens by the arm's tokenizer, before any end that was put here.
    """

    finish_reasons: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    respelled: int = 0
    stopped: int = 0
    texts: int = 0
    counted_texts: int = 0
    counted: int = 0
    tokens: int = 0


class Retelling:
    """From choices to completions.

    Args:
        tokenizer: of the arm.
        thoughts: how its template writes reasoning.
        settings: of its sampling.
        stop: makes what ends a completion (`stops.stop_of`) for sampling settings.

    Attributes:
        done: completions, as they were added.
        listed: those of them whose tokens the server lists.
        counts: what happened to them.

    Raises:
        ModelError: the tokenizer has no end of text.
    """

    def __init__(
        self,
        tokenizer: Any,
        thoughts: Thoughts,
        settings: SamplingSettings,
        stop: Callable[[SamplingSettings], Stop | None],
    ) -> None:
        self.counts = Counts()
        self.done: list[Completion] = []
        self.listed: list[Listed] = []
        self._tokenizer, self._thoughts, self._settings = tokenizer, thoughts, settings
        self._end = tokenizer.eos_token_id
        if self._end is None:
            raise ModelError(
                f"{tokenizer.name_or_path}: its tokenizer names no end-of-text token; set eos_token"
            )
        self._marks = turn_marks(tokenizer)
        self._stop = stop(settings)
        # Where a server has stopped at the strings itself they are not looked for at every token.
        self._stop_behind = stop(settings.model_copy(update={"stop": ()}))

    def completions(
        self, put: Put, cids: Sequence[int], choices: Sequence[Choice], counted: int | None
    ) -> None:
        """Add the choices of an answer.

        Args:
            put: the question.
            cids: which samples they are.
            choices: of the answer.
            counted: their tokens as the server counted; None: it did not.

        Raises:
            SamplingError: the server ended one for a reason that no trace can have.
        """
        found = [self._completion(put, cid, choice) for cid, choice in zip(cids, choices, strict=True)]
        self.done += [done for done, _ in found]
        self.listed += [listed for _, listed in found if listed.logprobs]
        self.counts.texts += len(found)
        if counted is not None:
            self.counts.counted_texts += len(found)
            self.counts.counted += counted
            self.counts.tokens += sum(len(listed.token_ids) for _, listed in found)

    def _completion(self, put: Put, cid: int, choice: Choice) -> tuple[Completion, Listed]:
        """A choice as a completion, and as the tokens that the server listed."""
        ended = ends(put.qid, cid, choice)
        self.counts.finish_reasons[choice.finish_reason] += 1
        self.counts.joined += choice.reasoning is not None
        text = joined(choice, self._thoughts)
        mark = self._marks.search(text)
        if ended and mark and not self._marks.sub("", text[mark.start() :]).strip():
            text = text[: mark.start()]  # the mark of its end, written out
        ids = self._ids(put, text)
        whole = [*ids, self._end] if ended else ids
        if self._end in ids:
            ids, ended = ids[: ids.index(self._end)], True
        kept = kept_of(self._stop_for(text), put.qid, ids)
        if kept is not None:
            self.counts.stopped += 1
            ids, ended = ids[:kept], True
        finished = [*ids, self._end] if ended else ids
        known = choice.sum_logprob is not None and len(finished) == len(whole)
        total = float(choice.sum_logprob or 0.0) if known else float("nan")
        done = Completion(put.qid, cid, finished, "stop" if ended else "length", total)
        return done, Listed(put.qid, put.ids, tuple(whole), choice.logprobs)

    def _ids(self, put: Put, text: str) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        alone = Tokens([int(i) for i in encoded["input_ids"]], encoded["offset_mapping"])
        found = continuation(self._tokenizer, put.text, put.ids, text, alone)
        # Blanks aside: where each word is a token they are not written.
        self.counts.respelled += decode(self._tokenizer, alone.ids).split() != text.split()
        return list(alone.ids if found is None else found.ids)

    def _stop_for(self, text: str) -> Stop | None:
        if any(mark in text for mark in self._settings.stop):
            return self._stop
        return self._stop_behind if "\n" in text else None


def ends(qid: str, cid: int, choice: Choice) -> bool:
    """Whether a choice ended by itself, and not at the token limit.

    Raises:
        SamplingError: it ended otherwise: refused, filtered, aborted.
    """
    if choice.finish_reason in _ENDED:
        return True
    if choice.finish_reason in _CUT:
        return False
    raise SamplingError(
        f"question '{qid}', sample {cid}: the server ended it by {choice.finish_reason[:40]!r}, and a trace "
        f"ends by itself (stop) or at the token limit (length). Its text begins {choice.text[:80]!r}. Switch "
        "off what filters, refuses or calls tools at the server; the other replies are kept"
    )


def refuse_other_texts(counts: Counts, source: str) -> None:
    """Refuse texts that are not what the arm's model wrote: of another tokenizer, with more in them, or less.

    Tokens are compared in number, with room for another spelling and for the tokens that end a text.

    Raises:
        SamplingError: with both numbers.
    """
    if counts.respelled > MOST_EMPTY * counts.texts:
        raise SamplingError(
            f"{source}: the arm's tokenizer does not give back {counts.respelled} of the server's "
            f"{counts.texts} texts as they came, more than {MOST_EMPTY:.0%}: the server has another model "
            "than the arm, or changes its texts. Serve the same checkpoint"
        )
    room = _ROOM * counts.counted_texts
    least, most = (share * counts.counted for share in _SHARES)
    if counts.counted_texts and not least - room <= counts.tokens <= most + room:
        less = counts.tokens < counts.counted
        what = (
            "it keeps a part of them back"
            if less
            else "it puts something into them that the model did not write"
        )
        raise SamplingError(
            f"{source}: the server says that its model wrote {counts.counted} tokens, and its texts hold "
            f"{counts.tokens} by the arm's own tokenizer: {what}. Servers that part reasoning from the "
            "answer do so where the chat template is not of the kind that they know. Switch the parting off "
            "at the server, or let it take the prompt as it is rendered here: sends: text (or tokens) in the "
            "sampler file"
        )


def refuse_few(qid: str, choices: Sequence[Choice], wanted: int) -> None:
    """Refuse an answer with fewer samples than were asked for.

    Raises:
        SamplingError: with both numbers.
    """
    if len(choices) < wanted:
        raise SamplingError(
            f"question '{qid}': the server was asked for n={wanted} samples and gave {len(choices)}. Set "
            "samples_per_request in the sampler file to what it gives, or to 1"
        )
