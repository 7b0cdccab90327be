"""How each region's country, people and language are named, in its own language and in English.

The patterns are wider than the rules that make the implicit questions (`rules.py`), and know
nothing of them: what the rules leave behind is found here. They are read on NFC text, ignoring case
but for `(?-i:...)`. Boundaries are spelled out where a script's vowel signs are no word characters
to `re`.
"""

from __future__ import annotations

import re
import unicodedata

from mechcla.sources.blend.regions import Region, find_region

_HANGUL = r"(?<![가-힣])"
_ENGLISH = {
    "DZ": r"\balgeri\w*|\barabic\b(?! (numeral|number))",
    "AS": r"\bassam\w*|\baxom\w*",
    "AZ": r"\bazerbai\w*|\bazeris?\b",
    "CN": r"(?-i:\bChina\b)|\bchinese\b|(?-i:\bMandarin\b)",
    "ET": r"\bethiopi\w*|\bamharic\b",
    "GR": r"\bgreece\b|\bgreeks?\b|\bhellen\w*|\bpanhellen\w*",
    "ID": r"\bindonesi\w*",
    "IR": r"\biran\w*|\bpersian?s?\b|\bfarsi\b",
    "MX": r"\bmexic\w*|\bspanish\b",
    "KP": r"\bkorean?s?\b|\bdprk\b|\bhangu[lk]\b",
    "NG": r"\bnigeri\w*|\bhausa\w*",
    "KR": r"\bkorean?s?\b|\bhangu[lk]\b",
    "ES": r"\bspain\b|\bspanish\b|\bspaniards?\b|\bcastilian\b",
    "GB": r"(?-i:\bU\.?K\b)|\bbrit(ain|ish|ons?)\b|\bunited kingdom\b|\bengl(and|ish)\w*"
    r"|\bscot(land|tish|s)\b|\bwelsh\b|\bwales\b",
    "US": r"(?-i:\bU\.?S\.?(A\b|A\.|\b|(?=\s|$)))|\bamerica\w*|\bunited states\b|\benglish\b",
    "JB": r"\bwest java\w*|\bjava(nese)?\b|\bsunda\w*|\bindonesi\w*",
}
_LOCAL = {
    "DZ": r"جزائر|الجزاير|اللغة العربية|بالعربية|العرب(?!ي)",
    "AS": r"অসম(?=[তৰক]|ে(?![\u0980-\u09ff])|ী|[^\u0980-\u09ff]|$)(?!ৰ্থ)|আসাম|অহমীয়া",
    "AZ": r"\baz[əe]rba[yi][cj]an\w*|\baz[əe]ri\w*",
    "CN": r"(?<!其)中国|中國|中华|中文|中餐|中式|汉[语字族]|华[语人]|普通话",
    "ET": r"ኢትዮ|አማርኛ|[ሐሀአ]በሻ",
    "GR": r"[εέ]λλ(άδ|αδ|ην|ήν|άς)\w*|\bρωμι[οέ]\w*",
    "ID": r"\bindonesia\w*",
    "IR": r"ایران|فارس|پارسی|ايران",
    "MX": r"\bm[eé][xj]ic\w*|\bespañol\w*|\bcastellan\w*",
    "KP": r"북한|조선|한국|한반도|한민족|" + _HANGUL + r"(한글|한식|공화국)",
    "NG": r"\bna[ij]+[eé]?ri\w*|\bnigeri\w*|\bhausa\w*|\barewa\w*|\bbahaush\w*",
    "KR": r"한국|대[한힌]민국|남한|한반도|한민족|조선(?![소업])|" + _HANGUL + r"(한글|한식)",
    "ES": r"\bespañ\w*|\bespana\b|\bcastellan\w*|\bhispan\w*",
    "JB": r"\bjawa\b|\bsunda\w*|\bindon[eé]sia\w*|\bjabar\b",
}
_PATTERNS = {
    code: re.compile(
        unicodedata.normalize("NFC", "|".join(p for p in (_LOCAL.get(code), english) if p)),
        re.IGNORECASE,
    )
    for code, english in _ENGLISH.items()
}


def named_country(text: str, region: str | Region) -> str | None:
    """The first words of the text that name the region's country, people or language, or None.

    text: a question or a prompt, in the region's language or in English. Source: ours. The claim is
    about names alone: a festival, a city or a dish can give a country away too, and is not looked
    for.

    >>> named_country("¿Cuál es la fruta más popular en España?", "ES")
    'España'
    >>> named_country("¿Cuál es la fruta más popular en nuestro país?", "ES") is None
    True
    """
    match = _PATTERNS[find_region(region).code].search(unicodedata.normalize("NFC", text))
    return match.group() if match else None
