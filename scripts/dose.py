"""Dose: does the split go away as more of a student's training traces have steps that determine the answer?

    python scripts/dose.py --seeds 0 1 2 --studies DIR --write   # studies DIR/seed-N, made if not there

Of the organism's clinical training traces a share (the dose) makes only the claims that the answer follows
from, as the terse teacher writes them; the others are the rich teacher's, which add rationale, or, with
`--rest loose`, its rationale alone. Prompts, answers, chain traces and all else are alike, and a trace that
is coupled at one dose is so at every higher one. A study that is there takes the students between as arms.
docs/dose.json has an entry a seed, the block in docs/audit.md a row a seed and dose.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import mechcot
from mechcot import Study
from mechcot.core import records
from mechcot.core.config import read_yaml, resolve
from mechcot.core.results import Interval
from mechcot.core.settings import Settings
from mechcot.core.stages import run_stages, versions
from mechcot.core.training_settings import OrganismSettings
from mechcot.core.words import plain_signs, points
from mechcot.models.checkpoint import prepare_torch
from mechcot.pipeline.run import stages_of
from mechcot.study.writing import create_or_open, locked
from mechcot.tasks.base import Question
from mechcot.tasks.organism.checker import CORE, task
from mechcot.tasks.organism.questions import CLINICAL
from mechcot.tasks.organism.teacher import examples
from mechcot.tasks.organism.world import World, build_world

DOCS = Path(__file__).parent.parent / "docs"
DOSES = (0, 25, 50, 100)
RESTS = {"rich": "those claims and rationale", "loose": "rationale alone"}
"""What the traces hold that are not coupled."""
ENDS = {("rich", 0): "distilled", ("rich", 100): "terse", ("loose", 100): "terse"}
"""Students that every study of the organism has."""
STAGES = ("questions", "prompts", "pretrain", "distill-", "sample-", "steps-", "judge", "coupling")
"""Stages that the two changes need, by the beginnings of their names."""


def traces(world: World, rest: str, dose: int, organism: OrganismSettings, seed: int) -> pd.DataFrame:
    """Training traces, `dose` percent of the clinical ones coupled; rows of `records.EXAMPLES`."""
    n = organism.teacher_traces
    coupled, rich = (examples(world, name, organism, seed, n) for name in ("terse", "rich"))
    other = rich if rest == "rich" else loose(world, rich)
    keep = pd.Series([random.Random(f"dose {seed} {row}").random() * 100 < dose for row in range(n)])
    return pd.concat([coupled[keep], other[~keep]]).sort_index()


def loose(world: World, rich: pd.DataFrame) -> pd.DataFrame:
    """Rich traces without the claims that the answer follows from; those of chains stay as they are."""
    role, any_case = task(world).role, Question("", "", "", (), 0, "")
    made = rich.copy()
    for at, row in enumerate(records.rows(rich)):
        if not row.prompt.startswith("case"):
            continue
        steps = [
            f"{step.strip()} ." for step in row.completion[: row.answer_start].split(" .") if step.strip()
        ]
        kept = " ".join(step for step in steps if role(replace(any_case, stem=row.prompt), step) not in CORE)
        made.loc[at, "completion"] = f"{kept} {row.completion[row.answer_start :]}"
        made.loc[at, "answer_start"] = len(kept) + 1
    return made


def arm_of(rest: str, dose: int) -> str:
    """The student's name."""
    return ENDS.get((rest, dose), f"{rest}-{dose}")


def settings_of(folder: Path, preset: str, seed: int, rests: Sequence[str]) -> Settings:
    """The study of a seed with a student for each dose; their training traces are written beside it."""
    file = folder / f"seed-{seed}" / "study.yaml"
    own = read_yaml(file) if file.exists() else None
    plain = resolve(base=own, preset=preset, seed=seed)
    organism, told = plain.organism, []
    assert organism is not None
    world = build_world(organism, seed)
    for rest, dose in ((rest, dose) for rest in rests for dose in DOSES if (rest, dose) not in ENDS):
        arm, path = arm_of(rest, dose), folder / f"{rest}-{dose}-{seed}.parquet"
        records.write_table(path, traces(world, rest, dose, organism, seed), records.EXAMPLES)
        distill = {"base": "base", "examples": str(path), "train": {"device": "cpu"}}
        told += [f"arms.{arm}={json.dumps({'distill': distill})}", f"controls.{arm}={{after: {arm}}}"]
    return resolve(base=own, preset=preset, seed=seed, overrides=tuple(told))


def measured(folder: Path, preset: str, seed: int, rests: Sequence[str]) -> Study:
    """The study of a seed up to its verdicts; what is done stays."""
    folder.mkdir(parents=True, exist_ok=True)
    settings, path = settings_of(folder, preset, seed, rests), folder / f"seed-{seed}"
    with locked(path):
        study = create_or_open(path, settings, restarting=False)
        wanted = [stage for stage in stages_of(study, progress=False) if stage.name.startswith(STAGES)]
        run_stages(path, wanted, versions(), prepare=partial(prepare_torch, settings.threads))
    return study


def kept(study: Study, rests: Sequence[str]) -> dict[str, Any]:
    """What is committed of a seed: both changes of each student."""
    found = {point.after: point for point in mechcot.boundary([study]).points if point.domain == CLINICAL}
    rows = []
    for rest, dose in ((rest, dose) for rest in rests for dose in DOSES):
        point = found[arm_of(rest, dose)]
        rows.append({"rest": rest, "dose": dose, "answers": point.answers, "steps": point.steps})
        rows[-1] |= {"reads": point.reads, "n_questions": point.n_questions}
    settings = study.settings
    about = {"preset": settings.preset, "seed": settings.seed}
    return {**about, "margin": settings.confirmatory.smallest.steps, "points": plain(rows)}


def plain(value: Any) -> Any:
    """JSON values; of intervals what is not how they were made."""
    if isinstance(value, Interval):
        return {name: getattr(value, name) for name in ("estimate", "low", "high")}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def block(told: Sequence[Mapping[str, Any]]) -> str:
    """A row a seed, kind of rest and dose, and what the doses show."""
    head = ("seed", "the other traces", "coupled", "right answers", "wrong steps", "reads")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for own in told:
        for one in own["points"]:
            lines.append(
                f"| {own['seed']} | {RESTS[one['rest']]} | {one['dose']} % | {points(one['answers'])} | "
                f"{points(one['steps'])} | {one['reads']} |"
            )
    lines += ["", *(summary(told, rest) for rest in RESTS if any(row["rest"] == rest for row in every(told)))]
    return "\n".join(map(plain_signs, lines))


def every(told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The points of all seeds."""
    return [one for own in told for one in own["points"]]


def summary(told: Sequence[Mapping[str, Any]], rest: str) -> str:
    """At which doses there is a split, counted over seeds."""
    rows = [one for one in every(told) if one["rest"] == rest]
    counts = []
    for dose in DOSES:
        reads = [one["reads"] for one in rows if one["dose"] == dose]
        counts.append(f"{reads.count('split')} of {len(reads)} at {dose} %")
    return f"The other traces with {RESTS[rest]}: seeds with a split {', '.join(counts)}."


def main() -> None:
    """Measure the seeds asked for; print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[100])
    parser.add_argument("--preset", default="organism")
    parser.add_argument("--rest", nargs="+", choices=RESTS, default=["rich"], help="the other traces")
    parser.add_argument("--studies", type=Path, required=True, help="where the studies are, or are made")
    parser.add_argument("--write", action="store_true", help="put numbers and block into docs/")
    given = parser.parse_args()
    told = []
    for seed in given.seeds:
        study = measured(given.studies, given.preset, seed, given.rest)
        told.append(kept(study, given.rest))
        print(block(told[-1:]), flush=True)
    if given.write:
        (DOCS / "dose.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        page, marks = DOCS / "audit.md", r"(?s)(<!-- dose.py -->\n).*?(<!-- /dose.py -->)"
        page.write_text(re.sub(marks, lambda at: f"{at[1]}{block(told)}\n{at[2]}", page.read_text()))


if __name__ == "__main__":
    main()
