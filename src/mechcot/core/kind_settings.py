"""Settings of the kinds of steps, where a task sorts steps by their wording."""

from __future__ import annotations

from pydantic import Field

from mechcot.core.section import Section


class KindSettings(Section):
    """Who says of what kind a step is, and where people have said it."""

    server: str | None = Field(
        None,
        min_length=1,
        description="a judge file: its server names the kind of every judged step; null: the task's rules",
    )
    labels: str | None = Field(
        None,
        min_length=1,
        description="a CSV of steps with the kinds that people gave them (qid, arm, cid, sid, kind): how "
        "often kinds are mistaken in each arm; null: what was measured on two other models",
    )
