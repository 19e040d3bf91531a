"""From a filled sheet and a study's verdicts to what they say together.

Each step on the sheet stands for the steps of its cell: its weight is the cell's steps in the study
over its steps that people answered. With every item answered that is one over the chance of being
drawn; with a sheet filled in part it still is, as the order is random inside cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.handed_out.key import digests, open_key, refuse_other_sources
from mechcot.analyses.sheet.draw import FORMAT, sources
from mechcot.analyses.sheet.population import JUDGED, VERDICTS, label_column, population
from mechcot.analyses.sheet.read_back import Answer, read_filled
from mechcot.analyses.sheet.result import Blinding, JudgeOnSheet, SheetResult, WithPeople
from mechcot.core import files
from mechcot.core.manifest import MANIFEST
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Pair, Paired
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.core.work import content_key
from mechcot.stats.agreement import Agreement, agreement, weighted_agreement
from mechcot.stats.cluster import Floats
from mechcot.stats.correction import Corrected, Method, corrected_difference
from mechcot.stats.jackknife import rate_interval, ratio_difference_interval
from mechcot.study.folder import Study
from mechcot.study.writing import locked

_NOT_ANSWERED = Answer("", "", "")


def read_sheet(study: Study, filled: Path, key: Path) -> SheetResult:
    """Read a filled sheet back and set it against every instrument of the study.

    Args:
        study: that the sheet was drawn from.
        filled: the page's export, or `sheet.csv` with its columns filled in.
        key: the sealed key that was written with the sheet.

    Raises:
        DataError: the key or the sheet cannot be used; names file, row and value.
        StudyError: the study's questions or steps are not those of the draw.
    """
    sealed, name = open_key(key, "sheet", FORMAT)
    answers = read_filled(filled, name, {item["item"]: item for item in sealed["items"]})
    arms = Pair(*sealed["arms"])
    refuse_other_sources(study, key, sealed, sources(study, arms), "the sheet's steps")
    instruments = study.instruments()
    table = population(study, arms, sealed["domain"], instruments)
    items = _items(sealed, answers.answers, table, instruments)
    once = items[(items["first"] == "") & (items["label"] != "")]
    before, after = _people_sums(once, arms)
    return SheetResult(
        sheet=name,
        arms=arms,
        domain=sealed["domain"],
        n_items=len(items),
        n_answered=int((items["label"] != "").sum()),
        n_absent=len(items) - len(answers.answers),
        n_checked=Pair(*(int((once.arm == arm).sum()) for arm in arms)),
        uncovered=_uncovered(sealed, once, arms),
        people=Paired(
            rate_interval(*before),
            rate_interval(*after),
            ratio_difference_interval(*before, *after),
        ),
        judges=tuple(_judge(table, once, judge, arms) for judge in instruments),
        retest=_retest(items),
        blinding=_blinding(items[items["first"] == ""], arms),
        items=items.drop(columns="cell"),
        ignored_columns=answers.ignored,
        sources=sources(study, arms) | _verdict_digests(study, arms, instruments),
    )


def _verdict_digests(study: Study, arms: Pair[str], instruments: list[str]) -> dict[str, str]:
    paths = [study.arm_path(arm) / "verdicts" / f"{name}.parquet" for arm in arms for name in instruments]
    return digests(study, paths)


def _items(
    sealed: dict[str, Any], answers: dict[str, Answer], table: pd.DataFrame, instruments: list[str]
) -> pd.DataFrame:
    """One row per item of the key, in the sheet's order, with what people and judges said."""
    rows = []
    for item in sealed["items"]:
        given = answers.get(item["item"], _NOT_ANSWERED)
        rows.append({**item, "label": given.label, "guess": given.guess, "comment": given.comment})
    columns = [label_column(name) for name in instruments]
    items = pd.DataFrame(rows).merge(table[[*STEP_KEY, *columns]], on=STEP_KEY, how="left", validate="m:1")
    counted = items[(items["first"] == "") & (items["label"] != "")].groupby("cell").size()
    sizes = pd.Series([cell["population"] for cell in sealed["cells"]])
    # a cell without answers has no weight; none of its items is used
    weights = (sizes / counted.reindex(sizes.index)).fillna(0.0)
    return items.assign(weight=items["cell"].map(weights))


def _uncovered(sealed: dict[str, Any], once: pd.DataFrame, arms: Pair[str]) -> Pair[int]:
    answered = set(once["cell"])
    left = [cell for number, cell in enumerate(sealed["cells"]) if number not in answered]
    return Pair(*(sum(cell["population"] for cell in left if cell["arm"] == arm) for arm in arms))


def _people_sums(once: pd.DataFrame, arms: Pair[str]) -> Pair[tuple[Floats, Floats]]:
    """Weighted errors and claims of each arm by question [questions]."""
    sums = []
    for arm in arms:
        weight = once["weight"].where(once.arm == arm, 0.0)
        wrong, claims = (
            weight.where(rows, 0.0) for rows in (once.label == "erroneous", once.label.isin(JUDGED))
        )
        sums.append((_by_question(wrong, once), _by_question(claims, once)))
    return Pair(*sums)


def _by_question(values: pd.Series, rows: pd.DataFrame) -> Floats:
    return np.asarray(values.groupby(rows["qid"].to_numpy()).sum(), dtype=np.float64)


def _judge(table: pd.DataFrame, once: pd.DataFrame, judge: str, arms: Pair[str]) -> JudgeOnSheet:
    column = label_column(judge)
    both = once[once[column] != ""]
    parts = []
    for arm in (*arms, "both"):
        rows = both if arm == "both" else both[both.arm == arm]
        decided = rows[rows.label.isin(JUDGED) & rows[column].isin(JUDGED)]
        parts.append(_with_people(arm, "four", rows, column, VERDICTS))
        parts.append(_with_people(arm, "two", decided, column, JUDGED))
    grouped = both.groupby(["arm", column, "label"])["weight"].agg(["size", "sum"]).reset_index()
    grouped.columns = pd.Index(["arm", "judge", "people", "n", "weight"])
    judged = table[table[column].isin(JUDGED)]
    rates = (float((judged.loc[judged.arm == arm, column] == "erroneous").mean()) for arm in arms)
    undecided = both[both[column].isin(JUDGED) & ~both.label.isin(JUDGED)]
    return JudgeOnSheet(
        instrument=judge,
        agreement=tuple(parts),
        counts=grouped,
        judged=Pair(*rates),
        design=_corrected(judged, once, column, arms, "design"),
        prediction=_corrected(judged, once, column, arms, "prediction"),
        left_out=Pair(*(int((undecided.arm == arm).sum()) for arm in arms)),
    )


def _corrected(
    judged: pd.DataFrame, once: pd.DataFrame, column: str, arms: Pair[str], method: Method
) -> Corrected:
    known = once[once.label.isin(JUDGED)][[*STEP_KEY, "label", "weight"]]
    rows = judged.merge(known, on=STEP_KEY, how="left", validate="1:1")
    truth = (rows["label"] == "erroneous").astype(float).where(rows["label"].notna())
    return corrected_difference(
        rows["qid"],
        rows["arm"] == arms[1],
        (rows[column] == "erroneous").astype(float),
        truth,
        rows["weight"].fillna(1.0),
        method=method,
    )


def _with_people(
    arm: str, labels: str, rows: pd.DataFrame, column: str, categories: tuple[str, ...]
) -> WithPeople:
    pair = rows[["label", column]]
    found = weighted_agreement(pair, rows["weight"], rows["qid"], categories=categories)
    return WithPeople(arm, labels, found.raw, found.kappa, found.ac1, found.n_steps)


def _retest(items: pd.DataFrame) -> Agreement | None:
    """The first against the second verdict of each step that was judged twice, unweighted."""
    said = dict(zip(items["item"], items["label"], strict=True))
    again = items[(items["first"] != "") & (items["label"] != "")]
    first = again["first"].map(said)
    pairs = pd.DataFrame({"first": first, "second": again["label"]})[first != ""]
    if pairs.empty:
        return None
    return agreement(pairs, again.loc[pairs.index, "qid"], categories=VERDICTS)


def _blinding(once: pd.DataFrame, arms: Pair[str]) -> Blinding:
    guessed = once[once["guess"] != ""]
    words = dict(zip(arms, ("before", "after"), strict=True))
    right = (guessed["guess"] == guessed["arm"].map(words)).astype(float)
    score = right - ((guessed["guess"] != "unsure") & (right == 0)).astype(float)
    columns = [
        _by_question(values, guessed)
        for own in (guessed["arm"] == arm for arm in arms)
        for values in (score.where(own, 0.0), own.astype(float))
    ]
    counts = guessed.groupby(["arm", "guess"]).size().reset_index(name="n")
    return Blinding(
        before=rate_interval(columns[0], columns[1]),
        after=rate_interval(columns[2], columns[3]),
        both=ratio_difference_interval(-columns[0] / 2, columns[1], columns[2] / 2, columns[3]),
        counts=counts,
    )


def write_result(study: Study, result: SheetResult) -> Path:
    """Write `results/sheet.json` of the study; a manifest that is there records it.

    Raises:
        StudyError: another process writes to the study, or it cannot be written.
    """
    name, said = "results/sheet.json", result.to_json()

    def write(work: Path) -> None:
        files.write_json(study.path / name, said)

    if not (study.path / MANIFEST).exists():  # tables put together by hand
        write(study.path)
        return study.path / name
    with locked(study.path):
        run_stages(
            study.path, [Stage("sheet", 1, {"key": content_key(said)}, (), (name,), write)], versions()
        )
    return study.path / name
