"""A hedge put in and taken out: hand-written pairs, traps, and the round trip."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.steps.hedging import HEDGE, hedged_pair
from mechcot.steps.number import is_plural

# (text, hedged, plain)
PAIRS = [
    # plain texts: a hedge is put in
    ("The patient has gout.", "The patient probably has gout.", "The patient has gout."),
    ("The diagnosis is gout.", "The diagnosis is probably gout.", "The diagnosis is gout."),
    ("Statins are the answer.", "Statins are probably the answer.", "Statins are the answer."),
    ("The mass was benign", "The mass was probably benign", "The mass was benign"),
    ("This is not gout.", "This is probably not gout.", "This is not gout."),
    ("This isn't gout.", "This probably isn't gout.", "This isn't gout."),
    ("It's gout.", "It's probably gout.", "It's gout."),
    ("It’s gout.", "It’s probably gout.", "It’s gout."),
    ("Aspirin inhibits COX-1.", "Aspirin probably inhibits COX-1.", "Aspirin inhibits COX-1."),
    ("These findings suggest gout.", "These findings probably suggest gout.", "These findings suggest gout."),
    ("This causes pain.", "This probably causes pain.", "This causes pain."),
    ("The drug does not cross the placenta.", "The drug probably does not cross the placenta.", None),
    ("The drug cannot cross it.", "The drug probably cannot cross it.", None),
    ("He will need surgery.", "He will probably need surgery.", None),
    ("Lithium can affect the thyroid.", "Lithium can probably affect the thyroid.", None),
    ("There is a fracture.", "There is probably a fracture.", None),
    ("That is wrong.", "That is probably wrong.", None),
    ("The serum potassium is 6.2 mEq/L.", "The serum potassium is probably 6.2 mEq/L.", None),
    ("The answer is (B).", "The answer is probably (B).", None),
    ("The answer is: B", "The answer is probably: B", None),
    ("The answer is **aspirin**.", "The answer is probably **aspirin**.", None),
    ("In May 2019, the patient was ill.", "In May 2019, the patient was probably ill.", None),
    ("The scan of May 2019 is normal.", "The scan of May 2019 is probably normal.", None),
    ("The most likely diagnosis is gout.", "The most likely diagnosis is probably gout.", None),
    ("Given the rash, the diagnosis is lupus.", "Given the rash, the diagnosis is probably lupus.", None),
    (
        "Because the patient is old, surgery is risky.",
        "Because the patient is old, surgery is probably risky.",
        None,
    ),
    ("Therefore, the drug is heparin.", "Therefore, the drug is probably heparin.", None),
    ("1. The patient has gout.", "1. The patient probably has gout.", None),
    ("- **Labs:** The sodium is 120.", "- **Labs:** The sodium is probably 120.", None),
    ("Step 2: The patient has gout.", "Step 2: The patient probably has gout.", None),
    ("Diagnosis: it is gout.", "Diagnosis: it is probably gout.", None),
    ("**Gout** is a crystal arthropathy.", "**Gout** is probably a crystal arthropathy.", None),
    (
        "The patient (a man who is 45) has gout.",
        "The patient (a man who is 45) probably has gout.",
        None,
    ),
    (
        "Ménière's disease is a disorder of the inner ear.",
        "Ménière's disease is probably a disorder of the inner ear.",
        None,
    ),
    (
        "This suggests that the lesion is old.",
        "This probably suggests that the lesion is old.",
        None,
    ),
    (
        "The sodium is 120. The patient has SIADH.",
        "The sodium is probably 120. The patient probably has SIADH.",
        None,
    ),
    ("Assessment\nThe patient has gout.", "Assessment\nThe patient probably has gout.", None),
    # hedged texts: their hedges are taken out
    ("The mass may be benign.", "The mass is probably benign.", "The mass is benign."),
    ("These may be benign.", "These are probably benign.", "These are benign."),
    ("The symptoms could be viral.", "The symptoms are probably viral.", "The symptoms are viral."),
    (
        "The cause of the symptoms might be viral.",
        "The cause of the symptoms is probably viral.",
        "The cause of the symptoms is viral.",
    ),
    (
        "High levels of potassium may cause an arrhythmia.",
        "High levels of potassium probably cause an arrhythmia.",
        "High levels of potassium cause an arrhythmia.",
    ),
    (
        "Fever and rash may indicate measles.",
        "Fever and rash probably indicate measles.",
        "Fever and rash indicate measles.",
    ),
    (
        "Diabetes might explain the thirst.",
        "Diabetes probably explains the thirst.",
        "Diabetes explains the thirst.",
    ),
    ("The patient may have gout.", "The patient probably has gout.", "The patient has gout."),
    ("The mass may not be benign.", "The mass is probably not benign.", "The mass is not benign."),
    ("It may also be gout.", "It is probably also gout.", "It is also gout."),
    ("The NSAIDs may be to blame.", "The NSAIDs are probably to blame.", "The NSAIDs are to blame."),
    ("The rash is possibly due to it.", "The rash is probably due to it.", "The rash is due to it."),
    ("Perhaps the patient has gout.", "The patient probably has gout.", "The patient has gout."),
    ("Most likely, the patient has gout.", "The patient probably has gout.", "The patient has gout."),
    ("The patient likely has gout.", "The patient probably has gout.", "The patient has gout."),
    ("It is perhaps less benign.", "It is probably less benign.", "It is less benign."),
    ("The patient most likely is ill.", "The patient is probably ill.", "The patient is ill."),
    ("This is most likely gout.", "This is probably gout.", "This is gout."),
    ("Gout is likely to be the cause.", "Gout is probably the cause.", "Gout is the cause."),
    ("The drug is likely to worsen it.", "The drug probably worsens it.", "The drug worsens it."),
    ("It seems that the patient has gout.", "The patient probably has gout.", "The patient has gout."),
    (
        "It is likely that ACE inhibitors are safe.",
        "ACE inhibitors are probably safe.",
        "ACE inhibitors are safe.",
    ),
    ("I think this is gout.", "This is probably gout.", "This is gout."),
    ("I believe that this is gout.", "This is probably gout.", "This is gout."),
    ("I would guess that bile is green.", "Bile is probably green.", "Bile is green."),
    ("I think it may be gout.", "It is probably gout.", "It is gout."),
    ("So I think the answer is B.", "So the answer is probably B.", "So the answer is B."),
    ("The answer, I think, is B.", "The answer is probably B.", "The answer is B."),
    ("The answer is B, I think.", "The answer is probably B.", "The answer is B."),
    ("The lesion appears to be old.", "The lesion is probably old.", "The lesion is old."),
    ("The lesions appear to be old.", "The lesions are probably old.", "The lesions are old."),
    ("- Perhaps it is gout.", "- It is probably gout.", "- It is gout."),
    ("The serum sodium may be 118.5.", "The serum sodium is probably 118.5.", "The serum sodium is 118.5."),
    (
        "This suggests that the mass may be benign.",
        "This probably suggests that the mass is benign.",
        "This suggests that the mass is benign.",
    ),
    (
        "It may be gout. The patient likely has hyperuricaemia.",
        "It is probably gout. The patient probably has hyperuricaemia.",
        "It is gout. The patient has hyperuricaemia.",
    ),
]
TRAPS = [
    "",
    "...",
    "Is it gout?",
    "Could it be gout?",
    "May it rest.",
    "Consider gout.",
    "Perhaps consider gout.",
    "Let's look at the options.",
    "Normal potassium, elevated sodium.",
    "May 2019",
    "The patient may leave.",
    "You may have water.",
    "Aspirin may be given.",
    "The dose could be reduced slowly if needed.",
    "If it is gout, the uric acid is high.",
    "It is unclear whether it is gout.",
    'The patient says "I might have gout".',
    "The patient says 'it might be gout'.",
    "The likely diagnosis is gout.",
    "A possible cause is gout.",
    "Gout is likely.",
    "Gout is likely in this patient.",
    "Gout is more likely than lupus.",
    "Lupus is unlikely.",
    "Likely causes include gout.",
    "Possibly due to dehydration.",
    "The might of the heart is great.",
    "It might have been avoided.",
    "He could not walk.",
    "The bleeding may be arterial.",
    "The aspirin or the heparin may be to blame.",
    "The result, which may be false, is high.",
    "This is clearly gout.",
    "It may be gout. The patient has fever.",
    "It is gout. It may be lupus. It is not clear.",
    "`x = 1` is an assignment.",
    "```\nthis is code\n```",
    "| a | b |\n|---|---|\n| it is | c |",
    "The value is $x$.",
    "I don't think that it is gout.",
    "The patient must have gout.",
    "The patient should be given aspirin.",
    "Here is the list.",
    "I would start with fluids.",
    "Not all patients have a rash.",
    "Edrophonium temporarily improves strength.",
    "A drug to reduce fever helps.",
    "What is known is the dose.",
    "The drug that is given is aspirin.",
    "Neither is right.",
    "The patient has gout, " * 40,
    "The can is full of it",
    # likelihood itself is compared, asked for or denied
    *(f"{word} likely is option D." for word in ("Less", "More", "Most", "Least", "Very", "By far the most")),
    *(f"{word} likely is gout." for word in ("Equally", "As", "Just as", "Not", "Also", "Highly", "So")),
    "Likely is gout.",
    "- Less likely is option D.",
    "Therefore, less likely are options B and C.",
    "**Less likely** is option D.",
    "Less likely is that it is gout.",
    "Less likely, the patient has gout.",
    "More likely than not, it is gout.",
    "More probably, it is gout.",
    "Option D is less likely the cause.",
    "Option D is as likely the cause.",
    "The patient is much more likely to have gout.",
    "The patient is no more likely to have gout.",
    "The patient Less Likely has gout.",
    "It is more likely that this is gout.",
    "It is not likely that this is gout.",
    "It isn’t likely that this is gout.",
    "It never likely is gout.",
    "It is not probably gout.",
    "It cannot possibly be gout.",
    "This does not appear to be gout.",
    "This doesn't seem to be gout.",
    "It may be less probably gout.",
]


@pytest.mark.parametrize(("text", "hedged", "plain"), PAIRS)
def test_the_claim_stays_and_the_hedge_comes_and_goes(text, hedged, plain):
    plain = text if plain is None else plain
    assert hedged_pair(text) == (hedged, plain)
    assert hedged_pair(plain) == (hedged, plain)
    assert hedged_pair(hedged) == (hedged, plain)


@pytest.mark.parametrize("text", TRAPS)
def test_what_the_rules_cannot_treat_safely_has_no_pair(text):
    assert hedged_pair(text) is None


_SUBJECTS = (
    "The patient",
    "It",
    "These findings",
    "The cause of the rash",
    "Fever and rash",
    "ACE inhibitors",
)
_HEDGES = ("", "may ", "might well ", "could ", "probably ", "likely ", "I think, ")
_VERBS = (
    "is",
    "are",
    "be",
    "has",
    "have",
    "suggests",
    "represent",
    "causes",
    "leave",
    "indicate that it may be",
)
_OBJECTS = ("gout", "a 2.5 cm mass", "**old**", "(B)", "May 2019", "likely", "in the liver, and it may grow")
_ENDS = (".", "", "?", ". It is late.", ".\nPerhaps it is late.", "; it could be.")


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(("", "- ", "Perhaps ", "I think ", "So, ", "In May, ", "Given the rash, ")),
    st.sampled_from(_SUBJECTS),
    st.sampled_from(_HEDGES),
    st.sampled_from(_VERBS),
    st.sampled_from(_OBJECTS),
    st.sampled_from(_ENDS),
)
def test_pairs_come_back_as_they_are_and_differ_by_the_hedge_alone(opening, subject, hedge, verb, rest, end):
    text = f"{opening}{subject} {hedge}{verb} {rest}{end}"
    pair = hedged_pair(text)
    if pair is None:
        return
    hedged, plain = pair
    assert hedged_pair(plain) == pair == hedged_pair(hedged)
    assert HEDGE not in plain
    assert HEDGE in hedged
    assert hedged.replace(f" {HEDGE}", "").replace(f"{HEDGE} ", "") == plain


@given(st.text())
def test_any_text_has_a_pair_that_comes_back_or_none(text):
    pair = hedged_pair(text)
    assert pair is None or hedged_pair(pair[1]) == pair


@pytest.mark.parametrize(
    ("before", "plural"),
    [
        ("The diagnosis", False),
        ("The diagnoses", True),
        ("High levels of sodium", True),
        ("The level of these drugs", False),
        ("In this case, the criteria", True),
        ("This suggests that patients", True),
        ("SARS", False),
        ("The NSAIDs", True),
        ("Signs and symptoms", True),
        ("The white cells (WBC)", True),
        ("A or B", None),
        ("There", None),
        ("You", None),
        ("The man, a smoker,", None),
        ("Rashes seen", None),
        ("Bleeding", None),
        ("Genetics", None),
        ("2.5", None),
        ("", None),
    ],
)
def test_whether_a_subject_is_one_or_many(before, plural):
    assert is_plural(before) is plural
