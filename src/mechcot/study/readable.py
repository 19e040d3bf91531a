"""Analyses asked of a study: their results know what the study's task calls its kinds of step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from mechcot.core.offers import offered
from mechcot.core.results import remembered


def readable(of: Callable[..., Any]) -> Callable[..., Any]:
    """An analysis whose results draw figures with readable names."""

    @wraps(of)
    def asked(study: Any, *given: Any, **named: Any) -> Any:
        return remembered(of(study, *given, **named), offered("kind_names")(study))

    return asked
