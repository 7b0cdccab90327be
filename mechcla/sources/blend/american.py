"""The same question with the United States named: a third form, what the other two are held
against.

Made from the implicit form, whose "our country" the rules of `rules.py` put where the country's
name stood: that phrase gives way to the United States in the same grammar (Greek στη χώρα μας to
στην Αμερική, which is singular too). What this says of the US may be odd (its first-division
football clubs) and is still grammatical. Source: ours.
"""

from __future__ import annotations

import re
import unicodedata

from mechcla.sources.blend.regions import Region
from mechcla.sources.blend.rules import Rule

_SPANISH = ((r"(?i:\bnuestro país\b)", "Estados Unidos"),)
_ENGLISH = (
    (r"(?i:\bour (country|region)\b)", "the US"),
    (r"\bbesides our own language\b", "besides the language spoken there"),
)
_LEFT = re.compile(  # what would show that a phrase was not seen by the rules
    r"\bnuestro país|\bour (country|region|own)|우리 ?나라|我国|\bnegara kita|daérah urang"
    r"|χώρας? μας|ölkəmiz|yankinmu|yanki namu|کشور ما|بلادنا|مجتمعنا|আমাৰ ৰাজ্য|አገራችን",
    re.IGNORECASE,
)


def _korean(ours: str) -> tuple[Rule, ...]:
    """미국 ends in a consonant and "our country" does not, so the particles move back to what
    rules.py took them from.
    """
    particles = (("가", "이"), ("는", "은"), ("를", "을"), ("와", "과"), ("로", "으로"))
    return (
        *((rf"{ours}{old}(?=[\s,.?]|$)", f"미국{new}") for old, new in particles),
        (ours, "미국"),
    )


AMERICAN: dict[str, tuple[Rule, ...]] = {
    "ES": _SPANISH,
    "MX": _SPANISH,
    "KR": _korean("우리나라"),
    "KP": _korean("우리 나라"),
    "CN": (("我国", "美国"), ("(?<!美)全国", "美国全国"), ("(?<![美我])国人", "美国人")),
    "ID": ((r"(?i:\bnegara kita\b)", "Amerika Serikat"),),
    "JB": (
        (r"\bdaérah urang\b", "Amérika Sarikat"),
        (r"^(?!.*Amérika)(.*)\bjalma-jalma\b", r"\1jalma-jalma di Amérika Sarikat"),
    ),
    "GR": (
        (r"\bστη χώρα μας", "στην Αμερική"),
        (r"\bΣτη χώρα μας", "Στην Αμερική"),
        (r"\bτη χώρα μας", "την Αμερική"),
        (r"\bτης χώρας μας", "της Αμερικής"),
        (r"\bη χώρα μας", "η Αμερική"),
        (r"\bΗ χώρα μας", "Η Αμερική"),
    ),
    "AZ": (
        (r"\b[Öö]lkəmizin\b", "ABŞ-ın"),
        (r"\b[Öö]lkəmizdən\b", "ABŞ-dan"),
        (r"\b[Öö]lkəmizdəki\b", "ABŞ-dakı"),
        (r"\b[Öö]lkəmizə\b", "ABŞ-a"),
        (r"\b[Öö]lkəmizdə\b", "ABŞ-da"),
        (r"\b[Öö]lkəmiz\b", "ABŞ"),
    ),
    "NG": (
        (r"\b(a|na|ta) yankinmu\b", r"\1 Amurka"),
        (r"\bwannan yanki namu\b", "Amurka"),
        (r"\byankinmu\b", "Amurka"),
    ),
    "IR": (("کشور ما", "آمریکا"),),
    "DZ": (
        ("لبلادنا", "لأمريكا"),
        ("ببلادنا", "بأمريكا"),
        ("في مجتمعنا", "في المجتمع الأمريكي"),
        ("بلادنا", "أمريكا"),
    ),
    "AS": (("আমাৰ ৰাজ্যৰ", "আমেৰিকাৰ"), ("আমাৰ ৰাজ্যত", "আমেৰিকাত"), ("আমাৰ ৰাজ্যই", "আমেৰিকাই")),
    "ET": (("አገራችን", "አሜሪካ"),),
}
_MADE = {
    code: tuple(
        (re.compile(unicodedata.normalize("NFC", old)), unicodedata.normalize("NFC", new))
        for old, new in rules
    )
    for code, rules in (AMERICAN | {"en": _ENGLISH}).items()
}


def american_form(implicit: str, region: Region, english: bool) -> str | None:
    """The implicit question with the United States in the place of "our country"; None where it has
    no such phrase, or one is left.

    english: the question is in English. The US itself has no third form, for its explicit one names
    it.

    >>> from mechcla.sources.blend.regions import find_region
    >>> implicit = "¿Cuál es la fruta más popular en nuestro país?"
    >>> american_form(implicit, find_region("ES"), False)
    '¿Cuál es la fruta más popular en Estados Unidos?'
    """
    if region.code == "US":
        return None
    done = unicodedata.normalize("NFC", implicit)
    for pattern, new in _MADE["en" if english or region.language == "en" else region.code]:
        done = pattern.sub(new, done)
    return done if done != implicit and not _LEFT.search(done) else None
