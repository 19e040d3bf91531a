"""What comes out of testing probes where they were not trained: a matrix of training side by test side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from mechcot.core.errors import AnalysisError
from mechcot.core.results import Result
from mechcot.stats import Interval


@dataclass(frozen=True)
class TransferCell(Result):
    """One entry of the matrix; every interval resamples questions and holds the fitted probes fixed.

    Attributes:
        train: side that the probe was trained on.
        test: side that it was tested on.
        auroc: over pairs of test steps of one fold.
        matched: the same over pairs of one kind and step index, averaged over the kinds and indices that
            both sides have, weighted by the fewer of their pairs: another mix of kinds does not move it.
        minus_own: `auroc` minus that of the test side's own probe, on the same steps; 0 on the diagonal.
        minus_home: `matched` minus the same probe's on the side it was trained on, weights alike; 0 on
            the diagonal.
        n_steps: test steps.
        n_errors: erroneous ones among them.
        n_questions: their questions.
        n_strata: kinds and step indices that `matched` averages.
        matched_pairs: test pairs that `matched` rests on.
        matched_share: their share of the test side's pairs of one kind and step index.
    """

    derived: ClassVar[tuple[str, ...]] = ("prevalence",)

    train: str
    test: str
    auroc: Interval
    matched: Interval
    minus_own: Interval
    minus_home: Interval
    n_steps: int
    n_errors: int
    n_questions: int
    n_strata: int
    matched_pairs: int
    matched_share: float

    @property
    def prevalence(self) -> float:
        """Share of the test steps that are erroneous."""
        return self.n_errors / self.n_steps


@dataclass(frozen=True)
class TransferTraining(Result):
    """How one side's probes were trained.

    Attributes:
        side: name.
        chosen: an outer fold's layer, C and inner AUROC.
        n_steps: steps of the side.
        purged_share: of its training rows over folds, dropped because their claim occurs in the test
            fold of any side.
        n_fits: logistic fits.
        n_not_converged: those of them that reached the iteration limit.
    """

    side: str
    chosen: tuple[dict[str, float], ...]
    n_steps: int
    purged_share: float
    n_fits: int
    n_not_converged: int


@dataclass(frozen=True, repr=False)
class TransferResult(Result):
    """The matrix of training side by test side.

    Attributes:
        cells: row by row, sides in the order given.
        training: one entry a side.
        n_questions: questions of all sides together.
        n_blocks: of questions and groups that were kept together.
        n_folds: outer folds.
        grid: inverse penalties that were chosen from.
        seed: of the folds.
    """

    table: ClassVar[str] = "cells"

    cells: tuple[TransferCell, ...]
    training: tuple[TransferTraining, ...]
    n_questions: int
    n_blocks: int
    n_folds: int
    grid: tuple[float, ...]
    seed: int

    def cell(self, train: str, test: str) -> TransferCell:
        """One entry.

        Raises:
            AnalysisError: there is no such side.
        """
        for cell in self.cells:
            if (cell.train, cell.test) == (train, test):
                return cell
        known = ", ".join(item.side for item in self.training)
        raise AnalysisError(f"there is no entry '{train}' on '{test}'; the sides are: {known}")

    def matrix(self, measure: str = "auroc") -> pd.DataFrame:
        """One measure's estimates (auroc, matched, minus_own, minus_home), train [rows] by test [columns]."""
        names = [item.side for item in self.training]
        values = [[getattr(self.cell(a, b), measure).estimate for b in names] for a in names]
        return pd.DataFrame(
            values, index=pd.Index(names, name="train"), columns=pd.Index(names, name="test"), dtype=float
        )

    def __repr__(self) -> str:
        moved = [cell for cell in self.cells if cell.train != cell.test and cell.auroc.estimate is not None]
        words = "no entry off the diagonal"
        if moved:
            least = min(moved, key=lambda cell: cell.auroc.estimate or 0.0)
            words = f"lowest off the diagonal: {least.train} on {least.test} {least.auroc}"
        return f"TransferResult({len(self.training)} sides, {self.n_questions} questions; {words})"
