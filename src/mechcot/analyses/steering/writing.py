"""The contrast's arms write while the hedge direction is added or taken out: steering/ in the study's folder.

The direction is that of the arm before, fitted on one part of the questions, before the place of a hedge and
within kinds, in three forms (`stats.direction_forms`). Which form, where to add it and how much is chosen on
a second part; what that does is read on a third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.steering import passes
from mechcot.analyses.steering.bench import Arm, Bench, bench_of
from mechcot.analyses.steering.design import (
    ABLATE,
    ADD,
    FIT,
    NONE,
    SELECT,
    TABLES,
    Edit,
    edits_of,
    random_edits,
)
from mechcot.analyses.steering.strength import (
    Candidate,
    Chosen,
    choose,
    choose_scale,
    hedged_share,
    strengths_of,
)
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError
from mechcot.core.journal import Journal
from mechcot.core.progress import Progress
from mechcot.core.work import WorkUnit, content_key, done_of, map_tasks
from mechcot.models.directions import save_directions
from mechcot.models.interventions import ablate, add
from mechcot.stats.direction_forms import FORMS
from mechcot.study.folder import Study
from mechcot.tasks import Task

if TYPE_CHECKING:
    from mechcot.sampling import Completion

LOOK, WRITE = "look", "write"


def make(study: Study, task: Task, folder_of: Callable[[str], Path], work: Path, *, progress: bool) -> None:
    """Make `steering/` of a study: what the arms write under each edit, and the directions tried.

    Args:
        study: its traces, steps, claims, verdicts and readings must be there.
        task: of the study.
        folder_of: arm to the folder of its weights.
        work: work in flight; what is done is kept.
        progress: whether to draw bars.

    Where there is no direction that fits both arms, or nothing could check what is written, `about.json`
    holds the reason.
    """
    settings = study.settings.steering
    assert settings is not None  # else there is no stage
    before, after = pair_of(study)
    try:
        bench = bench_of(study, task, folder_of, work, progress=progress)
    except AnalysisError as error:  # the rest of the study says what it can
        _write_nothing(study, str(error))
        return
    chosen: dict[str, Chosen] = {}
    units: list[WorkUnit] = []
    with closing(Journal(work / "steering.jsonl")) as journal:
        for arm in dict.fromkeys((before, after)):
            tried = [(form, layer) for form, layer in bench.arms[arm].directions if layer > 0]
            looked = [_unit(LOOK, arm, *one, Edit(ADD, 1.0)) for one in tried]
            _do(bench, looked, journal, f"directions in {arm}")
            chosen[arm] = choose(
                tuple(
                    _candidate(*one, journal.results[unit.key])
                    for one, unit in zip(tried, looked, strict=True)
                )
            )
            units += [_unit(WRITE, arm, *_place(chosen[arm]), edit) for edit in edits_of(settings)]
            _do(bench, units, journal, f"steering {arm}")
        texts, read = (_table(journal, units, name) for name in ("texts", "passes"))
        strengths = strengths_of(texts[texts.arm == after], read[read.arm == after])
        scale, _ = choose_scale(strengths, hedged_share(texts[texts.arm == before]))
        units += [_unit(WRITE, after, *_place(chosen[after]), edit) for edit in random_edits(settings, scale)]
        _do(bench, units, journal, "random directions")
        _write(bench, journal, units, chosen)


def _do(bench: Bench, units: Sequence[WorkUnit], journal: Journal, what: str) -> None:
    with Progress(what, len(units), "edit", shown=bench.progress, done=done_of(units, journal)) as bar:
        map_tasks(_done, units, bench, journal=journal, bar=bar)


def _place(chosen: Chosen) -> tuple[str, int]:
    return chosen.used.direction, chosen.used.layer


def _unit(kind: str, arm: str, direction: str, layer: int, edit: Edit) -> WorkUnit:
    arguments = (kind, arm, direction, layer, edit.form, edit.scale, edit.draw)
    return WorkUnit(content_key(arguments), arguments, 1)


def _done(bench: Bench, unit: WorkUnit) -> dict[str, list[dict[str, Any]]]:
    kind, name, direction, layer, form, scale, draw = unit.arguments
    arm, edit = bench.arms[name], Edit(form, scale, draw)
    edited = partial(_edited, arm, direction, layer, edit)
    chosen = [text for text in arm.texts if kind == WRITE or text.part == SELECT]
    read = passes.moved(arm.checkpoint.model, chosen, edited)
    row = {"arm": name, **edit.row}
    found = {"passes": [row | {"layer": layer} | _pass_row(one) for one in read]}
    if kind == WRITE:
        found["places"] = [row | place for one in read for place in _place_rows(one)]
        with edited():
            done = _drawn(bench, arm, bench.work / unit.key)
        found["texts"] = [row | text for text in text_rows(bench, arm, done)]
    return found


@contextmanager
def _edited(arm: Arm, direction: str, layer: int, edit: Edit) -> Iterator[None]:
    """The arm's model under an edit, which is taken back.

    A random direction is as long as the hedge's own.
    """
    model, vector = arm.checkpoint.model, arm.directions[direction, layer]
    if edit.draw:
        vector = arm.random[layer][edit.draw - 1] * np.linalg.norm(vector)
    if edit == NONE:
        yield
    elif edit.form == ABLATE:
        with ablate(model, vector, layers=sorted(arm.random)):
            yield
    else:
        with add(model, vector, layers=[layer], scale=edit.scale):
            yield


def _pass_row(one: passes.Moved) -> dict[str, Any]:
    own = {"qid": one.text.qid, "cid": one.text.cid, "part": one.text.part}
    counts = {"n_tokens": one.n_tokens, "n_places": len(one.gained)}
    return own | counts | {"divergence": one.divergence, "gained": float(sum(one.gained))}


def _place_rows(one: passes.Moved) -> Iterator[dict[str, Any]]:
    for place, p in zip(one.text.places, one.p_hedge, strict=True):
        if place.wrong >= 0:
            own = {"qid": one.text.qid, "cid": one.text.cid, "sid": place.sid}
            yield own | {"relation": place.relation, "wrong": place.wrong, "p_hedge": p}


def _candidate(direction: str, layer: int, found: Mapping[str, Any]) -> Candidate:
    """What the look at one direction says of it."""
    read = pd.DataFrame(found["passes"])
    effect = read.gained.sum() / max(1, read.n_places.sum())
    divergence = read.divergence.sum() / read.n_tokens.sum()
    return Candidate(layer, direction, float(effect), float(divergence))


def _drawn(bench: Bench, arm: Arm, work: Path) -> list[Completion]:
    """What an arm writes as it is now.

    The draws are those of the study's own traces, whatever the edit: texts differ by the edit alone.
    """
    from mechcot.sampling import Prompt, Stream, complete, stop_of

    prompts = [Prompt(qid, ids) for qid, ids in arm.prompts.items()]
    stop = stop_of(bench.sampling, bench.questions, bench.task.format, arm.checkpoint.tokenizer)
    stream = Stream(arm.name, bench.study.settings.seed, stop, may_be_empty=True)
    return complete(arm.checkpoint, prompts, bench.sampling, stream, work, progress=False)


def text_rows(bench: Bench, arm: Arm, done: Sequence[Completion]) -> list[dict[str, Any]]:
    """Rows of `TEXTS` without the edit; the arm before is asked unedited how strange a text is."""
    from mechcot.sampling import Prompt, trace_rows

    prompts = [Prompt(qid, ids) for qid, ids in arm.prompts.items()]
    said = [one for one in done if len(one.token_ids) > (one.finish_reason == "stop")]
    rows = trace_rows(
        said,
        prompts,
        bench.questions,
        bench.task.format,
        arm.checkpoint.tokenizer,
        arm.name,
        may_be_empty=True,
    )
    found = _counted(bench, pd.DataFrame(rows, columns=records.TRACES.names))
    surprise: dict[tuple[str, int], float] = {}
    if arm.before is not None:
        read = [passes.Text(one.qid, one.cid, "", arm.prompts[one.qid], tuple(one.token_ids)) for one in said]
        values = passes.surprise(arm.before.model, read)
        surprise = {(one.qid, one.cid): value for one, value in zip(read, values, strict=True)}
    nothing = {"text": "", "answer": -1, "right": 0} | dict.fromkeys(_COUNTS, 0)
    return [
        {"qid": one.qid, "cid": one.cid, "part": bench.parts[one.qid], "finish_reason": one.finish_reason}
        | found.get((one.qid, one.cid), nothing)
        | {"n_tokens": len(one.token_ids), "surprise": surprise.get((one.qid, one.cid))}
        for one in done
    ]


_COUNTS = ("n_claims", "n_hedged", "n_judged", "n_wrong", "n_wrong_hedged", "n_abstain")


def _counted(bench: Bench, traces: pd.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    """What each trace claims, and what the checker says of it."""
    from mechcot.judging.exact import judge_exactly
    from mechcot.steps import claim_rows, step_rows

    window = bench.study.settings.steps.window
    cut = pd.DataFrame(step_rows(traces, bench.questions, bench.task, window), columns=records.STEPS.names)
    claims = pd.DataFrame(claim_rows(cut, traces, bench.questions, bench.task), columns=records.CLAIMS.names)
    verdicts = pd.DataFrame(judge_exactly(cut, bench.questions, bench.task), columns=records.VERDICTS.names)
    key = ["qid", "cid", "sid"]
    steps = verdicts.merge(claims[[*key, "hedged"]], on=key, how="left")
    hedged, wrong = steps.hedged.eq(True), steps.label.eq("erroneous")
    flags = {
        "n_claims": steps.hedged.notna(),
        "n_hedged": hedged,
        "n_judged": steps.label.isin(("correct", "erroneous")),
        "n_wrong": wrong,
        "n_wrong_hedged": wrong & hedged,
        "n_abstain": steps.label.eq("abstain"),
    }
    sums = steps[["qid", "cid"]].assign(**flags).groupby(["qid", "cid"]).sum().to_dict("index")
    return {
        (trace.qid, int(trace.cid)): {
            "text": trace.text,
            "answer": int(trace.answer),
            "right": int(trace.answer == bench.questions[trace.qid].gold),
            **{name: int(sums.get((trace.qid, trace.cid), {}).get(name, 0)) for name in _COUNTS},
        }
        for trace in records.rows(traces)
    }


def _table(journal: Journal, units: Sequence[WorkUnit], name: str) -> pd.DataFrame:
    return pd.DataFrame([row for unit in units for row in journal.results[unit.key][name]])


def _write_nothing(study: Study, reason: str) -> None:
    out = study.path / "steering"
    for name, schema in TABLES.items():
        records.write_table(out / f"{name}.parquet", [], schema)
    files.write_json(out / "about.json", {"reason": reason})


def _write(bench: Bench, journal: Journal, units: Sequence[WorkUnit], chosen: Mapping[str, Chosen]) -> None:
    out = bench.study.path / "steering"
    for name, schema in TABLES.items():
        rows = [row for unit in units for row in journal.results[unit.key][name]]
        records.write_table(out / f"{name}.parquet", rows, schema)
    before = pair_of(bench.study)[0]
    told = {arm: _told(one) for arm, one in chosen.items()}
    for form in FORMS:
        card = {
            "arm": before,
            "site": "resid_post",
            "position": "the token before the place of a hedge",
            "form": form,
            "model_digest": bench.study.activations(before).meta["model_digest"],
            "n_questions": sum(part == FIT for part in bench.every.values()),
            "seed": bench.study.settings.seed,
            "chosen_among": {
                arm: [one for one in own["candidates"] if one["direction"] == form]
                for arm, own in told.items()
            },
            "used": {arm: own["layer"] for arm, own in told.items() if own["direction"] == form},
        }
        own = {layer: vector for (of, layer), vector in bench.arms[before].directions.items() if of == form}
        save_directions(out / "directions" / form, own, card)
    files.write_json(out / "about.json", {"parts": bench.parts, "arms": told})


def _told(chosen: Chosen) -> dict[str, Any]:
    """One arm's choice, in about.json."""
    return {
        "layer": chosen.used.layer,
        "direction": chosen.used.direction,
        "without_cut": chosen.without_cut.to_json(),
        "undamaged": chosen.undamaged,
        "candidates": [one.to_json() for one in chosen.candidates],
    }
