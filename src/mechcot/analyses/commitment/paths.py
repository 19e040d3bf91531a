"""Forced answers of many traces as arrays: who chose what, with what probability, after which prefix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import TRACE_KEY
from mechcot.stats.frames import check_questions, cut_off, require_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_PAIR = ["qid", "cid"]
_WHOLE = r"(?<!\w)(?<!\d[.,]){}(?!\w)(?![.,]\d)"
"""A text as whole words: 5 stands neither in 15 nor in 3.5 or 5,000."""


class NoTraceError(AnalysisError):
    """No trace is left.

    Args:
        excluded: traces by the reason why they are left out.
    """

    def __init__(self, excluded: dict[str, int]) -> None:
        super().__init__(f"no trace with an answer and forced answers is left; excluded: {excluded}")
        self.excluded = excluded


@dataclass(frozen=True)
class Selection:
    """Which of a reading's forced answers are used.

    Attributes:
        lead_in: index into the lead-ins.
        permutation: of the options; 0 is the question's own order, None the mean of p over all orders.
        layer: -1 is the model's own output.
    """

    lead_in: int = 0
    permutation: int | None = 0
    layer: int = -1


OWN = Selection()
"""The first lead-in, the question's own order, the model's own output."""


@dataclass(frozen=True, eq=False)
class Paths:
    """What a reader answers after every prefix of the traces that count.

    Attributes:
        author: who wrote them.
        reader: whose weights answered.
        traces: a row each: qid, cid, answer, last_k (prefixes 0..last_k count), gold (-1: not known),
            named_k (the prefix after which the trace has first named its answer).
        p: [traces, prefixes, options]; NaN behind last_k, and for options that a question has not.
        mass: what the options hold together, [traces, prefixes].
        tokens: of the text of each prefix, [traces, prefixes]; NaN where steps have no `tok_end`.
    """

    author: str
    reader: str
    traces: pd.DataFrame
    p: FloatArray
    mass: FloatArray
    tokens: FloatArray

    @cached_property
    def last(self) -> IntArray:
        """The last prefix that counts, [traces]."""
        return self.traces["last_k"].to_numpy(np.int64)

    @cached_property
    def counts(self) -> BoolArray:
        """Whether a prefix counts, [traces, prefixes]."""
        return np.asarray(np.arange(self.p.shape[1]) <= self.last[:, None])

    @cached_property
    def tied(self) -> BoolArray:
        """Whether two options share the highest probability, [traces, prefixes]."""
        best = np.fmax.reduce(self.p, axis=2, initial=-np.inf)
        return np.asarray(((self.p == best[..., None]).sum(axis=2) > 1) & self.counts)

    @cached_property
    def choice(self) -> IntArray:
        """The forced answer, -1 for a tie, -2 where no prefix counts, [traces, prefixes]."""
        first = np.where(np.isnan(self.p), -1.0, self.p).argmax(axis=2)
        return np.where(self.counts, np.where(self.tied, -1, first), -2)

    def chosen(self, option: IntArray | int) -> BoolArray:
        """Whether the forced answer is an option (one, or one a trace), [traces, prefixes]."""
        return np.asarray(self.choice == np.reshape(option, (-1, 1)))

    def of(self, option: IntArray) -> FloatArray:
        """P(an option, one a trace) [traces, prefixes]; NaN where the option is not known (-1)."""
        known = np.where(option >= 0, option, 0)
        p = np.take_along_axis(self.p, known[:, None, None], axis=2)[..., 0]
        return np.where((option >= 0)[:, None], p, np.nan)

    @cached_property
    def entropy(self) -> FloatArray:
        """Of the options, nats, [traces, prefixes]."""
        p = np.where(np.isnan(self.p), 0.0, self.p)
        total = -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=2)
        return np.where(self.counts, total, np.nan)

    @cached_property
    def margin(self) -> FloatArray:
        """The highest probability less the second highest, [traces, prefixes]; 1 with one option alone."""
        ordered = np.sort(np.where(np.isnan(self.p), 0.0, self.p), axis=2)
        second = ordered[..., -2] if ordered.shape[2] > 1 else 0.0
        return np.where(self.counts, ordered[..., -1] - second, np.nan)

    @cached_property
    def own(self) -> FloatArray:
        """P(the trace's own answer), [traces, prefixes]."""
        return self.of(self.traces["answer"].to_numpy(np.int64))


def paths_of(
    forced: pd.DataFrame,
    traces: pd.DataFrame,
    steps: pd.DataFrame,
    questions: pd.DataFrame | None = None,
    chosen: Selection = OWN,
) -> tuple[Paths, dict[str, int]]:
    """The forced answers of one reading as arrays, and how many traces are left out for what reason.

    Args:
        forced: rows of `records.FORCED` of one author and one reader.
        traces: rows of `records.TRACES`; other arms than the author are ignored.
        steps: rows of `records.STEPS`, likewise. `tok_end` gives tokens, `text` what names an option.
        questions: rows of `records.QUESTIONS`: gold, and options by text. Without them neither is known.
        chosen: which forced answers.

    Raises:
        AnalysisError: no such forced answers, those of several readings, a prefix missing or twice, an answer
            that is no option, a probability that is no number, no trace left.
    """
    rows = one_reading(forced, chosen)
    author, reader = str(rows["arm"].iloc[0]), str(rows["reader"].iloc[0])
    kept, excluded = countable(traces[traces["arm"] == author], rows)
    steps = steps[steps["arm"] == author].sort_values([*TRACE_KEY, "sid"])
    index = pd.MultiIndex.from_frame(kept[_PAIR])
    owner: IntArray = np.asarray(index.get_indexer(pd.MultiIndex.from_frame(steps[_PAIR])), np.int64)
    steps, owner = steps[owner >= 0], owner[owner >= 0]
    place: IntArray = np.asarray(steps.groupby(_PAIR, sort=False).cumcount(), np.int64)
    last: IntArray = np.bincount(owner, minlength=len(kept)).astype(np.int64)
    _refuse_missing_steps(kept, last, rows, author)
    says = steps["states_answer"].to_numpy(bool)
    np.minimum.at(last, owner[says], place[says])
    about = pd.DataFrame(
        {name: kept[name].to_numpy() for name in _PAIR}
        | {"answer": kept["answer"].to_numpy(np.int64), "last_k": last, "gold": _gold(kept, questions)}
    )
    p, mass = _filled(rows, about, index)
    about["named_k"] = _named(about, steps, owner, place, questions)
    tokens = np.full(mass.shape, np.nan)
    if "tok_end" in steps.columns:
        tokens[:, 0] = 0.0
        inside = place < last[owner]
        tokens[owner[inside], place[inside] + 1] = steps["tok_end"].to_numpy(np.float64)[inside]
    return Paths(author, reader, about, p, mass, tokens), excluded


def joined(parts: Sequence[Paths]) -> Paths:
    """The forced answers of one reading out of those of some questions each."""
    if len(parts) == 1:
        return parts[0]
    shape = np.max([own.p.shape[1:] for own in parts], axis=0)

    def below(arrays: Sequence[FloatArray]) -> FloatArray:
        first = arrays[0]
        found = np.full((sum(map(len, arrays)), *shape[: first.ndim - 1]), np.nan)
        start = 0
        for own in arrays:
            found[(slice(start, start + len(own)), *map(slice, own.shape[1:]))] = own
            start += len(own)
        return found

    return Paths(
        parts[0].author,
        parts[0].reader,
        pd.concat([own.traces for own in parts], ignore_index=True),
        below([own.p for own in parts]),
        below([own.mass for own in parts]),
        below([own.tokens for own in parts]),
    )


def thinned(paths: Paths, n: int) -> Paths:
    """As many prefixes of every trace, spread from the prompt to the last; shorter traces are left out."""
    long = paths.last >= n - 1
    at = np.round(paths.last[long, None] * np.linspace(0, 1, n)).astype(int)
    return Paths(
        paths.author,
        paths.reader,
        paths.traces[long].assign(last_k=n - 1).reset_index(drop=True),
        np.take_along_axis(paths.p[long], at[..., None], axis=1),
        np.take_along_axis(paths.mass[long], at, axis=1),
        np.take_along_axis(paths.tokens[long], at, axis=1),
    )


def one_reading(forced: pd.DataFrame, chosen: Selection) -> pd.DataFrame:
    """The rows of a selection, in order, of one reading; the mean over orders where these are not chosen."""
    rows = forced[(forced["lead_in"] == chosen.lead_in) & (forced["layer"] == chosen.layer)]
    if chosen.permutation is not None:
        rows = rows[rows["permutation"] == chosen.permutation]
    pairs = rows[["arm", "reader"]].drop_duplicates()
    if len(pairs) != 1:
        found = [tuple(pair) for pair in pairs.to_numpy()]
        there = {name: sorted(forced[name].unique().tolist()) for name in ("lead_in", "permutation", "layer")}
        raise AnalysisError(
            f"expected the forced answers of one author and one reader (lead-in {chosen.lead_in}, "
            f"permutation {'any' if chosen.permutation is None else chosen.permutation}, layer "
            f"{chosen.layer}); got {found or 'none'}. There are {there}. Select one reading, or read with "
            "the setting that stores them (prompt.lead_in, reading.permutations, reading.lens)."
        )
    key = [*_PAIR, "k"]
    rows = rows.sort_values([*key, "permutation"])
    twice = rows[rows.duplicated([*key, "permutation"])]
    if len(twice):
        row = twice.iloc[0]
        raise AnalysisError(
            f"question {row['qid']}, trace {row['cid']}: prefix {row['k']} has two forced answers"
        )
    return rows if chosen.permutation is not None else _over_orders(rows, key)


def _over_orders(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """One row a prefix: p and the mass averaged over the orders of the options."""
    code = rows.groupby(key, sort=False).ngroup().to_numpy()
    first = rows.drop_duplicates(key).reset_index(drop=True)
    count = np.bincount(code)
    sizes = first["p"].map(len).to_numpy()
    p = np.zeros((len(first), int(sizes.max())))
    lengths = rows["p"].map(len).to_numpy()
    line, column = np.repeat(code, lengths), np.concatenate([np.arange(n) for n in lengths])
    np.add.at(p, (line, column), np.concatenate([np.asarray(one, np.float64) for one in rows["p"]]))
    p /= count[:, None]
    mass = np.bincount(code, rows["raw_mass"].to_numpy(np.float64)) / count
    means = pd.Series([row[:n] for row, n in zip(p, sizes, strict=True)], index=first.index, dtype=object)
    return first.assign(p=means, raw_mass=mass)


def countable(traces: pd.DataFrame, forced: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out traces that are cut, have no answer or were not read; count each reason once."""
    read = pd.MultiIndex.from_frame(forced[_PAIR].drop_duplicates())
    cut = cut_off(traces)
    silent = ~cut & (traces["answer"] < 0).to_numpy()
    unread = ~pd.MultiIndex.from_frame(traces[_PAIR]).isin(read) & ~cut & ~silent
    kept = traces[~(cut | silent | unread)].sort_values(_PAIR)
    excluded = {"truncated": int(cut.sum()), "no_answer": int(silent.sum()), "no_reading": int(unread.sum())}
    if kept.empty:
        raise NoTraceError(excluded)
    return kept, excluded


def _refuse_missing_steps(kept: pd.DataFrame, counts: IntArray, rows: pd.DataFrame, author: str) -> None:
    """Refuse steps that are of other traces: forced answers after more steps than there are say so.

    Raises:
        AnalysisError: names a trace.
    """
    most = rows.groupby(_PAIR)["k"].max().reindex(pd.MultiIndex.from_frame(kept[_PAIR])).to_numpy()
    short = np.flatnonzero(counts < most)
    if short.size:
        trace = kept.iloc[short[0]]
        raise AnalysisError(
            f"question {trace['qid']}, trace {trace['cid']} of {author}: there are forced answers after "
            f"{most[short[0]]} steps, and {counts[short[0]]} steps. Pass the steps of the same arm and "
            "traces, all of them"
        )


def _filled(rows: pd.DataFrame, about: pd.DataFrame, index: pd.MultiIndex) -> tuple[FloatArray, FloatArray]:
    """Arrays p [traces, prefixes, options] and mass [traces, prefixes] out of rows, every prefix there."""
    last, k = about["last_k"].to_numpy(np.int64), rows["k"].to_numpy(np.int64)
    code = index.get_indexer(pd.MultiIndex.from_frame(rows[_PAIR]))
    used = (code >= 0) & (k >= 0) & (k <= last[code])
    rows, code, k = rows[used], code[used], k[used]
    short = np.flatnonzero(np.bincount(code, minlength=len(about)) != last + 1)
    if short.size:
        trace, own = about.iloc[short[0]], k[code == short[0]]
        raise AnalysisError(
            f"question {trace['qid']}, trace {trace['cid']}: forced answers after 0..{trace['last_k']} steps "
            f"are needed, got {own.tolist()}. Read the trace again."
        )
    sizes = rows["p"].map(len).to_numpy(np.int64)
    flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in rows["p"]])
    line = np.repeat(np.arange(len(rows)), sizes)
    column = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    odd = np.flatnonzero(~np.isfinite(flat))
    if odd.size:
        row = rows.iloc[line[odd[0]]]
        raise AnalysisError(
            f"question {row['qid']}, trace {row['cid']}, prefix {row['k']}: p is {list(row['p'])}; every "
            "option needs a number. Read the trace again."
        )
    options = np.zeros(len(about), dtype=np.int64)
    np.maximum.at(options, code, sizes)
    answer = about["answer"].to_numpy(np.int64)
    for name, value, least in (("answer", answer, 0), ("gold", about["gold"].to_numpy(np.int64), -1)):
        none = np.flatnonzero((value < least) | (value >= options))
        if none.size:
            trace, said = about.iloc[none[0]], f"{name} {value[none[0]]}"
            raise AnalysisError(
                f"question {trace['qid']}, trace {trace['cid']}: {said} is none of {options[none[0]]} options"
            )
    p = np.full((len(about), int(last.max()) + 1, int(options.max())), np.nan)
    p[code[line], k[line], column] = flat
    mass = np.full(p.shape[:2], np.nan)
    mass[code, k] = rows["raw_mass"].to_numpy(np.float64)
    return p, mass


def _gold(traces: pd.DataFrame, questions: pd.DataFrame | None) -> IntArray:
    """The right option of each trace's question, -1 where it is not known."""
    if questions is None:
        return np.full(len(traces), -1, dtype=np.int64)
    ids, gold = check_questions(questions)
    place = ids.get_indexer(pd.Index(traces["qid"]))
    if (place < 0).any():
        qid = traces["qid"].iloc[int(np.flatnonzero(place < 0)[0])]
        raise AnalysisError(f"question {qid} is not among the questions; pass the rows of the same questions")
    return np.asarray(gold[place])


def _named(
    about: pd.DataFrame, steps: pd.DataFrame, owner: IntArray, place: IntArray, questions: pd.DataFrame | None
) -> IntArray:
    """The prefix after which a trace has first named its own answer, [traces].

    That is the first step with the option's text in it, or the one that states the answer; where no step
    does, the answer behind the last one.
    """
    named: IntArray = about["last_k"].to_numpy(np.int64) + 1
    if questions is None or "text" not in steps.columns:
        return named
    require_columns(questions, ["qid", "options"], "questions")
    options = dict(zip(questions["qid"], questions["options"], strict=True))
    own = [str(options[qid][a]) for qid, a in zip(about["qid"], about["answer"], strict=True)]
    seen = [re.compile(_WHOLE.format(re.escape(text.strip())), re.IGNORECASE) for text in own]
    inside = place < named[owner] - 1
    for trace, at, text in zip(owner[inside], place[inside], steps["text"].to_numpy()[inside], strict=True):
        if at + 1 < named[trace] and own[trace].strip() and seen[trace].search(str(text)):
            named[trace] = at + 1
    return named
