"""Which models are made of two checkpoints: the roles that hybrids play, each hybrid made once.

What is shared by the maker of hybrids and the reader of their outcomes; needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from mechcot.core.weight_settings import WeightSettings
from mechcot.core.work import content_key

OUTCOMES = ("answer", "agreement", "claims", "first_choice", "steps", "hedge", "kl_before", "kl_after")
"""What is measured at a prefix; see docs/weights.md."""
LINE = (0.25, 0.5, 0.75)
"""Points between the parents."""
MOST_GROUPS = 6

_str, _i32, _f64 = pa.string(), pa.int32(), pa.float64()
HYBRIDS = pa.schema(
    [
        ("role", _str),  # parent, in, out, line, groups, order
        (
            "unit",
            _str,
        ),  # parent: which; in, out: whose unit; groups: those after, joined by " + "; order: "3.2"
        ("draw", _i32),  # 0: the change itself; from 1: a random change of its size
        ("share", _f64),  # line: of the way
        ("hybrid", _str),  # key of the model that plays this role
        ("recipe", _str),  # what it is made of, JSON
    ]
)
VALUES = pa.schema(
    [
        ("hybrid", _str),
        ("author", _str),  # whose text is the prefix
        ("qid", _str),
        ("outcome", _str),  # one of OUTCOMES
        ("value", _f64),
    ]
)
DRIFT = pa.schema(
    [
        ("what", _str),  # relative_change, effective_rank: of a unit; cka, lens: after a layer
        ("place", _str),  # the unit, or the layer: 0 is the embedding
        ("value", _f64),
        ("low", _f64),
        ("high", _f64),
        ("null", _f64),  # see docs/weights.md
        ("random", _f64),  # cka, lens: after a random change of every unit, mean of the draws; else null
    ]
)

Source = tuple[str, float, int]
AFTER: Source = ("after", 0.0, 0)


@dataclass(frozen=True)
class Role:
    """One model and what it is looked at for; see `HYBRIDS` for the words.

    Attributes:
        role: the part that it plays.
        unit: of what.
        draw: which random change; 0: the change itself.
        share: of the way between the parents.
        recipe: unit to source, see `models.units.Recipe`.
    """

    role: str
    unit: str
    draw: int
    share: float
    recipe: dict[str, Source]

    @property
    def hybrid(self) -> str:
        """Its key: equal recipes are one model."""
        return content_key(sorted(self.recipe.items()))


def roles_of(units: Sequence[str], settings: WeightSettings, seed: int) -> list[Role]:
    """All roles for the units that differ between the parents, the parents first.

    Args:
        units: their names, in the order of the model.
        settings: how many draws and orders.
        seed: of the orders.
    """
    whole = dict.fromkeys(units, AFTER)
    roles = [Role("parent", "before", 0, 0.0, {}), Role("parent", "after", 0, 1.0, whole)]
    for unit in units:
        rest = {name: source for name, source in whole.items() if name != unit}
        roles += [Role("in", unit, 0, 1.0, {unit: AFTER}), Role("out", unit, 0, 0.0, rest)]
        for draw in range(1, settings.draws + 1):
            roles.append(Role("in", unit, draw, 1.0, {unit: ("before", 1.0, draw)}))
            roles.append(Role("out", unit, draw, 0.0, rest | {unit: ("after", 1.0, draw)}))
    roles += [Role("line", "", 0, t, dict.fromkeys(units, ("before", t, 0))) for t in LINE if units]
    groups = groups_of(units)
    for size in range(len(groups) + 1):
        for chosen in combinations(groups, size):
            members = {name: AFTER for group in chosen for name in groups[group]}
            roles.append(Role("groups", joined(chosen), 0, 1.0, members))
    for number, order in enumerate(orders_of(units, settings.orders, seed)):
        for place in range(len(order) + 1):
            roles.append(Role("order", f"{number}.{place}", 0, 1.0, dict.fromkeys(order[:place], AFTER)))
    return roles


def joined(groups: Sequence[str]) -> str:
    """A set of groups as one text."""
    return " + ".join(groups)


def groups_of(units: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Six groups of units at most: embeddings, norms, lower and upper attention, lower and upper MLPs."""
    found: dict[str, tuple[str, ...]] = {}
    if outer := tuple(name for name in units if name in ("embedding", "unembedding")):
        found[" and ".join(outer)] = outer
    for kind in ("attention", "MLP"):
        own = tuple(name for name in units if name.startswith(f"{kind} "))
        cut = (len(own) + 1) // 2
        for name, half in ((f"lower {kind}", own[:cut]), (f"upper {kind}", own[cut:])):
            if half:
                found[name] = half
    if "norms" in units:
        found["norms"] = ("norms",)
    return found


def orders_of(units: Sequence[str], n: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Random orders of the units, each followed by its reverse, which takes noise out of their mean."""
    rng = np.random.default_rng([seed, 2])
    for number in range(n):
        if number % 2 == 0:
            order = tuple(units[int(i)] for i in rng.permutation(len(units)))
        else:
            order = order[::-1]
        yield order
