"""Answers that differ by case ("for a child B; for an adult, C"), and what only looks like them."""

import pytest

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question, read_answer
from mechcot.tasks.multiple_choice import prompt_format

LETTER = prompt_format(PromptSettings())
DRUGS = Question("q", "d", "s", ("Beta blocker", "Amoxicillin", "Doxycycline", "Cefazolin"), 1, "g")


@pytest.mark.parametrize(
    "text",
    [
        "The answer for a child is B; for an adult, C.",
        "The answer is B for a child and C for an adult.",
        "The answer is (B) for mild disease, (D) for severe disease.",
        "For a child the answer is B; for an adult it is C.",
        "In children, the answer is B. In adults, C.",
        "The correct answer is (B) when the patient is stable. When unstable, it is (C).",
        "The answer is (B) for children. For adults: (C).",
        "Answer: B (children), C (adults).",
        "Answer: (B) if pregnant, otherwise (C).",
        "The answer is B unless he is allergic, in which case C.",
        "The answer is (B) before surgery and (D) after it.",
        "The answer is amoxicillin for a child and doxycycline for an adult.",
        "The answer for the first part is B, and for the second part C.",
        "With renal failure, the answer is B; without it, C.",
        "Die Antwort für Kinder ist B; für Erwachsene C.",
        "La réponse est B pour un enfant, C pour un adulte.",
        "For a child, B; for an adult, the answer is C.",
        "The answer is B for a child, whereas for adults it would be C.",
        "I choose B for a child and C for an adult.",
        "Therefore, (B) in children and (C) in adults.",
        "For an inpatient the best drug is (B); for an outpatient, (D).",
        "The answer is option B in pregnancy, but option C otherwise.",
        "\\boxed{B} for a child; \\boxed{C} for an adult.",
        "Depending on the age, the answer is B or C.",
        "If the wound is clean, the answer is A; otherwise, the answer is D.",
        "The answer is B at first; later, C.",
        "(B) is correct for children; (C) for adults.",
        "The answer is B (for a child) or C (for an adult).",
        "The answer under the old rule is B, under the new one C.",
        "The answer for a child is amoxicillin; for an adult, doxycycline.",
        "Ответ для детей B, для взрослых C.",
        "La respuesta es B para niños y C para adultos.",
        "对于儿童，答案是B；对于成人，C。",
        "B for a child, C for an adult.",
        "If the patient is a child: B. If the patient is an adult: C.",
        "Answer: B in children / C in adults",
        "The answer is B in summer and C in winter.",
        'The answer is "B" for a child; "C" for an adult.',
        "The answer is B for a child; doxycycline for an adult.",
        "The answer for a child is B; an adult: C.",
        "The answer for a child is B; adults get C.",
        "Answer: B (or C in renal failure).",
    ],
)
def test_options_of_several_cases_are_no_answer(text):
    assert read_answer(text, DRUGS, LETTER, "stop").option == -1


@pytest.mark.parametrize(
    "text",
    [
        "The answer for this child is B; for an adult, C would be used.",
        "The answer is B, because C is for adults.",
        "The answer is (B). In adults, (C) would be used.",
        "The answer is (B). If he is allergic, the answer is (C).",
        "In a child with fever, the answer is B.",
        "In a child with fever, the answer is B. In contrast, (C) stains the teeth.",
        "The answer is B for a child, not C.",
        "For a child the answer is B; for this age C is wrong.",
        "The answer for a child of five is B, and A, C and D are wrong.",
        "The answer is B for this patient. For adults, C.",
        "The best drug for a child is (B). For completeness, (C) stains teeth.",
        "Given his age, the answer is (B). With (C), teeth are stained.",
        "The answer is B for this reason; in addition, D is given before surgery.",
        "For these reasons, the answer is B. In short: B.",
        "In this case, the answer is B; in adults, C.",
        "In children with otitis, the correct answer is B. For surgery, (D) is given.",
        "After reading the case, the answer is (B). Before that, (A) was given.",
        "In summary, the answer is B. For adults, (C) is an option.",
        "The answer is B for the child in question. Without fever, (A) may help.",
        "In conclusion, the answer is B. In adults, C.",
        "For a child in this state the answer is clearly B: amoxicillin.",
        "For a child with fever the answer is B; amoxicillin.",
        "In a child with fever, the answer is B; thus option C fails.",
    ],
)
def test_what_is_said_of_another_case_leaves_the_answer(text):
    assert read_answer(text, DRUGS, LETTER, "stop").option == 1
