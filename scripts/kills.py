"""Kill a study inside every stage, fill its disk, write to it twice: does it end with the same files?

    python scripts/kills.py                     # everything; docs/study-kills.json
    python scripts/kills.py --only probe report # some stages alone
    python scripts/kills.py --parts disk two    # some disturbances alone; what the others found stays
    python scripts/kills.py --write             # and put the table into docs/study-folder.md

A part begins no further stage once its `--minutes` are spent; the table says how many stages it came to.

A study of the smallest organism runs once undisturbed. Then, for every stage, seeded instants are drawn
inside its own work: where it leaves work in flight (journals, checkpoints, shards), after a number of changes
to it; else a share of the stage's time, from its start. The disk is a tmpfs that is made too small when the
stage begins, where one may be mounted; a limit on the size of a file needs no such leave.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from forked import NEW as SMALLEST
from forked import (
    ROOT,
    Command,
    Ended,
    command,
    differing,
    file_digests,
    left_over,
    seconds_since,
    write_block,
)
from mechcot.core import files
from mechcot.core.manifest import load_manifest, save_manifest
from mechcot.pipeline.run import stages_of
from mechcot.study import Study

NEW = (*SMALLEST, "--seed", "3")
"""A seed whose arms end enough traces for a search in the weights."""
OUT = ROOT / "docs" / "study-kills.json"
SEED, KILLS, TRIES = 7, 3, 12
STOPPED = "stopped; the same command goes on from here"
Json = dict[str, Any]


class Watch:
    """What a stage leaves of its work in flight, as it changes.

    Attributes:
        changes: how many were seen since the stage began in this run.
        began: when that was; None: it has not begun.
    """

    def __init__(self, study: Path, stage: str) -> None:
        self.work = study / "work" / stage
        self.changes, self.began = 0, None
        self._mark = self._marked()
        self._seen: Any = None

    def look(self) -> None:
        """Look at it now."""
        if self.began is None:
            if self._marked() <= self._mark:
                return
            self.began = time.monotonic()
        now = _in_flight(self.work)
        if self._seen is not None and now != self._seen:
            self.changes += 1
        self._seen = now

    def _marked(self) -> int:
        with suppress(FileNotFoundError):
            return (self.work / "key").stat().st_mtime_ns
        return 0


def _in_flight(work: Path) -> frozenset[tuple[str, int]]:
    found = set()
    for folder, _, names in os.walk(work):
        for name in names:
            if name != "key":
                with suppress(FileNotFoundError):
                    found.add((name, os.stat(os.path.join(folder, name)).st_size))
    return frozenset(found)


def undisturbed(study: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Run a study in one go; the seconds of its stages, and how often their work in flight changed.

    Of a study that is there already only the seconds are known.
    """
    running = Command("run", study, *NEW)
    watches: dict[str, Watch] = {}
    while running.process.is_alive():
        for key in study.glob("work/*/key"):
            watches.setdefault(key.parent.name, Watch(study, key.parent.name))._mark = 0
        for watch in watches.values():
            watch.look()
        time.sleep(0.002)
    ended = running.end()
    assert ended.code == 0, ended.said
    done = load_manifest(study)["stages"]
    seconds = {stage.name: done[stage.name]["seconds"] for stage in stages_of(Study.open(study))}
    return seconds, {name: watch.changes for name, watch in watches.items()}


def interrupted(
    study: Path, stage: str, seconds: float, changes: int, with_signal: int
) -> tuple[Ended, Json]:
    """Start a run and send it a signal inside a stage.

    Args:
        study: the folder.
        stage: that shall be hit.
        seconds: after which, from its start.
        changes: after so many changes of its work in flight, whatever the seconds; 0: by the seconds.
        with_signal: what to send.

    Returns:
        How the run ended, and where it was: `inside` the stage or not, and what lay there.
    """
    watch, running = Watch(study, stage), Command("run", study, *NEW)
    while running.process.is_alive():
        watch.look()
        hit = watch.changes >= changes if changes else _since(watch) >= seconds
        if watch.began is not None and hit:
            break
        time.sleep(0.003)
    after = _since(watch)
    if running.process.pid is not None and running.process.is_alive():
        os.kill(running.process.pid, with_signal)
    ended = running.end()
    inside = stage not in load_manifest(study)["stages"] and ended.code != 0
    return ended, {"after": round(after, 3), "changes": watch.changes, "inside": inside}


def _since(watch: Watch) -> float:
    return -1.0 if watch.began is None else time.monotonic() - watch.began


def kill_in(study: Path, stage: str, seconds: float, changes: int, rng: random.Random) -> list[Json]:
    """Kill a stage three times, each run going on from what the last one left."""
    hits: list[Json] = []
    for attempt in range(TRIES * KILLS):
        forget(study, stage)
        ease = max(1, TRIES - attempt % TRIES) / TRIES  # what is left of the work gets less
        at = rng.randint(1, max(1, round(ease * changes / KILLS))) if changes >= 2 and attempt < TRIES else 0
        ended, where = interrupted(study, stage, ease * rng.uniform(0.02, 0.95) * seconds, at, signal.SIGKILL)
        assert ended.code in (0, -signal.SIGKILL), ended.said
        if where.pop("inside"):
            hits.append(where)
        if len(hits) == KILLS:
            break
    return hits


def interrupt_in(study: Path, stage: str, seconds: float, rng: random.Random) -> Json:
    """Ctrl-C inside a stage: what it said."""
    for attempt in range(TRIES):
        forget(study, stage)
        after = rng.uniform(0.02, 0.9) * seconds / (1 + attempt)
        ended, where = interrupted(study, stage, after, 0, signal.SIGINT)
        if where.pop("inside"):
            clean = ended.code == 130 and STOPPED in ended.said and "Traceback" not in ended.said
            return {
                **where,
                "code": ended.code,
                "clean": clean,
                "said": ended.said[-2000:] if not clean else "",
            }
    return {}


def forget(study: Path, stage: str) -> None:
    """Take a stage's record and outputs away, if it is done."""
    if not (study / "manifest.json").exists():
        return
    manifest = load_manifest(study)
    record = manifest["stages"].pop(stage, None)
    if record is not None:
        save_manifest(study, manifest)
        for output in record["outputs"]:
            files.remove(study / output)


# --- disks ----------------------------------------------------------------------------------------


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A tmpfs of our own; None where none may be mounted."""
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def remount(disk: Path, options: str) -> None:
    """Change how a tmpfs is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True, capture_output=True)


def full_disk(disk: Path, stage: str, rng: random.Random) -> Json:
    """Let a stage find the disk full, then make room; what it said."""
    study = disk / "study"
    watch, running = Watch(study, stage), Command("run", study, *NEW)
    while running.process.is_alive() and watch.began is None:
        watch.look()
        time.sleep(0.0005)
    pages = rng.choice((0, 0, 1, 4, 16))
    used = shutil.disk_usage(disk).used // 4096
    if running.process.is_alive():
        remount(disk, f"size={4 * (used + pages)}k")
    ended = running.end()
    remount(disk, "size=256m")
    return {"free": 4 * pages, **_said(ended, disk)}


def limited(study: Path, limit: int) -> Json:
    """A run that may write no file above a size."""
    return {"limit": limit, **_said(command("run", study, *NEW, limit=limit), study)}


def _said(ended: Ended, place: Path) -> Json:
    clean = "Traceback" not in ended.said and (ended.code == 0 or bool(ended.line))
    line = ended.line.replace(str(place), "STUDY") if clean else ended.said[-3000:]
    return {"code": ended.code, "clean": clean, "said": line}


def read_only(disk: Path) -> Json:
    """What commands say of a finished study that cannot be written."""
    study = disk / "study"
    remount(disk, "ro")
    try:
        commands = {"run": (), "verify": (), "show": (), "show answers": ("answers",), "plan": ()}
        return {name: _said(command(name.split()[0], study, *more), study) for name, more in commands.items()}
    finally:
        remount(disk, "rw")


# --- two at once ----------------------------------------------------------------------------------


def two_at_once(study: Path, stages: list[str]) -> Json:
    """A second run while a stage of the first is under way, for each of some stages."""
    said: Json = {}
    for stage in stages:
        forget(study, stage)
        watch, first = Watch(study, stage), Command("run", study, *NEW)
        while first.process.is_alive() and watch.began is None:
            watch.look()
            time.sleep(0.001)
        second = command("run", study, *NEW)
        refused = "is in use by process" in second.line
        said[stage] = {"refused": refused, "first": first.end().code, **_said(second, study)}
    return {"second": said}


def race(folder: Path, rng: random.Random, times: int = 6) -> Json:
    """Two runs that start at the same moment on a folder that is not there."""
    won = []
    for number in range(times):
        study = folder / f"race-{number}"
        pair = [Command("run", study, *NEW)]
        time.sleep(rng.uniform(0, 0.15))
        pair.append(Command("run", study, *NEW))
        while all(one.process.is_alive() for one in pair):
            time.sleep(0.005)
        alive = [one for one in pair if one.process.is_alive()]
        for one in alive:
            one.process.kill()
        ended = [one.end() for one in pair]
        refused = [one for one in ended if "is in use by process" in one.line]
        won.append(len(alive) == len(refused) == 1)
        shutil.rmtree(study)
    return {"times": times, "one_won": sum(won)}


# --- the whole ------------------------------------------------------------------------------------


class Round:
    """One undisturbed study, and what disturbed ones are compared with.

    Attributes:
        found: the outcomes so far; `save` writes them.
        seconds: of each stage, in the order in which they run.
        changes: how often each stage's work in flight changed.
    """

    def __init__(self, folder: Path, out: Path, only: list[str], minutes: float) -> None:
        self.folder, self.out, self.rng, self.began = folder, out, random.Random(SEED), time.monotonic()
        self.minutes = minutes
        self.found: Json = json.loads(out.read_text()) if out.exists() else {}
        self.seconds, self.changes = undisturbed(folder / "whole")
        self.wanted = file_digests(folder / "whole")
        self.stages = [stage for stage in self.seconds if not only or stage in only]
        # Parts that are not tried again were compared by the files that there were.
        self.found.setdefault(
            "compared", dict.fromkeys(self.found.get("differing", ()), self.found.get("files"))
        )
        self.found |= {"seed": SEED, "files": len(self.wanted)}
        self.found["n_stages"] = len(self.seconds)
        self.found.setdefault("stages", {})
        self.tell("undisturbed")

    def in_time(self) -> Iterator[str]:
        """The stages, as long as the part has time."""
        begun = time.monotonic()
        for stage in self.stages:
            if time.monotonic() - begun > 60 * self.minutes:
                self.tell(f"the time is up before {stage}")
                return
            yield stage

    def row(self, stage: str) -> Json:
        """What was found of a stage."""
        row: Json = self.found["stages"].setdefault(stage, {})
        row["seconds"] = self.seconds[stage]
        return row

    def copy(self, name: str) -> Path:
        """A finished study; a stage that is forgotten is made again, and no other."""
        shutil.copytree(self.folder / "whole", self.folder / name)
        return self.folder / name

    def compare(self, name: str, study: Path) -> None:
        """Let a disturbed study run to its end, and compare its files."""
        ended = command("run", study, *NEW)
        other = differing(file_digests(study), self.wanted) if ended.code == 0 else [ended.said[-3000:]]
        self.found.setdefault("differing", {})[name] = other
        self.found["compared"][name] = len(self.wanted)
        self.found.setdefault("left_over", {})[name] = left_over(study)
        self.tell(f"{name}: {len(other)} of {len(self.wanted)} files differ")

    def tell(self, what: str) -> None:
        """Say how far it has come."""
        print(f"[{seconds_since(self.began):4d} s] {what}", flush=True)

    def save(self, part: str) -> None:
        """Keep what a part found."""
        self.found.setdefault("minutes", {})[part] = round((time.monotonic() - self.began) / 60, 1)
        self.out.write_text(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self.began = time.monotonic()


def kills(of: Round) -> None:
    """`kill -9`, three times in every stage."""
    study = of.copy("killed")
    for stage in of.in_time():
        hits = kill_in(study, stage, of.seconds[stage], of.changes.get(stage, 0), of.rng)
        of.row(stage)["kills"] = hits
        of.tell(f"{stage}: {hits}")
    of.compare("kill -9", study)


def interrupts(of: Round) -> None:
    """Ctrl-C, once in every stage."""
    study = of.copy("stopped")
    for stage in of.in_time():
        of.row(stage)["sigint"] = interrupt_in(study, stage, of.seconds[stage], of.rng)
        of.tell(f"{stage}: {of.row(stage)['sigint']}")
    of.compare("SIGINT", study)


def disks(of: Round) -> None:
    """A full disk at every stage, small files, a read-only folder."""
    with small_disk() as disk:
        if disk is not None:
            shutil.copytree(of.folder / "whole", disk / "study")
            for stage in of.in_time():
                forget(disk / "study", stage)
                of.row(stage)["full"] = full_disk(disk, stage, of.rng)
                of.tell(f"{stage}: {of.row(stage)['full']}")
            of.compare("disk full", disk / "study")
            of.found["read_only"] = read_only(disk)
    study = of.copy("limited")
    for stage in ("pretrain", "report"):
        forget(study, stage)
    of.found["limited"] = [limited(study, limit) for limit in (1_000, 100_000, 2_000_000)]
    of.compare("file size limited", study)


def pairs(of: Round) -> None:
    """Two runs at once."""
    among = ("pretrain", "distill-distilled", "sample-base", "read-base-by-base", "probe")
    study = of.copy("two")
    of.found["two"] = two_at_once(study, [stage for stage in among if stage in of.stages])
    of.compare("two at once", study)
    of.found["race"] = race(of.folder, of.rng)


PARTS = {"kills": kills, "sigint": interrupts, "disk": disks, "two": pairs}


def table(found: Json) -> str:
    """The outcomes in Markdown, of the parts that were tried."""
    differ, compared = found["differing"], found["compared"]
    lines = ["| what happened | outcome | files equal after the next run |", "|---|---|---|"]
    for what, outcome, name in _rows(found):
        n = compared.get(name, 0)
        equal = f"{n - len(differ[name])} of {n}" if name in differ else "-"
        lines.append(f"| {what} | {outcome} | {equal} |")
    left = sorted({name for names in found["left_over"].values() for name in names})
    spent = ", ".join(f"{part} {minutes:.0f}" for part, minutes in found["minutes"].items())
    lines += [
        "",
        f"Left over of work in flight or unfinished writes: {', '.join(left) or 'nothing'}. "
        f"`python scripts/kills.py --write`, minutes: {spent}; every instant and message in "
        "[study-kills.json](study-kills.json).",
    ]
    return "\n".join(lines) + "\n"


def _rows(found: Json) -> Iterator[tuple[str, str, str]]:
    stages, of = found["stages"].values(), found["n_stages"]
    kills = [hit for row in stages for hit in row.get("kills", ())]
    if kills:
        working = sum(hit["changes"] > 0 for hit in kills)
        where = sum(bool(row.get("kills")) for row in stages)
        said = (
            f"{len(kills)} kills in {where} of {of} stages, {working} of them after that run had left work "
            "in flight"
        )
        yield "`kill -9` inside a stage, three times each", said, "kill -9"
    stops = [row["sigint"] for row in stages if row.get("sigint")]
    if stops:
        said = (
            f"{sum(one['clean'] for one in stops)} of {len(stops)} ended with one line and exit code 130, in "
            f"{len(stops)} of {of} stages"
        )
        yield "Ctrl-C inside a stage", said, "SIGINT"
    full = [row["full"] for row in stages if "full" in row]
    if full:
        stopped = [one for one in full if one["code"]]
        said = (
            f"{len(stopped)} of {len(full)} stopped, {sum(one['clean'] for one in stopped)} with one message"
        )
        yield "disk full when a stage begins", f"{said}; the others fitted", "disk full"
    if "limited" in found:
        clean = sum(one["clean"] and one["code"] == 1 for one in found["limited"])
        limits = ", ".join(f"{one['limit'] // 1000}" for one in found["limited"])
        said = f"{clean} of {len(found['limited'])} stopped with one message"
        yield f"no file may be larger than {limits} kB", said, "file size limited"
    if "read_only" in found:
        told = (
            (name, "works" if one["code"] == 0 else "refused") for name, one in found["read_only"].items()
        )
        yield "a finished study, read-only", ", ".join(f"`{name}` {what}" for name, what in told), ""
    if "two" in found:
        second = found["two"]["second"].values()
        well = sum(one["refused"] and one["first"] == 0 for one in second)
        said = f"{well} of {len(second)} refused, and the first ended well"
        yield "a second run while a stage is under way", said, "two at once"
        race = found["race"]
        said = f"one went on and one was refused, {race['one_won']} of {race['times']} times"
        yield "two runs at the same moment on a new folder", said, ""


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="STAGE", help="these stages alone")
    parser.add_argument("--parts", nargs="*", default=[*PARTS], choices=PARTS, help="these parts alone")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a part, after which no stage begins")
    parser.add_argument("--whole", type=Path, help="an undisturbed study that is there already")
    parser.add_argument("--out", type=Path, default=OUT, help="where the outcomes go (JSON)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/study-folder.md")
    given = parser.parse_args()
    # Where a shell starts this in the background, Ctrl-C is ignored, and would be in every run.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        if given.whole:
            shutil.copytree(given.whole, Path(folder) / "whole")
        of = Round(Path(folder), given.out, given.only, given.minutes)
        for part in given.parts:
            PARTS[part](of)
            of.save(part)
    print(table(of.found))
    if given.write:
        write_block("kills.py", table(of.found))


if __name__ == "__main__":
    main()
