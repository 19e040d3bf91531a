"""The published outputs of the second paper, scored again by id: the table of docs/traces.md.

    git clone https://github.com/sbhambr1/Trace_Check_QA /tmp/published
    python scripts/rescore_traces.py /tmp/published
    python scripts/rescore_traces.py                # writes the page anew from docs/traces-rescored.json

Nothing of the repository is kept: docs/traces-rescored.json holds counts. What the released evaluator reads
wrongly is counted from its rule alone: the first row whose answers, as a text, hold the first right one.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.analyses.traces.analysis import arm_traces
from mechcot.core import files
from mechcot.core.words import change, listed, percent, signed
from mechcot.stats.two_by_two import phi
from mechcot.tasks.base import Question
from mechcot.tasks.cotemp import CLASSES, VERIFIABLE
from mechcot.tasks.trace_table import check_rows

ROOT = Path(__file__).parent.parent
TABLE, PAGE = ROOT / "docs" / "traces-rescored.json", ROOT / "docs" / "traces.md"
OUTPUTS = "results/Cotempqa/evaluation_outputs"
STUDENTS = ("Llama-3.2-1B-Instruct", "Qwen3-1.7B", "Llama-3.1-8B-Instruct", "Qwen3-8B")
TAUGHT = {"correct": "reasoning-facts", "incorrect": "reasoning-facts-perturbed"}


def outputs(file: Path) -> Iterator[dict[str, Any]]:
    """Objects one after the other, whatever stands between them."""
    text, at, decoder = file.read_text(encoding="utf-8"), 0, json.JSONDecoder()
    while (start := text.find("{", at)) >= 0:
        found, at = decoder.raw_decode(text, start)
        yield found


def items(text: str) -> str:
    """The answers of an output, as a study writes them."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        found = text.strip().strip("[]\"'")
    return "; ".join(map(str, found if isinstance(found, list | tuple) else [found]))


def scored(repository: Path, student: str, taught: str) -> dict[str, Any] | None:
    """One student's outputs of all classes, each against its own question; None: they are not there."""
    questions: dict[str, Question] = {}
    rows = []
    for relation in CLASSES:
        file = repository / OUTPUTS / relation / f"{student}-sft-adapter-{taught}_default.json"
        if not file.exists():
            return None
        for number, one in enumerate(outputs(file)):
            qid, said = f"{relation}-{number}", one["prediction"]
            stem = "\n".join(one["facts"]) + f"\n\n{one['question']}"
            gold = ("; ".join(one["gold"]),)
            questions[qid] = Question(qid, relation, stem, gold, 0, qid, open=True)
            thought = re.search(r"<think>(.*?)(?:</think>|<answer>|$)", said, re.S)
            answer = re.search(r"<answer>(.*?)(?:</answer>|$)", said, re.S)
            rows.append((qid, 0, thought[1] if thought else "", items(answer[1]) if answer else None))
    arm = arm_traces(student, check_rows(VERIFIABLE, questions, rows), VERIFIABLE).to_json()
    names = ("counts", "n_traces", "n_entities", "n_unevaluable", "n_no_answer", "accuracy")
    names += ("right_if_correct", "right_if_not", "phi", "log_mantel_haenszel", "follows", "holds_answer")
    steps = {
        name: {key: own[key] for key in ("correct", "right_if_correct", "right_if_wrong")}
        for name, own in arm["sub_steps"].items()
    }
    return {name: arm[name] for name in names} | {"sub_steps": steps}


def published(repository: Path) -> dict[str, Any]:
    """The counts that the repository itself gives, and phi of them."""
    found = {}
    for how, taught in TAUGHT.items():
        for student in STUDENTS:
            name = f"{student}-sft-adapter-{taught}_default_confusion_matrix.json"
            file = repository / "results" / "Cotempqa" / "confusion_matrix" / name
            if file.exists():
                own = json.loads(file.read_text())["matrix3"]
                kinds = ("correct", "incorrect")
                counts = [own[f"{answer}_answer_{trace}_trace"] for trace in kinds for answer in kinds]
                tie = float(phi(np.array([counts]))[0])
                found[f"{student}, taught {how}"] = {"counts": list(map(int, counts)), "phi": tie}
    return found


def misread(repository: Path) -> dict[str, int]:
    """Rows whose right record is sought by the first answer that holds theirs, and is another question's."""
    found = {"n": 0, "n_misread": 0}
    for relation in CLASSES:
        file = repository / OUTPUTS / relation / f"{STUDENTS[0]}-sft-adapter-{TAUGHT['correct']}_default.json"
        golds = [one["gold"] for one in outputs(file)]
        for number, own in enumerate(golds):
            first = next((i for i, other in enumerate(golds) if own[0] in str(other)), None)
            found["n"] += 1
            found["n_misread"] += first != number
    return found


def lines(told: dict[str, Any]) -> str:
    """Rows of the table in Markdown."""
    head = (
        "student", "both", "trace alone", "answer alone", "neither", "right answer, trace right",
        "trace not right", "phi", "answer follows trace", "right answers",
    )  # fmt: skip
    out = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in (f"{student}, taught {how}" for how in TAUGHT for student in STUDENTS):
        if name not in told:
            continue
        own = told[name]
        n = own["counts"]
        cells = [name, *(f"{n[cell]}" for cell in ("both", "trace_only", "answer_only", "neither"))]
        cells += [percent(own[key]) for key in ("right_if_correct", "right_if_not")]
        cells += [change(own["phi"], 2), percent(own["follows"]), percent(own["accuracy"])]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def by_id(told: dict[str, Any]) -> str:
    """What the table says of students taught right traces and of those taught wrong ones."""
    taught = {
        how: {s: told[f"{s}, taught {how}"] for s in STUDENTS if f"{s}, taught {how}" in told}
        for how in TAUGHT
    }
    right, wrong = taught["correct"], taught["incorrect"]
    facts = [own["sub_steps"]["facts"] for own in right.values()]
    moved = [
        f"{signed(100 * (wrong[s]['accuracy']['estimate'] - right[s]['accuracy']['estimate']))} ({s})"
        for s in STUDENTS
        if s in right and s in wrong
    ]
    tie = _ends(right.values(), "phi", lambda value: f"{value:.2f}")
    given_right, given_wrong = (_ends(facts, f"right_if_{what}", _whole) for what in ("correct", "wrong"))
    follows = _ends(wrong.values(), "follows", lambda value: f"{100 * value:.1f}")
    return (
        f"Read by id, students taught correct traces have phi {tie}; their answers are right in "
        f"{given_right} % where the facts are right and in {given_wrong} % where they are wrong. Students "
        "taught wrong traces less the same model taught correct ones, points of right answers: "
        f"{listed(moved)}. Of their answers {follows} % follow their traces."
    )


def _ends(rows: Iterable[dict[str, Any]], name: str, write: Callable[[float], str]) -> str:
    values = [row[name]["estimate"] for row in rows]
    return f"{write(min(values))} to {write(max(values))}"


def _whole(value: float) -> str:
    return f"{100 * value:.0f}"


def main() -> None:
    """Score, and put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("repository", type=Path, nargs="?")
    repository = parser.parse_args().repository
    if repository is not None:
        told = {
            f"{student}, taught {how}": found
            for how, taught in TAUGHT.items()
            for student in STUDENTS
            if (found := scored(repository, student, taught)) is not None
        }
        rows, theirs = misread(repository), published(repository)
        asked = ["git", "-C", str(repository), "rev-parse", "--short=7", "HEAD"]
        commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        files.write_json(TABLE, {"commit": commit, "misread": rows, "published": theirs, "students": told})
    page()


def page() -> None:
    """Put the table into the page."""
    found = json.loads(files.read_text(TABLE))
    rows, theirs = found["misread"], found["published"]
    blocks = {
        "rescored": f"\n{lines(found['students'])}\n",
        "misread": f"{rows['n_misread']} of {rows['n']}",
        "by-id": by_id(found["students"]),
        "published": ", ".join(f"{name} {own['phi']:.2f}" for name, own in theirs.items()),
    }
    text = files.read_text(PAGE)
    for mark, block in blocks.items():
        head, _, rest = text.partition(f"<!-- {mark} -->")
        text = f"{head}<!-- {mark} -->{block}<!-- /{mark} -->{rest.partition(f'<!-- /{mark} -->')[2]}"
    files.write_text(PAGE, text)


if __name__ == "__main__":
    main()
