"""Settings of a study: defaults < preset < file < overrides, resolved once into study.yaml.

An unknown key is an error. Sections that decide what was asked, of whom and how (`FROZEN`) cannot
change in an existing study; the others can, and the analyses that read them run again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mechcot.core import files
from mechcot.core.errors import ConfigError, DataError, said
from mechcot.core.presets import PRESETS
from mechcot.core.question_sets import SETS
from mechcot.core.section import Section
from mechcot.core.settings import Settings
from mechcot.core.training_settings import TrainSettings

ADDS = ("sampling.greedy",)
"""Keys of such sections that add to what is there and change nothing of it."""

FROZEN = (
    "seed", "threads", "organism", "questions", "teacher", "examples", "prompt", "arms", "sampling", "steps"
)  # fmt: skip
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
            questions (`open` for a set of open ones), else `organism`.
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
    if file and not given:
        raise ConfigError(
            f"{file}: is empty. A settings file names at least one setting, such as preset: organism"
        )
    if base is not None:
        merged = dict(base)
    else:
        name = preset or given.get("preset") or _preset_for(given)
        if name not in PRESETS:
            raise ConfigError(f"there is no preset '{name}'; there are {', '.join(PRESETS)}")
        merged = _merge(PRESETS[name], {**given, "preset": name})
    settings = _settings_of(merged, overrides, seed, str(file) if file else source)
    threads = settings.threads or len(os.sched_getaffinity(0))
    return settings.model_copy(update={"threads": threads})


def _preset_for(given: dict[str, Any]) -> str:
    """The preset of a file that names none."""
    questions = given.get("questions")
    if questions is None and "questions" not in given:
        return "organism"
    known = SETS.get(str(questions.get("set"))) if isinstance(questions, dict) else None
    return "open" if known is not None and known.open else "models"


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: it is missing, is no YAML or holds no mapping.
    """
    try:
        loaded = parse_yaml(files.read_text(file))
    except DataError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{file}: is not YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: expected keys and values, found a {type(loaded).__name__}")
    return loaded


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        ValueError: it is no YAML, a key stands twice, or a key is no plain value. In one line, with the
            place, and without the text's own values: one of them may be a key.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(place + _plainly(error)) from None
    except yaml.YAMLError as error:
        raise ValueError(said(error)) from None
    except RecursionError as error:
        raise ValueError(said(error)) from None
    except Exception as error:  # a date that is none, a tag on a value of another kind
        raise ValueError(f"a value is not what it is marked as ({type(error).__name__})") from None


_PROBLEMS = (
    (r"found character '\\t'", "a tab stands there; indent with blanks"),
    ("expected ',' or ']'", "a list [...] is not closed, or a comma is missing in it"),
    ("expected ',' or '}'", "a mapping {...} is not closed, or a comma is missing in it"),
    (
        "mapping values are not allowed",
        "a second ': ' on a line, or it is indented too far; quote a text with ': '",
    ),
    ("found unexpected end of stream", "a quote is not closed"),
    ("expected <block end>", "it is indented otherwise than what stands above it"),
    ("could not find expected ':'", "a key has no ':' behind it"),
    ("expected the node content", "it ends where a value is expected"),
    ("found undefined alias", "a text that begins with * stands in no quotes"),
    ("found duplicate anchor", "a text that begins with & stands in no quotes"),
    ("determine a constructor", "a value is marked with a tag (!), which settings have no use for"),
    ("cannot start any token", "a text begins with a sign that YAML keeps for itself; put it into quotes"),
)
"""What the parser says, by how it begins or goes on, in words."""


def _plainly(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with a YAML text, and on which line it began; without values of the text."""
    problem = error.problem or "it cannot be parsed"
    if type(error) is yaml.MarkedYAMLError:  # of `_Loader`
        return problem
    plain = next((words for pattern, words in _PROBLEMS if re.search(pattern, problem)), None)
    if plain is None:
        return re.sub(r"'([^']*)'", lambda quoted: quoted[0] if len(quoted[1]) < 5 else "'...'", problem)
    mark = error.context_mark
    begun = mark is not None and error.problem_mark is not None and mark.line != error.problem_mark.line
    return f"{plain} (begun on line {mark.line + 1})" if begun and mark is not None else plain


class _Loader(yaml.SafeLoader):
    """The safe loader, and a key that stands twice in one mapping, or is no plain value, is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                kind = "list" if isinstance(key_node, yaml.SequenceNode) else "mapping"
                problem = f"a key is a {kind}; a key is a plain text"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key_node.value in seen:
                problem = f"the key '{key_node.value}' stands there already"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def to_yaml(settings: Settings) -> str:
    """The settings as YAML, every key written out; what they removed of their preset is null.

    So the file says the same where it is taken as a file of settings (`--config`), upon that preset.
    """
    told = settings.model_dump(mode="json")
    if told["engine"] is None:  # the file is then that of a run of any engine
        del told["engine"]
    for key in _REMOVABLE:
        told[key] |= dict.fromkeys(sorted(PRESETS[settings.preset].get(key, {}).keys() - told[key].keys()))
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


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
        parsed = parse_yaml(value)
    except ValueError as error:
        shown = value if len(value) <= 80 else f"{value[:80]}..."
        raise ConfigError(f"--set {key}: the value '{shown}' is not YAML: {error}") from error
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
        settings = Settings.model_validate(_without_removed(merged))
    except ValidationError as error:
        problem = error
    else:
        _refuse_unwritable(settings.model_dump(mode="python"), "")
        return settings
    try:
        Settings.model_validate(_without_removed(base))
    except ValidationError as error:
        # What the overrides mend is no problem: arms, say, that a preset leaves open.
        if {str(one["loc"]) for one in error.errors()} & {str(one["loc"]) for one in problem.errors()}:
            raise ConfigError(_explained(error, source, Settings)) from None
    # Without them this is well.
    raise ConfigError(_explained(problem, ", ".join(key for key, _ in keyed), Settings)) from None


def _refuse_unwritable(value: Any, where: str) -> None:
    """Refuse texts that no file and no path can hold: NULs and halves of surrogate pairs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unwritable(key, f"{where}.{ascii(key)[1:-1]}".removeprefix("."))
            _refuse_unwritable(inner, f"{where}.{ascii(key)[1:-1]}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_unwritable(inner, where)
    elif isinstance(value, str):
        bad = re.search("[\x00\ud800-\udfff]", value)
        if bad:
            raise ConfigError(
                f"{where}: character {bad.start()} is {bad[0]!r}, which no text file can hold; take it out"
            )


_REMOVABLE = ("arms", "controls", "examples")
"""Settings by names of the user's, of which a preset's may be set to null."""


def _without_removed(merged: dict[str, Any]) -> dict[str, Any]:
    """The settings without arms, controls and examples that were set to null."""
    named = {key: merged[key] for key in _REMOVABLE if isinstance(merged.get(key), dict)}
    return merged | {key: {n: v for n, v in own.items() if v is not None} for key, own in named.items()}


def _explained(error: ValidationError, source: str, root: type[Section]) -> str:
    """One line a problem: where it is, and what would be right."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            lines.append(f"{source}: '{where}' is no setting{_nearest(item['loc'], root)}")
        else:
            key = source.removeprefix("--set ")
            place = source if where in ("settings", key) else f"{source}: {where}"
            said = _no_section(item, root) or item["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {said.removeprefix(f'{key}: ')}{_given(item)}")
    return "\n".join(lines)


def _no_section(item: Mapping[str, Any], root: type[Section]) -> str:
    """What is said of a section that is something else than keys and values; "" of other problems."""
    value, named = item["input"], item["type"] == "dict_type"
    if not named and item["type"] not in ("model_type", "model_attributes_type"):
        return ""
    kinds = {str: "a text", list: "a list", bool: "yes or no", int: "a number", float: "a number"}
    what = "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
    keys = _nearest((*item["loc"], ""), root).removeprefix("; there are: ")
    if named:
        return f"is {what}, and takes names, each with keys and values of {keys}"
    return f"is {what}, and takes keys and values of {keys}"


def _given(item: Mapping[str, Any]) -> str:
    """What stands there, where the message does not say it and it is short."""
    value = item["input"]
    short = isinstance(value, str | int | float) and len(repr(value)) <= 40
    return f" (it is {value!r})" if short and item["msg"].startswith("Input should") else ""


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
