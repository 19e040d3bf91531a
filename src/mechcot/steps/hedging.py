"""The same claim with a hedge and without one, by rules of English that undo one another.

One hedge is put in, the word *probably*, so that it is the same in every arm; the hedges that people
and models write are taken out. Where a rule could break the grammar or the claim there is no pair:
questions, requests, conditions, quotations, code, permission ("the patient may leave"), claims about
likelihood itself ("more likely than", "less likely is", "does not appear to"), sentences whose verb is
not found, and texts in which some sentences are hedged and others are not.
"""

from __future__ import annotations

import re
from typing import Any

from mechcot.steps.number import is_plural, words
from mechcot.steps.segment import segment

HEDGE = "probably"
"""The hedge that is put in."""


def _any(text: str) -> str:
    return "|".join(sorted(text.split(), key=len, reverse=True))


# --- words ----------------------------------------------------------------------------------------

_S = r"(?<![\w'’-])"  # a word begins
_E = r"(?![\w'’-])"  # and ends
_BE = _any("is are was were")
_CONTRACTED = r"(?:[Ii]t|[Tt]hat|[Hh]e|[Ss]he|[Tt]here)['’]s|[Tt]hey['’]re|I am|I['’]m"
_AFTER = rf"{_BE}|{_CONTRACTED}|will|would|can"  # a hedge stands after these ...
_HAVE_DO = _any("has have had does do did cannot")
_NOT = r"(?:is|are|was|were|has|have|had|does|do|did|wo|would|ca)n['’]t"
# Words that are verbs wherever they follow a subject; "causes" and "results" may be nouns.
_BASES = (
    "suggest indicate explain require involve occur include contain confirm reduce inhibit represent reflect "
    "activate develop prevent remain depend belong arise stimulate contribute worsen improve precipitate "
    "mediate exclude imply bind receive induce demonstrate reveal secrete describe consist refer enhance "
    "suppress impair interfere resemble manifest become"
)
_THIRD_ONLY = (  # their bare form is a noun or an adjective too
    "affects produces lacks presents crosses covers makes gives helps undergoes begins lies serves allows "
    "raises lowers relieves"
)
_MODAL_BASES = (
    f"{_BASES} affect produce stem lack fit cause lead result increase decrease lower raise mask mimic "
    "trigger account point show help benefit respond exist relate play delay favour present need support"
)
_NOUN_TOO = _any("causes results increases decreases shows means supports leads points treats blocks")


def _third(base: str) -> str:
    """A verb with he, she or it."""
    if base in ("be", "have"):
        return {"be": "is", "have": "has"}[base]
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if re.search(r"(?:s|x|z|ch|sh)$", base) else "s")


_THIRD = _any(" ".join([*(_third(base) for base in _BASES.split()), *_THIRD_ONLY.split()]))
_FINITE = rf"{_THIRD}|{_any(_BASES)}"
_WITH_OBJECT = r"leads?(?= to\b)|causes?(?= (?:an?|the|this|its|their|his|her)\b)"
_BEFORE = rf"{_HAVE_DO}|{_NOT}|{_FINITE}|{_WITH_OBJECT}"  # ... and before these
_PRONOUN_VERB = rf"(?<=\b[Tt]his )(?:{_NOUN_TOO})|(?<=\b[Ii]t )(?:{_NOUN_TOO})"

_ADVERB = _any("probably possibly perhaps maybe presumably")
_SAID = r"I (?:think|believe|guess|suspect|suppose|would (?:guess|say|think))|I['’]d (?:guess|say|think)"

# --- where a text or a sentence is left alone -----------------------------------------------------

_LONGEST = 600  # characters of a sentence: what is longer is no sentence
_UNTOUCHABLE = re.compile(r"[`|$\"“”«»„\\]|https?:|(?<!\w)['‘]\w")
_CONDITION = re.compile(rf"{_S}(?:if|unless|whether|assuming|suppose|provided)\b", re.IGNORECASE)
_CERTAIN = re.compile(
    rf"{_S}(?:clearly|definitely|certainly|undoubtedly|obviously|surely|doubt|confident|sure|certain|must)\b",
    re.IGNORECASE,
)
_LEFT = re.compile(
    rf"{_S}(?:may|might|could)\b|(?i:{_S}(?:{_ADVERB}|likely|unlikely|likelihood|possible|possibility|"
    r"probable|probability|seem\w*|apparent\w*|seemingly|conceivabl\w+|plausibl\w+|potentially|suspect\w*|"
    r"suspicio\w+|guess\w*|suppos\w+|uncertain\w*|unsure|unclear|chances?|tends?|presum\w*|arguabl\w+|"
    r"hypothe\w+|speculat\w+|consider(?:ed)? to|appear(?:s|ed)? to|appears? that|think|believe|"
    r"in my (?:opinion|view))\b)"
)
# A likelihood compared, asked for or denied is the claim itself: without the word another one is left.
_COMPARED = re.compile(
    rf"(?i){_S}(?:more|less|least|as|equally|too|how|no|not|cannot|never|hardly|scarcely|barely|neither|nor|"
    r"\w+n['’]t)[*_]*\s+(?:\w+ly\s+)?(?:likely|probabl[ey]|possibl[ey]|plausibl[ey]|perhaps|presumably|appears?|seems?)"
    rf"{_E}"
)
_INVERTED = re.compile(
    r"(?i)(?:(?:by|far|the|most|very|quite|so|rather|fairly|somewhat|highly|extremely|also|\w+ly)\s+)*[*_]*likely[*_]*\s+"
    rf"(?:{_BE}|seems?|appears?)\b"
)
_SUPERLATIVE = re.compile(
    r"(?i:\b(?:the|this|single|second|by far the|one of the)\s+(?:single\s+)?most likely\b)"
)
_REQUESTS = words(
    "let lets consider note recall remember check look choose select pick review think assume start begin "
    "compare evaluate identify determine rule go now find ask treat give see use apply to please take"
)
_NO_SUBJECT = _REQUESTS | words("i we you not no none nobody nothing few here")
_INTRODUCTION = words(
    "given in with on at for from after before based due among during by despite unlike like as under "
    "without upon since because although though while when"
)
_STOP = words(
    "that which who whom whose because since when while although though as where how why what than nor "
    "neither lest until so should shall ought need could might must"
)
_DETERMINER = words("a an the his her their my our its your no free own")

_LEAD = re.compile(
    r"(?:\s*(?:[-*+•◦‣–](?=\s)|#{1,6}(?=\s)|\(?(?:\d{1,3}|[A-Za-z])[.)](?=\s)|(?i:step|option)\s+\w{1,3}\s*[:.)]"
    r"|(\*\*|__)[^*_\n]{1,60}(?::\1|\1:)))*\s*(?:\*\*|__)?"
)
_LINK = re.compile(
    r"(?:(?i:so|therefore|thus|hence|however|but|and|then|first|second|third|finally|overall|moreover|also|"
    r"consequently|furthermore|additionally|in addition|in conclusion|as a result|now),?\s+)?"
)
_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*")


def hedged_pair(text: str) -> tuple[str, str] | None:
    """A claim as (hedged, plain); None where the rules cannot tell them safely.

    `plain` is the text itself where it holds no hedge. Both forms give the same pair again.

    Args:
        text: of a step, of one or more sentences. Sentences without a hedge that the rules do not treat
            (headings, fragments) stay as they are, as long as one is treated.
    """
    if _UNTOUCHABLE.search(text):
        return None
    hedged, plain, at = "", "", 0
    found: set[bool] = set()  # whether treated sentences were hedged
    for start, end in segment(text, "sentences"):
        own = text[start:end]
        pair = _pair(own)
        if pair is None:
            if _hedges(own):
                return None
            pair = own, own
        else:
            found.add(pair[1] != own)
        hedged, plain, at = hedged + text[at:start] + pair[0], plain + text[at:start] + pair[1], end
    return (hedged + text[at:], plain + text[at:]) if len(found) == 1 else None


def _pair(sentence: str) -> tuple[str, str] | None:
    if len(sentence) > _LONGEST:
        return None
    if sentence.rstrip("*_) ").endswith("?") or _CONDITION.search(sentence) or _CERTAIN.search(sentence):
        return None
    if _COMPARED.search(sentence) or _INVERTED.match(sentence, _clause_begin(sentence)):
        return None
    plain = _without_hedges(sentence)
    hedged = None if plain is None else _with_hedge(plain)
    if plain is None or hedged is None or _without_hedges(hedged) != plain:
        return None
    return hedged, plain


def _hedges(sentence: str) -> bool:
    return bool(_LEFT.search(_SUPERLATIVE.sub("", sentence)))


# --- putting a hedge in ---------------------------------------------------------------------------


def _with_hedge(sentence: str) -> str | None:
    """The sentence with the hedge at its main verb; None: no verb is found."""
    found = _main_verb(sentence)
    if found is None:
        return None
    verb, after = found
    if after:
        return f"{sentence[: verb.end()]} {HEDGE}{sentence[verb.end() :]}"
    return f"{sentence[: verb.start()]}{HEDGE} {sentence[verb.start() :]}"


_VERB = re.compile(rf"{_S}(?:(?P<after>{_AFTER})|(?P<before>{_BEFORE}|{_PRONOUN_VERB})){_E}")


def _main_verb(sentence: str) -> tuple[re.Match[str], bool] | None:
    """The first finite verb after a subject, and whether a hedge stands after it."""
    begin = _subject_begin(sentence)
    if begin is None:
        return None
    verb = next(
        (v for v in _VERB.finditer(sentence, begin) if not _in_parentheses(sentence, v.start())), None
    )
    if verb is None:
        return None
    subject = _WORD.findall(re.sub(r"\([^()]*\)", " ", sentence[begin : verb.start()]))
    contracted = re.fullmatch(_CONTRACTED, verb.group())
    if not contracted and not _is_subject(subject, verb.group()):
        return None
    if verb.group("after") and not re.match(r"\s+[\w(*\[~±+-]|:\s", sentence[verb.end() :]):
        return None
    return verb, bool(verb.group("after"))


def _is_subject(said: list[str], verb: str) -> bool:
    if not 1 <= len(said) <= 16 or said[0].lower() in _NO_SUBJECT:
        return False
    inner = [word.lower() for word in (said[1:] if said[0].lower() in ("that", "so") else said)]
    if _STOP.intersection(inner) or "may" in said or said[-1].lower() in ("and", "or", "but", "then", "only"):
        return False
    if verb in ("will", "can", "do") and said[-1].lower() in _DETERMINER:
        return False
    if re.fullmatch(_BEFORE, verb) and re.search(
        r"(?i)(?:ly|^also|^often|^always|^never|^not|^still)$", said[-1]
    ):
        return False
    if re.fullmatch(_THIRD, verb) and said[-1].lower() in _DETERMINER:
        return False
    # Without an -s it may be an infinitive: "to reduce", "helps reduce".
    return not (re.fullmatch(_any(_BASES), verb) and {"to", "help", "helps", "not"} & set(inner))


def _subject_begin(sentence: str) -> int | None:
    """Where the subject of the main clause begins; None: an introduction cannot be told from it."""
    begin = _clause_begin(sentence)
    first = _WORD.match(sentence, begin)
    if first and first.group().lower() in _INTRODUCTION:
        head, comma, _ = sentence[begin:].partition(",")
        if not comma or re.search(rf"(?i:{_S}(?:that|which|who){_E})", head):
            return None
        if _VERB.search(head) and sentence.count(",", begin) > 1:
            return None
        begin += len(head) + 1
    colon = sentence.find(": ", begin)
    if colon >= 0 and not _VERB.search(sentence[begin:colon]):
        begin = colon + 1
    return begin


def _lead_end(sentence: str) -> int:
    """Where the words begin, behind a list mark or a label."""
    found = _LEAD.match(sentence)
    return found.end() if found else 0


def _clause_begin(sentence: str) -> int:
    """Where the clause begins, behind a linking word too."""
    found = _LINK.match(sentence, _lead_end(sentence))
    return found.end() if found else _lead_end(sentence)


def _in_parentheses(sentence: str, at: int) -> bool:
    return sentence.count("(", 0, at) > sentence.count(")", 0, at)


# --- taking hedges out ----------------------------------------------------------------------------

_OPENING = re.compile(
    r"(?:(?:[Ii]t (?:is|seems|appears|may be|might be|could be)|[Ii]t['’]s)"
    r"(?: (?:quite |very |most )?(?:possible|likely|probable))? that"
    rf"|(?:{_SAID})(?: that)?(?! (?:about|of|so|not)\b)"
    rf"|(?i:{_ADVERB})(?!,? (?:due|because|from|with|in|of|secondary)\b)"
    r"|(?i:(?:most |very )?likely)(?=,)|(?i:in my (?:opinion|view)|to my mind)(?=,)),?\s+(?=[\w(*])"
)
_ASIDE = re.compile(rf"\s*, (?:{_SAID}|{_ADVERB})(?:,(?= )|(?=[.!]?$))")
_APPEARS = re.compile(rf"{_S}(?P<verb>appears?|seems?) to (?P<base>be|have|{_any(_MODAL_BASES)}){_E}")
_LIKELY_TO = re.compile(
    rf"{_S}(?P<be>is|are) (?:most |very |quite )?likely to (?P<base>be|have|{_any(_MODAL_BASES)}){_E}"
)
_LIKELY = re.compile(
    rf"{_S}(?P<verb>{_AFTER}|{_HAVE_DO})(?P<also> also)? (?:most |very |quite )?likely (?=[\w(*])"
    r"(?!(?:to|in|with|at|on|of|for|from|and|or|but|if|when|since|as|than|because|given|based|after|among|"
    r"here|that|enough)\b)"
)
_LIKELY_VERB = re.compile(
    rf"(?<!the )(?<!more )(?<!less )(?<!as ){_S}(?:most |very |quite )?likely (?=(?:{_BE}|{_BEFORE}){_E})"
)
_AFTER_VERB = re.compile(rf"{_S}(?P<verb>{_AFTER}|{_HAVE_DO}) (?:{_ADVERB})(?=[ :][\w(*\[~±+-]|: )")
_BEFORE_VERB = re.compile(rf"{_S}(?:{_ADVERB}) (?=(?:{_BE}|{_BEFORE}|{_NOUN_TOO}){_E})")
_MODAL = re.compile(
    rf"{_S}(?:may|might|could) (?:well )?(?P<also>also |still |simply )?(?P<not>not )?"
    rf"(?P<base>be|have(?! to\b)|{_any(_MODAL_BASES)}){_E}"
)
_COUNTERFACTUAL = re.compile(r"\b(?:might|could) have (?:been|\w+ed)\b")
_PARTICIPLE = re.compile(r"\bbe (?:\w+ly )?(\w+ed|given|done|taken|made|seen|held|put|left|sent|begun)\b")
_STATES = words(
    "caused related associated explained elevated increased decreased reduced impaired affected involved "
    "infected inherited complicated triggered mediated linked enlarged damaged blocked inhibited obstructed "
    "induced attributed precipitated located limited delayed confused exaggerated"
)


def _without_hedges(sentence: str) -> str | None:
    """The sentence with every hedge taken out; None: a rule cannot tell how."""
    if not _hedges(sentence):
        return sentence
    text = _opened(sentence)
    text = _ASIDE.sub("", text)
    text = _APPEARS.sub(lambda m: _third(m["base"]) if m["verb"].endswith("s") else _plural(m["base"]), text)
    text = _LIKELY_TO.sub(lambda m: _third(m["base"]) if m["be"] == "is" else _plural(m["base"]), text)
    text = _LIKELY.sub(lambda m: f"{m['verb']}{m['also'] or ''} ", text)
    text = _LIKELY_VERB.sub("", text)
    text = _BEFORE_VERB.sub("", _AFTER_VERB.sub(lambda m: m["verb"], text))
    bare = _without_modal(text)
    return None if bare is None or _hedges(bare) else bare


def _opened(sentence: str) -> str:
    """The sentence without a hedge that opens it."""
    begin = _clause_begin(sentence)
    found = _OPENING.match(sentence, begin)
    if found is None:
        return sentence
    rest = sentence[found.end() :]
    if begin == _lead_end(sentence) and sentence[begin].isupper():
        rest = rest[:1].upper() + rest[1:]
    return sentence[:begin] + rest


def _without_modal(text: str) -> str | None:
    """The text with a may, might or could of doubt turned into a statement."""
    found = _MODAL.findall(text)
    if not found:
        return text
    if len(found) > 1 or _COUNTERFACTUAL.search(text):
        return None
    modal: Any = _MODAL.search(text)
    participle = _PARTICIPLE.match(text, modal.start("base"))
    if participle and participle[1] not in _STATES:
        return None
    plural = is_plural(text[: modal.start()])
    if plural is None or (modal["not"] and modal["base"] != "be"):
        return None
    verb = _plural(modal["base"]) if plural else _third(modal["base"])
    also, no = modal["also"] or "", (modal["not"] or "").rstrip()
    said = " ".join([verb, also.strip(), no]) if modal["base"] == "be" else also + verb
    return text[: modal.start()] + " ".join(said.split()) + text[modal.end() :]


def _plural(base: str) -> str:
    return "are" if base == "be" else base
