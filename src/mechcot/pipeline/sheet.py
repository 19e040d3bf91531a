"""A blinded sheet for people as the last stage of a study, where the settings ask for one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.pipeline.judge import verdict_files
from mechcot.study.folder import Study

FOLDER = "sheet"


def sheet_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage that draws the sheet; none where the settings ask for none.

    It comes after the report, which says nothing of a sheet that is not filled. What is handed out is not
    made again by itself: verdicts that are made anew stop here, with the report there.
    """
    settings = study.settings.sheet
    if settings is None:
        return []
    from mechcot.core.judging_settings import instrument_of

    contrast = study.settings.contrast
    own = (study.settings.judge.kind, *map(instrument_of, study.settings.panel))
    verdicts = tuple(file for name in own for file in verdict_files(study, name))
    steps = tuple(f"arms/{arm}/steps.parquet" for arm in (contrast.before, contrast.after))
    return [
        Stage(
            FOLDER,
            1,
            settings.model_dump(mode="json") | {"seed": study.settings.seed, "domain": contrast.domain},
            ("questions.parquet", *steps, *verdicts),
            (f"{FOLDER}/key.json", f"{FOLDER}/sheet.html"),
            partial(draw, study),
            frozen=True,
            plan=partial(plan, study),
        )
    ]


def draw(study: Study, work: Path) -> None:
    """Draw the sheet; the table that people fill in is written beside page and key, and not recorded."""
    from mechcot.analyses.sheet.draw import draw_steps, write_files

    settings = study.settings.sheet
    assert settings is not None
    drawn = draw_steps(study, settings.steps, repeat=settings.repeat)
    write_files(study, drawn, study.path / FOLDER, answer_blind=settings.answer_blind)


def plan(study: Study) -> Expense:
    """How many items people are given."""
    settings = study.settings.sheet
    assert settings is not None
    return Expense(FOLDER, settings.steps + settings.repeat, "items for people")
