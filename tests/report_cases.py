"""A made-up study on disk whose results the real analyses compute; nothing is trained.

The tables have the study's own schemas, the activations are a store of the real format, and
`results/*.json` come out of the pipeline's own analysis stages. Only what models would have written is
invented: which answers are right, which steps are wrong, what is hedged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import shared
from mechcot.analyses.registry import results
from mechcot.core import config, files, records
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.report import write_report
from mechcot.study.activations import finish_store, tensor_name, write_shard
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open

VERSIONS = {"torch": "2", "mechcot": "0.1"}
LAYERS, WIDTH, N_OPTIONS, READ = 3, 8, 4, 2
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "{{ 7*7 }} {% raw %}",
    "${alert(3)} `x` <!-- ",
    "\u202egnp.exe & \"quoted\" 'single'",
)


@dataclass(frozen=True)
class Arm:
    """How an invented arm behaves: shares of right answers, wrong steps, hedged claims; kinds of step."""

    right: float
    error: float
    hedged: float
    kinds: tuple[str, ...]


BASE = Arm(0.5, 0.15, 0.4, ("plan", "find", "drug"))
RICH = Arm(0.95, 0.4, 0.0, ("plan", "find", "drug", "fact", "fact"))
TERSE = Arm(0.95, 0.05, 0.0, ("plan", "find", "drug"))


@dataclass(frozen=True)
class Case:
    """What a study is made of.

    Attributes:
        arms: name to behaviour.
        overrides: settings.
        questions: in the headline's domain; the chain control has a third of them.
        claims: whether the task reads claims (without, hedge and knowledge have only a reason).
        hostile: whether model text, options, kinds and relations are hostile.
    """

    arms: dict[str, Arm] = field(default_factory=lambda: {"base": BASE, "distilled": RICH, "terse": TERSE})
    overrides: tuple[str, ...] = ()
    questions: int = 24
    claims: bool = True
    hostile: bool = False


def build(folder: Path, case: Case | None = None, *, seed: int = 0) -> Study:
    """Make the study: settings, tables, readings and results; the report is not written."""
    case = case or Case()
    settings = config.resolve(
        preset="organism-small",
        overrides=(
            "analysis.bootstrap=100", "analysis.permutations=2", "analysis.folds=2", "sampling.samples=3",
            "steps.segmenter=lines", f"reading.traces_per_question={READ}", *case.overrides,
        ),
    )  # fmt: skip
    study = create_or_open(folder, settings, restarting=False)
    rng = np.random.default_rng(seed)
    questions = _questions(case)
    records.write_table(folder / "questions.parquet", questions, records.QUESTIONS)
    arms = case.arms | {name: TERSE for name in settings.arms if name not in case.arms}
    tables = {name: _arm_tables(name, arm, questions, case, rng) for name, arm in arms.items()}
    for name, (traces, steps, verdicts, claims) in tables.items():
        path = study.arm_path(name)
        records.write_table(path / "traces.parquet", traces, records.TRACES)
        records.write_table(path / "steps.parquet", steps, records.STEPS)
        records.write_table(path / "verdicts" / "exact.parquet", verdicts, records.VERDICTS)
        records.write_table(path / "claims.parquet", claims, records.CLAIMS)
    pair = (settings.contrast.before, settings.contrast.after)
    for author in pair:
        for reader in pair:
            _reading(study, author, reader, tables[author], rng)
    stages = {stage.name: stage for stage in pipeline.stages_of(study, progress=False)}
    for name in results():
        stages[name].run(folder / "work" / name)
    return study


def ordinary(factory: pytest.TempPathFactory) -> Study:
    """The study of the default case, built once for all test files and workers; only ever read."""
    with shared(factory, "ordinary") as folder:
        if not (folder / "report.html").exists():  # the last file that is written
            write_report(build(folder), VERSIONS)
        return Study.open(folder)


def said(case: Case, text: str, number: int) -> str:
    """A text of the study, hostile where the case asks for it."""
    return f"{text} {HOSTILE[number % len(HOSTILE)]}" if case.hostile else text


def _questions(case: Case) -> list[dict]:
    counts = {"clinical": case.questions, "chain": case.questions // 3}
    return [
        {
            "qid": f"{domain}-{i:03d}", "domain": domain, "stem": said(case, f"case {i}", i),
            "options": [said(case, f"option{i}.{o}", i + o) for o in range(N_OPTIONS)], "gold": i % N_OPTIONS,
            "group": f"{domain}-g{i}", "stratum": "",
        }
        for domain, n in counts.items()
        for i in range(n)
    ]  # fmt: skip


def _arm_tables(name: str, arm: Arm, questions: list[dict], case: Case, rng: np.random.Generator) -> tuple:
    traces, steps, verdicts, claims = [], [], [], []
    for question in questions:
        for cid in range(3):
            key = {"qid": question["qid"], "arm": name, "cid": cid}
            right = rng.random() < arm.right
            answer = question["gold"] if right else (question["gold"] + 1) % N_OPTIONS
            if rng.random() < 0.03:
                answer = -1
            own = [_step(key, sid, kind, arm, case, rng) for sid, kind in enumerate(arm.kinds)]
            steps += [row for row, _, _ in own]
            verdicts += [row for _, row, _ in own]
            claims += [row for _, _, row in own if row is not None and case.claims]
            traces.append(_trace(key, own, answer))
    return traces, steps, verdicts, claims


def _step(key: dict, sid: int, kind: str, arm: Arm, case: Case, rng: np.random.Generator) -> tuple:
    wrong, hedged = rng.random() < arm.error * (1.5 if kind == "fact" else 1), rng.random() < arm.hedged
    text = said(case, f"{kind} {sid} of {key['qid']}", sid)
    role = said(case, kind, sid) if case.hostile and kind == "fact" else kind
    where = {"char_start": 0, "char_end": 0, "tok_start": 4 * sid, "tok_end": 4 * sid + 4}
    step = {
        **key, **where, "sid": sid, "text": text, "straddles": False, "complete": True, "role": role,
        "states_answer": False, "n_words": 4,
    }  # fmt: skip
    checkable = kind != "plan"
    label = ("erroneous" if wrong else "correct") if checkable else "not_checkable"
    reason = said(case, "the truth is otherwise", sid)
    verdict = {**key, "sid": sid, "instrument": "exact", "label": label, "reason": reason}
    claim = {
        **key, "sid": sid, "relation": said(case, kind, sid), "subject": "s", "object": f"o{rng.integers(6)}",
        "hedged": bool(hedged), "truth": ["o0"], "stratum": "", "tok_decision": 4 * sid,
        "tok_object": 4 * sid + 2,
    }  # fmt: skip
    return step, verdict, claim if checkable else None


def _trace(key: dict, own: list, answer: int) -> dict:
    n = 4 * len(own) + 2
    start = 0
    for step, _, _ in own:  # a line each
        step["char_start"], step["char_end"] = start, start + len(step["text"].rstrip())
        start += len(step["text"]) + 1
    text = "\n".join(step["text"] for step, _, _ in own)
    return {
        **key, "text": text, "prompt_ids": [1, 2, 3], "token_ids": list(range(n)), "token_start": [0] * n,
        "token_end": [1] * n, "finish_reason": "stop", "sum_logprob": -1.0, "reasoning_end": len(text),
        "answer": answer, "answer_rule": "text" if answer >= 0 else "not_an_option",
        "answer_start": -1 if answer >= 0 else 0, "answer_end": -1 if answer >= 0 else 4,
    }  # fmt: skip


def _reading(study: Study, author: str, reader: str, tables: tuple, rng: np.random.Generator) -> None:
    """Forced answers that grow sure, signals that rise on wrong steps, activations that carry both."""
    traces, steps, verdicts, claims = tables
    read = [row for row in traces if row["cid"] < READ and row["qid"].startswith("clinical")]
    keys = {(row["qid"], row["cid"]) for row in read}
    wrong = {(v["qid"], v["cid"], v["sid"]): v["label"] == "erroneous" for v in verdicts}
    hedged = {(c["qid"], c["cid"], c["sid"]): c["hedged"] for c in claims}
    kept = [row for row in steps if (row["qid"], row["cid"]) in keys]
    forced, signals = [], []
    for trace in read:
        own = [row for row in kept if (row["qid"], row["cid"]) == (trace["qid"], trace["cid"])]
        forced += _forced(trace, len(own), reader, rng)
        surprisal = rng.gamma(1.0, 0.4, len(trace["token_ids"]))
        for row in own:
            if wrong[row["qid"], row["cid"], row["sid"]]:
                surprisal[row["tok_start"] : row["tok_end"]] += 1.0
        key = {name: trace[name] for name in ("qid", "arm", "cid")}
        signals.append({**key, "reader": reader, "entropy": surprisal * 0.8, "surprisal": surprisal})
    path = study.reading_path(author, reader)
    records.write_table(path / "forced.parquet", forced, records.FORCED)
    records.write_table(path / "signals.parquet", signals, records.SIGNALS)
    truth = [_truth(row, reader, rng) for row in claims if (row["qid"], row["cid"]) in keys]
    records.write_table(path / "truth.parquet", truth, records.TRUTH)
    digest = files.digest(study.arm_path(author) / "steps.parquet")
    _activations(path / "activations", kept, wrong, hedged, reader, digest, rng)


def _forced(trace: dict, n_steps: int, reader: str, rng: np.random.Generator) -> list[dict]:
    rows = []
    for k in range(n_steps + 1):
        p = rng.dirichlet(np.where(np.arange(N_OPTIONS) == trace["answer"], 1.0 + 2 * k, 1.0))
        key = {name: trace[name] for name in ("qid", "arm", "cid")}
        rows.append(
            {
                **key, "k": k, "reader": reader, "lead_in": 0, "permutation": 0, "layer": -1,
                "logp": np.log(p), "n_tokens": [1] * N_OPTIONS, "p": p, "p_norm": p, "p_prior": None,
                "raw_mass": 0.6, "entropy": float(-(p * np.log(p)).sum()),
            }
        )  # fmt: skip
    return rows


def _truth(claim: dict, reader: str, rng: np.random.Generator) -> dict:
    rank = int(rng.integers(1, 4))
    key = {name: claim[name] for name in ("qid", "arm", "cid", "sid")}
    return {
        **key, "reader": reader, "p_truth": 0.5 / rank, "rank_truth": rank, "p_said": 0.3, "rank_said": 1,
        "entropy": 1.0,
    }  # fmt: skip


def _activations(
    path: Path, steps: list, wrong: dict, hedged: dict, reader: str, digest: str, rng: np.random.Generator
) -> None:
    path.mkdir(parents=True)
    keys = [(row["qid"], row["cid"], row["sid"]) for row in steps]
    signal = np.array([[wrong[key], hedged.get(key, False)] for key in keys], dtype=np.float64)
    tensors = {}
    for layer in range(LAYERS):
        for rule in ("end", "decision"):
            values = rng.normal(size=(len(steps), WIDTH))
            values[:, :2] += layer * 0.8 * signal
            tensors[tensor_name(layer, rule)] = torch.tensor(values, dtype=torch.float32)
    shard = write_shard(path, 0, tensors)
    index = [
        {**{name: row[name] for name in ("qid", "arm", "cid", "sid")}, "shard": 0, "row": i}
        for i, row in enumerate(steps)
    ]
    about = {
        "reader": reader, "model_digest": "", "sites": ["resid_post"], "layers": list(range(LAYERS)),
        "rules": ["end", "decision"], "dtype": "float32", "d_model": WIDTH, "packing": {},
        "steps_digest": digest,
    }  # fmt: skip
    finish_store(path, pd.DataFrame(index), [shard], about)
