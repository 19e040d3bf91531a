import json

import pandas as pd
import pytest

from mechcot import stats
from mechcot.analyses.knowledge import selected as knowledge
from mechcot.core.errors import AnalysisError

# qid, sid, relation, hedged, label, rank under base, rank under distilled
ROWS = [
    ("q1", 0, "drug", False, "erroneous", 1, 1),  # knew
    ("q1", 1, "drug", False, "erroneous", 1, 3),  # forgot
    ("q1", 2, "mech", False, "erroneous", 5, 9),  # never knew
    ("q2", 0, "mech", False, "erroneous", 2, 1),  # learned, yet wrote something else
    ("q2", 1, "mech", True, "erroneous", 1, 1),  # hedged: no asserted error
    ("q2", 2, "drug", False, "correct", 1, 1),
    ("q3", 0, "drug", False, "correct", 4, 1),  # learned
    ("q3", 1, "drug", False, "abstain", 1, 1),  # not judged
]


def frames(rows=ROWS):
    claims = pd.DataFrame(
        [
            {"qid": r[0], "arm": "distilled", "cid": 0, "sid": r[1], "relation": r[2], "hedged": r[3]}
            for r in rows
        ]
    )
    keys = claims[["qid", "arm", "cid", "sid"]]
    verdicts = keys.assign(label=[r[4] for r in rows])
    before = keys.assign(reader="base", rank_truth=[r[5] for r in rows], p_truth=[1 / r[5] for r in rows])
    after = keys.assign(
        reader="distilled", rank_truth=[r[6] for r in rows], p_truth=[0.5 / r[6] for r in rows]
    )
    return before, after, claims, verdicts


@pytest.fixture
def result():
    return knowledge.table(*frames())


def test_errors_by_hand(result):
    shares = {name: interval.estimate for name, interval in result.errors.shares.items()}
    assert shares == pytest.approx({"knew": 0.25, "forgot": 0.25, "learned": 0.25, "never_knew": 0.25})
    assert sum(shares.values()) == pytest.approx(1)
    assert (result.errors.n_claims, result.errors.n_questions) == (4, 2)


def test_all_claims_by_hand(result):
    shares = {name: interval.estimate for name, interval in result.claims.shares.items()}
    assert shares == pytest.approx({"knew": 3 / 7, "forgot": 1 / 7, "learned": 2 / 7, "never_knew": 1 / 7})
    assert result.claims.median_p_before == pytest.approx(1.0)
    assert result.claims.median_p_after == pytest.approx(0.5)


def test_by_relation_by_hand(result):
    assert result.errors_by_relation["drug"].shares["forgot"].estimate == pytest.approx(0.5)
    mech = result.errors_by_relation["mech"].shares
    assert (mech["never_knew"].estimate, mech["learned"].estimate) == pytest.approx((0.5, 0.5))
    total = sum(part.n_claims for part in result.errors_by_relation.values())
    assert total == result.errors.n_claims
    drug, mech = result.claims_by_relation["drug"], result.claims_by_relation["mech"]
    assert {name: share.estimate for name, share in drug.shares.items()} == pytest.approx(
        {"knew": 1 / 2, "forgot": 1 / 4, "learned": 1 / 4, "never_knew": 0}
    )
    assert {name: share.estimate for name, share in mech.shares.items()} == pytest.approx(
        {"knew": 1 / 3, "forgot": 0, "learned": 1 / 3, "never_knew": 1 / 3}
    )
    assert (drug.n_claims, drug.n_questions, mech.n_claims, mech.n_questions) == (4, 3, 3, 2)


def test_left_out_claims_are_counted():
    before, after, claims, verdicts = frames()
    result = knowledge.table(before, after.iloc[1:], claims, verdicts)
    assert result.excluded == {"unjudged": 1, "unread": 1}
    assert result.errors.n_claims == 3


def test_interval_is_that_of_resampled_questions(result):
    expected = stats.rate_interval([1.0, 0.0], [3.0, 1.0])
    assert result.errors.shares["knew"] == expected


def test_no_errors_have_no_shares_but_a_reason():
    rows = [(*r[:4], "correct", *r[5:]) for r in ROWS]
    leaf = knowledge.table(*frames(rows)).to_json()["errors"]["shares"]["knew"]["estimate"]
    assert leaf["value"] is None
    assert leaf["reason"]


def test_frame_holds_every_class_of_every_set(result):
    frame = result.to_frame()
    assert set(frame["class"]) == set(knowledge.CLASSES)
    pooled = frame[(frame["set"] == "claims") & (frame["relation"] == "")]
    assert pooled["share"].sum() == pytest.approx(1)
    json.dumps(result.to_json(), allow_nan=False)


def test_readings_of_two_readers_or_of_two_authors_are_refused():
    before, after, claims, verdicts = frames()
    with pytest.raises(AnalysisError, match="one author and one reader"):
        knowledge.table(pd.concat([before, after]), after, claims, verdicts)
    with pytest.raises(AnalysisError, match="one author's claims"):
        knowledge.table(before.assign(arm="base"), after, claims, verdicts)


def test_a_claim_read_or_judged_twice_is_refused():
    before, after, claims, verdicts = frames()
    with pytest.raises(AnalysisError, match="read twice"):
        knowledge.table(pd.concat([before, before.iloc[:1]]), after, claims, verdicts)
    with pytest.raises(AnalysisError, match="one instrument"):
        knowledge.table(before, after, claims, pd.concat([verdicts, verdicts]))
