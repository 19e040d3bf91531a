"""Draw the gallery of the documentation: the figures of a small study of the organism, as pictures.

    mechcot run studies/organism
    python scripts/gallery.py --study studies/organism

Writes docs/gallery.md and docs/gallery/NAME.svg. A Chrome or Chromium is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import mechcot
from mechcot import plots

SHOWN = "studies/organism"
"""The study that the page names."""
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gallery.md"
FOLDER = ROOT / "docs" / "gallery"

PRELUDE = """import mechcot
from mechcot import plots

study = mechcot.Study.open("{study}")
base, distilled = study.commitment("base"), study.commitment("distilled")
probe = study.probe("distilled")
locked = distilled.locks.dropna(subset=["lock"]).iloc[0]  # one trace that settles
"""
"""What every line of the page takes for granted; it is run here as it stands there."""

FIGURES = {
    "kinds": ("study.audit().figure()", "audit.md"),
    "split": ("plots.split(study.audit())", "audit.md"),
    "certainty": ("study.certainty().figure()", "audit.md"),
    "votes": ("study.answers().figure()", "answers.md"),
    "gains": ("study.gains().figure()", "audit.md"),
    "coupling": ("study.coupling().figure()", "audit.md"),
    "commitment": ('plots.commitment_curves({"base": base, "distilled": distilled})', "commitment.md"),
    "compared": ("mechcot.commitment.compare(base, distilled).figure()", "commitment.md"),
    "trace": ("distilled.trace(locked.qid, locked.cid).figure()", "commitment.md"),
    "hedge-words": ("study.hedge_words().figure()", "hedge.md"),
    "hedge": ("study.hedge().figure()", "hedge.md"),
    "probe": ("probe.figure()", "probes.md"),
    "probe-map": ("plots.probe_map(probe)", "probes.md"),
    "transfer": ("probe.transfer.figure()", "probes.md"),
    "knowledge": ("study.knowledge().figure()", "text-or-weights.md"),
}
"""Name to the line that draws it, and the page that explains it."""

HEAD = """# Gallery

The figures of a study of the organism (preset {preset}, seed {seed}, {n} questions, a student of width
{width}): they show what figures look like, and their numbers are those of a toy. Every figure states what it
shows, with denominators and intervals; in a notebook it is interactive, and the text of steps stands in the
hover. The study, and this page:

    mechcot run {study}
    python scripts/gallery.py --study {study}

Every line below runs after these:

```python
{prelude}```

## Keep a figure

- In the report, each figure has buttons: PNG, and CSV for its numbers.
- `plots.save(figure, "kinds.html")` writes one file that every browser opens and that stays interactive.
- `plots.save(figure, "kinds.svg")`, or `.png`, draws a picture, where a Chrome or Chromium is installed.
- `figure.write_image("kinds.pdf")` is plotly's own: it needs `pip install kaleido`, and a Chrome.
- `result.to_frame().to_csv("kinds.csv")` has the numbers. A result without a figure says in its error what
  shows it instead.

## The figures
"""


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description="Draw the gallery of the documentation.")
    parser.add_argument("--study", type=Path, default=Path(SHOWN), help=f"finished; {SHOWN} by default")
    write(parser.parse_args().study)


def figures_of(folder: Path) -> dict[str, Any]:
    """The figures of a study, each drawn by the line that stands beside it on the page."""
    known: dict[str, Any] = {}
    exec(PRELUDE.format(study=folder), known)
    for name, (call, _) in FIGURES.items():
        exec(f"drawn_{name.replace('-', '_')} = {call}", known)
    return {name: known[f"drawn_{name.replace('-', '_')}"] for name in FIGURES}


def write(folder: Path) -> None:
    """The page and its pictures."""
    figures, study = figures_of(folder), mechcot.Study.open(folder)
    drawn = plots.pictures(list(figures.values()))
    if drawn is None:
        sys.exit("the gallery needs a Chrome or Chromium")
    FOLDER.mkdir(exist_ok=True)
    for name, picture in zip(figures, drawn, strict=True):
        (FOLDER / f"{name}.svg").write_text(picture + "\n", encoding="utf-8")
    told = {
        "preset": study.summary()["study"],
        "seed": study.settings.seed,
        "n": study.summary()["answers"]["base"]["n_questions"],
        "width": study.settings.organism.hidden_size,
    }
    blocks = [HEAD.format(**told, study=SHOWN, prelude=PRELUDE.format(study=SHOWN))]
    for name, (call, page) in FIGURES.items():
        said = figures[name].layout.meta["statement"]
        blocks.append(f"`{call}` ([{page.removesuffix('.md')}]({page}))\n\n![{said}](gallery/{name}.svg)\n")
    PAGE.write_text("\n".join(blocks), encoding="utf-8")


if __name__ == "__main__":
    main()
