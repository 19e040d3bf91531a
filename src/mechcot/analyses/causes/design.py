"""What is changed in traces, by name, and the tables of a study's folder causes/; needs no torch."""

from __future__ import annotations

import pyarrow as pa

WRITTEN, WITHOUT = "written", "without"
REPAIR, LATERAL, ALIKE = "repair", "lateral", "lateral, as likely as written"
BREAK, OTHER_RIGHT = "break", "other right"
SWAPS_OF = {"erroneous": (REPAIR, LATERAL, ALIKE), "correct": (BREAK, OTHER_RIGHT)}
"""Swaps of a claim by whether it is wrong; `cases.chosen` says what they put in."""

BARE, OTHER_QUESTION, SHUFFLED, FILLER, NO_STATEMENT = (
    "bare prompt",
    "another question's trace",
    "shuffled steps",
    "filler",
    "no step that states the answer",
)
CONTROLS = (WRITTEN, BARE, OTHER_QUESTION, SHUFFLED, FILLER, NO_STATEMENT)
"""What stands before the lead-in of a forced answer."""

PLACES = ("prompt", "middle", "last")
"""Prefixes that are gone on from freely: no step, half of those before the answer is stated, all of them."""

STEP, FIRST, FREE = "step", "answer first", "free"
"""What continuations are for."""
NONE, OWN, WRONG = "nothing", "own answer", "wrong answer"
"""What stands before the first step of an answer that comes first."""

_str, _i32, _f64, _bool = pa.string(), pa.int32(), pa.float64(), pa.bool_()
_TRACE = [("qid", _str), ("arm", _str), ("cid", _i32)]
_STEP = [*_TRACE, ("sid", _i32), ("kind", _str), ("label", _str)]

SWAPPED = pa.schema(
    [
        *_STEP,  # label: correct, erroneous
        ("variant", _str),  # one of SWAPS_OF
        ("said", _str),  # the object as written
        ("object", _str),  # the one in its place
        ("surprisal_said", _f64),  # nats, of either where it stands
        ("surprisal", _f64),
        ("margin", _f64),  # nats, first less second option forced before the step
        ("log_odds_said", _f64),  # of the trace's own answer against the rest, forced at the last prefix
        ("log_odds", _f64),  # the same with the object swapped
        ("right_said", _f64),  # log-odds of the right option, likewise
        ("right", _f64),
        ("p_said", _f64),  # probability of the trace's own answer among the options
        ("p", _f64),
        ("flipped", _bool),  # whether another option comes first
    ]
)
CONTROLLED = pa.schema(
    [
        *_TRACE,
        ("control", _str),  # one of CONTROLS
        ("log_odds", _f64),
        ("p", _f64),
        ("raw_mass", _f64),  # what all options hold of the whole distribution
    ]
)
CONTINUED = pa.schema(
    [
        *_STEP,  # sid: of the step gone on from; free: how many steps are held. "" where it has no kind
        ("job", _str),  # STEP, FIRST, FREE
        ("variant", _str),  # WRITTEN, WITHOUT, one of SWAPS_OF; NONE, OWN, WRONG; one of PLACES
        ("margin", _f64),  # STEP: as in SWAPPED; else null
        ("own", _i32),  # the trace's own answer
        ("aim", _i32),  # FIRST: the wrong option; else -1
        ("draw", _i32),
        ("answer", _i32),  # -1: it names no option
        ("cut", _bool),  # by the token limit, without an answer
        ("n_tokens", _i32),  # written behind the prefix
    ]
)
FORCED_FREE = pa.schema(
    [
        *_TRACE,
        ("place", _str),  # one of PLACES
        ("p", pa.list_(_f64)),  # forced there, at the temperature of the continuations
    ]
)
REWRITTEN = pa.schema(
    [
        *_STEP,
        ("wanted", _str),  # correct, erroneous
        ("said", _str),  # the step
        ("text", _str),  # what the rewriter wrote, "" where it wrote nothing
        ("refused", _str),  # why it is not used, "" where it is
    ]
)
"""Steps written anew by a server: rewritten/ARM.parquet."""
TABLES = {
    "swaps": SWAPPED,
    "controls": CONTROLLED,
    "continuations": CONTINUED,
    "forced": FORCED_FREE,
}
"""Files of causes/ARM."""
