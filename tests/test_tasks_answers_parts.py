"""A completion in parts: what is reasoning, what states the answer, what follows it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.prompt_settings import PromptSettings
from mechcot.steps import step_rows
from mechcot.steps.table import after_answer
from mechcot.tasks import Question, parts, reasoning_end
from mechcot.tasks.answers.parts import ROLES
from mechcot.tasks.multiple_choice import multiple_choice, prompt_format

REAL = Path(__file__).parent.parent.parent / "shared" / "real" / "traces_gpt4o.jsonl"
LETTER = prompt_format(PromptSettings())
THINKS = prompt_format(PromptSettings(reasoning_end="</think>"))
DRUGS = Question("q", "d", "s", ("Beta blocker", "Amoxicillin", "Doxycycline", "Cefazolin"), 1, "g")


def _by_role(text, form=LETTER):
    found = parts(text, DRUGS, form)
    assert "".join(text[part.start : part.end] for part in found) == text
    return {
        role: [text[part.start : part.end].strip() for part in found if part.role == role]
        for role in ("reasoning", "answer", "after_answer", "overrun")
    }


@pytest.mark.parametrize(
    "sentence",
    [
        "5. The answer is (B).", "### The answer is (B)", "So the answer is (B).", "> The answer is (B).",
        "**Final answer:** The answer is (B).", "Therefore, the correct answer is **(B) Amoxicillin**.",
        "## Final Answer\n\n**B**", "\\[\n\\boxed{B}\n\\]", "**Answer: B**", "- **Answer:** B",
        "---\nAnswer: B",
        "Therefore, the best drug is:\n\n**(B) Amoxicillin**", "$$\\boxed{\\text{B}}$$", "(B) Amoxicillin",
        "Based on the age and the fever of the boy, the answer is (B).", "答案是 B。",
        "The best drug for this boy, who has had a fever for three days, is (B).", "因此答案选B。",
        "Conclusion: the answer is (B).", "**Conclusion**\nThe answer is (B).",
    ],
)  # fmt: skip
def test_nothing_of_the_answers_own_sentence_is_reasoning(sentence):
    found = _by_role(f"K is low.\n\nDrug x raises K.\n\n{sentence}")
    assert found["reasoning"] == ["K is low.\n\nDrug x raises K."]
    assert found["after_answer"] == []


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("K is low\nNa is high\nSo B", "K is low\nNa is high", "So B"),
        (
            '{"reasoning": "K is low. Na is high.", "answer": "B"}',
            '{"reasoning": "K is low. Na is high.",',
            '"answer": "B"}',
        ),
    ],
)
def test_a_line_or_an_entry_before_the_answer_is_no_part_of_it(text, reasoning, answer):
    found = _by_role(text)
    assert (found["reasoning"], found["answer"]) == ([reasoning], [answer])


@pytest.mark.parametrize(
    "text",
    [
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>commentary<|message|>{}"
        "<|end|><|start|>assistant<|channel|>final<|message|>The answer is (B).",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>analysis<|message|>{}"
        "<|end|><|start|>assistant<|channel|>final<|message|>The answer is (B).",
        "<|begin_of_thought|>{}<|end_of_thought|>\n\n<|begin_of_solution|>\n{} The answer is (B).",
    ],
)
def test_marks_between_channels_are_no_step(text):
    steps = ["K is low.", "Na is high."]
    assert _by_role(text.format(*steps))["reasoning"] == steps


def test_a_reason_in_the_answers_own_sentence_stays_a_step():
    text = (
        "Because CK is high and statins cause myopathy, the answer is (B), because no other drug does that."
    )
    found = _by_role(text)
    assert found["reasoning"] == ["Because CK is high and statins cause myopathy,"]
    assert found["answer"] == ["the answer is (B),"]
    assert found["after_answer"] == ["because no other drug does that."]


def test_what_follows_the_first_statement_of_the_answer_is_after_it():
    found = _by_role("Low K causes x. The answer is (B). Note that y treats z. So the answer is (B).")
    assert found["reasoning"] == ["Low K causes x."]
    assert found["after_answer"] == ["Note that y treats z."]
    assert len(found["answer"]) == 2
    found = _by_role("(B)\n\nIt is safe. It covers the ear.")
    assert (found["reasoning"], found["answer"]) == ([], ["(B)"])
    assert found["after_answer"] == ["It is safe. It covers the ear."]


def test_reasoning_goes_on_behind_an_answer_that_is_taken_back():
    found = _by_role("The answer is (A). Low K causes x. Wait, no. The answer is (C). It is good.")
    assert found["reasoning"] == ["Low K causes x. Wait, no."]
    assert found["after_answer"] == ["It is good."]


def test_a_restated_instruction_ends_no_reasoning():
    text = "I must end with: The answer is (X). K is low. If x, the answer is (C). The answer is (B)."
    assert _by_role(text)["reasoning"] == [text.removesuffix(" The answer is (B).")]


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<think>\nLow salt. So x.\n</think>\n\nThe answer is (B).", ["Low salt. So x."]),
        ("<think>\nI close with </think> later. Low salt.\n</think>\nThe answer is (B).",
         ["I close with </think> later. Low salt."]),
        ("<think>\n\n</think>\n\nLow salt. So x.\n\nThe answer is (B).", ["Low salt. So x."]),
        ("<think>Low salt.</think>\n<think>So x.</think>\nThe answer is (B).", ["Low salt.", "So x."]),
        ("Low salt. So x.\n</think>\n\nThe answer is (B).", ["Low salt. So x."]),  # opened in the prompt
        ("[THINK]Low salt. So x.[/THINK]The answer is (B).", ["Low salt. So x."]),
        ("<|channel|>analysis<|message|>Low salt.<|end|><|start|>assistant<|channel|>final<|message|>"
         "The answer is (B).<|return|>", ["Low salt."]),
    ],
)  # fmt: skip
def test_blocks_of_thought(text, reasoning):
    assert _by_role(text)["reasoning"] == reasoning
    if "[" not in text:  # the mark that the settings name
        found = _by_role(text, THINKS)
        assert found["reasoning"] == reasoning
        assert found["after_answer"] == []


def test_where_the_reasoning_ends():
    assert reasoning_end("abc. The answer is (A)", LETTER) == 5
    assert reasoning_end("abc </think> The answer is (A)", THINKS) == 4
    assert reasoning_end("abc", LETTER) == reasoning_end("abc", THINKS) == 3
    assert reasoning_end("The answer is (A). Because.", LETTER) == 0
    assert reasoning_end("It is so.\n\nAmoxicillin", LETTER, DRUGS) == 10
    assert reasoning_end("It is so.\n\nAmoxicillin", LETTER) == 22  # no option is known


def _trace(text, **more):
    row = {"qid": "q", "arm": "a", "cid": 0, "text": text, "token_start": list(range(len(text))),
           "token_end": list(range(1, len(text) + 1)), "finish_reason": "stop", "answer": 1,
           "reasoning_end": reasoning_end(text, LETTER, DRUGS)}  # fmt: skip
    return pd.DataFrame([row | more])


def test_steps_know_whether_they_stand_after_the_answer():
    traces = _trace("Low K causes x. The answer is (B). Note that y treats z.\n\nQuestion 2: what?\nLow Na.")
    steps = pd.DataFrame(step_rows(traces, {"q": DRUGS}, multiple_choice(PromptSettings(), "sentences")))
    assert list(steps.text) == ["Low K causes x.", "Note that y treats z."]
    assert list(after_answer(steps, traces)) == [False, True]
    assert steps.complete.all()


def test_the_last_step_of_a_cut_trace_is_not_complete():
    traces = _trace("Low K causes x. Note that y", finish_reason="length", answer=-1)
    steps = pd.DataFrame(step_rows(traces, {"q": DRUGS}, multiple_choice(PromptSettings(), "sentences")))
    assert list(steps.complete) == [True, False]


PIECES = st.sampled_from(
    ["K is low.", "The answer is (B).", "**B**", "\n\n", "\n", " ", "<think>", "</think>", "Wait, no.",
     "\\[", "\\]", "Answer: ", "\\boxed{B}", "Question 2:", "(A)", "because the boy is five and ill",
     ", so ", "é", "\u200b", "。"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=14).map("".join)), st.booleans())
def test_the_parts_are_the_text(text, thinks):
    form = THINKS if thinks else LETTER
    found = parts(text, DRUGS, form)
    assert "".join(text[part.start : part.end] for part in found) == text
    assert all(part.start < part.end and part.role in ROLES for part in found)
    assert 0 <= reasoning_end(text, form, DRUGS) <= len(text)


def test_the_parts_of_real_traces_are_their_texts():
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there: the real traces were not looked at")
    for line in REAL.read_text("utf-8").splitlines():
        row = json.loads(line)
        question = Question(row["qid"], "all", row["question"], tuple(row["options"].values()), 0, "g")
        found = parts(row["text"], question, LETTER)
        assert "".join(row["text"][part.start : part.end] for part in found) == row["text"]
        assert any(part.role == "reasoning" for part in found)
