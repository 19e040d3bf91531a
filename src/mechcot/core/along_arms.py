"""Arms along a training: a student as it was after shares of its training's steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcot.core.training_settings import DistillSettings


def with_along_arms(given: Any) -> Any:
    """Settings with an arm for each share of `along`, of the contrast's student and of each of its `seeds`.

    Args:
        given: settings as they were read, with the arms of `seeds`, before any check.

    Raises:
        ValueError: the student is not trained here, or is sampled by a server; a share stands there twice.
    """
    shares = given.get("along") if isinstance(given, dict) else None
    if not isinstance(shares, list | tuple) or not shares:
        return given
    contrast, arms = dict(given.get("contrast") or {}), dict(given.get("arms") or {})
    after = contrast.get("after", "distilled")
    if len(set(shares)) < len(shares):
        raise ValueError(f"along: {list(shares)} names a share twice; take one of them out")
    seeds = given.get("seeds") or ()
    own = {}
    for student in (after, *(f"{after}-seed-{seed}" for seed in seeds)):
        arm = arms.get(student)
        if not isinstance(arm, dict) or not isinstance(arm.get("distill"), dict):
            raise ValueError(
                f"along: the arm '{student}' is not distilled here, so nothing can be kept along its "
                "training; name a student that is as contrast.after, or take `along` out"
            )
        if arm.get("server"):
            raise ValueError(f"along: the arm '{student}' is sampled by a server, {_SERVER}")
        alike = {"sampling": arm["sampling"]} if arm.get("sampling") else {}
        for share in shares:
            if isinstance(share, int | float) and 0 < share < 1:  # others are refused where types are checked
                own[f"{student}-at-{_percent(share)}"] = {"distill": {**arm["distill"], "at": share}, **alike}
    return {**given, "arms": {**arms, **{name: _merged(arms.get(name), arm) for name, arm in own.items()}}}


def _merged(given: Any, own: dict[str, Any]) -> dict[str, Any]:
    """An arm along a training: how it is made is the student's, what else is said of it stays."""
    said = given if isinstance(given, dict) else {}
    return own | {key: value for key, value in said.items() if key != "distill" and value is not None}


_SERVER = "which has the weights of the end of a training alone; take out `server` or what is kept along it"


def check_along(arms: Mapping[str, tuple[DistillSettings | None, str | None]]) -> None:
    """Refuse an arm along a training that no arm is the end of, or that a server would have to have.

    Args:
        arms: how each arm is distilled, and its server.

    Raises:
        ValueError: naming the arm.
    """
    made = {name: distill for name, (distill, _) in arms.items()}
    for name, (distill, server) in arms.items():
        if distill is None or distill.at is None:
            continue
        if server is not None:
            raise ValueError(f"arms.{name}: is sampled by a server, {_SERVER}")
        if ends_of(made, distill) is None:
            raise ValueError(
                f"arms.{name}.distill.at: no arm is the end of this training. Add one with the same base, "
                "examples, train and seed, and without `at`"
            )


def ends_of(made: Mapping[str, DistillSettings | None], distill: DistillSettings) -> str | None:
    """The arm at whose training's end something kept along it would be; None: there is none."""
    end = distill.model_copy(update={"at": None})
    return next((name for name, own in made.items() if own == end), None)


def kept_along(made: Mapping[str, DistillSettings | None], student: str) -> dict[str, float]:
    """The arms along a student's training and itself, in the order of their shares; none where none is made.

    Args:
        made: how each arm is distilled.
        student: the arm at the end.

    Returns:
        Arm to share of the training's steps; the student's is 1.
    """
    if (own := made.get(student)) is None or own.at is not None:
        return {}
    shares = {
        name: other.at
        for name, other in made.items()
        if other is not None and other.at is not None and ends_of(made, other) == student
    }
    return dict(sorted(shares.items(), key=lambda pair: pair[1])) | {student: 1.0}


def _percent(share: float) -> str:
    """A share as it stands in the name of an arm and its folder: 25, 12_5."""
    return f"{100 * share:.10g}".replace(".", "_").replace("e-", "em")
