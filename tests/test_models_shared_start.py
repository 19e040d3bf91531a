"""What prompts all begin with is read once, and each goes on as it would by itself."""

import numpy as np
import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, MambaConfig, MambaForCausalLM

from conftest import tiny_model
from mechcot.models import ways
from mechcot.models.checkpoint import Checkpoint
from mechcot.models.rows import SHARED, WAYS, WHOLE, Rows, common_start
from mechcot.models.ways import shares
from mechcot.serving.decode import Decoder
from mechcot.serving.request import ChatRequest
from test_serving import byte_tokenizer

START = [5 + (7 * i) % 40 for i in range(SHARED + 9)]
TEXTS = [[*START, 6, 7], [*START, 8], [*START, 9, 10, 11, 12, 13, 14], [*START, 9, 10, 3, 4]]


def gemma(window=12):
    """Layers whose window is far shorter than what is shared, and layers that see all."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=window, max_position_embeddings=256,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], pad_token_id=0,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval()


MODELS = {
    "qwen3": lambda: tiny_model("qwen3"),
    "llama": lambda: tiny_model("llama"),
    "gpt2": lambda: tiny_model("gpt2"),
    "gemma3": gemma,
}


def alone(model, text):
    return model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]


@pytest.mark.parametrize("family", MODELS)
@torch.inference_mode()
def test_rows_behind_a_shared_start_are_each_texts_own(family):
    model, read = MODELS[family](), []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    rows = Rows(model, WAYS[0], TEXTS, (1, 2, 1, 1), 4, shared=True)
    # Once for all; then each text's end, as long as the longest one's.
    assert read == [len(START), 6 * 4]
    hook.remove()
    texts = [TEXTS[i] for i in (0, 1, 1, 2, 3)]
    for token in (20, 21):
        torch.testing.assert_close(rows.logits, torch.stack([alone(model, text) for text in texts]))
        rows.add(torch.full((len(texts),), token))
        texts = [[*text, token] for text in texts]
    rows.keep(torch.tensor([0, 3]))
    rows.add(torch.tensor([22, 23]))
    expected = [alone(model, [*texts[0], 22]), alone(model, [*texts[3], 23])]
    torch.testing.assert_close(rows.logits, torch.stack(expected))
    assert shares(model, WAYS[0], TEXTS[0], 256)


def test_what_is_shared_is_counted_and_leaves_a_token_to_each():
    assert common_start(TEXTS) == len(START)
    assert common_start([START, [*START, 1]]) == len(START) - 1
    assert common_start([START, START]) == len(START) - 1
    assert common_start([START]) == 0
    assert common_start([[1, *START], [2, *START]]) == 0
    assert common_start([START[: SHARED - 1], START]) == 0


def test_where_nothing_is_shared_or_nothing_is_asked_texts_are_read_whole():
    model = tiny_model("qwen3")
    with torch.inference_mode():
        plain = Rows(model, WAYS[0], TEXTS, (1,) * 4, 2).logits
        apart = [[i + 20, *text] for i, text in enumerate(TEXTS)]
        again = Rows(model, WAYS[0], apart, (1,) * 4, 2, shared=True).logits
        torch.testing.assert_close(plain, torch.stack([alone(model, text) for text in TEXTS]))
        torch.testing.assert_close(again, torch.stack([alone(model, text) for text in apart]))


def test_a_model_that_keeps_its_text_otherwise_does_not_share():
    torch.manual_seed(0)
    mamba = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4))
    assert not shares(mamba.eval(), WAYS[0], TEXTS[0], 256)
    assert not shares(tiny_model("qwen3"), WHOLE, TEXTS[0], 256)


def test_it_is_tried_beyond_a_window_or_not_shared(monkeypatch):
    tried = []
    monkeypatch.setattr(ways, "Rows", lambda model, way, texts, *more, **named: tried.append(texts))
    assert not shares(gemma(window=100), WAYS[0], TEXTS[0], 256)  # what stands in for rows is none
    assert [common_start(texts) for texts in tried] == [108]
    assert not shares(gemma(window=100), WAYS[0], TEXTS[0], 100)
    assert not shares(gemma(window=2000), WAYS[0], TEXTS[0], 4096)
    assert len(tried) == 1
    monkeypatch.undo()
    assert shares(gemma(window=100), WAYS[0], TEXTS[0], 256)


def test_a_wrong_start_is_found_out(monkeypatch):
    """The keys of a row that is padded are not moved: its text is another one."""
    model = tiny_model("qwen3")
    assert shares(model, WAYS[0], TEXTS[0], 256)
    monkeypatch.setattr(torch, "arange", lambda n, **more: torch.zeros(n, dtype=torch.long))
    assert not shares(model, WAYS[0], TEXTS[0], 256)


def test_replies_are_those_of_requests_one_by_one(tmp_path):
    tokenizer = byte_tokenizer(tmp_path)
    model = tiny_model("qwen3", vocab=len(tokenizer))
    served = Decoder(Checkpoint("tiny", model, tokenizer, (1,), 4096))
    assert served._shared
    trace = "Bile is made in the liver. " * 8
    asked = [
        served.prepare(
            ChatRequest(
                model="tiny",
                messages=[{"role": "user", "content": f"{trace}Step: {step}"}],
                max_tokens=12,
                temperature=0.0,
            )
        )
        for step in ("bile", "the liver makes bile", "no", "a step that is longer than the others")
    ]
    lengths = [len(one.prompt_ids) for one in asked]
    assert common_start([one.prompt_ids for one in asked]) > 0.5 * np.mean(lengths)
    together = [done.texts for done in served.complete(asked)]
    assert together == [served.complete([one])[0].texts for one in asked]
