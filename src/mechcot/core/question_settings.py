"""Settings of where questions come from, and what their columns hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mechcot.core.section import Section


class ColumnNames(Section):
    """Which columns of a questions file hold what."""

    qid: str | None = "qid"
    stem: str = "question"
    options: str | tuple[str, ...] | None = Field(
        "options", description="a list: each option in a column of its own; null: the questions are open"
    )
    gold: str = "answer"
    domain: str | None = None
    group: str | None = None


GoldKind = Literal["label", "text", "index", "number", "any", "all"]


class QuestionSettings(Section):
    """Where questions come from: a parquet, JSON Lines or CSV file, or a data set of the Hub."""

    path: str
    split: str = Field("test", description="split, for a data set of the Hub (path: hub:OWNER/NAME)")
    columns: ColumnNames = ColumnNames()
    limit: int | None = Field(None, ge=1)
    task: str = Field("multiple_choice", description="what steps claim and who checks them: a task's name")
    gold_is: GoldKind | None = Field(
        None,
        description="what the gold column holds: an option's label, its text, its index from 0 or its number "
        "from 1; any, of open questions: lists of which each text is right; all: lists of which an answer "
        "has to name every text, in any order, and no other; null: found out row by row, and "
        "refused where that is not certain",
    )
    on_bad_row: Literal["refuse", "skip"] = Field(
        "refuse", description="skip: leave rows out that cannot be used; they are listed in skipped.json"
    )

    @model_validator(mode="after")
    def _gold(self) -> QuestionSettings:
        if self.columns.options is None and self.gold_is not in (None, "any", "all"):
            raise ValueError(f"gold_is: open questions have no options, so their gold is no {self.gold_is}")
        if self.columns.options is not None and self.gold_is in ("any", "all"):
            raise ValueError(f"gold_is: {self.gold_is} is of open questions (columns.options: null)")
        return self
