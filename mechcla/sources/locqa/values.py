"""Answers that mean the same in every language: one number, one date, or a code.

LocQA gives an answer in the languages of its place alone. Such an answer can be carried into
another language without translating anything: it takes the place of the number, date or code in
that language's own answer to the same question ("18 ans" and 21 make "21 ans"), so that unit, order
and spelling are that answer's. Codes are the order of day, month and year, the letters of plug
types, and ISO 4217 currencies. Source: ours. Month names are those of Unicode CLDR.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "date", "order", "letters", "currency"]
KINDS: tuple[Kind, ...] = ("currency", "order", "letters", "date", "number")

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "he": "ינואר פברואר מרץ אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
    "hi": "जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर",
    "id": "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
    "ms": "Januari Februari Mac April Mei Jun Julai Ogos September Oktober November Disember",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro"
    " dezembro",
}
MONTHS = {code: unicodedata.normalize("NFC", names).split() for code, names in _MONTHS.items()}
# The words and letters for day, month and year in date formats, by language.
_ORDER = {
    "en": ("D", "M", "Y"),
    "es": ("d", "m", "a"),
    "fr": ("J", "M", "A"),
    "de": ("T", "M", "J"),
    "he": ("יום", "חודש", "שנה"),
    "hi": ("D", "M", "Y"),
    "id": ("hari", "bulan", "tahun"),
    "it": ("g", "m", "a"),
    "ja": ("D", "M", "Y"),
    "ko": ("일", "월", "년"),
    "pt": ("d", "m", "a"),
    "zh": ("D", "M", "Y"),
}
_NUMBER = re.compile(r"(?<![^\W\d_])(?<![A-Za-z]-)\d+(?:[.,]\d+)*(?![A-Za-z\d])")
_CURRENCY = re.compile(r"\(([A-Z]{3})\)$")
_LETTER = re.compile(r"(?<!\w)[A-Z](?!\w)")
_NUMERIC_DATE = re.compile(r"^(?:(\d{4})[年년]\s*)?(\d{1,2})[月월]\s*(\d{1,2})[日号일]$")
_CJK = ("zh", "ja", "ko")


@dataclass(frozen=True)
class Value:
    """What an answer says: its kind, its parts in a fixed order, and where they stand in the text.

    number: (digits,). date: (year or "", month, day). order: the three of "DMY" as the answer
    writes them. letters: sorted. currency: (code,). spans: of the parts as the text has them.
    """

    kind: Kind
    parts: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] = ()

    def same(self, other: Value) -> bool:
        """Whether both say the same. A date without a year says nothing of one with a year."""
        return (self.kind, self.parts) == (other.kind, other.parts)


def parse(text: str, language: str, kind: Kind) -> Value | None:
    """The value of this kind that the text is, or None: several numbers, for one, are no number.

    >>> parse("18 ans", "fr", "number").parts
    ('18',)
    >>> parse("1er janvier", "fr", "date").parts
    ('', '1', '1')
    """
    plain = unicodedata.normalize("NFKC", text)
    if len(plain) != len(text):
        return None
    if kind == "currency":
        found = _CURRENCY.search(plain)
        return Value(kind, (found[1],), (found.span(1),)) if found else None
    if kind == "order":
        return _order(plain, language)
    if kind == "letters":
        marks = list(_LETTER.finditer(plain))
        if not marks or any(c.isdigit() for c in plain):
            return None
        return Value(kind, tuple(sorted(m[0] for m in marks)), tuple(m.span() for m in marks))
    if kind == "date":
        return _date(plain, language)
    numbers = list(_NUMBER.finditer(plain))
    if len(numbers) != 1 or sum(map(str.isdigit, plain)) != sum(map(str.isdigit, numbers[0][0])):
        return None
    return Value(kind, (numbers[0][0].replace(",", "."),), (numbers[0].span(),))


def carry(value: Value, model: str, language: str) -> str | None:
    """The value as the answer `model` of that language would write it, or None where that answer
    has another form.

    >>> carry(parse("October 1", "en", "date"), "12. September", "de")
    '1. Oktober'
    >>> carry(parse("MM/DD/YYYY", "en", "order"), "TT.MM.JJJJ", "de")
    'MM.TT.JJJJ'
    """
    own = parse(model, language, value.kind)
    if own is None or len(own.parts) != len(value.parts):
        return None
    if value.kind == "currency":
        return value.parts[0]
    if value.kind == "date":
        return _write_date(value, own, model, language)
    if value.kind == "order":
        tokens = {part: model[a:b] for part, (a, b) in zip(own.parts, own.spans, strict=True)}
        return _replace(model, own.spans, [tokens[part] for part in value.parts])
    new = list(value.parts)
    if value.kind == "number":
        comma = "," in model[slice(*own.spans[0])] or (language in _COMMA and "." in new[0])
        new = [_digits(new[0].replace(".", ",") if comma else new[0], model)]
    return _replace(model, own.spans, new)


_COMMA = ("de", "fr", "it", "pt", "id", "es")


def _order(text: str, language: str) -> Value | None:
    names = _ORDER[language]
    parts = [(f"(?:{n})+" if len(n) == 1 and n.isascii() else n) for n in names]
    flags = re.IGNORECASE if names[0].isascii() else 0
    found = re.fullmatch(
        rf"(?P<a>{'|'.join(parts)})\W+(?P<b>{'|'.join(parts)})\W+(?P<c>{'|'.join(parts)})",
        text,
        flags,
    )
    if not found:
        return None
    said = []
    for group in "abc":
        first = found[group].casefold()
        said += ["DMY"[i] for i, n in enumerate(names) if first.startswith(n.casefold())][:1]
    if sorted(said) != ["D", "M", "Y"]:
        return None
    return Value("order", tuple(said), tuple(found.span(g) for g in "abc"))


def _date(text: str, language: str) -> Value | None:
    if language in _CJK:
        found = _NUMERIC_DATE.match(text)
        if not found:
            return None
        spans = tuple(found.span(k) for k in (1, 2, 3))
        return Value("date", (found[1] or "", str(int(found[2])), str(int(found[3]))), spans)
    named = _month(text, language)
    if named is None:
        return None
    month, span, _ = named
    rest = text[: span[0]] + " " * (span[1] - span[0]) + text[span[1] :]
    numbers = list(re.finditer(r"\d+", rest))
    years = [n for n in numbers if len(n[0]) == 4]
    days = [n for n in numbers if len(n[0]) < 3 and 0 < int(n[0]) < 32]
    if len(days) != 1 or len(years) > 1 or len(numbers) != len(days) + len(years):
        return None
    extra = re.sub(r"\d+|[\s,.°־-]|\b(?:de|er|ה|ב)\b|(?<=\d)er", "", rest)
    if extra and not (language == "he" and extra in ("ה", "ב", "הב")):
        return None
    year = years[0] if years else None
    return Value(
        "date",
        (year[0] if year else "", str(month), str(int(days[0][0]))),
        (year.span() if year else (-1, -1), span, days[0].span()),
    )


def _month(text: str, language: str) -> tuple[int, tuple[int, int], list[str]] | None:
    """Number, place and table of the one month that the text names. Malay ones stand in the answers
    of Malaysia, which the file gives as Indonesian.
    """
    for names in [MONTHS[c] for c in (("id", "ms") if language == "id" else (language,))]:
        hits = [
            (k + 1, m.span(), names)
            for k, name in enumerate(names)
            if (
                m := re.search(
                    rf"(?<![^\W\d_]){_prefix(language)}({re.escape(name)})(?!\w)", text, re.I
                )
            )
        ]
        if len(hits) == 1:
            number, span, _ = hits[0]
            start = span[1] - len(names[number - 1])
            return number, (start, span[1]), names
    return None


def _prefix(language: str) -> str:
    return "ב?" if language == "he" else ""


def _write_date(value: Value, own: Value, model: str, language: str) -> str | None:
    if bool(value.parts[0]) != bool(own.parts[0]):
        return None
    year, month, day = value.parts
    if language in _CJK:
        spans = own.spans if year else own.spans[1:]
        new = [year, month, day] if year else [month, day]
        return _replace(model, spans, [_digits(n, model) for n in new])
    named = _month(model, language)
    if named is None:
        return None
    name = named[2][int(month) - 1]
    if model[own.spans[1][0]].islower():
        name = name.lower()
    if language in ("fr", "it", "pt"):  # the first of a month is an ordinal, the other days are not
        tail = re.match(r"(er|°|º)", model[own.spans[2][1] :])
        ordinal = {"fr": "er", "it": "°"}.get(language, "")
        end = own.spans[2][1] + (tail.end() if tail else 0)
        spans = (own.spans[0], own.spans[1], (own.spans[2][0], end))
        day += ordinal if day == "1" else ""
    else:
        spans = own.spans
    new = [year, name, day]
    return _replace(model, spans if year else spans[1:], new if year else new[1:])


def _digits(number: str, model: str) -> str:
    """The number in full-width digits where the model's are."""
    wide = any("\uff10" <= c <= "\uff19" for c in model)
    return "".join(chr(ord(c) + 0xFEE0) if wide and c.isdigit() else c for c in number)


def _replace(text: str, spans: tuple[tuple[int, int], ...], new: list[str]) -> str:
    for (start, stop), part in sorted(zip(spans, new, strict=True), reverse=True):
        text = text[:start] + part + text[stop:]
    return text
