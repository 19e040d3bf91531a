"""From a store of activations and a table of labelled steps to a report: what a specification asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.probe.data import Data
from mechcot.probe.fitting import fit_data
from mechcot.probe.report import ProbeReport
from mechcot.probe.spec import AFTER_THE_HEDGE, ProbeSpec

if TYPE_CHECKING:
    from mechcot.study.activations import Activations

Source = tuple[str, int]
"""A position rule and a layer."""


def fit_stored(
    store: Activations,
    table: pd.DataFrame,
    spec: ProbeSpec,
    about: Mapping[str, Any],
    *,
    untrained: Activations | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ProbeReport:
    """Fit a specification on the activations of a store.

    Args:
        store: has a row for every row of the table.
        table: STEP_KEY, `y`, `group`, `text` and confounds, a row a step.
        spec: what to fit.
        about: what the label 1 means (`meaning`), how many steps the table leaves out by reason (`dropped`),
            and whose steps they are (`source`), for the card.
        untrained: the same steps in untrained weights of the same architecture.
        seed: of everything random, where the specification names none.
        progress: whether to draw a bar.

    Raises:
        AnalysisError: a layer or a rule that the store lacks, or as `fit_report`.
    """
    chosen, beside = places(store, spec)
    names = ("model_digest", "tokenizer_digest", "template_digest", "steps_digest")
    digests = {name: store.meta[name] for name in names if name in store.meta}
    source = {**about["source"], "reader": store.meta["reader"], **digests}
    told = {"name": spec.name, "site": spec.site, "spec": spec.model_dump(mode="json")}
    data = Data.from_table(
        loaders(store, spec.site, chosen, table),
        table,
        beside=loaders(store, spec.site, beside, table),
        untrained=None if untrained is None else loaders(untrained, spec.site, chosen, table),
    )
    about = {**about, **told, "source": source}
    report = fit_data(data, spec.settings(seed), about=about, progress=progress)
    known = [name for name in (*STEP_KEY, "y") if name in table]
    return replace(report, rows=table[known].reset_index(drop=True))


def places(store: Activations, spec: ProbeSpec) -> tuple[list[Source], list[Source]]:
    """The rules and layers that inner folds choose from, and those that are only shown beside.

    Raises:
        AnalysisError: the store lacks one that the specification names, or the site.
    """
    kept = [layer for site, layer in store.places if site == spec.site]
    if not kept:
        raise AnalysisError(f"{store.path}: has no site {spec.site}; it has {store.sites}")
    layers = kept if spec.layers is None else list(spec.layers)
    steps = [rule for rule in store.rules if rule != "token"]
    late = AFTER_THE_HEDGE if spec.label == "hedged" else ()
    others = [rule for rule in steps if rule not in (*spec.rules, *late)]
    beside = others if spec.beside is None else list(spec.beside)
    for what, wanted, there in (("layer", layers, kept), ("rule", [*spec.rules, *beside], steps)):
        missing = [item for item in wanted if item not in there]
        if missing:
            raise AnalysisError(
                f"{store.path}: has no {what} {missing[0]} at the site {spec.site}; it has {there}. Mend the "
                f"specification, or read again with reading.{what}s"
            )
    return list(product(spec.rules, layers)), list(product(beside, layers))


def loaders(
    store: Activations, site: str, sources: list[Source], table: pd.DataFrame
) -> dict[Source, Callable[[], NDArray[np.float32]]]:
    """Functions that load a source's rows of a table, [steps, d_model], so that one is in memory at a time.

    Raises:
        AnalysisError: the store lacks a step of the table.
    """
    rows = positions(store.frame()[STEP_KEY], table)
    whole = np.array_equal(rows, np.arange(len(store)))  # then no second copy is made

    def load(rule: str, layer: int) -> Callable[[], NDArray[np.float32]]:
        return lambda: store.layer(site, layer, rule) if whole else store.layer(site, layer, rule)[rows]

    return {(rule, layer): load(rule, layer) for rule, layer in sources}


def positions(index: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.int64]:
    """Row of the store for each row of a table, by step key.

    Raises:
        AnalysisError: the store lacks a step of the table.
    """
    numbered = index.assign(position=np.arange(len(index)))
    found = table[STEP_KEY].merge(numbered, on=STEP_KEY, how="left", validate="many_to_one")
    lost = np.flatnonzero(found["position"].isna())
    if lost.size:
        row = found.iloc[lost[0]]
        raise AnalysisError(
            f"{lost.size} of {len(table)} steps have no activations, the first is question {row['qid']}, arm "
            f"{row['arm']}, trace {row['cid']}, step {row['sid']}"
        )
    return found["position"].to_numpy(dtype=np.int64)
