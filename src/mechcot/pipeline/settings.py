"""The settings that a study has, or will have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mechcot.core.config import read_yaml, resolve
from mechcot.core.manifest import check_settings
from mechcot.core.settings import Settings
from mechcot.pipeline.server_files import located


def settings_in(
    folder: Path,
    config: str | Path | None,
    preset: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
) -> Settings:
    """The settings that a study has, or will have: resolved, server files where they lie.

    Args:
        folder: the study's.
        config: as in `run`, like all that follow.
        preset: see there.
        seed: see there.
        overrides: see there.

    Raises:
        ConfigError: they do not fit, or a server file lies nowhere.
    """
    existing = folder / "study.yaml"
    if config is None and preset is None and existing.exists():
        check_settings(folder)
        return resolve(base=read_yaml(existing), overrides=overrides, seed=seed, source=str(existing))
    file = Path(config) if config is not None else None
    settings = resolve(preset=preset, file=file, overrides=overrides, seed=seed)
    return settings if file is None else located(settings, file)


def reading_settings(
    folder: Path, authors: Sequence[str], readers: Sequence[str], overrides: tuple[str, ...] = ()
) -> Settings:
    """A study's settings with these arms among the readings' authors and readers.

    Raises:
        ConfigError: an unknown arm or key, or a reader without weights.
    """
    settings = settings_in(folder, None, None, None, overrides)
    more = []
    for name, asked, known in (
        ("authors", authors, settings.authors()),
        ("readers", readers, settings.readers()),
    ):
        if set(asked) - set(known):
            more.append(f"reading.{name}=[{', '.join(dict.fromkeys((*known, *asked)))}]")
    return settings_in(folder, None, None, None, (*overrides, *more)) if more else settings
