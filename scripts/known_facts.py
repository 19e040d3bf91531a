"""What every arm of a study knows of its list of facts, as docs/text-or-weights.md quotes it.

    mechcot knowledge studies/organism && python scripts/known_facts.py --study studies/organism

The numbers go to docs/known-facts.json and, from there, into the page's table; without --study the page is
written from the file. So is the table of planted worlds, from docs/planted-knowledge.json.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechcot import Study
from mechcot.analyses.knowledge.facts import CLASSES, facts_of, table
from mechcot.core.files import read_json, write_json, write_text
from mechcot.core.words import percent, plain_signs, points

DOCS = Path(__file__).parent.parent / "docs"
PAGE, NUMBERS, PLANTED = (
    DOCS / name for name in ("text-or-weights.md", "known-facts.json", "planted-knowledge.json")
)


def facts_table(found: Mapping[str, Any]) -> str:
    """A row a cell of the list: each arm alone, in its place, not reached; the change where it is alone."""
    arms = list(found["arms"])
    rows = [
        "| facts | "
        + " | ".join(f"{arm}: alone / in a {found['placed_in']} / not reached" for arm in arms)
        + " |",
        "|---|" + "---|" * len(arms),
    ]
    for cell, first in found["arms"][arms[0]]["cells"].items():
        told = []
        for arm in arms:
            own = found["arms"][arm]["cells"][cell]
            shares = (own["bare"]["known"], own["placed"]["known"], own["not_reached"])
            text = " / ".join(percent(leaf) for leaf in shares)
            told.append(f"{text}; {points(own['bare']['change'])}" if "change" in own["bare"] else text)
        rows.append(_row([f"{cell}, {first['n_facts']:,}", *told]))
    return "\n".join(rows)


def head_of(study: Study) -> dict[str, Any]:
    """What each arm knows alone of the facts met oftenest, by kind: a list of its own."""
    facts = study.facts()
    facts = facts[facts.stratum == "head"]
    before = study.settings.contrast.before
    arms = [before, *(a for a, own in study.settings.arms.items() if own.traces is None and a != before)]
    known = {arm: study.known(arm) for arm in arms}
    found = table(facts, {arm: own[own.fid.isin(facts.fid)] for arm, own in known.items()}).to_json()
    names = ("known", "change", "n_facts")
    return {
        arm: {
            cell: {key: value for key, value in ({**own["bare"], **own}).items() if key in names}
            for cell, own in told["cells"].items()
            if cell.startswith("kind: ")
        }
        for arm, told in found["arms"].items()
    }


def head_table(found: Mapping[str, Any]) -> str:
    """A row a kind: known alone, the change against the arm before behind it."""
    arms = list(found)
    rows = [_row(["facts met oftenest", *arms]), _row(["---"] * (1 + len(arms)))]
    for cell, first in found[arms[0]].items():
        told = [
            percent(own["known"]) + (f"; {points(own['change'])}" if "change" in own else "")
            for own in (found[arm][cell] for arm in arms)
        ]
        rows.append(_row([f"{cell.partition(': ')[2]}, {first['n_facts']:,}", *told]))
    return "\n".join(rows)


def classes_table(found: Mapping[str, Any]) -> str:
    """A row an arm and form: the classes of all facts."""
    head = ["arm", "asked", "knew", "forgot", "learned", "never knew", "not decidable"]
    rows = [_row(head), _row(["---"] * len(head))]
    for arm, own in found["arms"].items():
        for form in ("bare", "placed"):
            classes = own["cells"]["all"][form].get("classes")
            if classes:
                where = "alone" if form == "bare" else f"in a {found['placed_in']}"
                rows.append(
                    f"| {arm} | {where} | " + " | ".join(percent(classes[name]) for name in CLASSES) + " |"
                )
    return "\n".join(rows)


def planted_table(found: Mapping[str, Any]) -> str:
    """A row a world: how often each interval covers 0."""
    names = [name for name in next(iter(found["worlds"].values())) if name.startswith("covers 0: ")]
    rows = [_row(["world", *(name.partition(": ")[2] for name in names)]), _row(["---"] * (1 + len(names)))]
    rows += [_row([world, *(f"{own[name]:.3f}" for name in names)]) for world, own in found["worlds"].items()]
    return "\n".join(rows)


def _row(cells: list[str]) -> str:
    return plain_signs(f"| {' | '.join(cells)} |")


def main() -> None:
    """Take the numbers of a study, if one is given, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, help="a study whose arms were asked")
    options = parser.parse_args()
    if options.study is not None:
        study = Study.open(options.study)
        write_json(NUMBERS, facts_of(study).to_json() | {"head": head_of(study)})
    found, text = read_json(NUMBERS), PAGE.read_text(encoding="utf-8")
    tables = {"facts": facts_table(found), "classes": classes_table(found)}
    tables["head"] = head_table(found["head"])
    tables["planted"] = planted_table(read_json(PLANTED))
    for name, own in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, n = mark.subn(lambda m, own=own: f"{m[1]}{own}\n{m[2]}", text)
        assert n == 1, f"{PAGE}: expected one table between <!-- {name} --> and <!-- /{name} -->, found {n}"
    write_text(PAGE, text)


if __name__ == "__main__":
    main()
