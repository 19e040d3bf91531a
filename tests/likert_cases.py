"""A study with traces of four types on disk, and participants whose ratings have planted effects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mechcot.analyses.likert.draw import Draw
from mechcot.analyses.likert.page import COLUMNS
from mechcot.analyses.likert.scales import INTERPRETABILITY
from mechcot.core import config, records
from mechcot.core.records import rows
from mechcot.stats.rating_draws import Plan, Shares, draw_ratings
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open

ARMS = ("base", "distilled", "correct", "summary")
RIGHT = {"base": 0.3, "distilled": 0.7, "correct": 0.6, "summary": 0.5}
EFFECTS = np.array([0.0, -1.2, 0.8, 0.0])
LOAD = np.array([0.0, 1.0, 0.0, 0.0])
MARGINAL = np.array([0.05, 0.1, 0.2, 0.4, 0.25])


def build(folder: Path, *, questions: int = 40, texts: tuple[str, ...] = (), seed: int = 0) -> Study:
    """The study; question 0 has no finished trace of `summary`."""
    given = (f"arms.{arm}.traces=terse" for arm in ARMS[2:])
    settings = config.resolve(preset="organism-small", overrides=("analysis.bootstrap=200", *given))
    study = create_or_open(folder, settings, restarting=False)
    asked = [
        {
            "qid": f"clinical-{i:03d}", "domain": "clinical", "stem": f"case number {i}",
            "options": [f"option {o}" for o in "WXYZ"], "gold": i % 4, "group": f"g{i}", "stratum": "",
        }
        for i in range(questions)
    ]  # fmt: skip
    records.write_table(folder / "questions.parquet", asked, records.QUESTIONS)
    rng = np.random.default_rng(seed)
    for arm in ARMS:
        traces = [_trace(arm, q, cid, rng, texts) for q in range(questions) for cid in range(2)]
        records.write_table(study.arm_path(arm) / "traces.parquet", traces, records.TRACES)
    return study


def _trace(arm: str, q: int, cid: int, rng: np.random.Generator, texts: tuple[str, ...]) -> dict:
    right = rng.random() < RIGHT[arm]
    text = texts[q % len(texts)] if texts else f"The {arm} line {cid} on case {q}: so it is."
    return {
        "qid": f"clinical-{q:03d}", "arm": arm, "cid": cid, "text": text, "prompt_ids": [], "token_ids": [],
        "token_start": [], "token_end": [],
        "finish_reason": "length" if arm == "summary" and q == 0 else "stop",
        "sum_logprob": None, "reasoning_end": len(text), "answer": (q + (0 if right else 1)) % 4,
        "answer_rule": "", "answer_start": -1, "answer_end": -1,
    }  # fmt: skip


def fill(drawn: Draw, form: str, *, seed: int = 0, shares: Shares | None = None) -> pd.DataFrame:
    """What participants export, all in one table: planted effects, every check answered rightly."""
    sheets = drawn.sheets
    qid = sheets.item.map(drawn.items.set_index("item").qid)
    plan = Plan(
        pd.factorize(sheets.participant)[0],
        pd.Categorical(sheets.arm, drawn.arms).codes.astype(int),
        pd.factorize(qid)[0],
    )
    rng = np.random.default_rng(seed)
    shares = shares or Shares()
    three = draw_ratings(
        plan, EFFECTS[: len(drawn.arms)], shares, MARGINAL, rng, scales=len(INTERPRETABILITY)
    )
    load = draw_ratings(plan, LOAD[: len(drawn.arms)], shares, MARGINAL, rng)
    values = np.concatenate([three.value, load.value]).reshape(4, -1) + 1
    table = pd.DataFrame(
        {
            "form": form,
            "participant": sheets.participant,
            "item": sheets.item,
            "consent": "yes",
            **dict(zip(COLUMNS[4:8], values.astype(str), strict=True)),
            "check": ["" if not row.check else str(row.check) for row in rows(sheets)],
        }
    )
    return table[list(COLUMNS)]
