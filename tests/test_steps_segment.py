import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.errors import UsageError
from mechcot.steps import SEGMENTERS, segment


def _cut(text: str, segmenter: str = "sentences") -> list[str]:
    return [text[a:b] for a, b in segment(text, segmenter)]


@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
@given(text=st.text(alphabet=st.sampled_from(list("aB1.!? \n\t)*é中")), max_size=80))
def test_spans_and_gaps_give_the_text_back_and_gaps_are_blank(segmenter: str, text: str) -> None:
    at, rebuilt = 0, ""
    for start, end in segment(text, segmenter):
        assert at <= start < end
        assert text[at:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        rebuilt += text[at:start] + text[start:end]
        at = end
    assert text[at:].strip() == ""
    assert rebuilt + text[at:] == text


def test_sentences() -> None:
    assert _cut("a b . c d . e") == ["a b .", "c d .", "e"]
    assert _cut("Na is 140.5 today. Give 2.5 mg, e.g. at night. Done!") == [
        "Na is 140.5 today.",
        "Give 2.5 mg, e.g. at night.",
        "Done!",
    ]
    assert _cut("1. First. 2. Second.\n3. Third") == ["1. First.", "2. Second.", "3. Third"]
    assert _cut('He said "no." Then left.') == ['He said "no."', "Then left."]


def test_lines() -> None:
    assert _cut("one. two\n\n  three", "lines") == ["one. two", "three"]


def test_an_unknown_segmenter_is_named() -> None:
    with pytest.raises(UsageError, match="'words'"):
        segment("a", "words")
