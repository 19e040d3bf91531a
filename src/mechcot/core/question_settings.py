"""Settings of where questions come from, and what their columns hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mechcot.core.question_sets import in_form_of
from mechcot.core.section import Section


class ColumnNames(Section):
    """Which columns of a questions file hold what; `a.b` is the part `b` of the objects in column `a`."""

    qid: str | None = "qid"
    stem: str = "question"
    context: str | None = Field(
        None, description="a text or a list of texts that are put before the question, such as an abstract"
    )
    options: str | tuple[str, ...] | None = Field(
        "options", description="a list: each option in a column of its own; null: the questions are open"
    )
    gold: str = "answer"
    domain: str | None = None
    group: str | None = None


GoldKind = Literal["label", "text", "index", "number", "any", "all"]


class QuestionSettings(Section):
    """Where questions come from: a parquet, JSON Lines or CSV file, or a data set of the Hub."""

    set: str | None = Field(
        None,
        description="a public set by name (medqa, gsm8k, ...: docs/question-sets.md), which says where it "
        "lies and what its columns hold; path: a copy of it in a file",
    )
    path: str = Field(min_length=1, description="a file, or hub:OWNER/NAME")
    config: str | None = Field(None, description="configuration of a data set of the Hub")
    split: str = Field("test", description="split, for a data set of the Hub (path: hub:OWNER/NAME)")
    revision: str | None = Field(
        None, description="commit of a data set of the Hub; null: the newest, written down when first asked"
    )
    columns: ColumnNames = ColumnNames()
    options: tuple[str, ...] | None = Field(
        None, min_length=2, description="options that all questions share, where no column holds any"
    )
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
    duplicates: Literal["keep", "drop"] = Field(
        "keep",
        description="rows with the words and options of an earlier one. keep: intervals count equal texts as "
        "one question; drop: they are left out and listed in skipped.json",
    )

    @model_validator(mode="before")
    @classmethod
    def _set(cls, given: Any) -> Any:
        named = given.get("set") if isinstance(given, dict) else None
        return in_form_of(named, given) if isinstance(named, str) else given

    @property
    def open(self) -> bool:
        """Whether questions have no options: answers are texts."""
        return self.columns.options is None and self.options is None

    @property
    def leaves_out(self) -> bool:
        """Whether rows may be left out, which are then listed."""
        return self.on_bad_row == "skip" or self.duplicates == "drop"

    @model_validator(mode="after")
    def _gold(self) -> QuestionSettings:
        if self.options is not None and self.columns.options is not None:
            raise ValueError(
                "options: the questions share them, so no column holds any: set columns.options to null"
            )
        if self.open and self.gold_is not in (None, "any", "all"):
            raise ValueError(f"gold_is: open questions have no options, so their gold is no {self.gold_is}")
        if not self.open and self.gold_is in ("any", "all"):
            raise ValueError(f"gold_is: {self.gold_is} is of open questions (columns.options: null)")
        return self
