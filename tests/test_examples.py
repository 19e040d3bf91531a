"""The settings files under examples/ are settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechcot.asking.sampler_file import read_sampler
from mechcot.core.config import resolve, to_yaml
from mechcot.core.question_sets import SETS

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_a_whole_study(file: Path, tmp_path: Path) -> None:
    settings = resolve(file=file)
    again = tmp_path / "study.yaml"
    again.write_text(to_yaml(settings))
    assert resolve(file=again) == settings
    if settings.organism is not None:
        assert settings.questions is None
        assert settings.judge.kind == "exact"
        return
    assert settings.questions is not None
    assert settings.judge.kind == "llm"
    for name, arm in settings.arms.items():
        if arm.server is not None:
            server = read_sampler(file.parent / arm.server, name)
            sampler = server.sampling(settings.sampling, settings.prompt.thinking)
            assert sampler.parameters()["chat_template_kwargs"] == {"enable_thinking": False}
    if settings.questions.set is not None:
        assert settings.preset == ("open" if SETS[settings.questions.set].open else "models")
    if settings.teacher is not None:
        assert settings.teacher.questions.split == "train"
        assert settings.questions.split == "test"
