"""One colour an arm: the same in every figure, on every page and in the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

from mechcot.core.naming import ARM_COLOURS
from mechcot.core.settings import TEACHER_VARIANTS
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.report.figures import AFTER, ARMS, BEFORE, TEACHER

if TYPE_CHECKING:
    from mechcot.core.settings import Settings

OTHERS = ARMS[3:]
"""Of all arms but the contrast's two and a teacher."""


def arm_colours(settings: Settings) -> dict[str, str]:
    """The colour of each arm of a study.

    The contrast's two have their own, traces of a teacher are green, all others follow in their order.
    """
    pair = {settings.contrast.before: BEFORE, settings.contrast.after: AFTER}
    others, found = cycle(OTHERS), {}
    for name, arm in settings.arms.items():
        teacher = arm.traces in (OWN_TEACHER, *TEACHER_VARIANTS)
        if name in pair:
            found[name] = pair[name]
        elif teacher and TEACHER not in found.values():
            found[name] = TEACHER
        else:
            found[name] = next(others)
    return pair | found


def of_arm(told: Mapping[str, Any], arm: Any, default: str) -> str:
    """An arm's colour in what a figure is drawn from; a default where no study has said it."""
    return str(told.get(ARM_COLOURS, {}).get(arm, default))


def of_roles(told: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, str]:
    """The colours of an arm before and one after by role, such as those of a control."""
    return {
        role: of_arm(told, names[role], colour) for role, colour in (("before", BEFORE), ("after", AFTER))
    }
