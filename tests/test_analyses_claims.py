"""The ledger of published claims."""

from __future__ import annotations

import json

import pytest

from called import called
from mechcot.analyses.claims.analysis import MEASURES, NOT_HERE, VERDICTS, claims_of, read
from mechcot.analyses.claims.published import CLAIMS
from mechcot.core.words import number


def leaf(low, high):
    return {"estimate": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("interval", "side", "null", "verdict"),
    [
        ((0.1, 0.3), 1, 0.0, "holds"),
        ((-0.3, -0.1), 1, 0.0, "reversed"),
        ((-0.1, 0.1), 1, 0.0, "indistinguishable"),
        ((0.0, 0.1), 1, 0.0, "indistinguishable"),
        ((-0.3, -0.1), -1, 0.0, "holds"),
        ((0.1, 0.3), -1, 0.0, "reversed"),
        ((-0.02, 0.04), -1, 0.05, "holds"),  # no rise that matters
        ((-0.02, 0.06), -1, 0.05, "indistinguishable"),
        ((0.06, 0.09), -1, 0.05, "reversed"),
        ((-0.05, 0.09), 0, 0.0, "holds"),
        ((-0.05, 0.11), 0, 0.0, "indistinguishable"),
        ((0.1, 0.2), 0, 0.0, "reversed"),
        ((-0.4, -0.2), 0, 0.0, "reversed"),
    ],
)
def test_a_verdict_is_read_off_the_interval(interval, side, null, verdict):
    assert read(leaf(*interval), side, null) == verdict


def test_without_an_interval_nothing_was_tested():
    missing = {"value": None, "reason": "why"}
    assert read(missing, 1, 0.0) == "not tested here"
    assert read({"estimate": 0.2, "low": missing, "high": missing}, 1, 0.0) == "not tested here"
    unused = {"value": None, "reason": "no fold used the probe"}
    assert read({"estimate": 0.0, "low": unused, "high": unused}, 1, 0.0) == "indistinguishable"


def test_every_claim_is_measured_or_says_why_not():
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert sorted(names) == sorted([*MEASURES, *NOT_HERE])
    assert {claim.paper for claim in CLAIMS} == {"Accuracies", "Traces"}


def test_judge_controls_give_a_row_a_judge(study):
    row = {"control": "tone-swap", "error": {"difference": leaf(0.1, 0.2)}}
    other = {"control": "answer-blind", "error": {"difference": leaf(-0.2, -0.1)}}
    results = {"judge_controls": {"kimi": {"controls": [row, other]}, "qwen": {"controls": [row]}}}
    found = MEASURES["tone_swap"].of(results, study)
    assert [one.other for one in found] == ["kimi", "qwen"]
    (alone,) = MEASURES["answer_blind"].of({"judge_controls": {"kimi": {"controls": [other]}}}, study)
    assert (alone.other, read(alone.leaf, 1, 0.0)) == ("", "reversed")
    (none,) = MEASURES["answer_blind"].of({"judge_controls": {}}, study)
    assert "mechcot judge-controls STUDY" in none.leaf["reason"]


def test_a_study_is_held_against_every_claim(study):
    result = claims_of(study)
    rows = {one.name: one for one in result.claims}
    assert set(rows) >= {claim.name for claim in CLAIMS} - {"coupled_domain"}
    assert rows["steps"].estimate == study.result("audit")["delta"]
    assert rows["steps"].verdict == read(study.result("audit")["delta"], 1, 0.0)
    verdicts, asked = study.verdicts("distilled"), study.questions("clinical").qid
    first = verdicts[
        verdicts.qid.isin(asked) & (verdicts.cid == 0) & verdicts.label.isin(["correct", "erroneous"])
    ]
    share = 100 * (first.label == "erroneous").mean()
    assert (
        rows["steps"]
        .as_published.replace("\N{NO-BREAK SPACE}", " ")
        .endswith(f" to {share:.1f} % of {len(first):,}")
    )
    chain = rows["coupled_domain: chain"]
    assert chain.estimate == study.result("controls")["chain"]["audit"]["delta"]
    assert chain.verdict == read(chain.estimate, -1, study.settings.confirmatory.smallest.steps)
    phi = study.result("coupling")["contrasts"]["headline"]["after"]["phi"]
    assert rows["independence"].estimate == phi
    for name, one in rows.items():
        assert one.verdict in VERDICTS
        assert (one.reason != "") == (one.verdict == "not tested here"), name
        if one.verdict in ("holds", "reversed"):
            assert number(one.estimate["low"]) is not None
    assert study.summary()["ledger"] == {name: one.verdict for name, one in rows.items()}


def test_the_command_shows_it_within_a_terminals_width(study):
    shown = called("claims", study.path)
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 100
    assert "published  30.6 % to 50.3 %" in shown.stdout
    told = json.loads(called("claims", study.path, "--json").stdout)
    assert told == claims_of(study).to_json() == study.ledger().to_json()
