from pathlib import Path

import pytest

from conftest import save_checkpoint, tiny_model, word_tokenizer
from mechcot import models
from mechcot.config import ArmSettings
from mechcot.errors import ModelError


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


def test_a_missing_pad_token_is_no_error(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c")
    tokenizer = word_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert models.load(ArmSettings(model=str(folder))).tokenizer.pad_token is None
