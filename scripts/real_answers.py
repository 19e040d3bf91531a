"""Read the answers of 400 real chains of thought, and write what came out into docs/answers.md.

    python scripts/real_answers.py ../shared/real/traces_gpt4o.jsonl

`predicted` in that file was read from a second, structured call to the same model: a label, not the truth.
So agreement is shown for each arm and set of questions, and in both directions: of the traces that the rules
read, how many as labelled, and of all, how many are read. "Before" are the counts of commit 6abd630:

    git worktree add /tmp/before 6abd630
    PYTHONPATH=/tmp/before/src python scripts/real_answers.py FILE --only-count
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question, read_answer
from mechcot.tasks.base import LETTERS
from mechcot.tasks.multiple_choice import prompt_format

PAGE = Path(__file__).parent.parent / "docs" / "answers.md"
BEGIN, END = "<!-- real_answers.py -->\n", "<!-- /real_answers.py -->\n"
BEFORE = {
    ("gpt-4o", "medmcqa"): (1, 0), ("gpt-4o", "medqa"): (0, 0),
    ("gpt-4o-mini", "medmcqa"): (0, 0), ("gpt-4o-mini", "medqa"): (0, 0),
}  # fmt: skip
"""Traces read as labelled, and otherwise, at commit 6abd630."""


def main() -> None:
    """Count, and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--only-count", action="store_true", help="print the counts and write nothing")
    options = parser.parse_args()
    counts, rules = count(options.traces)
    if options.only_count:
        print({key: (own["as labelled"], own["otherwise"]) for key, own in sorted(counts.items())})
        return
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(head + BEGIN + table(counts, rules) + END + tail, encoding="utf-8")


def count(path: Path) -> tuple[dict[tuple[str, str], Counter[str]], dict[str, Counter[str]]]:
    """Outcomes by arm and set of questions, and rules by arm."""
    form = prompt_format(PromptSettings())
    counts: dict[tuple[str, str], Counter[str]] = {}
    rules: dict[str, Counter[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        question = Question(row["qid"], "all", row["question"], tuple(row["options"].values()), 0, "g")
        answer = read_answer(row["text"], question, form, "stop")
        said = LETTERS[answer.option] if answer.option >= 0 else None
        outcome = "none" if said is None else "as labelled" if said == row["predicted"] else "otherwise"
        counts.setdefault((row["arm"], row["qid"].split("-")[0]), Counter())[outcome] += 1
        rules.setdefault(row["arm"], Counter())[answer.rule] += 1
    return counts, rules


def table(counts: dict[tuple[str, str], Counter[str]], rules: dict[str, Counter[str]]) -> str:
    """Both tables in Markdown."""
    columns = ["arm", "questions", "traces", "before", "as_labelled", "otherwise", "none", "precision"]
    lines = [f"| {' | '.join(columns)} |".replace("_", " "), "|---" * len(columns) + "|"]
    for (arm, questions), own in sorted(counts.items()):
        read = own["as labelled"] + own["otherwise"]
        lines.append(
            f"| {arm} | {questions} | {own.total()} | {BEFORE[arm, questions][0]} | {own['as labelled']} | "
            f"{own['otherwise']} | {own['none']} | {own['as labelled'] / read:.3f} |"
        )
    lines += ["", "| rule | " + " | ".join(sorted(rules)) + " |", "|---|" + "---|" * len(rules)]
    total = sum(rules.values(), Counter())
    names = [name for name, _ in total.most_common()]
    lines += [
        f"| `{name}` | " + " | ".join(str(rules[arm][name]) for arm in sorted(rules)) + " |" for name in names
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
