"""The tables of a study: Arrow schemas, and reading and writing them whole.

Every row carries its ids: `qid` (question), `arm` (whose text), `cid` (which sample), `sid`
(which step). Token positions count from 0 at the first token of the *completion*; -1 is the last
token of the prompt. Character positions count from 0 at the first character of the trace's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mechcot.errors import DataError
from mechcot.files import whole

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
        ("sum_logprob", _f64),  # nats, of token_ids under the sampling distribution at T=1
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
        ("straddles", _bool),  # its first or last token holds text of a neighbour
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
        ("raw_mass", _f32),  # sum of exp(logp): how much of the distribution the options hold
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
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=schema.names)
    missing = [name for name in schema.names if name not in frame.columns]
    if missing:
        raise DataError(f"{path.name}: the columns {missing} are missing; it has {list(frame.columns)}")
    try:
        table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path.name}: a value does not fit its column: {error}") from error
    table = table.replace_schema_metadata(None)
    with whole(path) as sink:
        pq.write_table(table, sink, compression="zstd")


def read_table(path: Path, schema: pa.Schema | None = None) -> pd.DataFrame:
    """Read a table; with a schema, check that its columns are there.

    Raises:
        DataError: the file is missing, damaged or lacks a column.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}") from error
    if schema is not None:
        missing = [name for name in schema.names if name not in table.column_names]
        if missing:
            raise DataError(f"{path}: the columns {missing} are missing; it has {table.column_names}")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def rows(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, columns as attributes."""
    return iter(frame.itertuples(index=False))


def by_key(frame: pd.DataFrame, key: list[str]) -> dict[Any, pd.DataFrame]:
    """The table cut by a key, in order of first occurrence."""
    return dict(iter(frame.groupby(key if len(key) > 1 else key[0], sort=False)))
