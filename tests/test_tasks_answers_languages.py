"""Languages of few words: their usual statements are read, denials, conditions and pairs are not."""

import pytest

from mechcot.core.prompt_settings import PromptSettings
from mechcot.tasks import Question, read_answer
from mechcot.tasks.multiple_choice import prompt_format

LETTER = prompt_format(PromptSettings())
DRUGS = Question("q", "d", "s", ("Beta blocker", "Amoxicillin", "Doxycycline", "Cefazolin"), 1, "g")


def _read(text):
    return read_answer(text, DRUGS, LETTER, "stop").option


@pytest.mark.parametrize(
    "text",
    [
        "Het juiste antwoord is B.",
        "Antwoord: B",
        "Het antwoord luidt dus: (B) Amoxicillin",
        "Rätt svar är B.",
        "Svar: (B)",
        "Prawidłowa odpowiedź to B.",
        "Odpowiedź: B",
        "Poprawną odpowiedzią jest (B).",
        "Správná odpověď je B.",
        "Odpověď: B) Amoxicillin",
        "Правильна відповідь: B.",
        "Правильна відповідь — це B.",
        "Jawaban yang benar adalah B.",
        "Jawaban: B",
        "Đáp án đúng là B.",
        "Đáp án: B",
        "Tôi chọn B.",
        "Doğru cevap B şıkkıdır.",
        "Doğru cevap: B",
        "התשובה הנכונה היא B.",
        "پاسخ صحیح گزینه B است.",
        "【答案】B",
        "【正解】B",
        "The answer is B🙂",
        "The answer is B ✅",
    ],
)
def test_usual_statements(text):
    assert _read(text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Het antwoord is B of C.",
        "Het antwoord is niet B.",
        "Als hij allergisch is, is het antwoord C.",
        "Misschien is het antwoord C.",
        "Svaret är B eller C.",
        "Svaret är inte B.",
        "Om han är allergisk är svaret C.",
        "Odpowiedź to B lub C.",
        "Odpowiedź to nie B.",
        "Jeśli ma alergię, odpowiedź to C.",
        "Odpověď je B nebo C.",
        "Pokud je alergický, odpověď je C.",
        "Відповідь: B або C",
        "Якщо є алергія, відповідь: C.",
        "Jawabannya adalah B atau C.",
        "Jawabannya bukan B.",
        "Jika alergi, jawabannya adalah C.",
        "Đáp án đúng là B hoặc C.",
        "Nếu dị ứng, đáp án là C.",
        "Doğru cevap B veya C.",
        "Eğer alerjisi varsa doğru cevap C şıkkıdır.",
        "התשובה היא B או C.",
        "אם הוא אלרגי, התשובה היא C.",
        "پاسخ صحیح گزینه B یا C است.",
        "The answer is B ❌",
        "The answer is B 🚫",
    ],
)
def test_what_commits_to_nothing(text):
    assert _read(text) == -1


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("The answer is B, and A is for later.", 1),
        ("La réponse est donc (B) la pénicilline.", 1),
        ("Donc (B).", 1),
        ("The answer is (B) or is it (C)?", -1),
        ("(B) is right, as are no others.", 1),
    ],
)
def test_their_words_change_nothing_in_other_languages(text, option):
    assert _read(text) == option
