"""Keys of servers: they come from environment variables, and no message repeats one."""

from __future__ import annotations

import os
import re

from mechcot.core.errors import ConfigError


def is_variable(name: str) -> bool:
    """Whether it can be the name of an environment variable, and not a key that was pasted by mistake."""
    return re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) is not None


def key_in(variable: str, named_by: str, instead: str) -> str:
    """The key that an environment variable holds.

    Args:
        variable: its name.
        named_by: who names it, for messages.
        instead: what to do where it is not set.

    Raises:
        ConfigError: it is no name of a variable, it is not set, or what it holds is no key.
    """
    if not is_variable(variable):
        raise ConfigError(
            f"{named_by} must be the name of an environment variable (capitals, digits, _), not a key"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {variable}, which {named_by} names, is not set. {instead}"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"the environment variable {variable} holds blanks, line breaks or the like: no key"
        )
    return key
