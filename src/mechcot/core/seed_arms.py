"""Arms of further training seeds: the contrast's student, trained again."""

from __future__ import annotations

from typing import Any


def with_seed_arms(given: Any) -> Any:
    """Settings with an arm for each of `seeds`, named as replicates of the contrast's student.

    Args:
        given: settings as they were read, before any check.

    Raises:
        ValueError: the student is not made here, or a seed stands there twice.
    """
    seeds = given.get("seeds") if isinstance(given, dict) else None
    if not isinstance(seeds, list | tuple) or not seeds:
        return given
    contrast, arms = dict(given.get("contrast") or {}), dict(given.get("arms") or {})
    after = contrast.get("after", "distilled")
    student = arms.get(after)
    if not isinstance(student, dict) or not isinstance(student.get("distill"), dict):
        raise ValueError(
            f"seeds: the arm '{after}' is not distilled here, so it cannot be made again from another "
            "seed; name its siblings in contrast.replicates"
        )
    if student.get("server"):
        raise ValueError(
            f"seeds: the arm '{after}' is sampled by a server, which has the weights of one seed; name the "
            "others as arms with a server of their own, and as contrast.replicates"
        )
    first = student["distill"].get("seed")
    first = given.get("seed", 0) if first is None else first
    if len(set(seeds)) < len(seeds) or first in seeds:
        raise ValueError(f"seeds: {list(seeds)} names a seed twice, or the student's own")
    alike = {"sampling": student["sampling"]} if student.get("sampling") else {}
    own = {f"{after}-seed-{s}": {"distill": {**student["distill"], "seed": s}, **alike} for s in seeds}
    contrast["replicates"] = list(own)
    return {**given, "arms": {**arms, **{name: arms.get(name, arm) for name, arm in own.items()}},
            "contrast": contrast}  # fmt: skip
