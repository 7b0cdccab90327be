"""Build the confirmation items: `python data/confirm.py` writes data/items/confirm/{language}.jsonl
and the card data/confirm/README.md.

A second, independent set of the same kind, `split: confirm`: cultural concepts
(data/confirm/concepts/*.json) and universal facts (data/confirm/facts.json) that share no concept,
no answer of a culture and no entity with the demo items, nor with what alignment trains on. The
output is the same, byte for byte, at every run; `--check` fails if what is committed differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.align import bare, elements, entities, held_out_names, named
from data.align_tables import COUNTRIES, HELD_OUT_COUNTRIES, OPPOSITES, WORDS
from data.build import CONCEPTS, CUES, Built, place
from data.cultural import Concept, cultural_items, problems, read_concepts, separator
from data.files import checked, put
from data.names import LANGUAGES, row
from data.universal import Fact, country_names, digest, leaks
from mechcla.align.data import ParallelFact, demo_facts
from mechcla.items.building import building_faults
from mechcla.items.item import CONFIRM, Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.lint_rules import same_text
from mechcla.sources.demo import demo_items

HERE = Path(__file__).resolve().parent
TABLES, ITEMS = HERE / "confirm", HERE / "items" / "confirm"
SOURCE, LICENCE = "mechcla", "CC-BY-4.0"
N_WRONG = 4

# One wording per relation and language: {x} is what a fact is about, {X} the same with a capital.
# Greek and Persian have "key: value", as in data/prompts.py: no ending gives an answer away.
PROMPTS: dict[str, dict[str, str]] = {
    "author": {
        "en": "{x} was written by",
        "es": "La obra {x} fue escrita por",
        "zh": "《{x}》的作者是",
        "id": "Karya {x} ditulis oleh",
        "ko": "《{x}》의 작가는",
        "el": "Έργο: {x}. Συγγραφέας:",
        "fa": "کتاب: {x}. نویسنده:",
    },
    "painter": {
        "en": "The painting {x} was made by",
        "es": "El cuadro {x} fue pintado por",
        "zh": "名画《{x}》的画家是",
        "id": "Lukisan {x} dibuat oleh",
        "ko": "그림 《{x}》의 화가는",
        "el": "Πίνακας: {x}. Ζωγράφος:",
        "fa": "نقاشی: {x}. نقاش:",
    },
    "composer": {
        "en": "The composer of {x} is",
        "es": "El compositor de {x} es",
        "zh": "《{x}》的作曲家是",
        "id": "Karya musik {x} digubah oleh",
        "ko": "《{x}》의 작곡가는",
        "el": "Μουσικό έργο: {x}. Συνθέτης:",
        "fa": "اثر موسیقی: {x}. آهنگساز:",
    },
    "unit": {
        "en": "The unit of {x} is the",
        "es": "La unidad con la que se mide {x} es el",
        "zh": "{x}的单位是",
        "id": "Satuan {x} adalah",
        "ko": "{x}의 단위는",
        "el": "Μέγεθος: {x}. Μονάδα:",
        "fa": "یکای اندازه‌گیری {x}:",
    },
    "scientist": {
        "en": "The scientist known for {x} is",
        "es": "La figura de la ciencia que se asocia con {x} es",
        "zh": "与{x}联系在一起的科学家是",
        "id": "Ilmuwan yang terkenal karena {x} adalah",
        "ko": "업적: {x}. 과학자:",
        "el": "Επίτευγμα: {x}. Επιστήμονας:",
        "fa": "دستاورد علمی: {x}. دانشمند:",
    },
    "inventor": {
        "en": "{X} was invented by",
        "es": "{X} es un invento de",
        "zh": "{x}的发明者是",
        "id": "Penemu {x} adalah",
        "ko": "발명품: {x}. 발명가:",
        "el": "Εφεύρεση: {x}. Εφευρέτης:",
        "fa": "اختراع: {x}. مخترع:",
    },
    "god": {
        "en": "In classical mythology, the deity of {x} is",
        "es": "En la mitología clásica, la divinidad que se asocia con {x} es",
        "zh": "古典神话中掌管{x}的神是",
        "id": "Dalam mitologi klasik, dewa atau dewi {x} adalah",
        "ko": "고전 신화에서 {x}의 신은",
        "el": "Αρχαία μυθολογία. Τομέας: {x}. Θεότητα:",
        "fa": "در اسطوره‌های کلاسیک، خدای {x}:",
    },
    "founder": {
        "en": "{x} was founded by",
        "es": "El fundador de {x} es",
        "zh": "{x}的创始人是",
        "id": "Pendiri {x} adalah",
        "ko": "{x}의 창업자는",
        "el": "Οργανισμός: {x}. Ιδρυτής:",
        "fa": "بنیان‌گذار {x}:",
    },
    "made_from": {
        "en": "{X} is made from",
        "es": "{X} se hace con",
        "zh": "制作{x}的主要原料是",
        "id": "Bahan utama {x} adalah",
        "ko": "{x}의 주원료는",
        "el": "Προϊόν: {x}. Πρώτη ύλη:",
        "fa": "ماده اصلی {x}:",
    },
    "organ": {
        "en": "The organ of the body that {x} is the",
        "es": "El órgano del cuerpo que {x} es el",
        "zh": "人体中{x}的器官是",
        "id": "Organ tubuh yang {x} adalah",
        "ko": "우리 몸에서 {x} 기관은",
        "el": "Το όργανο του σώματος που {x} λέγεται",
        "fa": "اندامی از بدن که {x}:",
    },
    "director": {
        "en": "The film {x} was directed by",
        "es": "La película {x} fue dirigida por",
        "zh": "电影《{x}》的导演是",
        "id": "Film {x} disutradarai oleh",
        "ko": "영화 《{x}》의 감독은",
        "el": "Ταινία: {x}. Σκηνοθέτης:",
        "fa": "فیلم: {x}. کارگردان:",
    },
}


def build() -> Built:
    """All confirmation items, language by language, universal first, and reasons to refuse them."""
    made, concepts = confirm_facts(), read_concepts(TABLES / "concepts")
    faults = problems(concepts) + shared_answers(concepts) + shared_entities(made)
    taken = {item.id for item in demo_items()}
    ids = [*(fact.id for fact in made), *(c["id"] for c in concepts)]
    faults += [f"{id_}: is the id of a demo item" for id_ in ids if id_ in taken]
    faults += [f"{id_}: stands twice" for id_, n in Counter(ids).items() if n > 1]
    if faults:
        return Built(ItemSet(()), (), tuple(faults))
    cues = json.loads(CUES.read_text(encoding="utf-8"))
    cultural, dropped = cultural_items(concepts, {c["id"]: CONFIRM for c in concepts}, cues)
    universal = [universal_item(fact, lang) for lang in LANGUAGES for fact in made]
    placed = place(universal) + place(cultural)
    items = ItemSet(tuple(i for lang in LANGUAGES for i in placed if i.language == lang))
    return Built(items, tuple(dropped), tuple(map(str, building_faults(items))))


@cache
def confirm_facts() -> tuple[Fact, ...]:
    """Each fact of the table with four answers of the same relation beside it, chosen by hash."""
    table = json.loads((TABLES / "facts.json").read_text(encoding="utf-8"))
    made = []
    for relation, rows in table.items():
        for about, right in rows:
            id_ = f"confirm_{relation}_{slug(about['en'])}"
            others = [a for _, a in rows if a != right and not leaks(about, a)]
            wrong = sorted(others, key=lambda a: digest(id_, a["en"]))[:N_WRONG]
            made.append(Fact(id_, relation, "", about, (right, *wrong)))
    return tuple(made)


def slug(text: str) -> str:
    """An id's ending: letters and underscores."""
    return "_".join("".join(c if c.isalnum() else " " for c in bare(text)).split())


def universal_item(fact: Fact, language: str) -> Item:
    """One fact asked in one language, the right answer first."""
    x = fact.about[language]
    right, *wrong = (answer[language] for answer in fact.answers)
    return Item(
        id=fact.id,
        language=language,
        kind="universal",
        split=CONFIRM,
        topic=fact.relation,
        prompt=PROMPTS[fact.relation][language].format(x=x, X=x[0].upper() + x[1:]),
        separator=separator(language),
        source=SOURCE,
        licence=LICENCE,
        candidates=(Candidate(right, "correct"), *(Candidate(text, "wrong") for text in wrong)),
    )


def shared_answers(concepts: list[Concept]) -> list[str]:
    """Answers that a demo concept gives to the same culture, in any language, and too few cultures.

    At least 60 concepts have an answer for all seven cultures.
    """
    taken = {
        (country, lang, same_text(text)): concept["id"]
        for concept in read_concepts(CONCEPTS)
        for country, answer in concept["answers"].items()
        for lang, text in (answer or {}).items()
    }
    found = [
        f"{concept['id']}: {country} answers {text!r} in {lang}, as in {taken[key]}"
        for concept in concepts
        for country, answer in concept["answers"].items()
        for lang, text in (answer or {}).items()
        if (key := (country, lang, same_text(text))) in taken
    ]
    if (whole := sum(all(c["answers"].values()) for c in concepts)) < 60:
        found.append(f"{whole} concepts have an answer of all seven cultures; expected 60")
    return found


def shared_entities(made: tuple[Fact, ...]) -> list[str]:
    """Facts that name what a demo item or a held-out one names, or are about what training is.

    The names of demo items and held-out ones are looked for in every text, as for the training
    facts (`data.align.named`). Training words are common ones ("big", "red"), so what is compared
    there is whole entities: what a fact is about, and its answers.
    """
    found = []
    for fact in made:
        if not fact.answers[N_WRONG:]:
            found.append(f"{fact.id}: {len(fact.answers) - 1} wrong answers; expected {N_WRONG}")
        if leaks(fact.about, fact.answers[0]):
            found.append(f"{fact.id}: what it is about gives its answer away")
        texts = [universal_item(fact, lang) for lang in LANGUAGES]
        asked = {i.language: i.prompt for i in texts}
        for answer in fact.answers:
            text = ParallelFact(fact.id, fact.relation, asked, answer, {})
            if hits := named(text, entities()) + named(text, held_out_names()):
                found.append(f"{fact.id} names {', '.join(sorted(set(hits)))}")
        for names in (fact.about, *fact.answers):
            for lang, text in names.items():
                if bare(text) in trained()[lang]:
                    found.append(f"{fact.id}: {text!r} in {lang} is in the training facts")
    return found


@cache
def trained() -> dict[str, set[str]]:
    """What the training facts are about and answer, by language."""
    subjects = [country_names(code) for code in (*COUNTRIES, *HELD_OUT_COUNTRIES)]
    subjects += [names for _, _, names in elements()]
    subjects += [row(text.partition("|")[2]) for text in WORDS.split("\n") if text]
    for text in filter(None, OPPOSITES.split("\n")):
        sides = {lang: pair.split("/") for lang, pair in row(text).items()}
        subjects += [{lang: side[k] for lang, side in sides.items()} for k in (0, 1)]
    every = [*subjects, *(fact.answers for fact in demo_facts())]
    return {lang: {bare(names[lang]) for names in every} for lang in LANGUAGES}


def card(items: ItemSet) -> str:
    """data/confirm/README.md."""
    counts = Counter((i.language, i.kind) for i in items)
    topics = sorted({(i.kind, i.topic) for i in items}, reverse=True)
    ids = {pair: len({i.id for i in items if (i.kind, i.topic) == pair}) for pair in topics}
    lines = [
        "# Data card: the confirmation items",
        "",
        "A second set of items, `split: confirm`, to be scored once under a choice that was",
        "frozen before ([docs/confirmation.md](../../docs/confirmation.md)). Written by",
        "`python data/confirm.py` (`--check` fails if a committed file differs) from",
        '`concepts/*.json` and `facts.json`; `mechcla.load_items("confirm")` reads them, and',
        '`load_items("demo")` does not. Facts as they stood in November 2026.',
        "",
        "Cultural concepts are made into items as those of the demo are ([data/README.md]"
        "(../README.md)),",
        "with the same cues. No concept is one of the demo's, and no culture's answer is one that",
        "it gives there. Universal facts are of other relations than the demo's, about other",
        "entities: none of their texts names what a demo item or a held-out item of",
        "`data/align` names, and none is about what a training fact is about. One wording each.",
        "",
        "| language | universal | cultural |",
        "|---|---|---|",
        *(f"| {k} | {counts[k, 'universal']} | {counts[k, 'cultural']} |" for k in LANGUAGES),
        "",
        "| topic | kind | ids |",
        "|---|---|---|",
        *(f"| {topic} | {kind} | {ids[kind, topic]} |" for kind, topic in topics),
        "",
        f"Digest of all items: `{items.digest}`.",
        "",
        "Concepts, facts and translations were written by a language model. Before the freeze it",
        "read the cultural items of six languages a second time, and every second universal fact;",
        "no panel of native speakers has reviewed them. What the demo",
        "items cannot show, these cannot either. Licence: CC BY 4.0.",
    ]
    return "\n".join(lines) + "\n"


def outputs() -> tuple[dict[Path, str], Built]:
    """The files' texts, and the build that they come from."""
    built = build()
    texts = {
        ITEMS / f"{lang}.jsonl": "".join(
            json.dumps(i.to_dict(), ensure_ascii=False) + "\n"
            for i in built.items
            if i.language == lang
        )
        for lang in LANGUAGES
    }
    return texts | {TABLES / "README.md": card(built.items)}, built


def main(argv: list[str] | None = None) -> int:
    """Write or check; the exit code is 1 if the items are refused or differ."""
    parser = argparse.ArgumentParser(description="Build the confirmation items.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    args = parser.parse_args(argv)
    texts, built = outputs()
    if built.faults:
        print(*built.faults, sep="\n", file=sys.stderr)
        print(f"{len(built.faults)} faults: nothing written", file=sys.stderr)
        return 1
    if args.check:
        return checked(texts, "data/confirm.py")
    put(texts)
    print(*built.dropped, repr(built.items), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
