"""The 42 languages of Global-MMLU, and the words after which an answer stands in each.

The codes are the data set's own config names. The cues are ours: the data set ships questions and
options only. Those for Chinese and Japanese end in a full-width colon and take no space before the
answer.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mechcla.errors import MechclaError, nearest


@dataclass(frozen=True)
class Language:
    """One language: its English name, its answer cue, and what stands between the cue and an
    answer.
    """

    name: str
    cue: str
    separator: str = " "


LANGUAGES: dict[str, Language] = {
    "am": Language("Amharic", "መልስ:"),
    "ar": Language("Arabic", "الإجابة:"),
    "bn": Language("Bengali", "উত্তর:"),
    "cs": Language("Czech", "Odpověď:"),
    "de": Language("German", "Antwort:"),
    "el": Language("Greek", "Απάντηση:"),
    "en": Language("English", "Answer:"),
    "es": Language("Spanish", "Respuesta:"),
    "fa": Language("Persian", "پاسخ:"),
    "fil": Language("Filipino", "Sagot:"),
    "fr": Language("French", "Réponse :"),
    "ha": Language("Hausa", "Amsa:"),
    "he": Language("Hebrew", "תשובה:"),
    "hi": Language("Hindi", "उत्तर:"),
    "id": Language("Indonesian", "Jawaban:"),
    "ig": Language("Igbo", "Azịza:"),
    "it": Language("Italian", "Risposta:"),
    "ja": Language("Japanese", "答え：", ""),
    "ko": Language("Korean", "정답:"),
    "ky": Language("Kyrgyz", "Жооп:"),
    "lt": Language("Lithuanian", "Atsakymas:"),
    "mg": Language("Malagasy", "Valiny:"),
    "ms": Language("Malay", "Jawapan:"),
    "ne": Language("Nepali", "उत्तर:"),
    "nl": Language("Dutch", "Antwoord:"),
    "ny": Language("Chichewa", "Yankho:"),
    "pl": Language("Polish", "Odpowiedź:"),
    "pt": Language("Portuguese", "Resposta:"),
    "ro": Language("Romanian", "Răspuns:"),
    "ru": Language("Russian", "Ответ:"),
    "si": Language("Sinhala", "පිළිතුර:"),
    "sn": Language("Shona", "Mhinduro:"),
    "so": Language("Somali", "Jawaab:"),
    "sr": Language("Serbian", "Одговор:"),
    "sv": Language("Swedish", "Svar:"),
    "sw": Language("Swahili", "Jibu:"),
    "te": Language("Telugu", "సమాధానం:"),
    "tr": Language("Turkish", "Cevap:"),
    "uk": Language("Ukrainian", "Відповідь:"),
    "vi": Language("Vietnamese", "Trả lời:"),
    "yo": Language("Yoruba", "Ìdáhùn:"),
    "zh": Language("Chinese", "答案：", ""),
}
_OTHER_NAMES = {
    "tl": "fil",
    "iw": "he",
    "in": "id",
    "tagalog": "fil",
    "farsi": "fa",
    "mandarin": "zh",
    "nyanja": "ny",
}


def check_language(code: str) -> None:
    """Raises MechclaError with the code that was probably meant: "spanish", "pt-BR" and "tl" are
    understood.

    >>> check_language("es")
    """
    if code in LANGUAGES:
        return
    plain = str(code).casefold()
    names = {language.name.casefold(): key for key, language in LANGUAGES.items()} | _OTHER_NAMES
    stem = plain.replace("_", "-").split("-")[0]
    meant = (
        next((c for c in (plain, stem) if c in LANGUAGES), None)
        or names.get(plain)
        or names.get(stem)
    )
    if meant is None and (
        close := difflib.get_close_matches(plain, [n for n in names if len(n) > 2], n=1, cutoff=0.7)
    ):
        meant = names[close[0]]
    if meant is not None:
        raise MechclaError(
            f"Global-MMLU has no language {code!r}; "
            f"did you mean {meant!r} ({LANGUAGES[meant].name})?"
        )
    raise MechclaError(f"Global-MMLU has no language {code!r}; {nearest(code, LANGUAGES, 50)}")
