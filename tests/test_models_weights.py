"""What is loaded is what was saved, or it is refused by name."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, MllamaTextConfig, T5Config

from conftest import save_checkpoint, tiny_model
from mechcot.core.errors import ModelError
from mechcot.core.settings import ArmSettings
from mechcot.models import checkpoint as models
from mechcot.models.weights import load_weights, stored_tensors

Change = Callable[[Path], object]


def _config(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def changed(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return changed


def _as_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _write(name: str, content: bytes) -> Change:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def _sharded(folder: Path) -> None:
    """Its weights in many shards in place of one file."""
    (folder / "model.safetensors").unlink()
    tiny_model("llama").save_pretrained(folder, max_shard_size="20KB")


def _index(change: Callable[[dict[str, str]], object]) -> Change:
    def changed(folder: Path) -> None:
        _sharded(folder)
        file = folder / "model.safetensors.index.json"
        index = json.loads(file.read_text())
        change(index["weight_map"])
        file.write_text(json.dumps(index))

    return changed


def _second_shard_again(folder: Path) -> None:
    _sharded(folder)
    shutil.copy(sorted(folder.glob("model-*"))[1], folder / "model-00009-of-00009.safetensors")


def _lost_shard(folder: Path) -> None:
    _sharded(folder)
    sorted(folder.glob("model-*"))[1].unlink()


def _single_beside_shards(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    _sharded(folder)
    (folder / "model.safetensors").write_bytes(whole)


class _Runs:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (_Runs, "ran", True)


def _code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": _Runs()}, folder / "pytorch_model.bin")


def _deep(name: str) -> Change:
    return _write(name, b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}")


LAYER = "model.layers.1.mlp.up_proj.weight"
REFUSED: dict[str, tuple[Change, str]] = {
    "fewer layers in the config": (
        _config(num_hidden_layers=1),
        r"hold 9 tensors that the model has no place for, as model\.layers\.1\.input_layernorm.* 6 more",
    ),
    "more layers in the config": (_config(num_hidden_layers=3), r"lack 9 tensors .*model\.layers\.2\."),
    "another width": (
        _config(intermediate_size=32),
        r"6 of its tensors have other shapes .*\[32, 64\] saved, \[32, 32\] in the model",
    ),
    "another vocabulary": (_config(vocab_size=50), r"lm_head\.weight: \[64, 32\] saved, \[50, 32\]"),
    "an unexpected tensor": (
        _tensors(lambda t: t.update(extra=torch.zeros(2))),
        r"hold 1 tensors .*as extra",
    ),
    "two tensors said to be one": (
        _config(tie_word_embeddings=True),
        r"ties lm_head\.weight to model\.embed",
    ),
    "codes in place of fractions": (
        _tensors(lambda t: t.update({LAYER: t[LAYER].to(torch.int8)})),
        rf"kept as I8, as {LAYER}",
    ),
    "eight bits without a scale": (
        _tensors(lambda t: t.update({LAYER: t[LAYER].to(torch.float8_e4m3fn)})),
        rf"kept as F8_E4M3, as {LAYER}",
    ),
    "an unknown quantisation": (_config(quantization_config={"quant_method": "abacus"}), "method 'abacus'"),
    "a quantisation without a name": (_config(quantization_config={"bits": 4}), "method None"),
    "a quantisation that is a text": (_config(quantization_config="abacus"), "a str, which"),
    "one of a part": (
        _config(text_config={"quantization_config": {"quant_method": "abacus"}}),
        "method 'abacus'",
    ),
    "a quantisation whose package is not here": (
        _config(quantization_config={"quant_method": "aqlm"}),
        r"cannot be loaded: .*aqlm",
    ),
    "a value of another type": (_config(hidden_size="secret"), r"'hidden_size' expected int, got str$"),
    "a value that does not do": (_config(num_attention_heads=0), r"cannot be (used|loaded): .*ZeroDivision"),
    "an unknown family": (_config(model_type="abacus"), "model type `abacus`"),
    "a file of weights named in the config": (_config(transformers_weights="a.safetensors"), "Leave it out"),
    "a config that is a list": (_write("config.json", b"[]"), "config.json cannot be used: it holds a list"),
    "a config nested too deeply": (_deep("config.json"), "config.json.*nested too deeply"),
    "a config in no encoding": (_write("config.json", b"\xff\xfe"), r"config\.json: cannot be read as UTF-8"),
    "a broken generation config": (
        _write("generation_config.json", b"{"),
        "its generation_config.json cannot",
    ),
    "a tokenizer nested too deeply": (_deep("tokenizer.json"), "its tokenizer cannot be loaded"),
    "an empty tokenizer": (_write("tokenizer.json", b"{}"), "its tokenizer cannot be loaded"),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        r"holds no weights, that is none of model\.",
    ),
    "a bin that is code": (_code, r"pytorch_model\.bin: is damaged, or holds more than tensors"),
    "a bin that is empty": (
        lambda f: (_as_bin(f), (f / "pytorch_model.bin").write_bytes(b"")),
        r"pytorch_model\.bin: is damaged",
    ),
    "a bin that is a list": (
        lambda f: (_as_bin(f), torch.save([torch.zeros(2)], f / "pytorch_model.bin")),
        r"pytorch_model\.bin: expected tensors by name, found a list",
    ),
    "a shard that is gone": (_lost_shard, r"model-00002-of-0000\d\.safetensors: is missing"),
    "a shard of another set": (_second_shard_again, r"model-00009-of-00009\.safetensors is no part of"),
    "two sets": (
        _single_beside_shards,
        r"two sets of weights, model\.safetensors and model\.safetensors\.index",
    ),
    "a tensor that the index forgets": (_index(lambda m: m.pop(LAYER)), rf"does not name, .*{LAYER}"),
    "a tensor that the files lack": (
        _index(lambda m: m.update(extra=m[LAYER])),
        "names tensors that its files lack extra",
    ),
    "shards elsewhere": (_index(lambda m: m.update({LAYER: "../x.safetensors"})), "outside of the folder"),
    "a broken index": (
        lambda f: (_sharded(f), (f / "model.safetensors.index.json").write_text("{")),
        r"index\.json: is not JSON",
    ),
    "an index of nothing": (
        lambda f: (_sharded(f), (f / "model.safetensors.index.json").write_text("{}")),
        "expected a weight_map",
    ),
    "a distributed checkpoint": (_write("__0_0.distcp", b""), "distributed checkpoint"),
    "an adapter beside weights": (_write("adapter_config.json", b"{}"), "holds an adapter.*merge_and_unload"),
    "an end beyond the vocabulary": (
        _write("generation_config.json", b'{"eos_token_id": [1, 500]}'),
        "generation_config.json names 500 as eos_token_id; the model has the tokens 0 to 63",
    ),
    "an end that is a text": (
        _write("generation_config.json", b'{"eos_token_id": "<eos>"}'),
        "names '<eos>' as eos_token_id",
    ),
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "llama", "llama")


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_load_as_something_else_is_refused_in_one_line(
    llama: Path, tmp_path: Path, case: str
) -> None:
    change, words = REFUSED[case]
    folder = shutil.copytree(llama, tmp_path / "checkpoint")
    change(folder)
    with pytest.raises(ModelError, match=words) as caught:
        models.load(ArmSettings(model=str(folder)), models.local_folder(str(folder)), "cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not _Runs.ran


def test_an_adapter_alone_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "w/m", "peft_type": "LORA"}')
    save_file(
        {"base_model.model.lm_head.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "adapter_model.safetensors"
    )
    with pytest.raises(ModelError, match=r"holds an adapter \(adapter_config\.json\)"):
        models.local_folder(str(tmp_path))


def _with_old_buffers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)


@pytest.mark.parametrize(
    "change",
    [lambda _: None, _as_bin, _sharded, _tensors(_with_old_buffers)],
    ids=["one", "bin", "shards", "old"],
)
def test_every_tensor_is_loaded_as_it_was_saved(llama: Path, tmp_path: Path, change: Change) -> None:
    folder = shutil.copytree(llama, tmp_path / "checkpoint")
    saved = load_file(folder / "model.safetensors")
    change(folder)
    loaded = load_weights(folder, "auto").state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    assert saved.keys() <= stored_tensors(folder).keys()


def test_a_bin_beside_safetensors_is_not_read_and_named(
    llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(llama, tmp_path / "checkpoint")
    torch.save({"other": torch.zeros(2)}, folder / "pytorch_model.bin")
    with caplog.at_level(logging.WARNING, "mechcot"):
        load_weights(folder, "auto")
    assert "model.safetensors is loaded; pytorch_model.bin, which lies there too, is not" in caplog.text


def test_the_trainer_refuses_the_same(llama: Path, tmp_path: Path) -> None:
    from mechcot.core.training_settings import TrainSettings
    from mechcot.distill import distill, prepare

    folder = shutil.copytree(llama, tmp_path / "base")
    _config(num_hidden_layers=1)(folder)
    examples = tmp_path / "examples.jsonl"
    examples.write_text('{"prompt": "w1 <think>", "completion": " w2 </think> answer w3"}\n')
    with pytest.raises(ModelError, match="no place for"):
        distill(prepare(folder, examples, TrainSettings(device="cpu"), seed=0), tmp_path / "student")


def test_a_template_that_refuses_is_one_line(llama: Path) -> None:
    from mechcot.tasks import PromptFormat, Question, render_prompt

    tokenizer = models.load_tokenizer(llama)
    form = PromptFormat("{stem} {options}", "{text}", " ", True, None, "", r"(?P<answer>x)", "text", ("",))
    question = Question("q7", "", "stem", ("a", "b"), 0, "")
    for template in (
        "{{ raise_exception('system role\nis needed') }}",
        "{{ 1 // 0 }}",
        "{% if %}",
        "{{ messages[9].a }}",
    ):
        tokenizer.chat_template = template
        with pytest.raises(ModelError, match=r"its chat template does not take question 'q7'") as caught:
            render_prompt(question, form, tokenizer)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (T5Config(), "model_type 't5', .* Only such models are sampled and read"),
        (
            LlavaConfig(text_config=LlamaConfig(), vision_config=CLIPVisionConfig()),
            r"model_type 'llava', .* Its text part is one \(llama\): save that part",
        ),
        (MllamaTextConfig(), "model_type 'mllama_text_model', .* Only such models"),
    ],
    ids=["sequence to sequence", "pictures and text", "a part that is none by itself"],
)
def test_a_kind_without_a_causal_model_is_refused_in_a_line(config: Any, said: str, tmp_path: Path) -> None:
    """The library names every kind that it has instead, a page of them."""
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"{tmp_path}: its config.json has the {said}") as refused:
        load_weights(tmp_path, "auto")
    assert len(str(refused.value)) < 400
