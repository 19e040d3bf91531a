"""Freeze what the analyses of a small study say, as tests/test_golden.py compares it.

    python scripts/golden.py            # the study anew, and all that is said of it
    python scripts/golden.py --changed  # what is said of the study as it was frozen

The first runs the organism at a small size (seed 0) and writes two archives into tests/golden:
`study.tar.xz`, the study up to its readings, and `expected.tar.xz`, what the analyses make of it:
results/*.json, summary.json, the terminal's table, and the report's text and figures. Frozen are inputs
and outputs of the analyses, not of the training: weights trained on another processor differ in their last
bits, and so do the texts sampled from them. Run the second where results change on purpose: it writes
`changed.json`, the leaves that are no longer what `expected.tar.xz` holds, and `report.txt`,
`terminal.txt` and `sentences.txt`, the words as they are now. It refuses an analysis whose result has
changed while its version has not: studies would keep the old result, and what reads it would not find
its keys.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import runpy
import sys
import tarfile
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mechcot
from mechcot.analyses.headline import headline_text
from mechcot.analyses.registry import ANALYSES
from mechcot.analyses.sections import findings_of, sections_of
from mechcot.pipeline import run as pipeline

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
SIZE = (
    "organism.hidden_size=32",
    "organism.pretrain_steps=450",
    "organism.teacher_traces=960",
)
MADE = ("results", "report.html", "summary.json", "work")
"""What the analyses and the report write; all else is what they read."""


class _Text(HTMLParser):
    """The words that a reader sees, and the figures' numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.figures = ""
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember whether a script or a style begins."""
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        """Forget it."""
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data: str) -> None:
        """Keep the text outside of them, and the figures."""
        if self._inside is None:
            self.words += data.split()
        elif self._inside == "figures":
            self.figures += data


def sentences(study: mechcot.Study) -> str:
    """The headlines of the report: section, part and sentence, a line each."""
    parts = [(own.name, part) for own in sections_of(findings_of(study)) for part in own.parts]
    return "\n".join(f"{section}\t{part.name}\t{part.sentence}" for section, part in parts)


def said(study: mechcot.Study) -> dict[str, str]:
    """Everything that a finished study says, by file name."""
    page = _Text()
    page.feed(study.report.read_text(encoding="utf-8"))
    text = re.sub(r"\S*" + re.escape(str(study.path)), "STUDY", " ".join(page.words))
    for version in set(study.summary()["versions"].values()):
        text = text.replace(version, "VERSION")
    text = re.sub(r"\b[0-9a-f]{8,}\b", "DIGEST", text)
    found = {
        f"results/{path.name}": path.read_text() for path in sorted((study.path / "results").glob("*.json"))
    }
    return found | {
        "summary.json": json.dumps({k: v for k, v in study.summary().items() if k != "versions"}, indent=1),
        "terminal.txt": headline_text(study.summary()),
        "report.txt": text,
        "sentences.txt": sentences(study),
        "figures.json": page.figures,
    }


def changed() -> None:
    """Write which leaves are no longer what was frozen, and the words as they are now."""
    compare = runpy.run_path(str(GOLDEN.parent / "test_golden.py"))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(GOLDEN / "study.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        found = said(pipeline.run(Path(folder) / "study", progress=False))
    leaves = {name: dict(compare["changes"](found, name)) for name in compare["frozen"]()}
    refuse_old_versions(found, leaves)
    text = json.dumps({name: own for name, own in leaves.items() if own}, indent=1, ensure_ascii=False)
    (GOLDEN / "changed.json").write_text(text + "\n", encoding="utf-8")
    sentences = re.sub(r"(?<=[.?;]) (?=\S)", "\n", found["report.txt"])
    (GOLDEN / "report.txt").write_text(sentences + "\n", encoding="utf-8")
    for name in ("terminal.txt", "sentences.txt"):
        (GOLDEN / name).write_text(found[name] + "\n", encoding="utf-8")


def versions_of(found: dict[str, str]) -> dict[str, list[Any]]:
    """By analysis: the version of its code, and a digest of the keys of its result."""
    compare = runpy.run_path(str(GOLDEN.parent / "test_golden.py"))
    own = {}
    for analysis in ANALYSES:
        result = found.get(f"results/{analysis.name}.json")
        if result is not None:
            keys = "\n".join(sorted(dict(compare["leaves"](json.loads(result)))))
            own[analysis.name] = [analysis.version, hashlib.sha256(keys.encode()).hexdigest()[:16]]
    return own


def refuse_old_versions(found: dict[str, str], leaves: dict[str, Any]) -> None:
    """Stop where a result is another one than under the same version; then write the versions of today."""
    path, before = GOLDEN / "versions.json", json.loads((GOLDEN / "changed.json").read_text())
    known, own = json.loads(path.read_text()) if path.exists() else {}, versions_of(found)
    compare = runpy.run_path(str(GOLDEN.parent / "test_golden.py"))
    old_names = {new: old for old, new in compare["FILES"].items()}
    for name, (version, keys) in own.items():
        file = old_names.get(f"results/{name}.json", f"results/{name}.json")
        told = [dict(part.get(file, {})) for part in (before, leaves)]
        same = not list(compare["differences"](told[1], told[0], compare["CLOSE"], str))
        if name in known and known[name][0] == version and not (known[name][1] == keys and same):
            raise SystemExit(
                f"the result of `{name}` is another one than under version {version}: raise its version in "
                "src/mechcot/analyses/registry.py, so that studies make it again"
            )
    path.write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Make the study and both archives."""
    with tempfile.TemporaryDirectory() as folder:
        study = mechcot.run(Path(folder) / "study", preset="organism-small", seed=0, overrides=SIZE)
        GOLDEN.mkdir(exist_ok=True)
        with tarfile.open(GOLDEN / "study.tar.xz", "w:xz") as archive:
            archive.add(study.path, "study", filter=lambda entry: None if _made(entry.name) else entry)
        with tarfile.open(GOLDEN / "expected.tar.xz", "w:xz") as archive:
            for name, text in said(study).items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))


def _made(name: str) -> bool:
    return Path(name).parts[1:2] != () and Path(name).parts[1] in MADE


if __name__ == "__main__":
    changed() if "--changed" in sys.argv[1:] else main()
