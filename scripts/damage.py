"""Damage every file of a finished study in five ways: is it refused, repaired, or used?

    python scripts/damage.py                    # every file; docs/study-damage.json
    python scripts/damage.py --only results     # files whose name holds a word, once more
    python scripts/damage.py --write            # and put the table into docs/study-folder.md

The study is a small organism, with a probe, judge controls, a filled sheet and filled forms beside it. One
file at a time

- has a bit flipped in its middle (its time of modification is set back), is cut to its half, is swapped
  with another file of its kind, is deleted, or is replaced by that of an earlier run (another seed);
- is then opened (`mechcot show` for results, `Study` for tables and tensors, `load_card` for a probe), looked
  at by `mechcot verify`, and met by `mechcot run`.

"used" is a command that ends well though the file is not what was written, unless what it says is what it
said before, and a run that ends well while a file of the study differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forked import NEW, ROOT, Ended, call, command, differing, file_digests, write_block
from mechcot.analyses.handed_out.key import open_key
from mechcot.analyses.likert.draw import FORMAT
from mechcot.analyses.likert.page import COLUMNS
from mechcot.analyses.likert.scales import STATEMENTS
from mechcot.core import files

OUT = ROOT / "docs" / "study-damage.json"
WAYS = ("flip", "truncate", "swap", "delete", "older")
PROBE = "{author: base, reader: distilled, layers: [1], rules: [end], null_draws: 0, untrained: false}"
LARGER = [
    word
    for setting in (
        "analysis.bootstrap=500",
        "analysis.permutations=4",
        "traces={forced: 6, inside: 12}",
    )
    for word in ("--set", setting)
]
"""What the smallest study has too little of for a probe, and traces that rules check."""

Json = dict[str, Any]

KINDS = {
    r"study\.yaml": "settings",
    r"manifest\.json": "manifest",
    r"questions\.parquet|facts\.parquet": "questions and facts",
    r"prompts\.json": "prompts as models are given them",
    r"models/.*": "checkpoints",
    r"examples/.*": "examples",
    r"arms/.*/verdicts/.*": "verdicts",
    r"arms/.*/facts\.parquet": "what an arm knows of the facts",
    r"arms/.*/greedy/.*": "greedy traces, their steps and verdicts",
    r"arms/.*": "traces, steps, claims",
    r"readings/.*/activations/.*": "activations",
    r"readings/.*": "tables of readings",
    r"handover/.*": "next steps behind prefixes",
    r"weights/.*": "models made of two checkpoints",
    r"causes/.*": "changed traces, and what follows them",
    r"localisation/.*": "states put into the other checkpoint",
    r"hedge-pairs/.*": "claims with a hedge and without",
    r"steering/.*": "what was written under an edit",
    r"results/(sheet|likert)\.json": "what people said",
    r"results/.*": "results",
    r"summary\.json|report\.html": "summary and report",
    r"probes/.*": "a probe of `mechcot probe`",
    r"judge_controls/.*": "judge controls",
    r"sheet/.*": "a sheet and its key",
    r"likert/.*": "forms of ratings and their key",
    r"forced-traces/.*": "answers behind other traces",
    r"sub-steps/.*": "sub-steps read inside",
    r"work/.*": "`work/`",
}


def kind_of(name: str) -> str:
    """What a file of a study is."""
    return next(kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, name))


def make(study: Path, seed: int) -> None:
    """A finished study with all that may lie beside it; what is there is not made again."""
    _well(command("run", study, *NEW, *LARGER, "--seed", str(seed), "--quiet"))
    spec = study.parent / f"{study.name}.yaml"
    spec.write_text(PROBE)
    if not (study / "probes").exists():
        _well(command("probe", study, "--spec", spec, "--quiet"))
    if not (study / "judge_controls").exists():
        _well(command("judge-controls", study, "--quiet"))
    if not (study / "results" / "sheet.json").exists():
        _well(command("sheet", "draw", study, "--steps", "20", "--repeat", "4"))
        table = pd.read_csv(
            study / "sheet" / "sheet.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
        table["verdict"] = np.resize(["correct", "erroneous", "cannot tell"], len(table))
        table.to_csv(study.parent / "filled.csv", index=False)
        _well(command("sheet", "import", study, study.parent / "filled.csv"))
    if not (study / "results" / "likert.json").exists():
        _well(command("likert", "draw", study, "--participants", "4", "--questions", "4", "--each", "3"))
        _rate(study).to_csv(study.parent / "rated.csv", index=False)
        _well(command("likert", "import", study, study.parent / "rated.csv"))
    _well(command("run", study, "--quiet"))


def _rate(study: Path) -> pd.DataFrame:
    """What participants export: answers in turn, every attention check answered rightly."""
    key = json.loads((study / "likert" / "key.json").read_text())
    _, form = open_key(study / "likert" / "key.json", "form", FORMAT)
    pages = [(one, item) for one in key["participants"] for item in one["items"]]
    answers = np.resize(np.arange(1, 6), (len(pages), len(STATEMENTS))).astype(str)
    rows = [
        {"form": form, "participant": one["participant"], "item": item, "consent": "yes"}
        | dict(zip(STATEMENTS, own, strict=True))
        | {"check": one["checks"].get(item, "")}
        for (one, item), own in zip(pages, answers, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _well(ended: Ended) -> None:
    if ended.code:
        sys.exit(ended.said)


# --- damage ---------------------------------------------------------------------------------------


def damage(study: Path, name: str, way: str, older: Path, kept: Path) -> Callable[[], None] | None:
    """Damage a file; a function that puts all back as it was, None where it cannot be damaged like this."""
    path, was = study / name, (study / name).stat()
    os.rename(path, kept)
    touched = [(kept, path)]
    if way == "flip":
        data = bytearray(kept.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    elif way == "truncate":
        path.write_bytes(kept.read_bytes()[: was.st_size // 2])
    elif way == "older":
        if (older / name).exists() and files.digest(older / name) != files.digest(kept):
            shutil.copy2(older / name, path)
    elif way == "swap":
        other = sibling(study, name, kept)
        if other is not None:
            aside = kept.with_suffix(".other")
            os.rename(other, aside)
            shutil.copy2(aside, path)
            shutil.copy2(kept, other)
            touched.append((aside, other))

    def back() -> None:
        for source, place in touched:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, place)

    if way != "delete" and not path.exists():
        back()
        return None
    return back


def sibling(study: Path, name: str, kept: Path) -> Path | None:
    """Another file of the same kind and another content, of the same name where there is one."""
    mine, path = files.digest(kept), study / name
    others = [
        p
        for p in files.files_in(study)
        if p.suffix == path.suffix and kind_of(_name(study, p)) == kind_of(name)
    ]
    others.sort(key=lambda p: (p.name != path.name, p))
    return next((p for p in others if files.digest(p) != mine), None)


def _name(study: Path, path: Path) -> str:
    return path.relative_to(study).as_posix()


# --- what is made of it ---------------------------------------------------------------------------


def opened(study: str, name: str) -> None:
    """Open a file of a study as a reader does, and print what it holds."""
    from mechcot import Study
    from mechcot.analyses import registry
    from mechcot.analyses.likert import found as rated
    from mechcot.analyses.likert import read_ratings
    from mechcot.analyses.panel.people import people_of
    from mechcot.probe import load_card
    from mechcot.steps.of_study import whole_checkpoint

    found, parts = Study.open(study), Path(name).with_suffix("").parts
    if parts[0] == "questions":
        said: Any = found.questions()
    elif parts[0] == "facts":
        said = found.facts()
    elif parts[0] == "arms" and parts[2] == "facts":
        said = found.known(parts[1])
    elif parts[0] == "arms" and parts[2] == "greedy":
        said = found.greedy_table(parts[1], parts[3])
    elif parts[0] in (
        "handover",
        "weights",
        "causes",
        "localisation",
        "hedge-pairs",
        "steering",
        "forced-traces",
        "sub-steps",
    ) and name.endswith(".parquet"):
        said = pd.read_parquet(found.checked(found.path / name))
    elif parts[0] == "arms" and parts[2] == "verdicts":
        said = found.verdicts(parts[1], parts[3])
    elif parts[0] == "arms":
        said = getattr(found, parts[2])(parts[1])
    elif parts[0] == "readings" and parts[3] == "activations":
        store = found.activations(parts[1], parts[2])
        said = [store.layer(site, layer).sum() for site, layer in store.places]
    elif parts[0] == "readings" and parts[3] != "reading":
        said = getattr(found, parts[3])(parts[1], parts[2])
    elif parts[:2] == ("results", "sheet"):
        said = people_of(found).sheet
    elif parts[:2] == ("results", "likert"):
        said = rated(found)
    elif parts[0] == "results":
        said = found.result(parts[1])
        assert parts[1] in {analysis.name for analysis in registry.ANALYSES}
    elif parts[0] == "summary":
        said = found.summary()
    elif parts[0] == "probes" and parts[-1] in ("card", "probe"):
        card = load_card(Path(study, name).parent)
        said = (card.coef.tolist(), card.mean.tolist(), card.scale.tolist(), card.about)
    elif parts[0] == "judge_controls" and parts[-1] != "report":
        from mechcot.analyses.judge_controls.run import judge_controls_of
        from mechcot.analyses.judge_controls.study_report import results_of

        said = (judge_controls_of(found, parts[1]).to_json(), results_of(found))
    elif parts[0] == "sheet":
        from mechcot.analyses.sheet import read_sheet

        said = read_sheet(
            found, Path(study).parent / "filled.csv", Path(study, "sheet", "key.json")
        ).to_json()
    elif parts[0] == "likert" and parts[-1] != "report":
        filled = [Path(study).parent / "rated.csv"]
        said = read_ratings(found, filled, Path(study, "likert", "key.json")).to_json()
    elif parts[0] == "models":
        said = str(whole_checkpoint(found, parts[1]))
    else:
        said = [analysis.name for analysis in registry.ANALYSES]
    with pd.option_context(
        "display.max_rows", None, "display.max_columns", None, "display.max_colwidth", None
    ):
        print(
            said.to_json()
            if isinstance(said, pd.DataFrame)
            else json.dumps(said, sort_keys=True, default=str)
        )


def opening(study: Path, name: str) -> Ended:
    """How opening a file ends: `mechcot show` for results, else `opened`."""
    stem = Path(name).stem
    if name.startswith("results/") and stem not in ("sheet", "likert"):
        return command("show", study, stem, "--json")
    return call(opened, str(study), name)


def outcome(study: Path, name: str, wanted: dict[str, str], before: Ended) -> Json:
    """What opening, `verify` and `run` make of a damaged file."""
    found: Json = {}
    shown = opening(study, name)
    same = (shown.code, shown.said) == (before.code, before.said)
    other = "USED" if (study / name).exists() else "left out"
    found["open"] = "refused" if shown.code else "as before" if same else other
    found["open_said"] = _line(shown, study)
    checked = command("verify", study)
    told = name in checked.said or str(Path(name).parent) in checked.said
    found["verify"] = "names it" if checked.code and told else "fails" if checked.code else "passes"
    ran = command("run", study, "--quiet")
    if ran.code:
        clean = "Traceback" not in ran.said and ran.line
        found["run"] = "refused" if clean else "CRASH"
        found["run_said"] = _line(ran, study) if clean else ran.said[-2000:]
    else:
        other = differing(file_digests(study), wanted)
        gone = not (study / name).exists()
        found["run"] = (
            "repaired" if not other
            else "passed over" if other == [name]
            else "left out" if gone
            else f"USED: {other}"
        )  # fmt: skip
    return found


def _line(ended: Ended, study: Path) -> str:
    if ended.code == 0:
        return ""
    said = ended.line or ended.said.strip().splitlines()[-1]
    return said.replace(str(study), "STUDY")


def measured(folder: Path, only: list[str], out: Path) -> Json:
    """Damage file after file, one of each kind first; what `out` holds already is left unless asked for."""
    began = time.monotonic()
    study, older = folder / "study", folder / "older"
    make(study, 3)
    _well(command("run", older, *NEW, *LARGER, "--seed", "4", "--quiet"))
    wanted = file_digests(study)
    found: Json = json.loads(out.read_text()) if out.exists() else {"minutes": 0.0, "files": {}}
    found["n_files"] = len(wanted) + 2
    for name in _in_turn([*wanted, "manifest.json", "work/digests.json"]):
        if any(word in name for word in only) if only else name not in found["files"]:
            found["files"][name] = row = _damaged(study, older, name, wanted)
            found["minutes"] = round(found["minutes"] + (time.monotonic() - began) / 60, 2)
            began = time.monotonic()
            out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            said = {way: f"{one['open']}, {one['verify']}, {one['run']}" for way, one in row.items()}
            print(f"{found['minutes']} min, {name}: {said}", flush=True)
    return found


def _in_turn(names: list[str]) -> list[str]:
    """The first of every kind, then the second of every kind, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for name in sorted(names):
        turns.append((seen[kind_of(name)], name))
        seen[kind_of(name)] += 1
    return [name for _, name in sorted(turns)]


def _damaged(study: Path, older: Path, name: str, wanted: dict[str, str]) -> Json:
    """What comes of one file, damaged in every way."""
    before, row = opening(study, name), {}
    for way in WAYS:
        back = damage(study, name, way, older, study.parent / "kept")
        if back is None:
            continue
        row[way] = outcome(study, name, wanted, before)
        if row[way]["run"] != "repaired":
            back()
        if row[way]["run"] == "left out":  # and others were made without it
            _well(command("run", study, "--quiet"))
        left = differing(file_digests(study), wanted)
        if left:
            sys.exit(f"{name}, {way}: cannot go on, these files are not as they were: {left}")
    return row


def table(found: Json) -> str:
    """The outcomes in Markdown."""
    kinds: dict[str, list[Json]] = {}
    for name, row in found["files"].items():
        kinds.setdefault(kind_of(name), []).append(row)
    lines = [
        f"| files | how many | {' | '.join(WAYS)} | opened | `verify` |",
        f"|{'---|' * (len(WAYS) + 4)}",
    ]
    for kind in dict.fromkeys(KINDS.values()):
        rows = kinds.get(kind, [])
        if rows:
            cells = [_counted([row[way]["run"] for row in rows if way in row]) for way in WAYS]
            every = [one for row in rows for one in row.values()]
            cells += [_counted([one["open"] for one in every]), _counted([one["verify"] for one in every])]
            lines.append(f"| {kind} | {len(rows)} | {' | '.join(cells)} |")
    every = [one for row in found["files"].values() for one in row.values()]
    used = sum("USED" in one["open"] or "USED" in one["run"] for one in every)
    lines += [
        "",
        f"{len(found['files'])} of {found['n_files']} files, {len(every)} damages; used: {used}. "
        f"`python scripts/damage.py --write`: {found['minutes']:.0f} minutes; every message in "
        "[study-damage.json](study-damage.json).",
    ]
    return "\n".join(lines) + "\n"


def _counted(said: list[str]) -> str:
    counts = Counter(said)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{one} {n}" for one, n in counts.most_common()) or "-"


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="files whose name holds one")
    parser.add_argument("--studies", type=Path, help="a folder that keeps the two studies for the next time")
    parser.add_argument("--out", type=Path, default=OUT, help="where the outcomes go (JSON)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/study-folder.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measured(given.studies or Path(temporary), given.only, given.out)
    print(table(found))
    if given.write:
        write_block("damage.py", table(found))


if __name__ == "__main__":
    main()
