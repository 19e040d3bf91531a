"""Every control of the judge, in the order in which they are judged."""

from __future__ import annotations

from collections.abc import Iterator

from mechcot.analyses.judge_controls.control import Control, Finding
from mechcot.analyses.judge_controls.controls.again import AGAIN, AGAIN_WARM, PRIMARY
from mechcot.analyses.judge_controls.controls.answer_blind import ANSWER_BLIND
from mechcot.analyses.judge_controls.controls.decoys import DECOY
from mechcot.analyses.judge_controls.controls.factors import SWITCHED
from mechcot.analyses.judge_controls.controls.guess_arm import GUESS_ARM
from mechcot.analyses.judge_controls.controls.hedge_flip import HEDGE_FLIP
from mechcot.analyses.judge_controls.controls.segments import RECUT
from mechcot.analyses.judge_controls.controls.tone_swap import TONE_SWAP

CONTROLS: tuple[Control, ...] = (
    *(PRIMARY, AGAIN, AGAIN_WARM, ANSWER_BLIND),
    *SWITCHED,
    *RECUT,
    *(TONE_SWAP, HEDGE_FLIP, DECOY, GUESS_ARM),
)
"""The instrument itself first."""


def findings() -> Iterator[tuple[Control, Finding]]:
    """The controls that find something of their own."""
    return ((control, control.finding) for control in CONTROLS if control.finding is not None)


def shown() -> tuple[Control, ...]:
    """The controls in the order of the results: those of a family by name."""
    families = [control.family or control.name for control in CONTROLS]
    return tuple(sorted(CONTROLS, key=lambda one: (families.index(one.family or one.name), one.name)))
