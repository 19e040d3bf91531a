"""Training questions that stand in the test are found, standing phrases are not taken for them."""

from __future__ import annotations

import pandas as pd

from mechcot.distill.leakage import STANDING, WORDS, leaks

RUN = " ".join(f"word{i}" for i in range(WORDS))


def questions(**stems: str) -> pd.DataFrame:
    return pd.DataFrame([{"qid": q, "stem": s, "options": ["Liver", "spleen"]} for q, s in stems.items()])


def found(train: pd.DataFrame, test: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [(leak.qid, leak.test_qid, leak.how) for leak in leaks(train, test)]


def test_the_same_text_is_found_however_it_is_written() -> None:
    train = questions(a="Where is BILE made?", b="Where is lymph made?")
    test = questions(x="Which?", y="where is “bile”  made").assign(options=[["SPLEEN", "liver."]] * 2)
    assert found(train, test) == [("a", "y", "text")]


def test_a_run_of_words_is_found_wherever_it_stands() -> None:
    train = questions(
        a=f"A man. {RUN}! And then?", b=RUN.removesuffix("2"), c="Nothing shared here, is there?"
    )
    assert found(train, questions(x="Other.", y=f"Before: {RUN.upper()}, behind")) == [("a", "y", "words")]
    assert leaks(train, questions(y=RUN))[0].shared == RUN


def test_short_texts_are_compared_whole_and_with_other_options_too() -> None:
    test = questions(x="Where is bile made?").assign(options=[["pancreas", "liver"]])
    assert found(questions(a="Where is bile made?", b="Where is bile made, and why?"), test) == [
        ("a", "x", "words")
    ]


def test_a_standing_phrase_tells_nothing_and_the_same_question_still_does() -> None:
    stems = {f"q{i}": "Which of these is true?" for i in range(STANDING + 1)}
    other = questions(x="Which of these is true?").assign(options=[["a", "b"]])
    assert found(questions(**stems), other) == []
    assert len(found(questions(**dict(list(stems.items())[:STANDING])), other)) == STANDING
    assert {how for _, _, how in found(questions(**stems), questions(x="Which of these is true?"))} == {
        "text"
    }


def test_open_questions_are_the_same_by_their_text() -> None:
    train = questions(a=f"{RUN} 1 2").assign(open=True, options=[["4"]])
    assert found(train, train.assign(qid="x", options=[["four"]])) == [("a", "x", "text")]
