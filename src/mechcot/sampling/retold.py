"""A server's texts as an arm's completions: in the tokens of the arm's tokenizer, ended as it ends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcot.asking.choices import Choice
from mechcot.core.errors import ModelError, SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.sampling.sampler import MOST_EMPTY, Completion
from mechcot.sampling.stops import Stop, kept_of
from mechcot.sampling.thoughts import Thoughts, joined
from mechcot.tasks.tokens import Tokens, continuation, decode, turn_marks

_ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_string", "end_of_text"}
_CUT = {"length", "max_tokens", "model_length"}


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
    """

    finish_reasons: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    respelled: int = 0
    stopped: int = 0


class Retelling:
    """From choices to completions.

    Args:
        tokenizer: of the arm.
        thoughts: how its template writes reasoning.
        settings: of its sampling.
        stop: makes what ends a completion (`stops.stop_of`) for sampling settings.

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

    def completion(self, put: Put, cid: int, choice: Choice) -> tuple[Completion, Listed]:
        """A choice as a completion, and as the tokens that the server listed.

        Raises:
            SamplingError: the server ended it for a reason that no trace can have.
        """
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
        f"question '{qid}', sample {cid}: the server ended it by '{choice.finish_reason}', and a trace ends "
        f"by itself (stop) or at the token limit (length). Its text begins {choice.text[:80]!r}. Switch off "
        "what filters, refuses or calls tools at the server; the other replies are kept"
    )


def refuse_respelled(respelled: int, total: int, arm: str) -> None:
    """Refuse an arm whose tokenizer often does not give back what the server's model wrote.

    Raises:
        SamplingError: more than `MOST_EMPTY` of the texts.
    """
    if respelled > MOST_EMPTY * total:
        raise SamplingError(
            f"arm {arm}: its tokenizer does not give back {respelled} of the server's {total} texts as they "
            f"came, more than {MOST_EMPTY:.0%}: the server has another model than arms.{arm}.model, or "
            "changes its texts. Serve the same checkpoint"
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
