"""What the arms know: the list of facts, and each arm's weights asked all of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from mechcot.core import records
from mechcot.core.errors import DataError
from mechcot.core.fact_records import FACTS, KNOWN
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.steps.of_study import checkpoint_folder, checkpoint_of, task_basis, task_of
from mechcot.study.folder import Study
from mechcot.tasks import Fact, Question

LIST = "facts.parquet"


def fact_stages(study: Study, progress: bool) -> list[Stage]:
    """The list, and an arm's answers; none where neither the task nor the settings have a list."""
    settings, pairs = study.settings, study.settings.knowledge.pairs
    if pairs is None and task_of(study).facts is None:
        return []
    if pairs is not None:
        list_of(study)  # a file that cannot be used is refused before hours of sampling, not after them
    organism = settings.organism
    own = {"organism": organism.model_dump(mode="json"), "seed": settings.seed} if organism else {}
    listed = Stage(
        "facts",
        1,
        {"pairs": pairs is not None} | own | task_basis(study),
        (),
        (LIST,),
        partial(write_list, study),
        outside=(Path(pairs).expanduser(),) if pairs else (),
        plan=lambda: Expense("facts", len(list_of(study)), "facts"),
    )
    return [listed, *(_asking(study, arm, progress) for arm in with_weights(study))]


def with_weights(study: Study) -> tuple[str, ...]:
    """The arms that can be asked: those that are not given as traces."""
    return tuple(name for name, arm in study.settings.arms.items() if arm.traces is None)


def _asking(study: Study, arm: str, progress: bool) -> Stage:
    settings = study.settings
    own, outside = checkpoint_of(study, arm)
    return Stage(
        f"facts-{arm}",
        1,
        {"prompt": settings.prompt_of(arm).basis(), "threads": settings.threads},
        (LIST, *own),
        (f"arms/{arm}/facts.parquet",),
        partial(ask, study, arm, progress),
        outside=outside,
        plan=partial(plan_asking, study, arm),
    )


def list_of(study: Study) -> list[tuple[Fact, bool]]:
    """A study's facts, and whether each is checked.

    Raises:
        DataError: the file of pairs cannot be used.
    """
    pairs, own = study.settings.knowledge.pairs, task_of(study).facts
    if pairs is None:
        assert own is not None  # else there is no stage
        return [(fact, True) for fact in own()]
    from mechcot.tasks.pairs import load_pairs

    made = load_pairs(Path(pairs).expanduser())
    if not any(checked for _, checked in made):
        raise DataError(
            f"{pairs}: of {len(made)} pairs none is checked, so nothing can be asked. Have a second judge "
            "check the corrections, and write yes where it bears one out"
        )
    return made


def write_list(study: Study, work: Path) -> None:
    """Write the list of facts."""
    rows = [
        {
            **{
                name: getattr(fact, name)
                for name in ("fid", "kind", "relation", "subject", "group", "stratum")
            },
            "checked": checked,
            "truth": list(fact.truth),
            "objects": list(fact.objects),
            "bare": fact.bare,
            "stem": fact.question.stem,
            "options": list(fact.question.options),
            "reasoning": fact.reasoning,
        }
        for fact, checked in list_of(study)
    ]
    records.write_table(study.path / LIST, rows, FACTS)


def facts_in(table: pd.DataFrame) -> list[Fact]:
    """The checked facts of a list, as they are asked."""
    return [
        Fact(
            *(row.fid, row.kind, row.relation, row.subject, row.group, row.stratum),
            truth=tuple(row.truth),
            objects=tuple(row.objects),
            bare=row.bare,
            question=Question(row.fid, "", row.stem, tuple(row.options), 0, row.group),
            reasoning=row.reasoning,
        )
        for row in records.rows(table[table.checked])
    ]


def ask(study: Study, arm: str, progress: bool, work: Path) -> None:
    """Ask an arm's weights all facts."""
    from mechcot.models.checkpoint import load
    from mechcot.reading.facts import read_facts

    checkpoint = load(study.settings.arms[arm], checkpoint_folder(study, arm), study.settings.device)
    facts, form = facts_in(study.facts()), task_of(study, arm).format
    rows = read_facts(checkpoint, facts, form, arm=arm, work=work, progress=progress)
    records.write_table(study.arm_path(arm) / "facts.parquet", rows, KNOWN)


def plan_asking(study: Study, arm: str) -> Expense:
    """How many texts an arm is asked, and their tokens once its tokenizer is there."""
    facts: Sequence[Fact] = [fact for fact, checked in list_of(study) if checked]
    folder = checkpoint_folder(study, arm)
    if not folder.exists():
        return Expense(arm, len(facts), "facts", tokens_in=None, reason="the arm's weights are not made yet")
    from mechcot.models.checkpoint import load_tokenizer
    from mechcot.reading.facts import asked_of

    tokenizer = load_tokenizer(folder, trust_remote_code=study.settings.arms[arm].trust_remote_code)
    asked = asked_of(facts, task_of(study, arm).format, tokenizer, None)
    return Expense(
        arm,
        len(facts),
        "facts",
        tokens_in=sum(len(text.ids) for text in asked.texts),
        note="each fact alone and in its place",
    )
