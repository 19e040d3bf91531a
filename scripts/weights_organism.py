"""Where in the organism's weights the changes sit: a study's result, put into docs/weights.md.

    python scripts/weights_organism.py STUDY --write   # a study with `mechcot weights` done

The block in docs/weights.md and docs/weights-organism.json are of one study; its preset and seed stand there.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from mechcot import Study
from mechcot.analyses.weights.wording import OUTCOMES, amount, placed, same_place
from mechcot.core.words import number, plain_signs

DOCS = Path(__file__).parent.parent / "docs"


def kept(study: Study, result: dict[str, Any]) -> dict[str, Any]:
    """What is committed of a result: all but the models' own numbers."""
    stage = json.loads((study.path / "manifest.json").read_text())["stages"].get("weights-hybrids", {})
    names = ("before", "after", "n_questions", "units", "unchanged", "draws", "n_models", "excluded")
    parts = ("changes", "places", "shapley", "drift")
    return {
        "preset": study.settings.preset,
        "seed": study.settings.seed,
        "seconds": stage.get("seconds"),
        **{name: result[name] for name in (*names, *parts)},
    }


def block(told: dict[str, Any]) -> str:
    """The changes with their places as a table, and what is said of them."""
    backgrounds = f"put into {told['before']} | taken out of {told['after']}"
    head = f"| outcome | text of | whole change | {backgrounds} |"
    lines = [head, "|---|---|---|---|---|"]
    for one in told["changes"]:
        key = (one["outcome"], one["author"])
        units = {p["background"]: p for p in told["places"] if (p["outcome"], p["author"]) == key}
        said = [units[name]["unit"] or f"none: {units[name]['why']}" for name in ("before", "after")]
        whole = plain_signs(amount(one["outcome"], one["change"]))
        lines.append(f"| {OUTCOMES[key[0]].short} | {key[1]} | {whole} | {said[0]} | {said[1]} |")
    moved = [one for one in told["drift"] if one["what"] == "relative_change"]
    far = max(moved, key=lambda one: number(one["value"]) or 0.0)
    lines += [
        "",
        f"{placed(told)}. {same_place(told)} Preset {told['preset']}, seed {told['seed']}: "
        f"{told['n_models']} models at {told['n_questions']} questions, {told['draws']} random changes of "
        f"each unit. The largest relative change is that of {far['place']}, {number(far['value']):.2f} of "
        f"its norm (whole model: {number(far['null']):.2f}).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="a finished study with results/weights.json")
    parser.add_argument("--write", action="store_true", help="put numbers and block into docs/")
    given = parser.parse_args()
    study = Study.open(given.study)
    told = kept(study, study.weights().to_json())
    print(block(told))
    if given.write:
        (DOCS / "weights-organism.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        write_block(DOCS / "weights.md", block(told))


def write_block(page: Path, said: str) -> None:
    """Put the block between its marks."""
    marks = r"(?s)(<!-- weights_organism.py -->\n).*?(<!-- /weights_organism.py -->)"
    page.write_text(re.sub(marks, lambda found: f"{found[1]}{said}\n{found[2]}", page.read_text()))


if __name__ == "__main__":
    main()
