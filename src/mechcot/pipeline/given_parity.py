"""How the arms of a study without weights were asked, by what their files say, and in what they differ.

Nothing of them is sampled here. What both files tell and tell otherwise is refused, as of arms that are
sampled, unless the contrast declares it (`contrast.differs`, `controls.NAME.differs`); then it stands in
`parity.json` and in the report. What one file alone tells is warned of.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from mechcot.core import files
from mechcot.core.errors import DataError
from mechcot.core.records import absent
from mechcot.core.stages import Stage
from mechcot.pipeline.text import given_file
from mechcot.pipeline.votes import asked_file
from mechcot.sampling import given_rows
from mechcot.study.folder import Study
from mechcot.tasks.logs import read_log
from mechcot.tasks.logs.form import STATED

log = logging.getLogger("mechcot")

FILE = "parity.json"
_SHOWN = 70
_SILENT = "not told"


def given_parity_stages(study: Study) -> list[Stage]:
    """The stage that compares how the arms were asked."""
    paths = [given_file(str(arm.traces)) for arm in study.settings.arms.values()]
    declared = {where: list(differs) for where, differs in _declared(study).items() if differs}
    basis = {
        "given": list(study.settings.arms),
        "compared": {k: list(v) for k, v in _pairs(study).items()},
        **({"declared": declared} if declared else {}),
    }
    return [
        Stage(
            "parity",
            1,
            basis,
            (asked_file(study),),
            (FILE,),
            partial(compare_given, study),
            outside=tuple(dict.fromkeys(paths)),
        )
    ]


def _pairs(study: Study) -> dict[str, tuple[str, str]]:
    """The pairs of arms that are compared, by the setting that does."""
    contrast = study.settings.contrast
    found = {"contrast": (contrast.before, contrast.after)}
    for name, own in study.settings.controls.items():
        found[f"controls.{name}"] = (own.before or contrast.before, own.after or contrast.after)
    return found


def _declared(study: Study) -> dict[str, tuple[str, ...]]:
    """In what such a pair may differ, by the setting that compares it."""
    own = {f"controls.{name}": one.differs for name, one in study.settings.controls.items()}
    return {"contrast": study.settings.contrast.differs, **own}


def compare_given(study: Study, work: Path) -> None:
    """Write what every arm's file says of its making, and in what arms that are compared differ.

    Raises:
        DataError: both files tell a value, they differ, and the comparison does not declare it.
    """
    declared = _declared(study)
    qids = list(study.questions().qid)
    told = {name: _told(given_file(str(arm.traces)), qids) for name, arm in study.settings.arms.items()}
    differs: dict[str, list[dict[str, Any]]] = {}
    for where, pair in _pairs(study).items():
        differs[where] = _differences(*(told[arm] for arm in pair))
        _refuse(study, where, pair, differs[where], declared[where])
        if differs[where]:
            shown = "; ".join(
                f"{one['what']}: {one['before']} and {one['after']}"[: 2 * _SHOWN] for one in differs[where]
            )
            log.warning("%s: '%s' and '%s' were not asked alike: %s", where, *pair, shown)
    made = {name: {key: own[key] for key in own if key != "prompts"} for name, own in told.items()}
    files.write_json(study.path / FILE, {"given": made, "differs": differs})


def _refuse(
    study: Study, where: str, pair: tuple[str, str], found: list[dict[str, Any]], declared: tuple[str, ...]
) -> None:
    """Refuse what both files tell otherwise, unless it is declared.

    Traces a question are held to be as many elsewhere (`pipeline.imported`).
    """
    odd = [
        one
        for one in found
        if one["what"] not in (*declared, "samples") and _SILENT not in (one["before"], one["after"])
    ]
    if not odd:
        return
    first, second = (f"'{arm}' ({given_file(str(study.settings.arms[arm].traces)).name})" for arm in pair)
    told = "; ".join(
        f"{one['what']}: {one['before'][:_SHOWN]}"
        + ("" if one["before"] == one["after"] else f" and {one['after'][:_SHOWN]}")
        for one in odd
    )
    names = ", ".join(dict.fromkeys((*declared, *(one["what"] for one in odd))))
    raise DataError(
        f"{where}: {first} and {second} were not asked alike: {told}. Compare answers that were asked alike, "
        f"or declare it, and the report says so: --set '{where}.differs=[{names}]'"
    )


def _told(path: Path, qids: list[str]) -> dict[str, Any]:
    """What a file says of its traces of the study's questions."""
    found, known = read_log(path), set(qids)
    rows = [row for _, row in given_rows(path, qids) if str(row["qid"]) in known]
    counts = Counter(str(row["qid"]) for row in rows)
    each = [counts.get(qid, 0) for qid in qids]
    return {
        "file": path.name,
        "written_by": "" if found is None else found.tool,
        "model": "" if found is None else found.model,
        "n_traces": len(rows),
        "n_questions": len(counts),
        "samples": [min(each, default=0), max(each, default=0)],
        "stated": {name: _values(rows, name) for name in STATED},
        "prompts": {str(row["qid"]): row["prompt"] for row in rows if isinstance(row.get("prompt"), str)},
    }


def _values(rows: list[dict[str, Any]], name: str) -> list[Any]:
    """The different values of a column, as they come first; none where it says nothing."""
    found = (row[name] for row in rows if not absent(row.get(name)))
    return list(dict.fromkeys(one if isinstance(one, int | float | str) else str(one) for one in found))


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """In what two arms differ, a row each; what neither says is no difference."""
    pairs = [("samples", before["samples"], after["samples"])]
    pairs += [(name, before["stated"][name], after["stated"][name]) for name in STATED]
    found = [
        {"what": name, "before": _shown(a), "after": _shown(b)} for name, a, b in pairs if a != b and (a or b)
    ]
    both = before["prompts"].keys() & after["prompts"].keys()
    other = sorted(qid for qid in both if before["prompts"][qid] != after["prompts"][qid])
    if other:
        words = f"other words in {len(other)} of {len(both)} questions, first '{other[0]}'"
        found.append({"what": "prompt", "before": words, "after": words})
    return found


def _shown(values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values)) or _SILENT
