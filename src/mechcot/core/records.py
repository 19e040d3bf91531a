"""The tables of a study: Arrow schemas, and reading and writing them whole.

Every row carries its ids: `qid` (question), `arm` (whose text), `cid` (which sample), `sid`
(which step). Token positions count from 0 at the first token of the *completion*; -1 is the last
token of the prompt. Character positions count from 0 at the first character of the trace's text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mechcot.core.errors import DataError, said
from mechcot.core.files import check_file, read_json_lines, whole
from mechcot.core.row_groups import rows_of

LABELS = ("correct", "erroneous", "abstain", "not_checkable", "api_failure", "parse_failure")
"""What a verdict row may say. The last two are no verdicts: the instrument gave none."""

_str, _i32, _f32, _f64, _bool = pa.string(), pa.int32(), pa.float32(), pa.float64(), pa.bool_()

QUESTIONS = pa.schema(
    [
        ("qid", _str),
        ("domain", _str),  # which contrast it belongs to: "clinical", "chain", ...
        ("stem", _str),
        ("options", pa.list_(_str)),
        ("gold", _i32),  # index into options
        ("group", _str),  # the gold entity or template: folds never split a group
        ("stratum", _str),  # for standardising: on the organism the exposure tercile; else ""
    ]
)

OPEN_QUESTIONS = pa.schema(
    [
        *QUESTIONS,  # options: the gold, then the answers voted for
        ("open", _bool),
        ("accepted", pa.list_(_str)),  # every text that is right, the gold first
    ]
)
"""Of a study whose questions are open."""

EXAMPLES = pa.schema(
    [
        ("eid", _str),
        ("qid", _str),  # the question it answers, "" when unknown
        ("prompt", _str),  # rendered text, template included
        ("completion", _str),  # what the student shall learn to write, end of text excluded
        ("answer_start", _i32),  # character of the completion where the answer part begins, -1: none
    ]
)

TRACES = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("text", _str),  # the completion, end of text excluded
        ("prompt_ids", pa.list_(_i32)),
        ("token_ids", pa.list_(_i32)),  # the completion, end of text included when it was written
        ("token_start", pa.list_(_i32)),  # first character of each token in `text`
        ("token_end", pa.list_(_i32)),
        ("finish_reason", _str),  # "stop" or "length"
        ("sum_logprob", _f64),  # nats, of what was sampled, at T=1; null: not known
        ("reasoning_end", _i32),  # character where the reasoning ends
        ("answer", _i32),  # index into options, -1: none
        ("answer_rule", _str),  # which rule read it off, or why there is none
        ("answer_start", _i32),  # character span of the answer, -1: none
        ("answer_end", _i32),
    ]
)

STEPS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("sid", _i32),
        ("text", _str),
        ("char_start", _i32),
        ("char_end", _i32),
        ("tok_start", _i32),
        ("tok_end", _i32),  # exclusive
        ("straddles", _bool),  # its first token holds text of a neighbour, or its last any text beyond it
        ("complete", _bool),  # False: cut by the token limit
        ("role", _str),
        ("states_answer", _bool),  # it names the trace's own answer as the answer
        ("n_words", _i32),
    ]
)

CLAIMS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("sid", _i32),
        ("relation", _str),
        ("subject", _str),
        ("object", _str),
        ("hedged", _bool),
        ("truth", pa.list_(_str)),  # every object that makes the claim true
        ("stratum", _str),  # on the organism the exposure tercile of the claim's disease
        ("tok_decision", _i32),  # last token before the place where a hedge would stand
        ("tok_object", _i32),  # first token of the object
    ]
)

VERDICTS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("sid", _i32),
        ("instrument", _str),
        ("label", _str),  # one of LABELS
        ("reason", _str),
    ]
)

OUTCOMES = ("option", "other", "none", "ambiguous", "not_asked", "api_failure", "parse_failure")
"""What a server's reading of an answer may be. `other`: a text that is no known answer of its open question;
`not_asked`: the completion is empty or cut."""

ANSWERS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("instrument", _str),
        ("outcome", _str),  # one of OUTCOMES
        ("answer", _i32),  # index into options, -1: none
        ("text", _str),  # of an open question's answer
        ("reason", _str),
    ]
)
"""Answers as a server reads them."""

JUDGE_CONTROLS = pa.schema(
    [
        ("control", _str),  # see docs/judge-controls.md
        ("variant", _str),  # "" where the control has one only
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("sid", _i32),  # of the study's steps; `segment:*` cuts its own; decoys: who lent words
        ("text", _str),  # as judged
        ("n_words", _i32),
        ("label", _str),  # one of LABELS; "": not judged
        ("reason", _str),
        ("fidelity", _str),  # of a rewriting: preserved, changed, uncertain, failed; else ""
        ("score", _f64),  # guess-arm: probability that the arm after wrote it; else null
    ]
)

FORCED = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),  # the author
        ("cid", _i32),
        ("k", _i32),  # after how many steps; 0 is the bare prompt
        ("reader", _str),
        ("lead_in", _i32),  # index into the settings' lead-ins
        ("permutation", _i32),  # of the options; 0 is the question's own order
        ("layer", _i32),  # -1: the model's own output
        ("logp", pa.list_(_f32)),  # nats, option text and terminator, one an option
        ("n_tokens", pa.list_(_i32)),  # tokens in each of those
        ("p", pa.list_(_f32)),  # softmax of logp over the options
        ("p_norm", pa.list_(_f32)),  # softmax of logp / n_tokens: long options are not punished
        ("p_prior", pa.list_(_f32)),  # softmax of logp less the prior's (Holtzman et al. 2021); null: none
        ("raw_mass", _f32),  # sum of exp(logp): how much of the distribution the options hold
        ("entropy", _f32),  # nats, of p
    ]
)

KNOCKOUTS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),  # the author
        ("cid", _i32),
        ("reader", _str),
        ("k", _i32),  # after how many steps the answer was forced
        ("sid", _i32),  # the step that was hidden
        ("scope", _str),  # from what: "answer", the lead-in and the options; "later", the steps after it too
        ("lead_in", _i32),
        ("permutation", _i32),
        ("layer", _i32),  # -1: the model's own output
        ("logp", pa.list_(_f32)),  # as in FORCED
        ("p", pa.list_(_f32)),
        ("raw_mass", _f32),
    ]
)

SIGNALS = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),
        ("cid", _i32),
        ("reader", _str),
        ("entropy", pa.list_(_f32)),  # nats, of the distribution *before* each completion token
        ("surprisal", pa.list_(_f32)),  # nats, of each completion token
    ]
)

TRUTH = pa.schema(
    [
        ("qid", _str),
        ("arm", _str),  # the author
        ("cid", _i32),
        ("sid", _i32),
        ("reader", _str),
        ("p_truth", _f32),  # probability of the first tokens of all true objects
        ("rank_truth", _i32),  # rank of the best of them in the vocabulary, 1 is first
        ("p_said", _f32),
        ("rank_said", _i32),
        ("entropy", _f32),  # nats, before the object token (an oracle finds that token)
    ]
)

STEP_KEY = ["qid", "arm", "cid", "sid"]
TRACE_KEY = ["qid", "arm", "cid"]


def write_table(path: Path, rows: pd.DataFrame | list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write a table whole or not at all (beside, fsync, rename), columns as in `schema`.

    Raises:
        DataError: a column is missing or a value does not fit its type.
    """
    try:
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=schema.names)
        missing = [name for name in schema.names if name not in frame.columns]
        if missing:
            raise DataError(f"{path.name}: the columns {missing} are missing; it has {list(frame.columns)}")
        table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(f"{path.name}: a value does not fit its column: {said(error)}") from error
    table = table.replace_schema_metadata(None)
    with whole(path) as sink:
        pq.write_table(table, sink, compression="zstd")


@contextmanager
def table_writer(
    path: Path, schema: pa.Schema, group_rows: int = 2**16
) -> Iterator[Callable[[Mapping[str, Any] | pd.DataFrame], None]]:
    """Write a table part by part, whole or not at all; only a row group of it is held in memory.

    The bytes depend on the rows and on `group_rows`, not on the parts in which they came.

    Args:
        path: the file.
        schema: its columns.
        group_rows: rows of a row group.

    Yields:
        A function that takes the next rows, as columns by name.

    Raises:
        DataError: a value does not fit its column.
    """
    parts, waiting = [schema.empty_table()], 0

    def take(columns: Mapping[str, Any] | pd.DataFrame) -> None:
        nonlocal waiting
        try:
            arrays = [pa.array(columns[field.name], field.type) for field in schema]
            parts.append(pa.table(arrays, schema=schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise DataError(f"{path.name}: a value does not fit its column: {said(error)}") from error
        waiting += len(parts[-1])
        if waiting >= group_rows:
            put(group_rows)

    def put(at_least: int) -> None:
        nonlocal waiting
        rest = pa.concat_tables(parts).combine_chunks()
        while len(rest) >= at_least:
            writer.write_table(rest.slice(0, group_rows), row_group_size=group_rows)
            rest = rest.slice(group_rows)
        parts[:], waiting = [rest], len(rest)

    with whole(path) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        yield take
        put(1)


def read_table(
    path: Path,
    schema: pa.Schema | None = None,
    only: Sequence[str] | None = None,
    qids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a table; with a schema, check that its columns are there.

    Args:
        path: the file.
        schema: what it has to hold.
        only: columns that are wanted, text in them as categories (a byte or two a row); others stay on disk.
        qids: questions that are wanted.

    Raises:
        DataError: the file is missing, damaged or lacks a column.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    check_file(path)  # arrow would read a folder as one table, and wait for a pipe
    try:
        there = pq.read_schema(path).names
        wanted = None if only is None else [name for name in there if name in only]
        table = rows_of(path, wanted, qids, categories=only is not None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file: {said(error)}") from error
    if schema is not None:
        missing = [name for name in schema.names if name not in there]
        if missing:
            raise DataError(f"{path}: the columns {missing} are missing; it has {there}")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def read_any(path: Path) -> pd.DataFrame:
    """Read a table that somebody else made, values as they stand: parquet, JSON Lines or CSV.

    Args:
        path: a file `*.parquet`, `*.jsonl`, `*.ndjson` or `*.csv`, told by its suffix.

    Raises:
        DataError: another suffix, or the file is missing or damaged.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": read_table,
        ".jsonl": _read_lines,
        ".ndjson": _read_lines,
        ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: expected one of {', '.join(readers)}, found the suffix '{path.suffix}'")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    check_file(path)
    return reader(path)


def _read_lines(path: Path) -> pd.DataFrame:
    # Whole numbers stay whole numbers beside missing values only in columns of plain objects.
    return pd.DataFrame(read_json_lines(path), dtype=object)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # "NA" and "null" are text here, and an id such as 007 keeps its zeros.
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a readable CSV file: {error}") from error


def absent(value: Any) -> bool:
    """Whether nothing stands in a cell of a table that was read."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def check_encodable(text: str, where: str, what: str) -> None:
    """Refuse a text that holds half of a character: no file and no tokenizer takes it.

    Args:
        text: out of a file.
        where: file and row.
        what: the text is.

    Raises:
        DataError: it holds half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: character {error.start} of {what} is half of a pair: {text[error.start]!r}. "
            "Write the file again as UTF-8"
        ) from None


def plainly_forced(forced: pd.DataFrame) -> pd.DataFrame:
    """Of forced answers (`FORCED`) the model's own output to the first lead-in and the question's order."""
    return forced[(forced["lead_in"] == 0) & (forced["permutation"] == 0) & (forced["layer"] == -1)]


def rows(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, columns as attributes."""
    return iter(frame.itertuples(index=False))


def rows_by_key(frame: pd.DataFrame, key: list[str]) -> dict[tuple[Any, ...], list[Any]]:
    """The rows of a table as `rows` gives them, by key, each in the table's order."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows(frame):
        found.setdefault(tuple(getattr(row, name) for name in key), []).append(row)
    return found


def by_key(frame: pd.DataFrame, key: list[str]) -> dict[Any, pd.DataFrame]:
    """The table cut by a key, in order of first occurrence."""
    return dict(iter(frame.groupby(key if len(key) > 1 else key[0], sort=False)))
