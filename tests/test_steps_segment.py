import json
import re
import runpy
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mechcot.core.errors import UsageError
from mechcot.steps import RULES, SEGMENTERS, pieces, segment
from mechcot.steps.markup import says_something

ROOT = Path(__file__).parent.parent
REAL = ROOT.parent / "shared" / "real" / "traces_gpt4o.jsonl"
CUTS = [
    line
    for line in (Path(__file__).parent / "sentence_cuts.txt").read_text(encoding="utf-8").split("\n")
    if line and not line.startswith("#")
]
ENDS = {"\\n": "\n", "\\r": "\r", "\\f": "\f", "\\x85": "\x85"}

LINES = st.sampled_from(
    [
        *(
            "### Step 1",
            "**Step 2:**",
            "**Labs:** low.",
            "1. One",
            "2) Two",
            "   - nested",
            "- item",
            "Findings:",
        ),
        *(
            "0.9 mg",
            "140. Then",
            "```",
            "~~~py",
            "x = 1",
            "| a | b |",
            "|---|---|",
            "---",
            "===",
            "Text. More",
            "",
        ),
        *("Step 3: so", "Step 4", "  more", "é 中\t", "\r", "* * *", "(3) three", "#", "**", "|", "-", "1."),
    ]
)
TEXTS = st.one_of(
    st.text(alphabet=st.sampled_from(list("aB1.!? \n\t)*é中#-|`:_")), max_size=80),
    st.lists(LINES, max_size=12).map("\n".join),
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                *(
                    "It is low.",
                    " Then B.",
                    "vitamin D. ",
                    "e.g. ",
                    "”",
                    "[1]",
                    "**",
                    "`a. b`",
                    "$x. y$",
                    "\\[",
                    "\\]",
                    "$$",
                ),
                *("\r\n", "\r", "\n", "\f", "\v", "\x1c", "\x85", "\u2028", "\u2029", "\xa0", "\u3000", " "),
                *(
                    "\u200b",
                    "\ufeff",
                    "\xad",
                    "\u202e",
                    "\u0301",
                    "👩‍⚕️",
                    "😀",
                    "هل؟",
                    "है।",
                    "熱。",
                    "\x00",
                    "<sup>1</sup>",
                ),
                *(
                    "```",
                    "```py\n",
                    "~~~",
                    "|",
                    "|---|\n",
                    "(A) ",
                    "• ",
                    "1. ",
                    "...",
                    "…",
                    "?!",
                    "# ",
                    "> ",
                    "</think>",
                ),
            ]
        ),
        max_size=25,
    ).map("".join),
)


def _cut(text: str, segmenter: str = "sentences", window: int = 90) -> list[str]:
    return [text[a:b] for a, b in segment(text, segmenter, window)]


def _rules(text: str) -> list[str]:
    return [rule for _, _, rule in pieces(text, "structural")]


def _rebuilt(text: str, segmenter: str, window: int) -> None:
    at, rebuilt = 0, ""
    for start, end, rule in pieces(text, segmenter, window):
        assert at <= start < end
        assert text[start:end] == text[start:end].strip()
        assert rule in RULES
        between = text[at:start]
        assert between.strip() == "" or not any(
            map(says_something, re.split(r"[\n\r\f\v\x1c-\x1e\x85\u2028\u2029]", between))
        )
        rebuilt += between + text[start:end]
        at = end
    assert rebuilt + text[at:] == text
    assert not any(map(says_something, text[at:].splitlines()))


@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
@settings(max_examples=300, deadline=None)
@given(text=TEXTS, window=st.integers(1, 5))
@example(text="!```A\r0", window=1)
@example(text='?"```0', window=1)
@example(text="0)!(0)", window=1)
@example(text="- " * 30 + "deep. Then\n> > 1. deeper.\n" + "  " * 40 + "- deepest", window=1)
def test_spans_and_gaps_give_the_text_back_and_gaps_say_nothing(
    segmenter: str, text: str, window: int
) -> None:
    _rebuilt(text, segmenter, window)


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real traces are not there: {REAL}")
@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
def test_real_traces_come_back_and_no_step_is_a_mark(segmenter: str) -> None:
    for line in REAL.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        _rebuilt(text, segmenter, 90)
        assert segmenter == "words" or all(says_something(step) for step in _cut(text, segmenter))


def test_the_page_shows_what_the_script_counted() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "real_steps.py"))
    counts = json.loads((ROOT / "docs" / "real-steps.json").read_text())
    assert script["table"](counts, 400) in (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    assert counts["now"]["hard"] == [len(CUTS), len(CUTS)]


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real traces are not there: {REAL}")
@pytest.mark.parametrize("segmenter", ["sentences", "structural"])
def test_the_counts_are_what_this_code_makes(segmenter: str) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "real_steps.py"))
    texts = [json.loads(line)["text"] for line in REAL.read_text(encoding="utf-8").splitlines()]
    counts = json.loads((ROOT / "docs" / "real-steps.json").read_text())
    assert script["counted"](texts, segmenter) == counts["now"][segmenter]


@pytest.mark.parametrize("line", CUTS)
def test_hard_cuts(line: str) -> None:
    if "\\(" not in line:  # a line of mathematics has backslashes of its own
        for written, end in ENDS.items():
            line = line.replace(written, end)
    assert _cut(line.replace("|", "")) == [part.strip() for part in line.split("|") if part.strip()]


def test_there_are_enough_hard_cuts() -> None:
    assert len(CUTS) >= 60


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Low.\n***\nHigh.", ["Low.", "High."]),
        (
            "| A | Low. So |\n|---|---|\n| B | High. Up |\nDone.",
            ["| A | Low. So |", "| B | High. Up |", "Done."],
        ),
        ("Low.\n\n---\n\n###\n**\nHigh.", ["Low.", "High."]),
        ("Low.\n\n1.\n(B)\nHigh.\n2.", ["Low.", "High."]),
        ("\u200b\nLow.\n\ufeff\u200b\n\xad\n😀\nHigh.", ["Low.", "High."]),
        ("We set\n```python\nx = 3. y\n```\nso y.", ["We set", "```python\nx = 3. y\n```", "so y."]),
        ("We say\n```\nIt is low. It is high.\n```", ["We say", "It is low.", "It is high."]),
        ("We set\n```python\nx = 3", ["We set", "x = 3"]),
        ("We have\n\\[\nx = 3\n\\]\nso y.", ["We have", "\\[\nx = 3\n\\]", "so y."]),
        ("We have\n$$\nx = 3\n$$\nso y.", ["We have", "$$\nx = 3\n$$", "so y."]),
        ("\\begin{align}\nx &= 3\n\\end{align}", ["\\begin{align}\nx &= 3\n\\end{align}"]),
        ("| a | b |\n|---|:--:|\n| c. D | e |", ["| a | b |", "| c. D | e |"]),
        ("<think>\nLow.\n</think>\n<br>", ["Low."]),
        ("a b . . c d .", ["a b .", ".", "c d ."]),
        (".\nLow.\n...", ["Low."]),
    ],
)
def test_marks_are_no_steps(text: str, steps: list[str]) -> None:
    assert _cut(text) == steps
    assert all(says_something(step) for step in _cut(text, "structural") if step != ".")


@given(text=TEXTS)
def test_structural_steps_begin_at_lines_unless_they_are_sentences(text: str) -> None:
    for start, _, rule in pieces(text, "structural"):
        line = re.split(r"[\n\r\f\v\x1c-\x1e\x85\u2028\u2029]", text[:start])[-1]
        assert rule == "sentence" or line.strip() == ""


@given(st.lists(st.sampled_from(["a", "bb.", "c\n", "1."]), max_size=40), st.integers(1, 7))
def test_windows_hold_so_many_words_and_the_last_what_is_left(words: list[str], window: int) -> None:
    sizes = [len(step.split()) for step in _cut(" ".join(words), "words", window)]
    assert sum(sizes) == len(words)
    assert all(size == window for size in sizes[:-1])
    assert all(0 < size <= window for size in sizes)


def test_sentences() -> None:
    assert _cut("a b . c d . e") == ["a b .", "c d .", "e"]
    assert _cut("Na is 140.5 today. Give 2.5 mg, e.g. at night. Done!") == [
        "Na is 140.5 today.",
        "Give 2.5 mg, e.g. at night.",
        "Done!",
    ]
    assert _cut("1. First. 2. Second.\n3. Third") == ["1. First.", "2. Second.", "3. Third"]
    assert _cut('He said "no." Then left.') == ['He said "no."', "Then left."]


@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
def test_a_last_step_without_a_full_stop_is_kept(segmenter: str) -> None:
    assert _cut("One.\nTwo without an end", segmenter)[-1].endswith("Two without an end")


def test_lines() -> None:
    assert _cut("one. two\n\n  three", "lines") == ["one. two", "three"]


def test_markdown_headings_open_steps_and_join_what_follows() -> None:
    text = (
        "### Step 1\nThe murmur is systolic.\n\n**Step 2:**\n\nSo it is aortic.\n\n## Answer\n### B\nIt is B."
    )
    assert _cut(text, "structural") == [
        "### Step 1\nThe murmur is systolic.",
        "**Step 2:**\n\nSo it is aortic.",
        "## Answer\n### B\nIt is B.",
    ]
    assert _rules(text) == ["heading"] * 3


def test_a_heading_before_a_numbered_list_loses_nothing() -> None:
    text = "# Diagnosis\n1. Fever points to infection.\n2. The rash is petechial.\n\nSo it is meningococcal."
    assert _cut(text, "structural") == [
        "# Diagnosis\n1. Fever points to infection.",
        "2. The rash is petechial.",
        "So it is meningococcal.",
    ]
    assert _rules(text) == ["heading", "numbered", "paragraph"]


def test_a_line_that_opens_with_a_lab_value_is_no_new_step() -> None:
    text = "Her creatinine was\n0.9 mg/dL and sodium\n140. Potassium was\n4.5 mmol/L.\n\nSo the kidneys work."
    assert len(_cut(text, "structural")) == 2
    listed = "1. Sodium is\n140. That is normal.\n2. Next.\n12.5 mg is given."
    assert _cut(listed, "structural") == ["1. Sodium is\n140. That is normal.", "2. Next.\n12.5 mg is given."]


@pytest.mark.parametrize(
    "text",
    [
        *("1. A\n2. B", "1) A\n2) B", "(1) A\n(2) B", "**1.** A\n**2.** B"),
        *(
            "Step 1: A\nStep 2: B",
            "**Step 1:** A\n**Step 2:** B",
            "Step 1 - A\nStep 2 - B",
            "Step 1\nA\nStep 2\nB",
        ),
        *("- A\n- B", "* A\n* B", "• A\n• B", "A\n\nB", "**Labs:** A\n**Plan:** B", "Intro.\n1. B"),
        *("### A\nx\n### B\ny", "A\n===\nx\n\nB\n---\ny"),
    ],
)
def test_each_form_of_a_beginning_makes_two_steps(text: str) -> None:
    assert len(_cut(text, "structural")) == 2


def test_items_keep_their_continuation_lines_and_nested_items() -> None:
    text = (
        "1. Aspirin\n   inhibits COX.\n   - irreversibly\n   - in platelets\n\n   Hence bleeding.\n2. Heparin"
    )
    assert _cut(text, "structural") == [text[: text.index("\n2.")], "2. Heparin"]
    nested = "1. A\n   1. one\n   2. two\n   3. three\n2. B\n- b\n3. C"
    assert [step[:2] for step in _cut(nested, "structural")] == ["1.", "2.", "- ", "3."]
    assert _cut("1. **Drugs**\n- Aspirin\n- Heparin", "structural") == [
        "1. **Drugs**\n- Aspirin",
        "- Heparin",
    ]
    assert _cut("Findings:\n  - fever\n  - rash", "structural") == ["Findings:\n  - fever", "- rash"]


def test_fences_and_tables_stay_whole() -> None:
    fence = "```python\n# no heading\n\n1. no item\n- no bullet\n```"
    assert _cut(f"Compute.\n{fence}\nThen go on.\n\nDone.", "structural") == [
        "Compute.",
        fence,
        "Then go on.",
        "Done.",
    ]
    assert _cut(f"1. Compute.\n   {fence}\n2. Go on.", "structural") == [
        f"1. Compute.\n   {fence}",
        "2. Go on.",
    ]
    assert _cut("```\nnever closed\n\n1. in it", "structural") == ["```\nnever closed\n\n1. in it"]
    assert _cut("```a``` is inline.\n\nB.\n\nC.", "structural") == ["```a``` is inline.", "B.", "C."]
    table = "| drug | dose |\n|---|---|\n| 1. A | 0.9 mg |\n| - | - |"
    assert _cut(f"{table}\nSo A.\n\nB.", "structural") == [table, "So A.", "B."]
    assert _cut(f"Doses.\n\n{table}\n\nSo A.", "structural") == ["Doses.", table, "So A."]
    assert _rules(f"Doses.\n\n{table}\n\n{fence}") == ["paragraph", "table", "code"]


def test_a_horizontal_line_ends_a_step_and_belongs_to_none() -> None:
    assert _cut("A.\n\n---\nB.\n\n***", "structural") == ["A.", "B."]
    assert _cut("---\n1. A.\n2. B.", "structural") == ["1. A.", "2. B."]
    assert _cut("### A\n---\ntext\n\nB", "structural") == ["### A\n---\ntext", "B"]
    assert _cut("A.\n---\nB.\n***\nC.", "structural") == ["A.", "B.", "C."]


def test_options_in_letters_are_items() -> None:
    assert _cut("Options:\n(A) x\n(B) y\n\nSo x.", "structural") == ["Options:\n(A) x", "(B) y", "So x."]
    assert _cut("a) x\n   more\nb) y", "structural") == ["a) x\n   more", "b) y"]
    assert _cut("(A) **x**\n- it is\n(B) **y**\n- it is not", "structural") == [
        "(A) **x**\n- it is",
        "(B) **y**\n- it is not",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "One is low. Two is high.",
            "### Solution\nOne is low. Two is high.",
            "1. One is low. Two is high.",
        ),
        *("> One is low.\n> Two is high.", "**Solution:**\n\nOne is low. Two is high.\n\n---", "- One. Two."),
        *("One is low\nTwo is high", "Findings:\n- one is low.\n  Two is high."),
    ],
)
def test_a_solution_of_one_block_is_more_than_one_step(text: str) -> None:
    assert len(_cut(text, "structural")) >= 2


def test_a_list_is_one_however_far_it_is_indented() -> None:
    assert _cut(
        "Findings:\n    - fever\n      high\n    - rash\n        - red\n\nSo it is.", "structural"
    ) == [
        "Findings:\n    - fever\n      high",
        "- rash\n        - red",
        "So it is.",
    ]
    assert _cut("10. A\n   - b\n11. C\n  - d", "structural") == ["10. A\n   - b", "11. C\n  - d"]
    assert _cut("\t- x\n\t- y", "structural") == ["- x", "- y"]


@pytest.mark.parametrize(
    "title", ["**Step 1: Add**", "**1. Add**", "**(A) Rash**", "### 1. Add", "Step 1:", "__Add__:"]
)
def test_a_title_joins_what_follows_whatever_it_begins_with(title: str) -> None:
    assert _cut(f"{title}\n\nWe add.\n\nWe go.", "structural") == [f"{title}\n\nWe add.", "We go."]


def test_a_formula_belongs_to_what_it_follows() -> None:
    text = "We have\n\n\\[\nx = 3\n\n- 4\n\\]\n\nSo y.\n\n1. A\n\n   $$\n   a\n   ---\n   $$\n2. B"
    assert _cut(text, "structural") == [
        "We have\n\n\\[\nx = 3\n\n- 4\n\\]",
        "So y.",
        "1. A\n\n   $$\n   a\n   ---\n   $$",
        "2. B",
    ]


def test_a_text_without_structure_is_cut_into_sentences() -> None:
    text = "Dr. Hale gave 0.9 mg, e.g. at night. It is aspirin vs. heparin.\nSo aspirin."
    assert _cut(text, "structural") == [
        "Dr. Hale gave 0.9 mg, e.g. at night.",
        "It is aspirin vs. heparin.",
        "So aspirin.",
    ]
    assert set(_rules(text)) == {"sentence"}
    assert _rules(text + "\n\nA second paragraph.") == ["paragraph", "paragraph"]


def test_an_unknown_segmenter_and_an_empty_window_are_named() -> None:
    with pytest.raises(UsageError, match="'pages'"):
        segment("a", "pages")
    with pytest.raises(UsageError, match="at least 1 word"):
        segment("a", "words", 0)


@pytest.mark.parametrize("segmenter", ["sentences", "structural"])
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a. ",
            ". ",
            "....",
            "a.\n",
            "- a ",
            "> ",
            "\\[ ",
            "\\begin{a} ",
            "$$ ",
            "```a\n",
            "`a ",
            "$a ",
            "((",
            "“a. ",
        ),
        *("\u200b", "a. ²[1]", "1. a\n", "# a\n", "**a\n", "<a ", "https://", "| a ", "|\n" + " " * 9_000),
    ],
)
def test_a_hostile_text_is_cut_in_a_time_like_its_length(segmenter: str, unit: str) -> None:
    _rebuilt((unit * 60_000)[:60_000] + " a", segmenter, 90)  # minutes, were it its length squared
