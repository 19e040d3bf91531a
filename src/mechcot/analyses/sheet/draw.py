"""Draw a blinded sheet: which steps people judge, with what chance, in what order, under which names.

Steps are drawn at random inside cells of arm, judge label and judge disagreement; the two arms get
half of the sheet each. Cells share an arm's half by the square root of their size: between
proportional shares, which serve the error rate best where the judge knows nothing, and equal ones,
which serve best what is said of the judge. Steps that the judge set aside (abstained, no claim) count
for a quarter.

The key says what each item is and one over its chance of being drawn. The sheet carries the key's
digest and nothing else that leads back to an arm, a judge or a question's id.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mechcot.analyses.handed_out.key import digests, key_text, random_ids, refuse_existing, sealed_name
from mechcot.analyses.sheet.page import Item, sheet_csv, sheet_html
from mechcot.analyses.sheet.population import JUDGED, Cell, cells, population
from mechcot.analyses.sheet.power import Power, power_of
from mechcot.core import files, records
from mechcot.core.errors import UsageError
from mechcot.core.manifest import HANDED_OUT
from mechcot.core.records import STEP_KEY
from mechcot.core.results import Pair
from mechcot.core.words import aligned
from mechcot.stats.cluster import Floats, Ints
from mechcot.study.writing import write_beside
from mechcot.tasks import Question, question_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

FORMAT = 1
FILES = ("sheet.csv", "sheet.html", "key.json")
_SET_ASIDE = 0.25
_FLOOR = 2  # without two checked steps of a label, nothing is known of its spread
CellKey = tuple[str, str, bool]


@dataclass(frozen=True)
class Draw:
    """A sheet before it is written.

    Attributes:
        power: what it can see.
        cells: of the draw; every one has a step on the sheet.
        items: one row per item in the sheet's order: `item` (its id), the step key, `text`,
            `complete`, `cell` (row of `cells`) and `first`, for a repeat the id of the item that it
            repeats, else "".
        instruments: whose labels were known, the one that sorted the steps first.
        arms: before and after.
        domain: of the questions; None: all of them.
        seed: of the draw.
        n_without_verdict: steps that the first instrument gave no verdict on; none is drawn.
    """

    power: Power
    cells: tuple[Cell, ...]
    items: pd.DataFrame
    instruments: tuple[str, ...]
    arms: Pair[str]
    domain: str | None
    seed: int
    n_without_verdict: int

    def text(self) -> str:
        """What it can see, and its cells, for a terminal."""
        rows: list[tuple[str, ...]] = [("arm", "judge says", "judges", "steps", "on the sheet", "each for")]
        for cell in self.cells:
            judges = "differ" if cell.disputed else "agree" if len(self.instruments) > 1 else "one"
            counts = (f"{cell.population:,}", f"{cell.drawn:,}", f"{cell.weight:.1f}")
            rows.append((cell.arm, cell.label, judges, *counts))
        repeats = int((self.items["first"] != "").sum())
        lines = [self.power.text(), "", *aligned(rows), f"{repeats} of the steps stand there twice."]
        if self.n_without_verdict:
            lines.append(
                f"{self.n_without_verdict:,} steps have no verdict of {self.instruments[0]}; none is drawn."
            )
        return "\n".join(lines)


def draw_steps(study: Study, steps: int, *, repeat: int = 30, seed: int | None = None) -> Draw:
    """Choose a sheet's steps, and say what they can see; writes nothing.

    Args:
        study: with verdicts of both arms of its contrast.
        steps: different steps on the sheet, both arms together.
        repeat: how many of them stand on it twice; the second time in the last third, the first
            time in the first.
        seed: of the draw; the study's by default.

    Raises:
        UsageError: too few or too many steps or repeats.
        AnalysisError: nothing was judged.
    """
    contrast = study.settings.contrast
    seed = study.settings.seed if seed is None else seed
    arms = Pair(contrast.before, contrast.after)
    instruments = study.instruments()
    table = population(study, arms, contrast.domain, instruments)
    sorted_into = cells(table, instruments)
    if not 0 <= repeat <= steps // 3:
        raise UsageError(
            f"repeat must lie in 0..{steps // 3} (a third of {steps} steps), not {repeat}; set --repeat"
        )

    members = _members(sorted_into)
    shares = _shares(members, arms, steps)
    rng = np.random.default_rng([seed, steps, repeat])
    found, drawn = [], []
    for key, rows in members.items():
        found.append(Cell(*key, population=len(rows), drawn=shares[key]))
        drawn.append(rng.choice(rows, size=shares[key], replace=False))
    chosen = table.loc[np.concatenate(drawn), [*STEP_KEY, "text", "complete"]]
    chosen = chosen.assign(cell=np.repeat(np.arange(len(found)), [len(rows) for rows in drawn]))
    return Draw(
        power=power_of(table, sorted_into, found, arms),
        cells=tuple(found),
        items=_ordered(chosen, repeat, rng),
        instruments=tuple(instruments),
        arms=arms,
        domain=contrast.domain,
        seed=seed,
        n_without_verdict=int((sorted_into.label == "").sum()),
    )


def write_sheet(study: Study, drawn: Draw, out: Path, *, answer_blind: bool = False) -> Path:
    """Write `sheet.csv`, `sheet.html` and the sealed `key.json` into a folder.

    The study that it lies in records page and key, and not the table, which people may fill where it is.

    Args:
        study: that the steps were drawn from.
        drawn: the draw.
        out: the folder.
        answer_blind: leave the right answer out.

    Returns:
        The folder.

    Raises:
        StudyError: a sheet lies there already.
    """
    write_beside(
        out,
        ("key.json", "sheet.html"),
        lambda: write_files(study, drawn, out, answer_blind=answer_blind),
        kind=HANDED_OUT,
    )
    return out


def write_files(study: Study, drawn: Draw, out: Path, *, answer_blind: bool) -> None:
    """Write the files of a sheet, which nobody records here; see `write_sheet`."""
    refuse_existing(out, FILES, "a sheet")
    key = key_text(_key(study, drawn, answer_blind))
    name = sealed_name("sheet", key.encode())
    items = _shown(study, drawn, answer_blind)

    files.write_text(out / "key.json", key)
    files.write_text(out / "sheet.html", sheet_html(name, items))
    files.write_text(out / "sheet.csv", sheet_csv(name, items))


def sources(study: Study, arms: Pair[str]) -> dict[str, str]:
    """Digests of the tables that a sheet's steps and questions come from."""
    paths = [study.path / "questions.parquet", *(study.arm_path(arm) / "steps.parquet" for arm in arms)]
    return digests(study, paths)


def _members(sorted_into: pd.DataFrame) -> dict[CellKey, Ints]:
    """Rows of the population in each cell, cells in a fixed order."""
    inside = sorted_into[sorted_into.label != ""]
    keys = [(str(row.arm), str(row.label), bool(row.disputed)) for row in records.rows(inside)]
    numbers, found = pd.factorize(pd.Series(keys, dtype=object), sort=True)
    return {key: inside.index.to_numpy(dtype=np.int64)[numbers == n] for n, key in enumerate(found)}


def _shares(members: dict[CellKey, Ints], arms: tuple[str, str], steps: int) -> dict[CellKey, int]:
    """How many steps each cell gives, by the cell's key."""
    shares: dict[CellKey, int] = {}
    for number, arm in enumerate(arms):
        own = [key for key in members if key[0] == arm]
        if not any(key[1] in JUDGED for key in own):
            raise UsageError(f"no step of {arm} was judged correct or erroneous; there is nothing to compare")
        sizes = np.array([len(members[key]) for key in own])
        scores = np.sqrt(sizes) * [1.0 if key[1] in JUDGED else _SET_ASIDE for key in own]
        budget = steps // 2 + (steps % 2 if number == 0 else 0)
        least = int(np.minimum(sizes, _FLOOR).sum())
        if not least <= budget <= sizes.sum():
            raise UsageError(
                f"{steps} steps give {arm} {budget}; it has {sizes.sum()} steps with a verdict, and at least "
                f"{least} of them are needed. Ask for {2 * least} to {2 * int(sizes.sum())} steps"
            )
        shares |= dict(zip(own, _allocate(sizes, scores, budget), strict=True))
    return shares


def _allocate(sizes: npt.NDArray[np.int64], scores: Floats, budget: int) -> list[int]:
    """Split a budget by scores, at least `_FLOOR` each and no more than there are (Sainte-Laguë)."""
    given = np.minimum(sizes, _FLOOR)
    while given.sum() < budget:
        given[np.argmax(np.where(given < sizes, scores / (given + 0.5), -1.0))] += 1
    return [int(n) for n in given]


def _ordered(chosen: pd.DataFrame, repeat: int, rng: np.random.Generator) -> pd.DataFrame:
    """The chosen steps in random order, repeats among the last third, each with an id."""
    n = len(chosen)
    order = rng.permutation(n)
    third = n // 3
    again = rng.choice(third, size=repeat, replace=False)  # places in the first third
    tail = np.concatenate([np.arange(n - third, n), again])
    places = np.concatenate([np.arange(n - third), rng.permutation(tail)])
    ids = random_ids(len(places), rng)
    seen: dict[int, str] = {}
    firsts = []
    for place, name in zip(places, ids, strict=True):
        firsts.append(seen.get(int(place), ""))
        seen.setdefault(int(place), name)
    return chosen.iloc[order[places]].assign(item=ids, first=firsts).reset_index(drop=True)


def _key(study: Study, drawn: Draw, answer_blind: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "arms": list(drawn.arms),
        "domain": drawn.domain,
        "instruments": list(drawn.instruments),
        "seed": drawn.seed,
        "answer_shown": not answer_blind,
        "sources": sources(study, drawn.arms),
        "cells": [{**asdict(cell), "weight": cell.weight} for cell in drawn.cells],
        "items": drawn.items[["item", *STEP_KEY, "cell", "first"]].to_dict("records"),
    }


def _answers(question: Question, answer_blind: bool) -> dict[str, Any]:
    """A question's options and which is right; of an open one only the right answer, if anything."""
    if question.open:
        right = question.options[question.gold]
        return {"options": () if answer_blind else (right,), "right": None if answer_blind else 0}
    return {"options": question.options, "right": None if answer_blind else question.gold}


def _shown(study: Study, drawn: Draw, answer_blind: bool) -> list[Item]:
    """What the sheet shows of each item."""
    questions = {row.qid: question_of(row) for row in records.rows(study.questions(drawn.domain))}
    steps = pd.concat([study.steps(arm) for arm in drawn.arms])
    traces = records.rows_by_key(steps.sort_values("sid", kind="stable"), records.TRACE_KEY)
    return [
        Item(
            name=row.item,
            stem=questions[row.qid].stem,
            **_answers(questions[row.qid], answer_blind),
            previous=tuple(s.text for s in traces[row.qid, row.arm, row.cid] if s.sid < row.sid),
            text=row.text,
            complete=bool(row.complete),
        )
        for row in records.rows(drawn.items)
    ]
