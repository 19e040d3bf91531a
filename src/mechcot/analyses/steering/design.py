"""What is written under which edit, and the tables of it; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mechcot.core.steering_settings import SteeringSettings

FIT, SELECT, TEST = "fit", "select", "test"
PARTS = (FIT, SELECT, TEST)
ADD, ABLATE = "add", "ablate"

_str, _i32, _f64 = pa.string(), pa.int32(), pa.float64()
_EDIT = [
    ("arm", _str),  # who writes
    ("form", _str),  # add: scale times the direction, at every token; ablate: the component along it goes
    ("scale", _f64),  # in distances between the two means; 0: no edit; of ablate 0 too
    ("draw", _i32),  # 0: the hedge direction; from 1: a random one
]
TEXTS = pa.schema(
    [
        *_EDIT,
        ("qid", _str),
        ("cid", _i32),
        ("part", _str),  # select or test: which half of the questions
        ("text", _str),
        ("finish_reason", _str),
        ("answer", _i32),  # -1: none
        ("right", _i32),
        ("n_claims", _i32),
        ("n_hedged", _i32),
        ("n_judged", _i32),  # steps that the checker calls correct or erroneous
        ("n_wrong", _i32),  # erroneous among them, hedged or not
        ("n_wrong_hedged", _i32),
        ("n_abstain", _i32),
        ("n_tokens", _i32),
        ("surprise", _f64),  # nats, sum over its tokens under the arm before, unedited; null: other tokens
    ]
)
"""What was written."""
PASSES = pa.schema(
    [
        *_EDIT,
        ("layer", _i32),
        ("qid", _str),
        ("cid", _i32),
        ("part", _str),
        ("divergence", _f64),  # nats, KL(unedited, edited) summed over tokens that are no hedge's place
        ("n_tokens", _i32),
        ("n_places", _i32),  # claims, each with one place for a hedge
        ("gained", _f64),  # log-odds of the hedge's first token there, edited less not, summed over places
    ]
)
"""One pass over a trace that the arm wrote before, unedited: how far the edit moves it."""
PLACES = pa.schema(
    [
        *_EDIT,
        ("qid", _str),
        ("cid", _i32),
        ("sid", _i32),
        ("relation", _str),
        ("wrong", _i32),
        ("p_hedge", _f64),
    ]
)
"""Asserted claims that were judged, in such passes: where an edit would put hedges."""

TABLES = {"texts": TEXTS, "passes": PASSES, "places": PLACES}


@dataclass(frozen=True)
class Edit:
    """What is done to the arm that writes; see `TEXTS`."""

    form: str
    scale: float
    draw: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """Its columns."""
        return {"form": self.form, "scale": self.scale, "draw": self.draw}


NONE = Edit(ADD, 0.0)


def edits_of(settings: SteeringSettings) -> tuple[Edit, ...]:
    """The edits by the hedge direction, the bare run first."""
    return (NONE, *(Edit(ADD, scale) for scale in settings.scales), Edit(ABLATE, 0.0))


def random_edits(settings: SteeringSettings, scale: float) -> tuple[Edit, ...]:
    """The same strength along random directions."""
    return tuple(Edit(ADD, scale, draw) for draw in range(1, settings.random + 1))


def parts_of(qids: Sequence[str], group: Mapping[str, str], seed: int) -> dict[str, str]:
    """Question to `fit`, `select` or `test`: whole groups, dealt out in turn in seeded order.

    Questions of equal text must share a group (`stats.frames.joined_groups`).
    """
    codes, names = pd.factorize(np.array([group[qid] for qid in qids]), sort=True)
    turn = np.empty(len(names), dtype=np.int64)
    turn[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % 3
    return {qid: PARTS[turn[code]] for qid, code in zip(qids, codes, strict=True)}


def asked_of(parts: Mapping[str, str], settings: SteeringSettings) -> dict[str, str]:
    """The questions that are written to, half of them of each part."""
    found: dict[str, str] = {}
    for part in (SELECT, TEST):
        own = [qid for qid, said in parts.items() if said == part]
        found |= dict.fromkeys(own[: settings.questions // 2], part)
    return found
