"""What a study is expected to take: counts, hours, money and differences by constants that are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mechcot
from mechcot import Study
from mechcot.cli.commands import app
from mechcot.core.errors import ModelError
from mechcot.core.plan import Expense, Plan
from mechcot.models.checkpoint import local_folder, without_fetching
from mechcot.pipeline.estimate import load
from mechcot.pipeline.estimate.estimate import estimate_of
from mechcot.pipeline.estimate.machines import machines, measured, table
from mechcot.pipeline.estimate.weights import weights_of
from mechcot.pipeline.settings import settings_in

EXAMPLE = Path(__file__).parent.parent / "examples" / "medqa-qwen3-8b.yaml"


@pytest.fixture(scope="module")
def foretold():
    return mechcot.foretell(EXAMPLE)


def test_the_published_study_is_foretold_without_anything_of_it(foretold):
    estimate = foretold.estimate
    constants = {one.what: one for one in estimate.constants}
    rows = {row.stage: row for row in estimate.rows}
    assert {row.what for row in foretold.plan.rows} == rows.keys() | set(estimate.left_out)
    n, trace, prompt = 1273, constants["tokens of a trace"].value, constants["tokens of a prompt"].value
    sampled = rows["sample-base"]
    assert (sampled.n, sampled.tokens_out) == (n * 64, n * 64 * trace)
    weights = weights_of(None, "Qwen/Qwen3-8B")
    passes = n * 64 / 64 * min(1.5 * trace, 2048)
    cached = 2 * weights.layers * weights.kv_width * 2
    moved = passes * 2 * 8e9 + n * 64 * trace * (prompt + trace / 2) * cached
    seconds = moved / 3.35e12 / 0.5 + passes * weights.layers * 0.0003
    assert 2 * 8e9 * n * 64 * trace / 989e12 < moved / 3.35e12
    assert sampled.gpu_hours == pytest.approx(seconds / 3600)
    assert (sampled.tasks, sampled.wall) == (n, sampled.seconds)
    judged, steps = rows["judge"], n * 7 * 7.3  # seven arms, one trace each
    assert judged.calls == pytest.approx(steps)
    assert judged.money == pytest.approx((0.95 * judged.tokens_in + 4.0 * judged.tokens_out) / 1e6, rel=1e-6)
    assert rows["judge-glm-4-32b"].money is None
    assert "lacks price_in" in rows["judge-glm-4-32b"].reason
    taught = rows["distill-distilled"]
    assert taught.n == pytest.approx(10178 * 2 * 0.9 * 3)
    assert taught.gpu_hours > 2 * 2 * 8e9 * taught.tokens_in / (989e12 * 0.35) / 3600
    assert taught.disk == 2 * 8e9
    assert rows["distill-answer-only"].tokens_in < taught.tokens_in
    assert constants["parameters of base"].source == "read off its name"
    assert constants["questions"].source == "by the set's page: not fetched"
    assert all(one.source for one in estimate.constants)
    assert {one.status for one in estimate.gpus} == {"assumed"}
    text = estimate.text()
    assert "and more" in text
    assert "Bottleneck: " in text
    assert "waits for " in text
    assert "sample-base" in text


def test_what_is_found_follows_from_how_much_there_is(foretold):
    found = {one.what: one.difference for one in foretold.estimate.detectable}
    assert found["answers by vote, paired"] == pytest.approx(2.8016 * (0.25 / 1273) ** 0.5, rel=1e-3)
    fewer = mechcot.foretell(EXAMPLE, overrides=("questions.limit=100",)).estimate
    few = {one.what: one.difference for one in fewer.detectable}
    assert few["answers by vote, paired"] == pytest.approx(2.8016 * 0.05, rel=1e-3)
    assert all(few[what] >= least for what, least in found.items())


def test_what_is_done_is_foretold_as_nothing(tmp_path):
    with without_fetching():
        study = Study(tmp_path / "new", settings_in(tmp_path / "new", EXAMPLE, None, None, ()))
        to_do = Expense("judge", 1, "stage")
        found = estimate_of(study, Plan((to_do, replace(to_do, what="sample-base").done())))
    assert [row.stage for row in found.rows] == ["judge"]
    assert found.gpus == ()
    assert found.rows[0].bound == "its server"


def test_the_command_tells_both(foretold):
    done = CliRunner().invoke(app, ["plan", str(EXAMPLE), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert len(told["rows"]) == len(foretold.plan.rows)
    assert len(told["estimate"]["rows"]) == len(foretold.estimate.rows)


@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        ("Qwen/Qwen3-8B", 8e9, 8e9),
        ("meta-llama/Llama-3.1-8B-Instruct", 8e9, 8e9),
        ("google/gemma-3-270m", 270e6, 270e6),
        ("Qwen/Qwen3-1.7B", 1.7e9, 1.7e9),
        ("Qwen/Qwen3-30B-A3B", 30e9, 3e9),
    ],
)
def test_sizes_are_read_off_names(name, parameters, active):
    found = weights_of(None, name)
    assert (found.parameters, found.active, found.source) == (parameters, active, "read off its name")


def test_a_name_without_a_size_and_no_files_is_not_guessed():
    assert weights_of(None, "checkpoints/mine") is None
    assert weights_of(Path("nowhere"), "facebook/opt") is None


def test_weights_that_are_here_are_counted(checkpoint_folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint_folder)
    found = weights_of(checkpoint_folder, "Qwen/Qwen3-8B")
    assert found.parameters == sum(own.numel() for own in model.parameters())
    assert (found.width, found.layers) == (32, 2)
    here = measured()
    assert here["flops"] > 1e7
    assert here["bandwidth"] > 1e7


def test_a_plan_fetches_no_checkpoint():
    with without_fetching():
        assert not local_folder("nobody/nothing-8B").exists()
    with pytest.raises(ModelError, match="the Hub did not give it"):
        local_folder("nobody/nothing-8B")


def test_workers_share_what_has_tasks_and_nothing_else(foretold):
    shared = mechcot.foretell(EXAMPLE, workers=64).estimate
    assert shared.workers == 64
    alone = {row.stage: row for row in foretold.estimate.rows}
    for one, other in zip(foretold.estimate.gpus, shared.gpus, strict=True):
        assert one.hours / 64 < other.hours < one.hours
    for row in shared.rows:
        if row.tasks == 1:
            assert row.wall == alone[row.stage].wall
    assert "64 workers" in shared.text()


def test_the_slower_of_products_and_memory_and_the_calls_add_up():
    gpu = machines("gpu")[0]
    few = load.Load("reading", 989e12, 3.35e9, 10, 0)
    assert few.seconds(gpu) == pytest.approx(1 / 0.35 + 10 * gpu.call)
    assert few.bound(gpu) == load.PRODUCTS
    far = load.Load("sampling", 989e9, 3.35e12, 0, 0)
    assert far.seconds(gpu) == pytest.approx(1 / 0.5)
    assert far.bound(gpu) == load.MEMORY
    assert load.Load("sampling", 1, 1, 1e6, 0).bound(gpu) == load.CALLS


def test_every_machine_says_where_its_numbers_come_from():
    rows = (*machines("processor"), *machines("gpu"))
    assert {row.status for row in machines("gpu")} == {"assumed"}
    assert {row.status for row in machines("processor")} == {"measured"}
    assert all(row.source and min(row.flops, row.bandwidth, row.call) > 0 for row in rows)
    assert all(0 < share <= 1 for row in rows for share in row.reached.values())
    assert table()["fitted on"]


def test_the_organism_is_foretold_by_its_settings_alone(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("preset: organism\n")
    found = mechcot.foretell(file)
    assert found.estimate.left_out == ()
    assert all(row.seconds is not None for row in found.plan.rows)
    assert "by the cost model" in found.plan.text()
    rows = {row.stage: row for row in found.estimate.rows}
    assert rows["pretrain"].bound
    assert rows["audit"].bound == "one process"
    assert rows["probe"].seconds > 0
