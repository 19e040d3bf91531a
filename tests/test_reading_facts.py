"""Facts asked of real models: the numbers of plain runs, both orders of a pair, and a kill in between."""

import pandas as pd
import pytest
import torch

from conftest import save_checkpoint
from mechcot.core.settings import ArmSettings, PromptSettings
from mechcot.models.checkpoint import load
from mechcot.pipeline.facts import facts_in
from mechcot.reading import facts as reading
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.tasks import render_prompt
from mechcot.tasks.multiple_choice import prompt_format
from mechcot.tasks.pairs import load_pairs

WORDED = PromptSettings(
    question="w1 {stem} {options}", option="{letter} {text}", chat=True, lead_in=("answer ",),
    answer_form="text", terminator=" .",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(study):
    return load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu")


@torch.inference_mode()
def logp(model, ids):
    """Log-probabilities after each token, [tokens, vocab]."""
    return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)


def test_a_facts_numbers_are_those_of_a_plain_run(study, base):
    facts, form = facts_in(study.facts()), task_of(study).format
    known = study.known("base").set_index(["fid", "form"])
    assert len(known) == 2 * len(facts)
    vocab = base.tokenizer.get_vocab()
    for fact in facts[::17]:
        prompt = render_prompt(fact.question, form, base.tokenizer)[0]
        for way, text in (("bare", fact.bare), ("placed", f"{prompt} {fact.reasoning}")):
            own = logp(base.model, [vocab[word] for word in text.split()])[-1]
            true = [vocab[name] for name in fact.truth]
            row = known.loc[fact.fid, way]
            assert row.p_truth == pytest.approx(float(own[true].exp().sum()), abs=1e-5)
            assert row["first"] == base.tokenizer.decode(int(own.argmax()))
            assert row.state == ("known" if int(own.argmax()) in true else "unknown")


def test_a_run_that_was_killed_goes_on_and_ends_the_same(study, base, tmp_path, monkeypatch):
    facts, form = facts_in(study.facts()), task_of(study).format
    run, done = reading._run, []

    def killed(*given):
        done.append(given)
        if len(done) > 2:
            raise KeyboardInterrupt
        return run(*given)

    monkeypatch.setattr(reading, "_run", killed)
    ask = {"arm": "base", "work": tmp_path, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        reading.read_facts(base, facts, form, **ask)
    first = len(done)
    monkeypatch.setattr(reading, "_run", lambda *given: done.append(given) or run(*given))
    rows = pd.DataFrame(reading.read_facts(base, facts, form, **ask))
    kept = study.known("base")
    assert (rows.state == kept.state).all()
    assert rows.margin.to_numpy() == pytest.approx(kept.margin.to_numpy(), rel=1e-5)
    every = sum(1 for _ in reading._batches(reading.asked_of(facts, form, base.tokenizer, None).texts))
    assert len(done) - first == every - 2  # two were done before the kill


def test_what_does_not_fit_the_window_or_the_vocabulary_is_undecided(study, base):
    facts, form = facts_in(study.facts())[:9], task_of(study).format
    asked = reading.asked_of(facts, form, base.tokenizer, 12)
    assert asked.undecided == {(n, "placed"): "longer than the window of 12 tokens" for n in range(9)}
    assert {text.form for text in asked.texts} == {"bare"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    rows = [
        {"id": n, "subject": f"w{n % 4}", "claim": f"{same} w{n + 7} w9", "correction": f"{same} w{n + 8}"}
        for n in range(40)
        for same in [f"w{n} w20"]
    ]
    pd.DataFrame(rows).assign(checked="yes").to_csv(path, index=False)
    return [fact for fact, _ in load_pairs(path)]


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_a_pair_is_asked_alone_and_in_both_orders(family, pairs, tmp_path):
    folder = save_checkpoint(tmp_path / family, family)
    checkpoint = load(ArmSettings(model=str(folder)), folder, "cpu")
    form, ids = prompt_format(WORDED), checkpoint.tokenizer.get_vocab()
    rows = reading.read_facts(checkpoint, pairs, form, arm="a", work=tmp_path / "w", progress=False)
    known = pd.DataFrame(rows).set_index(["fid", "form"])

    def summed(text, start):
        tokens = [ids[word] for word in text.split()]
        own = logp(checkpoint.model, tokens)
        return sum(float(own[at - 1, tokens[at]]) for at in range(start, len(tokens)))

    for pair in pairs[::7]:
        right, wrong = pair.objects
        margin = summed(right, 2) - summed(wrong, 2)  # they share two words
        assert known.loc[(pair.fid, "bare"), "margin"] == pytest.approx(margin, abs=1e-4)
        margins = []
        for shown in ((right, wrong), (wrong, right)):
            stem = " ".join(word if word in ids else "<pad>" for word in pair.question.stem.split())
            head = f"w1 {stem} <pad> {shown[0]} <pad> {shown[1]} <think> answer"
            sums = [summed(f"{head} {text} .", len(head.split())) for text in (right, wrong)]
            margins.append(sums[0] - sums[1])
        row = known.loc[pair.fid, "placed"]
        agree = min(margins) > 0 or max(margins) < 0
        assert row.state == ("undecided" if not agree else "known" if margins[0] > 0 else "unknown")
        assert row.margin == pytest.approx(sum(margins) / 2, abs=1e-4)
    assert set(known.loc[known.state == "undecided", "reason"]) <= {"the order of the two decides"}
