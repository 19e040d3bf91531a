"""A result for a terminal, whatever it is."""

from __future__ import annotations

import json
from typing import Any

from mechcot.core.results import Result, frame_text


def shown(result: Any) -> str:
    """Its own text, or its table; several ones below each other; a text as it is."""
    if isinstance(result, str):
        return result
    if isinstance(result, tuple):
        return "\n\n".join(shown(part) for part in result)
    if isinstance(result, dict):
        return json.dumps(result, indent=1, ensure_ascii=False)
    return str(result.text()) if isinstance(result, Result) else frame_text(result)
