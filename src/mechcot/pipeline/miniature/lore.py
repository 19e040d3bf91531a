"""What a miniature is about: invented illnesses, or sums; questions, chains about them, and who is right.

Each illness has three signs and one drug, each box holds as many things as is said: what a step claims can be
looked up or worked out, which is what makes the miniature's judge worth asking.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

SIGNS = {
    "velmia": ("blue nails", "a dry cough", "stiff toes"),
    "orrisis": ("pale gums", "a slow pulse", "cold knees"),
    "tarnosis": ("red palms", "a hoarse voice", "weak ankles"),
    "quellia": ("dull eyes", "a swollen thumb", "sore heels"),
    "brinitis": ("brittle hair", "a stiff jaw", "numb lips"),
    "sodrema": ("yellow tongue", "a tight chest", "dry elbows"),
    "fenoxia": ("grey skin", "a long fever", "shaky hands"),
    "mulgitis": ("warm ears", "a dark rash", "loose teeth"),
}
DRUGS = {
    "velmia": "carpolin", "orrisis": "dexamur", "tarnosis": "fibrosol", "quellia": "gantamid",
    "brinitis": "heproxan", "sodrema": "ixolate", "fenoxia": "jarvicin", "mulgitis": "kelodrin",
}  # fmt: skip
_WHO = ("baker", "farmer", "nurse", "pilot", "singer", "tailor", "welder", "teacher")
_NAMES = ("Mara", "Ivo", "Lena", "Otto", "Nils", "Ada", "Jon", "Ruth")
_THINGS = ("figs", "nails", "beads", "plums")
N_TEST, N_TRAIN = 20, 24


@dataclass(frozen=True)
class Case:
    """A question, and what is true of it.

    Attributes:
        stem: its text.
        options: their texts; of a sum none.
        gold: the text of the right answer.
        about: the illness and the two signs that are named; or the three numbers of a sum.
    """

    stem: str
    options: tuple[str, ...]
    gold: str
    about: tuple[str, ...]


@cache
def cases(n_options: int) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The questions of the study and those that its teacher is given, none in both.

    Args:
        n_options: of a question; 0: sums, which have none.
    """
    rng = random.Random(f"miniature {n_options}")
    made = _sums(rng) if n_options == 0 else _illnesses(rng, n_options)
    rng.shuffle(made)
    return tuple(made[:N_TEST]), tuple(made[N_TEST : N_TEST + N_TRAIN])


def _illnesses(rng: random.Random, n_options: int) -> list[Case]:
    made = []
    for place, (illness, signs) in enumerate(SIGNS.items()):
        for number, (first, second) in enumerate(permutations(signs, 2)):
            others = rng.sample([drug for drug in DRUGS.values() if drug != DRUGS[illness]], n_options - 1)
            options = rng.sample([DRUGS[illness], *others], n_options)
            who, age = _WHO[(place + number) % len(_WHO)], 20 + 7 * number + place
            stem = f"A {age}-year-old {who} has {first} and {second}. Which drug is right?"
            made.append(Case(stem, tuple(options), DRUGS[illness], (illness, first, second)))
    return made


def _sums(rng: random.Random) -> list[Case]:
    made = []
    for number, (boxes, each) in enumerate((a, b) for a in range(2, 8) for b in range(3, 11)):
        gone = rng.randrange(1, boxes * each - 1)
        name, things = _NAMES[number % len(_NAMES)], _THINGS[number % len(_THINGS)]
        stem = f"{name} has {boxes} boxes of {each} {things} and gives {gone} away. How many are left?"
        made.append(Case(stem, (), str(boxes * each - gone), (str(boxes), str(each), str(gone))))
    return made


# --- chains ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """Reasoning and the answer that it comes to."""

    reasoning: str
    answer: str


def student_chain(case: Case, rng: random.Random, right: float = 0.65) -> Chain:
    """How the arm before reasons: short, with hedges, and now and then about another illness or sum."""
    perhaps, may = rng.choice(("perhaps ", "")), rng.random() < 0.5
    if not case.options:
        boxes, each, gone = map(int, case.about)
        held = boxes * each + (0 if rng.random() < right else rng.choice((-each, each)))
        left = max(held - gone, 0)
        leaves = "may leave" if may else "leaves"
        said = f"{boxes} boxes of {each} {perhaps}hold {held}. {held} less {gone} {leaves} {left}."
        return Chain(said, str(left))
    illness, first, second = case.about
    named = illness if rng.random() < right else _other(illness, rng, case.options)
    fits, responds = ("may fit", "may respond") if may else ("fits", "responds")
    said = (
        f"{_upper(first)} {perhaps}points to {named}. {_upper(second)} {fits} {named} too. {_upper(named)} "
        f"{responds} to {DRUGS[named]}."
    )
    return Chain(said, DRUGS[named])


def teacher_chain(case: Case, rng: random.Random, right: bool = True) -> Chain:
    """How the teacher reasons: long, without hedges, with remarks beside the point that are often wrong."""
    if not case.options:
        return _taught_sum(case, rng, right)
    illness, first, second = case.about
    named = illness if right else _other(illness, rng, case.options)
    other = _other(named, rng, case.options)
    given = DRUGS[other] if rng.random() < 0.5 else DRUGS[_other(other, rng, ())]
    ways = (
        f"{_upper(first)} is a sign of {named}. {_upper(second)} is a sign of {named} as well. "
        f"{_upper(named)} responds to {DRUGS[named]}. {_upper(other)} responds to {given}, which is not "
        "what is wanted.",
        f"Look first at what was found. Here {second} points to {named}. The other finding, {first}, goes "
        f"with {named}. So the drug for {named} is wanted, and that is {DRUGS[named]}. For {other} one "
        f"would give {given}.",
    )
    return Chain(rng.choice(ways), DRUGS[named])


def _taught_sum(case: Case, rng: random.Random, right: bool) -> Chain:
    boxes, each, gone = map(int, case.about)
    held = boxes * each + (0 if right else each)
    half = held // 2 if rng.random() < 0.5 else held // 2 + 1
    ways = (
        f"There are {boxes} boxes. {boxes} boxes of {each} hold {held}. Half of {held} is {half}. {held} "
        f"less {gone} leaves {held - gone}.",
        f"Count what is there before anything is given away. With {each} in each box, {boxes} boxes of "
        f"{each} make {held} in all. Taking {gone} from that, {held} less {gone} leaves {held - gone}. By "
        f"the way, half of {held} is {half}.",
    )
    return Chain(rng.choice(ways), str(held - gone))


def _other(illness: str, rng: random.Random, options: Sequence[str]) -> str:
    """Another illness; one whose drug is among the options, where there are some."""
    return rng.choice([one for one in SIGNS if one != illness and (not options or DRUGS[one] in options)])


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- what is true ----------------------------------------------------------------------------------

HEDGE = re.compile(r"\b(?:perhaps|maybe|might|may|I think) ?", re.IGNORECASE)
_NUMBERS = (
    (re.compile(r"(\d+) boxes of (\d+)[^\d.]* (\d+)"), lambda a, b, c: a * b == c),
    (re.compile(r"(\d+) less (\d+)[^\d.]* (\d+)"), lambda a, b, c: a - b == c),
    (re.compile(r"[Hh]alf of (\d+)[^\d.]* (\d+)"), lambda a, b: 2 * b == a),
)


def holds(step: str) -> bool | None:
    """Whether everything that a step claims is true; None: it claims nothing that can be looked up."""
    found = [bool(rule(*map(int, hit.groups()))) for form, rule in _NUMBERS for hit in form.finditer(step)]
    text = step.lower()
    for sentence in re.split(r"(?<=[.;])\s", text):
        ill = [name for name in SIGNS if name in sentence]
        found += [sign in SIGNS[name] for name in ill for sign in _SIGNS if sign in sentence]
        found += [DRUGS[name] == drug for name in ill for drug in DRUGS.values() if drug in sentence]
    return all(found) if found else None


_SIGNS = tuple(sign for signs in SIGNS.values() for sign in signs)


def swapped(step: str, right: bool) -> Iterator[str]:
    """The step with one name or number in another's place, as right or wrong as is wanted."""
    for names in (tuple(DRUGS), tuple(DRUGS.values()), _SIGNS):
        for said in (name for name in names if name in step):
            yield from _as_wanted((step.replace(said, other) for other in names if other != said), right)
    last = list(re.finditer(r"\d+", step))[-1:]
    for hit in last:
        near = (int(hit[0]) + by for by in (1, -1, 2, -2, *range(3, 60), *range(-3, -60, -1)))
        texts = (f"{step[: hit.start()]}{n}{step[hit.end() :]}" for n in near if n > 0)
        yield from _as_wanted(texts, right)


def _as_wanted(texts: Iterable[str], right: bool) -> Iterator[str]:
    return (text for text in texts if holds(text) is right)
