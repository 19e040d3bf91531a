from pathlib import Path

import pytest

from conftest import save_checkpoint, tiny_model, word_tokenizer
from mechcot.core.errors import ModelError
from mechcot.core.settings import ArmSettings
from mechcot.models import checkpoint as models


def test_a_folder_loads_in_eval_mode_with_its_ends_and_context(checkpoint_folder: Path) -> None:
    loaded = models.load(ArmSettings(model=str(checkpoint_folder)), device="cpu")
    assert not loaded.model.training
    assert loaded.eos_ids == (1,)
    assert loaded.context == 128


def test_a_checkpoint_without_tokenizer_or_config_is_named(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match=r"bare: holds no tokenizer.*save_pretrained"):
        models.load(ArmSettings(model=str(tmp_path / "bare")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        models.local_folder(str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no such folder"):
        models.local_folder(str(tmp_path / "none"))


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"cut: its weights cannot be loaded"):
        models.load(ArmSettings(model=str(folder)))


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_checkpoint(tmp_path / "partial")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"partial: .*model\.layers\.1\.mlp\.up_proj\.weight"):
        models.load(ArmSettings(model=str(folder)))


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "mps", "meta"])
def test_a_device_that_is_not_here_is_named(checkpoint_folder: Path, device: str) -> None:
    with pytest.raises(ModelError, match=rf"device: '{device}' cannot be used.*Set device to"):
        models.load(ArmSettings(model=str(checkpoint_folder)), device=device)


def test_a_relative_name_that_is_not_here_says_from_where(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none/here: is no folder in .*relative paths begin where"):
        models.local_folder("none/here")


def test_a_missing_pad_token_is_no_error(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c")
    tokenizer = word_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert models.load(ArmSettings(model=str(folder))).tokenizer.pad_token is None
