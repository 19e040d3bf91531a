"""Arms that are compared are asked, sampled and judged alike, or it is said in what they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mechcot.core.prompt_settings import ArmPrompt, PromptSettings
from mechcot.core.sampling_settings import ArmSampling, SamplingSettings


@dataclass(frozen=True)
class Asked:
    """How an arm's traces come about.

    Attributes:
        prompt: in which words it is asked.
        own_prompt: whether some of them are its own.
        sampling: how it is sampled.
        judged: how many of its traces a question are judged, the first; None: all.
        given: whether it is given as traces: then nothing of it is asked or sampled here.
    """

    prompt: PromptSettings
    own_prompt: bool
    sampling: SamplingSettings
    judged: int | None
    given: bool


def check_contrast(
    asked: Mapping[str, Asked], before: str, others: Sequence[str], differs: Sequence[str] = ()
) -> None:
    """Refuse a headline whose arms are not asked, sampled and judged alike.

    Args:
        asked: by arm.
        before: the arm that all others are compared with.
        others: the arm after, and its replicates.
        differs: in what they may differ by what their files say; of arms that are given as traces alone.

    Raises:
        ValueError: with both values, and what to do.
    """
    sampled = [arm for arm in (before, *others) if not asked[arm].given]
    if differs and sampled:
        raise ValueError(
            f"contrast.differs: {', '.join(differs)}: this is declared of arms out of files, and "
            f"'{sampled[0]}' is sampled here. Sample both alike, or compare them in a control that declares "
            "it (controls.NAME.differs)"
        )
    for after in others:
        check_control(asked, "contrast", (before, after), ())
    for arm in (before, *others):
        if asked[arm].own_prompt:
            raise ValueError(
                f"arms.{arm}.prompt: the contrast's arms are asked alike, as `prompt` says; write it there"
            )


def check_control(
    asked: Mapping[str, Asked], where: str, pair: tuple[str, str], differs: tuple[str, ...]
) -> None:
    """Refuse a control whose arms are asked, sampled or judged otherwise in what it does not declare.

    Args:
        asked: by arm.
        where: the setting that compares them.
        pair: its arms.
        differs: in what they may differ.

    Raises:
        ValueError: with both values, and what to do.
    """
    sampled = {arm: asked[arm] for arm in pair if not asked[arm].given}
    for name in () if "prompt" in differs else ArmPrompt.model_fields:
        values = {arm: getattr(own.prompt, name) for arm, own in sampled.items()}
        _refuse(where, "prompt", values, lambda value, name=name: f"with prompt.{name} {_shown(value)}")
    for name in (name for name in ArmSampling.model_fields if name not in differs):
        values = {arm: getattr(own.sampling, name) for arm, own in sampled.items()}
        _refuse(where, name, values, lambda value, name=name: f"at {name} {value}")
    if "judged" not in differs:
        _refuse(where, "judged", {arm: asked[arm].judged for arm in pair}, _judged)


@contextmanager
def arm_named(name: str) -> Iterator[None]:
    """Problems of an arm's own prompt, with the arm that they are of."""
    try:
        yield
    except ValidationError as error:
        why = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise ValueError(f"arms.{name}.prompt: {why}") from None
    except ValueError as error:
        raise ValueError(f"arms.{name}.{error}") from None


_OWN = {"prompt": "Ask both alike (arms.NAME.prompt)", "judged": "Judge both alike (arms.NAME.judged)"}


def _refuse(where: str, what: str, values: Mapping[str, Any], told: Callable[..., str]) -> None:
    """Refuse values that are not the same."""
    if all(value == next(iter(values.values())) for value in values.values()):
        return
    both = " and ".join(f"'{arm}' {told(value)}" for arm, value in values.items())
    alike = _OWN.get(what, "Sample both alike (arms.NAME.sampling)")
    instead = (
        f"declare it with {where}.differs=[{what}]"
        if where.startswith("controls.")
        else f"compare them in a control that declares it (controls.NAME.differs: [{what}])"
    )
    raise ValueError(f"{where}: it compares {both}. {alike}, or {instead}")


def _judged(n: int | None) -> str:
    return f"with {'all' if n is None else n} of its traces of a question judged"


def _shown(value: Any) -> str:
    """A setting as messages show it."""
    if isinstance(value, tuple):
        first = f" ({value[0].question[:40]!r} ...)" if value else ""
        return f"of {len(value)} worked questions{first}"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
