"""Five students of the organism by type of trace, over several seeds: the table of docs/traces.md.

    python scripts/traces_organism.py --seeds 0 1 2 --studies /tmp/traces
    python scripts/traces_organism.py --page            # writes the table anew from docs/traces-organism.json

Each seed is the study of examples/trace-types.yaml as far as its traces are checked and its sub-steps read
inside.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.analyses.sub_steps.analysis import read
from mechcot.analyses.sub_steps.design import PLACES
from mechcot.analyses.traces.analysis import hurts, tied
from mechcot.core import files
from mechcot.core.config import resolve
from mechcot.core.stages import run_stages, versions
from mechcot.core.words import change, listed, number, percent, points
from mechcot.models.checkpoint import prepare_torch
from mechcot.pipeline.run import stages_of
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open, locked

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "examples" / "trace-types.yaml"
TABLE = ROOT / "docs" / "traces-organism.json"
PAGE = ROOT / "docs" / "traces.md"
START, END = "<!-- traces-organism -->", "<!-- /traces-organism -->"
START_INSIDE, END_INSIDE = "<!-- traces-inside -->", "<!-- /traces-inside -->"
STAGES = (
    "questions",
    "pretrain",
    "prompts",
    "trace-examples",
    "distill-",
    "sample-",
    "steps-",
    "forced-traces",
    "trace_checks",
    "sub-steps",
    "sub_steps",
)
ARM = (
    "accuracy",
    "trace_correct",
    "joint",
    "right_if_correct",
    "right_if_not",
    "phi",
    "log_mantel_haenszel",
    "follows",
)


def study_of(folder: Path, overrides: tuple[str, ...]) -> Study:
    """A study with its traces checked, and no more."""
    settings = resolve(file=CONFIG, overrides=overrides)
    with locked(folder):
        study = create_or_open(folder, settings, restarting=False)
        stages = [one for one in stages_of(study, progress=False) if one.name.startswith(STAGES)]
        run_stages(folder, stages, versions(), reread=False, prepare=partial(prepare_torch, settings.threads))
    return study


def row_of(study: Study) -> dict[str, Any]:
    """What the table says of a seed."""
    found = study.result("trace_checks")
    domain = found["domains"][study.settings.contrast.domain]
    return {
        "arms": {
            name: {
                key: arm[key]
                for key in (*ARM, "counts", "n_traces", "n_unevaluable", "n_no_answer", "n_entities")
            }
            | {"phi_limit": arm["phi_limit"]}
            | {"sub_steps": {step: own["correct"] for step, own in arm["sub_steps"].items()}}
            for name, arm in domain["arms"].items()
        },
        "against": {
            name: {key: own[key] for key in ("accuracy", "limit")} for name, own in domain["against"].items()
        },
        "forced": [
            {key: one[key] for key in ("arm", "trace", "n", "n_other_answer", "right", "follows")}
            for one in found["forced"]
        ],
        "inside": inside_of(study.result("sub_steps")),
        "margin": found["margin"],
        "loose": found["loose"],
    }


def inside_of(found: dict[str, Any]) -> dict[str, Any]:
    """What the table says of what stands inside."""
    shares = (
        "beats",
        "words",
        "untrained",
        "over_words",
        "beyond",
        "beyond_over_words",
        "by_answer",
        "beats_said",
    )
    decoded = [
        {key: one[key] for key in ("arm", "sub_step", "place", "n", *shares) if key in one}
        | {"over": one["over"], "read": read(one)}
        for one in found["decoded"]
    ]
    return {"decoded": decoded, "swapped": found["swapped"]}


def lines(seeds: dict[str, Any]) -> list[str]:
    """The tables in Markdown."""
    head = (
        "seed", "student", "right answers", "against correct", "right traces", "both",
        "right answer where the trace is right", "where it is not", "phi", "answer follows own trace",
    )  # fmt: skip
    out = [_row(head), _row(["---"] * len(head))]
    for seed, one in seeds.items():
        for name, arm in one["arms"].items():
            moved = one["against"].get(name)
            cells = (
                seed, name, _whole(arm["accuracy"]), "" if moved is None else points(moved["accuracy"]),
                *(_whole(arm[key]) for key in ("trace_correct", "joint", "right_if_correct", "right_if_not")),
                "–" if number(arm["phi"]) is None else change(arm["phi"], 2), _whole(arm["follows"]),
            )  # fmt: skip
            out.append(_row(cells))
    head = ("seed", "student", *(f"{what}, {trace}" for trace in _TRACES for what in ("right", "follows")))
    out += ["", _row(head), _row(["---"] * len(head))]
    for seed, one in seeds.items():
        for name in one["arms"]:
            own = {row["trace"]: row for row in one["forced"] if row["arm"] == name}
            out.append(
                _row((seed, name, *(percent(own[t][k], 0) for t in _TRACES for k in ("right", "follows"))))
            )
    return out


def inside_lines(seeds: dict[str, Any]) -> list[str]:
    """What stands inside, in Markdown: the first sub-step with its answer and beyond it, by place."""
    out = []
    for seed, one in seeds.items():
        decoded, swapped = one["inside"]["decoded"], one["inside"]["swapped"]
        name = decoded[0]["sub_step"]
        rows = {(own["arm"], own["place"]): own for own in decoded if own["sub_step"] == name}
        follows = {own["arm"]: own for own in swapped if own["sub_step"] == name}
        out += [
            "",
            f"Seed {seed}, {decoded[0]['n']} questions; the right {name}, without and (with) its answer:",
            "",
        ]
        places = [place for place in PLACES if any(place == key[1] for key in rows)]
        head = ("student", *(PLACES[place] for place in places), "answer follows a swap")
        out += [_row(head), _row(["---"] * len(head))]
        for arm in one["arms"]:
            cells = (_read(rows[arm, place]) for place in places)
            out.append(_row((arm, *cells, _whole(follows[arm]["follows"]))))
        words = {place: percent(rows["base", place]["words"], 0) for place in places}
        out.append(_row(("the text’s words alone (with)", *words.values(), "")))
    return out


def _read(own: dict[str, Any]) -> str:
    """A share, its interval, and the same with the answer; bold where the sub-step is read."""
    said = f"{percent(own['beyond'])} ({percent(own['beats'], 0)})"
    return f"**{said}**" if own["read"] == "yes" else said


_TRACES = ("correct", "incorrect", "shuffled", "filler")
_HURTS = {"no": "does not hurt", "yes": "hurts", "open": "may hurt or not"}
_TIES = {"loosely": "loosely tied", "yes": "tied", "open": "not clearly tied or loose"}


def sentences(seeds: dict[str, Any]) -> list[str]:
    """The paper's two findings in each seed, and what the intervention says of them."""
    out = []
    for seed, one in seeds.items():
        behind = {own["arm"]: own for own in one["forced"] if own["trace"] == "incorrect"}
        hurt = [
            f"`{name}` {_HURTS[hurts(own, one['margin'])]} ({points(own['accuracy'])})"
            for name, own in one["against"].items()
            if name != "base"
        ]
        ties = [
            f"`{name}` {_TIES[tied(arm, one['loose'])]} (phi {change(arm['phi'], 2)})"
            for name, arm in one["arms"].items()
            if number(arm["phi"]) is not None
        ]
        follow = [
            f"`{name}` follows it in {percent(behind[name]['follows'], 0)} and is right in "
            f"{percent(behind[name]['right'], 0)}"
            for name in ("correct", "incorrect")
        ]
        out.append(
            f"Seed {seed}, against `correct` and a margin of {100 * one['margin']:g} points: "
            f"{'; '.join(hurt)}. Right traces and right answers are, in {'; '.join(ties)}. "
            f"Behind a wrong trace {listed(follow)}."
        )
    return out


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _whole(leaf: Any) -> str:
    return percent(leaf)


def page() -> None:
    """Put the tables and what they say into the page."""
    text = files.read_text(PAGE)
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    seeds = json.loads(files.read_text(TABLE))["seeds"]
    told = "\n".join([*lines(seeds), "", *sentences(seeds)])
    text = f"{head}{START}\n{told}\n{END}{tail}"
    head, _, rest = text.partition(START_INSIDE)
    told = "\n".join(inside_lines(seeds)).lstrip()
    files.write_text(PAGE, f"{head}{START_INSIDE}\n{told}\n{END_INSIDE}{rest.partition(END_INSIDE)[2]}")


def main() -> None:
    """Make the studies that are not there, and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--studies", type=Path, default=Path("studies/traces"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="A.B=C")
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    if not given.page:
        known = json.loads(files.read_text(given.out))["seeds"] if given.out.exists() else {}
        for seed in given.seeds:
            study = study_of(given.studies / f"seed-{seed}", (f"seed={seed}", *given.overrides))
            known[str(seed)] = row_of(study)
            files.write_json(given.out, {"seeds": dict(sorted(known.items(), key=lambda item: int(item[0])))})
    if given.out == TABLE and PAGE.exists():
        page()


if __name__ == "__main__":
    main()
