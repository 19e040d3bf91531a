"""The numbers that docs/reading.md quotes, written from a run of the benchmark.

    python benchmarks/reading.py --out docs/reading-benchmark.json
    python scripts/reading_page.py

The tables go between the marks of docs/reading.md. A run of some jobs only, or with `--small`, is refused;
what a whole one had no time for is named.
Where there is no docs/reading-benchmark.json nothing stands between the marks.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from mechcot.core.files import read_json, write_text
from mechcot.core.words import plain_signs

ROOT = Path(__file__).parent.parent
PAGE, NUMBERS = ROOT / "docs" / "reading.md", ROOT / "docs" / "reading-benchmark.json"
BLOCK = re.compile(r"(<!-- reading benchmark -->\n).*?(<!-- /reading benchmark -->)", re.DOTALL)
JOBS = {"forced", "vocabulary", "branches", "activations", "length", "store"}

MEANS = {
    "over_bare": "forced answers and activations over the bare decoder",
    "over_bare_with_signals": "the same with entropy and surprisal, over the bare pass with logits",
    "vs_separate": "one run for each prefix, over ours",
    "vs_padded": "those runs padded, over ours",
    "vs_kv_branch": "a cached pass whose keys and values branch at every step, over ours",
    "activations_over_bare": "activations alone, over the bare decoder",
    "vs_nnsight": "nnsight's cache over ours",
    "vs_transformer_lens": "TransformerLens' `run_with_cache` over ours",
    "signals: over_bare_and_head": "262,144 tokens: signals, over the bare decoder and the head",
    "signals and forced answers: over_bare_and_head": "the same with forced answers",
    "peak_growth": "peak memory of a whole reading, 192 over 96 traces a question",
    "writing_share": "share of writing in a reading",
    "layer_over_memmap": "a layer read back, over a copy of a memory map",
}
"""What a ratio says, by its name; those of `branches` and `length` have tables of their own."""

PRICES = {
    "branches": "the price over the bare decoder",
    "length": "the same as traces grow, 14 steps each",
}


def main() -> None:
    """Write the page from the committed numbers."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    page = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, written(page, read_json(NUMBERS) if NUMBERS.exists() else None))


def written(page: str, told: dict[str, Any] | None) -> str:
    """The page with the numbers between its marks; None: there are none."""
    return BLOCK.sub(lambda found: found[1] + (block(told) if told else "") + found[2], page)


def block(told: dict[str, Any]) -> str:
    """Where it was measured, and every ratio beside its bound, in Markdown."""
    if told["small"] or {*told["jobs"]} != JOBS - {*told["left_out"]}:
        sys.exit(f"{NUMBERS.name}: a run of the jobs {told['jobs']}, small {told['small']}, is not quoted")
    ratios = {name: value for job in told["ratios"].values() for name, value in job.items()}
    parts = [
        _where(told),
        _table(
            ["ratio", "measured", "wanted"],
            [
                [text, f"{ratios[name]:.{2 if ratios[name] >= 0.1 else 3}f}", told["bounds"].get(name, "")]
                for name, text in MEANS.items()
                if name in ratios
            ],
        ),
        *(
            _prices(title, told["ratios"][job], told["bounds"])
            for job, title in PRICES.items()
            if job in told["jobs"]
        ),
        _table(
            ["peak memory above the model", "MB"],
            [
                [name, f"{megabytes:.0f}"]
                for job in told["megabytes"].values()
                for name, megabytes in job.items()
            ],
        ),
    ]
    return "\n".join(parts)


def _where(told: dict[str, Any]) -> str:
    kind, sizes = told["machine"], told["sizes"]["forced"]
    left_out = f" Left out for time: {', '.join(told['left_out'])}." if told["left_out"] else ""
    text = (
        f"Measured on {kind['processor']} ({kind['cores']} cores, one used) with torch {kind['torch']}: "
        f"the least processor time of up to {told['rounds']} rounds, {told['minutes']:.0f} minutes in all; "
        f"a Qwen3 of {sizes['parameters'] / 1e6:.0f} M random parameters, "
        f"{sizes['tokens of the traces']:,} tokens of traces and {sizes['distinct prefixes']:,} distinct "
        f"prefixes.{left_out}"
    )
    return textwrap.fill(plain_signs(text), 118, break_on_hyphens=False) + "\n"


def _prices(title: str, ratios: dict[str, float], bounds: dict[str, str]) -> str:
    """A row for each text: the price, and the price over what tokens predict, by both counts."""
    names = dict.fromkeys(name.split(": ")[0] for name in ratios if name.endswith(": measured"))
    columns = ("measured", "over_predicted", "over_computed")
    rows = [[name, *(_beside(ratios, bounds, f"{name}: {column}") for column in columns)] for name in names]
    growth = [
        [name, f"{value:.2f}", bounds.get(name, "")] for name, value in ratios.items() if "growth" in name
    ]
    head = [
        title,
        "times",
        "over tree tokens / trace tokens",
        "over tokens computed / tokens of the bare pass",
    ]
    table = _table(head, rows)
    return table + ("\n" + _table(["growth", "times", "wanted"], growth) if growth else "")


def _beside(ratios: dict[str, float], bounds: dict[str, str], name: str) -> str:
    return f"{ratios[name]:.2f}" + (f" ({bounds[name]})" if name in bounds else "")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
