"""Forced answers after steps that end inside a token: which tokens are asked, and what they give."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from mechcot.core.errors import ReadingError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.models.anatomy import anatomy_of
from mechcot.reading.batch import unpack
from mechcot.reading.forward import run_alone
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, Seam, TraceInput
from mechcot.reading.layout import make_branch
from mechcot.reading.of_study import _knock_outs
from mechcot.reading.reader import plan_for, read, unreadable
from mechcot.reading.sample import sample_questions
from mechcot.reading.seams import lead_ids, seams_of, whole_tokens
from mechcot.reading.selfcheck import self_check
from mechcot.reading.spec import ReadingSpec, recipe_for
from mechcot.sampling.room import Prompt
from mechcot.sampling.sampler import Completion
from mechcot.sampling.traces import token_offsets, trace_rows
from mechcot.steps.table import step_rows
from mechcot.tasks import Question, forced_ids, render_prompt
from mechcot.tasks.multiple_choice import multiple_choice
from reading_cases import make_model, make_questions, one_thread  # noqa: F401

WORDS = "fever rash cough pain heart lung liver acid base salt"
CORPUS = [
    f"The {a} comes from the {b}.\n\nSo the {b} is it. Is the {a} right?\n\nYes:\n- {a}\n- {b}.\n**{a}.**\n\n"
    for a in WORDS.split()
    for b in WORDS.split()
]
SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


@lru_cache
def tokenizer_of(kind: str) -> Any:
    """Byte-level with marks and newlines in one token, the same with trimmed spans; SentencePiece's way."""
    inner = Tokenizer(models.BPE(byte_fallback=kind == "metaspace"))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "metaspace":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        inner.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(content=" ", left=1, right=0),
            ]
        )
        alphabet = [f"<0x{i:02X}>" for i in range(256)]
    else:
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        inner.decoder = decoders.ByteLevel()
        inner.post_processor = processors.ByteLevel(trim_offsets=kind == "trimmed")
    special = ["<eos>"] if kind != "metaspace" else ["<eos>", *alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet if kind != "metaspace" else [],
        show_progress=False,
    )  # fmt: skip
    inner.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")


KINDS = ["byte-level", "trimmed", "metaspace"]
QUESTION = Question("q0", "test", "What is it?", ("fever", "rash", "acid base"), 0, "")


def task_with(*lead_in: str, form: str = "text", terminator: str | None = None) -> Any:
    settings = PromptSettings(
        question="{stem}\n{options}\n", chat=False, answer_form=form, lead_in=lead_in, terminator=terminator
    )
    return multiple_choice(settings, "sentences")


TASK = task_with("\n\nThe answer is ", "\nSo: ")


def token_list(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def told(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def trace_of(tokenizer: Any, ids: list[int], task: Any = TASK) -> tuple[Any, list[Any]]:
    """A completion as a row of the traces, and its steps as rows, by the code that makes them."""
    prompt = render_prompt(QUESTION, task.format, tokenizer)[1]
    rows = trace_rows(
        [Completion("q0", 0, ids, "length", 0.0)], [Prompt("q0", tuple(prompt))], {"q0": QUESTION},
        task.format, tokenizer, "base",
    )  # fmt: skip
    frame = pd.DataFrame(rows)
    steps = pd.DataFrame(step_rows(frame, {"q0": QUESTION}, task))
    return next(frame.itertuples()), list(steps.itertuples())


def seams(tokenizer: Any, trace: Any, steps: list[Any], task: Any = TASK) -> dict[int, Seam]:
    leads = cache(partial(lead_ids, QUESTION, task.format, tokenizer))
    return seams_of(tokenizer, trace.text, trace.token_ids, trace.token_start, steps, leads)


def test_the_tokenizer_is_as_published_ones_are() -> None:
    tokenizer = tokenizer_of("byte-level")
    assert ".\n\n" in [told(tokenizer, [i]) for i in token_list(tokenizer, "So it is.\n\nYes")]


@pytest.mark.parametrize("kind", ["byte-level", "trimmed"])
def test_one_text_is_asked_at_the_end_of_a_paragraph_and_inside_it(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    text = "The fever comes from the lung.\n\nThe acid comes from the heart. So the base comes from the salt."
    trace, steps = trace_of(tokenizer, token_list(tokenizer, text))
    found = seams(tokenizer, trace, steps)
    assert len(steps) == 3
    assert list(found) == [0], "the first step ends inside a token"
    for number, step in enumerate(steps):
        cut = found[number].cut if number in found else step.tok_end
        plain = [forced_ids(QUESTION, lead, TASK.format, tokenizer)[0] for lead in TASK.format.lead_in]
        leads = found[number].leads if number in found else plain
        for lead_in, lead in zip(TASK.format.lead_in, leads, strict=True):
            asked = told(tokenizer, [*trace.token_ids[:cut], *lead])
            assert asked == (trace.text[: step.char_end] + lead_in).rstrip(" ")
            assert asked.count("\n\n") == (number > 0) + (lead_in[:2] == "\n\n")
    # What was asked before: the token with the step's end, its two newlines, and two more.
    step = steps[0]
    assert "\n\n\n\n" in told(tokenizer, [*trace.token_ids[: step.tok_end], *plain[0]])


def test_what_straddles_is_flagged_in_the_steps() -> None:
    tokenizer = tokenizer_of("byte-level")
    text = "The cough comes from the lung.\n\nThe acid comes from the salt. So the base comes from the salt."
    trace, steps = trace_of(tokenizer, token_list(tokenizer, text))
    assert [step.straddles for step in steps] == [True, False, False]
    assert {n for n, step in enumerate(steps) if step.straddles} == set(seams(tokenizer, trace, steps))


PIECES = st.sampled_from(
    ["The fever", " comes", " from", ".", "?", "!", "\n\n", "\n", " ", "  ", "**", "- ", "\u2026", "\u3002",
     "\u201d", "\U0001fac0", "\u00e9", "caf\u00e9", "\u200b", "1", ")", ":\n", ".\n\n", "\u662f", "So", "\t"]
)  # fmt: skip
LEADS = st.sampled_from(["\n\nThe answer is ", " So: ", "The", "\n", ".", "\n\n\n\u2026"])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS), st.lists(PIECES, min_size=1, max_size=12), st.booleans(), LEADS, st.data())
def test_the_text_asked_is_the_text_to_the_end_of_the_step_and_the_lead_in(
    kind: str, pieces: list[str], canonical: bool, lead_in: str, data: Any
) -> None:
    tokenizer, task = tokenizer_of(kind), task_with(lead_in)
    whole = "".join(pieces)
    parts = [whole] if canonical else pieces  # a model may write tokens that its tokenizer would not choose
    ids = [i for part in parts for i in token_list(tokenizer, part)]
    text = told(tokenizer, ids)
    starts = [start for start, _ in token_offsets(tokenizer, ids, text)] if ids else []
    cut = len(text[: data.draw(st.integers(1, max(len(text), 1)))].rstrip())
    count, known = whole_tokens(tokenizer, text, ids, starts, cut)
    assert told(tokenizer, ids[:count]) == text[:known]
    for more in range(count + 1, len(ids) + 1):
        said = told(tokenizer, ids[:more])
        beyond = len(said) > cut or not text.startswith(said)
        assert beyond or starts[more - 1] >= cut, "no more tokens are whole"
    (lead,) = lead_ids(QUESTION, task.format, tokenizer, text[known:cut])
    plain, options = forced_ids(QUESTION, lead_in, task.format, tokenizer)
    for ids_of, rest in ((lead, text[known:cut]), (plain, "")):
        for option, words in zip(options, QUESTION.options, strict=True):
            # Behind a word that stands alone, as behind any text: what decoding strips is not at stake.
            head = token_list(tokenizer, "The")
            asked = told(tokenizer, [*head, *ids_of, *option])
            assert asked == "The" + rest + lead_in + words + "<eos>"


def test_the_rest_of_a_step_never_runs_into_the_options() -> None:
    tokenizer, task = tokenizer_of("byte-level"), task_with("")
    (lead,) = lead_ids(QUESTION, task.format, tokenizer, "The ")
    assert told(tokenizer, lead) == "The "
    _, options = forced_ids(QUESTION, "", task.format, tokenizer)
    assert [told(tokenizer, option) for option in options] == [f"{o}<eos>" for o in QUESTION.options]


def seam_at(question: QuestionInput, cut: int, rest: int) -> Seam:
    return Seam(cut, tuple((rest, *lead.ids) for lead in question.forced))


def with_seams(questions: list[QuestionInput]) -> list[QuestionInput]:
    """Every other step ends inside its last token, some one token earlier still."""
    changed = []
    for question in questions:
        traces = []
        for trace in question.traces:
            found = {
                number: seam_at(question, max(end - 1 - number % 3, 0), 17 + number)
                for number, (_, _, end) in enumerate(trace.steps)
                if number % 2 == 0
            }
            k = len(trace.steps)
            hidden = tuple(KnockOut(k, sid, (a, b), sid % 2 == 0) for sid, a, b in trace.steps[: k - 1])
            traces.append(replace(trace, seams=found, knock_outs=hidden))
        changed.append(replace(question, traces=tuple(traces)))
    return changed


def plain_forced(model: Any, prefix: list[int], forced: tuple[LeadIn, ...]) -> np.ndarray:
    rows = []
    for lead in forced:
        for option in lead.options:
            ids = torch.tensor([[*prefix, *lead.ids, *option]])
            with torch.no_grad():
                logp = model(ids).logits[0].log_softmax(-1)
            rows.append(sum(float(logp[i - 1 - len(option), t]) for i, t in enumerate(option)))
    return np.array(rows).reshape(len(forced), -1)


@pytest.mark.parametrize("family", ["qwen3", "mistral", "gemma3", "gpt2"])
def test_trees_of_unlike_branches_give_what_plain_runs_give(family: str) -> None:
    model = make_model(family)
    questions = with_seams(make_questions())
    plan = plan_for(model, questions, ReadingSpec(max_tokens=150))
    assert len(plan.batches) > 1
    seen = 0
    for batch in read(model, questions, ReadingSpec(max_tokens=150)):
        assert plan.nodes(batch.number) > 0
        for reading in unpack(plan, batch):
            question, trace = questions[reading.question], reading.source
            for number in range(len(trace.steps)):
                seam = trace.seams.get(number)
                end = seam.cut if seam else trace.steps[number][2]
                leads = seam.leads if seam else [lead.ids for lead in question.forced]
                forced = tuple(
                    LeadIn(ids, lead.options) for ids, lead in zip(leads, question.forced, strict=True)
                )
                expected = plain_forced(model, [*question.prompt_ids, *trace.token_ids[:end]], forced)
                np.testing.assert_allclose(reading.forced[0, number], expected, atol=1e-4)
                seen += seam is not None
    assert seen > 5


def test_text_by_text_gives_the_same() -> None:
    model = make_model("qwen3")
    questions = [
        replace(q, traces=tuple(replace(t, knock_outs=()) for t in q.traces))
        for q in with_seams(make_questions())
    ]
    (batch,) = read(model, questions)
    work = [(question, tuple(range(len(question.traces))), True) for question in questions]
    done = run_alone(model, anatomy_of(model), work, recipe_for(anatomy_of(model)))
    plan = plan_for(model, questions)
    forced = np.concatenate([r.forced.ravel() for r in unpack(plan, batch)])
    flat, place = [], 0
    for question in questions:
        n = question.n_answers
        place += n  # the bare prompt
        rows = sum(len(t.steps) for t in question.traces) * n
        flat.append(done.answers[0, place : place + rows])
        place += rows
    np.testing.assert_allclose(forced, np.concatenate(flat), atol=1e-4)


def test_the_self_check_asks_a_step_that_ends_inside_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("qwen3")
    questions = []
    for q in make_questions():
        traces = [
            replace(t, seams={1: seam_at(q, t.steps[1][2] - 1, 17)}) for t in q.traces if len(t.steps) > 2
        ]
        questions.append(replace(q, traces=tuple(traces)))
    recipe = recipe_for(anatomy_of(model))
    assert self_check(model, questions, recipe).differences["forced"] < 1e-4

    def another(forced: tuple[LeadIn, ...]) -> Any:
        """The branch of a seam with another token in the place of what is left of the step."""
        changed = (replace(lead, ids=(18, *lead.ids[1:])) for lead in forced if lead.ids[:1] == (17,))
        return make_branch(tuple(changed) or forced)

    monkeypatch.setattr("mechcot.reading.layout.make_branch", another)
    assert self_check(model, questions, recipe).differences["forced"] > 1e-3


def test_the_sample_of_a_certificate_has_such_a_step(checkpoint_folder: Any) -> None:
    from mechcot.core.settings import ArmSettings
    from mechcot.models.checkpoint import load

    questions = sample_questions(load(ArmSettings(model=str(checkpoint_folder)), device="cpu"))
    assert all(trace.seams for question in questions for trace in question.traces)


@pytest.mark.parametrize("scope", ["answer", "later"])
def test_what_is_hidden_ends_before_the_lead_in(scope: str) -> None:
    tokenizer = tokenizer_of("byte-level")
    text = "The cough comes from the lung.\n\nThe acid comes from the salt.\n\nSo\n\n"
    trace, steps = trace_of(tokenizer, token_list(tokenizer, text))
    spans = [(int(s.sid), int(s.tok_start), int(s.tok_end)) for s in steps]
    seam = Seam(spans[1][2] - 1, ((5,), (6,)))
    read_so = TraceInput("q0", "base", 0, trace.token_ids, spans[:2], seams={1: seam})
    first, last = _knock_outs(read_so, steps[:2], scope)
    assert first.hidden == spans[0][1:], "what stands between two steps is hidden with the first"
    assert last.hidden == (spans[1][1], spans[1][2] - 1)
    leads = (LeadIn((5,), ((7,),)), LeadIn((6,), ((7,),)))
    hiding = replace(read_so, token_ids=[4] * 60, knock_outs=(first, last))
    assert unreadable(make_model("qwen3"), [QuestionInput("q0", [3], (hiding,), leads)], ("end",)) == {}
    alone = replace(read_so, seams={1: Seam(spans[1][1], ((5,), (6,)))})
    assert [k.sid for k in _knock_outs(alone, steps[:2], scope)] == [0], "nothing of the second is before it"


@pytest.mark.parametrize(
    ("seam", "message"),
    [
        ({5: Seam(1, ((4,), (4,)))}, "seam is given for step number 5"),
        ({0: Seam(9, ((4,), (4,)))}, "a seam needs a cut before the end of the step"),
        ({0: Seam(1, ((4,),))}, "2 lead-ins"),
        ({0: Seam(1, ((400,), (4,)))}, "holds token 400"),
    ],
)
def test_a_seam_that_is_none_is_refused_by_name(seam: dict[int, Seam], message: str) -> None:
    question = make_questions()[0]
    trace = TraceInput("q0", "base", 7, (10, 11, 12, 13), ((0, 0, 2), (1, 2, 4)), seams=seam)
    asked = [replace(question, traces=(trace,))]
    model = make_model("qwen3")
    (problem,) = unreadable(model, asked, ("end",)).values()
    assert "trace 7" in problem
    assert message in problem
    with pytest.raises(ReadingError, match="leave it out"):
        plan_for(model, asked)


def test_a_seam_that_leaves_no_room_is_refused() -> None:
    question, model = make_questions()[0], make_model("qwen3")
    long = tuple([10] * 85)
    trace = TraceInput("q0", "base", 0, long, ((0, 0, 85),), seams={0: Seam(84, ((4,) * 30, (4,)))})
    assert unreadable(model, [replace(question, traces=(replace(trace, seams={}),))], ("end",)) == {}
    (problem,) = unreadable(model, [replace(question, traces=(trace,))], ("end",)).values()
    assert "positions" in problem
