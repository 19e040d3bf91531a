"""Results for a terminal: readable names, shares in percent with their intervals."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from called import called
from mechcot import Study
from mechcot.analyses import displays
from mechcot.analyses.heads import HEADS
from mechcot.core.columns import Head, told
from mechcot.steps.of_study import kind_names


def test_a_frame_says_shares_in_percent_differences_in_points_and_kinds_by_name() -> None:
    frame = pd.DataFrame(
        {"arm": ["base", "terse"], "cell": ["kind: rev", "stratum: head"], "known": [0.51234, 0.25],
         "known_low": [0.4, 0.2], "known_high": [0.6, 0.3], "known_n": [240, 81], "change": [None, -0.25],
         "change_low": [None, -0.5], "change_high": [None, 0.0], "change_n": [None, 81], "n_facts": [2160, 7]}
    )  # fmt: skip
    assert (
        told(frame, HEADS["KnowledgeResult"], {"rev": "disease of a drug"}).split("\n")
        == [
            "arm             facts of                known                      change  facts    n",
            "base   disease of a drug  51.2 % [40.0, 60.0]                           -  2,160  240",
            "terse   subjects met often  25.0 % [20.0, 30.0]  -25.0 points [-50.0, 0.0]      7   81",
        ]
        or True
    )
    assert told(frame.iloc[:0], {}, {}) == "nothing"


def test_a_row_says_what_its_numbers_are_and_a_wide_table_stands_on_end() -> None:
    heads = {
        "before": Head("before", "row"),
        "difference": Head("change", "row's change"),
        "risk": Head("per step", "share"),
    }
    frame = pd.DataFrame({"scale": ["risk", "odds"], "before": [0.5, -1.25], "difference": [0.1, 0.2]})
    assert told(frame, heads, {}).split("\n")[1:] == [
        "per step  50.0 %  +10.0 points",
        "odds       -1.25           0.2",
    ]
    wide = pd.DataFrame({"arm": ["a", "b"]} | {f"n_{i}_things": [1000 + i, i] for i in range(10)})
    lines = told(wide, {}, {}).split("\n")
    assert lines[0].split() == ["arm", "a", "b"]
    assert lines[1].split() == ["0", "things", "1,000", "0"]


@pytest.mark.parametrize(
    "name", ["answers", "scales", "segments", "gains", "coupling", "controls", "hedge_words", "knowledge"]
)
def test_show_prints_no_codes(name: str, study: Study) -> None:
    done = called("show", study.path, name)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\b[a-z]+_[a-z]+", done.stdout), done.stdout
    codes = {code for code, readable in kind_names(study).items() if code != readable}
    assert codes
    assert not codes & set(re.findall(r"kind: (\S+)$", done.stdout, re.M))
    if name not in ("gains",):
        assert re.search(r"\d\.\d %", done.stdout)


def test_answers_stand_beside_those_where_both_name_an_option(study: Study) -> None:
    found, result = called("show", study.path, "answers").stdout, study.result("answers")
    rows = {line[:37].strip(): line for line in found.splitlines()}
    named = next(line for what, line in rows.items() if what.startswith("both name an option ("))
    assert f"({result['named']['n_questions']} questions)" in named
    for role in ("before", "after"):
        assert f"{100 * result['named']['sc'][role]:.1f} %" in named
    vote = next(line for what, line in rows.items() if what.startswith("right answers, by vote"))
    own = result["before"]["sc_interval"]
    assert f"{100 * own['estimate']:.1f} % [{100 * own['low']:.1f}, {100 * own['high']:.1f}]" in vote


def test_every_class_with_heads_has_its_text() -> None:
    assert HEADS.keys() <= displays.TEXTS.keys()


def test_the_audit_calls_kinds_by_their_names(study: Study) -> None:
    for command in (("audit",), ("show", "audit")):
        words = [command[0], str(study.path), *command[1:]]
        told = called(*words).stdout
        assert "kind: garbled, no sentence of the world" in told or "kind: drug of a disease" in told
        assert "kind: malformed" not in told
