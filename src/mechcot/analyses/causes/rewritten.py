"""Steps that a server writes anew with one claim swapped: which, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.analyses.arms import pair_of
from mechcot.analyses.causes import design
from mechcot.analyses.causes.cases import Case, cases_of
from mechcot.analyses.causes.items import Item, judged, labels_of
from mechcot.analyses.causes.writing import drawn
from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger, Plan
from mechcot.core import files, records
from mechcot.judging.claim_swaps import Asked, plan_swaps, swap_claims
from mechcot.judging.judge_file import Judge
from mechcot.models.checkpoint import load_tokenizer
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.study.folder import Study


@dataclass(frozen=True)
class Servers:
    """Who writes and who checks."""

    rewriter: Judge
    checker: Judge


def steps_drawn(study: Study, arm: str) -> list[tuple[Case, Item]]:
    """Steps of the traces that will be changed: so many of each kind and verdict, drawn from the seed."""
    asked = study.settings.causes
    assert asked is not None  # else there is no stage
    trusted = study.settings.arms[arm].trust_remote_code
    tokenizer = load_tokenizer(checkpoint_folder(study, arm), trust_remote_code=trusted)
    alone = partial(judged, labels_of(study, arm))
    cases, _ = cases_of(study, arm, task_of(study), tokenizer, asked.traces, alone)
    return list(drawn(cases, asked.rewritten, study.settings.seed))


def asked_of(study: Study, steps: Sequence[tuple[Case, Item]]) -> list[Asked]:
    """What a rewriter is told of the steps."""
    questions = questions_by_id(study)
    return [
        Asked(
            questions[case.qid],
            item.said,
            item.label,
            f"question '{case.qid}', arm {case.trace.arm}, trace {case.cid}, step {item.sid}",
        )
        for case, item in steps
    ]


def price(study: Study, servers: Servers) -> tuple[int, Plan, bool]:
    """How many steps are written anew, what that takes, and whether its checks are a guess."""
    steps = [step for arm in pair_of(study) for step in steps_drawn(study, arm)]
    calls, seed = study.path / "work" / "calls", study.settings.seed
    found, guessed = plan_swaps(asked_of(study, steps), servers.rewriter, servers.checker, calls, seed=seed)
    return len(steps), found, guessed


def make(study: Study, servers: Servers, *, progress: bool) -> None:
    """Write rewritten/ARM.parquet of both arms, asked about in one go, and instruments/rewriter.json.

    Raises:
        ConfigError, JudgeError, MissingDependency: as `judging.claim_swaps.swap_claims`.
    """
    asked = study.settings.causes
    assert asked is not None  # else there is no stage
    steps = {arm: steps_drawn(study, arm) for arm in pair_of(study)}
    every = [(arm, case, item) for arm, own in steps.items() for case, item in own]
    calls, ledger = study.path / "work" / "calls", Ledger(asked.budget)
    rewriter, checker = (
        Session(server, calls, study.settings.seed, ledger=ledger, progress=progress)
        for server in (servers.rewriter, servers.checker)
    )
    found = swap_claims(asked_of(study, [(case, item) for _, case, item in every]), rewriter, checker)
    rows: dict[str, list[dict[str, Any]]] = {arm: [] for arm in steps}
    for swap in found.rows:
        arm, case, item = every[swap.item]
        step = {"qid": case.qid, "arm": arm, "cid": case.cid, "sid": item.sid, "kind": item.kind}
        told = {"label": item.label, "wanted": swap.wanted, "said": item.said}
        rows[arm].append(step | told | {"text": swap.text, "refused": swap.refused})
    for arm, own in rows.items():
        records.write_table(file_of(study, arm), own, design.REWRITTEN)
    files.write_json(study.path / "instruments" / "rewriter.json", found.about)


def file_of(study: Study, arm: str) -> Path:
    """Where an arm's rewritten steps lie."""
    return study.path / "rewritten" / f"{arm}.parquet"


def refusals(study: Study, arm: str) -> dict[str, int]:
    """How many rewritings of an arm's steps are not used, by reason."""
    if study.settings.causes is None or study.settings.causes.rewriter is None:
        return {}
    rows = records.read_table(study.checked(file_of(study, arm)), design.REWRITTEN)
    counts = rows[rows.refused != ""].refused.value_counts(sort=False)
    return {f"rewritings: {why}": int(n) for why, n in sorted(counts.items())}
