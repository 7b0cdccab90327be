"""Build the parallel facts that alignment methods train on: `python data/align.py` writes
data/align/facts.jsonl, data/align/heldout.jsonl and the card.

The output is the same, byte for byte, at every run; `--check` fails if what is committed differs.
No text names an entity of a demo item, in any language: facts that would are left out and counted,
and nothing is written if one is left.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.align_tables import (
    COUNTRIES,
    ELEMENTS,
    HELD_OUT_COUNTRIES,
    HELD_OUT_ELEMENTS,
    KINDS,
    OPERATIONS,
    OPPOSITES,
    WORDS,
)
from data.align_wordings import PROMPTS, WORDINGS
from data.build import LICENCE, SOURCE, halves, place
from data.cultural import separator
from data.files import checked, put
from data.names import CONTINENTS, LANGUAGES, row
from data.universal import (
    capital_names,
    continent,
    country_names,
    digest,
    facts,
    geonames,
    leaks,
    locale,
)
from mechcla.align.data import ParallelFact
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.sources.demo import demo_items

HERE = Path(__file__).resolve().parent
OUT = HERE / "align"
WRITTEN = "written for mechcla"
OWN_LICENCE = "CC-BY-4.0"
Names = dict[str, str]


def all_facts() -> tuple[list[ParallelFact], Counter[str]]:
    """Every fact that names no entity of an item, and how many of each topic were left out."""
    kept, left = [], Counter()
    for fact in candidates():
        if named(fact, entities()) or named(fact, held_out_names()):
            left[fact.topic] += 1
        else:
            kept.append(fact)
    return kept, left


def candidates() -> Iterator[ParallelFact]:
    """Every fact that the tables give, topic by topic."""
    for code in COUNTRIES:
        names, about = country_names(code), geonames()[code]
        if code in HELD_OUT_COUNTRIES:
            continue
        if not leaks(names, capital_names(code)):
            yield made(f"capital_{code.lower()}", "capital", names, capital_names(code), SOURCE)
        if re.fullmatch(r"\d+", about["phone"]):
            answer = dict.fromkeys(LANGUAGES, f"+{about['phone']}")
            yield made(f"calling_{code.lower()}", "calling_code", names, answer, SOURCE)
        yield made(
            f"domain_{code.lower()}",
            "domain",
            names,
            dict.fromkeys(LANGUAGES, about["tld"]),
            SOURCE,
        )
    for symbol, number, names in elements():
        if symbol not in HELD_OUT_ELEMENTS:
            id_ = names["en"]
            yield made(f"symbol_{id_}", "symbol", names, dict.fromkeys(LANGUAGES, symbol))
            if number > 1:  # the sentence has protons in the plural
                yield made(f"number_{id_}", "atomic_number", names, digits(number))
    yield from arithmetic()
    for text in OPPOSITES.split("\n"):
        if text:
            sides = {lang: pair.split("/") for lang, pair in row(text).items()}
            for a, b in ((0, 1), (1, 0)):
                x, y = ({lang: side[k] for lang, side in sides.items()} for k in (a, b))
                yield made(f"opposite_{x['en']}", "opposite", x, y)
    for text in WORDS.split("\n"):
        if text:
            kind, _, names = text.partition("|")
            yield made(f"kind_{row(names)['en']}", "kind", row(names), row(KINDS[kind]))
    yield from calendar()


def made(id_: str, topic: str, x: Names, y: Names, source: str = WRITTEN) -> ParallelFact:
    """One fact from what it is about and its answer, in the topic's wordings."""
    slots = {lang: {"x": x[lang], "y": y[lang]} for lang in LANGUAGES}
    asked, said = (
        {lang: WORDINGS[topic][lang][k].format(**slots[lang]) for lang in LANGUAGES} for k in (0, 1)
    )
    licence = LICENCE if source == SOURCE else OWN_LICENCE
    for texts in (asked, said):
        texts["ko"] = with_particles(texts["ko"])
    said = {lang: text[0].upper() + text[1:] for lang, text in said.items()}
    return ParallelFact(id_, topic, asked, dict(y), said, source, licence)


def with_particles(text: str) -> str:
    """Korean text whose particles, written in both forms, fit the sound before them.

    >>> with_particles("“수소”을(를) H(이)라고")
    '“수소”를 H라고'
    """

    def chosen(match: re.Match[str]) -> str:
        before, closing, both = match.groups()
        after_consonant, after_vowel = ("을", "를") if both == "을(를)" else ("이", "")
        hangul = "가" <= before <= "힣"
        consonant = (ord(before) - ord("가")) % 28 > 0 if hangul else before.upper() in "LMNR"
        return before + closing + (after_consonant if consonant else after_vowel)

    return re.sub(r"(\w)(”?)(을\(를\)|\(이\))", chosen, text)


def elements() -> list[tuple[str, int, Names]]:
    """Symbol, atomic number and names of each element."""
    found = []
    for text in ELEMENTS.split("\n"):
        if text:
            symbol, number, names = text.split("|", 2)
            found.append((symbol, int(number), row(names)))
    return found


def digits(number: int) -> Names:
    """The number as each language writes it: Persian has digits of its own."""
    plain = str(number)
    return dict.fromkeys(LANGUAGES, plain) | {
        "fa": plain.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    }


def arithmetic() -> Iterator[ParallelFact]:
    """80 sums, 50 differences and 50 products of small numbers, by hash."""
    for name, count, most in (("sum", 80, 60), ("difference", 50, 60), ("product", 50, 13)):
        pairs = [(a, b) for a in range(2, most) for b in range(2, most)]
        if name == "difference":
            pairs = [(a, b) for a, b in pairs if a > b]
        words = row(OPERATIONS[name])
        for a, b in sorted(pairs, key=lambda pair: digest(name, *map(str, pair)))[:count]:
            value = {"sum": a + b, "difference": a - b, "product": a * b}[name]
            joint = {lang: "" if lang == "zh" else " " for lang in LANGUAGES}
            asked = {
                lang: joint[lang].join((digits(a)[lang], words[lang], digits(b)[lang]))
                for lang in LANGUAGES
            }
            yield made(f"{name}_{a}_{b}", "arithmetic", asked, digits(value))


def calendar() -> Iterator[ParallelFact]:
    """The month after a month and the day after a day, by CLDR's names."""
    for topic, count in (("month", 12), ("weekday", 7)):
        for k in range(count):
            x, y = (
                {lang: calendar_name(topic, n % count, lang) for lang in LANGUAGES}
                for n in (k, k + 1)
            )
            if topic == "month":  # μετά τον: the accusative
                x["el"] = x["el"].removesuffix("ς")
            yield made(f"after_{x['en'].lower()}", topic, x, y, SOURCE)


def calendar_name(topic: str, index: int, language: str) -> str:
    """CLDR's wide name of a month (0 is January) or of a day (0 is Monday), standing alone."""
    own = locale(language)
    if topic == "month":
        return own.months["stand-alone"]["wide"][index + 1]
    return own.days["stand-alone"]["wide"][index]


@cache
def entities() -> dict[str, re.Pattern[str]]:
    """What demo items of either split name, by language: answers, and what facts are about."""
    found: dict[str, set[str]] = {lang: set() for lang in LANGUAGES}
    for item in demo_items():
        found[item.language] |= {c.text for c in item.candidates}
    for fact in facts():
        for names in (fact.about, country_names(fact.country), *fact.answers):
            for lang in LANGUAGES:
                found[lang].add(names[lang])
    return {lang: any_of(lang, texts) for lang, texts in found.items()}


@cache
def held_out_names() -> dict[str, re.Pattern[str]]:
    """The held-out countries and elements, by language."""
    every = [country_names(c) for c in HELD_OUT_COUNTRIES]
    every += [names for symbol, _, names in elements() if symbol in HELD_OUT_ELEMENTS]
    return {lang: any_of(lang, {names[lang] for names in every}) for lang in LANGUAGES}


def any_of(language: str, texts: Iterable[str]) -> re.Pattern[str]:
    """Any of the names at the beginning of a word, with an ending where it is long; in Chinese
    anywhere.
    """
    plain = sorted({bare(text) for text in texts}, key=lambda text: (-len(text), text))
    if language == "zh":
        return re.compile("|".join(map(re.escape, plain)))
    ends = (re.escape(text) + ("" if len(text) >= 4 else r"(?!\w)") for text in plain)
    return re.compile(rf"(?<!\w)(?:{'|'.join(ends)})")


def named(fact: ParallelFact, patterns: dict[str, re.Pattern[str]]) -> list[str]:
    """What of these the fact's texts name, in any language."""
    found = []
    for texts in (fact.questions, fact.answers, fact.sentences):
        for lang, text in texts.items():
            found += [f"{one!r} in {lang}" for one in patterns[lang].findall(bare(text))]
    return found


@cache
def bare(text: str) -> str:
    """Case and accents folded."""
    kept = (
        c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c)
    )
    return unicodedata.normalize("NFC", "".join(kept))


def held_out() -> ItemSet:
    """Universal items about countries and elements that no training text and no demo item names.

    Topics `capital` and `symbol` are relations that training has, of other things; `continent` and
    `element` are not in training.
    """
    asked: list[tuple[str, str, Names, list[Names]]] = []
    countries = [c for c in HELD_OUT_COUNTRIES if not leaks(country_names(c), capital_names(c))]
    for code in countries:
        id_ = f"heldout_capital_{code.lower()}"
        wrong = near(id_, [c for c in countries if c != code], continent(code))
        answers = [capital_names(c) for c in (code, *wrong)]
        asked.append((id_, "capital", country_names(code), answers))
    for code in HELD_OUT_COUNTRIES:
        right = continent(code)
        america = right if right in ("NA", "SA") else "SA"
        wrong = [c for c in ("AF", "AS", "EU", "OC", america) if c != right]
        answers = [row(CONTINENTS[c]) for c in (right, *wrong)]
        asked.append(
            (f"heldout_continent_{code.lower()}", "continent", country_names(code), answers)
        )
    ours = [(s, names) for s, _, names in elements() if s in HELD_OUT_ELEMENTS]
    for symbol, names in ours:
        others = [(s, n) for s, n in ours if s != symbol]
        for topic, about, pick in (
            ("symbol", names, 0),
            ("element", dict.fromkeys(LANGUAGES, symbol), 1),
        ):
            id_ = f"heldout_{topic}_{names['en']}"
            wrong = sorted(others, key=lambda other: digest(id_, other[0]))[:4]
            both = [(symbol, names), *wrong]
            answers = [dict.fromkeys(LANGUAGES, s) if pick == 0 else n for s, n in both]
            asked.append((id_, topic, about, answers))
    splits = halves([(topic, id_) for id_, topic, *_ in asked])
    items = [
        Item(
            id=id_,
            language=lang,
            kind="universal",
            split=splits[id_],
            topic=topic,
            prompt=PROMPTS[topic][lang].format(x=about[lang]),
            separator=separator(lang),
            candidates=tuple(
                Candidate(a[lang], "wrong" if k else "correct") for k, a in enumerate(answers)
            ),
            source=SOURCE if topic in ("capital", "continent") else WRITTEN,
            licence=LICENCE if topic in ("capital", "continent") else OWN_LICENCE,
        )
        for lang in LANGUAGES
        for id_, topic, about, answers in asked
    ]
    return ItemSet(tuple(place(items)))


def near(id_: str, pool: Iterable[str], continent_: str) -> list[str]:
    """Four countries, those of the same continent first, by hash."""
    return sorted(pool, key=lambda c: (continent(c) != continent_, digest(id_, c)))[:4]


def faults(kept: list[ParallelFact], items: ItemSet) -> list[str]:
    """Every reason to write nothing."""
    found = []
    for fact in kept:
        if hits := named(fact, entities()) + named(fact, held_out_names()):
            found.append(f"{fact.id} names {', '.join(hits)}")
    twice = [id_ for id_, n in Counter(fact.id for fact in kept).items() if n > 1]
    found += [f"{id_}: two facts" for id_ in twice]
    asked = {(i.language, bare(c.text)) for i in demo_items() for c in i.candidates}
    for item in items:
        if item.topic != "continent":  # five continents are all there are: both sets have them
            texts = [c.text for c in item.candidates if (item.language, bare(c.text)) in asked]
            found += [f"{item.id} has {t!r} in {item.language}, as a demo item has" for t in texts]
    prompts = tuple({bare(item.prompt) for item in (*demo_items(), *items)})
    for fact in kept:
        texts = (*fact.questions.values(), *fact.sentences.values())
        if any(bare(text).startswith(prompts) for text in texts):
            found.append(f"{fact.id} is worded as an item")
    return found


def outputs() -> tuple[dict[Path, str], list[str]]:
    """The files' texts, and faults."""
    kept, left = all_facts()
    items = held_out()
    lines = "".join(json.dumps(f.record(), ensure_ascii=False) + "\n" for f in kept)
    held = "".join(json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in items)
    texts = {"facts.jsonl": lines, "heldout.jsonl": held, "README.md": card(kept, left, items)}
    return {OUT / name: text for name, text in texts.items()}, faults(kept, items)


def card(kept: list[ParallelFact], left: Counter[str], items: ItemSet) -> str:
    """data/align/README.md."""
    topics = Counter(fact.topic for fact in kept)
    lines = [
        "# Data card: parallel facts for alignment, and held-out items",
        "",
        "Written by `python data/align.py` (`--check` fails if a committed file differs). Seven",
        "languages (en es zh id ko el fa); nothing cultural. `facts.jsonl` has one fact per line:",
        "question, answer and sentence per language. No text names what a demo item of either",
        "split names (its answers, or what it asks about), in any language, and none is worded as",
        "an item; facts that would are left out.",
        "",
        "| topic | facts | left out |",
        "|---|---|---|",
        *(f"| {t} | {topics[t]} | {left[t]} |" for t in WORDINGS),
        f"| all | {len(kept)} | {sum(left.values())} |",
        "",
        "`heldout.jsonl` has universal items about countries and elements that neither a training",
        "text nor a demo item names; nor is a candidate one of a demo item, but for continents,",
        "which both have. Relations in training, of other things: capital, symbol. Not in",
        "training: continent, element.",
        "",
        "| topic | dev ids | test ids |",
        "|---|---|---|",
        *(f"| {t} | {_count(items, t, 'dev')} | {_count(items, t, 'test')} |" for t in PROMPTS),
        "",
        "Names of countries, months and days: Unicode CLDR (Unicode-3.0); capitals, calling codes,",
        "internet endings: GeoNames (CC BY 4.0); all else was written for mechcla by a language",
        "model (CC BY 4.0) and not reviewed by native speakers. Notices: `data/NOTICES.md`.",
    ]
    return "\n".join(lines) + "\n"


def _count(items: ItemSet, topic: str, split: str) -> int:
    return len({i.id for i in items if i.topic == topic and i.split == split})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the alignment facts and held-out items.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    args = parser.parse_args(argv)
    texts, wrong = outputs()
    if wrong:
        print(*wrong, f"{len(wrong)} faults: nothing written", sep="\n", file=sys.stderr)
        return 1
    if args.check:
        return checked(texts, "data/align.py")
    put(texts)
    print(texts[OUT / "README.md"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
