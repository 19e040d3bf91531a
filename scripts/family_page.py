"""docs/families.md out of docs/families.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

INTRODUCTION = """# Families of models

Made by `python scripts/families.py` with Python {python}, torch {torch}, transformers {transformers},
nnsight {nnsight} and TransformerLens {transformer-lens}, in {minutes:.0f} minutes of processor time; the
numbers and the whole reasons are in [families.json](families.json). `--only NAME ...` makes some rows
anew.{stale}

Every family of the installed transformers that has a causal LM head, by its `model_type`, as a tiny random
checkpoint (`scripts/family_models.py`) that is saved, loaded, and compared with plain runs of the model in
memory (`scripts/family_checks.py`):

- **check**: `mechcot check` passes;
- **reading**: forced answers, surprisals and the stream at each layer, each against one plain run of its very
  text and transformers' own `hidden_states`; (t): it is read text by text;
- **knock-out**: a step hidden, against plain runs whose `attention_mask` is 0 there;
- **interventions**: a vector added, or put in place of a stream, against one plain hook;
- **sampling**: the recorded log-probability of completions of prompts of three lengths, some stopped early,
  against one plain run over each;
- **nnsight**, **TransformerLens**: streams (and logits) through the bridge.

A number is the largest deviation (nats, nats a token, or the share of the largest entry; allowed is
{allowed:g}); a number in brackets is the reason below: why it is refused, by an error that names it, was not
built here, or has nothing in transformers to be compared with. "Text by text" and "true" are of these tiny
checkpoints and short texts; `mechcot check` asks the same of a checkpoint of yours.
"""


def page_of(result: Mapping[str, Any]) -> str:
    """The page: introduction, counts, the table, and its reasons."""
    from family_checks import ALLOWED, COLUMNS, OUTCOMES

    families = result["families"]
    minutes = sum(row["seconds"] for row in families.values()) / 60
    old = sum(row["source"] != result["source"] for row in families.values())
    stale = f" {old} rows were made by earlier code." if old else ""
    if result["left"]:
        stale += f" **{len(result['left'])} families are not done yet**; the same command goes on."
    reasons: dict[str, int] = {}
    rows = [["family", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for name, row in families.items():
        rows.append([f"`{name}`", *(_cell(row["cells"][column], reasons) for column in COLUMNS)])
    counts = [["", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for outcome in OUTCOMES:
        found = [Counter(row["cells"][c]["outcome"] for row in families.values())[outcome] for c in COLUMNS]
        if any(found) or outcome == "MISMATCH":
            counts.append([outcome, *map(str, found)])
    parts = [
        INTRODUCTION.format(minutes=minutes, allowed=ALLOWED, stale=stale, **result["made"]),
        f"## {len(families)} families\n\n{_table(counts)}",
        f"## Each of them\n\n{_table(rows)}",
        "## Reasons\n\n" + "\n".join(f"{number}. {reason}" for reason, number in reasons.items()) + "\n",
    ]
    return "\n".join(parts)


def _cell(cell: Mapping[str, Any], reasons: dict[str, int]) -> str:
    if cell["outcome"] == "true":
        return f"{cell['found']:.0e}" + (" (t)" if "text by text" in cell["says"] else "")
    if cell["outcome"] == "MISMATCH":
        return f"**MISMATCH** {cell['found']:.0e}"
    reason = " ".join(cell["says"].split()).replace("|", "/").replace("<", "&lt;")
    reason = reason if len(reason) <= 300 else reason[:300] + "..."
    number = reasons.setdefault(reason, len(reasons) + 1)
    return f"{cell['outcome']} ({number})"


def _table(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
