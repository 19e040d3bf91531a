r"""What audit, commitment, report and viewer take as a study's tables grow: seconds, and memory at most.

    env OMP_NUM_THREADS=1 python scripts/table_scale.py --folder studies/tables --results studies/organism \
        --traces 10000 --traces 100000 --traces 1000000 --out docs/table-scale.json
    python scripts/table_scale.py --page  # the table and the plot again, from the committed rows

Writes the table of docs/scale.md and docs/table-scale.svg too. Makes studies of two arms whose tables are
drawn, not written by models: 64 traces a question, 15 steps a trace, texts as long as real ones, forced
answers of four options after every step. Each analysis runs in a process of its own; its processor seconds
are disturbed little by what else the machine does. A study that is in the folder already is used again. The
report is that of the drawn tables with the results of a study given by `--results`, which do not grow with
the tables. The viewer is served until its first page has come: page, style, script, list of traces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mechcot.analyses.commitment.contrast import contrast
from mechcot.analyses.viewer.data import Data
from mechcot.analyses.viewer.server import Viewer
from mechcot.core import config, records
from mechcot.core.stages import Stage, run_stages, versions
from mechcot.pipeline.report import write_report
from mechcot.study import Study
from mechcot.study.writing import create_or_open

SAMPLES, STEPS, OPTIONS, TOKENS = 64, 15, 4, 20
DRAWN = 64
"""Questions of an arm whose rows are drawn; further ones have the same rows under other ids."""
SETTINGS = (
    "arms.terse=null",
    "controls.terse=null",
    f"sampling.samples={SAMPLES}",
    f"reading.traces_per_question={SAMPLES}",
)
ARMS = {"base": 0.2, "distilled": 0.4}
ROLES = ("finding", "mechanism", "elimination", "conclusion")
TEXT = "the patient has a fever and a stiff neck, which points to an infection of the meninges, number "
ANALYSES = ("audit", "commitment", "report", "viewer")
EVERY = (*ANALYSES, "commitments", "certainty", "gains", "coupling", "hedge")
DOCS = Path(__file__).parent.parent / "docs"
PAGE, ROWS, PLOT = DOCS / "scale.md", DOCS / "table-scale.json", DOCS / "table-scale.svg"
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"


def main() -> None:
    """Make the studies, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--results", type=Path, help="a finished study, whose results the report shows")
    parser.add_argument(
        "--traces", type=int, action="append", help="of both arms together; may be given again"
    )
    parser.add_argument("--analysis", choices=EVERY, action="append", help="which of them")
    parser.add_argument("--out", type=Path, help="a JSON file that gets the rows; other rows in it stay")
    parser.add_argument("--page", action="store_true", help="only write the page from the committed rows")
    parser.add_argument("--one", choices=EVERY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.page:
        write_page(json.loads(ROWS.read_text())["rows"])
    elif options.one:
        print(json.dumps(_measured(options.folder, options.one)))
    else:
        _measure_all(options)


def _measure_all(options: argparse.Namespace) -> None:
    there = options.out and options.out.exists()
    told = json.loads(options.out.read_text()) if there else {"rows": []}
    for n in options.traces or [10_000]:
        study = options.folder / str(n)
        if not (study / "manifest.json").exists():
            make(study, n)
        if options.results:
            shutil.copytree(options.results / "results", study / "results", dirs_exist_ok=True)
        for name in options.analysis or ANALYSES:
            command = [sys.executable, __file__, "--folder", str(study), "--one", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            row = {"traces": n, "analysis": name} | json.loads(done.stdout.splitlines()[-1])
            rows = [one for one in told["rows"] if (one["traces"], one["analysis"]) != (n, name)] + [row]
            told = {"machine": platform.machine(), "cores": os.cpu_count(), "rows": rows}
            print(row, flush=True)
            if options.out:
                options.out.write_text(json.dumps(told, indent=1) + "\n")
    if options.out and options.out.resolve() == ROWS:
        write_page(told["rows"])


def write_page(rows: list[dict[str, Any]]) -> None:
    """The table of the page, and the plot."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(rows) + END + rest.partition(END)[2])
    PLOT.write_text(plot(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as the page has them."""
    lines = ["", "| what | traces | processor seconds | memory at most |", "|---|---|---|---|"]
    for row in sorted(rows, key=lambda one: (EVERY.index(one["analysis"]), one["traces"])):
        took = f"{row['processor_seconds']:.0f} | {row['peak_bytes'] / 2**30:.2f} GiB"
        lines.append(f"| {row['analysis']} | {row['traces']:,} | {took} |")
    return "\n".join([*lines, ""])


def plot(rows: list[dict[str, Any]]) -> str:
    """Processor seconds and memory over the number of traces, as SVG; both axes are logarithmic."""
    panels = (
        ("processor seconds", [1, 10, 100, 1000], lambda row: row["processor_seconds"]),
        ("memory at most, GiB", [0.1, 1, 10], lambda row: row["peak_bytes"] / 2**30),
    )
    drawn = [_panel(rows, 340 * place, *panel) for place, panel in enumerate(panels)]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" font-size="12"'
    ground = '<rect width="720" height="300" fill="#fff"/>'
    return "\n".join([f'{head} font-family="sans-serif">', ground, *drawn, "</svg>", ""])


COLOURS = dict(zip(ANALYSES, ("#4a6a8a", "#c8641e", "#2f7d4f", "#7a7a7a"), strict=True))


def _panel(
    rows: list[dict[str, Any]], left: int, title: str, ticks: list[float], of: Callable[[Any], float]
) -> str:
    def x(traces: float) -> float:
        return left + 60 + 110 * (log10(traces) - 4)

    def y(value: float) -> float:
        low, high = log10(ticks[0]), log10(ticks[-1])
        return 250 - 200 * (log10(max(value, ticks[0])) - low) / (high - low)

    parts = [f'<text x="{left + 60}" y="30" font-weight="bold">{title}</text>']
    for tick in ticks:
        parts.append(f'<path d="M{left + 60} {y(tick):.1f}h230" stroke="#ddd"/>')
        parts.append(f'<text x="{left + 52}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for n in (10_000, 100_000, 1_000_000):
        parts.append(f'<text x="{x(n):.1f}" y="270" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{x(100_000):.1f}" y="290" text-anchor="middle">traces</text>')
    for place, (name, colour) in enumerate(COLOURS.items()):
        own = sorted((row for row in rows if row["analysis"] == name), key=lambda row: row["traces"])
        points = [(x(row["traces"]), y(of(row))) for row in own]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        parts.append(f'<text x="{left + 68}" y="{60 + 15 * place}" fill="{colour}">{name}</text>')
    return "\n".join(parts)


def make(folder: Path, n: int) -> None:
    """Write a study's tables, question by question."""
    settings = config.resolve(preset="organism-small", overrides=SETTINGS)
    study = create_or_open(folder, settings, restarting=False)
    tables = ["traces.parquet", "steps.parquet", "claims.parquet", "verdicts/exact.parquet"]
    outputs = [f"arms/{arm}/{table}" for arm in ARMS for table in tables]
    outputs += ["questions.parquet"]
    outputs += [f"readings/{arm}/{arm}/{table}.parquet" for arm in ARMS for table in ("forced", "signals")]
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
        drawn = [_question(arm, error, rng) for _ in range(min(DRAWN, n_questions))]
        for name, path, schema in _tables(study, arm):
            parts = [pa.Table.from_pandas(one[name], schema, preserve_index=False) for one in drawn]
            _write_again(path, parts, qids)


def _tables(study: Study, arm: str) -> list[tuple[str, Path, pa.Schema]]:
    own, read = study.arm_path(arm), study.reading_path(arm)
    return [
        ("traces", own / "traces.parquet", records.TRACES),
        ("steps", own / "steps.parquet", records.STEPS),
        ("claims", own / "claims.parquet", records.CLAIMS),
        ("verdicts", own / "verdicts" / "exact.parquet", records.VERDICTS),
        ("forced", read / "forced.parquet", records.FORCED),
        ("signals", read / "signals.parquet", records.SIGNALS),
    ]


def _write_again(path: Path, parts: list[pa.Table], qids: list[str]) -> None:
    """The rows of the drawn questions under the ids of all questions, a row group as many of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, parts[0].schema, compression="zstd") as writer:
        for start in range(0, len(qids), len(parts)):
            own = qids[start : start + len(parts)]
            rows = pa.concat_tables(parts[: len(own)])
            named = pa.array(np.repeat(own, [len(part) for part in parts[: len(own)]]))
            writer.write_table(rows.set_column(0, "qid", named).cast(rows.schema))


def _question(arm: str, error: float, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """All rows of one question and arm, without its id."""
    cid = np.arange(SAMPLES)
    answer = np.where(rng.random(SAMPLES) < 0.6, 0, rng.integers(0, OPTIONS, SAMPLES))
    step_cid, sid = np.repeat(cid, STEPS), np.tile(np.arange(STEPS), SAMPLES)
    n, n_tokens = len(sid), STEPS * TOKENS
    text = [f"{TEXT}{number} ." for number in rng.integers(10**8, 10**9, n)]
    length = len(text[0]) + 1
    trace = {
        "qid": "", "arm": arm, "cid": cid,
        "text": [" ".join(text[own * STEPS : (own + 1) * STEPS]) for own in cid],
        "prompt_ids": [[1, 2, 3]] * SAMPLES, "token_ids": [np.arange(n_tokens)] * SAMPLES,
        "token_start": [np.arange(n_tokens)] * SAMPLES, "token_end": [np.arange(n_tokens) + 1] * SAMPLES,
        "finish_reason": "stop", "sum_logprob": -1.0, "reasoning_end": STEPS * length, "answer": answer,
        "answer_rule": "drawn", "answer_start": STEPS * length, "answer_end": STEPS * length + 1,
    }  # fmt: skip
    step = {"qid": "", "arm": arm, "cid": step_cid, "sid": sid}
    cut = {
        "text": text, "char_start": sid * length, "char_end": (sid + 1) * length, "tok_start": sid * TOKENS,
        "tok_end": (sid + 1) * TOKENS, "straddles": False, "complete": True,
        "role": np.array(ROLES)[sid * len(ROLES) // STEPS], "states_answer": sid == STEPS - 1, "n_words": 18,
    }  # fmt: skip
    claim = {
        "relation": "causes", "subject": [f"subject {place % 7}" for place in sid], "object": "fever",
        "hedged": False, "truth": [["fever"]] * n, "stratum": np.array(["low", "mid", "high"])[sid % 3],
        "tok_decision": sid * TOKENS, "tok_object": sid * TOKENS + 1,
    }  # fmt: skip
    label = np.where(rng.random(n) < error, "erroneous", "correct")
    verdict = {"instrument": "exact", "label": label, "reason": "it was drawn so"}
    at = np.repeat(cid, STEPS + 1)
    k = np.tile(np.arange(STEPS + 1), SAMPLES)
    logp = rng.normal(size=(len(k), OPTIONS)).astype(np.float32)
    logp[np.arange(len(k)), answer[at]] += 6 * (k / STEPS)
    p = np.exp(logp) / np.exp(logp).sum(1, keepdims=True)
    answered = {
        "qid": "", "arm": arm, "cid": at, "k": k, "reader": arm, "lead_in": 0, "permutation": 0, "layer": -1,
        "logp": list(logp), "n_tokens": [[1] * OPTIONS] * len(k), "p": list(p), "p_norm": list(p),
        "p_prior": list(p), "raw_mass": 0.9, "entropy": -(p * np.log(p)).sum(1),
    }  # fmt: skip
    inside = rng.random((2, SAMPLES, n_tokens), dtype=np.float32)
    signal = {
        "qid": "", "arm": arm, "cid": cid, "reader": arm, "entropy": list(inside[0]),
        "surprisal": list(inside[1]),
    }  # fmt: skip
    tables = {"traces": trace, "steps": step | cut, "claims": step | claim, "verdicts": step | verdict}
    tables |= {"forced": answered, "signals": signal}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def _asked(study: Study, name: str) -> None:
    """One of `EVERY`."""
    if name == "commitment":
        study.commitment("base", reader="base")
    elif name == "commitments":
        contrast(study)
    elif name == "report":
        write_report(study, versions())
    elif name == "viewer":
        with Viewer(Data.of(study)) as served:
            for file in ("", "viewer.css", "viewer.js", "data/index.js"):
                with urlopen(served.url + file) as answer:
                    while answer.read(2**20):
                        pass
    else:
        getattr(study, name)()


def _measured(folder: Path, name: str) -> dict[str, Any]:
    """Seconds and memory of one analysis in this process."""
    study = Study.open(folder)
    before, started = time.process_time(), time.perf_counter()
    _asked(study, name)
    peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # of this process
    return {
        "processor_seconds": round(time.process_time() - before, 2),
        "seconds": round(time.perf_counter() - started, 2),
        "peak_bytes": peak,
    }


if __name__ == "__main__":
    main()
