"""Draw the gallery of the documentation: the figures of a small study of the organism, as pictures.

    python scripts/gallery.py                        # makes the study first, a minute
    python scripts/gallery.py --study studies/small

Writes docs/gallery.md and docs/gallery/NAME.svg. A Chrome or Chromium is needed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mechcot
from mechcot import plots

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gallery.md"
FOLDER = ROOT / "docs" / "gallery"

Draw = Callable[[Any], Any]


def _curves(study: Any) -> Any:
    return plots.commitment_curves({arm: study.commitment(arm) for arm in ("base", "distilled")})


def _one_trace(study: Any) -> Any:
    found = study.commitment("distilled")
    locked = found.locks[found.locks["lock"].notna()].iloc[0]
    return found.trace(locked["qid"], locked["cid"]).figure()


FIGURES: dict[str, tuple[str, str, Draw]] = {
    "kinds": ("study.audit().figure()", "audit.md", lambda s: s.audit().figure()),
    "split": ("plots.split(study.audit())", "audit.md", lambda s: plots.split(s.audit())),
    "certainty": ("study.certainty().figure()", "audit.md", lambda s: s.certainty().figure()),
    "votes": ("study.answers().figure()", "answers.md", lambda s: s.answers().figure()),
    "gains": ("study.gains().figure()", "audit.md", lambda s: s.gains().figure()),
    "coupling": ("study.coupling().figure()", "audit.md", lambda s: s.coupling().figure()),
    "commitment": (
        'plots.commitment_curves({arm: study.commitment(arm) for arm in ("base", "distilled")})',
        "commitment.md",
        _curves,
    ),
    "trace": ("study.commitment().trace(qid, cid).figure()", "commitment.md", _one_trace),
    "hedge-words": ("study.hedge_words().figure()", "hedge.md", lambda s: s.hedge_words().figure()),
    "hedge": ("study.hedge().figure()", "hedge.md", lambda s: s.hedge().figure()),
    "probe": ('study.probe("distilled").figure()', "probes.md", lambda s: s.probe("distilled").figure()),
    "probe-map": (
        'plots.probe_map(study.probe("distilled"))',
        "probes.md",
        lambda s: plots.probe_map(s.probe("distilled")),
    ),
    "transfer": (
        'plots.probe_transfer(study.probe("distilled").transfer)',
        "probes.md",
        lambda s: plots.probe_transfer(s.probe("distilled").transfer),
    ),
    "knowledge": ("study.knowledge().figure()", "text-or-weights.md", lambda s: s.knowledge().figure()),
}
"""Name to the call that draws it, the page that explains it, and the function that does it here."""


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description="Draw the gallery of the documentation.")
    parser.add_argument("--study", type=Path, help="a finished study; none: a small one is made")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.study or Path(name) / "study"
        study = mechcot.run(folder, preset="organism-small", progress=False) if asked.study is None else None
        write(study or mechcot.Study.open(folder))


def write(study: Any) -> None:
    """The page and its pictures."""
    figures = {name: draw(study) for name, (_, _, draw) in FIGURES.items()}
    drawn = plots.pictures(list(figures.values()))
    if drawn is None:
        sys.exit("the gallery needs a Chrome or Chromium")
    FOLDER.mkdir(exist_ok=True)
    for name, picture in zip(figures, drawn, strict=True):
        (FOLDER / f"{name}.svg").write_text(picture + "\n", encoding="utf-8")
    n, settings = study.summary()["answers"]["base"]["n_questions"], study.settings
    blocks = [
        f"""# Gallery

Made by `python scripts/gallery.py` of a study of the organism (preset {study.summary()["study"]}, seed
{settings.seed}, {n} questions, a student of width {settings.organism.hidden_size}): they show what the
figures look like, and their numbers are those of a toy. Every figure states what it shows, with denominators
and intervals; in a notebook it is interactive, and the text of steps stands in the hover.
"""
    ]
    for name, (call, page, _) in FIGURES.items():
        said = figures[name].layout.meta["statement"]
        blocks.append(f"`{call}` ([{page.removesuffix('.md')}]({page}))\n\n![{said}](gallery/{name}.svg)\n")
    PAGE.write_text("\n".join(blocks), encoding="utf-8")


if __name__ == "__main__":
    main()
