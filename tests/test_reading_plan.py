from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.core.errors import ReadingError
from mechcot.reading.gathers import gathers_of
from mechcot.reading.inputs import KnockOut, LeadIn, QuestionInput, Seam, TraceInput
from mechcot.reading.layout import lay_out
from mechcot.reading.plan import plan_reading, with_budget
from reading_cases import make_questions

token = st.integers(0, 2)
some = st.lists(token, min_size=1, max_size=5)


@st.composite
def trace_inputs(draw, cid):
    ids = draw(st.lists(token, min_size=1, max_size=9))
    cuts = sorted(draw(st.sets(st.integers(1, len(ids)), max_size=3)))
    steps = tuple((n, start, end) for n, (start, end) in enumerate(zip([0, *cuts[:-1]], cuts, strict=False)))
    knock_outs = []
    for _ in range(draw(st.integers(0, 2)) if steps else 0):
        k = draw(st.integers(1, len(steps)))
        hidden = draw(st.integers(0, k - 1))
        knock_outs.append(KnockOut(k, hidden, steps[hidden][1:], draw(st.booleans())))
    return TraceInput("q", "base", cid, tuple(ids), steps, knock_outs=tuple(dict.fromkeys(knock_outs)))


@st.composite
def question_inputs(draw):
    traces = tuple(draw(trace_inputs(cid)) for cid in range(draw(st.integers(1, 3))))
    options = draw(st.lists(some.map(tuple), min_size=1, max_size=3, unique=True))
    leads = tuple(LeadIn(tuple(draw(st.lists(token, max_size=2))), tuple(options)) for _ in range(2))
    forced = leads[: draw(st.integers(0, 2))]
    traces = tuple(draw(with_seams(trace, len(forced))) for trace in traces)
    return QuestionInput("q", draw(some), traces, forced, draw(st.lists(token, max_size=3)))


@st.composite
def with_seams(draw, trace, n_leads):
    """Some steps end inside a token; what is hidden stands before the lead-in."""
    seams = {}
    for number in draw(st.sets(st.integers(0, 2))):
        if number < len(trace.steps):
            cut = draw(st.integers(0, trace.steps[number][2] - 1))
            leads = tuple(tuple(draw(st.lists(token, min_size=1, max_size=3))) for _ in range(n_leads))
            seams[number] = Seam(cut, leads)
    whole = replace(trace, seams=seams)
    knock_outs = [
        replace(k, hidden=(k.hidden[0], min(k.hidden[1], whole.cut(k.k - 1)))) for k in trace.knock_outs
    ]
    return replace(whole, knock_outs=tuple(dict.fromkeys(k for k in knock_outs if k.hidden[0] < k.hidden[1])))


def attended(layouts, window=None):
    """Which nodes each node of the row attends to, as its gather says, in the order of their depth."""
    seen = {}
    for key, gather in ((group.key, gather) for group in gathers_of(layouts) for gather in group.calls):
        key = key[:, gather.keys]
        n, keys = gather.query.shape[1], key.shape[1]
        for flat, node in enumerate(gather.target.ravel()):
            if node < 0:
                continue
            text, query = divmod(flat, n)
            assert gather.query[text, query] == node
            row = np.arange(keys) <= query if gather.allowed is None else gather.allowed[text, query]
            found = key[text][row]
            assert node not in seen, "each node is computed once"
            depth = np.broadcast_to(gather.key_depth, key.shape)[text][row]
            seen[int(node)] = [int(k) for _, k in sorted(zip(depth, found, strict=True))]
    return seen


def moved(forced, seam):
    """The lead-ins as they follow a seam."""
    if seam is None:
        return forced
    return [LeadIn(ids, lead.options) for ids, lead in zip(seam.leads, forced, strict=True)]


def expected_texts(question):
    """Text and hidden positions of every answer at every prefix, in the order of a layout's answers."""
    prompt = list(question.prompt_ids)
    forced = question.forced
    places = [(list(question.prior_ids), (0, 0), 0, forced)] if question.prior_ids else []
    places.append((prompt, (0, 0), 0, forced))
    for trace in question.traces:
        for number, (_, _, end) in enumerate(trace.steps):
            seam = trace.seams.get(number)
            leads = moved(forced, seam)
            places.append(([*prompt, *trace.token_ids[: seam.cut if seam else end]], (0, 0), 0, leads))
    for trace in question.traces:
        for knock in trace.knock_outs:
            seam = trace.seams.get(knock.k - 1)
            leads = moved(forced, seam)
            text = [*prompt, *trace.token_ids[: seam.cut if seam else trace.steps[knock.k - 1][2]]]
            lo, hi = (len(prompt) + place for place in knock.hidden)
            places.append((text, (lo, hi), hi if knock.later else len(text), leads))
    for text, hidden, since, leads in places:
        for lead in leads:
            for option in lead.options:
                yield [*text, *lead.ids], option, hidden, since


@settings(max_examples=300, deadline=None)
@given(st.lists(question_inputs(), min_size=1, max_size=2))
def test_every_node_attends_to_its_own_text(questions):
    layouts = [lay_out(q, range(len(q.traces)), True, ("end", "token")) for q in questions]
    row = np.concatenate([layout.token_ids for layout in layouts])
    depth = np.concatenate([layout.depth for layout in layouts])
    seen = attended(layouts)
    assert sorted(seen) == list(range(len(row)))
    first = 0
    for question, layout in zip(questions, layouts, strict=True):
        prompt = list(question.prompt_ids)
        rows = iter(layout.signal_row + first)
        for trace in question.traces:
            for n in range(len(trace.token_ids)):
                nodes = seen[int(next(rows))]
                assert row[nodes].tolist() == [*prompt, *trace.token_ids[:n]]
                assert depth[nodes].tolist() == list(range(len(nodes)))
        bounds = [*layout.answer_start, len(layout.pair_row)]
        for (text, option, (lo, hi), since), a, b in zip(
            expected_texts(question), bounds[:-1], bounds[1:], strict=True
        ):
            assert layout.pair_token[a:b].tolist() == list(option)
            for i in range(b - a):
                whole = [*text, *option[:i]]
                last = len(whole) - 1
                node = int(layout.pair_row[a + i] + first)
                # The last token of the prefix itself sees all; what follows it does not.
                kept = [p for p in range(len(whole)) if not (lo <= p < hi and last >= since)]
                assert depth[seen[node]].tolist() == kept
                assert row[seen[node]].tolist() == [whole[p] for p in kept]
        first += len(layout.token_ids)


@pytest.mark.parametrize(("prompt", "length", "causal"), [(30, 50, 2), (30, 300, 4), (200, 100, 2)])
def test_short_texts_below_a_shared_prompt_attend_in_one_call(prompt, length, causal):
    """Of two texts each, the first has computed the prompt for both."""
    lead = LeadIn((1, 2), ((3, 4), (5, 4)))
    traces = [
        TraceInput("q", "a", cid, tuple(range(9 + cid, 9 + cid + length)), ((0, 0, 9), (1, 9, length)))
        for cid in range(4)
    ]
    layouts = [lay_out(QuestionInput("q", tuple(range(prompt)), traces[i : i + 2], (lead,)), (0, 1), True, ())
               for i in (0, 2)]  # fmt: skip
    calls = [gather for group in gathers_of(layouts) for gather in group.calls]
    assert sum(len(gather.query) for gather in calls if gather.allowed is None) == causal
    assert sorted(attended(layouts)) == list(range(sum(len(layout.token_ids) for layout in layouts)))
    asked = sum((gather.target >= 0).sum() for gather in calls)
    whole = sum(gather.query.size for gather in calls)
    assert asked > 0.6 * whole, "little is computed for nothing"


@settings(max_examples=100, deadline=None)
@given(question_inputs(), st.integers(1, 40))
def test_planned_nodes_are_those_laid_out(question, budget):
    plan = plan_reading([question], budget, ("mean",))
    for part in plan.parts:
        layout = lay_out(question, part.traces, part.prompt, ("mean",))
        if any(question.traces[i].knock_outs for i in part.traces):
            assert len(layout.token_ids) <= part.nodes, "knock-outs of equal traces may share nodes"
        else:
            assert len(layout.token_ids) == part.nodes
    assert [i for part in plan.parts for i in part.traces] == list(range(len(question.traces)))


def test_the_plan_shares_beginnings_and_keeps_the_budget_and_the_order():
    questions = make_questions()
    one = plan_reading(questions, 10_000)
    assert len(one.batches) == 1
    assert one.tree_tokens == sum(part.nodes for part in one.parts) < one.separate_tokens
    many = plan_reading(questions, 60)
    assert [(p.question, t) for p in many.parts for t in p.traces] == [
        (q, t) for q, question in enumerate(questions) for t in range(len(question.traces))
    ]
    for batch in range(len(many.batches)):
        members = many.members(batch)
        assert len(members) == 1 or sum(part.nodes for part in members) <= 60
    assert sum(part.prompt for part in many.parts) == len(questions), "bare prompts are read once"
    with pytest.raises(ReadingError, match="max_tokens must be at least 1"):
        plan_reading(questions, 0)


def test_a_smaller_budget_takes_over_where_it_is_told_to():
    questions = make_questions(sizes=((3, 4, 2), (5, 1), (0, 2, 6), (4, 4)))
    whole = plan_reading(questions, 200)
    assert len(whole.batches) > 2
    less = with_budget(whole, 1, 60)
    assert less.batches[:1] == whole.batches[:1]
    assert less.parts[: len(whole.batches[0])] == whole.parts[: len(whole.batches[0])]
    assert [(p.question, t) for p in less.parts for t in p.traces] == [
        (p.question, t) for p in whole.parts for t in p.traces
    ]
    assert sum(part.prompt for part in less.parts) == len(questions)
    for batch in range(1, len(less.batches)):
        members = less.members(batch)
        assert len(members) == 1 or sum(part.nodes for part in members) <= 60
    assert with_budget(whole, 1, 60) == less
    assert with_budget(whole, 0, 60) == plan_reading(questions, 60)
