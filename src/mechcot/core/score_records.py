"""The table of a probe's scores: a row a step, see `records`."""

from __future__ import annotations

import pyarrow as pa

SCORES = pa.schema(
    [
        ("qid", pa.string()),
        ("arm", pa.string()),
        ("cid", pa.int32()),
        ("sid", pa.int32()),
        ("y", pa.int32()),  # the label
        ("fold", pa.int32()),  # outer fold; the probe that scored the step did not train on it
        ("score", pa.float64()),  # comparable inside a fold only
    ]
)
