"""How often the lexicon of hedges agrees with readers, on sentences of real chains of thought.

    python scripts/hedge_words.py --traces ../shared/real/traces_gpt4o.jsonl --write

The sentences were drawn from real traces and labelled twice by a written guide, by language models; neither
pass saw the other or the lexicon's answers (tests/hedge_labels.json: digests and labels, no text). Samples 1
and 2 were looked at while the lexicon was written; sample 3 was drawn and labelled afterwards, and nothing
was changed for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechcot.steps.hedge_words import VERSION, found_in
from mechcot.steps.segment import pieces

ROOT = Path(__file__).parent.parent
LABELS, RESULT = ROOT / "tests" / "hedge_labels.json", ROOT / "docs" / "hedge-words.json"


def sentences_of(traces: Path) -> dict[str, str]:
    """Sentences of the traces by digest, blanks folded."""
    found = {}
    for line in traces.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        for start, end, _ in pieces(text, "sentences", 50):
            sentence = " ".join(text[start:end].split())
            found[hashlib.sha256(sentence.encode()).hexdigest()[:12]] = sentence
    return found


def agreement(labels: Sequence[dict[str, Any]], texts: dict[str, str]) -> dict[str, Any]:
    """Precision and recall against each pass, and what the passes say of each other (Cohen's kappa)."""
    said = [bool(found_in(texts[one["sentence"]])) for one in labels]
    passes = [[bool(one["labels"][which]) for one in labels] for which in (0, 1)]
    n = len(labels)
    same = sum(a == b for a, b in zip(*passes, strict=True)) / n
    shares = [sum(own) / n for own in passes]
    chance = shares[0] * shares[1] + (1 - shares[0]) * (1 - shares[1])
    against = [
        {
            "hedged": sum(own),
            "precision": sum(a and b for a, b in zip(said, own, strict=True)) / max(1, sum(said)),
            "recall": sum(a and b for a, b in zip(said, own, strict=True)) / max(1, sum(own)),
        }
        for own in passes
    ]
    return {"n": n, "found": sum(said), "kappa_of_passes": (same - chance) / (1 - chance), "passes": against}


def measured(traces: Path) -> dict[str, Any]:
    """All samples."""
    texts, labels = sentences_of(traces), json.loads(LABELS.read_text(encoding="utf-8"))
    samples = sorted({one["sample"] for one in labels})
    return {"lexicon": VERSION} | {
        f"sample {sample}": agreement([one for one in labels if one["sample"] == sample], texts)
        for sample in samples
    }


def block(found: dict[str, Any]) -> str:
    """A row a sample, as a table of the page."""
    lines = [
        "| sentences | labelled as hedged | found | precision | recall | kappa of the passes |",
        "|---" * 6 + "|",
    ]
    for name, own in found.items():
        if name.startswith("sample"):
            cells = [
                " / ".join(f"{one[key]:.2f}" for one in own["passes"]) for key in ("precision", "recall")
            ]
            hedged = " / ".join(str(one["hedged"]) for one in own["passes"])
            lines.append(
                f"| {name}: {own['n']} | {hedged} | {own['found']} | {cells[0]} | {cells[1]} | "
                f"{own['kappa_of_passes']:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Print or write the agreement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="JSON Lines with a `text` each")
    parser.add_argument("--write", action="store_true", help=f"into {RESULT.relative_to(ROOT)}")
    given = parser.parse_args()
    found = measured(given.traces)
    print(block(found))
    if given.write:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        page = RESULT.parent / "hedge.md"
        marks = r"(?s)(<!-- hedge_words.py -->\n).*?(<!-- /hedge_words.py -->)"
        page.write_text(re.sub(marks, lambda at: f"{at[1]}{block(found)}\n{at[2]}", page.read_text()))


if __name__ == "__main__":
    main()
