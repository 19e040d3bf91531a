"""How real chains of thought are cut, before and after the segmenters were renewed.

    PYTHONPATH=CHECKOUT/src python scripts/real_steps.py before
    python scripts/real_steps.py now

Counts, over the whole texts of the 400 traces in ../shared/real, what `mechcot.steps.segment` makes of them,
whichever mechcot is imported (before: a checkout of commit 6abd630), and how many texts of
tests/sentence_cuts.txt it cuts as they are marked. The counts go to docs/real-steps.json, their table into
docs/steps.md.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mechcot.core.files import write_text
from mechcot.steps import segment

ROOT = Path(__file__).parent.parent
COUNTS, PAGE = ROOT / "docs" / "real-steps.json", ROOT / "docs" / "steps.md"
TRACES = ROOT.parent / "shared" / "real" / "traces_gpt4o.jsonl"
HARD = ROOT / "tests" / "sentence_cuts.txt"
BLOCK = re.compile(r"(<!-- real-steps -->\n).*?(<!-- /real-steps -->)", re.DOTALL)
MARKS = re.compile(r"[\W_]*(?:\d{1,3}[.)])?[\W_]*")
"""A step that says nothing: no letter, and no number but a list's."""
LABELS = {
    "steps_per_trace": "steps per trace",
    "median_words": "words per step, median",
    "most_words": "words of the longest step",
    "one_word": "steps of one word",
    "marks": "steps of marks only",
    "single": "traces of one step",
}


def main() -> None:
    """Count with the mechcot that is imported, and write the table anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("code", choices=("before", "now"), help="which mechcot is imported")
    code = parser.parse_args().code

    texts = [json.loads(line)["text"] for line in TRACES.read_text(encoding="utf-8").splitlines()]
    counts = json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}
    counts[code] = {
        **{name: counted(texts, name) for name in ("sentences", "structural")},
        "hard": hard_cuts(HARD, lambda text: segment(text, "sentences")),
    }
    if code == "now":
        counts["sentencex alone"] = {"hard": hard_cuts(HARD, _alone)}
    write_text(COUNTS, json.dumps(counts, indent=1) + "\n")
    if {"before", "now"} <= counts.keys():
        page = BLOCK.sub(
            lambda match: match[1] + table(counts, len(texts)) + match[2], PAGE.read_text(encoding="utf-8")
        )
        write_text(PAGE, page)
        print(table(counts, len(texts)))


def counted(texts: list[str], segmenter: str) -> dict[str, float]:
    """The counts of one segmenter over all texts."""
    steps = [[text[start:end] for start, end in segment(text, segmenter)] for text in texts]
    words = [len(step.split()) for trace in steps for step in trace]
    return {
        "steps_per_trace": round(len(words) / len(texts), 2),
        "median_words": statistics.median(words),
        "most_words": max(words),
        "one_word": sum(n == 1 for n in words),
        "marks": sum(MARKS.fullmatch(step) is not None for trace in steps for step in trace),
        "single": sum(len(trace) == 1 for trace in steps),
    }


def hard_cuts(path: Path, cut: Callable[[str], list[tuple[int, int]]]) -> list[int]:
    """How many of the marked texts are cut as they are marked, and of how many."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    right = 0
    for line in lines:
        if "\\(" not in line:  # a line of mathematics has backslashes of its own
            for written, end in {"\\n": "\n", "\\r": "\r", "\\f": "\f", "\\x85": "\x85"}.items():
                line = line.replace(written, end)
        text = line.replace("|", "")
        found = [text[start:end].strip() for start, end in cut(text)]
        right += [piece for piece in found if piece] == [
            part.strip() for part in line.split("|") if part.strip()
        ]
    return [right, len(lines)]


def _alone(text: str) -> list[tuple[int, int]]:
    from sentencex import get_sentence_boundaries

    return [(found["start_index"], found["end_index"]) for found in get_sentence_boundaries("en", text)]


def table(counts: dict[str, Any], n: int) -> str:
    """The counts as Markdown."""
    head = f"| {n} traces | sentences, before | sentences | structural, before | structural |\n"
    head += "|---|---|---|---|---|\n"
    columns = [(name, code) for name in ("sentences", "structural") for code in ("before", "now")]
    rows = [
        f"| {label} | " + " | ".join(f"{counts[code][name][key]:g}" for name, code in columns) + " |\n"
        for key, label in LABELS.items()
    ]
    before, alone, now = (
        "{} of {}".format(*counts[code]["hard"]) for code in ("before", "sentencex alone", "now")
    )
    hard = f"{before} before, {alone} by sentencex alone, {now} now.\n"
    return head + "".join(rows) + "\nTexts of `tests/sentence_cuts.txt` cut as marked: " + hard


if __name__ == "__main__":
    main()
