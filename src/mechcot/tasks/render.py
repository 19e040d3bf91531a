"""Questions and forced answers as token ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mechcot.core.errors import ModelError, foreign_errors
from mechcot.tasks.base import PromptFormat, Question
from mechcot.tasks.tokens import adds_bos, following, shared_prefix


def render_prompt(question: Question, form: PromptFormat, tokenizer: Any) -> tuple[str, list[int]]:
    """A question's prompt as text and as token ids, with at most one beginning-of-text token.

    Raises:
        ModelError: the format wants a chat template and the tokenizer has none, or one that fails.
    """
    text = form.render(question)
    if not form.chat:
        text = "".join(f"{asked}\n\n{solved}\n\n" for asked, solved in form.shots) + text
    else:
        if not (form.template or tokenizer.chat_template):
            raise ModelError(
                f"{tokenizer.name_or_path}: the tokenizer has no chat template. "
                "Name one (prompt.template), or set prompt.chat=false to send the plain text"
            )
        extra = template_words(form)
        messages = messages_of(question, form)
        with foreign_errors(
            f"{tokenizer.name_or_path}: its chat template does not take question '{question.qid}' (set "
            "prompt.chat=false to send the plain text)"
        ):
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **extra
            )
        if len(messages) > 1:
            _refuse_loss(messages, text, tokenizer)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise ModelError(f"{tokenizer.name_or_path}: the prompt begins with two beginning-of-text tokens")
    if adds_bos(tokenizer) and ids[:1] != [bos]:
        ids = [bos, *ids]
    return text, ids


def template_words(form: PromptFormat) -> dict[str, Any]:
    """What a chat template is given beside the turns: how it is to think, and the template itself."""
    thinking = {} if form.thinking is None else {"enable_thinking": form.thinking}
    return thinking if form.template is None else {**thinking, "chat_template": form.template}


def check_thinking(question: Question, form: PromptFormat, tokenizer: Any) -> None:
    """Refuse a setting for thinking that a chat template does not know: it would change nothing, unseen.

    Raises:
        ModelError: the prompt is the same with and without thinking.
    """
    if form.thinking is None or not form.chat:
        return
    other = replace(form, thinking=not form.thinking)
    if render_prompt(question, form, tokenizer)[0] == render_prompt(question, other, tokenizer)[0]:
        raise ModelError(
            f"{tokenizer.name_or_path}: prompt.thinking is {str(form.thinking).lower()}, and its chat "
            "template has no switch for thinking (enable_thinking): the prompt is the same. Set "
            "prompt.thinking=null"
        )


def messages_of(question: Question, form: PromptFormat) -> list[dict[str, str]]:
    """The turns of a chat that ends with a question."""
    turns = [("system", form.system)] if form.system is not None else []
    for asked, solved in form.shots:
        turns += [("user", asked), ("assistant", solved)]
    return [{"role": role, "content": content} for role, content in (*turns, ("user", form.render(question)))]


def _refuse_loss(messages: list[dict[str, str]], text: str, tokenizer: Any) -> None:
    """Refuse a template that drops a turn, or the reasoning in one: nobody would see it.

    Raises:
        ModelError: a message's content does not stand in the prompt.
    """
    for number, message in enumerate(messages):
        if message["content"].strip() not in text:
            what = (
                "the system message" if message["role"] == "system" else f"turn {number} ({message['role']})"
            )
            raise ModelError(
                f"{tokenizer.name_or_path}: its chat template leaves out or changes {what}: "
                f"{message['content'][:60]!r}. Leave prompt.system and prompt.shots out, or set "
                "prompt.chat=false"
            )


def before_answer(reasoning: str, form: PromptFormat) -> str:
    """A trace, or none, and the words that force an answer, as in examples."""
    lead = form.lead_in[0]
    if not reasoning:
        return lead.lstrip()
    return reasoning + (lead if lead[:1].isspace() else f" {lead}")


def forced_ids(
    question: Question, lead_in: str, form: PromptFormat, tokenizer: Any
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Tokens of a lead-in, and of each option with its terminator after it.

    Lead-in, option and terminator are tokenised together, so that the tokens at the seams are those
    the model knows; what all share with the lead-in alone is the lead-in. No blank is put before it, as
    some tokenizers do with every text.

    Raises:
        ModelError: there is no terminator.
    """
    if form.terminator is None:
        if tokenizer.eos_token_id is None:
            raise ModelError(f"{tokenizer.name_or_path}: no end of text; set prompt.terminator")
        end, tail = "", [tokenizer.eos_token_id]
    else:
        end, tail = form.terminator, []
    rows = [
        [*following(tokenizer, lead_in + form.written(question, i) + end), *tail]
        for i in range(len(question.options))
    ]
    alone = following(tokenizer, lead_in)
    shared = shared_prefix([alone, *rows])
    return tuple(rows[0][:shared]), tuple(tuple(row[shared:]) for row in rows)
