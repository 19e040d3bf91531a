"""What the models knew, on the page."""

from __future__ import annotations

from mechcot.analyses.form import left_out
from mechcot.analyses.knowledge import figures
from mechcot.core.words import counted, percent
from mechcot.report.parts import Findings, Part


def knowledge(found: Findings) -> Part:
    """Whether wrong claims were known."""
    result = found.results["knowledge"]
    if "errors" not in result:
        return Part("knowledge", "What the models knew cannot be told here.", reason=result["reason"])
    errors = result["errors"]
    if not errors["n_claims"]:
        return Part(
            "knowledge",
            f"{found.after} asserts nothing wrong.",
            reason="there is no wrong claim to ask about",
        )
    share = {name: percent(leaf) for name, leaf in errors["shares"].items()}
    sentence = (
        f"Of {counted(errors['n_claims'], 'wrong claim')} that {found.after} asserts, the truth was neither "
        f"model’s first choice at that place in {share['never_knew']}; in {share['learned']} it is "
        f"{found.after}’s own first choice by now, and something else was written; {share['forgot']} were "
        f"known to {found.before} and forgotten, and {share['knew']} both models know."
    )
    return Part("knowledge", sentence, figures.knowledge_bars(result))


def used(found: Findings) -> list[tuple[str, ...]]:
    """For the table of what was left out: the claims."""
    result = found.results["knowledge"]
    if "errors" not in result:
        return []
    claims = result["claims"]
    kept = f"{claims['n_claims']:,} claims of {claims['n_questions']:,} questions"
    return [("knowledge", kept, left_out(result["excluded"]))]
