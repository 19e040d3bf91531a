"""The table of how seldom a model meets what steps are about: arms/ARM/strata.parquet."""

from __future__ import annotations

import pyarrow as pa

RARE, MIDDLE, FREQUENT = "rare", "middle", "frequent"
"""Thirds of the steps of the contrast's two arms by `frequency`; "" where a step has no word."""

STRATA = pa.schema(
    [
        ("qid", pa.string()),
        ("arm", pa.string()),
        ("cid", pa.int32()),
        ("sid", pa.int32()),
        ("subject", pa.string()),  # its least probable word, in lower case; ""
        ("frequency", pa.float32()),  # log-probability of that word alone to the arm before, nats; NaN
        ("stratum", pa.string()),
    ]
)
