"""A step hidden from the forced answer, against plain runs with a mask of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mechcot.models.anatomy import anatomy_of
from mechcot.reading.batch import unpack
from mechcot.reading.inputs import KnockOut
from mechcot.reading.reader import plan_for, read
from reading_cases import CONFIGS, make_model, make_questions, one_thread  # noqa: F401


def hide(trace, later):
    k = len(trace.steps)
    return replace(trace, knock_outs=tuple(KnockOut(k, sid, (a, b), later) for sid, a, b in trace.steps))


@torch.no_grad()
def masked_logp(model, ids, hidden, since):
    """One text with positions `hidden` taken from the sight of all from `since` on."""
    n = len(ids)
    place = torch.arange(n)
    allowed = place[None] <= place[:, None]
    allowed &= ~((place[:, None] >= since) & (place[None] >= hidden[0]) & (place[None] < hidden[1]))
    masks = {}
    for kind, window in anatomy_of(model).windows.items():
        near = place[:, None] - place[None] < (window or n + 1)
        mask = torch.zeros(1, 1, n, n).masked_fill_(~(allowed & near), torch.finfo(torch.float32).min)
        masks[kind] = mask
    mask = next(iter(masks.values())) if len(masks) == 1 else masks
    return model(input_ids=torch.tensor([ids]), attention_mask=mask).logits[0].log_softmax(-1)


@pytest.mark.parametrize("family", ["qwen3", "mistral", "gemma3", "gpt2"])
@pytest.mark.parametrize("later", [False, True])
def test_hidden_steps_are_not_seen(family, later):
    assert family in CONFIGS
    model = make_model(family)
    questions = [
        replace(q, traces=tuple(hide(trace, later) for trace in q.traces))
        for q in make_questions(sizes=((3, 4), (5,)))
    ]
    plan = plan_for(model, questions)
    changed = 0.0
    for batch in read(model, questions):
        for reading in unpack(plan, batch):
            question, trace = questions[reading.question], reading.source
            prompt = len(question.prompt_ids)
            for knock, found in zip(trace.knock_outs, reading.knocked[0], strict=True):
                text = [*question.prompt_ids, *trace.token_ids[: trace.steps[knock.k - 1][2]]]
                lo, hi = (prompt + place for place in knock.hidden)
                for lead, row in zip(question.forced, found, strict=True):
                    for option, value in zip(lead.options, row, strict=True):
                        ids = [*text, *lead.ids, *option]
                        # A last step that is hidden from what follows is hidden from the lead-in alone.
                        since = hi if later else len(text)
                        logp = masked_logp(model, ids, (lo, hi), since)
                        first = len(ids) - len(option)
                        plain = sum(float(logp[first - 1 + i, t]) for i, t in enumerate(option))
                        assert value == pytest.approx(plain, abs=1e-4)
            changed = max(changed, float(np.abs(reading.knocked[0] - reading.forced[0, -1]).max()))
    assert changed > 1e-2, "hiding a step moves an answer"
