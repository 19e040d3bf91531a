"""Answers read off: by which rule and where, what commits to nothing, and which texts are no letters."""

import json
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question, finished_at, read_answer
from mechcot.tasks.answers import same_items, same_value, stated
from mechcot.tasks.answers.fold import fold
from mechcot.tasks.answers.phrases import LANGUAGES
from mechcot.tasks.answers.rules import RULES
from mechcot.tasks.base import LETTERS
from mechcot.tasks.multiple_choice import prompt_format

HERE = Path(__file__).parent
REAL = HERE.parent.parent / "shared" / "real" / "traces_gpt4o.jsonl"
LETTER = prompt_format(PromptSettings())
EXACT = replace(prompt_format(PromptSettings(**PRESETS["organism"]["prompt"])), exact=True)
QUESTION = Question("q", "d", "s", ("xine", "yine", "xinea"), 0, "g")
DRUGS = Question("q", "d", "s", ("Beta blocker", "Amoxicillin", "Doxycycline", "Cefazolin"), 1, "g")
OPEN = Question("q", "d", "How many?", ("18",), 0, "g", open=True)
ENDINGS = [json.loads(line) for line in (HERE / "answer_endings.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", ENDINGS, ids=lambda case: ascii(case["text"][-30:]))
def test_hard_endings(case):
    question = Question("q", "d", "s", tuple(case["options"]), 0, "g")
    answer = read_answer(case["text"], question, LETTER, "stop")
    assert (LETTERS[answer.option] if answer.option >= 0 else None) == case["option"]
    assert answer.rule == case["rule"]
    assert (case["text"][answer.start : answer.end] if answer.start >= 0 else "") == case["said"]


def test_the_endings_are_many_and_of_every_rule_and_language():
    assert len(ENDINGS) >= 60
    rules = Counter(case["rule"] for case in ENDINGS)
    assert {rule.name for rule in RULES} - {"hash"} <= rules.keys()
    assert len(LANGUAGES) >= 11


# --- what people write of the prompt's own form ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "option", "rule"),
    [
        ("So the answer is (B).", 1, "strict"),
        ("The answer is (A). No: The answer is (C)", 2, "strict"),  # the first is taken back
        ("The answer is (D)", -1, "not_an_option"),
        ("It may be A.", -1, "no_answer"),
        ("", -1, "empty"),
        ("The answer is (B). It is not that the answer is (C).", 1, "strict"),
        ("The answer is (B). Think step by step, then end with: The answer is (X).", 1, "strict"),
    ],
)
def test_letters(text, option, rule):
    answer = read_answer(text, QUESTION, LETTER, "stop")
    assert (answer.option, answer.rule) == (option, rule)


@pytest.mark.parametrize(
    ("text", "option", "rule"),
    [
        ("a . </think> answer yine", 1, "strict"),
        ("a . </think> answer xinea", 2, "strict"),  # no option is found inside another
        ("answer yine </think> nothing", -1, "no_answer"),  # said before the end of reasoning
        ("a . answer yine", -1, "no_end_of_reasoning"),
        ("a . </think> answer zine", -1, "not_an_option"),
        ("a . </think> answer yine . the correct answer is xine", -1, "not_an_option"),  # "is"
    ],
)
def test_the_organism_is_read_by_its_pattern_alone(text, option, rule):
    answer = read_answer(text, QUESTION, EXACT, "stop")
    assert (answer.option, answer.rule) == (option, rule)
    if option >= 0:
        assert text[answer.start : answer.end] == QUESTION.options[option]


@pytest.mark.parametrize(
    "pattern", [r"final: <<(?P<answer>[A-Z])>>", r"\|(?P<answer>\w)\|", r"(?i)verdict (?P<answer>[a-d])\b"]
)
def test_a_pattern_of_the_settings_comes_first(pattern):
    form = prompt_format(PromptSettings(answer_pattern=pattern))
    text = "final: <<C>>, |C|, verdict C."
    answer = read_answer(text, DRUGS, form, "stop")
    assert (answer.option, answer.rule, text[answer.start]) == (2, "strict", "C")


def test_a_text_is_an_answer_where_the_prompt_shows_no_letters():
    form = prompt_format(
        PromptSettings(option="{text}", answer_form="text", answer_pattern=r"answer is (?P<answer>[^\n]+)")
    )
    crohn = Question("q", "d", "s", ("Sjögren syndrome", "Crohn's disease", "0.5 mg", "5 µg"), 0, "g")
    for said, option in (("Crohn’s disease", 1), ("**Crohn's disease**", 1), ("5 \u03bcg", 3), ("B", -1)):
        assert read_answer(f"The answer is {said}.", crohn, form, "stop").option == option


# --- no letter is the start of a word -------------------------------------------------------------

FRAMES = (
    "The answer is {}.", "So the answer is {}", "The correct answer is **{}**.", "Answer: {}",
    "Therefore, {}.", "I choose {}.", "The most likely diagnosis is {}.",
    "Therefore, the best next step is:\n\n{}",
    "\\boxed{{{}}}", "{}", "Final answer: {}", "Thus {} is correct.",
    "The answer is clearly {}, as it helps.",
)  # fmt: skip
SYLLABLES = re.findall(
    r"\w+",
    "be cef dox cyc do fa ca ba di ac id in ine mab ol azole mycin statin pril sar tan pen lin ate phen",
)


def _word(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))


def _invented(rng):
    """A text that is no letter, however much it begins or ends like one."""
    word, capital = _word(rng), rng.choice("ABCDE")
    forms = (
        *(word.capitalize(),) * 4, f"{capital} {word}", f"{capital}-{word}", f"{capital}. {word}",
        f"{capital}'s {word}", f"{capital}+{word}", f"{word.capitalize()} {capital}",
        f"{capital}{rng.randint(1, 99)}",
        f"{rng.choice(('a', 'an', 'the', 'A', 'An'))} {word} {_word(rng)}",
        f"{word.capitalize()} {_word(rng)}",
    )  # fmt: skip
    return rng.choice(forms)


def test_of_invented_text_answers_none_is_read_as_a_letter():
    rng, right = random.Random(0), 0
    for _ in range(3_000):
        options = [_invented(rng) for _ in range(4)]
        said, frame = rng.choice((*options, _invented(rng))), rng.choice(FRAMES)
        question = Question("q", "d", "s", tuple(options), 0, "g")
        answer = read_answer(frame.format(said), question, LETTER, "stop")
        bare, names = (_bare(said), [_bare(option) for option in options])
        assert answer.option == -1 or names[answer.option] == bare, (frame.format(said), options, answer)
        right += answer.option >= 0
    assert right > 1_800  # the options' own texts are read


def _bare(text):
    """A text without case and article: these may differ."""
    return re.sub(r"^(?:an?|the) ", "", text.casefold())


@settings(deadline=None)
@given(
    st.permutations(DRUGS.options),
    st.integers(0, 3),
    st.sampled_from(FRAMES),
)
def test_an_options_own_text_is_read(options, said, frame):
    question = Question("q", "d", "s", tuple(options), 0, "g")
    assert read_answer(frame.format(options[said]), question, LETTER, "stop").option == said


# --- two answers, and cut ones --------------------------------------------------------------------


COUNTS = Question("q", "d", "s", ("two", "three", "four", "five"), 1, "g")
VITAMINS = Question("q", "d", "s", ("Vitamin A", "Vitamin C", "Vitamin D", "Vitamin K"), 1, "g")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        *(
            (DRUGS, f"There are 5 and 2 are lost. {so} 3.")
            for so in ("So", "So,", "Thus", "Hence", "Therefore,")
        ),
        (DRUGS, "We have 5 - 2, so 3."),
        (DRUGS, "Zwei fehlen. Daher 3."),
        (DRUGS, "两个没有，所以3。"),
        (DRUGS, "5 are there and 2 go, which leaves 3."),
        (DRUGS, "The most likely number of lobes is 3."),
        (DRUGS, "The number of lobes is asked for.\n3"),
        (DRUGS, "The group is not b, so a."),
        (COUNTS, "The answer is 3."),
        (COUNTS, "Answer: 2"),
        (VITAMINS, "The gums bleed. So C."),
        (VITAMINS, "This points to C."),
    ],
)
def test_a_number_or_letter_that_may_be_a_value_is_no_option(question, text):
    assert read_answer(text, question, LETTER, "stop").option == -1


@pytest.mark.parametrize(
    ("question", "text", "option"),
    [
        (DRUGS, "So (3).", 2),
        (DRUGS, "So, option 3.", 2),
        (DRUGS, "Therefore, C.", 2),
        (DRUGS, "The answer is 3.", 2),
        (DRUGS, "3", 2),
        (VITAMINS, "The gums bleed. So (C).", 2),
        (VITAMINS, "The gums bleed. The answer is C.", 2),
        (VITAMINS, "The gums bleed. So vitamin C.", 1),
        (VITAMINS, "The gums bleed.\n\nB", 1),
    ],
)
def test_a_number_or_letter_that_can_only_be_an_option_is_one(question, text, option):
    assert read_answer(text, question, LETTER, "stop").option == option


@pytest.mark.parametrize("joint", [" and ", " or ", "/", ", ", " & ", " und ", "和", " または "])
@pytest.mark.parametrize("cue", ["The answer is ", "Answer: ", "I choose ", "Therefore, "])
def test_two_options_are_no_answer(cue, joint):
    for first, second in (("(A)", "(C)"), ("A", "C")):
        assert read_answer(f"{cue}{first}{joint}{second}.", DRUGS, LETTER, "stop").option == -1


def test_an_option_that_says_both_is_one_option():
    both = Question("q", "d", "s", ("Fever", "Rash", "Both A and B", "A and C"), 0, "g")
    assert read_answer("The answer is Both A and B.", both, LETTER, "stop").option == 2
    assert read_answer("The answer is (C) Both A and B.", both, LETTER, "stop").option == 2


@pytest.mark.parametrize(
    "back",
    ["Wait, that is not right.", "No, the boy is five.", "Actually, no.", "Let me re-check this.", "Sorry."],
)
def test_the_last_answer_counts_once_the_first_is_taken_back(back):
    assert read_answer(f"The answer is (A). {back} The answer is (C).", DRUGS, LETTER, "stop").option == 2
    answer = read_answer("The answer is (A). It is safe. The answer is (C).", DRUGS, LETTER, "stop")
    assert (answer.option, answer.rule) == (-1, "two_answers")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("The answer is (A). No, it is (B).", -1), ("The answer is (A). No other drug works.", 0),
        ("The answer is (A), sorry, (B).", -1), ("The answer is (A). Actually (C) is correct.", -1),
        ("The answer is (A). Wait, let me double-check. Yes, (A) is correct.", 0),
    ],
)  # fmt: skip
def test_an_answer_that_is_taken_back_at_once_is_none_unless_it_is_confirmed(text, option):
    assert read_answer(text, DRUGS, LETTER, "stop").option == option


@pytest.mark.parametrize(
    "piece", ["the answer ", "**", "\n", "_", "Question 2: ", "(A) ", "so, ", "$\\boxed{", "A or "]
)
def test_a_loop_of_anything_is_read_in_seconds(piece):
    started = time.process_time()
    read_answer(piece * 1500, DRUGS, LETTER, "length")
    assert time.process_time() - started < 10


def test_a_trace_that_was_cut_has_no_answer_unless_it_had_gone_on_to_another_question():
    assert read_answer("a . </think> answer yine", QUESTION, EXACT, "length").rule == "truncated"
    assert read_answer("K is low. The answer is (B).", DRUGS, LETTER, "length").rule == "truncated"
    gone_on = "K is low.\nThe answer is (B).\n\nQuestion 2 of 3: a man\n\nThe answer is (C)."
    for reason in ("stop", "length"):
        answer = read_answer(gone_on, DRUGS, LETTER, reason)
        assert (answer.option, answer.rule) == (1, "strict")
    again = "K is low.\nThe answer is (B).\nThe answer is (B).\nThe answer is"
    assert read_answer(again, DRUGS, LETTER, "length").option == 1


@pytest.mark.parametrize(
    "mark",
    ["Question 2 of 3", "**Question 3:** why", "Q: why", "### Problem 2.", "User: why", "问题：为何", "第2题",
     "<|im_end|>", "<end_of_turn>", "</s>", "[INST] why", "Frage 2: warum", "Pregunta: por", "問題2: なぜ"],
)  # fmt: skip
def test_marks_of_another_question(mark):
    text = f"K is low.\nThe answer is (B).\n\n{mark}\nThe answer is (C)."
    assert read_answer(text, DRUGS, LETTER, "length").option == 1
    assert finished_at(text, DRUGS, LETTER) == text.index("\n\n")
    # Before there is an answer the mark begins nothing new: the question restated.
    assert read_answer(f"{mark}\nThe answer is (C).", DRUGS, LETTER, "stop").option == 2


# --- open questions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said", "rule"),
    [
        ("He has 9 * 2 = 18.\n#### 18", "18", "hash"),
        ("So the answer is 18.", "18", "answer"),
        ("The final answer is $\\boxed{18}$.", "18", "answer"),
        ("Adding up gives $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}", "boxed"),
        ("**Answer:** $18 a day", "18 a day", "answer"),
        ("Therefore, the answer is **1,018.50 dollars**.", "1,018.50 dollars", "answer"),
        ("He sold 3 and kept 5.", "", "no_answer"),
        ("The answer is not 18.", "", "no_answer"),
    ],
)
def test_an_open_answer_is_a_text(text, said, rule):
    form = prompt_format(PromptSettings(answer_form="text", answer_pattern=r"####\s*(?P<answer>never)"))
    answer = read_answer(text, OPEN, form, "stop")
    assert (answer.text, answer.rule) == (said, rule)
    assert answer.option == (0 if said in ("18", "18 a day") else -1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("18", "18.0", True), ("1,018", "1018", True), ("1/2", "0.5", True), ("18 dollars", "$18", True),
        ("18 dollars", "18 euros", False), ("18", "81", False), ("-5", "5", False), ("Paris", "paris.", True),
        ("1/0", "1/0", True), ("1/0", "0", False), ("3 to 4", "3", False), ("", "0", False),
    ],
)  # fmt: skip
def test_values_are_compared_not_texts(one, other, same):
    assert same_value(one, other) is same
    assert same_value(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("\\frac{1}{2}", "0.5", True), ("2\\sqrt{3}", "\\sqrt{12}", True), ("x+1", "1+x", True),
     ("(1,2)", "(2,1)", False), ("\\frac{1}{3}", "0.5", False)],
)  # fmt: skip
def test_expressions_are_compared_by_value_off_the_main_thread_too(one, other, same):
    pytest.importorskip("math_verify", reason="math-verify is not installed: expressions were not compared")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(same_value, one, other).result() is same


# --- folding --------------------------------------------------------------------------------------


@given(st.text())
def test_every_folded_character_knows_where_it_came_from(text):
    folded = fold(text)
    assert len(folded.text) == len(folded.start) == len(folded.end)
    assert all(0 <= a < b <= len(text) for a, b in zip(folded.start, folded.end, strict=True))
    assert list(folded.start) == sorted(folded.start)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading(text):
    for form in (LETTER, prompt_format(PromptSettings(reasoning_end="</think>"))):
        answer = read_answer(text, DRUGS, form, "stop")
        assert -1 <= answer.start <= answer.end <= len(text)
        stated(text, DRUGS, form)


# --- real chains of thought -----------------------------------------------------------------------


def test_real_traces_are_read_as_their_authors_said():
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there: the real traces were not looked at")
    right, wrong = Counter(), Counter()
    for line in REAL.read_text("utf-8").splitlines():
        row = json.loads(line)
        question = Question(row["qid"], "all", row["question"], tuple(row["options"].values()), 0, "g")
        answer = read_answer(row["text"], question, LETTER, "stop")
        if answer.option >= 0:
            (right if LETTERS[answer.option] == row["predicted"] else wrong)[row["arm"]] += 1
    assert right.total() >= 390
    assert wrong.total() <= 2
    assert abs(right["gpt-4o"] - right["gpt-4o-mini"]) <= 4  # no arm is read by more luck than the other


# --- answers that name several texts ----------------------------------------------------------------

LISTED = replace(prompt_format(PromptSettings(**PRESETS["open"]["prompt"])), items=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("The answer is iron and zinc.", True),
        ("The answer is zinc, iron.", True),
        ("The answer is:\n\n- Zinc\n- Iron", True),
        ("The answer is:\n1. iron\n2. zinc\n\nBoth are metals.", True),
        ("The answer is iron.", False),
        ("The answer is iron, zinc and copper.", False),
        ("The answer is iron and iron.", False),
        ("The answer is zinc and iron. So: the answer is iron and zinc.", True),
    ],
)
def test_an_answer_names_all_texts_and_no_other_in_any_order(text, named):
    both = Question("q", "d", "Which?", ("iron; zinc",), 0, "g", open=True)
    assert (read_answer(text, both, LISTED, "stop").option == 0) is named


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nausea and vomiting; fever", "fever, nausea and vomiting", True),
        ("nausea and vomiting; fever", "Fever and nausea and vomiting.", True),
        ("nausea and vomiting; fever", "fever and nausea", False),
        ("1,018; 20", "20 and 1018", True),
        ("a; b", "b; a", True),
        ("a; b", "a", False),
        ("salt, table; iron", "iron, salt, table", True),
        ("iron und zink", "zink, iron", True),
        ("iron", "iron", True),
        ("x; y", ", ".join(map(str, range(50))), False),
    ],
)
def test_lists_are_compared_item_by_item(one, other, same):
    assert same_items(one, other) is same
    assert same_items(other, one) is same
