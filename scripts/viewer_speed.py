"""How fast the viewer is on a study of 10,000 traces: seconds in Python, milliseconds in a headless Chromium.

    python scripts/viewer_speed.py STUDY --out docs/viewer-speed.json

Takes the traces of a finished study, repeats its questions under new names until there are enough, and
measures: making the list, opening it again, the first page from the server's start to 50 rows on the screen,
filters, sorting, a search (first and again), and opening one trace. Medians of five where it can be repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
PAGE = ROOT / "docs" / "viewer.md"
FILTERS = (
    "model=distilled",
    "answer=wrong",
    "fate=gained",
    "kind=find&verdict=erroneous",
    "lock=late",
    "sort=wrong",
)


def grown(source: Path, folder: Path, wanted: int) -> int:
    """A study of at least `wanted` traces: the source's questions under new names; returns how many."""
    from mechcot import Study

    study = Study.open(source)
    arms = [arm for arm in study.settings.arms if (study.arm_path(arm) / "steps.parquet").exists()]
    each = sum(len(study.traces(arm)) for arm in arms)
    times = -(-wanted // each)
    inner = [*source.glob("arms/**/*.parquet"), *source.glob("readings/*/*/*.parquet")]
    for path in (source / "questions.parquet", *inner):
        table = pd.read_parquet(path)
        if "qid" not in table or path.name in ("knockouts.parquet", "truth.parquet"):
            continue
        parts = [table.assign(qid=table.qid + f"-{i}") for i in range(times)]
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(parts, ignore_index=True).to_parquet(target)
    shutil.copy(source / "study.yaml", folder / "study.yaml")
    manifest = json.loads((source / "manifest.json").read_text())
    manifest["stages"] = {}
    manifest.pop("sha256", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return each * times


def measured(folder: Path, profile: Path) -> dict[str, float]:
    """Seconds in Python and in the browser."""
    from browser import chromium
    from mechcot import Study
    from mechcot.analyses.viewer.data import Data
    from mechcot.analyses.viewer.server import Viewer

    found: dict[str, float] = {}

    def timed(name: str, of) -> object:
        start = time.perf_counter()
        done = of()
        found[name] = time.perf_counter() - start
        return done

    timed("make the list (once)", lambda: Data.of(Study.open(folder)))
    data = timed("open the study again", lambda: Data.of(Study.open(folder)))
    assert isinstance(data, Data)
    with Viewer(data) as served, chromium(profile) as tab:
        tab.size(1440, 900)
        first = []
        for _ in range(5):
            start = time.perf_counter()
            tab.open(served.url, "document.querySelectorAll('.trace').length")
            first.append(time.perf_counter() - start)
        found["first page"] = statistics.median(first)
        waited = """(async (to, again) => {
          const times = [];
          for (let i = 0; i < again; i++) {
            history.replaceState(null, '', '#/'); await show();
            const start = performance.now();
            history.replaceState(null, '', to); await show();
            document.body.offsetHeight; times.push(performance.now() - start);
          }
          return times;
        })"""
        for query in FILTERS:
            times = tab.js(f"{waited}('#/?{query}', 5)")
            found[f"list: {query}"] = statistics.median(times) / 1000
        found["search, first"] = tab.js(f"{waited}('#/?search=results+from', 1)")[0] / 1000
        found["search, another word"] = tab.js(f"{waited}('#/?search=affects', 1)")[0] / 1000
        traces = tab.js(
            "mechcot.data.index.questions.slice(5, 10).map((one) => '#/t/distilled/' + one[0] + '/0')"
        )
        found["open a trace"] = statistics.median(tab.js(f"{waited}('{to}', 1)")[0] for to in traces) / 1000
    return found


def block(told: dict) -> str:
    """The table of the page."""
    rows = "\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in told["seconds"].items())
    return (
        f"<!-- viewer-speed -->\n\n| {told['traces']:,} traces | seconds |\n|---|---|\n{rows}\n\n"
        f"{told['machine']['cores']} cores, load average {told['machine']['load']} when measured.\n"
    )


def main() -> None:
    """Measure, write the numbers, and put the table on the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        n = grown(args.study, Path(folder) / "study", args.traces)
        seconds = measured(Path(folder) / "study", Path(folder) / "profile")
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    told = {"name": "viewer-speed", "traces": n, "seconds": seconds, "machine": machine}
    print(json.dumps(told, indent=1))
    if args.out:
        args.out.write_text(json.dumps(told, indent=1) + "\n")
        PAGE.write_text(
            re.sub(r"<!-- viewer-speed -->.*", lambda _: block(told), PAGE.read_text(), flags=re.S)
        )


if __name__ == "__main__":
    main()
