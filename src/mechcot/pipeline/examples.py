"""Examples made of the teacher's chains, and what a training on them will cover."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.core import files, records
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.core.teacher_records import CHAINS, MADE_EXAMPLES
from mechcot.core.text import escaped
from mechcot.core.training_settings import DistillSettings
from mechcot.pipeline.training import training_seed
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_of
from mechcot.study.folder import Study
from mechcot.tasks import Question

log = logging.getLogger("mechcot")

_MASK = {"loss_on", "max_length", "allow_truncation"}
"""Settings of a training that decide what its loss covers."""


def students(study: Study) -> dict[str, DistillSettings]:
    """The arms that learn from examples made here, by name; not those along a training."""
    if study.settings.organism is not None:
        return {}
    arms = {name: arm.distill for name, arm in study.settings.arms.items()}
    here = study.settings.made_here
    return {name: own for name, own in arms.items() if own and own.at is None and here(own.examples)}


def bases(study: Study) -> dict[str, str]:
    """By name of examples the arm whose tokenizer and chat template they are written with.

    That is the base of the first student that learns from them; of none, the arm before.
    """
    found = {own.examples: own.base for own in reversed(students(study).values())}
    return {name: found.get(name, study.settings.contrast.before) for name in study.settings.examples}


def example_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that writes all examples, in a study that names some."""
    settings = study.settings
    if not settings.examples:
        return []
    taught = students(study)
    arms = dict.fromkeys((*bases(study).values(), *(own.base for own in taught.values())))
    outside = tuple(dict.fromkeys(path for arm in arms for path in checkpoint_of(study, arm)[1]))
    basis = {
        "examples": {name: own.model_dump(mode="json") for name, own in settings.examples.items()},
        "bases": bases(study),
        "students": {
            arm: {
                "examples": own.examples,
                "base": own.base,
                **own.train.model_dump(mode="json", include=_MASK),
            }
            for arm, own in taught.items()
        },
        "prompt": settings.prompt.whole(),
        "seed": settings.seed,
    }
    return [
        Stage(
            "examples",
            1,
            basis,
            ("teacher/questions.parquet", "teacher/traces.parquet"),
            (
                *(f"examples/{name}.parquet" for name in settings.examples),
                *(f"examples/masks/{arm}.txt" for arm in taught),
                "examples/report.json",
            ),
            partial(write_examples, study),
            outside=outside,
            plan=partial(plan_examples, study),
        )
    ]


def plan_examples(study: Study) -> Expense:
    """How many examples there may be: of each name one a chain that is kept, before any is matched."""
    path = study.path / "teacher" / "traces.parquet"
    if not path.exists():
        return Expense("examples", None, "examples", reason="the teacher's chains are not there yet")
    kept = int(records.read_table(path, CHAINS).kept.sum())
    return Expense(
        "examples", kept * len(study.settings.examples), "examples", note="at most, before matching"
    )


def write_examples(study: Study, work: Path) -> None:
    """Write all examples, what each student's loss will cover, and the report of both.

    Raises:
        DataError: none are left of a name, or a student's prompts are not the study's.
    """
    from mechcot.distill.chains import exercises_of
    from mechcot.distill.variants import Writer, examples_of
    from mechcot.models.checkpoint import load_tokenizer

    settings, form = study.settings, task_of(study).format
    exercises = exercises_of(records.read_table(study.path / "teacher" / "questions.parquet"))
    chains = records.read_table(study.path / "teacher" / "traces.parquet", CHAINS)
    report: dict[str, Any] = {"examples": {}, "students": {}}
    bases_of = bases(study)
    for base in dict.fromkeys(bases_of.values()):
        trust = settings.arms[base].trust_remote_code
        tokenizer = load_tokenizer(checkpoint_folder(study, base), trust_remote_code=trust)
        writer = Writer(exercises, form, tokenizer, settings.seed)
        own = [name for name in settings.examples if bases_of[name] == base]
        matched = [settings.examples[name].match for name in own]
        asked = {name: one for name, one in settings.examples.items() if name in (*own, *matched)}
        for name, made in examples_of(chains, asked, writer).items():
            if name not in own:  # made for those that match it
                continue
            records.write_table(study.path / "examples" / f"{name}.parquet", made.rows, MADE_EXAMPLES)
            report["examples"][name] = {
                "base": base,
                "n_examples": len(made.rows),
                "n_questions": len({row["qid"] for row in made.rows}),
                "n_tokens": made.tokens,
                "n_hinted": sum(row["hinted"] for row in made.rows),
                "left_out": made.left_out,
                "n_questions_missing": made.missing,
            }
            log.info("examples %s: %d, %d tokens", name, len(made.rows), made.tokens)
    for arm in students(study):
        report["students"][arm] = _masked(study, arm, {q: one.question for q, one in exercises.items()})
    files.write_json(study.path / "examples" / "report.json", report)


def _masked(study: Study, arm: str, asked: Mapping[str, Question]) -> dict[str, Any]:
    """What a student's loss will cover, counted, and in words beside its examples."""
    from mechcot.distill import prepare
    from mechcot.distill.examples import load_examples
    from mechcot.distill.masks import trained_tokens
    from mechcot.distill.prompts import check_prompts
    from mechcot.models.checkpoint import load_tokenizer

    own = students(study)[arm]
    folder, trust = checkpoint_folder(study, own.base), study.settings.arms[own.base].trust_remote_code
    path = study.path / "examples" / f"{own.examples}.parquet"
    tokenizer = load_tokenizer(folder, trust_remote_code=trust)
    check_prompts(load_examples(path), asked, task_of(study).format, tokenizer, path)
    training = prepare(folder, path, own.train, seed=training_seed(study, own), trust_remote_code=trust)
    files.write_text(study.path / "examples" / "masks" / f"{arm}.txt", escaped(training.report) + "\n")
    tokens = trained_tokens(training.data)
    return {
        "examples": own.examples,
        "base": own.base,
        "n_rows": len(training.data.rows),
        "n_truncated": training.data.n_truncated,
        "longest": max(len(row.input_ids) for row in training.data.rows),
        "tokens": {kind: {"trained": trained, "all": whole} for kind, (trained, whole) in tokens.items()},
        "digest": training.data.digest,
    }
