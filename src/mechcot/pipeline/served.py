"""An arm whose traces a server samples: what is asked of it, what comes, and what that takes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import ConfigError, ModelError
from mechcot.core.plan import Expense
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.pipeline.plan import ON_THE_HUB, questions_of
from mechcot.pipeline.prompts import check_asked
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.study.folder import Study
from mechcot.tasks import PromptFormat, Question, question_of, render_prompt
from mechcot.tasks.render import template_words

if TYPE_CHECKING:
    from mechcot.asking.sampler_file import Sampler
    from mechcot.asking.session import Session
    from mechcot.sampling.requests import Answered, Author
    from mechcot.sampling.retold import Listed, Put, Retelling

log = logging.getLogger("mechcot")


def server_file(study: Study, arm: str) -> Path:
    """The sampler file that an arm names."""
    return Path(study.settings.arms[arm].server or "").expanduser()


def sampler_of(study: Study, arm: str, sampling: SamplingSettings) -> Sampler:
    """The server of an arm's sampler file, with the study's parameters.

    Raises:
        ConfigError: the file cannot be used or says otherwise than the study, or it sends messages and the
            prompts are plain texts.
    """
    from mechcot.asking.sampler_file import read_sampler

    path = server_file(study, arm)
    server = read_sampler(path, arm)
    prompt = study.settings.prompt_of(arm)
    if server.sends == "messages" and not prompt.chat:
        raise ConfigError(
            f"{path}: it sends messages, which a server puts into a chat template, and prompt.chat is false. "
            "Set sends: text (or tokens), for its /completions"
        )
    if server.sends == "messages" and prompt.template is not None:
        raise ConfigError(
            f"{path}: it sends messages, which a server puts into its own chat template, and the arm '{arm}' "
            f"has another ({prompt.template}). Set sends: text (or tokens), for its /completions"
        )
    return server.sampling(sampling, prompt.thinking)


def server_basis(study: Study, arm: str) -> dict[str, Any]:
    """What of an arm's sampler file decides its texts."""
    from mechcot.asking.sampler_file import COST_ALONE

    server = sampler_of(study, arm, study.settings.sampling_of(arm))
    told = server.model_dump(mode="json", exclude=set(COST_ALONE))
    return told | {"base_url": server.addresses[0]}  # further addresses serve the same


def puts_of(study: Study, arm: str, questions: dict[str, Question], tokenizer: Any) -> list[Put]:
    """A study's questions as they are put to an arm's server."""
    from mechcot.sampling.retold import Put
    from mechcot.tasks.render import messages_of

    form = task_of(study, arm).format
    puts = []
    for qid, question in questions.items():
        text, ids = render_prompt(question, form, tokenizer)
        puts.append(Put(qid, text, tuple(ids), tuple(messages_of(question, form)) if form.chat else ()))
    return puts


def served(
    study: Study, arm: str, sampling: SamplingSettings, progress: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces of all questions by an arm's server (rows of `records.TRACES`), and how they came about.

    Raises:
        MechcotError: as `sampling.served.sample_served`; many texts are empty, or not of the arm's tokens.
    """
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.sampling import Prompt, trace_rows
    from mechcot.sampling.retold import refuse_other_texts
    from mechcot.sampling.served import sample_served

    task, questions, own = task_of(study, arm), questions_by_id(study), study.settings.arms[arm]
    tokenizer = load_tokenizer(checkpoint_folder(study, arm), trust_remote_code=own.trust_remote_code)
    puts, source = puts_of(study, arm, questions, tokenizer), str(server_file(study, arm))
    check_asked(study, arm, {put.qid: put.ids for put in puts})

    def retold(answered: Sequence[Answered]) -> Retelling:
        return _retold(study, task.format, sampling, puts, tokenizer, answered)

    def look(answered: Sequence[Answered]) -> None:
        refuse_other_texts(retold(answered).counts, source)

    server = sampler_of(study, arm, sampling)
    log.info("arm %s: sampled at %s; its weights are in %s", arm, server.where, checkpoint_folder(study, arm))
    session = session_of(study, server, progress)
    came = sample_served(puts, sampling, session, _author(study, arm), look)
    told = retold(came.answered)
    refuse_other_texts(told.counts, source)
    prompts, counts = [Prompt(put.qid, put.ids) for put in puts], told.counts
    rows = trace_rows(told.done, prompts, questions, task.format, tokenizer, arm)
    about = {
        **came.about,
        "arm": arm,
        "token_ids": "of the arm's own tokenizer, made from the server's texts",
        "completion_tokens": {
            "server": counts.counted,
            "own": counts.tokens,
            "n_texts": counts.counted_texts,
        },
        "finish_reasons": dict(sorted(counts.finish_reasons.items())),
        "reasoning_joined": counts.joined,
        "stopped_here": counts.stopped,
        "respelled": counts.respelled,
        "recomputed": _recomputed(study, arm, told.listed),
    }
    _tell(arm, about, counts.texts)
    return rows, about


def _author(study: Study, arm: str) -> Author:
    """Whose samples a server is asked for; weights may be made again under the same name."""
    from mechcot.core.digests import Digests
    from mechcot.sampling.requests import Author

    return Author(arm, Digests(study.path).of(checkpoint_folder(study, arm)), str(server_file(study, arm)))


def _retold(
    study: Study,
    form: PromptFormat,
    sampling: SamplingSettings,
    puts: Sequence[Put],
    tokenizer: Any,
    answered: Sequence[Answered],
) -> Retelling:
    """What a server gave as completions in an arm's own tokens."""
    from mechcot.sampling import stop_of
    from mechcot.sampling.retold import Retelling
    from mechcot.sampling.thoughts import thoughts_of

    questions = questions_by_id(study)
    thoughts = thoughts_of(tokenizer, puts[0].messages, puts[0].text, template_words(form))
    told = Retelling(tokenizer, thoughts, sampling, lambda how: stop_of(how, questions, form, tokenizer))
    for one in answered:
        counted = one.reply.completion_tokens if one.reply.counted else None
        told.completions(one.request.put, one.request.cids, one.choices, counted)
    return told


def session_of(study: Study, server: Sampler, progress: bool) -> Session[Sampler]:
    """Whom is asked, and where replies are kept."""
    from mechcot.asking.session import Session
    from mechcot.asking.spending import Ledger

    work = study.path / "work" / "calls"
    return Session(server, work, study.settings.seed, ledger=Ledger(server.budget), progress=progress)


def _recomputed(study: Study, arm: str, listed: Sequence[Listed]) -> dict[str, Any] | None:
    """Log-probabilities of the server beside those of the arm's weights; None: the server lists none.

    What is paid for is not lost where the weights cannot be loaded: a server may hold all of a GPU's memory.
    """
    from mechcot.models.checkpoint import load
    from mechcot.models.devices import out_of_memory
    from mechcot.sampling.recomputed import recomputed

    if not listed:
        return None
    try:
        checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), study.settings.device)
        return recomputed(checkpoint, listed).to_json()
    except Exception as error:
        if not isinstance(error, ModelError) and not out_of_memory(error):
            raise
        why = str(error).partition("\n")[0]
        log.warning("arm %s: the server's log-probabilities are not compared with the weights': %s", arm, why)
        return {"n_tokens": 0, "n_otherwise": 0, "why": why}


def _tell(arm: str, about: dict[str, Any], total: int) -> None:
    """Say what a reader of the traces should know."""
    if about["prompts_compared"] < about["n_questions"]:
        log.warning(
            "arm %s: the server counted the prompt tokens of %d of %d questions: whether it saw the prompts "
            "that the weights read is not known of the others",
            arm, about["prompts_compared"], about["n_questions"],
        )  # fmt: skip
    if about["stopped_here"]:
        log.info(
            "arm %s: %d of %d texts were ended here, where the server went on",
            arm,
            about["stopped_here"],
            total,
        )
    found = about["recomputed"]
    if found and found["n_tokens"]:
        log.info(
            "arm %s: log-probabilities of the server and of the arm's weights differ by %.2g nats a token on "
            "the average, at most by %.2g (%d tokens of %d texts)",
            arm, found["mean_absolute"], found["largest"], found["n_tokens"], found["n_texts"],
        )  # fmt: skip


def plan_served(study: Study, arm: str, sampling: SamplingSettings) -> Expense:
    """What sampling an arm from its server takes at most, once its prompts can be rendered."""
    questions: pd.DataFrame | None = questions_of(study)
    server = sampler_of(study, arm, sampling)
    unknown = partial(Expense, arm, calls=None, tokens_in=None, tokens_out=None, money=None)
    if questions is None:
        return unknown(n=None, unit="traces", reason=ON_THE_HUB)
    n, folder = len(questions) * sampling.samples, checkpoint_folder(study, arm)
    if not folder.exists():
        return unknown(n=n, unit="traces", reason="the arm's weights are not made yet")
    return _priced(
        study, arm, sampling, server, {row.qid: question_of(row) for row in records.rows(questions)}
    )


def _priced(
    study: Study, arm: str, sampling: SamplingSettings, server: Sampler, questions: dict[str, Question]
) -> Expense:
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.sampling.served import plan_served as plan

    own = study.settings.arms[arm]
    tokenizer = load_tokenizer(checkpoint_folder(study, arm), trust_remote_code=own.trust_remote_code)
    puts = puts_of(study, arm, questions, tokenizer)
    pending, answered = plan(puts, sampling, session_of(study, server, False), _author(study, arm))
    read = sum(len(request.put.ids) for request in pending)
    written = sum(len(request.cids) for request in pending) * sampling.max_new_tokens
    money = server.cost(read, written) if pending else 0.0
    most = min(server.samples_per_request, sampling.samples)
    fewer = len(questions) * -(-sampling.samples // most)
    note = "start-up calls and short ones that find out what the server can do come on top"
    if len(pending) + answered > fewer:
        note += f"; each sample is counted as a request: {fewer} are all where it gives n={most} in one"
    return Expense(
        arm,
        len(questions) * sampling.samples,
        "traces",
        calls=len(pending),
        answered=answered,
        tokens_in=read,
        tokens_out=written,
        money=money,
        reason=Expense.reason if money is not None else "the sampler file lacks price_in or price_out",
        note=f"{note}; money is by the sampler file's prices and these tokens",
    )
