"""From a filled sheet and a study's verdicts to what they say together.

Each step on the sheet stands for the steps of its cell: its weight is the cell's steps in the study
over its steps that people answered. With every item answered that is one over the chance of being
drawn; with a sheet filled in part it still is, as the order is random inside cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.sheet.draw import FORMAT, sheet_name, sources
from mechcot.analyses.sheet.population import JUDGED, VERDICTS, label_column, population
from mechcot.analyses.sheet.read_back import Answer, read_filled
from mechcot.analyses.sheet.result import Blinding, JudgeOnSheet, SheetResult, WithPeople
from mechcot.core import files
from mechcot.core.errors import AnalysisError, DataError, StudyError
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Interval
from mechcot.stats.agreement import Agreement, agreement
from mechcot.stats.cluster import (
    Floats,
    bootstrap_ratio,
    bootstrap_ratio_difference,
    percentile_interval,
    resampled_sums,
)
from mechcot.stats.correction import Corrected, Method, corrected_difference

if TYPE_CHECKING:
    from mechcot.study.folder import Study

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
    sealed, name = _key(key)
    answers = read_filled(filled, name, {item["item"]: item for item in sealed["items"]})
    arms = (sealed["arms"][0], sealed["arms"][1])
    for file, digest in sources(study, arms).items():
        if sealed["sources"].get(file) != digest:
            raise StudyError(
                f"{study.path / file} is not the file that {key} was drawn from; the sheet's steps cannot be "
                "found in it. Name the study it belongs to, or draw a new sheet"
            )
    instruments = study.instruments()
    table = population(study, arms, sealed["domain"], instruments)
    items = _items(sealed, answers.answers, table, instruments)
    draws, seed = study.settings.analysis.bootstrap, study.settings.seed
    once = items[(items["first"] == "") & (items["label"] != "")]
    sums = _people_sums(once, arms)
    n_checked = tuple(int((once.arm == arm).sum()) for arm in arms)
    return SheetResult(
        sheet=name,
        arms=arms,
        domain=sealed["domain"],
        n_items=len(items),
        n_answered=int((items["label"] != "").sum()),
        n_absent=len(items) - len(answers.answers),
        n_checked=(n_checked[0], n_checked[1]),
        uncovered=_uncovered(sealed, once, arms),
        people_before=bootstrap_ratio(sums[:, 0], sums[:, 1], draws, seed),
        people_after=bootstrap_ratio(sums[:, 2], sums[:, 3], draws, seed),
        people_difference=bootstrap_ratio_difference(
            sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3], draws, seed
        ),
        judges=tuple(_judge(table, once, judge, arms, draws, seed) for judge in instruments),
        retest=_retest(items, draws, seed),
        blinding=_blinding(items[items["first"] == ""], arms, draws, seed),
        items=items.drop(columns="cell"),
        ignored=answers.ignored,
        sources=sources(study, arms) | _verdict_digests(study, arms, instruments),
        draws=draws,
        seed=seed,
    )


def _key(path: Path) -> tuple[dict[str, Any], str]:
    try:
        sealed = files.read_json(path)
    except DataError as error:
        raise DataError(f"{error}. Name the sheet's key (key.json) with --key") from error
    if not isinstance(sealed, dict) or sealed.get("format") != FORMAT:
        raise DataError(
            f"{path}: is no key of format {FORMAT}; name the key.json that was written with the sheet"
        )
    return sealed, sheet_name(path.read_bytes())


def _verdict_digests(study: Study, arms: tuple[str, str], instruments: list[str]) -> dict[str, str]:
    paths = [study.arm_path(arm) / "verdicts" / f"{name}.parquet" for arm in arms for name in instruments]
    return {path.relative_to(study.path).as_posix(): files.digest(path) for path in paths}


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


def _uncovered(sealed: dict[str, Any], once: pd.DataFrame, arms: tuple[str, str]) -> tuple[int, int]:
    answered = set(once["cell"])
    left = [cell for number, cell in enumerate(sealed["cells"]) if number not in answered]
    before, after = (sum(cell["population"] for cell in left if cell["arm"] == arm) for arm in arms)
    return before, after


def _people_sums(once: pd.DataFrame, arms: tuple[str, str]) -> Floats:
    """Weighted errors and claims by question: before, after, two columns each [questions, 4]."""
    columns = []
    for arm in arms:
        weight = once["weight"].where(once.arm == arm, 0.0)
        columns += [weight.where(once.label == "erroneous", 0.0), weight.where(once.label.isin(JUDGED), 0.0)]
    sums = pd.concat(columns, axis=1).groupby(once["qid"].to_numpy()).sum()
    return np.asarray(sums.to_numpy(dtype=np.float64))


def _judge(
    table: pd.DataFrame, once: pd.DataFrame, judge: str, arms: tuple[str, str], draws: int, seed: int
) -> JudgeOnSheet:
    column = label_column(judge)
    both = once[once[column] != ""]
    parts = []
    for arm in (*arms, "both"):
        rows = both if arm == "both" else both[both.arm == arm]
        decided = rows[rows.label.isin(JUDGED) & rows[column].isin(JUDGED)]
        parts.append(_with_people(arm, "four", rows, column, VERDICTS, draws, seed))
        parts.append(_with_people(arm, "two", decided, column, JUDGED, draws, seed))
    grouped = both.groupby(["arm", column, "label"])["weight"].agg(["size", "sum"]).reset_index()
    grouped.columns = pd.Index(["arm", "judge", "people", "n", "weight"])
    judged = table[table[column].isin(JUDGED)]
    rates = [float((judged.loc[judged.arm == arm, column] == "erroneous").mean()) for arm in arms]
    undecided = both[both[column].isin(JUDGED) & ~both.label.isin(JUDGED)]
    left_out = [int((undecided.arm == arm).sum()) for arm in arms]
    return JudgeOnSheet(
        instrument=judge,
        agreement=tuple(parts),
        table=grouped,
        judged=(rates[0], rates[1]),
        design=_corrected(judged, once, column, arms, "design"),
        prediction=_corrected(judged, once, column, arms, "prediction"),
        left_out=(left_out[0], left_out[1]),
    )


def _corrected(
    judged: pd.DataFrame, once: pd.DataFrame, column: str, arms: tuple[str, str], method: Method
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
    arm: str, labels: str, rows: pd.DataFrame, column: str, categories: tuple[str, ...], draws: int, seed: int
) -> WithPeople:
    raw, kappa, ac1 = weighted_agreement(
        rows["label"], rows[column], rows["weight"], rows["qid"], categories, draws=draws, seed=seed
    )
    return WithPeople(arm, labels, raw, kappa, ac1, len(rows))


def weighted_agreement(
    one: pd.Series,
    other: pd.Series,
    weights: pd.Series,
    questions: pd.Series,
    categories: tuple[str, ...],
    *,
    draws: int,
    seed: int,
) -> tuple[Interval, Interval, Interval]:
    """Raw agreement, Cohen's kappa and Gwet's AC1 of two raters, each step counting its weight.

    The coefficients are those of `stats.agreement` on the weighted table of the two; intervals
    resample questions.

    Args:
        one: labels [steps].
        other: labels [steps].
        weights: how many steps of the study each stands for [steps].
        questions: question of each step [steps].
        categories: all labels that could have been given.
        draws: bootstrap replicates.
        seed: of the resampling.

    Raises:
        AnalysisError: a label that is none of the categories.
    """
    k = len(categories)
    codes = [
        pd.Categorical(labels, categories=list(categories)).codes.astype(np.int64) for labels in (one, other)
    ]
    if any((code < 0).any() for code in codes):
        raise AnalysisError(f"labels other than {', '.join(categories)} cannot be compared")
    owner, names = pd.factorize(questions, sort=True)
    tables = np.zeros((len(names), k * k))
    np.add.at(tables, (owner, codes[0] * k + codes[1]), weights.to_numpy(dtype=np.float64))
    if not len(names):
        none = percentile_interval(None, np.full(draws, np.nan), 0, reason="no step has both labels")
        return none, none, none
    point = _coefficients(tables.sum(axis=0, keepdims=True), k)
    replicates = _coefficients(resampled_sums(tables, draws, seed), k)
    reason = "all labels fall in one category: chance alone would agree always"
    raw, kappa, ac1 = (
        percentile_interval(None if np.isnan(value[0]) else float(value[0]), drawn, len(names), reason=reason)
        for value, drawn in zip(point, replicates, strict=True)
    )
    return raw, kappa, ac1


def _coefficients(sums: Floats, k: int) -> tuple[Floats, Floats, Floats]:
    """Raw agreement, kappa and AC1 of each row of weighted tables [draws, k * k]; NaN where undefined."""
    shares = (sums / sums.sum(axis=1, keepdims=True)).reshape(-1, k, k)
    raw = np.trace(shares, axis1=1, axis2=2)
    rows, columns = shares.sum(axis=2), shares.sum(axis=1)
    pooled = (rows + columns) / 2
    chances = (rows * columns).sum(axis=1), (pooled * (1 - pooled)).sum(axis=1) / (k - 1)
    kappa, ac1 = (
        np.divide(raw - chance, 1 - chance, out=np.full(len(raw), np.nan), where=1 - chance > 1e-12)
        for chance in chances
    )
    return raw, kappa, ac1


def _retest(items: pd.DataFrame, draws: int, seed: int) -> Agreement | None:
    """The first against the second verdict of each step that was judged twice, unweighted."""
    said = dict(zip(items["item"], items["label"], strict=True))
    again = items[(items["first"] != "") & (items["label"] != "")]
    first = again["first"].map(said)
    pairs = pd.DataFrame({"first": first, "second": again["label"]})[first != ""]
    if pairs.empty:
        return None
    return agreement(pairs, again.loc[pairs.index, "qid"], draws=draws, seed=seed, categories=VERDICTS)


def _blinding(once: pd.DataFrame, arms: tuple[str, str], draws: int, seed: int) -> Blinding:
    guessed = once[once["guess"] != ""]
    words = dict(zip(arms, ("before", "after"), strict=True))
    right = (guessed["guess"] == guessed["arm"].map(words)).astype(float)
    score = right - ((guessed["guess"] != "unsure") & (right == 0)).astype(float)
    columns: list[npt.NDArray[np.float64]] = []
    for arm in arms:
        own = guessed["arm"] == arm
        sums = pd.concat([score.where(own, 0.0), own.astype(float)], axis=1)
        columns += list(sums.groupby(guessed["qid"].to_numpy()).sum().to_numpy(dtype=np.float64).T)
    counts = guessed.groupby(["arm", "guess"]).size().reset_index(name="n")
    return Blinding(
        before=bootstrap_ratio(columns[0], columns[1], draws, seed),
        after=bootstrap_ratio(columns[2], columns[3], draws, seed),
        both=bootstrap_ratio_difference(-columns[0] / 2, columns[1], columns[2] / 2, columns[3], draws, seed),
        counts=counts,
    )


def write_result(study: Study, result: SheetResult) -> Path:
    """Write `results/sheet.json` of the study."""
    path = study.path / "results" / "sheet.json"
    files.write_json(path, result.to_json())
    return path
