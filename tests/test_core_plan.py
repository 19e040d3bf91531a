"""What work will take: unknown amounts stay unknown, in the JSON, the frame and the table."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.plan import AMOUNTS, Expense, Plan

COUNTS = {name: st.none() | st.integers(0, 10**12) for name in AMOUNTS if name != "answered"}
ROWS = st.lists(
    st.builds(
        Expense,
        st.text(min_size=1),
        st.none() | st.integers(0, 10**6),
        st.just("steps"),
        st.sampled_from(["to do", "if changed", "cached"]),
        **COUNTS,
    ),
    max_size=4,
)


@settings(deadline=None)
@given(ROWS)
def test_the_total_is_the_sum_of_what_is_to_do_and_unknown_where_a_row_is(rows: list[Expense]) -> None:
    plan = Plan(tuple(rows))
    to_do = [row for row in rows if row.state != "cached"]
    for name in AMOUNTS:
        amounts = [getattr(row, name) for row in to_do]
        found = getattr(plan.total, name)
        if None in amounts:
            assert found is None
            leaf = plan.to_json()["total"][name]
            assert leaf["value"] is None
            assert leaf["reason"].startswith("not all is known of: ")
        else:
            assert found == (max(amounts, default=0) if name == "memory" else sum(amounts))
    json.dumps(plan.to_json(), allow_nan=False)
    assert len(plan.to_frame()) == len(rows)


def test_the_table_says_unknown_and_why_and_leaves_out_what_nobody_takes() -> None:
    judge = Expense(
        "judge", 30, "steps", calls=30, tokens_out=None, money=None, reason="the file names no price"
    )
    text = Plan((judge,)).text()
    assert text.splitlines()[1].split() == ["judge", "30", "steps", "30", "unknown", "unknown"]
    assert "unknown of judge: the file names no price" in text
    assert "disk" not in text
    assert "seconds" not in text
    sample = Expense("sample", 4, "traces", tokens_out=80, seconds=3.0, note="at most")
    both = Plan((sample, judge), ("nothing was run",)).text()
    assert "seconds" in both
    assert both.splitlines()[3].startswith("all that is to do")
    untimed = "time is not foretold of judge: a server answers at a pace of its own"
    assert both.endswith(f"sample: at most\n{untimed}\nnothing was run")
    assert "3.0 and more" in both.splitlines()[3]


def test_what_is_done_takes_nothing_and_does_not_count() -> None:
    judge = Expense("judge", 30, "steps", calls=30, money=None)
    plan = Plan((judge.done(), Expense("read", 2, "traces", tokens_in=7, seconds=1.0)))
    total = plan.total
    assert (total.calls, total.money, total.tokens_in, total.n, total.unit) == (0, 0.0, 7, 2, "traces")
    assert [row.split()[1] for row in plan.text().splitlines()[1:2]] == ["cached"]


def test_pieces_of_several_kinds_are_counted_as_pieces() -> None:
    plan = Plan((Expense("judge", 30, "steps"), Expense("read", None, "traces")))
    assert (plan.total.n, plan.total.unit) == (2, "pieces of work")
    alike = Plan((Expense("a", 3, "traces"), Expense("b", None, "traces")))
    assert alike.total.n is None
    assert Plan(()).total.n == 0
    assert "all that is to do" not in Plan(()).text()
