"""Kinds of step in English reasoning, by rules: finding, mechanism, elimination, conclusion, other.

A step is of the first of these that it does:

    elimination   turns down an option or an explanation for this case
    conclusion    says what holds or fits for this case: takes an option up, infers, leads to the answer
    finding       repeats or reads what the question says
    mechanism     says something that is so beyond this case: what a thing is, causes, does, is used for
    other         announces, heads, asks, repeats an option, says that material is missing

The rules are patterns, and the question's own words: a step that repeats them is a finding. How often they
agree with readers is measured on steps of real traces: `scripts/step_kinds.py`, docs/kinds.md. A text
in another language falls to `mechanism` or `other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

from mechcot.tasks.base import Question

VERSION = 1
"""Of the rules; it stands in results and in the key of the stage, and a change of any rule raises it."""
FINDING, MECHANISM, ELIMINATION = "finding", "mechanism", "elimination"
CONCLUSION, OTHER = "conclusion", "other"
KINDS = (FINDING, MECHANISM, ELIMINATION, CONCLUSION, OTHER)

_REPEATED = 0.6
"""Share of a step's longer words that the question has, from which the step repeats it ..."""
_OFTEN, _HALF = 0.8, 0.5
"""... from which it does so even where it reads like knowledge, and where it also names the case."""

_ELIMINATES = (
    r"rul(?:e|es|ed|ing) (?:\w+ )?out(?! (?:serious|other|any|life|more))",
    r"eliminat(?:e|es|ed|ing) (?:options?|choices?|it|this|that|the|\(?[a-e]\b)",
    r"can be (?:eliminated|excluded|dismissed|ruled)", r"(?:less |un)likely(?! to (?:resolve|recur))",
    r"not (?:\w+ ){0,2}likely", r"least likely", r"incorrect", r"inaccurate", r"misleading",
    r"inappropriate", r"unnecessary", r"irrelevant", r"inconsistent", r"unrelated", r"none of (?:the|them)",
    r"not (?:a )?characteristic", r"no known", r"more typical of",
    r"more (?:difficult|challenging|complicated|complex|invasive)", r"not (?:\w+ly )?related",
    r"not (?:\w+ ){0,2}(?:correct|true|accurate|right|feasible|relevant|indicated|necessary|suitable|"
    r"appropriate|applicable|consistent|sufficient|specific|specifically|directly|supported|recommended|"
    r"enough|valid|ideal|as \w+)",
    r"(?:do|does|did|would|is|are|was|were|may|might|can) ?(?:not|n['’]t) (?:\w+ ){0,2}(?:fit|match|"
    r"explain|capture|reflect|relate|present with|appear|encompass|contribute|play|provide|allow|align|"
    r"apply|address|account|correspond|support|suggest|indicate|point|cause|include|involve|mention|"
    r"answer|describe|represent|typical\w*|usual\w*|common\w*|direct\w*|primar\w*|be the|"
    r"the (?:\w+ )?(?:most|best|first|primary|main|correct|right|standard|usual|typical|ideal|cause|"
    r"answer|choice|treatment)|(?:the|a|an) (?:\w+ ){0,3}(?:choice|option|step|treatment|cause|feature|"
    r"method|part|approach|intervention))",
    r"(?:less|rarely|seldom) (?:\w+ ly )?(?:common|relevant|appropriate|effective|suitable|specific|"
    r"frequent\w*|direct\w*|typical\w*|consistent|associated|accurate|definitive|preferred|often|"
    r"related|ideal|urgent)",
    r"(?:does|do) not (?:\w+ ){0,2}(?:seem|appear)", r"(?:rather|other) than (?:the|a|an|in|causing|being)",
    r"more (?:\w+ ){0,2}(?:associated|commonly|typical\w*|often|likely|related|of a|relevant|"
    r"characteristic|common) (?:\w+ ){0,4}(?:than|rather)",
    r"more (?:commonly|often|typically|frequently) (?:\w+ )?(?:associated|seen|found|observed|used|linked)",
    r"there (?:is|are|were|was) no (?:\w+ ){0,2}(?:indication|evidence|need|reason|signs?|mention|"
    r"history)(?: \w+){0,12}? (?:so|that would|to suggest)",
    r"(?:fails?|failing) to", r"too (?:\w+ )?(?:early|late|low|high|soon|vague|small|large|invasive|broad)",
    r"would not (?:be|have|explain|cause|lead|result|present|help|improve)", r"not the (?:\w+ )?\w+",
    r"contraindicated", r"(?<=, )not [\w-]+", r"rather than \w+ly", r"(?:is|are) not present",
    r"however, it (?:carries|has|is less|requires|involves|does|may not|is not)", r"overly", r"premature",
)  # fmt: skip
"""Turned down; all patterns are in small letters, as texts are made, and match at the borders of words."""

_CONCLUDES = (
    r"(?:therefore|thus|hence|consequently|accordingly|so|overall|in (?:conclusion|summary)|ultimately),",
    r"(?:therefore|thus|hence|consequently)(?= (?:the|we|it|this|he|she|they|our|\())",
    r"(?:the|our|final|correct|best|right) answer (?:is|would be|must be|should be|choice is)",
    r"(?:correct|best|right) (?:answer|choice|option)",
    r"(?:most|best|next|appropriate|primary|initial|correct|likely) (?:\w+[ -]){0,4}(?:diagnosis|cause|"
    r"explanation|step|finding|treatment|option|choice|answer|answers|action|management|mechanism|"
    r"approach|test|course|association|site|structure|interpretation|response|statement|reason|etiology|"
    r"source|therapy|method|drug|medication)(?: \w+){0,12}? (?:is|are|would be|should be|appears to be|"
    r"to be|involves)",
    r"(?:best|most) (?:fits?|match(?:es)?|explain(?:s|ed)|describ(?:es|ed)|answers?|aligns?|consistent|"
    r"likely)",
    r"(?:is|are|seems?|appears?|would be|not be) (?:\w+ )?(?:most |highly |strongly |also |very |more |"
    r"classically |quite |all )?(?:consistent|compatible|indicative|suggestive|concerning)",
    r"(?:these|(?<!: )this|her|his|their|patient['’]s?|symptoms?|findings?|history|presence|absence|"
    r"levels?|results?|presentation|combination|exam\w*|biopsy|lesions?|imaging|pattern|values?|signs?|"
    r"picture|scenario|context|which)(?! (?:option|statement|choice|term|"
    r"would))(?: [\w'’(),%/+-]+){0,14}? (?:may |could |might )?(?:strongly |clearly |likely |further |"
    r"also |thus |all )?(?:suggests?|indicates?|points? to(?:wards?)?|supports?|raises?|confirms?|"
    r"impl(?:ies|y))(?! how\b)",
    r"(?<=, )(?:\w+ly )?(?:suggesting|indicating|supporting|pointing to(?:wards?)?)",
    r"raises? (?:the |a )?(?:suspicion|concern|possibility)",
    r"(?:symptoms?|findings?|presentation|rash|this|these)(?: \w+){0,4}? (?:could|may|might) be (?:due|"
    r"caused|explained|related|a sign)",
    r"this (?:could|would|may) (?:also )?explain", r"which means",
    r"(?:given|based on|considering) (?:this|these|the) (?:analysis|considerations?|points|findings|"
    r"information|context|above)(?: \w+){0,4},",
    r"these(?: \w+){0,3} can be (?:indicative|suggestive|due)", r"this is (?:true|correct|accurate|right)",
    r"making (?:it|this) (?:a|the) (?:more|most|best)",
    r"after (?:considering|evaluating|reviewing|analy[sz]ing|weighing)",
    r"aligns? (?:well |best |closely )?with",
    r"(?:is|are) (?:a |the )?(?:classic|hallmark|typical|key) (?:signs?|symptoms?|features?|"
    r"presentation|findings?|triad)",
    r"(?:is|would be) (?:the )?(?:most |best )(?:likely|appropriate|suitable|accurate|effective|"
    r"distinctive|fitting|relevant)",
    r"(?:is|seems|appears|would be) (?:a |the )?(?:strong |reasonable |likely |"
    r"possible )?(?:consideration|possibility|candidate|culprit)",
    r"(?:likely|probably|presumably) (?:has|have|is|are|due|caused|represents?|suffer\w*|experienc\w+|"
    r"a result|secondary|related)",
    r"(?:this|that|which|it) (?:would |could |may )?(?:fits?|match(?:es)?) (?:the|this|with|well)",
    r"we can (?:conclude|infer|deduce|narrow|eliminate|see that|say)", r"(?:leads?|leading|brings) us to",
    r"(?:most|best) (?:\w+ ){0,3}(?:option|choice)",
    r"this (?:option|choice|statement|answer) (?:is|aligns|provides|includes|correctly|accurately|best|"
    r"directly|addresses|makes|fits|would|encompasses|seems|appears)(?! (?:involv|not|n['’]t|suggest|"
    r"mean))",
    r"(?:step|patient|resident|physician|management|treatment|approach|test|he|she|they|we|woman|man|"
    r"child) should (?:then |first |also )?(?:focus|be|include|involve|begin|start|undergo|receive|have)",
    r"must be (?:the|due|caused)", r"is (?:the )?correct",
    r"the (?:patient|resident|physician|man|woman|child|infant) (?:should|needs?|requires?|likely|"
    r"may have|might have|is experiencing|is suffering)",
)  # fmt: skip
"""Taken up or inferred."""

_INFERS = (
    r"suggests?(?! that the (?:test|option|term))",
    r"(?:may|could|might) (?:indicate|suggest|point to|represent|be (?:related|due|caused|explained))",
)
"""Inferred, where the same clause names what from: "the", "her", "his" or "their" before it."""

_ANNOUNCES = (
    r"^(?:to |in order to )(?:determine|answer|identify|find|solve|approach|address|understand|"
    r"analy[sz]e|figure|diagnose|evaluate|calculate|assess|decide|choose|establish|select)",
    r"let['’]?s", r"let us",
    r"we (?:need|must|should|will|can|have|want) (?:to )?(?:first |now |then |"
    r"also )?(?:need to )?(?:consider|analy[sz]e|look|evaluate|determine|review|assess|examine|identify|"
    r"understand|break|go|focus|compare|know|find|use|think|start|begin|explore|discuss|calculate|match|"
    r"address|check|apply|proceed|summari[sz]e)",
    r"(?:here (?:is|are)|these are|the (?:options|choices|given options|answer choices|"
    r"provided options)|options|given options)(?: \w+){0,4}(?: are)?:?$",
    r"(?:step[- ]by[- ]step|as follows|one by one|each (?:of the )?(?:option|choice|answer|"
    r"statement)s?):?\.?$",
    r"the (?:question|task|problem) (?:asks?|is asking|requires?|wants|here|at hand|states?)",
    r"without (?:the |any |more |additional |further |a |an |specific |access)+(?:\w+ ){0,3}(?:context|"
    r"image|figure|information|details?|description|picture|data)",
    r"(?:not provided|is missing|cannot see|no (?:image|figure) (?:is|was))", r"please (?:share|provide)",
)  # fmt: skip
"""Announced, asked, or said of the question."""

_OF_THE_CASE = (
    r"(?:the|this|our) (?:patient|woman|man|boy|girl|child|infant|neonate|newborn|baby|resident|"
    r"physician|student|fetus|mother|father|couple|family|case|question|scenario|"
    r"vignette)(?:['’]s)? (?:\w+ ){0,2}(?:is|was|has|had|have|presents?|presented|reports?|denies|"
    r"appears?|shows?|describes?|states?|complains?|does|did|demonstrates?|exhibits?|takes|lives|smokes|"
    r"underwent|received|history|age|symptoms?|mentions?|gives?|provides?|tells?)",
    r"^(?:he|she|they|her|his)(?: \w+)",
    r"(?:exam(?:ination)?|ecg|ekg|x-ray|radiograph|ct|mri|ultrasound|biopsy|labs?|tests?|studies|"
    r"results?|imaging|auscultation|smear|culture|scan|echocardiogram|radiography|microscopy|"
    r"urinalysis)(?: \w+){0,3} (?:shows?|reveals?|showed|revealed|demonstrates?|is|are|was|were|notable|"
    r"significant)",
    r"(?:history|evidence|absence|presence) of\b", r"(?:presents?|presenting|presented) with",
    r"vital signs", r"there (?:is|are|was|were) no\b",
    r"recently|yesterday|years? ago|weeks? ago|days? ago|months? ago",
)  # fmt: skip
"""Of the case at hand ..."""
_VALUES = (
    r"\d[ -](?:year|month|week|day|hour)s?[ -]?old",
    r"\d (?:mg|g|meq|mmol|µmol|umol|ng|pg|µg|mcg|u|iu|kg|cm|mm|ml|l|bpm|beats|breaths)\b",
    r"\d ?(?:°|º|mm ?hg|/min|/hpf|mg/dl|g/dl|%|/\d+ ?mm)",
    r"\((?:\w+ )?(?:normal|elevated|low|high|decreased|increased)\b(?: \w+){0,4}\)",
)
"""... and its values."""

_GENERAL = (
    r"(?:typically|generally|usually|often|commonly|primarily|sometimes|normally|mainly|frequently|"
    r"characteristically|rarely)",
    r"(?:is|are) (?:\w+ )?(?:a|an|one of|the) (?:\w+[ -]){0,4}(?:type|form|kind|process|condition|"
    r"disease|disorder|syndrome|drug|medication|hormone|enzyme|protein|structure|nerve|muscle|artery|"
    r"test|procedure|method|technique|cause|complication|feature|symptom|sign|treatment|virus|"
    r"bacteri\w+|cell|tissue|infection|tumou?r|cancer|substance|class|agent|measure|stage|phase|marker|"
    r"finding|precursor|inhibitor|receptor|agonist|antagonist|antibiotic|option|choice|standard|"
    r"component|part|layer)",
    r"(?:is|are) (?:\w+ly |also )?(?:used|associated|caused|characteri[sz]ed|known|defined|called|found|"
    r"seen|produced|located|considered|composed|made|responsible|involved|derived|required|formed|"
    r"innervated|supplied|secreted|indicated|referred|recommended|described|classified|released|"
    r"transmitted|inherited|treated|diagnosed|observed|essential|crucial|important|calculated)",
    r"(?:causes?|leads? to|results? (?:in|from)|refers? to|involves?|occurs?|inhibits?|increases?|"
    r"decreases?|reduces?|stimulates?|binds?|includes?|consists?|means?|produces?|requires?|affects?|"
    r"contains?|plays?|acts?|blocks?|regulates?|helps?|allows?|measures?|represents?|arises?|develops?|"
    r"describes?|provides?|prevents?|promotes?|activates?|lasts?|works?)",
    r"(?:can|may|could|might|would|will) (?:also |often |sometimes |then )?(?:be|cause|lead|result|"
    r"occur|have|present|include|help|develop|affect|suggest|indicate|produce|increase|decrease|show|"
    r"appear|mimic|arise|contribute)",
    r"due to|because of|by (?:inhibiting|increasing|blocking|binding|reducing|causing|stimulating|"
    r"activating)",
    r"=",
    r"such as|in (?:patients|people|individuals|adults|children|cases|women|men|infants) (?:with|who|of)",
    r"associated with",
)  # fmt: skip
"""Said as knowledge."""


def _pattern(parts: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w-])")


def _open(parts: Iterable[str]) -> re.Pattern[str]:
    """Patterns that begin with a word and look for their own ends."""
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})")


class _Rules(NamedTuple):
    """The patterns, ready to search with."""

    elimination: re.Pattern[str]
    conclusion: re.Pattern[str]
    inference: re.Pattern[str]
    announcement: re.Pattern[str]
    case: re.Pattern[str]
    values: re.Pattern[str]
    general: re.Pattern[str]


@cache
def _rules() -> _Rules:
    """Compiled when a step is first asked about: most imports never are."""
    return _Rules(
        elimination=_pattern(_ELIMINATES),
        conclusion=_pattern(_CONCLUDES),
        inference=_pattern(_INFERS),
        announcement=_open(_ANNOUNCES),
        case=_open(_OF_THE_CASE),
        values=re.compile("|".join(_VALUES)),
        general=_pattern(_GENERAL),
    )


_MARKS = re.compile(r"[*_`#>]+")
_BULLET = re.compile(r"^\s*(?:[-–•+]\s+)?(?:\d{1,2}[.)]\s+)?(?:[-–•+]\s+)?")
_OPTION_MARK = re.compile(r"^(?:options? )?\(?[a-z]\)?[.):]?\s+")
_LABEL = re.compile(
    r"^(?:final |overall )?(?:conclusion|diagnosis|answer|final answer|summary)\b[^:]{0,30}:\s*\S"
)
_STRONG = re.compile(
    r"\bthe question (?:asks|is asking)|^(?:to|in order to) \w+ [^:]*?(?:,|:$)|\blet['’]?s\b|\blet us\b"
)
"""Announcements that say nothing else, whatever words they hold."""
_NAMED = re.compile(r"\b(?:the|her|his|their)\b")
_WORDS = re.compile(r"[a-z]{4,}|\d+")


def kind_of(question: Question, text: str) -> str:
    """The kind of a step (`KINDS`), from its words and the question's.

    Args:
        question: that its trace answers.
        text: of the step.
    """
    rules, said = _rules(), _BULLET.sub("", _MARKS.sub("", text)).strip().lower()
    if not said or _names_option(question, said):
        return OTHER
    if _STRONG.search(said) and rules.announcement.search(said):
        return OTHER
    if said.endswith(":"):
        return CONCLUSION if rules.conclusion.search(said) else OTHER
    if rules.elimination.search(said):
        return ELIMINATION
    if _LABEL.search(said) or rules.conclusion.search(said) or _infers(rules, said):
        return CONCLUSION
    if said.endswith("?") or rules.announcement.search(said):
        return OTHER
    return _finding_or_mechanism(rules, question.stem, said)


def _infers(rules: _Rules, said: str) -> bool:
    """Whether something that was named in the same clause is taken to mean something."""
    for verb in rules.inference.finditer(said):
        clause = max(said.rfind(mark, 0, verb.start()) for mark in ".;:")
        if _NAMED.search(said, clause + 1, verb.start()):
            return True
    return False


def _names_option(question: Question, said: str) -> bool:
    """Whether a step is an option and no more."""
    if len(said) > max(map(len, question.options), default=0) + 16:
        return False
    bare = said.rstrip(" .:")
    return any(_OPTION_MARK.sub("", bare) == own or bare == own for own in map(_folded, question.options))


def _folded(option: str) -> str:
    return option.strip().rstrip(".").lower()


def _finding_or_mechanism(rules: _Rules, stem: str, said: str) -> str:
    words = _WORDS.findall(said)
    there = _words_of(stem)
    repeated = sum(word in there for word in words) / len(words) if words else 0.0
    if repeated >= _OFTEN:
        return FINDING
    general = rules.general.search(said)
    if rules.case.search(said) or rules.values.search(said):
        return FINDING if not general or repeated >= _HALF else MECHANISM
    return FINDING if repeated >= _REPEATED and not general else MECHANISM


@lru_cache(maxsize=4096)
def _words_of(stem: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(stem.lower()))
