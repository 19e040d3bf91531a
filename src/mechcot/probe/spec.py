"""What a probe is asked: which label, on whose steps, read by whom, and how it is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mechcot.core.config import read_yaml
from mechcot.core.errors import ConfigError
from mechcot.core.reading_settings import SiteName
from mechcot.core.section import Section
from mechcot.probe.settings import ERRONEOUS, GRID, FitSettings

SHIPPED = Path(__file__).parent / "specs"
"""The specifications that come with mechcot."""

MEANINGS = {
    "step_error": ERRONEOUS,
    "answer_correct": "the trace's final answer turns out right",
    "hedged": "the claim is hedged",
}
"""What a probe may be asked, and the statement whose truth is the label 1."""

AFTER_THE_HEDGE = ("end", "mean", "start", "token")
"""Position rules at which the reader has already read a hedge, if the step has one."""


class ProbeSpec(Section):
    """A probe's specification. Everything has a default; an unknown key is an error.

    `author` and `reader` name an arm, or as `before` or `after` the arm in that role of the contrast.
    """

    name: str = Field("step-error", description="names the folder of what is written: probes/NAME")
    label: Literal["step_error", "answer_correct", "hedged"] = "step_error"
    author: str = Field("after", description="whose steps")
    reader: str | None = Field(None, description="whose insides while reading them; None: the author's own")
    instrument: str | None = Field(None, description="whose verdicts; None: those of the study's judge")
    domain: str | None = Field(None, description="only questions of this domain; None: all")
    site: SiteName = "resid_post"
    layers: tuple[int, ...] | None = Field(None, description="0 is the embedding; None: all that were kept")
    rules: tuple[str, ...] = Field(
        ("end",), min_length=1, description="token of the step; with several, inner folds choose"
    )
    beside: tuple[str, ...] | None = Field(
        None, description="rules that the heat map shows beside; None: all others that were kept"
    )
    untrained: bool = Field(
        True, description="read the steps with untrained weights of the same architecture, as a baseline"
    )
    transfer: bool = Field(
        True, description="step_error: train and test on the steps of both arms under both readers"
    )
    ablate: int = Field(
        40, ge=0, description="step_error: questions on which the direction is ablated (22 readings); 0: none"
    )
    grid: tuple[float, ...] = Field(GRID, min_length=1, description="inverse penalties C to choose from")
    folds: int = Field(5, ge=2, le=50)
    inner_folds: int = Field(3, ge=2, le=50)
    bootstrap: int = Field(2000, ge=100, description="resamplings of the questions")
    null_draws: int = Field(200, ge=0, description="draws of each null")
    seed: int | None = Field(None, ge=0, lt=2**32, description="None: the study's")

    def settings(self, seed: int) -> FitSettings:
        """How to fit; the seed is the study's where the specification names none."""
        seed = seed if self.seed is None else self.seed
        return FitSettings(
            grid=self.grid,
            folds=self.folds,
            inner=self.inner_folds,
            draws=self.bootstrap,
            null_draws=self.null_draws,
            seed=seed,
        )

    @field_validator("name")
    @classmethod
    def _folder(cls, name: str) -> str:
        if not name.replace("-", "_").isidentifier():
            raise ValueError(f"'{name}' cannot name a folder; use letters, digits, - and _")
        return name

    @field_validator("grid")
    @classmethod
    def _positive(cls, grid: tuple[float, ...]) -> tuple[float, ...]:
        if min(grid) <= 0:
            raise ValueError("every C must be above 0")
        return tuple(sorted(set(grid)))

    @model_validator(mode="after")
    def _consistent(self) -> ProbeSpec:
        if self.label == "hedged":
            late = sorted({*self.rules, *(self.beside or ())} & set(AFTER_THE_HEDGE))
            if late:
                raise ValueError(
                    f"rules {late}: there the reader has read the hedge itself, which any probe would find. "
                    "Use decision (the last token before a hedge would stand) or before"
                )
        if self.instrument is not None and self.label != "step_error":
            raise ValueError(f"instrument: the label {self.label} needs no verdicts; leave it out")
        return self


def load_spec(path: str | Path) -> ProbeSpec:
    """Read a specification from a YAML file.

    Args:
        path: the file; or the name of one that comes with mechcot (`hedged`), with or without its ending. A
            file of that name in the working folder goes before it.

    Raises:
        ConfigError: it cannot be read, has an unknown key, or a value does not fit.
    """
    path = Path(path).expanduser()
    shipped = SHIPPED / f"{path.name.removesuffix('.yaml')}.yaml"
    if not path.exists():
        if path.parent != Path() or not shipped.exists():
            names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
            raise ConfigError(
                f"{path}: cannot be read: there is no such file; specifications that come with mechcot, to "
                f"be named alone: {names}"
            )
        path = shipped
    given = read_yaml(path)
    try:
        return ProbeSpec.model_validate(given)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                known = ", ".join(ProbeSpec.model_fields)
                lines.append(f"{path}: '{where}' is no key of a specification; there are: {known}")
            else:
                said = item["msg"].removeprefix("Value error, ")
                lines.append(f"{path}: {where}: {said}" if where else f"{path}: {said}")
        raise ConfigError("\n".join(lines)) from None
