"""Samples of a question as one call to a server, and what must hold of what comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mechcot.asking.choices import Choice, choices_of, read_choices
from mechcot.asking.forms import Form, Message
from mechcot.asking.replies import Reply
from mechcot.asking.sampler_file import Sampler
from mechcot.core.errors import SamplingError
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.sampling.retold import Put, ends

UNLIMITED = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Said where the study and the file say nothing else: servers take their defaults from the checkpoint's
generation_config.json (vLLM, SGLang), or have limits of their own (llama.cpp)."""


@dataclass(frozen=True)
class Abilities:
    """What a server was found to do.

    Attributes:
        several: gives as many samples in one request as it is asked for (`n`).
        logprobs: lists its tokens with their log-probabilities.
        unlimited: takes it said that nothing limits or shifts what is drawn (`UNLIMITED`).
    """

    several: bool = False
    logprobs: bool = False
    unlimited: bool = False


@dataclass(frozen=True)
class Author:
    """Whose samples are asked for.

    Attributes:
        arm: its name; it keys the seeds.
        weights: digest of its checkpoint: replies of other weights under the same name are others.
        source: the sampler file, for messages.
    """

    arm: str
    weights: str
    source: str


@dataclass(frozen=True)
class Request:
    """Some samples of a question, in one call.

    Attributes:
        put: the question.
        cids: which samples.
        can: what is asked for: several in one request, log-probabilities.
        most: tokens of each at most; None: as sampling says.
        temperature: None: as sampling says.
    """

    put: Put
    cids: tuple[int, ...]
    can: Abilities
    most: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Answered:
    """A request and what came."""

    request: Request
    choices: tuple[Choice, ...]
    reply: Reply


def sampler_form(
    server: Sampler, author: Author, seed: int, look: Callable[[Answered], None] = lambda _: None
) -> Form[Request, Reply]:
    """How samples are asked for. A request has a seed of its own, by the study's, arm, question, sample.

    Args:
        server: whom to ask.
        author: whose samples.
        seed: of the study.
        look: refuses what no trace can be, as soon as it comes.
    """

    def more(item: Request) -> dict[str, Any]:
        said: dict[str, Any] = {"seed": seed_of(seed, author.arm, item.put.qid, item.cids[0])}
        if item.can.several:
            said["n"] = len(item.cids)
        if item.can.logprobs:
            said["logprobs"] = True if server.sends == "messages" else 1
        if item.can.unlimited:
            said |= {name: value for name, value in UNLIMITED.items() if name not in server.extra_body}
        if server.sends == "tokens":
            said["prompt"] = list(item.put.ids)
        own = {"max_tokens": item.most, "temperature": item.temperature}
        return said | {name: value for name, value in own.items() if value is not None}

    def messages(item: Request, again: bool) -> list[Message]:
        if server.sends == "messages":
            return [dict(message) for message in item.put.messages]
        return [{"role": "user", "content": item.put.text}]

    def read(item: Request, reply: Reply) -> Reply:
        look(Answered(item, tuple(choices_of(reply)), reply))
        return reply

    return Form(
        "sample",
        f"sampling {author.arm}",
        {},
        {},
        {"sends": server.sends},
        messages,
        read,
        more=more,
        body=read_choices,
        apart=author.weights,
    )


def seed_of(seed: int, arm: str, qid: str, cid: int) -> int:
    """The seed that a server is sent with a sample, in [0, 2^31)."""
    key = hashlib.sha256(f"{seed}\0{arm}\0{qid}\0{cid}".encode()).digest()
    return int.from_bytes(key[:4], "big") >> 1


def requests_of(
    puts: Sequence[Put], settings: SamplingSettings, server: Sampler, can: Abilities
) -> list[Request]:
    """All samples of all questions as calls."""
    size = server.samples_per_request if can.several else 1
    return [
        Request(put, tuple(range(first, min(first + size, settings.samples))), can)
        for put in puts
        for first in range(0, settings.samples, size)
    ]


def refuse_other_prompt(one: Answered, source: str) -> None:
    """Refuse a server that counts another number of prompt tokens than the arm's own tokenizer and template.

    Raises:
        SamplingError: with both numbers.
    """
    put, said, n = one.request.put, one.reply.prompt_tokens, len(one.choices)
    if one.reply.counted and said not in (len(put.ids), n * len(put.ids)):
        raise SamplingError(
            f"{source}: question '{put.qid}' has {len(put.ids)} prompt tokens in the arm's own tokenizer "
            f"and template, and the server counted {said}: it was asked another prompt than the weights "
            "will read. Serve the arm's own checkpoint with its own chat template (and prompt.thinking "
            "as the server has it), or let the server take the prompt as it is rendered here: sends: "
            "tokens (or text) in the sampler file. Paid replies are kept"
        )


def refuse_other_limit(one: Answered, settings: SamplingSettings, source: str) -> None:
    """Refuse a server that ends texts at a limit of its own, or goes on behind the study's.

    Raises:
        SamplingError: a text is said to be cut at the limit, and is shorter than `max_new_tokens`; or it is
            longer.
    """
    where = f"{source}: question '{one.request.put.qid}', sample {one.request.cids[0]}"
    pairs = zip(one.request.cids, one.choices, strict=False)
    cut = sum(not ends(one.request.put.qid, cid, choice) for cid, choice in pairs)
    most, wrote = one.request.most or settings.max_new_tokens, one.reply.completion_tokens
    if not one.reply.counted:
        return
    if wrote < cut * most:
        raise SamplingError(
            f"{where}: the server says that {cut} of {len(one.choices)} texts were cut at the token "
            f"limit, and counts {wrote} tokens where {cut * most} were allowed "
            f"(sampling.max_new_tokens={most}): its context is too short. Start it with a context of at "
            f"least {len(one.request.put.ids) + most} tokens, or lower max_new_tokens"
        )
    if wrote > len(one.choices) * most:
        raise SamplingError(
            f"{where}: the server counts {wrote} tokens for {len(one.choices)} texts of at most {most} "
            "(sampling.max_new_tokens): it does not heed max_tokens. Use one that does: texts that ran "
            "on are no traces of this study"
        )


def all_alike(answered: Sequence[Answered]) -> bool:
    """Whether all samples of every question are one text."""
    texts: dict[str, set[tuple[str, str | None]]] = {}
    for one in answered:
        said = {(choice.text, choice.reasoning) for choice in one.choices}
        texts.setdefault(one.request.put.qid, set()).update(said)
    return all(len(said) == 1 for said in texts.values())
