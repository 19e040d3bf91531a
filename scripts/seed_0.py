"""What README and docs quote of the organism on seed 0, from one study.

    make run && python scripts/seed_0.py --study studies/organism

The quotes and the machine they were made on go to docs/seed-0.json and, from there, between their marks into
the pages; without --study the pages are written from the file. The study itself is only read.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from mechcot import Study
from mechcot.core.files import read_json, write_json, write_text
from mechcot.core.manifest import load_manifest
from mechcot.core.words import percent, plain_signs, points
from mechcot.pipeline.run import stages_of

ROOT = Path(__file__).parent.parent
QUOTES = ROOT / "docs" / "seed-0.json"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"(<!-- seed 0: ([\w-]+) -->)(.*?)(<!-- /seed 0 -->)", re.DOTALL)
DRY_JUDGE = {
    "base_url": "http://127.0.0.1:9/v1",
    "model": "kimi-k2.6",
    "api_key_env": None,
    "max_tokens": 300,
    "price_in": 0.6,
    "price_out": 2.5,
}
DRY_RUN = (
    "mechcot judge-controls studies/organism --judge kimi.yaml --rewriter kimi.yaml --questions 40 --dry-run"
)
EXACT = "mechcot judge-controls studies/organism --quiet"


def main() -> None:
    """Quote a study, if one is given, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, help="the organism's study on seed 0")
    options = parser.parse_args()
    if options.study is not None:
        write_json(QUOTES, quoted(options.study))
    quotes = read_json(QUOTES)["quotes"]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = written(text, quotes)
        if new != text:
            write_text(page, new)
            print(f"{page.relative_to(ROOT)}: written")


def written(page: str, quotes: dict[str, str]) -> str:
    """A page with every quote between its marks."""
    return MARKED.sub(lambda found: found[1] + quotes[found[2]] + found[4], page)


def quoted(path: Path) -> dict[str, Any]:
    """Every quote, and where it comes from."""
    study = Study.open(path)
    if study.settings.preset != "organism" or study.settings.seed != 0:
        sys.exit(
            f"{path} is of preset {study.settings.preset}, seed {study.settings.seed}: not the one quoted"
        )
    return {
        "machine": machine(),
        "versions": study.summary()["versions"],
        "quotes": {name: quote(study) for name, quote in MADE.items()},
    }


def machine() -> dict[str, Any]:
    """The kind of machine that this runs on."""
    told = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", told.read_text()) if told.exists() else []
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def headline(study: Study) -> str:
    """What happened to answers and steps, and to the controls."""
    summary, votes = study.summary(), study.result("answers")
    answers, audit, controls = summary["answers"], summary["audit"], summary["controls"]
    before, after = study.settings.contrast.before, study.settings.contrast.after
    named = [percent(votes[when]["answered_only"]["sc"]) for when in ("before", "after")]
    kind = machine()
    return _paragraph(
        f"On seed 0, answers by vote go from {percent(answers[before]['sc'])} to "
        f"{percent(answers[after]['sc'])} right (from {named[0]} to {named[1]} among traces that "
        f"name one of the options: {percent(votes['before']['share_no_answer'])} of the base's do not) "
        f"and wrong steps from {percent(audit[before]['error_rate'])} to "
        f"{percent(audit[after]['error_rate'])}. "
        f"With the terse teacher wrong steps change by {points(controls['terse']['delta_error'])}, "
        f"on the chain task by {points(controls['chain']['delta_error'])}. Measured on "
        f"{kind['cores']} cores of {kind['processor']} with torch {kind['torch']} (`scripts/seed_0.py`): "
        "other processors round otherwise, training makes other weights of it, and your numbers will differ."
    )


def time_taken(study: Study) -> str:
    """How long the stages took."""
    made = load_manifest(study.path)["stages"]  # of other settings too: only what these ask for counts
    seconds = sum(made[stage.name]["seconds"] for stage in stages_of(study, progress=False))
    return _paragraph(
        f"The stages of this study took {seconds // 60:.0f} min {seconds % 60:.0f} s on {os.cpu_count()} "
        "cores without a GPU, while other programs ran."
    )


def without_option(study: Study) -> str:
    """Traces of the base that name none of the options."""
    share = percent(study.result("answers")["before"]["share_no_answer"])
    return plain_signs(f"{share} on seed 0")


def malformed(study: Study) -> str:
    """Judged steps of the distilled arm that are no sentence of the language."""
    arm = study.settings.contrast.after
    steps = study.steps(arm)
    clinical = steps[steps.qid.isin(study.questions(study.settings.contrast.domain).qid)]
    judged = study.summary()["audit"][arm]["n_judged"]
    return (
        f"{(clinical.role == 'malformed').sum():,} of {judged:,} judged steps of the distilled arm on seed 0"
    )


def certainty(study: Study) -> str:
    """The text of the tests of the change in step error."""
    return _block(study.certainty().text().splitlines())


def gained(study: Study) -> str:
    """Whether the questions gained are those whose steps got worse."""
    gains = study.result("gains")
    gain, kept = (gains["transitions"][name]["change"] for name in ("gained", "kept_right"))
    return _paragraph(
        f"The step error of the questions gained changes by {points(gain)}, that of questions right before "
        f"and after by {points(kept)}; gained minus kept {points(gains['gained_minus_kept_right'])}."
    )


def coupling(study: Study) -> str:
    """Whether wrong claims and wrong answers go together, in both arms."""
    head = study.result("coupling")["contrasts"]["headline"]
    told = [
        f"in {own['arm']} clean traces are right in {percent(own['right_if_clean'])} and flawed ones in "
        f"{percent(own['right_if_flawed'])}, and among traces of one question the wrong one has more wrong "
        f"claims in {percent(own['auroc_same_question'])} of {own['n_pairs_same_question']:,} pairs"
        for own in (head["before"], head["after"])
    ]
    return _paragraph(f"On seed 0, {told[0]}; {told[1]}.")


def dry_run(study: Study) -> str:
    """The cost of all judge controls with a server's judge."""
    return _terminal(study, DRY_RUN)


def exact_controls(study: Study) -> str:
    """The judge controls under the exact checker."""
    return _terminal(study, EXACT)


def _terminal(study: Study, command: str) -> str:
    """A command typed beside a copy of the study, and what it printed, indented."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(study.path, Path(folder) / "studies" / "organism")
        (Path(folder) / "kimi.yaml").write_text(yaml.safe_dump(DRY_JUDGE))
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return _block([f"$ {command}", *done.stdout.strip("\n").splitlines()])


def _paragraph(text: str) -> str:
    return "\n" + textwrap.fill(plain_signs(text), 118, break_on_hyphens=False) + "\n"


def _block(lines: list[str]) -> str:
    return "\n\n" + "".join(f"    {line}".rstrip() + "\n" for line in lines) + "\n"


MADE: dict[str, Callable[[Study], str]] = {
    "headline": headline,
    "time": time_taken,
    "without-option": without_option,
    "malformed": malformed,
    "certainty": certainty,
    "gained": gained,
    "coupling": coupling,
    "dry-run": dry_run,
    "exact-controls": exact_controls,
}


if __name__ == "__main__":
    main()
