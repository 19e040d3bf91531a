"""The worked example of docs/architecture.md: a place to read in a model is added by its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from documentation import ROOT
from mechcot.core import config, sites
from mechcot.core.errors import ConfigError, ReadingError
from mechcot.models.anatomy import anatomy_of
from mechcot.models.interventions import add
from mechcot.probe.spec import ProbeSpec
from mechcot.reading.folder import read_to_folder
from mechcot.reading.selfcheck import self_check
from mechcot.reading.spec import Reader, ReadingFolder, ReadingSpec, recipe_for
from mechcot.study.activations import Activations
from reading_cases import make_model, make_questions, one_thread  # noqa: F401

SETTINGS = ("reading.sites=[mlp_in]",)


@pytest.fixture
def added() -> Iterator[None]:
    """The page's line, put into the table of sites."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    (line,) = re.findall(r"```python\n# core/sites.py\n(.*?)```", page, re.S)
    before = dict(sites.SITES)
    exec(line, vars(sites))
    yield
    sites.SITES.clear()
    sites.SITES.update(before)


def test_without_its_line_nobody_knows_it() -> None:
    with pytest.raises(ConfigError, match="there is no site 'mlp_in'; there are resid_pre, resid_post"):
        config.resolve(preset="organism-small", overrides=SETTINGS)
    with pytest.raises(ReadingError, match="there is no site 'mlp_in'"):
        recipe_for(anatomy_of(make_model("qwen3")), ReadingSpec(sites=("mlp_in",)))


@pytest.mark.parametrize("family", ["qwen3", "gemma2", "gpt2", "gpt_neox"])
def test_it_is_read_stored_and_checked(added: None, family: str, tmp_path: Path) -> None:
    model, questions = make_model(family), make_questions()
    spec = ReadingSpec(sites=("mlp_in",), rules=("end",))
    report = self_check(model, questions, recipe_for(anatomy_of(model), spec))
    assert report.way == "trees"
    assert report.differences["residual"] < 1e-4
    folder = ReadingFolder(tmp_path / "out", tmp_path / "work")
    read_to_folder(Reader(model, "base", "abc"), questions, spec, folder, progress=False)
    store = Activations.open(folder.store)
    n_blocks = len(anatomy_of(model).blocks)
    assert store.places == [("mlp_in", layer) for layer in range(1, n_blocks + 1)]
    trace = questions[0].traces[0]
    taken: list[torch.Tensor] = []
    handle = anatomy_of(model).blocks[0].mlp.register_forward_pre_hook(lambda m, a: taken.append(a[0]))  # type: ignore[union-attr,operator]
    with torch.no_grad():
        model(input_ids=torch.tensor([[*questions[0].prompt_ids, *trace.token_ids]]))
    handle.remove()
    ends = [len(questions[0].prompt_ids) + end - 1 for _, _, end in trace.steps]
    frame = store.frame()
    mine = ((frame.qid == trace.qid) & (frame.cid == trace.cid)).to_numpy()
    found = torch.from_numpy(store.layer("mlp_in", 1)[mine])
    torch.testing.assert_close(found, taken[0][0, ends], atol=1e-5, rtol=1e-4)


def test_it_is_edited_set_and_probed(added: None) -> None:
    model: Any = make_model("qwen3")
    ids = torch.tensor([[11, 12, 13]])
    with torch.no_grad():
        plain = model(input_ids=ids).logits
        with add(model, torch.ones(32), layers=[2], site="mlp_in"):
            edited = model(input_ids=ids).logits
        again = model(input_ids=ids).logits
    assert not torch.allclose(plain, edited)
    torch.testing.assert_close(plain, again)
    assert config.resolve(preset="organism-small", overrides=SETTINGS).reading.sites == ("mlp_in",)
    assert ProbeSpec(site="mlp_in").site == "mlp_in"
    with pytest.raises(ReadingError, match="mlp_in: Qwen3ForCausalLM has layers 1 to 3, asked for 0"):
        add(model, torch.ones(32), layers=[0], site="mlp_in").__enter__()
