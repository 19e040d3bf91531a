"""Run the organism's study on several seeds and hold the results against what they must show.

    python scripts/report_seeds.py --studies studies/seeds --write
    python scripts/report_seeds.py --studies studies/seeds --write --finished   # runs nothing

Seeds 100-104 chose the recipe (scripts/tune_organism.py); this is for seeds 0-9, looked at once. With
--workers 2 two seeds run beside each other, one thread each. Studies with a hand-over or a search in the
weights (`mechcot handover`, `mechcot weights`) get a table of it; `--write` puts all into
docs/organism-seeds.md and .json (scripts/seeds_page.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mechcot import Study
from seeds_page import SECTIONS, block, kept, write

COLUMNS = (
    "seed",
    "SC@16",
    "SC@16, options named",
    "ECE",
    "step error",
    "difference",
    "both right",
    "terse: error",
    "its difference",
    "chain: SC@16",
    "chain: error",
    "its difference",
    "holds",
)


def main() -> None:
    """Run, collect, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument(
        "--studies", type=Path, default=Path("studies/seeds"), help="one study a seed goes here"
    )
    parser.add_argument("--write", action="store_true", help="put numbers and tables into docs/")
    parser.add_argument("--finished", action="store_true", help="run nothing; take the studies that are done")
    parser.add_argument("--workers", type=int, default=1, help="seeds run beside each other")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    options = parser.parse_args()

    def run(seed: int) -> Study:
        path = options.studies / f"seed-{seed}"
        command = [sys.executable, "-m", "mechcot", "run", str(path), "--seed", str(seed), "--quiet"]
        subprocess.run(
            [*command, "--set", f"threads={options.threads}"], check=True, stdout=subprocess.DEVNULL
        )
        print(f"seed {seed}: done", file=sys.stderr)
        return Study.open(path)

    if options.finished:
        paths = [options.studies / f"seed-{seed}" for seed in options.seeds]
        studies = [Study.open(path) for path in paths if (path / "summary.json").exists()]
        if not studies:
            parser.error(f"no study of seeds {options.seeds} is finished in {options.studies}")
    else:
        with ThreadPoolExecutor(options.workers) as pool:
            studies = list(pool.map(run, options.seeds))
    rows = [json.loads(json.dumps(kept(study))) for study in studies]
    seeds = " ".join(str(row["seed"]) for row in rows)
    command = f"python scripts/report_seeds.py --seeds {seeds}"
    text = PREAMBLE.format(command=command, threads=options.threads) + table(rows)
    print("\n\n".join([text, *(block(name, rows) for name in SECTIONS)]))
    if options.write:
        write(rows, text)


PREAMBLE = """Made by `{command}` ({threads} thread a study). Nothing was chosen on these seeds: the recipe
was tuned on seeds 100-104 (see [organism.md](organism.md)) and this table made once, afterwards. Rates are
fractions; an arrow goes from base to distilled; intervals are 95 % intervals over questions (the jackknife).

A trace that names a drug which is not among the options votes for no answer, which can win. The third column
is the vote without such traces: much of the rise in the second is that the distilled student names an option.

"""


def table(summaries: list[dict[str, Any]]) -> str:
    """The table in Markdown, with what every row had to show and whether it does."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_row(one)) + " |" for one in summaries]
    lines += ["", "What has to hold, and on how many seeds it does:", ""]
    for name, holds in CRITERIA.items():
        good = [holds(summary) for summary in summaries]
        missed = [str(s["seed"]) for s, ok in zip(summaries, good, strict=True) if not ok]
        lines.append(
            f"- {name}: {sum(good)} of {len(good)}" + (f" (not: seed {', '.join(missed)})" if missed else "")
        )
    return "\n".join(lines)


CRITERIA = {
    "SC@16 rises by at least 15 points": lambda s: s["answers"]["delta_sc"]["estimate"] >= 0.15,
    "step error rises by at least 12 points": lambda s: s["audit"]["delta"]["estimate"] >= 0.12,
    "both right: the difference is above 8 points, its interval above 0": lambda s: (
        s["audit"]["both_correct"]["estimate"] > 0.08 and s["audit"]["both_correct"]["low"] > 0
    ),
    "terse teacher: upper end of the interval of the error's change under +2 points": lambda s: (
        s["controls"]["terse"]["delta_error"]["high"] < 0.02
    ),
    "chain task: upper end of the interval of the error's change under +2 points": lambda s: (
        s["controls"]["chain"]["delta_error"]["high"] < 0.02
    ),
    "chain task: the base's step error is at least 5 %": lambda s: (
        s["controls"]["chain"]["base"]["error_rate"] >= 0.05
    ),
}


def _row(s: dict[str, Any]) -> list[str]:
    answers, audit, controls = s["answers"], s["audit"], s["controls"]

    def pair(of: dict[str, Any], key: str) -> str:
        return f"{of['base'][key]:.3f} → {of['distilled'][key]:.3f}"

    def interval(of: dict[str, Any]) -> str:
        return f"{of['estimate']:+.3f} [{of['low']:+.3f}, {of['high']:+.3f}]"

    both = audit["both_correct"]
    return [
        str(s["seed"]),
        pair(answers, "sc"),
        " → ".join(f"{share:.3f}" for share in s["options named"]),
        pair(answers, "ece"),
        pair(audit, "error_rate"),
        interval(audit["delta"]),
        f"{interval(both)} (n={both['n_questions']})",
        pair(controls["terse"], "error_rate"),
        interval(controls["terse"]["delta_error"]),
        pair(controls["chain"], "sc"),
        pair(controls["chain"], "error_rate"),
        interval(controls["chain"]["delta_error"]),
        "yes" if all(holds(s) for holds in CRITERIA.values()) else "no",
    ]


if __name__ == "__main__":
    main()
