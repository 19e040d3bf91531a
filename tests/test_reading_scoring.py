"""Log-probabilities and entropies over pieces of the vocabulary, against float64 over all of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mechcot.models.anatomy import head_logits, splits
from mechcot.reading import scoring
from mechcot.reading.scoring import score
from reading_cases import one_thread  # noqa: F401


def case(rows, vocab, *, seed=0, spread=1.0, bias=False, softcap=None, scale=1.0):
    """A head, states, and for each row some tokens."""
    torch.manual_seed(seed)
    head = nn.Linear(64, vocab, bias=bias)
    with torch.no_grad():
        head.weight.mul_(8 * spread)
    anatomy = SimpleNamespace(head=head, scale=scale, softcap=softcap, vocab_size=vocab)
    rng = np.random.default_rng(seed)
    row = rng.integers(0, rows, 2 * rows)
    return anatomy, torch.randn(rows, 64), row, rng.integers(0, vocab, 2 * rows)


def exact(anatomy, hidden, row, token):
    """The same in float64, from the very logits."""
    with torch.no_grad():
        logits = anatomy.head.double()(hidden.double()) * anatomy.scale
    anatomy.head.float()
    if anatomy.softcap:
        logits = torch.tanh(logits / anatomy.softcap) * anatomy.softcap
    logp = logits.log_softmax(-1)
    return logp[row, token].numpy(), -(logp.exp() * logp).sum(-1)[sorted(set(row))].numpy(), logits


@pytest.mark.parametrize("spread", [0.01, 1.0, 6.0])
def test_a_vocabulary_of_262_thousand_is_scored_to_a_millionth(spread):
    given_ = case(130, 262_144, spread=spread, seed=3)
    with torch.inference_mode():
        found = score(*given_, entropy=True)
    logp, entropy, _ = exact(*given_)
    # A logit of size x has x 1e-7 of rounding from the head alone, before anything is summed.
    size = float(given_[0].head.weight.detach().abs().max()) * 64
    np.testing.assert_allclose(found.logp, logp, rtol=1e-6, atol=2e-7 * size)
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-6, atol=2e-7 * size)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(2, 300), st.integers(1, 500), st.integers(1, 50), st.integers(0, 99),
    st.booleans(), st.sampled_from([None, 3.0]), st.sampled_from([1.0, 0.25]),
)  # fmt: skip
def test_pieces_give_what_the_whole_gives(rows, vocab, held, at_once, seed, bias, softcap, scale):
    given_ = case(rows, vocab, seed=seed, bias=bias, softcap=softcap, scale=scale)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setitem(scoring.CHUNK_LOGITS, "cpu", held)
        patch.setattr(scoring, "ROWS", at_once)
        found = score(*given_, entropy=True)
        ranked = score(*given_, ranks=True)
    logp, entropy, logits = exact(*given_)
    np.testing.assert_allclose(found.logp, logp, rtol=2e-6, atol=2e-5)
    np.testing.assert_allclose(found.entropy, entropy, rtol=2e-6, atol=2e-5)
    np.testing.assert_allclose(ranked.logp, logp, rtol=2e-6, atol=2e-5)
    _, _, row, token = given_
    beyond = (logits[row] > logits[row, token][:, None]).sum(-1).numpy()
    # Logits that are equal but for rounding may stand in either order.
    assert (np.abs(ranked.rank - 1 - beyond) <= 1).all()


def test_a_head_that_is_more_than_its_weights_is_not_taken_to_pieces(monkeypatch):
    monkeypatch.setitem(scoring.CHUNK_LOGITS, "cpu", 64)
    anatomy, hidden, row, token = case(5, 50)
    assert splits(anatomy.head)
    with torch.inference_mode():
        plain = score(anatomy, hidden, row, token, entropy=True)
        anatomy.head.register_forward_hook(lambda module, args, out: out * 2)
        assert not splits(anatomy.head)
        hooked = score(anatomy, hidden, row, token, entropy=True)
    logits = 2 * (hidden.double() @ anatomy.head.weight.detach().double().T)
    np.testing.assert_allclose(hooked.logp, logits.log_softmax(-1)[row, token].numpy(), rtol=1e-5)
    assert np.abs(hooked.entropy - plain.entropy).max() > 0.01


def test_numbers_that_are_not_finite_stay_so():
    anatomy, hidden, row, token = case(200, 9000)
    row[0] = 7
    hidden[7, 0] = float("nan")
    with torch.inference_mode():
        found = score(anatomy, hidden, row, token, entropy=True)
    assert np.isnan(found.logp[row == 7]).all()
    assert np.isfinite(found.logp[row != 7]).all()
    assert list(found.rows[np.isnan(found.entropy)]) == [7]


@pytest.mark.parametrize(("rows", "shares"), [(17, {9, 8}), (11, {11}), (12, {6}), (3, {3}), (40, {8})])
def test_no_few_rows_are_left_to_read_all_of_the_weights(monkeypatch, rows, shares):
    anatomy, hidden, _, token = case(rows, 500)
    monkeypatch.setattr(scoring, "CHUNK_LOGITS", {"cpu": 1000})
    monkeypatch.setattr(scoring, "ROWS", 8)
    seen = set()

    def counted(anatomy, states, piece):
        seen.add(len(states))
        return head_logits(anatomy, states, piece)

    monkeypatch.setattr(scoring, "head_logits", counted)
    with torch.inference_mode():
        scores = score(anatomy, hidden, np.arange(rows), token[:rows])
    assert seen == shares
    expected, _, _ = exact(anatomy, hidden, np.arange(rows), token[:rows])
    assert np.abs(scores.logp - expected).max() < 1e-4
