"""Every number of the headlines and of `mechcot show`, derived again from the tables of the frozen study.

The sentences are those that `scripts/golden.py` wrote and `tests/test_golden.py` holds to the code of today.
Numbers are compared in the order in which they stand, at the digits that are printed.
"""

import re
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hedge_rederived as hedge
from headline_numbers import (
    Drawn,
    Known,
    answers_of,
    both_right,
    by_answers,
    calibration,
    claims,
    commitment,
    control_errors,
    control_votes,
    controls,
    coupling,
    cross,
    curves,
    facts_line,
    facts_sentence,
    gains,
    headline,
    hedges,
    hedges_errors,
    joined,
    kinds,
    knowledge,
    named,
    named_votes,
    points,
    rates,
    reached,
    reached_line,
    scales,
    segments,
    settled_apart,
    split,
    tipping,
    votes_and_change,
    ways,
    whole_errors,
)
from mechcot.pipeline.facts import fact_stages
from mechcot.study.folder import Study

GOLDEN = Path(__file__).parent / "golden"
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d(?:[\d,]*\d)?(?:\.\d+)?")
NOT_STORED = None
"""A number that no table of a study carries; `test_golden.py` alone holds it. See `ONLY_FROZEN`."""
ONLY_FROZEN = {
    "probe-distilled": "scores out of fold, folds and redrawn labels are not stored",
    "probe-base": "scores out of fold, folds and redrawn labels are not stored",
    "layers": "the layers that inner folds chose are not stored",
    "probe, base": "scores out of fold and folds are not stored",
    "probe, distilled": "scores out of fold and folds are not stored",
    "hedges-errors": "verdicts dealt out anew are drawn",
    "hedge, base's hedges": "the end of the random directions is drawn",
    "hedge, distilled's asserted errors": "the end of the random directions is drawn",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headlines")
    with tarfile.open(GOLDEN / "study.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    study = Study.open(folder / "study")
    for stage in fact_stages(study, False):  # what was frozen was not asked yet
        stage.run(folder / "work" / stage.name)
    return Known(study)


def nothing(s):
    return []


SENTENCES = {
    "claims": claims,
    "headline": headline,
    "named": named,
    "planned": nothing,
    "by_answers": by_answers,
    "kinds": kinds,
    "split": split,
    "known": facts_sentence,
    "reached": reached,
    "knowledge": knowledge,
    "gains": gains,
    "joined": joined,
    "coupling": coupling,
    "calibration": calibration,
    "controls": controls,
    "ways": ways,
    "tipping": tipping,
    "judges": nothing,
    "controlled": nothing,
    "people": nothing,
    "scales": scales,
    "segments": segments,
    "curves": curves,
    "settled-apart": settled_apart,
    "cross": cross,
    "hedges": hedges,
    "hedges-errors": hedges_errors,
    "hedge": hedge.hedge,
    "projection": hedge.projection,
    "probe-distilled": lambda s: [NOT_STORED] * 5,
    "probe-base": lambda s: [NOT_STORED] * 5,
    "layers": lambda s: [NOT_STORED] * 2,
}


def per_trace(column):
    return lambda s: rates(s.claims(column))


def probe(name):
    def derive(s):
        read = s.study.activations(name).frame()[["qid", "cid", "sid"]]
        arm = next(arm for arm in s.arms if arm.name == name)
        rows = arm.judged.merge(read, on=["qid", "cid", "sid"])
        stored = [NOT_STORED] * (6 if name == "base" else 9)
        return [*stored, len(rows), rows.qid.nunique()]

    return derive


LINES = {
    "": lambda s: [len(s.gold), 4, 95],
    "right claims a trace": per_trace(0),
    "wrong claims a trace": per_trace(1),
    "traces with a wrong claim": lambda s: points(rates(s.claims(2))),
    "right answers, by vote": votes_and_change,
    "where both name an option": lambda s: [named_votes(s)[0], *named_votes(s)[1]],
    "right answers, single traces": lambda s: single(s),
    "calibration error (ECE)": lambda s: [*whole_errors(s), np.diff(whole_errors(s))[0]],
    "wrong steps": lambda s: points(rates(s.errors())),
    "where both are right": lambda s: [both_right(s, s.votes())[0], *both_right(s, s.votes())[1][2:]],
    "the same among named options": lambda s: [
        both_right(s, s.named[:, :, 0])[0],
        *both_right(s, s.named[:, :, 0])[1][2:],
    ],
    "control chain: right answers": lambda s: control_votes(s, "chain"),
    "control chain: wrong steps": lambda s: control_errors(s, "chain"),
    "control terse: right answers": lambda s: control_votes(s, "terse"),
    "control terse: wrong steps": lambda s: control_errors(s, "terse"),
    "plan": nothing,
    "commitment, base": commitment("base"),
    "commitment, distilled": commitment("distilled"),
    "hedge, base's hedges": hedge.line_before,
    "hedge, base's hedges, beside frequency alone": hedge.beside_before,
    "hedge, distilled's asserted errors": hedge.line_after,
    "hedge, distilled's asserted errors, beside frequency alone": hedge.beside_after,
    "probe, base": probe("base"),
    "probe, distilled": probe("distilled"),
    "knowledge, asked alone": facts_line("bare"),
    "knowledge, in a trace": facts_line("placed"),
    "known but not reached in a trace": reached_line,
    "knowledge, selected on error": lambda s: knowledge(s)[1:],
}


def single(s):
    before, after = ((answers_of(arm) == s.gold[:, None]).mean() for arm in s.arms)
    return points([before, after, after - before])


def sentences():
    lines = (GOLDEN / "sentences.txt").read_text(encoding="utf-8").splitlines()
    return {part: sentence for _, part, sentence in (line.split("\t") for line in lines)}


def lines():
    table, _, rest = (GOLDEN / "terminal.txt").read_text(encoding="utf-8").partition("\n\n")
    head, *rows = table.splitlines()
    told = {re.split(r"\s{2,}| \(\d", row.strip())[0]: row for row in rows}
    return {"": head} | told | {re.split(r": | (?=\d)", row)[0]: row for row in rest.splitlines()}


def test_no_sentence_and_no_line_escapes():
    told = (GOLDEN / "sentences.txt").read_text(encoding="utf-8").splitlines()
    assert len(told) == len(sentences())
    assert list(sentences()) == list(SENTENCES)
    assert list(lines()) == list(LINES)


TOLD = {"report": sentences, "show": lines}
DERIVED = {"report": SENTENCES, "show": LINES}
EACH = [(where, name) for where, own in DERIVED.items() for name in own]


@cache
def derived(study, where, name):
    return DERIVED[where][name](study)


@pytest.mark.parametrize(("where", "name"), EACH)
def test_the_numbers_are_those_of_the_tables(where, name, study):
    text, found = TOLD[where]()[name], derived(study, where, name)
    said = NUMBER.findall(text)
    assert len(said) == len(found), (text, found)
    for word, value in zip(said, found, strict=True):
        if value is NOT_STORED:
            continue
        plain = word.replace(",", "").replace("−", "-")
        apart = 0.5001 * 10.0 ** -len(plain.partition(".")[2])
        value, apart = (value.value, value.apart + apart) if isinstance(value, Drawn) else (value, apart)
        assert abs(float(plain) - value) <= apart, (word, value, text)


def test_what_is_only_frozen_is_named(study):
    assert {name for where, name in EACH if NOT_STORED in derived(study, where, name)} == set(ONLY_FROZEN)
