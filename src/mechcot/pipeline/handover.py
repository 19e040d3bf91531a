"""The stages of the hand-over: each arm of the contrast goes on from both arms' prefixes, and is judged."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.handover.places import Place, places_of
from mechcot.analyses.handover.writing import longest_step, write_next
from mechcot.core import files, records
from mechcot.core.handover_tables import NEXT_KEY, NEXT_STEPS, NEXT_VERDICTS, PLACE_KEY
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.judging.judge_file import Judge
from mechcot.pipeline.plan import NO_TEXTS, calls_expense, there
from mechcot.steps.of_study import checkpoint_of, questions_by_id, task_basis, task_of
from mechcot.study.folder import Study

JUDGED = "handover-judge"


def writing_stage(arm: str) -> str:
    """Name of the stage in which an arm writes."""
    return f"handover-by-{arm}"


def handover_stages(study: Study, progress: bool) -> list[Stage]:
    """Two stages of writing and one of judging; none where the settings have no hand-over."""
    if study.settings.handover is None:
        return []
    if _judge_file(study) is not None:
        _judge(study)  # before anything is written, not after it
    return [*(_writing(study, arm, progress) for arm in pair_of(study)), _judging(study, progress)]


def _writing(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    assert settings.handover is not None
    own, outside = checkpoint_of(study, arm)
    tables = tuple(f"arms/{name}/{table}.parquet" for name in pair_of(study) for table in ("traces", "steps"))
    dump = settings.model_dump(mode="json")
    basis = {name: dump[name] for name in ("sampling", "steps", "seed")} | task_basis(study)
    basis["prompt"] = settings.prompt.whole()
    basis |= {"contrast": dump["contrast"], "traces": settings.reading.traces_per_question}
    basis |= {name: dump["handover"][name] for name in ("prefixes", "samples")}
    out = f"handover/{arm}"
    return Stage(
        writing_stage(arm),
        1,
        basis,
        ("questions.parquet", *tables, *own),
        (f"{out}/places.parquet", f"{out}/steps.parquet"),
        lambda work: write_next(study, arm, work, progress=progress),
        outside=outside,
        plan=partial(plan_writing, study, arm),
    )


def _judging(study: Study, progress: bool) -> Stage:
    settings, path = study.settings, _judge_file(study)
    assert settings.handover is not None
    steps = tuple(f"handover/{arm}/steps.parquet" for arm in pair_of(study))
    verdicts = tuple(f"handover/{arm}/verdicts.parquet" for arm in pair_of(study))
    tables = tuple(f"arms/{name}/{table}.parquet" for name in pair_of(study) for table in ("traces", "steps"))
    return Stage(
        JUDGED,
        1,
        {"judge": settings.judge.basis(), "own": settings.handover.judge} | task_basis(study),
        ("questions.parquet", *tables, *steps),
        (*verdicts, *(("instruments/handover.json",) if path else ())),
        partial(judge_next, study, progress),
        outside=(path,) if path else (),
        plan=partial(plan_judging, study),
    )


def _judge_file(study: Study) -> Path | None:
    """The judge file of whoever judges next steps; None: the task's checker."""
    from mechcot.judging.judge_file import judge_path

    settings = study.settings
    assert settings.handover is not None
    named = settings.handover.judge or (settings.judge.path if settings.judge.kind == "llm" else None)
    return None if named is None else judge_path(named)


def _judge(study: Study) -> Judge:
    from mechcot.judging.judge_file import read_judge

    path = _judge_file(study)
    assert path is not None
    return read_judge(path)


def judge_next(study: Study, progress: bool, work: Path) -> None:
    """Judge what all writers wrote in one go; replies cost money and outlive the stage, as verdicts' do."""
    steps, path = written(study), _judge_file(study)
    if path is None:
        from mechcot.judging.exact import judge_exactly

        rows = judge_exactly(steps, questions_by_id(study), task_of(study))
    else:
        from mechcot.asking.session import Session
        from mechcot.judging.llm import judge_by_llm

        session = Session(
            _judge(study), study.path / "work" / "calls", study.settings.seed, progress=progress
        )
        judgement = judge_by_llm(steps, questions_by_id(study), session, name=path.stem)
        rows = judgement.rows
        files.write_json(study.path / "instruments" / "handover.json", judgement.about)
    told = pd.DataFrame(rows, columns=records.VERDICTS.names)[["instrument", "label", "reason"]]
    table = pd.concat([steps.assign(arm=steps.author)[[*NEXT_KEY, "writer"]], told], axis=1)
    for arm in pair_of(study):
        out = study.path / "handover" / arm / "verdicts.parquet"
        records.write_table(out, table[table.writer == arm], NEXT_VERDICTS)


def written(study: Study) -> pd.DataFrame:
    """The next steps that can be judged, as a judge takes them; `author` and `writer` say whose they are."""
    before = {place.key: place.before for place in places_of(study)}
    tables = []
    for writer in pair_of(study):
        path = study.path / "handover" / writer / "steps.parquet"
        table = records.read_table(study.checked(path), NEXT_STEPS)
        table = table[table.outcome == "step"]
        keys = list(table[PLACE_KEY].itertuples(index=False, name=None))
        tables.append(
            table.assign(
                writer=writer,
                author=table.arm,
                arm=[f"{author} handed to {writer}" for author in table.arm],
                sid=table.k,
                complete=True,
                previous=pd.Series([before[key] for key in keys], index=table.index),
            )
        )
    return pd.concat(tables, ignore_index=True)


# --- what it takes ----------------------------------------------------------------------------------


def plan_writing(study: Study, arm: str) -> Expense:
    """How many next steps an arm will write, behind how many tokens, once the texts are there."""
    places = _places(study)
    if places is None:
        return Expense(arm, None, "next steps", tokens_in=None, tokens_out=None, reason=NO_TEXTS)
    n, longest = _rows(study, places), longest_step(study)
    return Expense(
        arm,
        n,
        "next steps",
        tokens_in=_tokens_before(study, places),
        tokens_out=n * longest,
        note=f"{len(places):,} prefixes, free and, where the author makes a claim, forced; a step has "
        f"{longest} tokens at most; tokens in, counted in the author's tokens, are read twice",
    )


def _places(study: Study) -> list[Place] | None:
    ready = all(there(study, name, "traces", "steps") for name in pair_of(study))
    return places_of(study) if ready else None


def _rows(study: Study, places: list[Place]) -> int:
    """Next steps of one writer."""
    assert study.settings.handover is not None
    forms = sum(1 + (place.slot is not None) for place in places)
    return forms * (study.settings.handover.samples + 1)


def _tokens_before(study: Study, places: list[Place]) -> int:
    """Tokens of prompts and prefixes, by those of the authors."""
    upto: dict[tuple[str, str, int, int], int] = {}
    for arm in pair_of(study):
        prompts = {(t.qid, t.cid): len(t.prompt_ids) for t in records.rows(study.traces(arm))}
        for step in records.rows(study.steps(arm)):
            upto[step.qid, arm, step.cid, step.sid] = prompts[step.qid, step.cid] + max(0, step.tok_start)
    return sum((1 + (p.slot is not None)) * upto[p.qid, p.arm, p.cid, p.k] for p in places)


def plan_judging(study: Study) -> Expense:
    """What judging the next steps will take; before they are written, counted on the authors' own."""
    places, path = _places(study), _judge_file(study)
    unknown: dict[str, Any] = dict.fromkeys(
        ("calls", "tokens_in", "tokens_out", "money"), None if path else 0
    )
    if places is None:
        return Expense(JUDGED, None, "steps", reason=NO_TEXTS, **unknown)
    if path is None:
        return Expense(JUDGED, len(pair_of(study)) * _rows(study, places), "steps")
    from mechcot.judging.llm import plan

    judge, questions, calls = _judge(study), questions_by_id(study), study.path / "work" / "calls"
    if all((study.path / "handover" / arm / "steps.parquet").exists() for arm in pair_of(study)):
        steps = written(study)
        return calls_expense(
            JUDGED, len(steps), "steps", plan(steps, questions, judge, calls, seed=study.settings.seed)
        )
    from dataclasses import replace

    from mechcot.asking.spending import plan_of

    own = pd.concat([study.steps(arm) for arm in pair_of(study)], ignore_index=True)
    found = plan(own, questions, judge, None, seed=study.settings.seed)
    n = len(pair_of(study)) * _rows(study, places)
    each = found.prompt_characters / max(1, found.calls)
    row = calls_expense(JUDGED, n, "steps", plan_of(judge, n, 0, round(n * each)))
    note = "as if every next step were another one, as long as the arms' own; equal ones are one call"
    return replace(row, note=f"{note}; {row.note}" if row.note else note)
