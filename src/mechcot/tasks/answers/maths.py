"""Run as a program: whether pairs of expressions are equal by math-verify, which stops itself by SIGALRM.

Standard input holds two expressions as a JSON list, standard output `true` or `false`. A process of its
own, since the library's timeouts work on a main thread only.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Compare the two expressions of standard input."""
    from math_verify import parse, verify

    gold, said = (parse(f"${text}$") for text in json.load(sys.stdin))
    json.dump(bool(gold and said and verify(gold, said)), sys.stdout)


if __name__ == "__main__":
    main()
