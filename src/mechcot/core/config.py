"""Settings of a study: defaults < preset < file < overrides, resolved once into study.yaml.

An unknown key is an error. Sections that decide what was asked, of whom and how (`FROZEN`) cannot
change in an existing study; the others can, and the analyses that read them run again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mechcot.core.errors import ConfigError
from mechcot.core.presets import PRESETS
from mechcot.core.settings import Section, Settings, TrainSettings

FROZEN = ("seed", "threads", "organism", "questions", "prompt", "arms", "sampling", "steps")
"""Sections that an existing study does not let change without `--restart-from`."""


def resolve(
    *,
    preset: str | None = None,
    file: Path | None = None,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    base: dict[str, Any] | None = None,
    source: str = "the settings",
) -> Settings:
    """Resolve settings: preset < file (or `base`, an existing study's) < overrides < seed.

    Args:
        preset: a name in `PRESETS`; None: the file's own, else `models` when the file names
            questions, else `organism`.
        file: a YAML file.
        overrides: texts of the form `a.b=c`, the value in YAML; `arms.NAME=null` and `controls.NAME=null`
            take one away.
        seed: the study's seed.
        base: settings already resolved, in place of preset and file.
        source: what messages call settings that come from no `file`.

    Raises:
        ConfigError: an unknown preset or key, or a value that does not fit.
    """
    given = read_yaml(file) if file else {}
    if base is not None:
        merged = dict(base)
    else:
        name = preset or given.get("preset") or ("models" if "questions" in given else "organism")
        if name not in PRESETS:
            raise ConfigError(f"there is no preset '{name}'; there are {', '.join(PRESETS)}")
        merged = _merge(PRESETS[name], {**given, "preset": name})
    settings = _settings_of(merged, overrides, seed, str(file) if file else source)
    threads = settings.threads or len(os.sched_getaffinity(0))
    return settings.model_copy(update={"threads": threads})


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: it is missing, is no YAML or holds no mapping.
    """
    try:
        loaded = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not YAML: {_yaml_problem(error)}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: expected keys and values, found a {type(loaded).__name__}")
    return loaded


class _Loader(yaml.SafeLoader):
    """The safe loader, and a key that stands twice in one mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                problem = f"the key '{key_node.value}' stands there already"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _yaml_problem(error: Exception) -> str:
    """What the parser says, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'cannot be parsed'}"


def to_yaml(settings: Settings) -> str:
    """The settings as YAML, every key written out."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Where two resolved settings differ: (dotted key, old value, new value)."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += changes(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append((f"{prefix}{key}", a, b))
    return found


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, for example sampling.samples=8; got '{text}'")
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: the value '{value}' is not YAML: {_yaml_problem(error)}") from error
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _settings_of(base: dict[str, Any], overrides: tuple[str, ...], seed: int | None, source: str) -> Settings:
    """The base with the overrides and the seed, validated; a problem names where it was written."""
    keyed = [("--set " + text.partition("=")[0], _override(text)) for text in overrides]
    keyed += [("--seed", {"seed": seed})] if seed is not None else []
    merged = base
    for _, part in keyed:
        merged = _merge(merged, part)
    try:
        return Settings.model_validate(_without_removed(merged))
    except ValidationError as error:
        problem = error
    try:
        Settings.model_validate(_without_removed(base))
    except ValidationError as error:
        raise ConfigError(_explained(error, source, Settings)) from None
    # Without them all is well.
    raise ConfigError(_explained(problem, ", ".join(key for key, _ in keyed), Settings)) from None


def _without_removed(merged: dict[str, Any]) -> dict[str, Any]:
    """The settings without arms and controls that were set to null."""
    named = {key: merged[key] for key in ("arms", "controls") if isinstance(merged.get(key), dict)}
    return merged | {key: {n: v for n, v in own.items() if v is not None} for key, own in named.items()}


def _explained(error: ValidationError, source: str, root: type[Section]) -> str:
    """One line a problem: where it is, and what would be right."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            lines.append(f"{source}: '{where}' is no setting{_nearest(item['loc'], root)}")
        else:
            lines.append(f"{source}: {where}: {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)


def _nearest(location: tuple[int | str, ...], root: type[Section]) -> str:
    """The keys that stand where the unknown one was written."""
    section: Any = root
    for part in location[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        if field is None:  # a name chosen by the user, as an arm's
            continue
        section = _section_of(field.annotation)
    known = ", ".join(getattr(section, "model_fields", {}))
    return f"; there are: {known}" if known else ""


def _section_of(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _section_of(inner)
        if found is not None:
            return found
    return None


def train_settings(overrides: tuple[str, ...]) -> TrainSettings:
    """The trainer's settings, defaults with overrides such as `epochs=3` or `lora.rank=16`.

    Raises:
        ConfigError: an unknown key or a value that does not fit.
    """
    merged: dict[str, Any] = {}
    for text in overrides:
        merged = _merge(merged, _override(text))
    try:
        return TrainSettings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explained(error, "--set", TrainSettings)) from None
