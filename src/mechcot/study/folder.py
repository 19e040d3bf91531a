"""The study folder: settings, tables, tensors and results of one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mechcot.core import config, files, records
from mechcot.core.digests import Digests
from mechcot.core.errors import AnalysisError, DataError, NotMade, StudyError, UsageError
from mechcot.core.fact_records import FACTS, KNOWN
from mechcot.core.judging_settings import instrument_of
from mechcot.core.kind_records import KINDS
from mechcot.core.manifest import (
    SETTINGS,
    check_output,
    check_settings,
    check_study,
    load_manifest,
    recorded_files,
    recorded_outputs,
    save_settings,
)
from mechcot.core.no_weights import NO_WEIGHTS
from mechcot.core.offers import offered
from mechcot.core.registration import register
from mechcot.core.settings import Settings
from mechcot.core.stages import current_stages
from mechcot.core.stratum_records import STRATA
from mechcot.study.headline import headline
from mechcot.study.readable import readable
from mechcot.study.step_kinds import with_kinds
from mechcot.study.trace_table import TraceTable, trace_table

if TYPE_CHECKING:
    from mechcot.study.activations import Activations


FURTHER = "judge-"
"""How the stages of further instruments are named in a study's manifest; the instrument's name follows."""


class Study:
    """A study on disk.

    Open one with `Study.open(path)`; make or continue one with `mechcot.run(path)`. Every analysis is a
    method under its name, which runs it on the study's tables and returns its result: `dir(study)` lists
    them, `help(study.audit)` explains one.

    Attributes:
        path: the folder.
        settings: as resolved when it was first run.
        qids: questions that its tables are read of; None: all (`study.parts`).
    """

    qids: Sequence[str] | None = None

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings

    @classmethod
    def open(cls, path: str | Path) -> Study:
        """Open an existing study.

        Raises:
            StudyError: the folder is no study, or its study.yaml is not the one that mechcot wrote.
        """
        path = Path(path)
        file = path / SETTINGS
        check_study(path)
        check_settings(path)
        return cls(path, config.resolve(base=config.read_yaml(file), source=str(file)))

    def __repr__(self) -> str:
        """One line with the numbers that matter."""
        if not (self.path / "summary.json").exists():
            return f"Study({str(self.path)!r}, not finished)"
        return f"Study({str(self.path)!r}: {headline(self.summary())})"

    def _repr_html_(self) -> str:
        """The headline table, for notebooks."""
        html: str = offered("headline")(self.summary())
        return html

    def save_settings(self) -> None:
        """Write the settings to study.yaml, record them and register their plan, unless that is done.

        Raises:
            StudyError: the folder cannot be written.
        """
        try:
            save_settings(self.path, config.to_yaml(self.settings))
            register(self.path, self.settings)
        except OSError as error:
            raise StudyError(f"{error.filename or self.path}: cannot be written: {error.strerror}") from error

    def checked(self, path: Path) -> Path:
        """A file of the study, or all that a stage wrote into a folder, which must be as its stage left it.

        It is read once for that, and again when its size, times or inode have changed. A file that no stage
        has recorded, such as verdicts put there by hand, passes.

        Raises:
            StudyError: it is another one.
        """
        name = path.relative_to(self.path).as_posix()
        found = recorded_outputs(load_manifest(self.path)).get(name)
        if found is not None and path.exists():
            check_output(self.path, name, *found, self._digests)
        return path

    @cached_property
    def _digests(self) -> Digests:
        return Digests(self.path)

    def _table(
        self, path: Path, schema: pa.Schema, only: Sequence[str] | None = None, **columns: str
    ) -> pd.DataFrame:
        """A table, or some columns (`records.read_table`); of which some hold one and the same value."""
        try:
            table = records.read_table(self.checked(path), schema, only, self.qids)
        except DataError as error:
            raise DataError(
                f"{error}. To make what is missing: mechcot run {self.path} (delete a damaged file first)"
            ) from error
        for name, wanted in columns.items():
            other = np.flatnonzero(table[name] != wanted)
            if len(other) and self.qids is not None:  # the whole table knows in which row
                return Study(self.path, self.settings)._table(path, schema, only, **columns)
            if len(other):
                raise DataError(
                    f"{path}: row {other[0] + 1}: {name} is {table[name].iloc[other[0]]!r}, and the file "
                    f"lies where that of {wanted!r} belongs. Put the right file there, or delete it and run "
                    f"mechcot run {self.path}"
                )
        return table

    # --- tables -------------------------------------------------------------------------------

    def questions(self, domain: str | None = None) -> pd.DataFrame:
        """The questions, of one domain or all (schema `records.QUESTIONS`, or `records.OPEN_QUESTIONS`).

        Raises:
            DataError: there is no question of that domain.
        """
        path = self.path / "questions.parquet"
        if self.settings.open_questions and not path.exists():
            path = self.path / "asked.parquet"  # the votes are not in yet
        table = self._table(path, records.QUESTIONS)
        if domain is not None and domain not in set(table.domain):
            raise DataError(
                f"{path}: there is no question of the domain '{domain}'; there are: "
                f"{', '.join(sorted(set(table.domain)))}. Mend contrast.domain or controls.*.domain, or "
                "name the column that holds domains with questions.columns.domain"
            )
        return table if domain is None else table[table.domain == domain].reset_index(drop=True)

    def traces(self, arm: str, only: Sequence[str] | None = None) -> pd.DataFrame:
        """An arm's traces (schema `records.TRACES`), or some of their columns, `arm` among them."""
        return self._table(self.arm_path(arm) / "traces.parquet", records.TRACES, only, arm=arm)

    def answers_read(self, arm: str) -> pd.DataFrame:
        """An arm's answers as a judge's server reads them, where one does (schema `records.ANSWERS`)."""
        return self._table(self.arm_path(arm) / "answers.parquet", records.ANSWERS, arm=arm)

    def steps(self, arm: str, only: Sequence[str] | None = None) -> pd.DataFrame:
        """An arm's steps (schema `records.STEPS`), or some columns, `records.STEP_KEY` among them.

        `role` is as the study's stage of kinds has it, if any.
        """
        steps = self.cut_steps(arm, only)
        path = self.arm_path(arm) / "kinds.parquet"
        if not path.exists():
            return steps
        return with_kinds(steps, self._table(path, KINDS, only and KINDS.names, arm=arm), path)

    def cut_steps(self, arm: str, only: Sequence[str] | None = None) -> pd.DataFrame:
        """An arm's steps as they were cut, with the roles that they had then."""
        return self._table(self.arm_path(arm) / "steps.parquet", records.STEPS, only, arm=arm)

    def strata(self, arm: str) -> pd.DataFrame | None:
        """How often the arm before met what an arm's steps are about (schema `STRATA`); None: not asked."""
        path = self.arm_path(arm) / "strata.parquet"
        return self._table(path, STRATA, arm=arm) if path.exists() else None

    def claims(self, arm: str, only: Sequence[str] | None = None) -> pd.DataFrame:
        """What an arm's steps claim, where the task can tell (schema `records.CLAIMS`)."""
        return self._table(self.arm_path(arm) / "claims.parquet", records.CLAIMS, only, arm=arm)

    def verdicts(
        self, arm: str, instrument: str | None = None, only: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """An arm's verdicts by an instrument, the study's own by default (`records.VERDICTS`)."""
        path = self.arm_path(arm) / "verdicts" / f"{instrument or self.settings.judge.kind}.parquet"
        return self._table(path, records.VERDICTS, only, arm=arm)

    def instruments(self) -> list[str]:
        """Instruments whose verdicts stand there for both arms of the contrast, the study's own first.

        Verdicts of `mechcot judge` on steps that have changed since are left out, and so are those of an
        instrument that the settings name too (`panel`).
        """
        pair = [
            self.instruments_of(arm) for arm in (self.settings.contrast.before, self.settings.contrast.after)
        ]
        return [name for name in pair[0] if name in pair[1]]

    def instruments_of(self, arm: str) -> list[str]:
        """The same for one arm."""
        own = self.settings.judge.kind
        there = {path.stem for path in (self.arm_path(arm) / "verdicts").glob("*.parquet")}
        stages = load_manifest(self.path)["stages"]
        made = {name.removeprefix(FURTHER) for name in stages if name.startswith(FURTHER)}
        current = recorded(self.path)
        stale = made - current.keys()
        named = {instrument_of(file) for file in self.settings.panel} & current.keys()
        digests = {current[name]["digest"] for name in named}
        stale |= {name for name, about in current.items() if name not in named and about["digest"] in digests}
        return sorted(there - stale, key=lambda name: (name != own, name))

    def greedy_table(self, arm: str, name: str, only: Sequence[str] | None = None) -> pd.DataFrame:
        """A table of an arm's greedy traces: `traces`, `steps`, `claims` or `verdicts`, as of its samples."""
        schema = {"traces": records.TRACES, "steps": records.STEPS, "claims": records.CLAIMS}
        path = self.arm_path(arm) / "greedy" / f"{name}.parquet"
        return self._table(path, schema.get(name, records.VERDICTS), only, arm=arm)

    def facts(self) -> pd.DataFrame:
        """The list of facts that the arms' weights are asked (schema `fact_records.FACTS`)."""
        return self._table(self.path / "facts.parquet", FACTS)

    def known(self, arm: str) -> pd.DataFrame:
        """What an arm's weights say of each fact (schema `fact_records.KNOWN`)."""
        return self._table(self.arm_path(arm) / "facts.parquet", KNOWN, arm=arm)

    def forced(
        self, author: str, reader: str | None = None, only: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Forced answers of a reading (`records.FORCED`), or some columns; by default the author's own."""
        return self._reading("forced", records.FORCED, author, reader, only)

    def knockouts(self, author: str, reader: str | None = None) -> pd.DataFrame:
        """Answers forced while a step was hidden (schema `records.KNOCKOUTS`); empty unless asked for."""
        return self._reading("knockouts", records.KNOCKOUTS, author, reader)

    def signals(self, author: str, reader: str | None = None) -> pd.DataFrame:
        """Token entropies and surprisals of a reading (schema `records.SIGNALS`)."""
        return self._reading("signals", records.SIGNALS, author, reader)

    def truth(self, author: str, reader: str | None = None) -> pd.DataFrame:
        """What a reading says of the true objects of claims (schema `records.TRUTH`)."""
        return self._reading("truth", records.TRUTH, author, reader)

    def _reading(
        self,
        name: str,
        schema: pa.Schema,
        author: str,
        reader: str | None,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        path = self._read(author, reader) / f"{name}.parquet"
        return self._table(path, schema, only, arm=author, reader=reader or author)

    def _read(self, author: str, reader: str | None) -> Path:
        """Where a reading lies, which must be there.

        Raises:
            StudyError: it is not.
        """
        path = self.reading_path(author, reader)
        if not path.exists():
            raise StudyError(
                f"{path} does not exist: {author}'s traces were not read by {reader or author}. To do "
                f"that: mechcot read {self.path} --author {author} --reader {reader or author}"
            )
        return path

    def activations(self, author: str, reader: str | None = None) -> Activations:
        """The activations of a reading, memory-mapped."""
        from mechcot.study.activations import Activations

        folder = self._read(author, reader) / "activations"
        for file in files.files_in(folder):
            self.checked(file)
        self._digests.save()
        steps = self.checked(self.arm_path(author) / "steps.parquet")
        return Activations.open(folder, reader=reader or author, steps_digest=files.digest(steps))

    def trace(self, qid: str, cid: int = 0, *, arm: str | None = None) -> TraceTable:
        """One trace as a table of its steps: text, role, verdict, reason, forced answers, surprisal.

        `p_own` and `p_gold` are the probabilities of its own and of the right answer when forced after the
        step, `surprisal` is the mean over its tokens in nats. Where they are NaN, `.note` says why and which
        command reads the trace. `sid` counts from 0, the viewer's steps from 1. `.show()` opens it.

        Args:
            qid: the question.
            cid: which of its samples.
            arm: who wrote it; None: the contrast's arm after.

        Raises:
            DataError: there is no such trace.
        """
        return trace_table(self, qid, cid, arm or self.settings.contrast.after)

    def compare(self, qid: str, cid: int = 0, *, before: str | None = None, after: str | None = None) -> Any:
        """Two models' traces of one question side by side, aligned by claim; a notebook shows them.

        `.show()` opens them elsewhere, `.to_frame()` is the alignment as a table, `.save(FILE)` a page.

        Args:
            qid: the question.
            cid: which of its samples.
            before: an arm; None: the contrast's arm before.
            after: likewise.

        Raises:
            DataError: one of the traces is not there.
        """
        return offered("compared")(self, qid, cid, before=before, after=after)

    def arm_path(self, arm: str) -> Path:
        """Where an arm's tables lie.

        Raises:
            StudyError: the study has no such arm.
        """
        if arm not in self.settings.arms:
            raise StudyError(
                f"there is no arm '{arm}' in {self.path}; there are {sorted(self.settings.arms)}"
            )
        return self.path / "arms" / arm

    def reading_path(self, author: str, reader: str | None = None) -> Path:
        """Where the reading of an author's traces by a reader's weights lies.

        Raises:
            UsageError: there is no such arm, or the reader is given as traces and has no weights.
            AnalysisError: no arm of the study has.
        """
        self.arm_path(author)
        self.arm_path(reader or author)
        if self.settings.given:
            raise AnalysisError(NO_WEIGHTS)
        if self.settings.arms[reader or author].traces is not None:
            raise UsageError(
                f"arm '{reader or author}' is given as traces and has no weights; name a reader: "
                f"{', '.join(self.settings.readers())}"
            )
        return self.path / "readings" / author / (reader or author)

    def summary(self) -> dict[str, Any]:
        """The numbers of summary.json."""
        loaded: dict[str, Any] = files.read_json(self.checked(self.path / "summary.json"))
        return loaded

    def result(self, name: str) -> dict[str, Any]:
        """One analysis' full result, `results/NAME.json`."""
        path = self.path / "results" / f"{name}.json"
        if not path.exists():
            there = sorted(p.stem for p in path.parent.glob("*.json"))
            raise NotMade(
                f"{path} does not exist; there are results of: {', '.join(there) or 'nothing'}. mechcot run "
                f"{self.path} makes what is missing"
            )
        loaded: dict[str, Any] = files.read_json(self.checked(path))
        return loaded

    @property
    def report(self) -> Path:
        """The report's path."""
        return self.path / "report.html"

    # --- analyses: offered from above ------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """An analysis by its name, as a method: `study.audit()`, `study.commitment("base")`."""
        for analysis in () if name.startswith("_") else offered("analyses"):
            if analysis.name == name:
                return MethodType(readable(analysis.of), self)
        raise AttributeError(f"a study has no '{name}'; its analyses are in dir(study)")

    def __dir__(self) -> list[str]:
        """Tab completion lists the analyses too."""
        return sorted({*super().__dir__(), *(analysis.name for analysis in offered("analyses"))})


def recorded(root: Path) -> dict[str, dict[str, Any]]:
    """Further instruments of a study whose verdicts belong to its steps as they are now.

    Args:
        root: the study's folder.

    Returns:
        Descriptions (`instruments/NAME.json`) by name; `Study.verdicts(arm, name)` gives their verdicts.
    """
    names = current_stages(root, FURTHER)
    listed, digests = recorded_files(load_manifest(root)) if names else {}, Digests(root)
    for file in (f"instruments/{name}.json" for name in names):
        check_output(root, file, *listed[file], digests)
    return {name: files.read_json(root / "instruments" / f"{name}.json") for name in names}
