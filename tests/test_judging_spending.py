import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging_cases import KEY, by_text, judge_file, judgement, planned, questions, steps_of
from loopback import Answer, Loopback
from mechcot.asking.spending import Ledger, plan_of, total
from mechcot.asking.spending import dearest as dearest_of
from mechcot.core.errors import ConfigError, JudgeError
from mechcot.judging.judge_file import Judge

PRICES = {"price_in": 100.0, "price_out": 1000.0}  # the loopback counts 100 and 10 tokens: 0.02 a call
PAID = 0.02


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


def judge(**changes):
    return Judge(base_url="http://127.0.0.1:9/v1", model="m", api_key_env=None, **changes)


def paid(server):
    return PAID * (len(server.calls) + len(server.checks))


def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path):
    steps = steps_of([f"claim {i}" for i in range(40)])
    with Loopback(by_text) as server:
        common = {"concurrency": 8, "max_tokens": 16, **PRICES}
        with pytest.raises(JudgeError, match=r"the budget is 0\.8, .* are spent.*larger budget") as caught:
            judgement(tmp_path, server, steps, budget=0.8, **common)
        first = len(server.calls)
        assert 10 < first < 40
        # At its dearest a call takes a token a byte: it stops short of the budget by less than that.
        assert 0.8 - 0.45 < paid(server) <= 0.8
        assert f"{paid(server):.4f} are spent" in str(caught.value)
        # The budget covers earlier runs: the same one again buys no more than a start-up call.
        with pytest.raises(JudgeError, match=r"the budget is 0\.8"):
            judgement(tmp_path, server, steps, budget=0.8, **common)
        assert paid(server) <= 0.8
        done = judgement(tmp_path, server, steps, budget=5.0, **common)
        assert len(server.calls) == 40
    assert [row["reason"] for row in done.rows] == [f"of claim {i}" for i in range(40)]
    assert done.about["usage"]["cost"] == pytest.approx(40 * PAID)


def test_a_budget_of_nothing_sends_nothing(tmp_path):
    with Loopback(by_text) as server:
        with pytest.raises(JudgeError, match=r"the budget is 0, 0\.0000 are spent"):
            judgement(tmp_path, server, steps_of(["a"]), budget=0.0, **PRICES)
        assert not server.checks + server.calls


@pytest.mark.parametrize("missing", [{"price_in": None}, {"price_out": None}, {"max_tokens": None}])
def test_a_budget_needs_prices_and_a_limit(tmp_path, missing):
    with Loopback(by_text) as server:
        with pytest.raises(ConfigError, match="a budget needs price_in, price_out and a limit"):
            judgement(tmp_path, server, steps_of(["a"]), budget=1.0, **(PRICES | missing))
        assert not server.checks + server.calls


def test_calls_that_end_without_a_count_are_booked_at_their_dearest(tmp_path):
    lost = []

    def script(call):
        if len(lost) < 2:
            lost.append(call)
            return Answer(reset=True)
        return by_text(call)

    with Loopback(script) as server, pytest.raises(JudgeError, match=r"(\d\.\d+) are spent") as caught:
        judgement(tmp_path, server, steps_of(["a", "b"]), budget=0.8, concurrency=1, max_tokens=16, **PRICES)
    dearest = dearest_of(judge(max_tokens=16, **PRICES), lost[0].body["messages"])
    spent = float(str(caught.value).split(" are spent")[0].split()[-1])
    assert spent == pytest.approx(2 * dearest + PAID, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 10), st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 1)), max_size=30))
def test_a_ledger_keeps_to_its_budget_whatever_calls_take(budget, calls):
    """Each call may take what is set aside for it, or a part."""
    ledger = Ledger(budget)
    spent = []

    async def one(amount, part):
        await ledger.admit(amount)
        await asyncio.sleep(0)
        spent.append(amount * part)
        ledger.book(amount, amount * part)

    async def everything():
        return await asyncio.gather(*(one(*call) for call in calls), return_exceptions=True)

    ended = asyncio.run(everything())
    assert sum(spent) <= budget + 1e-9
    assert ledger.spent == pytest.approx(sum(spent))
    refused = [error for error in ended if error is not None]
    assert all(isinstance(error, JudgeError) for error in refused)
    assert len(refused) + len(spent) == len(calls)


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 10)), max_size=6), st.integers(0, 5))
def test_a_kept_reply_is_booked_once_and_can_be_taken_back(runs, forgotten):
    """However many parts of a run rest on it."""
    ledger, costs = Ledger(), {}
    for number, run in enumerate(runs):
        calls = {(key, "m-1"): cost for key, cost in run.items()}
        new = ledger.recall(calls)
        assert new == {call: cost for call, cost in calls.items() if call not in costs}
        assert ledger.recall(calls) == {}
        if number == forgotten:
            ledger.forget(new)
        else:
            costs |= new
        assert ledger.spent == pytest.approx(sum(costs.values()))
    ledger.note(("z", "m-1"))  # booked when it came
    assert ledger.recall({("z", "m-1"): 5.0}) == {}


def test_plans_add_up_and_do_not_claim_to_know_what_one_does_not(tmp_path):
    def of(calls, **changes):
        return plan_of(judge(**changes), calls, 3, 400)

    known, free, silent = of(2, **PRICES), of(5), of(0)
    both = total([known, known, silent])
    assert (both.calls, both.cached, both.tokens_in, both.start_ups) == (4, 9, 300, 2)
    assert both.cost == pytest.approx(2 * known.cost)
    assert total([known, free]).cost is None
    assert total([known, free]).tokens_out == known.tokens_out + free.tokens_out
    assert total([known, of(1, max_tokens=None, **PRICES)]).tokens_out is None
    assert total([]).calls == 0


def test_the_plan_prices_calls_by_characters_and_the_longest_reply(tmp_path):
    steps = steps_of(["one", "two", "two"])
    path = judge_file(tmp_path, "http://127.0.0.1:9/v1", max_tokens=200, **PRICES)
    found = planned(path, tmp_path / "work", steps, questions("q0"), seed=0)
    assert (found.calls, found.tokens_out) == (2, 400)
    assert found.tokens_in == -(-found.prompt_characters // 4)
    assert found.cost == pytest.approx((found.tokens_in * 100 + 400 * 1000) / 1e6)
    assert f"{found.tokens_in}, estimated: {found.prompt_characters} characters / 4" in found.text()
    assert not (tmp_path / "work").exists()
    path = judge_file(tmp_path, "http://127.0.0.1:9/v1", extra_body={"max_completion_tokens": 50}, **PRICES)
    assert planned(path, tmp_path / "work", steps, questions("q0"), seed=0).tokens_out == 800
    path = judge_file(tmp_path, "http://127.0.0.1:9/v1", max_tokens=None, **PRICES)
    found = planned(path, tmp_path / "work", steps, questions("q0"), seed=0)
    assert (found.tokens_out, found.cost) == (None, None)
    assert "unknown" in found.text()
