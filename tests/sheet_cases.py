"""A small judged study on disk: two arms whose true errors are known, judges that err as they are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mechcot.core import config, records
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open

RATES = {"base": 0.2, "distilled": 0.45}


@dataclass(frozen=True)
class Judge:
    """How often a judge calls a true error erroneous, and a correct step erroneous, by arm."""

    hits: dict[str, float]
    alarms: dict[str, float]


EXACT = Judge({"base": 1.0, "distilled": 1.0}, {"base": 0.0, "distilled": 0.0})
BIASED = Judge({"base": 0.95, "distilled": 0.7}, {"base": 0.25, "distilled": 0.05})


def build(
    folder: Path,
    judges: dict[str, Judge] | None = None,
    *,
    questions: int = 60,
    seed: int = 0,
    texts: tuple[str, ...] = (),
) -> tuple[Study, pd.Series]:
    """Make the study; `exact` is its own judge.

    Returns:
        The study, and the true label of every step by its key.
    """
    settings = config.resolve(preset="organism-small", overrides=("analysis.bootstrap=200",))
    study = create_or_open(folder, settings, restarting=False)
    rng = np.random.default_rng(seed)
    asked = [
        {
            "qid": f"clinical-{i:03d}", "domain": "clinical", "stem": f"case number {i}",
            "options": [f"option {o}" for o in "WXYZ"], "gold": i % 4, "group": f"g{i}", "stratum": "",
        }
        for i in range(questions)
    ]  # fmt: skip
    records.write_table(folder / "questions.parquet", asked, records.QUESTIONS)
    truths = []
    for arm, rate in RATES.items():
        hard = rng.beta(4 * rate, 4 * (1 - rate), size=questions)  # questions differ in difficulty
        steps = [
            _step(f"clinical-{q:03d}", arm, cid, sid, texts) for q in range(questions) for cid in range(3)
            for sid in range(6)
        ]  # fmt: skip
        wrong = rng.random(len(steps)) < hard[[int(step["qid"][-3:]) for step in steps]]
        truth = np.where(
            [step["sid"] == 0 for step in steps], "not_checkable", np.where(wrong, "erroneous", "correct")
        )
        records.write_table(study.arm_path(arm) / "steps.parquet", steps, records.STEPS)
        keys = pd.DataFrame(steps)[records.STEP_KEY]
        truths.append(pd.Series(truth, index=pd.MultiIndex.from_frame(keys)))
        for name, judge in (judges or {"exact": EXACT}).items():
            chance = np.where(truth == "erroneous", judge.hits[arm], judge.alarms[arm])
            said = np.where(rng.random(len(steps)) < chance, "erroneous", "correct")
            label = np.where(truth == "not_checkable", truth, said)
            verdicts = keys.assign(instrument=name, label=label, reason="")
            path = study.arm_path(arm) / "verdicts" / f"{name}.parquet"
            records.write_table(path, verdicts, records.VERDICTS)
    return study, pd.concat(truths)


def _step(qid: str, arm: str, cid: int, sid: int, texts: tuple[str, ...]) -> dict:
    text = texts[sid % len(texts)] if texts else f"claim {sid} of sample {cid}"
    return {
        "qid": qid, "arm": arm, "cid": cid, "sid": sid, "text": text, "char_start": 0, "char_end": 1,
        "tok_start": 0, "tok_end": 1, "straddles": False, "complete": sid < 5, "role": "fact",
        "states_answer": False, "n_words": 4,
    }  # fmt: skip
