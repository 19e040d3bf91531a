"""A reading under way, as its journal tells it: finished groups, and what memory made of the plan.

The journal's first line names the reading and its token budget. Then a line for each group (a shard of
activations and a file of numbers) once it is on disk, for each halving of the budget, and for each batch
that is read text by text. Played back in order they give the plan that a killed reading goes on with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.journal import Journal
from mechcot.reading.plan import ReadingPlan, with_budget
from mechcot.reading.tables import Key
from mechcot.study.activations import Shard

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """A finished group: consecutive batches in one shard.

    Attributes:
        number: which group, from 0.
        first: its first batch.
        stop: one past its last.
        numbers: digest of its file of numbers.
        shard: its shard; None if no activations are kept.
        broken: traces (question, trace) with numbers that are not finite, and what was found.
    """

    number: int
    first: int
    stop: int
    numbers: str
    shard: Shard | None
    broken: tuple[tuple[int, int, str], ...]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Group:
        """From a journal's line."""
        shard = Shard(**entry["shard"]) if entry["shard"] else None
        broken = tuple((question, trace, why) for question, trace, why in entry["broken"])
        return cls(**{**entry, "shard": shard, "broken": broken})


@dataclass
class Unfinished:
    """What is there of a reading.

    Attributes:
        folder: its journal and its numbers.
        journal: the journal.
        plan: the plan, halvings applied.
        max_tokens: the budget at first.
        trees: False: every text is run by itself, the model cannot read trees.
        groups: the finished groups by number.
        halvings: (batch, budget): from which batch on the budget was smaller.
        alone: batches that are read text by text.
    """

    folder: Path
    journal: Journal
    plan: ReadingPlan
    max_tokens: int
    trees: bool = True
    groups: dict[int, Group] = field(default_factory=dict)
    halvings: list[tuple[int, int]] = field(default_factory=list)
    alone: set[int] = field(default_factory=set)

    @classmethod
    def open(
        cls, folder: Path, digest: str, plan: ReadingPlan, store: Path, results: Sequence[Path]
    ) -> Unfinished:
        """Take up what is there of this very reading; work of another one is discarded.

        Args:
            folder: where work in flight is kept.
            digest: of everything that the reading's bytes depend on but the budget.
            plan: the plan at its first budget.
            store: where the shards are.
            results: of another reading, removed with its work.
        """
        path = folder / "journal.jsonl"
        first = {"reading": digest, "max_tokens": plan.max_tokens}
        journal = Journal(path)
        if journal.entries and journal.entries[0] != first:
            log.warning("%s holds work of another reading; it is discarded", folder)
            journal.close()
            files.remove(folder)
            journal = Journal(path)
        if not journal.entries:
            for found in results:
                files.remove(found)
            journal.append(first)
        state = cls(folder, journal, plan, plan.max_tokens)
        for entry in journal.entries[1:]:
            state._play(entry)
        state.groups = {number: group for number, group in state.groups.items() if state._sound(group, store)}
        return state

    def _sound(self, group: Group, store: Path) -> bool:
        """Whether the files of a group are there and whole."""
        claimed = [(self.numbers(group.number), group.numbers)]
        if group.shard:
            claimed.append((store / group.shard.file, group.shard.sha256))
        return all(file.exists() and files.digest(file) == sha256 for file, sha256 in claimed)

    def complete(self) -> bool:
        """Whether all groups are finished."""
        groups = self.in_order()
        return bool(groups) and groups[-1].stop == len(self.plan.batches)

    def in_order(self) -> list[Group]:
        """The finished groups up to the first that is not."""
        numbers = takewhile(self.groups.__contains__, count())
        return [self.groups[number] for number in numbers]

    def numbers(self, group: int) -> Path:
        """The file of a group's numbers."""
        return self.folder / f"numbers-{group:05d}.safetensors"

    def finish(self, group: Group) -> None:
        """A group's files are on disk."""
        self._note({"group": asdict(group)})

    def halve(self, batch: int, max_tokens: int) -> None:
        """From a batch on the budget is smaller; finished groups before it stay."""
        self._note({"halved": [batch, max_tokens]})

    def read_alone(self, batch: int) -> None:
        """A batch is read text by text."""
        self._note({"alone": batch})

    def read_without_trees(self) -> None:
        """Every batch is read text by text."""
        self._note({"trees": False})

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def _note(self, entry: dict[str, Any]) -> None:
        self.journal.append(entry)
        self._play(entry)

    def _play(self, entry: dict[str, Any]) -> None:
        if "group" in entry:
            group = Group.of(entry["group"])
            self.groups[group.number] = group
        elif "alone" in entry:
            self.alone.add(entry["alone"])
        elif "trees" in entry:
            self.trees = False
        else:
            batch, budget = entry["halved"]
            self.plan = with_budget(self.plan, batch, budget)
            self.halvings.append((batch, budget))
            self.groups = {number: group for number, group in self.groups.items() if group.stop <= batch}
            self.alone = {other for other in self.alone if other < batch}

    def broken(self) -> dict[Key, str]:
        """Traces with numbers that are not finite, and what was found."""
        broken: dict[Key, str] = {}
        for _, group in sorted(self.groups.items()):
            for question, trace, why in group.broken:
                broken.setdefault((question, trace), why)
        return broken


def recorded_budget(folder: Path, digest: str) -> int | None:
    """The budget with which this very reading was begun, None if it was not."""
    path = folder / "journal.jsonl"
    if not path.exists():
        return None
    journal = Journal(path)
    journal.close()
    first = journal.entries[0] if journal.entries else {}
    return int(first["max_tokens"]) if first.get("reading") == digest else None
