"""Examples of a teacher's chains: whose reasoning, which answer, how many, and what is no example."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import word_tokenizer
from mechcot.core.errors import DataError
from mechcot.core.settings import PromptSettings
from mechcot.core.teacher_records import CHAINS, MADE_EXAMPLES
from mechcot.core.teacher_settings import ExampleSettings
from mechcot.distill.chains import Exercise
from mechcot.distill.variants import Writer, examples_of
from mechcot.tasks import Question, read_answer, render_prompt
from mechcot.tasks.multiple_choice import prompt_format

FORM = prompt_format(
    PromptSettings(
        question="{stem} . {options}",
        option="{text}",
        separator=" ",
        answer_pattern=r"answer (?P<answer>\S+)",
        answer_form="text",
        lead_in=(" answer ",),
        terminator=None,
    )
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(tmp_path_factory.mktemp("words"))


def writer(tokenizer: Any, *qids: str, form: Any = FORM) -> Writer:
    asked = {
        q: Exercise(Question(q, "all", f"w{i}", (f"w{20 + i}", f"w{40 + i}"), 0, q))
        for i, q in enumerate(qids)
    }
    return Writer(asked, form, tokenizer, 0)


def chains(*rows: tuple[str, str] | tuple[str, str, bool]) -> pd.DataFrame:
    """Kept chains of questions; the answer of the i-th question, w20 + i, follows the reasoning."""
    made, at = [], Counter()
    order = list(dict.fromkeys(row[0] for row in rows))
    for qid, reasoning, *hinted in rows:
        text = reasoning if "answer" in reasoning else f"{reasoning} . answer w{20 + order.index(qid)}"
        made.append(
            dict.fromkeys(CHAINS.names)
            | {"qid": qid, "cid": at[qid], "hinted": bool(hinted), "text": text, "kept": True}
        )
        at[qid] += 1
    return pd.DataFrame(made)


def made(table: pd.DataFrame, w: Writer, **asked: dict[str, Any]) -> Any:
    return examples_of(table, {name: ExampleSettings(**own) for name, own in asked.items()}, w)


THREE = chains(("a", "w1 w2"), ("a", "w3 w4 w5"), ("b", "w6"), ("b", "w7", True), ("c", "w8 w9"))


def test_each_variant_is_what_its_name_says(tokenizer: Any) -> None:
    w = writer(tokenizer, "a", "b", "c")
    found = made(
        THREE, w, right={}, hinted={"hinted": "only"}, every={"hinted": "also"}, bare={"reasoning": "none"}
    )
    right = found["right"].rows
    assert [(row["eid"], row["completion"]) for row in right] == [
        ("right-a-0", "w1 w2 . answer w20"),
        ("right-a-1", "w3 w4 w5 . answer w20"),
        ("right-b-0", "w6 . answer w21"),
        ("right-c-0", "w8 w9 . answer w22"),
    ]
    assert [row["eid"] for row in found["hinted"].rows] == ["hinted-b-1"]
    assert len(found["every"].rows) == 5
    assert found["right"].left_out["hinted"] == 1
    for row in right:
        assert row["completion"][row["answer_start"] :].startswith("answer w2")
        assert (row["reasoning_qid"], row["reasoning_cid"]) == (row["qid"], row["cid"])
        assert row["prompt"] == render_prompt(w.exercises[row["qid"]].question, FORM, tokenizer)[0]
        assert row["n_tokens"] == len(row["completion"].split()) + 1
    assert {row["completion"] for row in found["bare"].rows} == {"answer w20", "answer w21", "answer w22"}
    assert {row["answer_start"] for row in found["bare"].rows} == {0}
    assert all(set(row) == set(MADE_EXAMPLES.names) for one in found.values() for row in one.rows)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=6), st.integers(0, 5))
def test_shuffled_is_a_derangement_of_questions(tokenizer: Any, counts: list[int], seed: int) -> None:
    names = "abcdef"[: len(counts)]
    table = chains(*((q, f"w{i * 3 + k}") for i, q in enumerate(names) for k in range(counts[i])))
    w = replace(writer(tokenizer, *names), seed=seed)
    if sum(counts) < 2 * max(counts):
        with pytest.raises(DataError, match=r"examples\.mixed: . of . chains are of one question"):
            made(table, w, mixed={"reasoning": "shuffled"})
        return
    rows = made(table, w, mixed={"reasoning": "shuffled"})["mixed"].rows
    assert all(row["reasoning_qid"] != row["qid"] for row in rows)
    assert {(row["reasoning_qid"], row["reasoning_cid"]) for row in rows} == set(
        zip(table.qid, table.cid, strict=True)
    )
    for row in rows:
        own = table[(table.qid == row["reasoning_qid"]) & (table.cid == row["reasoning_cid"])].text.iloc[0]
        assert row["completion"].split(" .")[0] == own.split(" .")[0]
        question = w.exercises[row["qid"]].question
        assert read_answer(row["completion"], question, FORM, "stop").option == 0


def test_matched_on_questions(tokenizer: Any) -> None:
    w = writer(tokenizer, "a", "b", "c")
    found = made(
        THREE,
        w,
        right={},
        hinted={"hinted": "only", "match": "right"},
        bare={"reasoning": "none", "match": "right"},
    )
    assert [row["eid"] for row in found["hinted"].rows] == ["hinted-b-1"]
    assert found["hinted"].missing == 2
    assert Counter(row["qid"] for row in found["bare"].rows) == {"a": 2, "b": 1, "c": 1}
    table = chains(("a", "w1"), ("a", "w2"), ("b", "w3"), ("a", "w4", True), ("b", "w5", True))
    rows = made(table, w, right={}, hinted={"hinted": "only", "match": "right"})["hinted"].rows
    assert [row["eid"] for row in rows] == ["hinted-a-2", "hinted-a-2-again-2", "hinted-b-1"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=5), st.integers(0, 3))
def test_matched_on_tokens(tokenizer: Any, lengths: list[tuple[int, int]], seed: int) -> None:
    names, rng = "abcde"[: len(lengths)], random.Random(seed)
    words = lambda n: " ".join(f"w{rng.randrange(18)}" for _ in range(n))  # noqa: E731
    table = chains(
        *((q, words(n)) for q, (n, _) in zip(names, lengths, strict=True)),
        *((q, words(n), True) for q, (_, n) in zip(names, lengths, strict=True)),
    )
    w = replace(writer(tokenizer, *names), seed=seed)
    asked = {
        "right": {},
        "hinted": {"hinted": "only"},
        "same": {"hinted": "only", "match": "right", "by": "tokens"},
        "bare": {"reasoning": "none", "match": "right", "by": "tokens"},
    }
    try:
        found = made(table, w, **asked)
    except DataError as error:  # the only chain is longer than all that is to be matched
        assert "none is left" in str(error)  # noqa: PT017
        return
    target = found["right"].tokens
    for name in ("same", "bare"):
        rows = found[name].rows
        assert (
            0 <= target - found[name].tokens < max(row["n_tokens"] for row in [*rows, *found["hinted"].rows])
        )
        times = Counter(row["eid"].split("-again")[0] for row in rows)
        assert max(times.values()) - min(times.values()) <= 1
        assert len({row["eid"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("w1 . answer w20 <eos>", None),
        ("w1 . answer w20<|im_end|>\n", None),
        ("w1 <|im_end|> <|im_start|>user w2 . answer w20", "mark"),
        ("answer w20", "no_reasoning"),
        ("w1 . answer w40 . w3 w4 . answer w20", "not_read_back"),
        ("<think> w1 w2 </think> answer w20", None),
    ],
)
def test_what_cannot_be_taught_is_left_out_and_counted(text: str, why: str | None, tokenizer: Any) -> None:
    w = writer(tokenizer, "a", "b")
    found = made(pd.concat([chains(("a", text)), chains(("a", "x"), ("b", "w5"))[1:]]), w, right={})["right"]
    assert {name: n for name, n in found.left_out.items() if n} == ({} if why is None else {why: 1})
    assert [row["qid"] for row in found.rows] == (["a", "b"] if why is None else ["b"])
    assert all("<" not in row["completion"] for row in found.rows)
    if why is not None:
        with pytest.raises(DataError, match=f"of 1 kept chains none is left: 1 {why}"):
            made(chains(("a", text)), w, right={})


def test_the_mark_of_the_end_of_reasoning_is_the_study_s_own(tokenizer: Any) -> None:
    form = replace(FORM, reasoning_end="</think>", lead_in=(" </think> answer ",))
    w = writer(tokenizer, "a", "b", form=form)
    table = chains(("a", "<think> w1 w2 </think> w3 . answer w20"), ("b", "w4 w5"))
    rows = made(table, w, right={}, bare={"reasoning": "none"})
    assert [row["completion"] for row in rows["right"].rows] == [
        "w1 w2 </think> answer w20",
        "w4 w5 . </think> answer w21",
    ]
    assert [row["completion"] for row in rows["bare"].rows] == ["</think> answer w20", "</think> answer w21"]
    assert rows["right"].rows[0]["answer_start"] == len("w1 w2 ")


def test_an_open_question_is_answered_in_the_words_of_its_gold(tokenizer: Any) -> None:
    form = prompt_format(
        PromptSettings(
            question="{stem}",
            answer_pattern=r"[Tt]he answer is (?P<answer>[^\n]*?\S)(?=[.!]?\s*(?:\n|$)|[.!]\s)",
            answer_form="text",
            lead_in=("\n\nThe answer is ",),
            terminator=".",
        )
    )
    question = Question("a", "all", "How many?", ("18",), 0, "a", open=True)
    w = Writer({"a": Exercise(question, ("18", "eighteen"))}, form, tokenizer, 0)
    table = chains(("a", "w1 w2.\n\nThe answer is eighteen."))
    assert [row["completion"] for row in made(table, w, right={})["right"].rows] == [
        "w1 w2.\n\nThe answer is 18."
    ]


def test_none_left_says_why(tokenizer: Any) -> None:
    with pytest.raises(
        DataError, match=r"examples\.hinted: of 1 kept chains none is left: 1 hinted \(the answer was"
    ):
        made(chains(("a", "w1")), writer(tokenizer, "a"), right={}, hinted={"hinted": "only"})
