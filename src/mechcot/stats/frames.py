"""Checks of the study's tables, shared by the analyses: columns, arms, questions, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from mechcot.core.errors import AnalysisError
from mechcot.core.text import said, same_text
from mechcot.stats.cluster import Ints
from mechcot.stats.votes import votes


def require_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Raise if a table lacks a column.

    Raises:
        AnalysisError: names the table and the columns.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise AnalysisError(f"{what}: the columns {missing} are missing; it has {list(frame.columns)}")


def require_unique(frame: pd.DataFrame, key: Sequence[str], what: str, hint: str = "") -> None:
    """Raise if two rows share a key.

    Raises:
        AnalysisError: names the first key that occurs twice.
    """
    twice = frame.duplicated(list(key))
    if twice.any():
        raise AnalysisError(f"{what}: {describe(frame.loc[twice], key)} occurs more than once{hint}")


def plain(frame: pd.DataFrame, but: Sequence[str] = ()) -> pd.DataFrame:
    """The table with text where it has categories, but for some columns."""
    coded = {name: own for name, own in frame.items() if own.dtype == "category" and name not in but}
    return frame.astype({name: own.cat.categories.dtype for name, own in coded.items()})


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the same columns below each other; text becomes categories, in order."""
    full = [table for table in tables if len(table)] or tables[:1]  # an empty table's text is no text

    def column(name: str) -> Any:
        own = [table[name].astype("category") if _textual(table[name]) else table[name] for table in full]
        if any(one.dtype != "category" for one in own):
            return pd.concat(own, ignore_index=True)
        return union_categoricals(own, sort_categories=True)

    return pd.DataFrame({name: column(name) for name in tables[0].columns})


def _textual(column: pd.Series) -> bool:
    return pd.api.types.is_string_dtype(column.dtype)


def describe(frame: pd.DataFrame, key: Sequence[str]) -> str:
    """The first row's key in words: "question q1, arm base, trace 0, step 2"."""
    words = {"qid": "question", "arm": "arm", "cid": "trace", "sid": "step"}
    return ", ".join(f"{words.get(name, name)} {frame[name].iloc[0]}" for name in key)


def cut_off(traces: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Traces [traces] that the token limit cut before they had answered.

    One that had answered and gone on to another question ran into the limit there, and is whole.
    """
    cut = (traces["finish_reason"] == "length").to_numpy()
    if "answer_rule" in traces.columns:
        cut = cut & (traces["answer_rule"] == "truncated").to_numpy()
    return cut


def one_arm(frame: pd.DataFrame, what: str) -> str:
    """The arm that all rows of a table belong to.

    Raises:
        AnalysisError: no rows, or rows of several arms.
    """
    arms = sorted(frame["arm"].astype(str).unique())
    if len(arms) != 1:
        found = "no rows" if not arms else f"rows of the arms {arms}"
        raise AnalysisError(f"{what}: rows of exactly one arm are needed, it has {found}")
    return arms[0]


def check_questions(questions: pd.DataFrame) -> tuple[pd.Index, Ints]:
    """The question ids and the gold option of each [questions].

    Raises:
        AnalysisError: missing columns, no questions, an id twice, gold that is not an option.
    """
    require_columns(questions, ["qid", "options", "gold"], "questions")
    if questions.empty:
        raise AnalysisError("questions: the table is empty; there is nothing to compare")
    require_unique(questions, ["qid"], "questions")
    gold = questions["gold"].to_numpy(dtype=np.int64)
    sizes = questions["options"].map(len).to_numpy(dtype=np.int64)
    bad = np.flatnonzero((gold < 0) | (gold >= sizes))
    if bad.size:
        row = int(bad[0])
        raise AnalysisError(
            f"question {questions['qid'].iloc[row]}: gold {gold[row]} is not one of its {sizes[row]} options"
        )
    return pd.Index(questions["qid"]), gold


def question_codes(frame: pd.DataFrame, index: pd.Index, what: str) -> Ints:
    """The row of each table row's question in the question table [rows].

    Raises:
        AnalysisError: a question that is not in the question table.
    """
    codes = index.get_indexer(pd.Index(frame["qid"])).astype(np.int64)
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        raise AnalysisError(
            f"{what}: question {frame['qid'].iloc[int(unknown[0])]} is not in the question table;"
            " pass the rows of the same questions in every table"
        )
    return codes


def trace_votes(questions: pd.DataFrame, traces: pd.DataFrame, what: str) -> Ints:
    """Votes of one arm's traces [questions, options + 1]; the last column is "no answer".

    Raises:
        AnalysisError: as the checks above; also a trace twice, a question without traces, an
            answer that its question has no option for.
    """
    require_columns(traces, ["qid", "arm", "cid", "answer"], what)
    one_arm(traces, what)
    require_unique(traces, ["qid", "arm", "cid"], what)
    index, _ = check_questions(questions)
    codes = question_codes(traces, index, what)
    sizes = questions["options"].map(len).to_numpy(dtype=np.int64)
    if traces["answer"].isna().any():
        lost = traces.loc[traces["answer"].isna()]
        raise AnalysisError(f"{what}: {describe(lost, ['qid', 'cid'])} has a null answer; no answer is -1")
    answers = traces["answer"].to_numpy(dtype=np.int64)
    bad = np.flatnonzero((answers < -1) | (answers >= sizes[codes]))
    if bad.size:
        row = int(bad[0])
        raise AnalysisError(
            f"{what}: {describe(traces.iloc[row:], ['qid', 'cid'])}: answer {answers[row]} is not one of the"
            f" question's {sizes[codes[row]]} options (-1 is no answer)"
        )
    single = votes(answers[:, None], int(sizes.max()))
    table = np.zeros((len(index), single.shape[1]), dtype=np.int64)
    np.add.at(table, codes, single)
    empty = np.flatnonzero(table.sum(axis=1) == 0)
    if empty.size:
        raise AnalysisError(
            f"{what}: question {index[int(empty[0])]} has no traces; both arms need the same questions"
        )
    return table


def one_of_each(questions: pd.DataFrame) -> dict[str, str]:
    """Each question's first one with the same text: equal texts are one question, whatever their ids.

    Two texts are equal when stem and options are, in whatever order, as `comparable` has them. A table
    without texts, and a question without one, stand for themselves.

    Args:
        questions: rows of `records.QUESTIONS` (used: qid, and stem and options where they are there).
    """
    ids = questions["qid"].tolist()
    if "stem" not in questions.columns:
        return {qid: qid for qid in ids}
    texts = [
        (said(stem), *sorted(said(option) for option in options))
        for stem, options in zip(questions["stem"], questions["options"], strict=True)
    ]
    return same_text(ids, [text if text[0] else qid for text, qid in zip(texts, ids, strict=True)])


def text_codes(questions: pd.DataFrame) -> Ints:
    """The number of each question's text [questions]: what intervals leave out at once.

    Args:
        questions: rows of `records.QUESTIONS` (used: as `one_of_each`).
    """
    return pd.factorize(questions["qid"].map(one_of_each(questions)))[0].astype(np.int64)


def joined_groups(questions: pd.DataFrame) -> dict[str, str]:
    """Each question's group, where questions of equal text share one: groups that such a text links are one.

    Args:
        questions: rows of `records.QUESTIONS` (used: as `one_of_each`, and group).
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    same = one_of_each(questions)
    text, _ = pd.factorize(questions["qid"].map(same))
    group, names = pd.factorize(questions["group"])
    n = len(questions)
    links = coo_matrix((np.ones(n), (text, n + group)), shape=(n + len(names), n + len(names)))
    block = connected_components(links, directed=False)[1][:n][text]
    first = questions.groupby(block)["group"].transform("first")
    return dict(zip(questions["qid"], first, strict=True))
