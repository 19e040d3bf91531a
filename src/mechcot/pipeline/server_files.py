"""Files of servers that a settings file names: beside it first, then in the working directory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from mechcot.core.errors import ConfigError
from mechcot.core.section import Section
from mechcot.core.settings import Settings

SectionT = TypeVar("SectionT", bound=Section)
Find = Callable[[str, str], str]
"""A setting and the file that it names, to where that lies."""


def located(settings: Settings, file: Path) -> Settings:
    """The settings with every server, judge and teacher file where it was found.

    What is found in the working directory, and nowhere else, stays as it is named.

    Args:
        settings: as the file has them.
        file: the settings file.

    Raises:
        ConfigError: a file lies at neither place; with its setting, and both places.
    """
    find: Find = partial(_found, file)
    arms = {name: _in(arm, f"arms.{name}", ("server",), find) for name, arm in settings.arms.items()}
    judge = settings.judge
    return settings.model_copy(
        update={
            "arms": arms,
            "teacher": _in(settings.teacher, "teacher", ("server",), find),
            "judge": _in(judge, "judge", ("path",), find) if judge.kind == "llm" else judge,
            "panel": tuple(find("panel", one) for one in settings.panel),
            "judge_controls": _in(settings.judge_controls, "judge_controls", ("judge", "rewriter"), find),
            "answers": _in(settings.answers, "answers", ("judge",), find),
            "handover": _in(settings.handover, "handover", ("judge",), find),
            "causes": _in(settings.causes, "causes", ("rewriter", "checker"), find),
            "kinds": _in(settings.kinds, "kinds", ("server",), find),
        }
    )


def _in(section: SectionT | None, where: str, keys: tuple[str, ...], find: Find) -> SectionT | None:
    if section is None:
        return None
    named = {key: getattr(section, key) for key in keys if getattr(section, key) is not None}
    return section.model_copy(update={key: find(f"{where}.{key}", file) for key, file in named.items()})


def _found(settings: Path, where: str, named: str) -> str:
    from mechcot.judging.judge_file import judge_path, shipped

    given = Path(named).expanduser()
    beside = settings.parent / given
    if beside.exists():
        return named if given.exists() and given.samefile(beside) else str(beside.resolve())
    asks = (".judge", ".rewriter", ".checker", ".path", "kinds.server")
    judges = where.endswith(asks) or where == "panel"
    if given.exists() or (judges and judge_path(named).exists()):
        return named
    more = f"; or name a judge file that comes with mechcot: {shipped()}" if judges else ""
    looked = (
        ""
        if given.is_absolute()
        else f", neither beside the settings ({beside.resolve()}) nor in the working directory "
        f"({given.absolute()})"
    )
    raise ConfigError(
        f"{settings}: {where}: there is no file '{named}'{looked}. Put it there, or name where it lies{more}"
    )
