"""Cards of a study in the form of the Hugging Face Hub: of the model after, and of the study's tables.

Every number is read from summary.json and the study's results. Whatever a model, a file or a user wrote is
escaped. The front matter is YAML as the Hub reads it (model-index, base_model, configs); no licence is
written: it is the publisher's to choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mechcot.analyses import registry
from mechcot.analyses.headline import rows as headline_rows
from mechcot.analyses.opening import questions_name
from mechcot.core import files, records
from mechcot.core.errors import StudyError
from mechcot.core.settings import ArmSettings, Settings
from mechcot.core.words import DIFFERENCE, Table, counted, number, points
from mechcot.report.markdown import escaped, table
from mechcot.tasks.question_files import HUB

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Json = Mapping[str, Any]
MODEL, DATASET = "model", "dataset"
"""Folders of the two cards."""
_LICENCE = (
    "## Licence\n\nNone is set. Weights follow the licence of the model that they were trained from, "
    "questions that of their data set, texts of a teacher or a judge the terms of who served them: whoever "
    "publishes this chooses, and writes `license:` into the head of this file."
)
_LIMITS = (
    "The numbers are of these questions, this prompt and this way of sampling, and of two checkpoints: "
    "another training seed may differ by as much, unless the study has several (`seeds`).",
    "A verdict is the instrument's, not the truth. Steps that claim nothing are in no rate; abstentions and "
    "failed calls are counted apart.",
    "A change of wrong steps between two models is an association with the training, not what caused an "
    "answer.",
    "Nothing here was tested for use in a clinic, in a classroom or in any decision about people.",
)


@dataclass(frozen=True)
class Told:
    """A finished study, as cards tell it; `labels`: the file of step labels beside its tables, if any."""

    study: Study
    settings: Settings
    summary: Json
    labels: str | None = None

    @classmethod
    def of(cls, study: Study, labels: str | None = None) -> Told:
        """Read what cards tell of a study."""
        if not (study.path / "summary.json").exists():
            raise StudyError(
                f"{study.path} is not finished, and a card is of results; run it: mechcot run {study.path}"
            )
        return cls(study, study.settings, study.summary(), labels)

    @property
    def pair(self) -> tuple[str, str]:
        """The arms before and after."""
        return self.settings.contrast.before, self.settings.contrast.after


def write_cards(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write the model card and the data card of a study into `folder/model` and `folder/dataset`.

    Args:
        study: finished.
        folder: where to.

    Returns:
        Both README.md.

    Raises:
        StudyError: the study is not finished.
    """
    told = Told.of(study)
    made = (folder / MODEL / "README.md", folder / DATASET / "README.md")
    for path, text in zip(made, (model_card(told), data_card(told)), strict=True):
        files.write_text(path, text)
    return made


def model_card(told: Told) -> str:
    """The card of the arm after."""
    after = told.pair[1]
    body = (
        f"# {escaped(after)}",
        f"{escaped(_made(told, after))} It was compared with {escaped(told.pair[0])} by mechcot, which asks "
        "of two models whether the answers moved, and whether the reasoning moved with them.",
        "## Results",
        _results(told),
        *_judge_controls(told),
        "## Published claims",
        _claims(told),
        *_how(told),
    )
    return _page(_model_head(told), body)


def data_card(told: Told) -> str:
    """The card of the study's tables."""
    names = " and ".join(escaped(arm) for arm in told.settings.arms)
    body = (
        f"# {escaped(told.study.path.resolve().name)}: traces, steps and verdicts",
        f"{_asked(told)} Answers of {names}, cut into steps, each with its verdicts.",
        "## Tables",
        table(_tables(told)),
        f"`{told.labels}`: a row a judged trace with its steps and their labels." if told.labels else "",
        "A row bears its ids: `qid` (question), `arm` (whose text), `cid` (which sample), `sid` (which "
        "step). The columns stand in mechcot's `docs/study-folder.md`. Texts of models are as they were "
        "written: nothing was filtered, and some of it is wrong.",
        "## Results",
        _results(told),
        *_how(told),
    )
    return _page(_data_head(told), body)


def _page(head: Json, body: Sequence[str]) -> str:
    front = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in body if part) + "\n"


# --- front matter ---------------------------------------------------------------------------------


def _model_head(told: Told) -> dict[str, Any]:
    head: dict[str, Any] = {"tags": ["mechcot", "chain-of-thought", "distillation"]}
    if not told.settings.given:
        head |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    base = _base(told.settings, told.settings.arms[told.pair[1]])
    if base is not None:
        head["base_model"] = base
    if (data := _hub_set(told)) is not None:
        head["datasets"] = [data]
    return head | {"model-index": [_index(told)]}


def _index(told: Told) -> dict[str, Any]:
    """The arm's own numbers as the Hub's model-index has them."""
    after = told.pair[1]
    answers, audit = told.summary["answers"][after], told.summary["audit"][after]
    values = (
        ("accuracy", "right answers, single traces", number(answers["accuracy"])),
        ("self-consistency", f"right answers, vote of {answers['k']} traces", number(answers["sc"])),
        ("step-error-rate", f"wrong steps, of {audit['n_judged']} judged", number(audit["error_rate"])),
    )
    metrics = [
        {"type": kind, "value": round(value, 4), "name": name}
        for kind, name, value in values
        if value is not None
    ]
    asked = {"type": _hub_set(told) or "questions", "name": questions_name(told.settings)}
    return {
        "name": after,
        "results": [{"task": {"type": "text-generation"}, "dataset": asked, "metrics": metrics}],
    }


def _data_head(told: Told) -> dict[str, Any]:
    labels = {"step-labels": told.labels} if told.labels else {}
    tables = {**tables_of(told), **labels}
    configs = [{"config_name": name, "data_files": files_} for name, files_ in tables.items()]
    n = sum(len(told.study.traces(arm)) for arm in told.settings.arms)
    return {
        "tags": ["mechcot", "chain-of-thought", "step-verdicts"],
        "task_categories": ["question-answering"],
        "size_categories": [_size(n)],
        "configs": configs,
    }


def _size(n: int) -> str:
    bounds = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
    return next((name for bound, name in bounds if n < bound), "1M<n<10M")


def tables_of(told: Told) -> dict[str, str]:
    """The tables by name, each with its file in the study: the Hub's `configs`, rows of the card."""
    kind = told.settings.judge.kind
    parts = {"traces": "traces", "steps": "steps", "verdicts": f"verdicts/{kind}"}
    arms = {
        f"{arm}-{name}": f"arms/{arm}/{file}.parquet"
        for arm in told.settings.arms
        for name, file in parts.items()
        if (told.study.arm_path(arm) / f"{file}.parquet").exists()
    }
    return {"questions": "questions.parquet", **arms}


# --- the text -------------------------------------------------------------------------------------


def _made(told: Told, arm: str) -> str:
    """How an arm came about; as it is written, not escaped."""
    own = told.settings.arms[arm]
    if own.traces is not None:
        return f"{arm} is given as traces ({Path(own.traces).name}); its weights are no part of the study."
    if own.distill is None and own.model == "organism":
        return f"{arm} is mechcot's organism, a tiny model trained in the study itself."
    if own.distill is None:
        return f"{arm} is the checkpoint {_public(own.model)}."
    train, base = own.distill.train, told.settings.arms[own.distill.base]
    how = "an adapter (LoRA)" if train.lora is not None else "all weights"
    of = (
        own.distill.base
        if base.model in (None, "organism")
        else f"{own.distill.base} ({_public(base.model)})"
    )
    return (
        f"{arm} was distilled from {of} on the examples {Path(own.distill.examples).name}: {how}, "
        f"{train.epochs:g} epochs, learning rate {train.learning_rate:g}, loss on {', '.join(train.loss_on)}."
    )


def _public(model: str | None) -> str:
    """A checkpoint's name on the Hub; of a folder of this machine its last part alone."""
    name = model or ""
    return name if _on_the_hub(name) else Path(name).expanduser().name


def _asked(told: Told) -> str:
    answers = told.summary["answers"][told.pair[0]]
    asked = counted(answers["n_questions"], "question").replace("\u00a0", " ")
    return f"{asked} of {escaped(questions_name(told.settings))}, {answers['k']} traces each."


def _results(told: Told) -> str:
    """The headline's table, with what stands behind each number."""
    before, after = told.pair
    rows = tuple(tuple(row) for row in headline_rows(told.summary))
    shown = Table("", ("", before, after, DIFFERENCE), rows)
    audit = told.summary["audit"]
    judged = " and ".join(
        f"{audit[arm]['n_judged']:,} of {audit[arm]['n_steps']:,} steps" for arm in told.pair
    )
    note = (
        f"{_asked(told)} Judged correct or erroneous: {judged} ({escaped(before)}, {escaped(after)}); a rate "
        "of wrong steps is erroneous over these. A trace without an answer counts as wrong. Intervals: 95 %, "
        "questions left out one at a time."
    )
    return f"{table(shown)}\n\n{note}"


def _judge_controls(told: Told) -> list[str]:
    found = registry.json_of(
        next(one for one in registry.ANALYSES if one.name == "judge_controls"), told.study
    )
    rows = tuple(
        (judge, str(row["name"]), points(row["error"]["difference"]))
        for judge, result in found.items()
        for row in result["controls"]
    )
    if not rows:
        return [
            "## Controls of the judge",
            "None was run: whether the judge favours a tone or a length is not known.",
        ]
    return ["## Controls of the judge", table(Table("", ("judge", "control", "change of wrong steps"), rows))]


def _claims(told: Told) -> str:
    """What became of published claims, counted."""
    ledger = registry.json_of(next(one for one in registry.ANALYSES if one.name == "ledger"), told.study)
    rows = tuple(
        (one["claim"], one["paper"], one["verdict"]) for one in ledger["claims"].values() if not one["reason"]
    )
    untested = sum(bool(one["reason"]) for one in ledger["claims"].values())
    head = ("claim", "paper", "on these two models")
    told_ = table(Table("", head, rows)) if rows else "None could be tested here."
    of = (
        "Claims of “Better Accuracies, Worse Reasoning” and “Interpretable Traces, Unexpected Outcomes”, as "
        f"`mechcot claims` has them. Not tested here: {untested} of {len(ledger['claims'])}."
    )
    return f"{told_}\n\n{of}"


def _how(told: Told) -> list[str]:
    """How it was measured, its limits, the licence."""
    settings = told.settings
    rows = [
        ("questions", questions_name(told.settings)),
        *((f"arm {arm}", _made(told, arm)) for arm in settings.arms),
        *_given(told),
        ("judge", _judge(told)),
        ("seed", str(settings.seed)),
        *((f"version of {name}", value) for name, value in told.summary["versions"].items()),
    ]
    if not settings.given:
        sampling = settings.sampling.model_dump(
            mode="json", include={"temperature", "top_p", "top_k", "max_new_tokens"}
        )
        rows.insert(
            1 + len(settings.arms),
            ("sampling", ", ".join(f"{name} {value}" for name, value in sampling.items())),
        )
    left_out = _not_asked(told)
    return [
        "## How it was measured",
        table(Table("", ("", ""), tuple(rows))),
        left_out,
        "## What this does not show",
        "\n".join(f"- {limit}" for limit in _LIMITS),
        _LICENCE,
    ]


def _not_asked(told: Told) -> str:
    """Analyses of the study that found nothing, each with its reason."""
    lines = []
    there = {path.stem for path in (told.study.path / "results").glob("*.json")}
    for name in (one for one in registry.results(told.settings) if one in there):
        reason = _reason(told.study.result(name))
        if reason:
            lines.append(f"- {escaped(name.replace('_', ' '))}: {escaped(reason)}")
    return "Not answered by this study:\n\n" + "\n".join(lines) if lines else ""


def _reason(result: Json) -> str:
    """Why a result holds nothing: as a whole, or for each of its arms; else ""."""
    parts = [part for part in result.values() if isinstance(part, Mapping)]
    if "reason" in result or not parts or any("reason" not in part for part in parts):
        return str(result.get("reason", ""))
    return "; ".join(dict.fromkeys(str(part["reason"]) for part in parts))


def _given(told: Told) -> list[tuple[str, str]]:
    """Of a study without weights how its arms were asked, as far as their files tell."""
    if not told.settings.given:
        return []
    found = files.read_json(told.study.checked(told.study.path / "parity.json"))
    rows = []
    for arm, own in found["given"].items():
        stated = [f"{name} {', '.join(map(str, values))}" for name, values in own["stated"].items() if values]
        parts = [own["model"] and f"model {own['model']}", own["written_by"], *stated]
        rows.append((f"{arm} was asked", ", ".join(part for part in parts if part) or "not told"))
    for where, parts in found["differs"].items():
        rows += [
            (f"{where}: not asked alike", f"{one['what']}: {one['before']} before, {one['after']} after")
            for one in parts
        ]
    return rows


def _judge(told: Told) -> str:
    kind = told.settings.judge.kind
    if kind == "exact":
        return "the task's own checker, which looks every claim up"
    if kind == "table":
        return "a table of verdicts that came with the study"
    about = files.read_json(told.study.checked(told.study.path / "instruments" / "llm.json"))
    shown = ", ".join(name for name, there in dict(about.get("fields") or {}).items() if there)
    digest = about["digest"][:12]
    return f"{about['returned_model']}, a language model, shown {shown} beside each step (digest {digest})"


def _hub_set(told: Told) -> str | None:
    asked = told.settings.questions
    return asked.path.removeprefix(HUB) if asked is not None and asked.path.startswith(HUB) else None


def _base(settings: Settings, arm: ArmSettings) -> str | None:
    """The model of the Hub that an arm was trained from; None: it is none of the Hub's."""
    base = settings.arms[arm.distill.base] if arm.distill is not None else arm
    name = base.model or ""
    return name if _on_the_hub(name) and arm.distill is not None else None


def _on_the_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _tables(told: Told) -> Table:
    rows = []
    for name, file in tables_of(told).items():
        frame = records.read_table(told.study.checked(told.study.path / file))
        rows.append((name, file, f"{len(frame):,}", ", ".join(map(str, frame.columns))))
    return Table("", ("table", "file", "rows", "columns"), tuple(rows))
