"""A fitted probe on disk: `card.json` and `probe.safetensors`, format `mechcot-probe/1`.

Loading one and scoring with it needs numpy alone. `docs/probes.md` has the format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mechcot.core import files
from mechcot.core.errors import AnalysisError, DataError, StudyError
from mechcot.core.records import STEP_KEY
from mechcot.study.tensor_file import TensorFile, write_tensors

if TYPE_CHECKING:
    from mechcot.study.activations import Activations

FloatArray = NDArray[np.float64]

FORMAT = "mechcot-probe/1"
TENSORS = ("mean", "scale", "coef", "intercept")
"""Of each column its mean, one over its standard deviation (0: it was constant) and its coefficient."""


UNNAMED = "probe"
"""The name of a probe that was given none."""


def called(name: str) -> str:
    """A probe's name as a heading."""
    return "Probe" if name == UNNAMED else f"Probe {name}"


@dataclass(frozen=True, eq=False)
class ProbeCard:
    """A probe fitted on all rows at the source and penalty that the folds chose, and what it is worth.

    Attributes:
        mean: of each column, [d_model].
        scale: one over its standard deviation, 0 where it was constant, [d_model].
        coef: of the standardised columns, [d_model].
        intercept: log odds at the mean.
        about: everything else, as JSON: `name`, `label`, `meaning`, `words`, `probe` (site, layer, rule, C,
            d_model, rows, convergence), `source` (whose steps, whose insides, instrument, digests), `split`
            (fold of each question), `spec` and `metrics` (the report).
    """

    mean: FloatArray
    scale: FloatArray
    coef: FloatArray
    intercept: float
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        probe = self.about["probe"]
        return (
            f"ProbeCard({self.about['name']!r}: {self.about['meaning']}; {probe['site']} layer "
            f"{probe['layer']} at rule {probe['rule']!r}, d_model {len(self.coef)})"
        )

    def score(self, X: ArrayLike) -> FloatArray:
        """Log odds that the label is 1, [rows]; at what they are comparable, `docs/probes.md` says.

        Args:
            X: activations at the card's site, layer and position rule, [rows, d_model].

        Raises:
            AnalysisError: another width, or NaN or infinite values.
        """
        values = np.asarray(X, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.coef):
            raise AnalysisError(
                f"the probe '{self.about['name']}' reads [rows, {len(self.coef)}] activations, got "
                f"{list(values.shape)}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise AnalysisError(
                f"{bad.size} of {len(values)} rows have NaN or infinite activations, the first is row "
                f"{bad[0]}"
            )
        out: FloatArray = (values - self.mean) * self.scale @ self.coef + self.intercept
        return out

    def score_store(self, store: Activations, *, another_model: bool = False) -> pd.DataFrame:
        """Score every step of a store: its key and `score`, log odds, in the order of the store.

        Args:
            store: of the model that the probe was fitted on.
            another_model: the store is of another model, and that is wanted (transfer).

        Raises:
            AnalysisError: another model unless wanted, or as `score`.
            StudyError: the store lacks the card's site, layer or rule.
        """
        probe, fitted = self.about["probe"], self.about["source"].get("model_digest")
        found = store.meta["model_digest"]
        if fitted is not None and found != fitted and not another_model:
            raise AnalysisError(
                f"{store.path}: holds activations of the model {found!r}, the probe '{self.about['name']}' "
                f"was fitted on {fitted!r}. Pass another_model=True if that is what you want to find out"
            )
        X = store.layer(probe["site"], probe["layer"], probe["rule"])
        return store.frame(probe["rule"])[STEP_KEY].assign(score=self.score(X))

    def save(self, folder: Path) -> None:
        """Write `probe.safetensors` and then `card.json`, each whole or not at all."""
        arrays = {
            "mean": self.mean,
            "scale": self.scale,
            "coef": self.coef,
            "intercept": np.array([self.intercept]),
        }
        path = folder / "probe.safetensors"
        sha256 = write_tensors(path, {name: [value[None]] for name, value in arrays.items()}, {})
        written = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256}
        card = json.loads(json.dumps({**self.about, "format": FORMAT, "tensors": written}))
        files.write_json(folder / "card.json", {**card, "sha256": _own_digest(card)})


def load_card(path: str | Path) -> ProbeCard:
    """Load a card from its folder or its `card.json`.

    Raises:
        DataError: it is missing, damaged or of another format, or its tensors are not its own.
    """
    path = Path(path)
    file = path / "card.json" if path.is_dir() else path
    about = files.read_json(file)
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise DataError(f"{file}: expected a probe card of the format {FORMAT!r}, found {found!r}")
    # A card of an earlier version has no digest of its own.
    if "sha256" in about and about.pop("sha256") != _own_digest(about):
        raise DataError(f"{file}: is not as it was written; fit the probe again")
    try:
        tensors, width = file.parent / Path(about["tensors"]["file"]).name, int(about["probe"]["d_model"])
        if not tensors.is_file() or files.digest(tensors) != about["tensors"]["sha256"]:
            raise DataError(
                f"{tensors}: is missing or not the file that {file.name} was written with; fit the probe "
                "again"
            )
        opened = TensorFile.open(tensors)
        columns = {
            name: np.array(opened.tensor(name, "float64", (1, 1 if name == "intercept" else width))[0])
            for name in TENSORS
        }
    except (KeyError, TypeError, ValueError, StudyError) as error:
        raise DataError(f"{file}: is damaged ({error}); fit the probe again") from error
    del about["format"], about["tensors"]
    return ProbeCard(
        columns["mean"], columns["scale"], columns["coef"], float(columns["intercept"][0]), about
    )


def _own_digest(card: Mapping[str, Any]) -> str:
    """SHA-256 of what a card says beside this digest."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
