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
from urllib.parse import quote

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

WALK = """(async () => {
  const start = performance.now();
  history.replaceState(null, '', '%s'); await show();
  document.body.offsetHeight;
  return performance.now() - start;
})()"""


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
    from mechcot.tasks.organism.checker import KINDS  # a kind is filtered by its readable name

    found: dict[str, float] = {}

    def timed(name: str, of) -> object:
        start, busy = time.perf_counter(), time.process_time()
        done = of()
        found[name] = time.perf_counter() - start
        found[f"{name}, processor time"] = time.process_time() - busy
        return done

    timed("make the list (once)", lambda: Data.of(Study.open(folder)))
    data = timed("open the study again", lambda: Data.of(Study.open(folder)))
    assert isinstance(data, Data)
    with Viewer(data) as served, chromium(profile) as tab:
        tab.size(1440, 900)
        tab("Performance.enable", timeDomain="threadTicks")

        def busy() -> float:
            """Processor seconds of the page so far and of the server, this process."""
            told = {one["name"]: one["value"] for one in tab("Performance.getMetrics")["metrics"]}
            return told["TaskDuration"] + time.process_time()

        def walked(name: str, addresses: list[str]) -> None:
            """From the list to each address and back; the medians."""
            times, worked = [], []
            for address in addresses:
                tab.js("(async () => { history.replaceState(null, '', '#/'); await show(); })()")
                start = busy()
                times.append(tab.js(WALK % address) / 1000)
                worked.append(busy() - start)
            found[name], found[f"{name}, processor time"] = map(statistics.median, (times, worked))

        first, worked = [], []
        for _ in range(5):
            tab("Page.navigate", url="about:blank")
            start, before = time.perf_counter(), time.process_time()
            tab.open(served.url, "document.querySelectorAll('.trace').length")
            first.append(time.perf_counter() - start)
            told = {one["name"]: one["value"] for one in tab("Performance.getMetrics")["metrics"]}
            worked.append(told["TaskDuration"] + time.process_time() - before)
        found["first page"], found["first page, processor time"] = map(statistics.median, (first, worked))
        for query in FILTERS:
            walked(f"list: {query}", [f"#/?{query.replace('find', quote(KINDS['find']))}"] * 5)
        walked("search, first", ["#/?search=results+from"])
        walked("search, another word", ["#/?search=affects"])
        names = tab.js("mechcot.data.index.questions.slice(5, 10).map((one) => one[0])")
        walked("open a trace", [f"#/t/distilled/{name}/0" for name in names])
    return found


def block(told: dict) -> str:
    """The table of the page."""
    seconds = told["seconds"]
    names = [name for name in seconds if not name.endswith(", processor time")]
    rows = "\n".join(
        f"| {name.replace('=', ' = ').replace('&', ', ')} | {seconds[name]:.2f} "
        f"| {seconds[f'{name}, processor time']:.2f} |"
        for name in names
    )
    machine = told["machine"]
    head = f"| {told['traces']:,} traces | seconds | processor seconds |\n|---|---|---|"
    load = f"load average {machine['load']}"
    return (
        f"<!-- viewer-speed -->\n\n{head}\n"
        f"{rows}\n\nOn {machine['cores']} cores that other programs used too ({load}): "
        "the processor time is that of the page's main thread and of the server.\n"
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
