"""Whether the subject before a verb is one or many: enough English to turn "may be" into is or are."""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


_BOUNDARY = re.compile(
    r"[:;(—–]|\b(?:that|because|since|as|so|but|while|although|whereas|when|therefore|thus|hence|however)\b,?"
    r"|, and\b|^\s*(?:[-*+•]|\d{1,3}[.)])\s",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"\s(?:of|in|on|for|with|from|to|at|by|after|before|during|without|between|among|under|over|near|like|due|"
    r"than|into|through|against|within|about|such|who|which)\b.*",
    re.DOTALL,
)
_ONE = words("it this that he she")
_MANY = words("these those they")
_NEITHER = words(
    "i we you there what which who each every either neither one none all both most some any many few "
    "several number variety couple lot majority series species half also then still not even now here and or"
)
_PLURALS = words(
    "criteria bacteria data people children men women feet teeth fungi bronchi vertebrae phenomena stimuli "
    "mice cilia ganglia protozoa"
)
_SINGULARS = words(
    "diabetes ascites herpes rabies measles mumps caries scabies tabes pancreas biceps triceps gas lens pons "
    "bias atlas canvas alias pus cancer syphilis arthritis lupus rickets shingles tetanus"
)


def is_plural(before: str) -> bool | None:
    """Whether the subject that ends a text is plural; None: it cannot be told.

    Args:
        before: the sentence up to its verb.
    """
    phrase = _BOUNDARY.split(re.sub(r"\([^()]*\)|[*_]+", "", before))[-1]
    if "," in phrase:
        phrase = phrase.rpartition(",")[2]
        if re.match(r"\s*(?:and|or|which|who)\b", phrase):
            return None
    phrase = _PREPOSITION.sub("", " " + phrase.strip())
    said = phrase.split()
    if not said or not said[-1].replace("-", "").isalpha():
        return None
    lowered = [word.lower() for word in said]
    if len(said) == 1 and lowered[0] in _ONE | _MANY:
        return lowered[0] in _MANY
    if "or" in lowered or lowered[-1] in _NEITHER or lowered[0] in _NEITHER or len(said) > 8:
        return None
    if "and" in lowered:
        return True
    if lowered[0] == "a" or lowered[0] == "an":
        return False
    return _plural_noun(said[-1])


def _plural_noun(noun: str) -> bool | None:
    low = noun.lower()
    if noun.isupper() or low in _SINGULARS:  # AIDS, SLE
        return False
    if low in _PLURALS or re.search(r"(?:oses|yses|tases|ces|ies)$", low):
        return True
    if re.search(r"(?:ly|ed|ing|en|ics)$", low) and low not in ("specimen", "abdomen", "antigen", "oxygen"):
        return None
    return low.endswith("s") and not re.search(r"(?:ss|us|is)$", low)
