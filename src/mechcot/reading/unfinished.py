"""A reading under way, as its journal tells it: finished groups, and what memory made of the plan.

The journal's first line names the reading and its token budget. Then a line for each group (a shard of
activations and a file of numbers) once it is on disk, for each halving of the budget, and for each batch
that is read text by text. Played back in order they give the plan that a killed reading goes on with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from mechcot.core import files
from mechcot.core.journal import Journal
from mechcot.reading.plan import ReadingPlan, with_budget
from mechcot.reading.spec import ReadingFolder
from mechcot.reading.tables import TABLES, Key
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
    def of(cls, result: dict[str, Any]) -> Group:
        """From what the journal keeps of it."""
        shard = Shard(**result["shard"]) if result["shard"] else None
        broken = tuple((question, trace, why) for question, trace, why in result["broken"])
        return cls(**{**result, "shard": shard, "broken": broken})

    def sound(self, folder: ReadingFolder) -> bool:
        """Whether its files are there and whole."""
        claimed = [(folder.numbers(self.number), self.numbers)]
        if self.shard:
            claimed.append((folder.store / self.shard.file, self.shard.sha256))
        return all(file.exists() and files.digest(file) == sha256 for file, sha256 in claimed)


@dataclass
class Unfinished:
    """What is there of a reading.

    Attributes:
        folder: where it lies.
        journal: its journal.
        plan: the plan, halvings applied.
        max_tokens: the budget at first.
        trees: False: every text is run by itself, the model cannot read trees.
        halvings: (batch, budget): from which batch on the budget was smaller.
        alone: batches that are read text by text.
    """

    folder: ReadingFolder
    journal: Journal
    plan: ReadingPlan
    max_tokens: int
    trees: bool = True
    halvings: list[tuple[int, int]] = field(default_factory=list)
    alone: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, folder: ReadingFolder, digest: str, plan: ReadingPlan) -> Unfinished:
        """Take up what is there of this very reading; work and results of another one are discarded.

        Args:
            folder: where it lies.
            digest: of everything that the reading's bytes depend on but the budget.
            plan: the plan at its first budget.
        """
        journal, first = Journal(folder.journal), {"reading": digest, "max_tokens": plan.max_tokens}
        if journal.entries and journal.entries[0] != first:
            log.warning("%s holds work of another reading; it is discarded", folder.unfinished)
            journal.close()
            files.remove(folder.unfinished)
            journal = Journal(folder.journal)
        if not journal.entries:
            for found in (folder.store, *map(folder.table, TABLES)):
                files.remove(found)
            journal.append(first)
        state = cls(folder, journal, plan, plan.max_tokens)
        journal.results.clear()
        for entry in journal.entries[1:]:
            state._play(entry)
        state._forget(lambda group: not group.sound(folder))
        return state

    def groups(self) -> dict[int, Group]:
        """The finished groups by number."""
        found = [Group.of(result) for result in self.journal.results.values()]
        return {group.number: group for group in sorted(found, key=lambda group: group.number)}

    def in_order(self) -> list[Group]:
        """The finished groups up to the first that is not."""
        groups = self.groups()
        return [groups[number] for number in takewhile(groups.__contains__, count())]

    def complete(self) -> bool:
        """Whether all groups are finished."""
        groups = self.in_order()
        return bool(groups) and groups[-1].stop == len(self.plan.batches)

    def halve(self, batch: int, max_tokens: int) -> None:
        """From a batch on the budget is smaller; finished groups before it stay."""
        self._note({"halved": [batch, max_tokens]})

    def read_alone(self, batch: int) -> None:
        """A batch is read text by text."""
        self._note({"alone": batch})

    def read_without_trees(self) -> None:
        """Every batch is read text by text."""
        self._note({"trees": False})

    def broken(self) -> dict[Key, str]:
        """Traces with numbers that are not finite, and what was found."""
        broken: dict[Key, str] = {}
        for group in self.groups().values():
            for question, trace, why in group.broken:
                broken.setdefault((question, trace), why)
        return broken

    def _note(self, entry: dict[str, Any]) -> None:
        self.journal.append(entry)
        self._play(entry)

    def _play(self, entry: dict[str, Any]) -> None:
        if "task" in entry:
            self.journal.results[entry["task"]] = entry["result"]
        elif "alone" in entry:
            self.alone.add(entry["alone"])
        elif "trees" in entry:
            self.trees = False
        elif "halved" in entry:
            batch, budget = entry["halved"]
            self.plan = with_budget(self.plan, batch, budget)
            self.halvings.append((batch, budget))
            self.alone = {other for other in self.alone if other < batch}
            self._forget(lambda group: group.stop > batch)

    def _forget(self, stale: Callable[[Group], bool]) -> None:
        results = self.journal.results
        for key in [key for key, result in results.items() if stale(Group.of(result))]:
            del results[key]


def recorded_budget(folder: ReadingFolder, digest: str) -> int | None:
    """The budget with which this very reading was begun, None if it was not."""
    if not folder.journal.exists():
        return None
    journal = Journal(folder.journal)
    journal.close()
    first = journal.entries[0] if journal.entries else {}
    return int(first["max_tokens"]) if first.get("reading") == digest else None
