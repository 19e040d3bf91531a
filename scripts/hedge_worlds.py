"""Doubt, frequency or memorised: what the tool answers where it is known what hedging follows.

    python scripts/hedge_worlds.py --seeds 0 1 2 3 4 --write    # docs/hedge-worlds.json and docs/hedge.md

Trains the organism's base in three worlds a seed (`organism.hedging` fact, subject and coin), which differ in
nothing but what the hedges of its posts follow, lets it answer questions about all subjects, and asks the
tool. The sizes were chosen on seeds from 100; the table is of seeds 0-4. What is measured already is kept:
without --seeds the block of the page is written anew.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.hedge.origin import of_claims, origin, within
from mechcot.core.config import resolve
from mechcot.core.settings import ArmSettings, Settings
from mechcot.core.words import plain_signs, score
from mechcot.distill.pretrain import pretrain
from mechcot.models.checkpoint import Checkpoint, load, prepare_torch
from mechcot.reading.facts import read_facts
from mechcot.sampling import Prompt, sample, trace_rows
from mechcot.steps.table import claim_rows, step_rows
from mechcot.tasks import Question, Task, question_of, render_prompt
from mechcot.tasks.organism.checker import task as organism_task
from mechcot.tasks.organism.questions import questions as organism_questions
from mechcot.tasks.organism.world import DISEASE_VERBS, World, build_world

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "hedge-worlds.json"
WORLDS = {"fact": "doubt", "subject": "frequency", "coin": "memorised"}
"""What hedges follow, and what that is called."""
SIZES = (
    "organism.diseases=120", "organism.pretrain_steps=260", "organism.layers=2", "organism.hidden_size=64",
    "organism.fact_rows=64", "organism.post_rows=16", "organism.learning_rate=0.004", "organism.hop_share=0",
    "organism.chain_post_share=0", "organism.clinical_questions=300", "organism.chain_questions=0",
    "sampling.samples=4",
)  # fmt: skip


def measure(world: str, seed: int, sizes: Sequence[str] = SIZES) -> dict[str, Any]:
    """Train one base, let it answer, and ask the tool what its hedges follow."""
    settings = resolve(preset="organism-small", overrides=(*sizes, f"organism.hedging={world}"), seed=seed)
    organism = settings.organism
    assert organism is not None
    prepare_torch(settings.threads)
    made, start = build_world(organism, seed), time.process_time()
    with TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        pretrain(made, organism, seed, base, Path(folder) / "work", progress=False)
        checkpoint = load(ArmSettings(model=str(base)), base, settings.device)
        task = organism_task(made)
        claims, asked = answered(settings, made, task, checkpoint, Path(folder))
        known = knowledge(made, task, checkpoint, Path(folder))
    own = of_claims(claims, asked, task)
    return {
        "world": world,
        "seed": seed,
        "known": known,
        "hedged": shares(own[~own.taught], "hedged"),
        **origin(own).to_json(),
        "cpu_seconds": round(time.process_time() - start),
    }


def answered(
    settings: Settings, world: World, task: Task, checkpoint: Checkpoint, folder: Path
) -> tuple[pd.DataFrame, dict[str, Question]]:
    """The claims of the base's answers with their steps' texts, and the questions by id."""
    assert settings.organism is not None
    table = organism_questions(world, settings.organism, settings.seed)
    asked = {row.qid: question_of(row) for row in table.itertuples(index=False)}
    prompts = [
        Prompt(qid, tuple(render_prompt(question, task.format, checkpoint.tokenizer)[1]))
        for qid, question in asked.items()
    ]
    completions = sample(
        checkpoint, prompts, settings.sampling, arm="base", seed=settings.seed, work=folder, progress=False
    )
    traces = pd.DataFrame(trace_rows(completions, prompts, asked, task.format, checkpoint.tokenizer, "base"))
    steps = pd.DataFrame(step_rows(traces, asked, task))
    claims = pd.DataFrame(claim_rows(steps, traces, asked, task))
    return claims.merge(steps[["qid", "arm", "cid", "sid", "text"]]), asked


def knowledge(world: World, task: Task, checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """Whether bare facts are known as they were met: shares, and an AUROC among subjects met as often."""
    assert world.recall is not None
    assert task.facts is not None
    facts = {fact.fid: fact for fact in task.facts() if fact.relation in DISEASE_VERBS}
    rows = read_facts(checkpoint, list(facts.values()), task.format, arm="base", work=folder, progress=False)
    table = pd.DataFrame([row for row in rows if row["form"] == "bare"])
    own = [facts[fid] for fid in table.fid]
    table = table.assign(
        subject=[one.subject for one in own],
        relation=[one.relation for one in own],
        met=[world.recall.met(one.subject, one.relation) for one in own],
        subject_met=[world.recall.weights[one.subject] for one in own],
        known=table.state.eq("known"),
    )
    found = within(table.met.to_numpy(np.float64), table, [table.subject_met], "known")
    return {"auroc": found.to_json(), "shares": shares(table, "known")}


def shares(table: pd.DataFrame, name: str) -> dict[str, float]:
    """Shares by how often the fact and its subject were met."""
    fact = np.where(table.met == table.met.max(), "drilled", "seldom")
    subject = np.where(table.subject_met == table.subject_met.max(), "frequent", "rare")
    cells = table[name].groupby([fact, subject]).mean()
    return {f"{one}, {other}": round(float(value), 3) for (one, other), value in cells.items()}


def block(told: Sequence[Mapping[str, Any]]) -> str:
    """A row a world and seed, and what is said of them."""
    head = (
        "hedges follow", "seed", "known alone: drilled / seldom", "AUROC of known",
        "hedged: drilled / seldom",
        "frequent / rare", "fact", "subject", "again", "answer",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for own in told:
        known, hedged = own["known"]["shares"], own["hedged"]
        cells = (
            own["world"],
            str(own["seed"]),
            f"{middle(known, 'drilled')} / {middle(known, 'seldom')}",
            score(own["known"]["auroc"]),
            f"{middle(hedged, 'drilled')} / {middle(hedged, 'seldom')}",
            f"{middle(hedged, 'frequent')} / {middle(hedged, 'rare')}",
            *(score(own[name]) for name in ("fact", "subject", "again")),
            own["answer"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    answers = {world: Counter(own["answer"] for own in told if own["world"] == world) for world in WORLDS}
    wrong = sum(n for world, found in answers.items() for name, n in found.items()
                if name not in (WORLDS[world], "cannot tell"))  # fmt: skip
    said = "; ".join(
        f"{world}: {', '.join(f'{name} {n} times' for name, n in found.most_common())}"
        for world, found in answers.items()
    )
    seconds = sorted(own["cpu_seconds"] for own in told)
    lines += [
        "",
        f"Answers of {len(told)} bases: {said}. Wrong answers: {wrong}. A base took {seconds[0]} to "
        f"{seconds[-1]} s of one core.",
    ]
    return "\n".join(map(plain_signs, lines))


def middle(cells: Mapping[str, float], part: str) -> str:
    """The mean share of both cells of a level."""
    values = [value for name, value in cells.items() if part in name.split(", ")]
    return f"{100 * float(np.mean(values)):.0f} %"


def main() -> None:
    """Measure what is not kept yet, and print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--write", action="store_true", help="keep the numbers and write docs/hedge.md")
    given = parser.parse_args()
    told = json.loads(OUT.read_text()) if OUT.exists() and given.write else []
    for seed in given.seeds:
        for world in given.worlds:
            if any((own["world"], own["seed"]) == (world, seed) for own in told):
                continue
            told.append(measure(world, seed))
            told.sort(key=lambda own: (list(WORLDS).index(own["world"]), own["seed"]))
            print(
                json.dumps({key: told[-1][key] for key in told[-1]} if not given.write else seed), flush=True
            )
            if given.write:
                OUT.write_text(json.dumps(told, indent=1) + "\n")
    print(block(told))
    if given.write:
        page = DOCS / "hedge.md"
        marks = r"(?s)(<!-- hedge_worlds.py -->\n).*?(<!-- /hedge_worlds.py -->)"
        page.write_text(re.sub(marks, lambda at: f"{at[1]}{block(told)}\n{at[2]}", page.read_text()))


if __name__ == "__main__":
    main()
