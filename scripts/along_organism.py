"""What changes first along the organism's trainings: one study's result, put into docs/along.md.

    mechcot run STUDY --set "along=[0.1, 0.25, 0.5, 0.75]" --set "seeds=[1, 2]"
    python scripts/along_organism.py STUDY --write

The numbers go to docs/along-organism.json; tables and sentences are the report's.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mechcot import Study
from mechcot.analyses.along.page import tables
from mechcot.analyses.along.wording import statement
from mechcot.core.files import read_json, write_json, write_text
from mechcot.core.manifest import load_manifest
from mechcot.core.words import listed, plain_signs

DOCS = Path(__file__).parent.parent / "docs"
PAGE, NUMBERS = DOCS / "along.md", DOCS / "along-organism.json"


def kept(study: Study) -> dict[str, Any]:
    """The result, and what the study is; times of the stages that trainings along it need."""
    stages = load_manifest(study.path)["stages"]
    between = [arm for arm in study.settings.arms if "-at-" in arm]
    seconds = sum(
        stage["seconds"]
        for name, stage in stages.items()
        if any(arm in name for arm in between) or "along" in name
    )
    settings = study.settings
    return {
        "preset": settings.preset,
        "seed": settings.seed,
        "samples": settings.sampling.samples,
        "seconds": round(seconds),
        "along": study.result("along"),
    }


def block(told: Mapping[str, Any]) -> str:
    """What is said of the trainings, and the report's tables."""
    result = told["along"]
    lines = [
        f"Preset {told['preset']}, world of seed {told['seed']}, students of training seeds "
        f"{listed([str(run['seed']) for run in result['runs']])}: {result['n_questions']} questions, "
        f"{told['samples']} samples. The stages of the arms between took {told['seconds']} s.",
        "",
        statement(result),
    ]
    rates, times, apart = tables(result)
    # Most pairs have no difference; what is said of an order rests on those over the seeds.
    over = tuple(row for row in apart.rows if "seeds" in row[2] and "[" in row[3])
    for table in (rates, times, replace(apart, rows=over)):
        lines += ["", f"{table.title} ({table.note}):" if table.note else f"{table.title}:", ""]
        lines += [
            "| " + " | ".join(row) + " |" for row in (table.head, ["---"] * len(table.head), *table.rows)
        ]
    return "\n".join(map(plain_signs, lines))


def main() -> None:
    """Print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "study", type=Path, nargs="?", help="a finished study with `along`; without, the file"
    )
    parser.add_argument("--write", action="store_true", help="put numbers and block into docs/")
    options = parser.parse_args()
    told = kept(Study.open(options.study)) if options.study else read_json(NUMBERS)
    print(block(told))
    if options.write:
        write_json(NUMBERS, told)
        page = PAGE.read_text(encoding="utf-8")
        marks = r"(?s)(<!-- along -->\n).*?(\n<!-- /along -->)"
        write_text(PAGE, re.sub(marks, lambda found: f"{found[1]}{block(told)}{found[2]}", page))


if __name__ == "__main__":
    main()
