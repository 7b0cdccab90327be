"""Fonts for every script: of what is installed, what draws a text; and whether anything does.

Matplotlib brings DejaVu Sans, which has Latin, Greek, Cyrillic and Arabic letters, and joins and
orders the latter itself (3.11 and later). Chinese, Japanese and Korean need a font of the system; a
text without one is never drawn as boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# Asked for in this order behind DejaVu Sans; each stands for many scripts or for one that the
# others lack.
WIDE = (
    "Noto Sans CJK SC",
    "Noto Sans CJK KR",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "NanumGothic",
    "Arial Unicode MS",
    "Noto Sans Bengali",
    "Lohit Assamese",
    "Noto Sans Ethiopic",
    "Abyssinica SIL",
)


@cache
def families() -> tuple[str, ...]:
    """Installed families in the order in which a glyph is looked for; matplotlib falls back from
    one to the next.
    """
    have = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in WIDE if name in have))


@cache
def _faces() -> tuple[FT2Font, ...]:
    return tuple(font_manager.get_font(font_manager.findfont(name)) for name in families())


@cache
def _has(character: str) -> bool:
    return any(face.get_char_index(ord(character)) for face in _faces())


def can_draw(text: str) -> bool:
    """Whether some installed font has a glyph for every character of the text.

    >>> can_draw("café, καφές, قهوه")
    True
    """
    return all(_has(c) for c in text if not c.isspace() and c not in "\u200c\u200d\u200e\u200f")


def undrawable(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts that no installed font can draw."""
    return tuple(text for text in texts if not can_draw(text))
