"""The table of families, made small: its rows tell true from refused, and its references bite."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
import families
import family_checks
from family_checks import COLUMNS, MISMATCH, REFUSED, TRUE, UNBUILT, cells_of
from reading_cases import one_thread  # noqa: F401

pytest.importorskip("nnsight")
pytest.importorskip("transformer_lens")


def test_a_family_is_true_in_every_column_beside_plain_runs():
    cells = cells_of("mistral")
    assert {cell.outcome for cell in cells.values()} == {TRUE}, cells
    assert list(cells) == list(COLUMNS)
    assert cells["reading"].says == "by trees"
    assert 0 < cells["reading"].found < 1e-4


def test_encoders_as_decoders_and_heads_of_several_parts_are_read():
    for name in ("roberta", "modernbert-decoder"):
        cells = cells_of(name)
        assert {cells[column].outcome for column in ("check", "reading", "interventions", "nnsight")} == {
            TRUE
        }


def test_what_cannot_be_done_is_refused_by_name_and_what_is_not_built_says_why():
    cells = cells_of("cpmant")  # its prompt sees all of itself
    for column in ("check", "reading", "knock-out"):
        assert cells[column].outcome == REFUSED
        assert "CpmAntForCausalLM: is not causal" in cells[column].says
    assert {cell.outcome for cell in cells_of("musicgen").values()} == {UNBUILT}


def test_a_wrong_number_is_a_mismatch(monkeypatch):
    """The reference bites: what mechcot loads has one weight that the model in memory has not."""
    load = family_checks.load

    def other(*args, **kwargs):
        checkpoint = load(*args, **kwargs)
        with torch.no_grad():
            checkpoint.model.model.layers[2].mlp.down_proj.weight[3] += 0.5
        return checkpoint

    monkeypatch.setattr(family_checks, "load", other)
    cells = cells_of("qwen3")
    assert cells["check"].outcome == TRUE  # it is read as it is
    for column in [column for column in COLUMNS if column != "check"]:
        assert cells[column].outcome == MISMATCH, column
        assert cells[column].found > 1e-2


def test_the_script_writes_the_result_and_a_page(tmp_path, capsys):
    out = tmp_path / "families.json"
    assert families.main(["--only", "gpt2", "gemma4_assistant", "--out", str(out)]) == 0
    assert "gemma4_assistant: 7 not built" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert {row["source"] for row in result["families"].values()} == {families.source()}
    assert {cell["outcome"] for cell in result["families"]["gpt2"]["cells"].values()} == {TRUE}
    page = out.with_suffix(".md").read_text()
    assert "| `gpt2` | " in page
    assert "not built (1)" in page
    assert "1. it drafts over another model's cache" in page
    assert f"**{len(families.families()) - 2} families are not done yet**" in page
    with pytest.raises(SystemExit):
        families.main(["--only", "no-such-family", "--out", str(out)])
