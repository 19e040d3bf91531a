"""Whether hedging can be put back into the organism: results of one study or more, put into docs/hedge.md.

    python scripts/hedge_organism.py STUDY STUDY --write   # studies with `mechcot hedge` done

docs/hedge-organism.json has an entry a study; the block in docs/hedge.md has a row a study and arm.
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
from mechcot.analyses.steering.analysis import dose_at
from mechcot.analyses.steering.design import ABLATE
from mechcot.core.words import number, percent, plain_signs, points

DOCS = Path(__file__).parent.parent / "docs"


def kept(study: Study) -> dict[str, Any]:
    """What is committed of a study: both results without the methods of their intervals."""
    stage = json.loads((study.path / "manifest.json").read_text())["stages"].get("steering-texts", {})
    return {
        "preset": study.settings.preset,
        "seed": study.settings.seed,
        "seconds": stage.get("seconds"),
        **plain(study.steering().to_json()),
        "localisation": plain(study.localisation().to_json()),
    }


def plain(value: Any) -> Any:
    """JSON values without what says how an interval was made, and without single patches."""
    if isinstance(value, Mapping):
        left_out = ("method", "se", "freedom", "cells")
        return {key: plain(part) for key, part in value.items() if key not in left_out}
    return [plain(part) for part in value] if isinstance(value, list) else value


def block(told: Sequence[Mapping[str, Any]]) -> str:
    """A row a study and arm, and what is said of them."""
    head = (
        "seed", "arm", "layer", "form", "hedged, unedited", "greatest safe strength", "hedged there",
        "wrong steps there", "direction out: hedged", "direction out: wrong steps",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for own in told:
        for arm, part in own["arms"].items():
            bare, out = dose_at(part, 0.0), dose_at(part, 0.0, ABLATE)
            safe = number(part["safe"])
            there = dose_at(part, safe)["shares"] if safe is not None else None
            lines.append(
                f"| {own['seed']} | {arm} | {part['layer']} | "
                f"{part['direction']} | "
                f"{percent(bare['shares']['hedged']['value'])} | "
                + (
                    f"{safe:g} | {percent(there['hedged']['value'])} | {points(there['wrong']['change'])} | "
                    if there is not None
                    else "none | – | – | "
                )
                + f"{percent(out['shares']['hedged']['value'])} | "
                f"{points(out['shares']['wrong']['change'])} |"
            )
    lines += ["", *lost(told)]
    verdicts = Counter(own["verdict"] for own in told)
    first = told[0]
    said = ", ".join(f"{name} on {n}" for name, n in verdicts.most_common())
    seconds = ", ".join(f"{own['seconds']:.0f}" for own in told if own["seconds"])
    scales = [one["scale"] for one in first["arms"][first["after"]]["doses"] if one["form"] != ABLATE]
    lines += [
        "",
        f"Preset {first['preset']}, {len(told)} seeds: hedging in {first['after']} is {said} of {len(told)} "
        f"(strengths up to {max(scales):g}). Questions that report: "
        f"{', '.join(str(own['n_questions']) for own in told)}. The stage took {seconds} s.",
    ]
    return "\n".join(map(plain_signs, lines))


def lost(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where hedges are lost: a row a study."""
    first = told[0]["localisation"]["restored"]
    stretches = [
        "norm, unembedding" if number(one["layer"]) is None else f"layer {one['layer']}"
        for one in first["increments"]
    ]
    head = ["seed", "gap, nats", *stretches, "p: as much elsewhere", "p: as late"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for own in told:
        way = own["localisation"]["restored"]
        # No share is minus nothing.
        shares = [percent(round(number(one["share"]) or 0.0, 2) + 0.0, 0) for one in way["increments"]]
        ends = [f"{number(way['gap'][end]) or 0.0:.2f}" for end in ("estimate", "low", "high")]
        tests = [f"{number(way[name]) or 0.0:.2f}" for name in ("peak_p", "late_p")]
        row = [str(own["seed"]), f"{ends[0]} [{ends[1]}, {ends[2]}]", *shares, *tests]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def main() -> None:
    """Print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs="+", help="finished studies with results/steering.json")
    parser.add_argument("--write", action="store_true", help="put numbers and block into docs/")
    given = parser.parse_args()
    told = [kept(study) for study in map(Study.open, given.studies)]
    print(block(told))
    if given.write:
        (DOCS / "hedge-organism.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        page = DOCS / "hedge.md"
        marks = r"(?s)(<!-- hedge_organism.py -->\n).*?(<!-- /hedge_organism.py -->)"
        page.write_text(re.sub(marks, lambda at: f"{at[1]}{block(told)}\n{at[2]}", page.read_text()))


if __name__ == "__main__":
    main()
