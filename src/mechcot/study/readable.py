"""Analyses asked of a study: their results know what the study's task calls its kinds of step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from mechcot.core.naming import Names
from mechcot.core.offers import offered
from mechcot.core.results import remembered


def readable(of: Callable[..., Any]) -> Callable[..., Any]:
    """An analysis whose results draw figures with readable names."""

    @wraps(of)
    def asked(study: Any, *given: Any, **named: Any) -> Any:
        return remembered(of(study, *given, **named), names_of(study))

    return asked


def names_of(study: Any) -> Names:
    """What a study's figures call kinds of step, and the colours of its arms."""
    return Names(offered("kind_names")(study), offered("arm_colours")(study.settings))
