"""How often the rules for kinds of step agree with readers, on steps of real chains of thought.

    python scripts/step_kinds.py --traces ../shared/real/traces_gpt4o.jsonl --write

The steps are those that a study cuts, drawn at random for each of two models, and labelled twice by the guide
in docs/kinds.md, without the rules' answers (tests/kind_labels.json: digests and labels, no text).
Samples 1 to 4 were looked at while the rules were written; sample 5 was drawn and labelled when they were
done, and nothing was changed for it. Both passes are by one language model, in two orders: what they say
of each other is the most that can be hoped for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechcot.core.prompt_settings import PromptSettings
from mechcot.steps.table import pieces_of
from mechcot.tasks import Question
from mechcot.tasks.kinds import KINDS, VERSION, kind_of
from mechcot.tasks.multiple_choice import multiple_choice

ROOT = Path(__file__).parent.parent
LABELS, RESULT = ROOT / "tests" / "kind_labels.json", ROOT / "docs" / "kinds.json"
Step = tuple[Question, str]


def steps_of(traces: Path) -> dict[str, Step]:
    """Steps of the traces by digest, with their questions."""
    task, found = multiple_choice(PromptSettings(), "sentences"), {}
    for line in traces.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        options = [row["options"][letter] for letter in sorted(row["options"])]
        question = Question(row["qid"], "", row["question"], tuple(options), 0, row["qid"])
        for start, end, _ in pieces_of(row["text"], question, task):
            text = " ".join(row["text"][start:end].split())
            key = "\0".join((row["qid"], row["arm"], text)).encode()
            found[hashlib.sha256(key).hexdigest()[:12]] = (question, row["text"][start:end])
    return found


def agreement(labels: Sequence[dict[str, Any]], said: Sequence[str]) -> dict[str, Any]:
    """Against each pass: the share that agrees; between the passes: the share and Cohen's kappa."""
    passes = [[one["labels"][which] for one in labels] for which in (0, 1)]
    return {
        "n": len(labels),
        "accuracy": [_same(said, own) for own in passes],
        "kappa": [_kappa(said, own) for own in passes],
        "passes_agree": _same(*passes),
        "kappa_of_passes": _kappa(*passes),
        "confusion": confusion(passes[0], said),
    }


def confusion(true: Sequence[str], said: Sequence[str]) -> list[list[int]]:
    """Counts, a row a kind as labelled (first pass), a column a kind as found."""
    return [
        [sum(a == one and b == other for a, b in zip(true, said, strict=True)) for other in KINDS]
        for one in KINDS
    ]


def _same(one: Sequence[str], other: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def _kappa(one: Sequence[str], other: Sequence[str]) -> float:
    chance = sum(one.count(kind) * other.count(kind) for kind in KINDS) / len(one) ** 2
    return (_same(one, other) - chance) / (1 - chance)


def measured(steps: dict[str, Step]) -> dict[str, Any]:
    """Each group of samples."""
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    said = {one["step"]: kind_of(*steps[one["step"]]) for one in labels}
    found: dict[str, Any] = {"rules": VERSION, "kinds": list(KINDS)}
    for name, samples, arm in _GROUPS:
        own = [one for one in labels if one["sample"] in samples and arm in ("", one["arm"])]
        found[name] = agreement(own, [said[one["step"]] for one in own])
    return found


_GROUPS = (
    ("samples 1 to 4", (1, 2, 3, 4), ""),
    ("sample 5", (5,), ""),
    *((arm, (5,), arm) for arm in ("gpt-4o", "gpt-4o-mini")),
)
"""Samples and the model whose steps they are of; "": both."""


def speed(steps: dict[str, Step], rounds: int = 5) -> dict[str, float]:
    """Seconds that the rules take for a million steps: the fastest of some rounds over all steps."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        for question, text in steps.values():
            kind_of(question, text)
        taken.append((time.process_time() - start) / len(steps))
    return {"steps": len(steps), "seconds_per_million": round(min(taken) * 1e6, 1)}


def block(found: dict[str, Any]) -> str:
    """The tables of the page."""
    lines = ["| steps | agree with the labels | kappa | the passes agree | kappa |", "|---" * 5 + "|"]
    for name, *_ in _GROUPS:
        own = found[name]
        cells = [" / ".join(f"{x:.2f}" for x in own[key]) for key in ("accuracy", "kappa")]
        lines.append(
            f"| {name}: {own['n']} | {cells[0]} | {cells[1]} | {own['passes_agree']:.2f} | "
            f"{own['kappa_of_passes']:.2f} |"
        )
    for name in ("gpt-4o", "gpt-4o-mini"):
        lines += ["", f"| {name}: labelled | {' | '.join(f'found {kind}' for kind in KINDS)} |"]
        lines.append("|---" * (1 + len(KINDS)) + "|")
        for kind, row in zip(KINDS, found[name]["confusion"], strict=True):
            lines.append(f"| {kind} | {' | '.join(map(str, row))} |")
    took = found["speed"]
    lines += ["", f"A million steps take {took['seconds_per_million']:.0f} processor seconds."]
    return "\n".join(lines)


def main() -> None:
    """Print or write the agreement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--traces", type=Path, required=True, help="JSON Lines: qid, arm, question, options, text"
    )
    parser.add_argument("--write", action="store_true", help=f"into {RESULT.relative_to(ROOT)}")
    given = parser.parse_args()
    steps = steps_of(given.traces)
    found = measured(steps) | {"speed": speed(steps)}
    print(block(found))
    if given.write:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        page = RESULT.parent / "kinds.md"
        marks = r"(?s)(<!-- step_kinds.py -->\n).*?(<!-- /step_kinds.py -->)"
        page.write_text(re.sub(marks, lambda at: f"{at[1]}{block(found)}\n{at[2]}", page.read_text()))


if __name__ == "__main__":
    main()
