"""The teacher's chains for training questions: asked of a server, or out of a file."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.core import files, records
from mechcot.core.errors import DataError
from mechcot.core.plan import Expense
from mechcot.core.stages import Stage
from mechcot.core.teacher_records import CHAINS
from mechcot.core.teacher_settings import TeacherSettings
from mechcot.pipeline.plan import ON_THE_HUB, questions_of
from mechcot.pipeline.votes import asked_file
from mechcot.steps.of_study import task_of
from mechcot.study.folder import Study
from mechcot.tasks.question_files import source_file
from mechcot.tasks.questions import Loaded, read_questions

if TYPE_CHECKING:
    from mechcot.distill.teacher_file import Teacher

log = logging.getLogger("mechcot")

FOLDER = "teacher"
COST_ALONE = {
    "concurrency",
    "timeout",
    "max_retries",
    "price_in",
    "price_out",
    "max_failure_share",
    "api_key_env",
}


def teacher_stages(study: Study, progress: bool) -> list[Stage]:
    """The stage of the teacher's chains, in a study that names one."""
    settings = study.settings.teacher
    if settings is None:
        return []
    asked = source_file(settings.questions)
    outside = (asked,) if asked and asked.exists() else ()
    basis = settings.model_dump(mode="json", exclude={"budget", "server", "traces"})
    if settings.traces is not None:
        outside = (*outside, Path(settings.traces).expanduser())
    else:  # what decides the chains, and not the file: it holds prices and patience too
        basis["server"] = _server(settings).model_dump(mode="json", exclude=COST_ALONE)
    form = study.settings.prompt.whole()
    return [
        Stage(
            "teacher",
            1,
            {"teacher": basis, "prompt": form, "seed": study.settings.seed},
            (asked_file(study),),
            tuple(
                f"{FOLDER}/{name}"
                for name in ("questions.parquet", "leakage.json", "traces.parquet", "about.json")
            ),
            partial(write_chains, study, progress),
            frozen=True,
            outside=outside,
            plan=partial(plan_teacher_calls, study),
        )
    ]


def _server(settings: TeacherSettings) -> Teacher:
    from mechcot.distill.teacher_file import read_teacher

    return read_teacher(_path(settings), settings.attempts)


def _path(settings: TeacherSettings) -> Path:
    return Path(settings.server or "").expanduser()


def write_chains(study: Study, progress: bool, work: Path) -> None:
    """Write the teacher's questions without those that leak into the test, and its chains.

    Raises:
        DataError: no question is left, the study's rules cannot read its own form of an answer, or no
            chain is right.
    """
    from mechcot.distill.chains import counted, refuse_useless

    settings = study.settings.teacher
    assert settings is not None
    loaded = read_questions(settings.questions)
    test = records.read_table(study.path / asked_file(study))
    questions, leakage = without_leaks(loaded.table, test, settings.questions.path)
    _refuse_unreadable(study, questions)
    if settings.traces is None:
        rows, about = _asked(study, questions, progress)
    else:
        rows = given_chains(study, Path(settings.traces).expanduser(), loaded, questions)
        about = {"traces": settings.traces}
        refuse_useless([row["outcome"] for row in rows], ("right",), settings.traces, "is right")
    table = pd.DataFrame(rows, columns=CHAINS.names)
    about |= _counts(table, questions) | {"skipped": loaded.told()}
    folder = study.path / FOLDER
    schema = records.OPEN_QUESTIONS if study.settings.open_questions else records.QUESTIONS
    records.write_table(folder / "questions.parquet", questions, schema)
    files.write_json(folder / "leakage.json", leakage)
    records.write_table(folder / "traces.parquet", table.sort_values(["qid", "cid"], kind="stable"), CHAINS)
    files.write_json(folder / "about.json", about)
    told = ", ".join(f"{n} {name}" for name, n in counted(table.outcome).items() if n)
    log.info(
        "teacher: %d chains for %d questions: %s; %d are kept, of %d questions",
        *(len(table), len(questions), told, about["n_kept"], about["n_questions_kept"]),
    )


def _counts(table: pd.DataFrame, questions: pd.DataFrame) -> dict[str, Any]:
    from mechcot.distill.chains import counted

    kept = table[table.kept]
    return {
        "n_questions": len(questions),
        "n_chains": len(table),
        "outcomes": counted(table.outcome),
        "outcomes_hinted": counted(table[table.hinted.astype(bool)].outcome),
        "n_right_not_kept": int((table.outcome.eq("right") & ~table.kept.astype(bool)).sum()),
        "n_kept": len(kept),
        "n_kept_hinted": int(kept.hinted.sum()),
        "n_questions_kept": int(kept.qid.nunique()),
    }


def without_leaks(
    train: pd.DataFrame, test: pd.DataFrame, source: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Training questions without those that leak into the test, and what is left out, to be written.

    Args:
        train: the teacher's questions.
        test: the study's own.
        source: of the former, for messages.

    Raises:
        DataError: all of them leak.
    """
    from mechcot.distill.leakage import STANDING, WORDS, leaks

    found = leaks(train, test)
    left = train[~train.qid.isin([leak.qid for leak in found])].reset_index(drop=True)
    if left.empty:
        raise DataError(
            f"{source}: all {len(train)} questions of the teacher stand among the study's own (the first, "
            f"'{found[0].qid}', is like '{found[0].test_qid}'). A teacher is given training questions: name "
            "another file or split (teacher.questions)"
        )
    if found:
        log.warning(
            "teacher: %d of %d training questions leak into the test and are left out (%s/leakage.json)",
            *(len(found), len(train), FOLDER),
        )
    how = [leak.how for leak in found]
    return left, {
        "words_of_a_run": WORDS,
        "standing_phrase_beyond": STANDING,
        "n_train": len(train),
        "n_test": len(test),
        "n_left_out": len(found),
        "n_same_text": how.count("text"),
        "n_shared_words": how.count("words"),
        "left_out": [asdict(leak) for leak in found],
    }


def _refuse_unreadable(study: Study, questions: pd.DataFrame) -> None:
    """Refuse a prompt whose own form of an answer its rules do not read, before anything is paid for."""
    from mechcot.distill.chains import answers_right, exercises_of
    from mechcot.distill.variants import completion_of

    form = task_of(study).format
    exercise = next(iter(exercises_of(questions.head(1)).values()))
    text, _ = completion_of("The question is answered by what is known of it.", exercise, form)
    if not answers_right(text, exercise, form)[0]:
        raise DataError(
            f"prompt: a completion that ends with {text[-60:]!r} (lead_in, right answer, terminator) would "
            "teach a student what the study cannot read: its rules read no such answer off. Make "
            "prompt.lead_in, prompt.terminator, prompt.answer_pattern and prompt.reasoning_end fit each other"
        )


def _asked(
    study: Study, questions: pd.DataFrame, progress: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from mechcot.asking.session import Session
    from mechcot.asking.spending import Ledger
    from mechcot.distill.chains import exercises_of
    from mechcot.distill.teacher import teach

    settings = study.settings.teacher
    assert settings is not None
    session = Session(
        _server(settings),
        study.path / "work" / "calls",
        study.settings.seed,
        ledger=Ledger(settings.budget),
        progress=progress,
    )
    done = teach(
        list(exercises_of(questions).values()), settings, task_of(study).format, session, _path(settings)
    )
    return done.rows, done.about


def given_chains(study: Study, path: Path, known: Loaded, questions: pd.DataFrame) -> list[dict[str, Any]]:
    """Chains out of a file (`teacher_records.CHAINS`), of the questions that are left.

    Args:
        study: whose rules read the answers off.
        path: the file.
        known: all questions of the teacher, and those that are left out.
        questions: those that do not leak.

    Raises:
        DataError: as `sampling.load_given`; or `hinted` or `attempt` is not what it should be.
    """
    from mechcot.distill.chains import exercises_of, graded, judged, plain
    from mechcot.sampling import load_given

    settings, form = study.settings.teacher, task_of(study).format
    assert settings is not None
    given, raw = load_given(path, list(known.table.qid), known.skipped_ids), records.read_any(path)
    exercises = exercises_of(questions)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in records.rows(given):
        if row.qid not in exercises:
            continue
        values, where = raw.iloc[row.row - 1], f"{path}, row {row.row}"
        before = rows.setdefault(row.qid, [])
        own = {
            "qid": row.qid,
            "cid": int(row.cid),
            "attempt": _attempt(values.get("attempt"), int(row.cid) + 1, where),
            "hinted": _hinted(values.get("hinted"), where),
            "text": row.text,
            "finish_reason": row.finish_reason,
            **graded(row.text, exercises[row.qid], plain(form), row.finish_reason),
            "prompt_tokens": None,
            "completion_tokens": None,
        }
        before.append(own | judged(own, before, settings.chains, settings.distinct))
    return [row for own in rows.values() for row in own]


_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no", "")


def _hinted(value: Any, where: str) -> bool:
    word = "" if records.absent(value) else str(value).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise DataError(f"{where}: hinted is {value!r}; expected true or false, or leave the column out")
    return word in _TRUE


def _attempt(value: Any, otherwise: int, where: str) -> int:
    if records.absent(value) or value == "":
        return otherwise
    number = pd.to_numeric(value, errors="coerce")
    if not number >= 1 or number != int(number):
        raise DataError(f"{where}: attempt is {value!r}; expected a whole number from 1")
    return int(number)


def plan_teacher_calls(study: Study) -> Expense:
    """The most that a teacher's attempts may take; a file's chains take nothing."""
    from mechcot.distill.chains import exercises_of
    from mechcot.distill.teacher import plan_teaching
    from mechcot.sampling import load_given

    settings = study.settings.teacher
    assert settings is not None
    loaded, test = _loaded(settings), questions_of(study)
    if settings.traces is not None:
        n = (
            None
            if loaded is None
            else len(
                load_given(Path(settings.traces).expanduser(), list(loaded.table.qid), loaded.skipped_ids)
            )
        )
        return Expense("teacher", n, "chains", reason=ON_THE_HUB)
    if loaded is None or test is None:
        return Expense("teacher", None, "questions", calls=None, tokens_in=None, tokens_out=None, money=None,
                       reason=ON_THE_HUB)  # fmt: skip
    questions, leakage = without_leaks(loaded.table, test, settings.questions.path)
    found = plan_teaching(
        list(exercises_of(questions).values()),
        settings,
        task_of(study).format,
        _server(settings),
        study.path / "work" / "calls",
        study.settings.seed,
    )
    free = None not in (found.cost, found.tokens_out)
    return Expense(
        "teacher",
        len(questions),
        "questions",
        calls=found.calls,
        answered=found.cached,
        tokens_in=found.tokens_in,
        tokens_out=found.tokens_out,
        money=found.cost,
        reason=Expense.reason if free else "the teacher file lacks price_in, price_out or max_tokens",
        note=f"{leakage['n_left_out']} of {leakage['n_train']} questions leak into the test and are left "
        f"out; all {settings.attempts} attempts are counted, {settings.chains} right chains end them sooner; "
        "a start-up call an attempt comes on top; tokens in are estimated (characters / 4), money is by the "
        "teacher file's prices and these tokens",
    )


def _loaded(settings: TeacherSettings) -> Loaded | None:
    """The teacher's questions; None: they are on the Hub."""
    return read_questions(settings.questions) if source_file(settings.questions) else None
