"""The table of the kinds of steps: arms/ARM/kinds.parquet."""

from __future__ import annotations

import pyarrow as pa

RULES, SERVER = "rules", "server"
"""Who gave a kind."""
UNREAD = "unread"
"""In place of a kind: the server gave none that could be read."""

KINDS = pa.schema(
    [
        ("qid", pa.string()),
        ("arm", pa.string()),
        ("cid", pa.int32()),
        ("sid", pa.int32()),
        ("kind", pa.string()),  # a kind of the task, or UNREAD
        ("by", pa.string()),  # RULES or SERVER
    ]
)
