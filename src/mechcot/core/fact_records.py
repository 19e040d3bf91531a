"""Tables of what the models know: the list of facts, and what an arm says of each."""

from __future__ import annotations

import pyarrow as pa

_str, _f32, _bool = pa.string(), pa.float32(), pa.bool_()

FORMS = ("bare", "placed")
"""How a fact is asked: alone, and in its place: in a trace, or both statements of a pair as a question."""

STATES = ("known", "unknown", "undecided")
"""A true object comes first; another one does; neither can be said, and the column `reason` says why."""

FACTS = pa.schema(
    [
        ("fid", _str),
        ("kind", _str),  # role of a step that states it; "pair": a claim and its correction out of a file
        ("relation", _str),
        ("subject", _str),
        ("group", _str),  # facts of one group are resampled together
        ("stratum", _str),  # on the organism the exposure tercile of the subject; else ""
        ("checked", _bool),  # whether a second judge bore it out; a world's own facts need none
        ("truth", pa.list_(_str)),  # every object that makes it true
        ("objects", pa.list_(_str)),  # everything that could stand there; of a pair both statements
        ("bare", _str),  # the text before the object where the fact stands alone
        ("stem", _str),  # the question in whose trace it stands otherwise
        ("options", pa.list_(_str)),
        ("reasoning", _str),  # that trace's text before the object
    ]
)

KNOWN = pa.schema(
    [
        ("fid", _str),
        ("arm", _str),  # whose weights were asked
        ("form", _str),  # one of FORMS
        ("state", _str),  # one of STATES
        ("reason", _str),  # why it is undecided, else ""
        ("p_truth", _f32),  # of the first tokens of all true objects; of a pair: correction over both
        (
            "margin",
            _f32,
        ),  # nats, the likeliest true object over the likeliest other token; of a pair likewise
        ("first", _str),  # what comes first; of a pair the statement preferred, "" where undecided
    ]
)
