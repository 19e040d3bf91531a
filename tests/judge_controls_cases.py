"""Judged items of made-up judge controls, every effect planted."""

from __future__ import annotations

import numpy as np
import pandas as pd

ARMS = ("base", "distilled")
ERROR = {"base": 0.2, "distilled": 0.5}
HIT = {"base": 0.9, "distilled": 0.75}
"""How often a false decoy is called erroneous."""
PASS = {"base": 0.95, "distilled": 0.9}
MANNER, DRIFT = 0.12, 0.03
"""What the manner of the arm after, and rewriting itself, add to the chance of being called erroneous."""
COLUMNS = [
    *("control", "variant", "qid", "arm", "cid", "sid"),
    *("text", "n_words", "label", "reason", "fidelity", "score"),
]


def questions(n: int) -> pd.DataFrame:
    return pd.DataFrame({"qid": [f"q{i:04d}" for i in range(n)], "options": [["a", "b", "c"]] * n, "gold": 0})


def traces(arm: str, right: np.ndarray, n_traces: int = 4, seed: int = 0) -> pd.DataFrame:
    """Traces that answer rightly with the chance given for each question."""
    rng = np.random.default_rng(seed)
    rows = [
        {"qid": f"q{q:04d}", "arm": arm, "cid": c, "answer": 0 if rng.random() < p else 1}
        for q, p in enumerate(right)
        for c in range(n_traces)
    ]
    return pd.DataFrame(rows)


def rows(control: str, variant: str, keys: pd.DataFrame, label, fidelity="", score=None) -> pd.DataFrame:
    """Items of one control on steps with these keys."""
    return keys.assign(
        control=control, variant=variant, text="x", n_words=4, label=label, reason="",
        fidelity=fidelity, score=np.nan if score is None else score,
    )[COLUMNS]  # fmt: skip


def steps(n: int, size: int = 8) -> pd.DataFrame:
    """Keys of one trace a question and arm."""
    parts = [
        {"qid": f"q{q:04d}", "arm": arm, "cid": 0, "sid": sid}
        for arm in ARMS
        for q in range(n)
        for sid in range(size)
    ]
    return pd.DataFrame(parts)


def said(wrong: np.ndarray) -> np.ndarray:
    return np.where(wrong, "erroneous", "correct").astype(object)


def planted(n: int = 150, seed: int = 0, name: str = "") -> pd.DataFrame:
    """Every control there is, on `n` questions; `name` replaces the text of every item."""
    rng = np.random.default_rng(seed)
    keys = steps(n)
    late = (keys["arm"] == ARMS[1]).to_numpy()
    hard = rng.normal(size=n)[keys["qid"].str[1:].astype(int)]
    base = np.where(late, ERROR["distilled"], ERROR["base"])
    wrong = rng.random(len(keys)) < np.clip(base + 0.08 * hard, 0.01, 0.99)
    label = said(wrong)
    label[keys["sid"] == 0] = "not_checkable"
    label[rng.random(len(keys)) < 0.03] = "abstain"

    def flipped(share: float) -> np.ndarray:
        turn = (rng.random(len(keys)) < share) & np.isin(label, ["correct", "erroneous"])
        return np.where(turn, said(label == "correct"), label).astype(object)

    blind = np.where(late & wrong & (rng.random(len(keys)) < 0.3), "correct", label).astype(object)
    failed = flipped(0.04)
    failed[5] = "api_failure"
    parts = [
        rows("primary", "", keys, label),
        rows("again", "", keys, failed),
        rows("again-warm", "", keys, flipped(0.1)),
        rows("answer-blind", "", keys, blind),
        rows("factor:tone", "", keys, label),
        rows("factor:previous", "", keys, flipped(0.06)),
        rows("segment:sentences", "", (cut := steps(n, 5)), said(_chance(cut, rng) < 0.05)),
    ]
    for variant in ("own", "other"):
        manner = late if variant == "own" else ~late
        called = rng.random(len(keys)) < base + DRIFT + MANNER * manner
        kinds = rng.choice(
            ["preserved", "changed", "uncertain", "failed"], len(keys), p=[0.85, 0.08, 0.05, 0.02]
        )
        parts.append(rows("tone-swap", variant, keys, np.where(kinds == "failed", "", said(called)), kinds))
    pairs = keys[keys["sid"].isin([2, 4])]
    for variant, more in (("hedged", 0.1), ("plain", 0.0)):
        risk = base[pairs.index] + more * (pairs["arm"] == ARMS[1])
        parts.append(rows("hedge-flip", variant, pairs, said(rng.random(len(pairs)) < risk)))
    for truth, chance in (("false", HIT), ("true", {arm: 1 - rate for arm, rate in PASS.items()})):
        own = keys[keys["sid"] < 3]
        called = said(rng.random(len(own)) < own["arm"].map(chance))
        called[rng.random(len(own)) < 0.05] = "abstain"
        parts.append(rows("decoy", truth, own, called))
    guess = keys[keys["sid"] < 2]
    score = np.clip(0.5 + 0.15 * (guess["arm"] == ARMS[1]) + 0.2 * rng.normal(size=len(guess)), 0, 1)
    parts.append(rows("guess-arm", "", guess, "", score=score.where(rng.random(len(guess)) > 0.01)))
    items = pd.concat(parts, ignore_index=True)
    return items.assign(text=name) if name else items


def _chance(keys: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Below 0.05 with the chance that a step of the arm is wrong."""
    return rng.random(len(keys)) * 0.05 / keys["arm"].map(ERROR).to_numpy()
