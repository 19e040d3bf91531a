"""How often the intervals of a hand-over cover what was planted, and 0 where nothing was.

    python scripts/coverage_handover.py                 # 2,000 runs a cell
    python scripts/coverage_handover.py --runs 100 --print

Writes docs/handover-coverage.json and the table of docs/text-or-weights.md. The grid was fixed before
anything was run. In each world the arm after differs from the arm before in one thing: `knowledge` (slots
that it was sure to fill rightly are filled wrongly), `decoding` (slots that it is unsure of err more often
when sampled, and as often when greedy), `choice` (left free, it makes claims of harder slots), `all` of them,
or `none`; in the world `text` its text leads to harder claims, whoever goes on. A slot is sure right, sure
wrong or unsure; how many are what differs by question (Dirichlet, concentration 3, or not at all), and so do
the prefixes of a question (1 to 8). Every run draws new questions; the intervals are the package's own, all
runs at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from coverage_parts import Floats, Row
from mechcot.analyses.handover.analysis import Counts, Key, effects, terms
from mechcot.core.results import Pair
from mechcot.stats.jackknife import degrees_of_freedom, standard_error

DOCS = Path(__file__).parent.parent / "docs"
ARMS = Pair("before", "after")
WORLDS = ("none", "knowledge", "decoding", "choice", "all", "text")
SHARES = np.array([0.5, 0.2, 0.3])
"""Sure right, sure wrong, unsure: of the claims that text offers."""
HARDER = np.array([0.3, 0.3, 0.4])
"""The same of the claims that a writer makes who chooses badly."""
FORGOTTEN, UNSURE, WARMER, DRAWS, CLAIMS = 0.3, 0.5, 0.8, 4, 0.8
TERMS = ("weights", "knowledge", "decoding", "choice", "text", "interaction")


def worlds(world: str, runs: int, n: int, alike: bool, rng: np.random.Generator) -> dict[Key, Floats]:
    """Errors and judged steps of every cell [runs, questions, 2]."""
    found: dict[Key, Floats] = {}
    for prefix in ARMS:
        size = rng.integers(1, 9, (runs, n))
        pull = np.ones((runs, n, 3)) if not alike else rng.dirichlet(3 * SHARES, (runs, n)) / SHARES
        shares = HARDER if (world, prefix) == ("text", "after") else SHARES
        offered = rng.multinomial(size, _shares(shares, pull))  # [runs, questions, 3]
        for writer in ARMS:
            changed = {world} if writer == "after" else set()
            chosen = _shares(HARDER if changed & {"choice", "all"} else shares, pull)
            for form, how, num, den in _written(changed, offered, chosen, size, rng):
                found[prefix, "own", writer, form, how] = np.stack([num, den], axis=-1).astype(float)
    return found


def _shares(shares: Floats, pull: Floats) -> Floats:
    """Shares of each question that are the given ones on average."""
    own: Floats = shares * pull
    return own / own.sum(-1, keepdims=True)


def _written(changed: set[str], offered: Floats, chosen: Floats, size: Floats, rng: np.random.Generator):
    """Form, decoding, errors and judged steps [runs, questions] of one writer behind one arm's text."""
    right, wrong, unsure = np.moveaxis(offered, -1, 0)
    forgets = bool(changed & {"knowledge", "all"})
    rate = WARMER if changed & {"decoding", "all"} else UNSURE
    lost = rng.binomial(right, FORGOTTEN) if forgets else np.zeros_like(right)
    sure = wrong + lost
    yield "forced", "greedy", sure + rng.binomial(unsure, UNSURE), size
    yield "forced", "sampled", DRAWS * sure + rng.binomial(DRAWS * unsure, rate), DRAWS * size
    claims = rng.binomial(DRAWS * size, CLAIMS)
    right, wrong, unsure = np.moveaxis(rng.multinomial(claims, chosen), -1, 0)
    lost = rng.binomial(right, FORGOTTEN) if forgets else np.zeros_like(right)
    yield "free", "sampled", wrong + lost + rng.binomial(unsure, rate), claims


def planted(world: str, alike: bool) -> dict[str, float]:
    """What each term is in the population: rates of a writer less those of an unchanged one."""
    rng = np.random.default_rng(1)
    pull = rng.dirichlet(3 * SHARES, 200_000) / SHARES if alike else np.ones((1, 3))
    offered, harder = (_shares(shares, pull).mean(0) for shares in (SHARES, HARDER))
    forgets, warm, worse = (world in (name, "all") for name in ("knowledge", "decoding", "choice"))

    def rate(shares: Floats, unsure: float, lost: float) -> float:
        return float(shares[1] + lost * shares[0] + unsure * shares[2])

    lost, hot = FORGOTTEN * forgets, WARMER if warm else UNSURE
    chosen = harder if worse else offered
    free = rate(chosen, hot, lost)
    forced = [rate(offered, unsure, lost) for unsure in (UNSURE, hot)]
    old = rate(offered, UNSURE, 0)
    found = {"knowledge": forced[0] - old, "decoding": forced[1] - forced[0], "choice": free - forced[1]}
    text = rate(harder, UNSURE, 0) - old if world == "text" else 0.0
    return found | {"weights": free - old, "text": text, "interaction": 0.0}


def _combined(cells: dict[Key, Floats]):
    """`Counts.combined` over all runs: estimates, half-widths [runs]."""

    def combined(parts: list[tuple[float, Key]]) -> tuple[Floats, Floats]:
        factors = np.array([factor for factor, _ in parts])
        table = np.stack([cells[key] for _, key in parts], axis=2)  # [runs, questions, terms, 2]
        total = table.sum(1)
        point = (total[..., 0] / total[..., 1]) @ factors
        left = total[:, None] - table
        without = (left[..., 0] / left[..., 1]) @ factors
        weight = (table[..., 1] / total[:, None, :, 1]) @ np.abs(factors)
        return point, stdtrit(degrees_of_freedom(weight), 0.975) * standard_error(without)

    return combined


class _All(Counts):
    """The package's own terms and effects, their sums put together for all runs at once."""

    def combined(self, parts):  # type: ignore[no-untyped-def]
        return _combined(self.cells)(list(parts))  # type: ignore[arg-type]


def measured(world: str, runs: int, n: int, alike: bool, seed: int = 0) -> Row:
    """Coverage of each term in one world."""
    rng = np.random.default_rng([seed, WORLDS.index(world), n, alike])
    counts = _All(worlds(world, runs, n, alike, rng), n)
    mean = next(one for one in terms(counts, ARMS) if one.prefix == "mean")
    free = effects(counts, ARMS, "free", "sampled")
    truth, row = planted(world, alike), {"world": world, "questions": n, "alike": "yes" if alike else "no"}
    for name in TERMS:
        point, reach = {"text": free.effect_text, "interaction": free.interaction}.get(name) or getattr(
            mean, name
        )
        row[name] = round(float((np.abs(point - truth[name]) <= reach).mean()), 4)
        row[f"{name}, planted"] = round(truth[name], 4)
    return row


def table(rows: list[Row]) -> str:
    """As on the page: what was planted in brackets."""
    head = ("world", "questions", "alike", *TERMS)
    lines = [
        [*(str(row[key]) for key in head[:3]), *(f"{row[t]} ({row[f'{t}, planted']})" for t in TERMS)]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--print", action="store_true", help="print the table and write nothing")
    given = parser.parse_args()
    grid = itertools.product(WORLDS, (12, 30, 150), (False, True))
    rows = [measured(world, given.runs, n, alike) for world, n, alike in grid]
    if given.print:
        print(table(rows))
        return
    kept, page = DOCS / "handover-coverage.json", DOCS / "text-or-weights.md"
    kept.write_text(json.dumps({"runs": given.runs, "rows": rows}, indent=1) + "\n")
    start, end = "<!-- coverage -->\n", "<!-- /coverage -->"
    before, _, rest = page.read_text().partition(start)
    page.write_text(before + start + table(rows) + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
