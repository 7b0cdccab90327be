"""How seven languages name the seven demo cultures: their countries, peoples and languages, as
patterns.

The linter reads them, ignoring case, on text whose accents are removed; `(?-i:...)` is for words
that mean something else in lower case ("china", "us"). Patterns start at a word's edge where the
script has one, and leave out look-alikes: Korean 이란 is Iran but also a particle, 그리스도 is
Christ, Persian کره is butter too.
"""

from __future__ import annotations

_KO = r"(?<![가-힣])"

CULTURE_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "US": r"\bamerica(n|ns|s)?\b|\bunited states\b|\bengl(ish|and)\b"
        r"|(?-i:\bU\.?S\.?(A\b|A\.|\b|(?=\s|$)))",
        "ES": r"\bspain\b|\bspanish\b|\bspaniards?\b|\bcastilian\b",
        "CN": r"(?-i:\bChina\b)|\bchinese\b|(?-i:\bMandarin\b)",
        "ID": r"\bindonesian?s?\b",
        "KR": r"\bkoreans?\b|\bkorea\b|\bhangu[lk]\b",
        "GR": r"\bgreeks?\b|\bgreece\b|\bhellen(ic|es?)\b",
        "IR": r"\biran(ians?)?\b|\bpersian?s?\b|\bfarsi\b",
    },
    "es": {
        "US": r"\bestados unidos\b|\bee\.? ?uu\b|\bestadounidenses?\b"
        r"|\b(norte)?american[oa]s?\b|\bamerica\b|\bingl(es|esa|eses|esas|aterra)\b",
        "ES": r"\bespan(a|ol|ola|oles|olas)\b|(?<!de la )\bcastellan[oa]s?\b",
        "CN": r"(?-i:\bChina\b)|\bchin(os?|as|a)\b|\bmandarin\b",
        "ID": r"\bindonesi[oa]s?\b",
        "KR": r"\b(sur)?corean[oa]s?\b|\bcorea\b",
        "GR": r"\bgrecia\b|\bgrieg[oa]s?\b|\bhelenic[oa]s?\b",
        "IR": r"\biran\b|\biranies?\b|\bpersas?\b|\bpersia\b|\bfarsi\b",
    },
    "zh": {
        "US": r"(?<![优精完秀])美[国利][^尔]?|美籍|美式|英语|英文|美语",
        "ES": r"西班牙|西语",
        "CN": r"(?<!其)中国|中华|中文|中式|汉语|华语|华人|汉字|汉族|普通话",
        "ID": r"印尼|印度尼西亚",
        "KR": r"韩国|韩语|韩文|韩式|韩民族|朝鲜|大韩|高丽人",
        "GR": r"希腊",
        "IR": r"伊朗|(?<!孔)波斯",
    },
    "id": {
        "US": r"\bamerika\b|\b(bahasa|orang) inggris\b|\binggris\b",
        "ES": r"\bspanyol\b",
        "CN": r"\btiongkok\b|\btionghoa\b|\bcina\b|(?-i:\bChina\b)|\bmandarin\b",
        "ID": r"\bindonesia\b",
        "KR": r"\bkorea\b",
        "GR": r"\byunani\b",
        "IR": r"\biran\b|\bpersia\b|\bfarsi\b",
    },
    "ko": {
        "US": _KO + r"(미국|아메리카|미합중국|영어)",
        "ES": _KO + r"(스페인|에스파냐|서반아)",
        "CN": _KO + r"(중국|중화)",
        "ID": _KO + r"인도네시아",
        "KR": r"한국|대한민국|한민족|" + _KO + r"(한글|조선(?![소업]))",
        "GR": _KO + r"그리스(?!도)",
        "IR": _KO + r"(이란(?=$|\s|[의에인어은이을과와산식])(?!성)|페르시아)",
    },
    "el": {
        "US": r"\bαμερικ\w*|\bηνωμεν\w+ πολιτει\w*|\bηπα\b|\bαγγλικ\w*|\bαγγλια\w*",
        "ES": r"\bισπαν\w*",
        "CN": r"\bκιν(α|ας|εζ\w+)\b",
        "ID": r"\bινδονησ\w*",
        "KR": r"\b(νοτιο)?κορε(α|ας|ατ\w+)\b",
        "GR": r"\b(ελλαδ|ελλην|ελλας|ρωμι[οε])\w*",
        "IR": r"\bιραν\w*|\bπερσ(ια|ιας|ικ\w+|ης|ες|ων)\b|\bφαρσι\b",
    },
    "fa": {
        "US": r"\b[آا]مریکا\w*|\bایالات متحده|\bانگلیس\w*",
        "ES": r"\bاسپانی\w*",
        "CN": r"(?<!\u200c)\bچین(ی|ی\u200cها)?\b",
        "ID": r"\bاندونزی\w*",
        "KR": r"\bکره\u200cای\w*|\bکره (جنوبی|شمالی)",
        "GR": r"\bیونان\w*",
        "IR": r"\bایران\w*|\bفارسی\w*|\bپارسی\w*|\bفارس\b",
    },
}
