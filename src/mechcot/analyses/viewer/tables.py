"""What the viewer reads of a study: some columns of the rows of some questions, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mechcot.core.errors import DataError, said
from mechcot.core.kind_records import KINDS
from mechcot.core.records import STEP_KEY, plainly_forced
from mechcot.core.row_groups import rows_of
from mechcot.core.score_records import SCORES
from mechcot.study.step_kinds import with_kinds

if TYPE_CHECKING:
    from mechcot.study.folder import Study

_TRACES = (
    "qid", "arm", "cid", "text", "finish_reason", "token_start", "token_end", "reasoning_end", "answer",
    "answer_rule", "answer_start", "answer_end",
)  # fmt: skip
_STEPS = (
    "qid", "arm", "cid", "sid", "text", "char_start", "char_end", "tok_start", "tok_end", "complete", "role",
    "states_answer",
)  # fmt: skip
_FORCED = ("qid", "arm", "cid", "k", "reader", "lead_in", "permutation", "layer", "p", "raw_mass")
_VERDICTS = (*STEP_KEY, "label", "reason")
_CLAIMS = (*STEP_KEY, "relation", "subject", "object", "hedged", "truth")
PROBE = "step-error"
"""Which of a study's probes the viewer shows."""


@dataclass(frozen=True)
class ArmFiles:
    """Where an arm's tables lie.

    Attributes:
        study: the study.
        arm: its name.
    """

    study: Study
    arm: str

    @cached_property
    def reader(self) -> str | None:
        """Who has read it: itself, or else the first reader that has; None: nobody."""
        folder = self.study.path / "readings" / self.arm
        names = (self.arm, *self.study.settings.readers())
        return next((name for name in names if (folder / name / "forced.parquet").exists()), None)

    @cached_property
    def verdicts(self) -> dict[str, Path]:
        """Its verdicts by instrument, the study's own first."""
        folder = self.study.arm_path(self.arm) / "verdicts"
        return {name: folder / f"{name}.parquet" for name in self.study.instruments_of(self.arm)}

    @cached_property
    def probe(self) -> Path | None:
        """The scores of the probe of step errors on it by its reader; None: no such probe is kept."""
        if self.reader is None:
            return None
        path = self.study.path / "probes" / PROBE / self.arm / self.reader / "scores.parquet"
        return path if path.exists() else None

    @cached_property
    def paths(self) -> dict[str, Path | None]:
        """The tables by what they are; None: not there."""
        own, read = self.study.arm_path(self.arm), self.study.path / "readings" / self.arm
        names = {name: own / f"{name}.parquet" for name in ("traces", "steps", "claims", "kinds")}
        if self.reader is not None:
            names |= {name: read / self.reader / f"{name}.parquet" for name in ("forced", "signals")}
        names |= {f"verdicts {name}": path for name, path in self.verdicts.items()}
        there: dict[str, Path | None] = {
            name: path if path.exists() else None for name, path in names.items()
        }
        return there | {"probe": self.probe}

    def table(self, what: str, columns: Sequence[str], qids: Sequence[str] | None = None) -> pd.DataFrame:
        """Some columns of a table, of some questions or all; without a row where there is no such table.

        Raises:
            DataError: it is damaged, or lacks a column.
            StudyError: it is not the one that its stage wrote.
        """
        path = self.paths.get(what)
        if path is None:
            return pd.DataFrame(columns=list(columns))
        if path not in self._checked:
            self._checked.add(self.study.checked(path))
        return _rows(path, columns, qids)

    def steps(self, qids: Sequence[str] | None = None) -> pd.DataFrame:
        """Its steps, of some questions or all, with the kinds that the study's stage gave them.

        Raises:
            DataError: as `table`, or the kinds are of other steps.
        """
        steps, path = self.table("steps", _STEPS, qids), self.paths["kinds"]
        return steps if path is None else with_kinds(steps, self.table("kinds", KINDS.names, qids), path)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """All steps that the probe has scored, with `score` and `wrong` (`flags`)."""
        return flags(self.table("probe", SCORES.names))[[*STEP_KEY, "score", "wrong"]]

    @cached_property
    def _checked(self) -> set[Path]:
        """The tables that were found to be those that their stages wrote."""
        return set()


@dataclass(frozen=True)
class ArmTables:
    """An arm's rows of some questions; a table that is not there has no row.

    Attributes:
        arm: its name.
        reader: whose weights forced the answers; None: nobody's.
        traces, steps, claims, forced, signals: rows of `records`' schemas, fewer columns; forced answers
            are the reader's own output to the first lead-in and the question's order of options.
        scores: rows of `ArmFiles.scores`.
        verdicts: by instrument, the study's own first.
    """

    arm: str
    reader: str | None
    traces: pd.DataFrame
    steps: pd.DataFrame
    claims: pd.DataFrame
    forced: pd.DataFrame
    signals: pd.DataFrame
    scores: pd.DataFrame
    verdicts: dict[str, pd.DataFrame]

    @classmethod
    def of(cls, files: ArmFiles, qids: Sequence[str] | None = None) -> ArmTables:
        """The rows of some questions, or of all."""
        return cls(
            arm=files.arm,
            reader=files.reader,
            traces=files.table("traces", _TRACES, qids),
            steps=files.steps(qids).sort_values(STEP_KEY, kind="stable"),
            claims=files.table("claims", _CLAIMS, qids),
            forced=plainly_forced(files.table("forced", _FORCED, qids)),
            signals=files.table("signals", ("qid", "cid", "entropy", "surprisal"), qids),
            scores=files.scores if qids is None else files.scores[files.scores.qid.isin(qids)],
            verdicts={name: files.table(f"verdicts {name}", _VERDICTS, qids) for name in files.verdicts},
        )


def flags(scores: pd.DataFrame) -> pd.DataFrame:
    """Scored steps with `wrong`: whether a step is among the highest of its fold, as many as it has errors.

    Scores are comparable inside a fold only, so that each fold has its own threshold.

    Args:
        scores: rows of `SCORES`, whole folds.
    """
    if scores.empty:
        return scores.assign(wrong=pd.Series(dtype=bool))
    rank = scores.groupby("fold")["score"].rank(ascending=False, method="first")
    return scores.assign(wrong=rank <= scores.groupby("fold")["y"].transform("sum"))


def shown_arms(study: Study) -> list[str]:
    """The arms that have steps, the contrast's first."""
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    names = dict.fromkeys((*pair, *study.settings.arms))
    return [arm for arm in names if (study.path / "arms" / arm / "steps.parquet").exists()]


def _rows(path: Path, columns: Sequence[str], qids: Sequence[str] | None) -> pd.DataFrame:
    """Some columns of a table, of the rows of some questions or all."""
    try:
        there = set(pq.read_schema(path).names)
        missing = [name for name in columns if name not in there]
        if missing:
            raise DataError(f"{path}: the columns {missing} are missing; it has {sorted(there)}")
        frame: pd.DataFrame = rows_of(path, columns, qids).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file: {said(error)}") from error
    return frame
