"""The wording of the universal prompts: two phrasings a relation and language, the first one in
use.

A bad template looks like a language gap, so each has a second one to test it against
(`python data/build.py --phrasing 1 --out DIR`). Slots are filled from `slots`: `{x}` is the name as
it is, the others carry the grammar: `{of}` "de la India", "της Ιαπωνίας"; `{the}` with its article;
`{ga}`, `{eul}`, `{iran}` Korean particles. Every prompt ends right where the answer begins.
"""

from __future__ import annotations

from data.names import EN_THE, ES_ARTICLE, greek_genitive, korean, spanish_of

PHRASINGS: dict[str, dict[str, tuple[str, str]]] = {
    "capital": {
        "en": ("The capital of {the} is", "The capital city of {the} is called"),
        "es": ("La capital {of} es", "La capital {of} es la ciudad de"),
        "zh": ("{x}的首都是", "国家：{x}。首都："),
        "id": ("Ibu kota negara {x} adalah", "Ibu kota {x} adalah kota"),
        "ko": ("{x}의 수도는", "{x}의 수도 이름은"),
        "el": ("Χώρα: {x}. Πρωτεύουσα:", "Η πρωτεύουσα {of} ονομάζεται"),
        "fa": ("پایتخت کشور {x} شهر", "کشور: {x}. پایتخت:"),
    },
    "capital_of": {
        "en": ("{x} is the capital of", "The country whose capital is {x} is"),
        "es": ("{x} es la capital de", "La ciudad de {x} es la capital de"),
        "zh": ("以{x}为首都的国家是", "首都：{x}。国家："),
        "id": ("{x} adalah ibu kota negara", "Negara yang beribu kota di {x} adalah"),
        "ko": ("수도가 {x}인 나라는", "{eul} 수도로 둔 나라는"),
        "el": ("Πρωτεύουσα: {x}. Χώρα:", "Η χώρα με πρωτεύουσα την πόλη {x} ονομάζεται"),
        "fa": ("{x} پایتخت کشور", "پایتخت: {x}. کشور:"),
    },
    "city": {
        "en": ("{x} is a city in the country of", "{x} is a city in"),
        "es": ("{x} es una ciudad situada en", "La ciudad de {x} está en"),
        "zh": ("{x}这座城市位于", "城市：{x}。国家："),
        "id": ("{x} adalah sebuah kota di negara", "Kota {x} terletak di negara"),
        "ko": ("{ga} 있는 나라는", "{iran} 도시가 위치한 나라는"),
        "el": ("Πόλη: {x}. Χώρα:", "Η χώρα όπου βρίσκεται η πόλη {x} ονομάζεται"),
        "fa": ("{x} شهری است در کشور", "شهر: {x}. کشور:"),
    },
    "continent": {
        "en": ("{The} is a country on the continent of", "{The} is located on the continent of"),
        "es": ("{El} es un país situado en", "{El} está en"),
        "zh": ("{x}位于", "{x}所在的大洲是"),
        "id": ("{x} adalah negara di benua", "Negara {x} terletak di benua"),
        "ko": ("{ga} 속한 대륙은", "{ga} 위치한 대륙은"),
        "el": ("Χώρα: {x}. Ήπειρος:", "Η ήπειρος {of} είναι η"),
        "fa": ("{x} کشوری است در قاره", "کشور: {x}. قاره:"),
    },
    "language": {
        "en": ("The official language of {the} is", "In {the}, the official language is"),
        "es": ("El idioma oficial {of} es el", "La lengua oficial {of} es el"),
        "zh": ("{x}的官方语言是", "国家：{x}。官方语言："),
        "id": ("Bahasa resmi negara {x} adalah bahasa", "Bahasa resmi di {x} adalah bahasa"),
        "ko": ("{x}의 공용어는", "{x}에서 공식 언어로 쓰는 말은"),
        "el": ("Χώρα: {x}. Επίσημη γλώσσα:", "Η επίσημη γλώσσα {of} είναι τα"),
        "fa": ("زبان رسمی کشور {x} زبان", "کشور: {x}. زبان رسمی:"),
    },
}


def prompt(relation: str, language: str, country: str, name: str, phrasing: int = 0) -> str:
    """The prompt for one fact; `name` is what it is about, `country` its ISO code (for the
    article).
    """
    return PHRASINGS[relation][language][phrasing].format(**slots(language, country, name))


def slots(language: str, country: str, name: str) -> dict[str, str]:
    """The name in the forms that the language's templates ask for."""
    if language == "en":
        the = f"the {name}" if country in EN_THE else name
        return {"x": name, "the": the, "The": the[0].upper() + the[1:]}
    if language == "es":
        the = " ".join(filter(None, (ES_ARTICLE.get(country), name)))
        return {"x": name, "of": spanish_of(country, name), "El": the[0].upper() + the[1:]}
    if language == "ko":
        return {
            "x": name,
            "ga": korean(name, "이", "가"),
            "eul": korean(name, "을", "를"),
            "iran": korean(name, "이라는", "라는"),
        }
    return {"x": name, "of": greek_genitive(name)} if language == "el" else {"x": name}
