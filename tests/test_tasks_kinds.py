"""Kinds of step by rules: examples, hostile texts, and agreement with labels on real steps."""

import json
import runpy
import time
from pathlib import Path

import pytest

from mechcot.analyses.kinds.labels import SHIPPED
from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question
from mechcot.tasks.kinds import KINDS, VERSION, kind_of
from mechcot.tasks.multiple_choice import multiple_choice

ROOT = Path(__file__).parent.parent
TRACES = ROOT.parent / "shared" / "real" / "traces_gpt4o.jsonl"
QUESTION = Question(
    "q",
    "",
    "A 40-year-old farmer has had fever and a painful knee for three days. Uric acid is 9 mg/dL. What is the "
    "most likely diagnosis?",
    ("Gout", "Septic arthritis", "Lyme disease", "Osteoarthritis"),
    0,
    "q",
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("finding", "- The patient has had fever for three days."),
        ("finding", "Painful knee, fever."),
        ("finding", "- **Uric acid**: 9 mg/dL (elevated)"),
        ("mechanism", "Urate crystals form where uric acid is high."),
        ("mechanism", "2. **Lyme disease**: It is caused by a spirochete that ticks carry."),
        ("elimination", "(D) **Osteoarthritis**: This is less likely, as it brings no fever."),
        ("elimination", "Septic arthritis does not explain the uric acid."),
        ("conclusion", "These findings suggest an attack of gout."),
        ("conclusion", "Therefore, the diagnosis is gout."),
        ("conclusion", "**Conclusion**: it is gout."),
        ("conclusion", "Therefore, the correct answer is:"),
        ("other", "Let's go through the options one by one:"),
        ("other", "3. **Laboratory values**:"),
        ("other", "(B) Septic arthritis"),
        ("other", "To answer this question, we need to consider the joints."),
        ("other", "***"),
        ("other", ""),
    ],
)
def test_examples(kind, text):
    assert kind_of(QUESTION, text) == kind


def test_the_same_words_are_a_finding_where_the_question_says_them():
    text = "The knee is often painful."
    assert kind_of(QUESTION, "Fever, knee, painful, three days.") == "finding"
    assert kind_of(QUESTION, text) == "mechanism"
    other = Question("r", "", "Which joint is it?", ("Knee", "Hip"), 0, "r")
    assert kind_of(other, "Fever, knee, painful, three days.") == "mechanism"


@pytest.mark.parametrize(
    "text", ["the " * 30_000, "not " * 30_000, "(" * 60_000, "a:" * 30_000, "most " * 20_000, "é\0" * 9_000]
)
def test_a_hostile_text_takes_no_time(text):
    start = time.process_time()
    assert kind_of(QUESTION, text) in KINDS
    assert time.process_time() - start < 1


def test_the_task_of_any_questions_sorts_by_these_rules():
    task = multiple_choice(PromptSettings(), "sentences")
    assert (task.role, task.kinds) == (kind_of, KINDS)


def test_the_mistakes_that_come_with_mechcot_are_those_of_the_page():
    told = json.loads((ROOT / "docs" / "kinds.json").read_text())
    assert (told["rules"], tuple(told["kinds"])) == (VERSION, KINDS)
    for arm, counts in SHIPPED.items():
        assert [list(row) for row in counts] == told[arm]["confusion"]


@pytest.mark.skipif(not TRACES.is_file(), reason=f"the real traces are not at {TRACES}")
def test_on_steps_of_real_traces_the_rules_agree_with_the_labels_as_written():
    """All labelled steps are found by their digests, and the counts of docs/kinds.json are made again."""
    script = runpy.run_path(str(ROOT / "scripts" / "step_kinds.py"))
    found = script["measured"](script["steps_of"](TRACES))
    told = json.loads((ROOT / "docs" / "kinds.json").read_text())
    assert found == {name: told[name] for name in found}
    held_out = found["sample 5"]
    assert held_out["n"] >= 120
    assert min(held_out["accuracy"]) > 0.75
    assert {one["arm"] for one in json.loads(script["LABELS"].read_text())} == {"gpt-4o", "gpt-4o-mini"}
