"""A probe of a study as it lies there, or fitted when that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot import probe
from mechcot.analyses.probe.analysis import default_spec, probe_of
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError, DataError, StudyError
from mechcot.core.read_back import read_back
from mechcot.core.score_records import SCORES
from mechcot.core.stages import current_stages
from mechcot.probe.data import STRATA
from mechcot.stats import Interval
from mechcot.study.writing import locked

if TYPE_CHECKING:
    from mechcot.study.folder import Study

RESULT = "probe"
"""The stage that fits the default probe of both arms of the contrast; its file in results/."""

_APART = ("transfer", "ablate")
"""What a specification adds to a probe and does not decide its other numbers."""

_SAME = ("steps_digest", "model_digest", "tokenizer_digest", "template_digest")
"""Of what a probe was fitted on: what its card has from the reading."""


def probe_in(
    study: Study,
    author: str | None = None,
    reader: str | None = None,
    spec: probe.ProbeSpec | None = None,
    *,
    refit: bool = False,
    progress: bool = True,
) -> probe.ProbeReport:
    """A probe on an author's steps as a reader sees them, as the study holds it; of step errors by default.

    What `mechcot run` (results/probe.json) or `mechcot probe` (probes/NAME/AUTHOR/READER) has fitted is
    opened at once. `refit=True` fits, which may take minutes, and keeps the probe in the study as
    `mechcot probe` does.

    Args:
        study: of which; its readings must be there to fit.
        author: whose steps; None: the arm after.
        reader: whose insides; None: the author's own.
        spec: which probe; None: the default one.
        refit: fit it anew, holding the study for writing.
        progress: whether to draw bars.

    Raises:
        AnalysisError: the study holds no such probe, or its tables do not carry one.
        StudyError: the traces were not read; a file has changed since it was written; with `refit`, another
            process writes to the study.
    """
    whose = author or study.settings.contrast.after
    by = reader or whose
    wanted = spec or default_spec(study)
    folder = study.path / "probes" / wanted.name / whose / study.reading_path(whose, by).name
    if refit:
        from mechcot.analyses.probe.report_page import write_probe

        with locked(study.path):
            report = probe_of(study, whose, by, wanted, progress=progress)
        write_probe(report, folder)
        return report
    found = _kept(study, folder, wanted)
    pair = (study.settings.contrast.before, study.settings.contrast.after)
    if found is None and spec is None and whose == by and whose in pair:
        found = _of_the_run(study, whose, wanted)
    if found is None:
        raise AnalysisError(_how(study, whose, by, spec))
    return found


def _kept(study: Study, folder: Path, wanted: probe.ProbeSpec) -> probe.ProbeReport | None:
    """The probe that `mechcot probe` left in a folder; None: it is not there, or another one is."""
    if not (folder / "card.json").exists():
        return None
    for file in files.files_in(folder):
        study.checked(file)
    card = probe.load_card(folder)
    if _decisive(card.about["spec"]) != _decisive(wanted.model_dump(mode="json")):
        return None
    if not _is_of(study, card.about["source"], wanted):
        return None
    rows: dict[str, Any] = {}
    if (folder / "scores.parquet").exists():
        table = records.read_table(folder / "scores.parquet", SCORES)
        rows = {
            "rows": table[[*records.STEP_KEY, "y"]],
            "fold": table["fold"].to_numpy(dtype="int64"),
            "scores": table["score"].to_numpy(),
        }
    return _opened(
        folder / "report.json", files.read_json(folder / "report.json"), card.about, card=card, **rows
    )


def _decisive(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What of a specification decides the numbers of the probe itself."""
    roles = ("author", "reader")  # the folder says whose it is
    return {key: value for key, value in spec.items() if key not in (*_APART, *roles)}


def _is_of(study: Study, source: Mapping[str, Any], spec: probe.ProbeSpec) -> bool:
    """Whether a probe was fitted on the steps, the reading and the judge that the study has now."""
    author = source["author"]
    meta = study.reading_path(author, source["reader"]) / "activations" / "meta.json"
    now = files.read_json(meta) if meta.exists() else {}
    if any(source.get(name) != now[name] for name in _SAME if name in now):
        return False
    if spec.label != "step_error":
        return True
    names = study.verdicts(author, spec.instrument)["instrument"].unique()
    return bool(source["instrument"] == ", ".join(sorted(map(str, names))))


def _of_the_run(study: Study, arm: str, wanted: probe.ProbeSpec) -> probe.ProbeReport | None:
    """The probe that the study's own run fitted on an arm; None: it did not, or on what is there no more."""
    path = study.path / "results" / f"{RESULT}.json"
    if not path.exists() or "" not in current_stages(study.path, RESULT):
        return None
    found = study.result(RESULT)[arm]
    if "auroc" not in found:
        raise AnalysisError(f"{path}: no probe of {arm}: {found['reason']}")
    return _opened(
        path, found, {"name": wanted.name, "probe": {"site": wanted.site}, "source": {"author": arm}}
    )


def _opened(
    path: Path, found: Mapping[str, Any], about: Mapping[str, Any], **unstored: Any
) -> probe.ProbeReport:
    """A report from its JSON, which is sorted by name, its tables in the order in which a fit gives them."""
    from mechcot.probe.ablation_result import MEASURES
    from mechcot.probe.baselines import LABELS
    from mechcot.probe.use_result import OUTCOMES

    named = sorted(
        found["baselines"].keys() - LABELS.keys()
    )  # columns of the caller's stand before the stack
    labels = [*LABELS]
    last = labels.index("stack")
    told = {
        **found,
        "baselines": _in_order(found["baselines"], [*labels[:last], *named, *labels[last:]]),
        "within": _in_order(found["within"], STRATA),
        "pairs": _in_order(found["pairs"], STRATA),
    }
    for part, key, order in (("use", "abstain", OUTCOMES), ("ablation", "measures", MEASURES)):
        if part in found:
            told[part] = {**found[part], key: _in_order(found[part][key], [*order])}
    sources = {(row["rule"], row["layer"]): row["auroc"] for row in found["map"]}
    try:
        return read_back(
            probe.ProbeReport,
            told,
            about={
                "name": about["name"],
                "site": about["probe"]["site"],
                "author": about.get("source", {}).get("author"),
                "split": found["folds"],
            },
            by_source={source: read_back(Interval, value) for source, value in sources.items()},
            **unstored,
        )
    except (DataError, KeyError) as error:
        raise StudyError(
            f"{path}: is of another version of mechcot ({error}). Fit it anew: mechcot probe, or refit=True"
        ) from error


def _in_order(rows: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    rest = sorted(rows.keys() - {*order})
    return {name: rows[name] for name in (*order, *rest) if name in rows}


def _how(study: Study, author: str, reader: str, spec: probe.ProbeSpec | None) -> str:
    """Which command makes a probe that the study does not hold.

    Raises:
        StudyError: what it needs is not there either: which command makes that.
    """
    study.signals(author, reader)
    other = "" if reader == author else f" --reader {reader}"
    by = "" if reader == author else f", reader={reader!r}"
    what = "" if spec is None else f" of the specification '{spec.name}' as given"
    file = "" if spec is None else " --spec FILE"
    given = "" if spec is None else ", spec=..."
    return (
        f"{study.path} holds no probe{what} on {author}'s steps as {reader} reads them and as they are now. "
        f"To fit it: mechcot probe {study.path} --author {author}{other}{file}, or "
        f"study.probe({author!r}{by}{given}, refit=True); --dry-run says what it takes"
    )
