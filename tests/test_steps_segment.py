import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.errors import UsageError
from mechcot.steps import RULES, SEGMENTERS, pieces, segment

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
)


def _cut(text: str, segmenter: str = "sentences", window: int = 90) -> list[str]:
    return [text[a:b] for a, b in segment(text, segmenter, window)]


def _rules(text: str) -> list[str]:
    return [rule for _, _, rule in pieces(text, "structural")]


@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
@given(text=TEXTS, window=st.integers(1, 5))
def test_spans_and_gaps_give_the_text_back_and_gaps_are_blank(segmenter: str, text: str, window: int) -> None:
    at, rebuilt = 0, ""
    for start, end, rule in pieces(text, segmenter, window):
        assert at <= start < end
        assert text[at:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        assert rule in RULES
        rebuilt += text[at:start] + text[start:end]
        at = end
    assert text[at:].strip() == ""
    assert rebuilt + text[at:] == text


@given(text=TEXTS)
def test_structural_steps_begin_at_lines_unless_they_are_sentences(text: str) -> None:
    for start, _, rule in pieces(text, "structural"):
        assert rule == "sentence" or text[:start].rpartition("\n")[2].strip() == ""


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
    table = "| drug | dose |\n|---|---|\n| 1. A | 0.9 mg |\n- | -"
    assert _cut(f"Doses.\n\n{table}\n\nSo A.", "structural") == ["Doses.", table, "So A."]
    assert _rules(f"Doses.\n\n{table}\n\n{fence}") == ["paragraph", "table", "code"]


def test_a_horizontal_line_ends_a_step_and_is_none() -> None:
    assert _cut("A.\n\n---\nB.\n\n***", "structural") == ["A.\n\n---", "B.\n\n***"]
    assert _cut("---\n1. A.\n2. B.", "structural") == ["---\n1. A.", "2. B."]
    assert _cut("### A\n---\ntext\n\nB", "structural") == ["### A\n---\ntext", "B"]
    assert _cut("A.\n---\nB.\n***\nC.", "structural") == ["A.\n---", "B.\n***", "C."]


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


def test_a_hostile_line_costs_no_more_than_its_length() -> None:
    for text in (
        "|\n" + " " * 30_000 + "x",
        "**a**" + " " * 30_000 + "x",
        "step 1" + " " * 30_000 + "x",
        "- " * 20_000,
    ):
        assert _cut(text, "structural")
