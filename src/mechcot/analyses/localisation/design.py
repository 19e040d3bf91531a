"""What is patched where, and the tables of it; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

RESID, ATTENTION, MLP, HEAD = "resid_post", "attn_out", "mlp_out", "head"
DENOISE, NOISE = "denoise", "noise"
WAYS = (DENOISE, NOISE)
BEFORE, AFTER = "before", "after"

_str, _i32, _f64 = pa.string(), pa.int32(), pa.float64()
_RUN = [
    ("way", _str),  # denoise: states of the arm before in the arm after; noise: the other way round;
    # before, after: that arm as it is
    ("site", _str),  # "" as it is; head: what one attention head writes
    ("layer", _i32),  # -1 as it is
    ("back", _i32),  # tokens before the last one in front of the hedge's place; -1 as it is
    ("head", _i32),  # of the layer, from 0; -1: not a head
]
VALUES = pa.schema(
    [
        *_RUN,
        ("qid", _str),
        ("log_odds", _f64),  # of the hedge, nats, summed over the question's slots
        ("n", _i32),  # slots
    ]
)
"""The hedge by question."""
SETS = pa.schema(
    [
        ("set", _i32),  # 0: the hedge; from 1: matched ones
        ("tokens", pa.list_(_i32)),
        ("logp", _f64),  # of any of them under the arm before, mean over slots, nats
        ("spread", _f64),  # standard deviation over slots
        ("parts", _f64),  # how many tokens it is in effect
    ]
)
MEANS = pa.schema([*_RUN, ("set", _i32), ("log_odds", _f64)])
"""Every set's mean over slots."""
READS = pa.schema(
    [
        ("arm", _str),  # whose hedge direction
        ("layer", _i32),
        ("cosine", _f64),  # of the hedge direction and the unembedding of the hedge's first token
        ("low", _f64),  # 2.5 % of random directions with the claims' covariance
        ("high", _f64),
        ("tokens", pa.list_(_str)),  # the direction read by the final norm and the unembedding: highest first
    ]
)


@dataclass(frozen=True)
class Run:
    """One pass of the host with a state of the donor; see `VALUES`."""

    way: str
    site: str = ""
    layer: int = -1
    back: int = -1
    head: int = -1

    @property
    def row(self) -> dict[str, Any]:
        """Its columns."""
        return {"way": self.way, "site": self.site, "layer": self.layer, "back": self.back, "head": self.head}


def runs_of(layers: Sequence[int], tokens: int, way: str, heads: int = 0) -> tuple[Run, ...]:
    """Every patch of one way: the stream at each token by itself; parts and single heads at the last one."""
    stream = (Run(way, RESID, layer, back) for back in range(tokens) for layer in layers)
    parts = (Run(way, site, layer, 0) for site in (ATTENTION, MLP) for layer in layers if layer > 0)
    single = (Run(way, HEAD, layer, 0, head) for layer in layers if layer > 0 for head in range(heads))
    return (*stream, *parts, *single)
