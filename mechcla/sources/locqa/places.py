"""The twelve languages and 49 places of LocQA: how its file and our tags name them, and how a
sentence in the language says that one lives there.

The sentences are ours: "We live in ..." with the place as the language says it after that verb, so
that articles and prepositions are right (French au Canada, German in der Schweiz). The names in
them are those of Unicode CLDR, but for the Congo (CLDR: "Congo-Kinshasa") and Hindi's United States
(CLDR has the first two words alone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mechcla.errors import MechclaError, nearest

US = "US"


@dataclass(frozen=True)
class Language:
    """One language of the file.

    name: the file's key. says: "We live in {}." in the language. joint: what stands between two
    sentences. where: by ISO 3166 code, the place after the verb; the language's main place is the
    first, and the United States are always there. labels: how the file names each place.
    """

    code: str
    name: str
    says: str
    where: Mapping[str, str]
    labels: Mapping[str, str]
    joint: str = " "

    @property
    def main(self) -> str:
        """The place that the bare language tag stands for where several are asked for."""
        return next(iter(self.where))

    def cue(self, country: str) -> str:
        """The sentence that one lives there.

        >>> LANGUAGES["fr"].cue("CA")
        'Nous vivons au Canada.'
        """
        return self.says.format(self.where[country])


@dataclass(frozen=True)
class Place:
    """One place of one language: ISO 3166 code and language tag."""

    language: str
    country: str
    tag: str


def _language(
    code: str,
    name: str,
    says: str,
    places: Mapping[str, tuple[str, str]],
    us: str = "",
    joint: str = " ",
) -> Language:
    """places: by country, the file's label and the place after the verb. us: the same words for the
    United States where the file does not ask about them in this language.
    """
    where = {country: phrase for country, (_, phrase) in places.items()}
    labels = {label: country for country, (label, _) in places.items()}
    return Language(code, name, says, where | ({US: us} if us else {}), labels, joint)


LANGUAGES: dict[str, Language] = {
    one.code: one
    for one in (
        _language(
            "en",
            "English",
            "We live in {}.",
            {
                "US": ("USA", "the United States"),
                "GB": ("UK", "the United Kingdom"),
                "CA": ("Canada", "Canada"),
                "AU": ("Australia", "Australia"),
                "ZA": ("South Africa", "South Africa"),
                "IE": ("Ireland", "Ireland"),
                "NZ": ("New Zealand", "New Zealand"),
            },
        ),
        _language(
            "es",
            "Spanish",
            "Vivimos en {}.",
            {
                "ES": ("Spain", "España"),
                "MX": ("Mexico", "México"),
                "US": ("USA", "Estados Unidos"),
                "CO": ("Colombia", "Colombia"),
                "AR": ("Argentina", "Argentina"),
                "PE": ("Peru", "Perú"),
                "VE": ("Venezuela", "Venezuela"),
                "CL": ("Chile", "Chile"),
                "GT": ("Guatemala", "Guatemala"),
                "EC": ("Ecuador", "Ecuador"),
                "BO": ("Bolivia", "Bolivia"),
                "CU": ("Cuba", "Cuba"),
                "DO": ("the Dominican Republic", "la República Dominicana"),
                "HN": ("Honduras", "Honduras"),
                "PY": ("Paraguay", "Paraguay"),
                "NI": ("Nicaragua", "Nicaragua"),
                "SV": ("El Salvador", "El Salvador"),
                "CR": ("Costa Rica", "Costa Rica"),
                "PA": ("Panama", "Panamá"),
                "UY": ("Uruguay", "Uruguay"),
            },
        ),
        _language(
            "fr",
            "French",
            "Nous vivons {}.",
            {
                "FR": ("France", "en France"),
                "CD": ("Congo (DR)", "en République démocratique du Congo"),
                "CA": ("Canada", "au Canada"),
                "HT": ("Haiti", "en Haïti"),
                "BE": ("Belgium", "en Belgique"),
                "CH": ("Switzerland", "en Suisse"),
                "ML": ("Mali", "au Mali"),
            },
            "aux États-Unis",
        ),
        _language(
            "de",
            "German",
            "Wir leben in {}.",
            {
                "DE": ("Germany", "Deutschland"),
                "AT": ("Austria", "Österreich"),
                "CH": ("Switzerland", "der Schweiz"),
            },
            "den Vereinigten Staaten",
        ),
        _language("he", "Hebrew", "אנחנו גרים ב{}.", {"IL": ("Israel", "ישראל")}, "ארצות הברית"),
        _language(
            "hi",
            "Hindi",
            "हम {} में रहते हैं।",
            {"IN": ("India", "भारत")},
            "संयुक्त राज्य अमेरिका",
        ),
        _language(
            "id",
            "Indonesian",
            "Kami tinggal di {}.",
            {"ID": ("Indonesia", "Indonesia"), "MY": ("Malaysia", "Malaysia")},
            "Amerika Serikat",
        ),
        _language(
            "it", "Italian", "Viviamo {}.", {"IT": ("Italy", "in Italia")}, "negli Stati Uniti"
        ),
        _language(
            "ja",
            "Japanese",
            "私たちは{}に住んでいます。",
            {"JP": ("Japan", "日本")},
            "アメリカ合衆国",
            joint="",
        ),
        _language(
            "ko",
            "Korean",
            "우리는 {}에 살고 있습니다.",
            {"KR": ("South Korea", "대한민국"), "KP": ("North Korea", "북한")},
            "미국",
        ),
        _language(
            "pt",
            "Portuguese",
            "Vivemos {}.",
            {"PT": ("Portugal", "em Portugal"), "BR": ("Brazil", "no Brasil")},
            "nos Estados Unidos",
        ),
        _language(
            "zh",
            "Chinese",
            "我们住在{}。",
            {"CN": ("China (Chinese)", "中国"), "SG": ("Singapore (Chinese)", "新加坡")},
            "美国",
            joint="",
        ),
    )
}
Choice = Mapping[str, str | Iterable[str]] | None


def find_language(given: object, code: str = "") -> Language:
    """The language of this code; `code` is it where `given` is a tag such as "es-MX". Raises
    MechclaError with the nearest one.
    """
    if isinstance(given, str) and (code or given) in LANGUAGES:
        return LANGUAGES[code or given]
    raise MechclaError(f"LocQA has no language {given!r}; {nearest(str(given), LANGUAGES, 20)}")


def find_places(languages: Iterable[str] | None, places: object) -> tuple[Place, ...]:
    """The places asked for, with the tag of each.

    languages: codes or tags; None: those that `places` names, and English, or all. A language that
    `places` does not name has all its places.
    A language asked about one place has the bare tag ("es"), which joins it with other sources in
    that language. Asked about several, its main place has the bare tag and the others have their
    country in it ("es-MX"). Raises MechclaError for a language or place that LocQA lacks.

    >>> [place.tag for place in find_places(["es", "ko"], {"es": ["ES", "MX"], "ko": "KP"})]
    ['es', 'es-MX', 'ko']
    """
    if places is not None and not isinstance(places, Mapping):
        raise MechclaError(
            f"places={places!r}; expected a mapping of languages to places, such as "
            '{"es": "ES"} or {"es": ["ES", "MX"]}'
        )
    named = places if isinstance(places, Mapping) else {}
    chosen = {find_language(code).code: value for code, value in named.items()}
    if isinstance(languages, str):
        languages = [languages]
    asked: Iterable[str] = ("en", *chosen) if chosen else LANGUAGES
    if languages is not None:
        asked = [find_language(tag, str(tag).split("-")[0]).code for tag in languages]
    found = []
    for code in dict.fromkeys(asked):
        language = LANGUAGES[code]
        codes = _countries(language, chosen[code]) if code in chosen else _all(language)
        first = codes[0] if len(codes) == 1 else language.main
        found += [Place(code, c, code if c == first else f"{code}-{c}") for c in codes]
    return tuple(found)


def _all(language: Language) -> tuple[str, ...]:
    return tuple(c for c in language.where if c in language.labels.values())


def _countries(language: Language, asked: object) -> tuple[str, ...]:
    names = [asked] if isinstance(asked, str) else asked
    known = _all(language)
    if not isinstance(names, Iterable) or not (names := tuple(names)):
        raise MechclaError(
            f"places[{language.code!r}] is {asked!r}; expected one or more of {', '.join(known)}"
        )
    for name in names:
        if name not in known:
            raise MechclaError(
                f"LocQA asks nothing about {name!r} in {language.name}; "
                f"{nearest(str(name), known, 20)}"
            )
    return tuple(country for country in known if country in names)
