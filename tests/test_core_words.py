import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcot.core.words import (
    MINUS,
    NBSP,
    Table,
    clause,
    counted,
    direction,
    first_sentence,
    listed,
    minus_signs,
    number,
    percent,
    plain_signs,
    points,
    score,
    signed,
    why,
)
from mechcot.stats import Interval

MISSING = {"value": None, "reason": "too few claims"}


def interval(estimate, low, high):
    return {"estimate": estimate, "low": low, "high": high}


def test_leaves_are_read_in_all_their_forms():
    assert number(0.25) == number({"estimate": 0.25, "low": 0.1, "high": 0.3}) == 0.25
    assert number(3) == 3.0
    for nothing in (MISSING, {"estimate": MISSING}, None, float("nan"), "0.5", True):
        assert number(nothing) is None
    assert why(MISSING) == why({"estimate": MISSING, "low": MISSING}) == "too few claims"
    assert why(0.5) == why({"estimate": 0.5}) == ""


def test_an_interval_of_the_statistics_room_is_read_as_it_writes_itself():
    known = Interval(0.1, 0.05, 0.2, 40, "bootstrap").to_json()
    assert (number(known), direction(known)) == (0.1, "up")
    unknown = Interval(None, None, None, 0, "bootstrap", reason="no question").to_json()
    assert (number(unknown), why(unknown), direction(unknown)) == (None, "no question", "unknown")


def test_numbers_are_written_with_true_signs_and_without_a_negative_zero():
    assert signed(3.25) == "+3.2"
    assert signed(-3.26) == "\u22123.3"
    assert signed(-0.01) == signed(0.0) == signed(0.04) == "0.0"
    assert percent(0.123) == "12.3\u00a0%"
    assert percent(MISSING) == score(MISSING) == "–"
    assert points(interval(-0.0375, -0.1, 0.0)) == "\u22123.8\u00a0points [\u221210.0,\u00a00.0]"
    assert points(0.1) == "+10.0\u00a0points"
    assert points(MISSING) == "not known: too few claims"
    assert score(interval(0.7, 0.6, 0.8)) == "0.70 [0.60,\u00a00.80]"


def test_counts_and_lists_read_as_a_person_writes_them():
    assert counted(1, "question") == "1\u00a0question"
    assert counted(1234, "question") == "1,234\u00a0questions"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


@given(st.tuples(*[st.floats(-1, 1)] * 3).map(sorted))
def test_what_is_said_of_a_change_is_what_its_interval_allows(ends):
    low, estimate, high = ends
    said = clause("wrong steps", 0.2, 0.2 + estimate, interval(estimate, low, high))
    assert ("rise" in said) == (low > 0)
    assert ("fall" in said) == (high < 0)
    assert ("no clear change" in said) == (low <= 0 <= high)


def test_a_change_that_cannot_be_told_names_the_reason():
    assert clause("wrong steps", 0.2, MISSING, {"estimate": MISSING}) == (
        "wrong steps cannot be compared (too few claims)"
    )
    assert direction({"estimate": 0.4, "low": MISSING, "high": MISSING}) == "unclear"


CELL = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5))
def test_a_table_for_a_terminal_has_a_line_a_row_and_no_control_character(rows):
    lines = Table("judged", ("", "base", "distilled"), tuple(rows), "a\u00a0note").text().split("\n")
    assert len(lines) == len(rows) + 2
    assert lines[0].startswith("judged")
    assert lines[-1] == "a note"
    assert all(line.isprintable() for line in lines)


def test_signs_that_a_terminal_may_lack_are_written_plainly():
    assert (
        plain_signs(f"{MINUS}1.0{NBSP}points, base’s “x” → y\x1b[31m") == '-1.0 points, base\'s "x" -> y?[31m'
    )


def test_numbers_below_0_have_a_true_minus_and_hyphens_stay():
    assert minus_signs("-0.08 [-0.24, +0.1], step-error, 2026-11-30, q-3, --set") == (
        "−0.08 [−0.24, +0.1], step-error, 2026-11-30, q-3, --set"
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One alone.", "One alone."),
        ("It gains 62.6 and loses 4. base is", "It gains 62.6 and loses 4."),
        ("It loses 4.8. 15 % of", "It loses 4.8."),
        ("Rates (vs. base, e.g. of x) rise. They", "Rates (vs. base, e.g. of x) rise."),
        ("Are they? They are. More", "Are they? They are."),
        ("It rises (+1.0 points). In the", "It rises (+1.0 points)."),
    ],
)
def test_the_first_sentence_ends_where_a_sentence_does(text, first):
    assert first_sentence(text)[0] == first
    assert " ".join(filter(None, first_sentence(text))) == text
