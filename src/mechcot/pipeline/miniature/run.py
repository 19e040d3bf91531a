"""A study in miniature: its stand-ins made and kept, every stage run, and nothing of it empty."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mechcot.core import config, files
from mechcot.core.errors import AnalysisError
from mechcot.core.manifest import load_manifest
from mechcot.core.results import Result
from mechcot.core.settings import Settings
from mechcot.core.words import aligned
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.miniature.checkpoints import Style, Tiny, cache_folder, checkpoint, family_of
from mechcot.pipeline.miniature.lore import cases
from mechcot.pipeline.miniature.questions import n_options, paired, write_questions
from mechcot.pipeline.miniature.servers import Servers
from mechcot.pipeline.miniature.settings import Inputs, in_miniature, refuse_files
from mechcot.pipeline.settings import settings_in
from mechcot.study.folder import Study
from mechcot.tasks.registry import task_for

log = logging.getLogger("mechcot")

FOLDER = Path("work") / "miniature"


@dataclass(frozen=True)
class StageTime(Result):
    """How long a stage took."""

    stage: str
    seconds: float


@dataclass(frozen=True)
class Count(Result):
    """How much of something an arm has; never 0."""

    arm: str
    what: str
    n: int


@dataclass(frozen=True)
class Miniature(Result):
    """A study that ran in miniature.

    Attributes:
        path: of the study.
        settings: the file that was run; it may be looked at, changed and run.
        changed: settings that are otherwise than in the study's own file: (key, there, here).
        checkpoints: seconds that making tiny checkpoints took, this time; 0.0: they were kept.
        cache: where these are kept.
        asked: what the loopback that is teacher and judge was asked, and how often, this time.
        stages: seconds of each, when it ran.
        counts: of traces, answers, steps, verdicts and locks.
    """

    path: str
    settings: str
    changed: tuple[tuple[str, Any, Any], ...]
    checkpoints: float
    cache: str
    asked: dict[str, int]
    stages: tuple[StageTime, ...]
    counts: tuple[Count, ...]

    table: ClassVar[str] = "counts"
    derived: ClassVar[tuple[str, ...]] = ("seconds",)

    @property
    def seconds(self) -> float:
        """Of all stages together."""
        return sum(stage.seconds for stage in self.stages)

    def text(self) -> str:
        """What was changed, what it took, what came out."""
        changed = [f"  {key}: {_short(there)} -> {_short(here)}" for key, there, here in self.changed]
        made = f"{self.checkpoints:.1f} s" if self.checkpoints else "kept from before"
        kinds: dict[str, float] = {}
        for stage in self.stages:
            kind = stage.stage.partition("-")[0] if stage.stage.partition("-")[1] else "analyses and the rest"
            kinds[kind] = kinds.get(kind, 0.0) + stage.seconds
        slowest = sorted(kinds.items(), key=lambda one: -one[1])
        told = ", ".join(f"{n} {what}" for what, n in self.asked.items()) or "nothing, all was kept"
        came: dict[str, list[str]] = {}
        for count in self.counts:
            came.setdefault(count.what, []).append(f"{count.n} of {count.arm}")
        return "\n".join(
            [
                "A miniature: it shows that the settings run, and says nothing of any model.",
                "",
                f"Otherwise than in the settings file ({self.settings}):",
                *changed,
                "",
                f"Tiny checkpoints ({self.cache}): {made}",
                f"Stages: {self.seconds:.1f} s",
                *aligned([(f"  {kind}", f"{seconds:.1f}") for kind, seconds in slowest]),
                "",
                f"Asked of teacher, judge and rewriter: {told}",
                *aligned([(f"  {what}", ", ".join(each)) for what, each in came.items()]),
                "",
                f"Report: {Path(self.path) / 'report.html'}",
            ]
        )


def _short(value: Any) -> str:
    text = "null" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def run_miniature(
    path: str | Path,
    config_file: str | Path,
    *,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    progress: bool = True,
) -> Miniature:
    """Run every stage of a settings file on tiny checkpoints and twenty invented questions.

    Teacher, judge and rewriter are programs behind real HTTP on the loopback. Tiny checkpoints are made once
    and kept in the user's cache. What comes out says nothing of any model: it shows that the settings run.

    Args:
        path: the study's folder.
        config_file: the settings of the study.
        overrides: settings of the form `a.b=c`, before they are made small.
        seed: the study's seed.
        progress: whether to draw bars.

    Raises:
        ConfigError: the settings name files of texts, or have questions that no miniature has.
        AnalysisError: something came out empty.
        MechcotError: as `pipeline.run.run`.
    """
    folder = Path(path)
    own = settings_in(folder, config_file, None, seed, overrides)
    refuse_files(own)
    inputs = folder.resolve() / FOLDER
    n = n_options(own.questions) if own.questions else 4
    known = [case for table in cases(n) for case in table]
    with Servers({case.stem: case for case in known}, _port(inputs)) as servers:
        small, seconds = _made(own, inputs, servers.url)
        file = inputs / "settings.yaml"
        files.write_text(file, config.to_yaml(small))
        study = pipeline.run(folder, config=file, progress=progress)
        asked = dict(sorted(servers.asked.items()))
    stages = load_manifest(folder)["stages"]
    return Miniature(
        str(folder),
        str(file),
        tuple(config.changes(own.model_dump(mode="json"), small.model_dump(mode="json"))),
        seconds,
        str(cache_folder()),
        asked,
        tuple(StageTime(name, record["seconds"]) for name, record in stages.items()),
        counts(study),
    )


def _port(inputs: Path) -> int:
    """The port at which an earlier run of the miniature asked its judge; 0: there was none."""
    file = inputs / "port"
    return int(files.read_text(file)) if file.exists() else 0


def _made(own: Settings, folder: Path, url: str) -> tuple[Settings, float]:
    """The settings in miniature, all that they name written or made; and the seconds for checkpoints."""
    assert own.questions is not None  # else it is refused
    files.write_text(folder / "port", url.rpartition(":")[2].partition("/")[0])
    domain, spent = own.contrast.domain, [0.0]
    test, train = cases(n_options(own.questions))
    asked = write_questions(folder / "questions.jsonl", test, own.questions, domain)
    taught = None
    if own.teacher is not None:
        taught = write_questions(folder / "training.jsonl", train, own.teacher.questions, domain)
    pairs = paired(asked, test), () if taught is None else paired(taught, train)

    def model(name: str, style: Style) -> Path:
        tiny = Tiny(family_of(name), style, task_for(own).format, *pairs, own.seed)
        log.info("%s: a tiny %s stands in for it", name, tiny.family)
        path, seconds = checkpoint(tiny)
        spent[0] += seconds
        return path

    small = in_miniature(own, Inputs(folder, url, asked, taught, model))
    return small, spent[0]


# --- nothing of it is empty ------------------------------------------------------------------------


def counts(study: Study) -> tuple[Count, ...]:
    """What came out, arm by arm.

    Raises:
        AnalysisError: something of it is nothing.
    """
    settings, found = study.settings, []
    for arm in settings.arms:
        traces = study.traces(arm)
        found.append(Count(arm, "traces", len(traces)))
        found.append(Count(arm, "answers", int((traces.answer >= 0).sum())))
        if not _answers_alone(study, arm):
            found.append(Count(arm, "steps", len(study.steps(arm))))
    pair = (settings.contrast.before, settings.contrast.after)
    for name in study.instruments():
        for arm in pair:
            labels = study.verdicts(arm, name).label
            found.append(
                Count(
                    arm,
                    f"steps called right or wrong by {name}",
                    int(labels.isin(("correct", "erroneous")).sum()),
                )
            )
        wrong = sum(int((study.verdicts(arm, name).label == "erroneous").sum()) for arm in pair)
        found.append(Count(" and ".join(pair), f"steps called wrong by {name}", wrong))
    for arm in pair:
        forced = study.forced(arm)
        found.append(Count(arm, "forced answers", len(forced)))
        found.append(Count(arm, "traces that lock before the answer", _locks(study, arm)))
    empty = [f"{one.arm} has no {one.what}" for one in found if one.n == 0]
    if empty:
        raise AnalysisError(
            f"{study.path}: the miniature came out empty: {'; '.join(empty)}. Look at the texts in "
            f"{study.path / 'arms'}: most often prompt.answer_pattern, lead_in or terminator do "
            "not fit what the prompt asks for"
        )
    return tuple(found)


def _answers_alone(study: Study, arm: str) -> bool:
    """Whether an arm is a student that is taught answers without reasoning: it need not have steps."""
    distill = study.settings.arms[arm].distill
    own = None if distill is None else study.settings.examples.get(distill.examples)
    return own is not None and own.reasoning == "none"


def _locks(study: Study, arm: str) -> int:
    """How many traces of an arm hold their answer before they state it."""
    result = study.commitment(arm).to_json()
    return round(result["locked_before_answer"]["estimate"] * result["n_traces"])
