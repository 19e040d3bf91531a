"""The list of all traces: a row a trace, with what filters and sorting need; kept in `work/`."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mechcot.analyses.commitment.locks import lock
from mechcot.analyses.commitment.paths import paths_of
from mechcot.analyses.viewer.tables import ArmFiles, ArmTables, shown_arms
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError, MechcotError
from mechcot.core.records import STEP_KEY, TRACE_KEY
from mechcot.stats.frames import cut_off
from mechcot.steps.hedge_words import found_in
from mechcot.study.parts import parts_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

log = logging.getLogger("mechcot")

VERSION = 2
"""Of the code below; a higher one makes the list anew."""
PAIR = ["qid", "cid"]

MARKS = {"correct": "c", "erroneous": "e", "abstain": "a", "not_checkable": "n", "": "-"}
"""A step's verdict as a letter; a failed call is `!`."""
FATES = ("", "gained", "lost", "both", "neither")
STATES = ("right", "wrong", "none", "cut")
NEVER, UNREAD = -1, -2
"""In place of a lock."""

INDEX = pa.schema(
    [
        ("qid", pa.string()),
        ("arm", pa.string()),
        ("cid", pa.int32()),
        ("answer", pa.string()),  # its text, "" for none
        ("state", pa.string()),  # one of STATES
        ("fate", pa.string()),  # of both arms' traces with this number, one of FATES; "": of another arm
        ("strip", pa.string()),  # a letter a step, see MARKS
        ("kinds", pa.list_(pa.string())),  # of each step
        (
            "disagree",
            pa.int32(),
        ),  # steps called correct by one instrument, erroneous by another; -1: one alone
        ("probe", pa.list_(pa.int32())),  # steps that the probe says are wrong; null: no probe
        ("hedged", pa.int32()),  # steps that hedge
        ("lock", pa.int32()),  # after how many steps it locks; NEVER or UNREAD
        ("last", pa.int32()),  # steps before the answer is stated; -1: not read
        ("surprisal", pa.float32()),  # mean over its tokens, nats; null: not read
    ]
)


def index_of(study: Study) -> pd.DataFrame:
    """The list of a study's traces (schema `INDEX`), made anew when a table has changed.

    Args:
        study: with traces, steps and verdicts of at least one arm.

    Raises:
        AnalysisError: no arm has steps yet.
        DataError: a table is damaged.
    """
    arms = shown_arms(study)
    if not arms:
        raise AnalysisError(
            f"{study.path}: no arm has steps yet, so there is no trace to show. Make them with: mechcot run "
            f"{study.path}"
        )
    folder, key = study.path / "work" / "viewer", _key(study, arms)
    with suppress(MechcotError, OSError):
        if files.read_json(folder / "key.json") == key:
            return records.read_table(folder / "index.parquet", INDEX)
    log.info("viewer: making the list of traces")
    made = _made(study, arms)
    with suppress(OSError):  # a study that nobody may write to is shown all the same
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").unlink(missing_ok=True)
        records.write_table(folder / "index.parquet", made, INDEX)
        files.write_json(folder / "key.json", key)
    return made


def _key(study: Study, arms: list[str]) -> dict[str, Any]:
    """What the list depends on: the tables by size and time of their last change."""
    paths = [study.path / "questions.parquet", study.path / "study.yaml"]
    paths += [path for arm in arms for path in ArmFiles(study, arm).paths.values() if path is not None]

    def about(path: Path) -> list[int]:
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]

    there = {path.relative_to(study.path).as_posix(): about(path) for path in paths if path.exists()}
    return json.loads(json.dumps({"version": VERSION, "arms": arms, "files": there}))


def _made(study: Study, arms: list[str]) -> pd.DataFrame:
    questions = study.questions()
    table = pd.concat([_of_arm(study, arm, questions) for arm in arms], ignore_index=True)
    table["fate"] = _fates(table, study.settings.contrast.before, study.settings.contrast.after)
    q = table.qid.map({qid: i for i, qid in enumerate(questions.qid)})
    order = table.arm.map({arm: i for i, arm in enumerate(arms)})
    table = table.assign(q=q, order=order).sort_values(["q", "cid", "order"], kind="stable")
    return table[INDEX.names].reset_index(drop=True)


def _of_arm(study: Study, arm: str, questions: pd.DataFrame) -> pd.DataFrame:
    """One arm's rows, made some questions at a time."""
    own = ArmFiles(study, arm)
    found = []
    files_of_arm = [path for path in own.paths.values() if path is not None]
    for part in parts_of(study, questions.qid.tolist(), files_of_arm):
        tables = ArmTables.of(own, part.qids)
        rows = _arm(tables, questions).assign(fate="")
        found.append(pa.Table.from_pandas(rows[INDEX.names], schema=INDEX, preserve_index=False))
    return pa.concat_tables(found).to_pandas()  # as it is read again


def _arm(tables: ArmTables, questions: pd.DataFrame) -> pd.DataFrame:
    """The rows of some traces of an arm."""
    traces = tables.traces
    gold = traces.qid.map(dict(zip(questions.qid, questions.gold, strict=True))).to_numpy()
    options = dict(zip(questions.qid, questions.options, strict=True))
    cut, answer = cut_off(traces), traces.answer.to_numpy()
    state = np.select([answer < 0, answer == gold], ["none", "right"], "wrong")
    steps = judged_steps(tables)
    grouped = steps.groupby(PAIR, sort=False)
    own = pd.DataFrame(
        {
            "strip": grouped["mark"].agg("".join),
            "kinds": grouped["role"].agg(list),
            "hedged": grouped["hedged"].sum(),
            "disagree": grouped["disagree"].sum(),
        }
    )
    table = traces[TRACE_KEY].assign(
        answer=[options[qid][i] if i >= 0 else "" for qid, i in zip(traces.qid, answer, strict=True)],
        state=np.where(cut & (answer < 0), "cut", state),
    )
    table = table.merge(own, left_on=PAIR, right_index=True, how="left")
    table["strip"] = table.strip.fillna("")
    table["kinds"] = [kinds if isinstance(kinds, list) else [] for kinds in table.kinds]
    table["disagree"] = table.disagree.fillna(0) if len(tables.verdicts) > 1 else -1
    table["hedged"] = table.hedged.fillna(0)
    return table.merge(_locks(tables, questions), on=PAIR, how="left").pipe(_inside, tables)


def _inside(table: pd.DataFrame, tables: ArmTables) -> pd.DataFrame:
    """With what the insides say."""
    flagged = tables.scores
    wrong = flagged[flagged.wrong].groupby(PAIR)["sid"].agg(list)
    keys = list(zip(table.qid, table.cid, strict=True))
    told = set(zip(flagged.qid, flagged.cid, strict=True))
    means = {
        (row.qid, row.cid): float(np.nanmean(row.surprisal)) if len(row.surprisal) else np.nan
        for row in records.rows(tables.signals)
    }
    said = [wrong.get(key, []) if key in told else None for key in keys]
    return table.assign(
        probe=pd.Series(said, index=table.index, dtype=object),
        surprisal=[means.get(key, np.nan) for key in keys],
        lock=table.lock.fillna(UNREAD),
        last=table["last"].fillna(-1),
    )


def judged_steps(tables: ArmTables) -> pd.DataFrame:
    """An arm's steps with `label`, `reason`, `mark`, `hedged` and `disagree`.

    A step hedges by the task's own reading of its claim, where the task reads claims, else by the lexicon.
    """
    steps = tables.steps
    names = list(tables.verdicts)
    if names:
        steps = steps.merge(tables.verdicts[names[0]], on=STEP_KEY, how="left")
    else:
        steps = steps.assign(label="", reason="")
    steps[["label", "reason"]] = steps[["label", "reason"]].fillna("")
    if len(tables.claims):
        hedged = tables.claims[tables.claims.hedged.eq(True)][STEP_KEY].drop_duplicates()
        places = pd.MultiIndex.from_frame(steps[STEP_KEY])
        steps["hedged"] = places.isin(pd.MultiIndex.from_frame(hedged))
    else:
        known = {text: bool(found_in(text)) for text in steps.text.unique()}
        steps["hedged"] = steps.text.map(known).astype(bool)
    said = [steps.label.to_numpy()]
    for name in names[1:]:
        other = steps[STEP_KEY].merge(tables.verdicts[name][[*STEP_KEY, "label"]], on=STEP_KEY, how="left")
        said.append(other.label.fillna("").to_numpy())
    columns = np.array(said)
    steps["disagree"] = (columns == "correct").any(axis=0) & (columns == "erroneous").any(axis=0)
    steps["mark"] = steps.label.map(MARKS).fillna("!")
    return steps


def _locks(tables: ArmTables, questions: pd.DataFrame) -> pd.DataFrame:
    """Lock and last prefix of the traces that were read, as `study.commitment()` has them."""
    nothing = pd.DataFrame({"qid": [], "cid": [], "lock": [], "last": []})
    if tables.forced.empty:
        return nothing
    try:
        paths, _ = paths_of(tables.forced, tables.traces, tables.steps, questions)
    except AnalysisError:  # no trace of it counts
        return nothing
    where = lock(paths.chosen(paths.traces["answer"].to_numpy(np.int64)), paths.last)
    found = np.where(np.isnan(where), NEVER, where).astype(np.int64)
    return paths.traces[PAIR].assign(lock=found, last=paths.last)


def _fates(table: pd.DataFrame, before: str, after: str) -> list[str]:
    """What became of the answer between the contrast's arms, for traces of one question and number."""
    right = {
        arm: {(row.qid, row.cid): row.state == "right" for row in records.rows(table[table.arm == arm])}
        for arm in (before, after)
    }
    names = {(False, True): "gained", (True, False): "lost", (True, True): "both", (False, False): "neither"}

    def fate(arm: str, key: tuple[str, int]) -> str:
        if arm not in right or any(key not in own for own in right.values()):
            return ""
        return names[right[before][key], right[after][key]]

    return [fate(arm, (qid, cid)) for arm, qid, cid in zip(table.arm, table.qid, table.cid, strict=True)]
