"""Sampling an arm's traces from a server: what it can do is found out first, every reply is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from mechcot.asking.choices import choices_of
from mechcot.asking.forms import Failed, Form
from mechcot.asking.replies import Reply
from mechcot.asking.sampler_file import Sampler
from mechcot.asking.session import Session, ask, kept
from mechcot.core.errors import JudgeError, SamplingError, ServerRefused
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.sampling.requests import (
    UNLIMITED,
    Abilities,
    Answered,
    Author,
    Request,
    all_alike,
    refuse_other_limit,
    refuse_other_prompt,
    requests_of,
    sampler_form,
)
from mechcot.sampling.retold import Put, refuse_few

log = logging.getLogger("mechcot")

PILOT = 8
"""First questions whose samples are looked at before any other is asked for."""

PROBE_TOKENS = 8
"""The most tokens of a reply by which it is found out what a server can do."""

HOT, HOT_TOKENS = 2.0, 64
"""How a server is asked again that gave the same text for every sample: temperature, most tokens."""


@dataclass(frozen=True)
class Served:
    """What a server gave for all questions.

    Attributes:
        answered: request by request, in the order of questions and samples.
        about: what was asked of whom, what it can do, and what the calls took.
    """

    answered: tuple[Answered, ...]
    about: dict[str, Any]


def sample_served(
    puts: Sequence[Put],
    settings: SamplingSettings,
    session: Session[Sampler],
    author: Author,
    look: Callable[[Sequence[Answered]], None],
) -> Served:
    """Sample `settings.samples` completions of every question from a server.

    One request tells what the server can do, and with the samples of the first questions it is looked at
    whether it saw the prompt that the weights will read and whether it samples at all; then all is asked for.
    Replies are kept, so that a killed run asks for none of them again.

    Args:
        puts: the questions.
        settings: of the arm's sampling; the session's server has its parameters (`Sampler.sampling`).
        session: whom to ask; its ledger holds the budget.
        author: whose samples they are.
        look: refuses texts that cannot be the arm's; called with those of the first questions.

    Raises:
        ConfigError: as for `asking.session.ask`.
        JudgeError: as there; or a request got no reply.
        SamplingError: the server saw another prompt, gives all samples one text at a temperature above 0,
            gives fewer than it is asked for, or ends them early or in a way that no trace can have.
        MissingDependency: httpx2 is not installed.
    """
    source, fit = author.source, partial(_refuse_unfit, settings, author.source)
    form = sampler_form(session.server, author, session.seed, fit)
    can, repeats = _probed(form, puts[0], settings, session, source)
    pilot, told = _asked(form, requests_of(puts[:PILOT], settings, session.server, can), session, source)
    look(pilot)
    if settings.temperature > 0 and settings.samples > 1 and all_alike(pilot):
        _refuse_greedy(form, pilot[0].request, session, source)
    answered, told = _asked(form, requests_of(puts, settings, session.server, can), session, source)
    seen = [one for one in answered if one.reply.counted]
    left_out = ("schema", "words", "dialect", "server_enforces_schema", "sample", "response_format")
    about = {name: value for name, value in told.items() if name not in left_out}
    about["usage"] = {
        "requests": len(answered),
        **{k: v for k, v in told["usage"].items() if k != "steps_asked"},
    }
    about |= {
        "samples": settings.samples,
        "samples_of_a_request": max(len(one.request.cids) for one in answered),
        "logprobs": can.logprobs,
        "unlimited": can.unlimited,
        "seed_repeats": repeats,
        "prompts_compared": len({one.request.put.qid for one in seen}),
        "n_questions": len(puts),
    }
    return Served(tuple(answered), about)


def plan_served(
    puts: Sequence[Put], settings: SamplingSettings, session: Session[Sampler], author: Author
) -> tuple[list[Request], int]:
    """The requests still to be sent at most, and how many are answered. Sends and writes nothing.

    What the server can do is taken from kept replies; else each sample is a request.
    """
    server = session.server
    form = sampler_form(server, author, session.seed)
    can = _known(form, puts[0], settings, session) or Abilities()
    every = requests_of(puts, settings, server, can)
    found = kept(form, every, server, session.work)
    pending = [request for request, reply in zip(every, found, strict=True) if reply is None]
    return pending, len(every) - len(pending)


# --- what a server can do -------------------------------------------------------------------------


def _ways(put: Put, settings: SamplingSettings, server: Sampler) -> list[Request]:
    """The requests by which it is found out, the one that asks for most first.

    Greedy samples are the same: servers refuse several of them in one request.
    """
    several = min(settings.samples, server.samples_per_request) if settings.temperature > 0 else 1
    ways = product([True, False] if several > 1 else [False], [True, False] if server.logprobs else [False],
                   [True, False])  # fmt: skip
    most = min(PROBE_TOKENS, settings.max_new_tokens)
    return [
        Request(put, tuple(range(several if way[0] else 1)), Abilities(*way), most)
        for way in sorted(ways, key=sum, reverse=True)
    ]


def _found(request: Request, reply: Reply) -> Abilities:
    """What a reply to such a request shows; a server may take a parameter and ignore it."""
    choices = choices_of(reply)
    return Abilities(
        request.can.several and len(choices) == len(request.cids),
        request.can.logprobs and all(choice.sum_logprob is not None for choice in choices),
        request.can.unlimited,
    )


def _probed(
    form: Form[Request, Reply], put: Put, settings: SamplingSettings, session: Session[Sampler], source: str
) -> tuple[Abilities, bool | None]:
    """What the server can do, and whether the same seed gives the same text again (None: not asked)."""
    who, refusals = f"sampler {session.server.model}", []
    quiet = replace(session, progress=False)
    for request in _ways(put, settings, session.server):
        (reply,) = ask(form, [request], quiet).answers
        if not isinstance(reply, Reply):
            refusals.append(reply.reason if isinstance(reply, Failed) else "")
            continue
        can = _found(request, reply)
        log.info("%s: %s", who, _told(request, can, refusals))
        if settings.temperature == 0:
            return can, None
        (again,) = ask(form, [request], replace(quiet, sample=1)).answers
        repeats = isinstance(again, Reply) and _texts(again) == _texts(reply)
        if not repeats:
            log.info("%s: the same seed gives another text: its samples cannot be made again", who)
        return can, repeats
    raise ServerRefused(
        f"{source}: the server refused every way of asking for a sample; the last time it said: "
        f"{refusals[-1]}. {session.server.refused[:1].upper()}{session.server.refused[1:]}"
    )


def _known(
    form: Form[Request, Reply], put: Put, settings: SamplingSettings, session: Session[Sampler]
) -> Abilities | None:
    """What kept replies tell of the server."""
    for request in _ways(put, settings, session.server):
        (reply,) = kept(form, [request], session.server, session.work)
        if isinstance(reply, Reply):
            return _found(request, reply)
    return None


def _told(request: Request, can: Abilities, refusals: Sequence[str]) -> str:
    n = len(request.cids)
    if can.several:
        said = f"it gives n={n} samples in one request"
    elif request.can.several:
        said = f"it takes n={n} and ignores it: one request a sample"
    else:
        said = "one request a sample"
    if refusals:
        said += f" (asked for more it said: {refusals[0][:100]})"
    if not can.unlimited:
        said += f"; it does not take {', '.join(UNLIMITED)}: its own defaults hold, if it has any"
    return said + ("; it lists log-probabilities" if can.logprobs else "; it lists no log-probabilities")


def _texts(reply: Reply) -> list[tuple[str, str | None]]:
    return [(choice.text, choice.reasoning) for choice in choices_of(reply)]


# --- asking, and what must hold of what came ------------------------------------------------------


def _asked(
    form: Form[Request, Reply], requests: Sequence[Request], session: Session[Sampler], source: str
) -> tuple[list[Answered], dict[str, Any]]:
    found = ask(form, requests, session)
    failed = [
        (request, answer)
        for request, answer in zip(requests, found.answers, strict=True)
        if not isinstance(answer, Reply)
    ]
    if failed:
        request, answer = failed[0]
        why = answer.reason if isinstance(answer, Failed) else "nothing came"
        raise JudgeError(
            f"{source}: {len(failed)} of {len(requests)} requests got no reply. The first, question "
            f"'{request.put.qid}', sample {request.cids[0]} (prompt of {len(request.put.ids)} tokens, "
            f"sampling.max_new_tokens={session.server.max_tokens}): {why}. Where it speaks of a length, "
            "start the server with a context that holds both, or lower max_new_tokens. Run again: replies "
            "got are kept, only the failed requests are sent again"
        )
    answered = []
    for request, reply in zip(requests, found.answers, strict=True):
        assert isinstance(reply, Reply)
        answered.append(Answered(request, tuple(choices_of(reply)[: len(request.cids)]), reply))
    return answered, found.about


def _refuse_unfit(settings: SamplingSettings, source: str, one: Answered) -> None:
    """Refuse what is no sample of this study; of a short request that asks what a server does, its prompt."""
    refuse_other_prompt(one, source)
    if one.request.most is None:
        refuse_few(one.request.put.qid, one.choices, len(one.request.cids))
        refuse_other_limit(one, settings, source)


def _refuse_greedy(
    form: Form[Request, Reply], request: Request, session: Session[Sampler], source: str
) -> None:
    """Refuse a server that gives one text whatever the temperature; a model that is very sure is none."""
    hot = [Request(request.put, (cid,), Abilities(), HOT_TOKENS, HOT) for cid in (10**6, 10**6 + 1)]
    found = ask(form, hot, replace(session, progress=False)).answers
    texts = [_texts(reply) for reply in found if isinstance(reply, Reply)]
    if len(texts) == len(hot) and texts[0] != texts[1]:
        log.warning(
            "%s: all samples of the first questions are the same text; at temperature %g they are not, so "
            "the model is sure and the server samples", source, HOT,
        )  # fmt: skip
        return
    raise SamplingError(
        f"{source}: all samples of the first {PILOT} questions are the same text, and two more at "
        f"temperature {HOT:g} with seeds of their own: the server does not sample. `transformers serve` does "
        "so unless the "
        'checkpoint\'s generation_config.json has "do_sample": true; others where one seed is fixed at their '
        "start. Votes among such samples would be one vote. Paid replies are kept"
    )
