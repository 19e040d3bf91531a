"""Claims written with a hedge and without it, and the tables of them; needs no torch."""

from __future__ import annotations

import pyarrow as pa

BEHIND, END = "behind", "end"
POSITIONS = (BEHIND, END)
"""The first token that both texts share behind the hedge's place, and the claim's last one. At the last token
before that place the two texts are one and the same, and so is every state."""
WORD_IN, WORD_OUT = "word.in", "word.out"

_str, _i32 = pa.string(), pa.int32()
PAIRS = pa.schema(
    [
        ("qid", _str),
        ("cid", _i32),
        ("sid", _i32),
        ("kind", _str),  # of claim, or of step where the task reads no claims
        ("was_hedged", pa.bool_()),  # as the arm wrote it
        ("hedged_ids", pa.list_(_i32)),  # tokens that stand in the one text alone
        ("plain_ids", pa.list_(_i32)),  # and in the other
    ]
)
"""Each pair once, in the order of the rows of the states."""


def key_of(position: str, layer: int) -> str:
    """The tensor of hedged less plain states at a place, [pairs, d_model]."""
    return f"{position}.{layer}"
