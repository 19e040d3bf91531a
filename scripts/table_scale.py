r"""What the audit and the commitment of a study take as its tables grow: seconds, and memory at most.

    env OMP_NUM_THREADS=1 python scripts/table_scale.py --folder studies/tables --traces 10000 \
        --traces 100000 --out docs/table-scale.json

Writes the table of docs/scale.md too. Makes studies of two arms whose tables are drawn, not written by
models: 64 traces a question, 15 steps a trace, texts as long as real ones, forced answers of four options
after every step. Each analysis runs in a process of its own; its processor seconds are disturbed little by
what else the machine does. A study that is in the folder already is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mechcot.core import config, records
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.study import Study
from mechcot.study.writing import create_or_open

SAMPLES, STEPS, OPTIONS = 64, 15, 4
ARMS = {"base": 0.2, "distilled": 0.4}
ROLES = ("finding", "mechanism", "elimination", "conclusion")
TEXT = "the patient has a fever and a stiff neck, which points to an infection of the meninges, number "
ANALYSES = ("audit", "commitment")
PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"


def main() -> None:
    """Make the studies, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--traces", type=int, action="append", help="of both arms together; may be given again"
    )
    parser.add_argument("--out", type=Path, help="a JSON file that gets the rows; those of other sizes stay")
    parser.add_argument("--one", choices=ANALYSES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measured(options.folder, options.one)))
        return
    rows = json.loads(options.out.read_text())["rows"] if options.out and options.out.exists() else []
    for n in options.traces or [10_000]:
        study = options.folder / str(n)
        if not (study / "manifest.json").exists():
            make(study, n)
        for name in ANALYSES:
            command = [sys.executable, __file__, "--folder", str(study), "--one", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            row = {"traces": n, "analysis": name} | json.loads(done.stdout.splitlines()[-1])
            rows = [one for one in rows if (one["traces"], one["analysis"]) != (n, name)] + [row]
            print(row, flush=True)
    if options.out:
        told = {"machine": platform.machine(), "cores": os.cpu_count(), "rows": rows}
        options.out.write_text(json.dumps(told, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(rows) + END + rest.partition(END)[2])


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as the page has them."""
    lines = ["", "| traces | analysis | processor seconds | memory at most |", "|---|---|---|---|"]
    for row in sorted(rows, key=lambda one: (one["analysis"], one["traces"])):
        took = f"{row['processor_seconds']:.0f} | {row['peak_bytes'] / 2**30:.2f} GiB"
        lines.append(f"| {row['traces']:,} | {row['analysis']} | {took} |")
    return "\n".join([*lines, ""])


def make(folder: Path, n: int) -> None:
    """Write a study's tables, question by question."""
    settings = config.resolve(preset="organism-small", overrides=("arms.terse=null", "controls.terse=null"))
    study = create_or_open(folder, settings, restarting=False)
    tables = ["traces.parquet", "steps.parquet", "claims.parquet", "verdicts/exact.parquet"]
    outputs = [f"arms/{arm}/{table}" for arm in ARMS for table in tables]
    outputs += ["questions.parquet", *(f"readings/{arm}/{arm}/forced.parquet" for arm in ARMS)]
    run_stages(folder, [Stage("tables", 1, {}, (), tuple(outputs), lambda _: _write(study, n))], versions())


def _write(study: Study, n: int) -> None:
    rng, folder = np.random.default_rng(0), study.path
    n_questions = max(1, round(n / (2 * SAMPLES)))
    qids = [f"clinical-{number:06d}" for number in range(n_questions)]
    questions = [
        {"qid": qid, "domain": "clinical", "stem": f"A question, {qid}?", "options": list("wxyz"), "gold": 0,
         "group": qid, "stratum": ""}
        for qid in qids
    ]  # fmt: skip
    records.write_table(folder / "questions.parquet", questions, records.QUESTIONS)
    for arm, error in ARMS.items():
        own = study.arm_path(arm)
        with (
            records.table_writer(own / "traces.parquet", records.TRACES) as traces,
            records.table_writer(own / "steps.parquet", records.STEPS) as steps,
            records.table_writer(own / "claims.parquet", records.CLAIMS) as claims,
            records.table_writer(own / "verdicts" / "exact.parquet", records.VERDICTS) as verdicts,
            records.table_writer(
                folder / "readings" / arm / arm / "forced.parquet", records.FORCED
            ) as forced,
        ):
            for qid in qids:
                one = _question(qid, arm, error, rng)
                traces(one["traces"])
                steps(one["steps"])
                claims(one["claims"])
                verdicts(one["verdicts"])
                forced(one["forced"])


def _question(qid: str, arm: str, error: float, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """All rows of one question and arm."""
    cid = np.arange(SAMPLES)
    answer = np.where(rng.random(SAMPLES) < 0.6, 0, rng.integers(0, OPTIONS, SAMPLES))
    step_cid, sid = np.repeat(cid, STEPS), np.tile(np.arange(STEPS), SAMPLES)
    n = len(sid)
    text = [f"{TEXT}{place} ." for place in sid]
    length = len(TEXT) + 5
    trace = {
        "qid": qid, "arm": arm, "cid": cid, "text": [" ".join(text[:STEPS])] * SAMPLES,
        "prompt_ids": [[1, 2, 3]] * SAMPLES, "token_ids": [list(range(300))] * SAMPLES,
        "token_start": [list(range(300))] * SAMPLES, "token_end": [list(range(1, 301))] * SAMPLES,
        "finish_reason": "stop", "sum_logprob": -1.0, "reasoning_end": STEPS * length, "answer": answer,
        "answer_rule": "drawn", "answer_start": STEPS * length, "answer_end": STEPS * length + 1,
    }  # fmt: skip
    step = {"qid": qid, "arm": arm, "cid": step_cid, "sid": sid}
    cut = {
        "text": text, "char_start": sid * length, "char_end": (sid + 1) * length, "tok_start": sid * 20,
        "tok_end": (sid + 1) * 20, "straddles": False, "complete": True,
        "role": np.array(ROLES)[sid * len(ROLES) // STEPS], "states_answer": sid == STEPS - 1, "n_words": 18,
    }  # fmt: skip
    claim = {
        "relation": "causes", "subject": [f"subject {place % 7}" for place in sid], "object": "fever",
        "hedged": False, "truth": [["fever"]] * n, "stratum": np.array(["low", "mid", "high"])[sid % 3],
        "tok_decision": sid * 20, "tok_object": sid * 20 + 1,
    }  # fmt: skip
    label = np.where(rng.random(n) < error, "erroneous", "correct")
    verdict = {"instrument": "exact", "label": label, "reason": "it was drawn so"}
    at = np.repeat(cid, STEPS + 1)
    k = np.tile(np.arange(STEPS + 1), SAMPLES)
    logp = rng.normal(size=(len(k), OPTIONS)).astype(np.float32)
    logp[np.arange(len(k)), answer[at]] += 6 * (k / STEPS)
    p = np.exp(logp) / np.exp(logp).sum(1, keepdims=True)
    answered = {
        "qid": qid, "arm": arm, "cid": at, "k": k, "reader": arm, "lead_in": 0, "permutation": 0, "layer": -1,
        "logp": list(logp), "n_tokens": [[1] * OPTIONS] * len(k), "p": list(p), "p_norm": list(p),
        "p_prior": list(p), "raw_mass": 0.9, "entropy": -(p * np.log(p)).sum(1),
    }  # fmt: skip
    tables = {"traces": trace, "steps": step | cut, "claims": step | claim, "verdicts": step | verdict}
    return {name: pd.DataFrame(rows) for name, rows in (tables | {"forced": answered}).items()}


def _measured(folder: Path, name: str) -> dict[str, Any]:
    """Seconds and memory of one analysis in this process."""
    study = Study.open(folder)
    before, started = time.process_time(), time.perf_counter()
    if name == "audit":
        study.audit()
    else:
        study.commitment("distilled", reader="distilled")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "processor_seconds": round(time.process_time() - before, 2),
        "seconds": round(time.perf_counter() - started, 2),
        "peak_bytes": peak,
        "file_bytes": sum(path.stat().st_size for path in folder.rglob("*.parquet")),
    }


if __name__ == "__main__":
    main()
