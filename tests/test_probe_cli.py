"""`mechcot probe` and `python -m mechcot.probe` as a user meets them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from called import Called, called
from mechcot import Study, probe
from mechcot.analyses.probe import analysis as probes
from mechcot.core.errors import MechcotError
from mechcot.probe import ProbeSpec, load_card, read_labels
from mechcot.study.activations import Activations, finish_store, write_shard


def _call(*arguments: str | Path) -> Called:
    return called(*arguments, before=("probe",))


def test_help_is_light_and_both_doors_open_the_same_room() -> None:
    code = (
        "import sys, runpy; sys.argv = ['probe', '--help']\n"
        "try: runpy.run_module('mechcot.probe', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'transformers', 'sklearn', 'plotly', 'pandas', 'scipy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "mechcot probe studies/organism" in done.stdout
    assert done.stdout.startswith(called("probe", "--help").stdout.rstrip())


def test_public_names_are_loaded_one_by_one_and_type_checkers_see_the_same() -> None:
    tree = ast.parse(Path(probe.__file__).read_text())
    imported = {
        (str(node.module).removeprefix("mechcot.probe."), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mechcot.probe.")
        for alias in node.names
    }
    assert imported == {(module, name) for module, names in probe._PLACES.items() for name in names}
    assert probe.__all__ == sorted(name for _, name in imported)
    assert all(getattr(probe, name) is not None for name in probe.__all__)
    assert set(probe.__all__) <= set(dir(probe))
    code = "import sys, mechcot.probe; print([m for m in ('pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _store(folder: Path, keys: pd.DataFrame, X: dict[str, np.ndarray]) -> Path:
    """A store that nobody's study made."""
    tensors = {f"resid_post.{name}": torch.from_numpy(value) for name, value in X.items()}
    about = {"reader": "me", "model_digest": folder.name, "sites": ["resid_post"], "layers": [1, 2]}
    about |= {"rules": ["end", "mean"], "dtype": "float32", "d_model": 8}
    shard = write_shard(folder, 0, tensors)
    finish_store(folder, keys.assign(shard=0, row=np.arange(len(keys))), [shard], about)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, dict[str, np.ndarray]]:
    """24 questions, 2 traces of 5 steps, a direction that tells."""
    rng = np.random.default_rng(0)
    keys = pd.DataFrame(
        [(f"q{q}", "mine", c, s) for q in range(24) for c in range(2) for s in range(5)],
        columns=["qid", "arm", "cid", "sid"],
    )
    y = rng.integers(0, 2, len(keys))
    X = {name: rng.normal(size=(len(keys), 8)).astype(np.float32) for name in ("1@end", "2@end", "2@mean")}
    X["2@end"][:, 0] += 2 * y
    folder = _store(tmp_path_factory.mktemp("own") / "store", keys, X | {"1@mean": X["1@end"]})
    return folder, keys.assign(label=y), X


def test_own_tensors_and_labels_give_a_table_a_page_and_a_card(own, tmp_path: Path) -> None:
    folder, labels, X = own
    labels = labels.assign(text=[f"text {i}" for i in range(len(labels))], kind=labels.sid.map(str))
    labels.drop(columns="arm").to_csv(tmp_path / "steps.csv", index=False)
    (tmp_path / "spec.yaml").write_text("{name: told, null_draws: 5, bootstrap: 100, inner_folds: 2}")
    call = ["--activations", folder, "--labels", tmp_path / "steps.csv", "--spec", tmp_path / "spec.yaml"]
    done = _call(*call, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Probe told: the label in steps.csv is 1" in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "report.json", "report.html", "card.json", "probe.safetensors", "scores.parquet"
    }  # fmt: skip
    kept = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    named = kept.merge(labels, on=["qid", "arm", "cid", "sid"], validate="one_to_one")
    assert (named.y == named.label).all()
    assert len(named) == len(kept) == len(labels)
    assert kept.groupby("qid").fold.nunique().max() == 1  # a question is scored by probes that never saw it
    assert kept.groupby("y").score.mean().diff().iloc[1] > 1
    card = load_card(tmp_path / "out")
    assert (card.about["probe"]["layer"], card.about["probe"]["rule"]) == (2, "end")
    scores = card.score_store(Activations.open(folder))
    assert np.array_equal(scores.score, card.score(X["2@end"]))
    assert scores.groupby(labels.label).score.mean().diff().iloc[1] > 1
    assert {(row["rule"], row["layer"]) for row in card.about["metrics"]["map"]} == {
        (rule, layer) for rule in ("end", "mean") for layer in (1, 2)
    }
    as_json = _call(*call, "--out", tmp_path / "again", "--json", "--quiet")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "out" / "report.json").read_text())
    assert as_json.stderr == ""
    for name in ("card.json", "report.html", "probe.safetensors", "scores.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_untrained_weights_and_subjects_of_one_s_own_stand_beside_the_probe(own, tmp_path: Path) -> None:
    folder, labels, _ = own
    keys = labels[["qid", "arm", "cid", "sid"]]
    noise = np.random.default_rng(1).normal(size=(4, len(keys), 8)).astype(np.float32)
    fresh = _store(
        tmp_path / "fresh", keys, dict(zip(("1@end", "2@end", "1@mean", "2@mean"), noise, strict=True))
    )
    labels.assign(subject=labels.qid.str[:2], kind="a").to_parquet(tmp_path / "steps.parquet")
    (tmp_path / "spec.yaml").write_text(
        "{null_draws: 5, bootstrap: 100, beside: [], folds: 3, inner_folds: 2}"
    )
    call = ["--activations", folder, "--labels", tmp_path / "steps.parquet", "--untrained", fresh]
    done = _call(*call, "--spec", tmp_path / "spec.yaml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    beside = next(row for row in found["baselines"].values() if "untrained" in row["label"])
    assert beside["auroc"]["estimate"] < 0.65 < found["auroc"]["estimate"]
    assert found["subjects"]["n_subjects"] == labels.qid.str[:2].nunique()
    assert "confounds_only" not in found["baselines"]


def test_steps_that_the_store_lacks_are_counted_and_unlabelled_ones_too(own, tmp_path: Path) -> None:
    folder, labels, _ = own
    more = pd.concat([labels.iloc[:-3], labels.iloc[:2].assign(qid="elsewhere")])
    more["label"] = more["label"].astype(object)
    more.iloc[5, more.columns.get_loc("label")] = None
    more.to_json(tmp_path / "steps.jsonl", orient="records", lines=True)
    table, dropped = read_labels(tmp_path / "steps.jsonl", Activations.open(folder))
    assert dropped == {"rows": 239, "not_stored": 2, "without_label": 1, "stored_without_row": 3}
    assert len(table) == 236
    assert set(table.n_steps) == {5}


@pytest.mark.parametrize(
    ("change", "spec", "says"),
    [
        (
            lambda t: pd.concat([t, t.iloc[[4]]]),
            "",
            "row 241: question q0, arm mine, trace 0, step 4 is there",
        ),
        (lambda t: t.assign(qid="x" + t.qid), "", "none of its 240 steps is in"),
        (lambda t: t.drop(columns="label"), "", "the columns ['label'] are missing"),
        (lambda t: t.assign(sid="a"), "", "row 1: sid must be a whole number, it is 'a'"),
        (lambda t: t.assign(label=1), "", "240 of 240 steps have the label 1; a probe needs both classes"),
        (lambda t: t[t.qid.isin(["q1", "q2", "q3"])], "", "3 questions; grouped folds need at least 10"),
        (lambda t: t, "layers: [9]", "has no layer 9 at the site resid_post; it has [1, 2]"),
        (lambda t: t, "rules: [before]", "has no rule before"),
        (lambda t: t, "site: mlp_out", "has no site mlp_out; it has ['resid_post']"),
        (lambda t: t.assign(who="w" + t.index.map(str)), "", "confound columns for 240 steps"),
        (lambda t: t.assign(size=np.inf), "", "confound 'size', row 0: inf is no number"),
    ],
)
def test_bad_labels_and_specifications_are_named(own, tmp_path, change, spec, says) -> None:
    folder, labels, _ = own
    change(labels).to_parquet(tmp_path / "steps.parquet")
    (tmp_path / "spec.yaml").write_text(
        "{null_draws: 5, bootstrap: 100}" if not spec else f"{spec}\nnull_draws: 5"
    )
    with pytest.raises(MechcotError, match=re.escape(says)):
        probes.probe_of_store(folder, tmp_path / "steps.parquet", tmp_path / "spec.yaml")


def test_what_cannot_be_fitted_is_one_message_and_writes_nothing(own, tmp_path: Path) -> None:
    own[1].assign(label=0).to_parquet(tmp_path / "steps.parquet")
    call = ("--activations", own[0], "--labels", tmp_path / "steps.parquet", "--out", tmp_path / "out")
    done = _call(*call)
    assert done.returncode == 1
    assert done.stderr == "mechcot: 0 of 240 steps have the label 1; a probe needs both classes\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["study", "--labels", "x"], ["--activations", "x"]])
def test_a_study_or_own_tensors_not_both_and_not_neither(study: Study, arguments: list[str]) -> None:
    done = _call(*(str(study.path) if argument == "study" else argument for argument in arguments))
    assert done.returncode == 2
    assert "name a study, or --activations with --labels" in done.stderr


FAST = {"null_draws": 5, "bootstrap": 100, "beside": (), "folds": 2, "inner_folds": 2, "ablate": 8}


def test_every_label_can_be_probed_on_a_study(study: Study) -> None:
    error = probes.probe_of(study, "distilled", "base", ProbeSpec(**FAST))
    assert error.card.about["source"]["author"] == "distilled"
    assert error.card.about["source"]["reader"] == "base"
    assert error.card.about["source"]["model_digest"]
    assert error.use.n_traces > 0
    assert len(error.transfer.training) == 4
    assert error.dropped["kept"] == error.n_steps
    right = probes.probe_of(study, "distilled", None, ProbeSpec(label="answer_correct", **FAST))
    assert right.meaning == "the trace's final answer turns out right"
    assert "answer_only" not in right.baselines
    left_out = [right.dropped[name] for name in right.dropped if name not in ("steps", "without_step")]
    assert right.dropped["steps after which the answer stands already"] > 0
    assert sum(left_out) == right.dropped["steps"]  # every step is counted once
    hedged = probes.probe_of(study, "base", None, ProbeSpec(label="hedged", rules=("decision",), **FAST))
    assert (
        hedged.n_errors
        == study.claims("base")
        .merge(study.activations("base").frame()[["qid", "arm", "cid", "sid"]])
        .hedged.sum()
    )
    assert hedged.baselines["text_only"].auroc.estimate < 0.95  # the hedge itself is not in the text
    assert "length_only" not in hedged.baselines


def test_the_folder_is_named_by_specification_author_and_reader(study: Study, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        "{name: mine, author: before, null_draws: 5, bootstrap: 100, beside: [], folds: 2, inner_folds: 2}"
    )
    report, folder = probes.specified_probe(study.path, tmp_path / "spec.yaml", reader="after")
    assert folder == study.path / "probes" / "mine" / "base" / "distilled"
    assert report.card.about["source"]["reader"] == "distilled"


def test_a_probe_that_found_nothing_has_no_direction_to_ablate(study: Study) -> None:
    """All steps end alike, so the embedding at their ends is the same vector everywhere."""
    spec = ProbeSpec(**FAST, layers=(0,), untrained=False, transfer=False)
    found = probes.probe_of(study, "distilled", None, spec)
    assert not found.card.coef.any()
    assert "no ablation: the probe's coefficients are all 0, it has no direction" in found.notes
