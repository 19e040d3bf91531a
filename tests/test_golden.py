"""The analyses of a frozen study say what they said: `scripts/golden.py` froze it.

What was frozen are results of version 1; their keys are read under the names that
docs/study-folder.md gives them now. What has been changed on purpose since stands in
tests/golden/changed.json leaf by leaf, and the words of today in tests/golden/*.txt.
"""

import json
import re
import runpy
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest

from mechcot.pipeline import run as pipeline

GOLDEN = Path(__file__).parent / "golden"
TEXTS = ("report.txt", "terminal.txt", "sentences.txt")
SCRIPT = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "golden.py"))
SAID = SCRIPT["said"]
NUMBER = re.compile(r"[-+−]?\d[\d,]*\.?\d*")
CLOSE = 1e-6
"""Two processors differ in the last bits of a sum; a changed method does not stay within this."""
FITTED = 2e-3
"""The same where a solver ends by a tolerance, and ranks are counted after it."""
ROUNDING = ".beyond.residualised"
"""Of a layer that the confounds explain, rounding is left; another numpy rounds otherwise."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the analyses of this code make of the frozen tables and readings."""
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / "study.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return SAID(pipeline.run(folder / "study", progress=False))


def frozen():
    with tarfile.open(GOLDEN / "expected.tar.xz") as archive:
        return {entry.name: archive.extractfile(entry).read().decode() for entry in archive}


@pytest.fixture(scope="module")
def expected():
    return frozen() | {name: (GOLDEN / name).read_text(encoding="utf-8") for name in TEXTS}


def leaves(value, path=""):
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, f"{path}.{key}")
    else:
        yield path, value


DOC = Path(__file__).parent.parent / "docs" / "study-folder.md"


def renamed():
    """(old, new) keys of the table "Results of version 1", files among them."""
    rows = DOC.read_text().partition("## Results of version 1")[2].partition("\nSince then")[0]
    keys, files = [], {}
    for line in [line for line in rows.splitlines() if line.startswith("| ") and "`" in line]:
        file, old, new = (cell.strip() for cell in line.strip("|").split("|"))
        if "whole file" in old:
            files[f"results/{file.strip('`')}"] = f"results/{new.strip('`')}"
        elif "as `split`" not in new:
            keys.append((old.split("`")[1], new.strip("`"), "a number" in old))
    return files, keys + [
        (old.replace("split.", "split_by_stratum."), new.replace("split", "split_by_stratum"), n)
        for old, new, n in keys
        if old.startswith("split.")
    ]


FILES, KEYS = renamed()


def now(path):
    """A path of version 1 under its name of today."""
    for old, new, ends in KEYS:
        start = path.find(f".{old}")
        rest = path[start + 1 + len(old) :]
        if start >= 0 and (not rest if ends else rest[:1] in ("", ".")):
            return f"{path[:start]}.{new}{rest}"
    return path


def differences(got, want, close, key=now, purpose=None):
    got, want = dict(leaves(got)), {key(path): value for path, value in leaves(want)} | (purpose or {})
    for path, b in want.items():  # a result may say more than it did
        a = got.get(path, "nothing")
        same = a == b
        if isinstance(a, int | float) and isinstance(b, int | float):
            same = a == pytest.approx(b, rel=close, abs=close)
        if not same and ROUNDING not in path and ".layout.template" not in path:
            yield path, a, b


ADDED = {"results/coupling.json", "results/hedge_words.json"}
"""Results that came after the study was frozen: their own tests hold them, the texts what they say."""


def test_the_files_are_the_same(found, expected):
    assert found.keys() - ADDED == {FILES.get(name, name) for name in expected}
    assert found.keys() >= ADDED


def changes(found, name, purpose=None):
    """(path, value of today) of the leaves of a frozen file that are no longer what they were."""
    if not name.endswith(".json"):
        return
    close = FITTED if name in ("results/probe.json", "summary.json", "figures.json") else CLOSE
    key = now if name.startswith("results/") else str
    got = json.loads(found[FILES.get(name, name)])
    for path, is_now, _ in differences(got, json.loads(frozen()[name]), close, key, purpose):
        yield path, is_now


def test_no_leaf_of_a_result_has_changed_but_on_purpose(found):
    purpose = json.loads((GOLDEN / "changed.json").read_text())
    for name in frozen():
        changed = list(changes(found, name, purpose.get(name)))
        assert not changed, f"{name}: {changed[:5]}"


def test_a_result_with_other_keys_has_a_higher_version(found):
    """Else studies made before would keep a result that the page and the summary cannot read."""
    told = json.loads((GOLDEN / "versions.json").read_text())
    assert SCRIPT["versions_of"](found) == told, "run scripts/golden.py --changed"


def words(text):
    """The text, and the words of its last table: the files of the study, sorted by name."""
    told, _, files = " ".join(text.split()).partition(" Digests (")
    return told, files.split()


@pytest.mark.parametrize("name", TEXTS)
def test_no_word_has_changed_and_numbers_in_their_last_digit_at_most(name, found, expected):
    (is_now, listed), (was, before) = (words(text[name]) for text in (found, expected))
    assert NUMBER.split(is_now) == NUMBER.split(was)
    assert sorted(listed) == sorted(FILES.get(file, file) for file in before)
    for a, b in zip(NUMBER.findall(is_now), NUMBER.findall(was), strict=True):
        digits = len(b.partition(".")[2])
        values = [float(x.replace(",", "").replace("−", "-")) for x in (a, b)]
        assert abs(values[0] - values[1]) <= 1.01 * 10.0**-digits, (name, a, b)


def test_a_changed_number_is_seen(found, expected):
    was = json.loads(expected["results/audit.json"])
    purpose = json.loads((GOLDEN / "changed.json").read_text())["results/audit.json"]
    numbers = [path for path, value in leaves(was) if isinstance(value, float)]
    assert len(numbers) > 100
    is_now = json.loads(re.sub(r"(\d\.\d{4})\d", r"\g<1>9", found["results/audit.json"], count=1))
    assert len(list(differences(is_now, was, CLOSE, purpose=purpose))) == 1
    assert all(a != b for a, b in pairwise(sorted(set(numbers))))
