"""Tables of a teacher's chains, and of the examples that are made of them."""

from __future__ import annotations

import pyarrow as pa

from mechcot.core.records import EXAMPLES

_str, _i32, _f64, _bool = pa.string(), pa.int32(), pa.float64(), pa.bool_()

OUTCOMES = ("right", "wrong", "no_answer", "cut", "refused", "empty")
"""What a chain may be. `no_answer`: the study's rules read none off; `cut`: by the token limit."""

CHAINS = pa.schema(
    [
        ("qid", _str),  # of teacher/questions.parquet
        ("cid", _i32),  # of a question, from 0; of a server's chains the attempt less 1
        ("attempt", _i32),  # from 1
        ("hinted", _bool),  # whether the right answer was shown
        ("text", _str),
        ("finish_reason", _str),
        ("outcome", _str),  # one of OUTCOMES
        ("answer", _i32),  # index into options, -1: none
        ("answer_rule", _str),  # which rule read it off, or why there is none
        (
            "alike",
            _f64,
        ),  # largest likeness to a chain of the question that is kept before it; 0: there is none
        ("kept", _bool),  # right, unlike those before it, and among the first `teacher.chains`
        ("prompt_tokens", _i32),  # as the server counts; null: it does not, or there was none
        ("completion_tokens", _i32),
    ]
)
"""Of `teacher/traces.parquet`."""

MADE_EXAMPLES = pa.schema(
    [
        *EXAMPLES,  # qid: of teacher/questions.parquet; before answer_start the completion is reasoning
        ("cid", _i32),  # the chain whose answer it has
        ("hinted", _bool),
        ("reasoning_qid", _str),  # the question and the chain whose reasoning it has; "" and -1: none
        ("reasoning_cid", _i32),
        ("n_tokens", _i32),  # of the completion with its end of text, by the tokenizer of the base
    ]
)
"""Of `examples/NAME.parquet`."""
