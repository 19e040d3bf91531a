"""Where in the organism's weights the changes sit: results of one study or more, put into docs/weights.md.

    python scripts/weights_organism.py STUDY STUDY --write   # studies with `mechcot weights` done

docs/weights-organism.json has an entry a study; the block in docs/weights.md counts over them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mechcot import Study
from mechcot.analyses.weights.wording import OUTCOMES, amount, pairs
from mechcot.core.words import direction, number, plain_signs

DOCS = Path(__file__).parent.parent / "docs"


def kept(study: Study, result: dict[str, Any]) -> dict[str, Any]:
    """What is committed of a result: all but the models' own numbers."""
    stage = json.loads((study.path / "manifest.json").read_text())["stages"].get("weights-hybrids", {})
    names = ("before", "after", "n_questions", "units", "unchanged", "draws", "n_models", "excluded")
    parts = ("changes", "places", "drift")
    return {
        "preset": study.settings.preset,
        "seed": study.settings.seed,
        "seconds": stage.get("seconds"),
        **{name: result[name] for name in (*names, *parts)},
    }


def block(told: Sequence[Mapping[str, Any]]) -> str:
    """The changes with their places over studies as a table, and what is said of them."""
    before, after = told[0]["before"], told[0]["after"]
    head = ("outcome", "text of", "whole change", f"put into {before}", f"taken out of {after}")
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|---|---|"]
    for one in told[0]["changes"]:
        key = (one["outcome"], one["author"])
        changes = [c["change"] for own in told for c in own["changes"] if (c["outcome"], c["author"]) == key]
        lines.append(
            f"| {OUTCOMES[key[0]].short} | {key[1]} | {_whole(key[0], changes)} | "
            f"{_units(told, key, 'before')} | {_units(told, key, 'after')} |"
        )
    both = Counter(len(set(pairs(own).values())) for own in told if len(pairs(own)) > 1)
    far = []
    for own in told:
        moved = [row for row in own["drift"] if row["what"] == "relative_change"]
        most = max(moved, key=lambda row: number(row["value"]) or 0.0)
        far.append((most["place"], number(most["value"]) or 0.0, number(most["null"]) or 0.0))
    first = told[0]
    lines += [
        "",
        f"Preset {first['preset']}, seeds {', '.join(str(own['seed']) for own in told)}: {first['n_models']} "
        f"models at {first['n_questions']} questions each, {first['draws']} random changes of each unit. Two "
        f"changes or more have a place in both backgrounds on {sum(both.values())} of {len(told)} seeds, and "
        f"share one unit on {both[1]}. Most moved: "
        + "; ".join(f"{unit} by {own:.2f} of its norm (whole model: {whole:.2f})" for unit, own, whole in far)
        + ".",
    ]
    return "\n".join(lines)


def _whole(outcome: str, changes: Sequence[Any]) -> str:
    """A change, or from the smallest to the largest and how many are apart from 0."""
    if len(changes) == 1:
        return plain_signs(amount(outcome, changes[0]))
    ranked = sorted(changes, key=lambda leaf: number(leaf) or 0.0)
    ends = [amount(outcome, {"estimate": number(leaf)}) for leaf in (ranked[0], ranked[-1])]
    apart = sum(direction(leaf) in ("up", "down") for leaf in changes)
    return plain_signs(f"{ends[0]} to {ends[1]}, apart from 0 on {apart} of {len(changes)}")


def _units(told: Sequence[Mapping[str, Any]], key: tuple[str, str], background: str) -> str:
    """The places on all studies, the commonest first; of one study why there is none."""
    found = [
        place
        for own in told
        for place in own["places"]
        if (place["outcome"], place["author"], place["background"]) == (*key, background)
    ]
    if len(found) == 1:
        return found[0]["unit"] or f"none: {found[0]['why']}"
    counts = Counter(place["unit"] or "none" for place in found)
    return ", ".join(f"{unit} on {count}" for unit, count in counts.most_common())


def main() -> None:
    """Print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs="+", help="finished studies with results/weights.json")
    parser.add_argument("--write", action="store_true", help="put numbers and block into docs/")
    given = parser.parse_args()
    told = [kept(study, study.weights().to_json()) for study in map(Study.open, given.studies)]
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
