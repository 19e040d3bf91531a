"""The judge as it is, and the judge asked once more."""

from __future__ import annotations

from mechcot.analyses.judge_controls.control import Control, Setup, with_changes

WARM = 0.7
"""Temperature of `again-warm`."""


def _against_warm(setup: Setup) -> str:
    judge = setup.judge
    if judge is None or judge.temperature is None:
        return "the judge file sends no temperature"
    return f"the judge's own temperature is {WARM:g}: it is `again`" if judge.temperature == WARM else ""


PRIMARY = Control("primary", "the judge as it is", "nothing: the judge as it is", unchecked="")
"""The instrument itself, beside which all others stand."""
AGAIN = Control("again", "judged again", "nothing: the judge is asked again", sample=1, unchecked="")
AGAIN_WARM = Control(
    "again-warm",
    f"judged again, temperature {WARM:g}",
    f"the temperature is {WARM:g}",
    changes=lambda judge: with_changes(judge, temperature=WARM),
    sample=1,
    against=_against_warm,
)
