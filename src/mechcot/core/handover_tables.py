"""The tables of a hand-over; beside those of `records`, whose ids they carry."""

from __future__ import annotations

import pyarrow as pa

_str, _i32, _f64 = pa.string(), pa.int32(), pa.float64()

PLACE_KEY = ["qid", "arm", "cid", "k", "source"]
NEXT_KEY = [*PLACE_KEY, "form", "draw"]
GREEDY = -1
"""The draw that takes the likeliest token each time."""
OWN, NEUTRAL = "own", "neutral"
FREE, FORCED = "free", "forced"

_PLACE = [
    ("qid", _str),
    ("arm", _str),  # who wrote the trace
    ("cid", _i32),
    ("k", _i32),  # how many of its steps are handed over
    ("source", _str),  # own: these steps; neutral: as many statements of the task in their place
]

PLACES = pa.schema(
    [
        *_PLACE,
        ("kind", _str),  # role of the step that the author wrote next
        ("left_out", _str),  # why nothing is written here, "" if something is
        ("no_slot", _str),  # why no slot is forced here, "" if one is
        ("p_truth", _f64),  # at the slot, of the true objects' first tokens, at the study's temperature; null
        ("first_true", _f64),  # 1: the likeliest token there is one of theirs, 0: it is not; null: no slot
    ]
)
"""Prefixes as one writer took them; the slot is the author's own next claim up to its object."""

NEXT_STEPS = pa.schema(
    [
        *_PLACE,
        ("form", _str),  # free; forced: the author's next claim up to its object is given too
        ("draw", _i32),  # -1: greedy
        ("outcome", _str),  # step; empty, answer, cut, runs_on: there is no step to judge
        ("text", _str),  # of the step, what was given of it included; "" without a step
        ("role", _str),
        ("n_tokens", _i32),  # that the writer wrote
        ("p_truth", _f64),  # of free sampled steps behind own text: at the slot they wrote; null
    ]
)
"""What one writer wrote next."""

NEXT_VERDICTS = pa.schema(
    [
        *_PLACE,
        ("form", _str),
        ("draw", _i32),
        ("instrument", _str),
        ("label", _str),  # one of records.LABELS
        ("reason", _str),
    ]
)
"""Verdicts of the next steps whose outcome is a step."""
