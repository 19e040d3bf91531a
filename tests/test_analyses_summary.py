import json

import pandas as pd
import pytest

from mechcot.analyses.answers.analysis import answers_of
from mechcot.analyses.audit.analysis import audit_of
from mechcot.analyses.summary import summarise
from report_cases import BASE, LAYERS, RICH, TERSE, VERSIONS, Case, build, ordinary

INTERVAL = {"estimate", "low", "high"}
PROBE = {"layer", "auroc", "position_only", "kind_only", "entropy", "within_kind", "stack", "stack_gain"} | {
    "n_steps",
    "n_questions",
    "intervals",
}
COMMITMENT = {"agrees_at_prompt", "locked_by_count", "locked_by_horizon"} | {
    "locked_at_prompt",
    "locked_at_first_claim",
    "never_share",
    "chance_at_prompt",
    "n_traces",
    "n_questions",
    "intervals",
}
BEST = {"layer", "auroc", "random_high", "frequency", "n_claims", "n_questions"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ordinary(tmp_path_factory)


@pytest.fixture(scope="module")
def summary(study):
    return summarise(study, VERSIONS)


def test_the_keys_are_the_promised_ones_and_no_others(summary):
    assert summary.keys() == {
        "schema_version", "study", "contrast", "seed", "versions", "answers", "audit", "controls",
        "coupling", "commitment", "hedge_words", "hedge", "probe", "knowledge", "confirmatory", "ledger",
    }  # fmt: skip
    assert summary["schema_version"] == 1
    assert summary["contrast"] == {"before": "base", "after": "distilled", "domain": "clinical"}
    assert list(summary["versions"]) == ["mechcot", "torch"]
    assert summary["answers"].keys() == {"base", "distilled", "delta_sc", "both_named"}
    assert summary["answers"]["both_named"].keys() == {
        "n_questions",
        "base",
        "distilled",
        "delta_sc",
        "naming",
    }
    assert summary["audit"].keys() == {
        "base", "distilled", "claims", "delta", "both_correct", "both_correct_named",
        "within_reads", "split",
    }  # fmt: skip
    assert summary["audit"]["claims"].keys() == {"right", "wrong", "any_wrong"}
    for count in summary["audit"]["claims"].values():
        assert count.keys() == {"base", "distilled", "difference"}
    for arm in ("base", "distilled"):
        assert summary["answers"][arm].keys() == {"accuracy", "sc", "ece", "k", "n_questions"}
        assert summary["audit"][arm].keys() == {
            "error_rate",
            "abstain_rate",
            "not_checkable_rate",
            "n_steps",
            "n_judged",
        }
        assert summary["commitment"][arm].keys() == COMMITMENT
        assert summary["probe"][arm].keys() == PROBE
        assert summary["probe"][arm]["intervals"].keys() == {"auroc", "stack", "stack_gain"}
        for name in ("commitment", "probe"):
            assert all(leaf.keys() == INTERVAL for leaf in summary[name][arm]["intervals"].values())
    assert summary["answers"]["delta_sc"].keys() == summary["audit"]["delta"].keys() == INTERVAL
    assert summary["audit"]["both_correct"].keys() == {*INTERVAL, "n_questions"}
    assert summary["audit"]["split"].keys() == {"common_composition", "common_within", "unshared"}
    assert summary["controls"].keys() == {"terse", "chain"}
    for control in summary["controls"].values():
        assert control.keys() == {"base", "distilled", "delta_error"}
        assert control["base"].keys() == control["distilled"].keys() == {"sc", "error_rate"}
        assert control["delta_error"].keys() == INTERVAL
    assert summary["hedge"].keys() == {"base", "base_direction_in_distilled"}
    for by_layer, name in (("", "base"), ("error_", "base_direction_in_distilled")):
        assert summary["hedge"][name].keys() == {f"{by_layer}auroc_by_layer", "best"}
        assert summary["hedge"][name]["best"].keys() == BEST
    assert summary["knowledge"].keys() == {"knew", "forgot", "learned", "never_knew", "facts"}


def test_the_numbers_are_those_of_the_tables(study, summary):
    questions = study.questions("clinical").set_index("qid")
    for arm in ("base", "distilled"):
        traces = study.traces(arm)
        traces = traces[traces.qid.isin(questions.index)]
        right = traces.answer.to_numpy() == questions.gold.loc[traces.qid].to_numpy()
        assert summary["answers"][arm]["accuracy"] == pytest.approx(right.mean())
        labels = study.verdicts(arm).set_index("qid").label
        labels = labels[labels.index.isin(questions.index)]
        judged = labels.isin(["correct", "erroneous"])
        assert summary["audit"][arm]["error_rate"] == pytest.approx((labels[judged] == "erroneous").mean())
        assert summary["audit"][arm]["not_checkable_rate"] == pytest.approx(
            (labels == "not_checkable").mean()
        )
        assert summary["audit"][arm]["n_steps"] == len(labels)
    delta = summary["audit"]["delta"]
    rates = [summary["audit"][arm]["error_rate"] for arm in ("base", "distilled")]
    assert delta["estimate"] == pytest.approx(rates[1] - rates[0])
    assert sum(summary["audit"]["split"].values()) == pytest.approx(delta["estimate"])
    shares = [summary["knowledge"][name] for name in ("knew", "forgot", "learned", "never_knew")]
    assert sum(shares) == pytest.approx(1)


def test_a_probes_numbers_are_its_reports(study, summary):
    for arm in ("base", "distilled"):
        report, found = study.result("probe")[arm], summary["probe"][arm]
        assert found["layer"] == report["layer"]
        assert found["auroc"] == report["auroc"]["estimate"]
        assert found["within_kind"] == report["within"]["kind"]["estimate"]
        assert found["stack_gain"] == report["stack"]["gain"]["estimate"]
        for ours, theirs in (
            ("entropy", "entropy_end"),
            *((n, n) for n in ("kind_only", "position_only", "stack")),
        ):
            assert found[ours] == report["baselines"][theirs]["auroc"]["estimate"]


def test_a_control_stands_under_the_names_of_the_headlines_roles(study, summary):
    terse = audit_of(study, "terse")
    assert terse.after.arm == "terse"
    assert summary["controls"]["terse"]["distilled"]["error_rate"] == terse.after.error_rate.estimate
    assert summary["controls"]["terse"]["delta_error"]["high"] == terse.delta.high
    chain = answers_of(study, "chain")
    assert summary["controls"]["chain"]["distilled"]["sc"] == chain.after.votes.sc


def test_lists_by_layer_begin_with_the_embedding(study, summary):
    own = summary["hedge"]["base"]["auroc_by_layer"]
    moved = summary["hedge"]["base_direction_in_distilled"]["error_auroc_by_layer"]
    assert len(own) == len(moved) == LAYERS
    assert own == [row["auroc"]["estimate"] for row in study.result("hedge")["before"]["by_layer"]]


def test_it_is_json_without_nan_without_seconds_and_without_the_folders_name(study, summary):
    text = json.dumps(summary, allow_nan=False)
    assert "seconds" not in text
    assert str(study.path) not in text
    assert study.path.parent.name not in text


def test_arms_of_other_names_are_named_and_what_is_missing_has_its_reason(tmp_path):
    arms = {"early": BASE, "late": RICH, "terse": TERSE}
    overrides = (
        "arms.early.model=organism", "arms.late.distill.base=early", "arms.late.distill.examples=rich",
        "arms.terse.distill.base=early", "contrast.before=early", "contrast.after=late",
    )  # fmt: skip
    study = build(tmp_path / "s", Case(arms, overrides, claims=False))
    summary = summarise(study, {})
    assert summary["answers"].keys() == {"early", "late", "delta_sc", "both_named"}
    assert summary["controls"]["terse"].keys() == {"early", "late", "delta_error"}
    missing = summary["hedge"]["early_direction_in_late"]["error_auroc_by_layer"]
    assert missing["value"] is None
    assert "no claims" in missing["reason"]
    for share in summary["knowledge"].values():
        assert share["value"] is None
        assert share["reason"]
    assert isinstance(pd.json_normalize(summary), pd.DataFrame)
