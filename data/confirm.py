"""Build the confirmation items: `python data/confirm.py --set 2` writes
data/items/confirm-2/{language}.jsonl and the card data/confirm-2/README.md; `--set 1` the first
set, in data/items/confirm.

Independent sets of the demo's kind, `split: confirm`: cultural concepts (concepts/*.json in the
set's folder) and universal facts (facts.json there). They share no concept, no answer of a culture
and nothing that a fact is about with the demo items, with an earlier set, or with what alignment
trains on. The output is the same, byte for byte, at every run; `--check` fails if what is committed
of either set differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.align import any_of, bare, elements, entities, held_out_names, named
from data.align_tables import COUNTRIES, HELD_OUT_COUNTRIES, OPPOSITES, WORDS
from data.build import CONCEPTS, CUES, Built, place
from data.build import universal_item as demo_item
from data.confirm_card import FIRST_CARD, SECOND_CARD, Card, card
from data.confirm_wordings import FIRST, SECOND
from data.cultural import Concept, cultural_items, problems, read_concepts, separator
from data.files import checked, put
from data.names import LANGUAGES, row
from data.universal import Fact, city_fact, country_names, digest, leaks
from mechcla.align.data import ParallelFact, demo_facts
from mechcla.items.building import building_faults
from mechcla.items.item import CONFIRM, Candidate, Item
from mechcla.items.item_set import ItemSet, read_jsonl
from mechcla.items.lint_rules import same_text
from mechcla.sources.demo import demo_items

HERE = Path(__file__).resolve().parent
SOURCE, LICENCE = "mechcla", "CC-BY-4.0"
N_WRONG = 4
WHOLE = 60  # concepts that have an answer of all seven cultures: at least so many in a set
CITY = "city"  # the demo's relation, asked about other cities


@dataclass(frozen=True, eq=False)
class ConfirmSet:
    """One confirmation set: where it lies, how it is worded, and which sets came before it."""

    name: str
    prefix: str  # of its facts' ids
    prompts: Mapping[str, Mapping[str, str]] = field(repr=False)
    card: Card = field(repr=False)
    before: tuple[ConfirmSet, ...] = ()

    @property
    def tables(self) -> Path:
        """What the set is made from, and its card."""
        return HERE / self.name

    @property
    def items(self) -> Path:
        """Where its items are written to."""
        return HERE / "items" / self.name


SET_1 = ConfirmSet("confirm", "confirm", FIRST, FIRST_CARD)
SET_2 = ConfirmSet("confirm-2", "confirm2", SECOND, SECOND_CARD, before=(SET_1,))
SETS = (SET_1, SET_2)


def build(made_of: ConfirmSet) -> Built:
    """All items of a set, language by language, universal first, and reasons to refuse them."""
    made, concepts = confirm_facts(made_of), read_concepts(made_of.tables / "concepts")
    faults = problems(concepts) + shared_answers(concepts, made_of) + shared_entities(made, made_of)
    taken = {item.id for item in earlier_items(made_of)}
    ids = [*(fact.id for fact in made), *(c["id"] for c in concepts)]
    faults += [
        f"{id_}: is the id of an item of the demo or of an earlier set"
        for id_ in ids
        if id_ in taken
    ]
    faults += [f"{id_}: stands twice" for id_, n in Counter(ids).items() if n > 1]
    if faults:
        return Built(ItemSet(()), (), tuple(faults))
    cues = json.loads(CUES.read_text(encoding="utf-8"))
    cultural, dropped = cultural_items(concepts, {c["id"]: CONFIRM for c in concepts}, cues)
    universal = [universal_item(fact, lang, made_of) for lang in LANGUAGES for fact in made]
    placed = place(universal) + place(cultural)
    items = ItemSet(tuple(i for lang in LANGUAGES for i in placed if i.language == lang))
    return Built(items, tuple(dropped), tuple(map(str, building_faults(items))))


@cache
def confirm_facts(made_of: ConfirmSet) -> tuple[Fact, ...]:
    """Each fact of the table with four answers of the same relation beside it, chosen by hash.

    A city's answers are countries, and chosen as the demo's are.
    """
    table = json.loads((made_of.tables / "facts.json").read_text(encoding="utf-8"))
    made = []
    for relation, rows in table.items():
        for about, right in rows:
            id_ = f"{made_of.prefix}_{relation}_{slug(about['en'])}"
            if relation == CITY:
                made.append(city_fact(id_, right["country"], about))
                continue
            others = [a for _, a in rows if a != right and not leaks(about, a)]
            wrong = sorted(others, key=lambda a: digest(id_, a["en"]))[:N_WRONG]
            made.append(Fact(id_, relation, "", about, (right, *wrong)))
    return tuple(made)


def slug(text: str) -> str:
    """An id's ending: letters and underscores."""
    return "_".join("".join(c if c.isalnum() else " " for c in bare(text)).split())


def universal_item(fact: Fact, language: str, made_of: ConfirmSet) -> Item:
    """One fact asked in one language, the right answer first."""
    if fact.relation == CITY:
        return demo_item(fact, language, CONFIRM)
    x = fact.about[language]
    right, *wrong = (answer[language] for answer in fact.answers)
    return Item(
        id=fact.id,
        language=language,
        kind="universal",
        split=CONFIRM,
        topic=fact.relation,
        prompt=made_of.prompts[fact.relation][language].format(x=x, X=x[0].upper() + x[1:]),
        separator=separator(language),
        source=SOURCE,
        licence=LICENCE,
        candidates=(Candidate(right, "correct"), *(Candidate(text, "wrong") for text in wrong)),
    )


def shared_answers(concepts: list[Concept], made_of: ConfirmSet) -> list[str]:
    """Answers that a concept of the demo or of an earlier set gives to the same culture, in any
    language, and too few whole concepts.
    """
    folders = [CONCEPTS, *(one.tables / "concepts" for one in made_of.before)]
    taken = {
        (country, lang, same_text(text)): concept["id"]
        for folder in folders
        for concept in read_concepts(folder)
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
    if (whole := sum(all(c["answers"].values()) for c in concepts)) < WHOLE:
        found.append(f"{whole} concepts have an answer of all seven cultures; expected {WHOLE}")
    return found


def shared_entities(made: tuple[Fact, ...], made_of: ConfirmSet) -> list[str]:
    """Facts that name what another item names, or are about what training is.

    The names of the demo's items, of the held-out ones and of earlier sets are looked for in every
    text, as for the training facts (`data.align.named`). Training words are common ones ("big",
    "red"), so what is compared there is whole entities: what a fact is about, and its answers.

    The answers of the relation "city" are countries, which the demo has too; there only the city
    must be new, and it must stand in no text of another item and of no training fact.
    """
    taken = (entities(), held_out_names(), *(names_of(one) for one in made_of.before))
    found = []
    for fact in made:
        if not fact.answers[N_WRONG:]:
            found.append(f"{fact.id}: {len(fact.answers) - 1} wrong answers; expected {N_WRONG}")
        if leaks(fact.about, fact.answers[0]):
            found.append(f"{fact.id}: what it is about gives its answer away")
        if fact.relation == CITY:
            asked, answers = fact.about, (fact.about,)
            found += told(fact, made_of)
        else:
            items = [universal_item(fact, lang, made_of) for lang in LANGUAGES]
            asked, answers = {i.language: i.prompt for i in items}, fact.answers
        for answer in answers:
            text = ParallelFact(fact.id, fact.relation, asked, answer, {})
            if hits := [hit for names in taken for hit in named(text, names)]:
                found.append(f"{fact.id} names {', '.join(sorted(set(hits)))}")
        for names in (fact.about, *answers):
            for lang, text in names.items():
                if bare(text) in trained()[lang]:
                    found.append(f"{fact.id}: {text!r} in {lang} is in the training facts")
    return found


def told(fact: Fact, made_of: ConfirmSet) -> list[str]:
    """Where a text of another item or of training names what the fact is about."""
    return [
        f"{fact.id}: {name!r} in {lang} stands in a text of another item or of training"
        for lang, name in fact.about.items()
        if any_of(lang, [name]).search(texts_before(made_of)[lang])
    ]


@cache
def texts_before(made_of: ConfirmSet) -> dict[str, str]:
    """All prompts and candidates of the demo, the held-out items and the earlier sets, and all
    training texts, by language.
    """
    texts: dict[str, list[str]] = {lang: [] for lang in LANGUAGES}
    for item in (*earlier_items(made_of), *read_jsonl(HERE / "align" / "heldout.jsonl")):
        asked = (item.prompt, item.prompt_explicit or "", item.prompt_us or "")
        texts[item.language] += [*asked, *(c.text for c in item.candidates)]
    for fact in demo_facts():
        for by_language in (fact.questions, fact.answers, fact.sentences):
            for lang, text in by_language.items():
                texts[lang].append(text)
    return {lang: "\n".join(map(bare, found)) for lang, found in texts.items()}


def earlier_items(made_of: ConfirmSet) -> list[Item]:
    """The demo's items and those of the earlier sets, as they are committed."""
    files = [one.items / f"{lang}.jsonl" for one in made_of.before for lang in LANGUAGES]
    return [*demo_items(), *(item for path in files for item in read_jsonl(path))]


@cache
def names_of(made: ConfirmSet) -> dict[str, re.Pattern[str]]:
    """What the items of a set name, by language: answers, and what facts are about."""
    found: dict[str, set[str]] = {lang: set() for lang in LANGUAGES}
    for lang in LANGUAGES:
        for item in read_jsonl(made.items / f"{lang}.jsonl"):
            found[lang] |= {c.text for c in item.candidates}
        found[lang] |= {fact.about[lang] for fact in confirm_facts(made)}
    return {lang: any_of(lang, texts) for lang, texts in found.items()}


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


def outputs(made_of: ConfirmSet) -> tuple[dict[Path, str], Built]:
    """The files' texts of a set, and the build that they come from."""
    built = build(made_of)
    texts = {
        made_of.items / f"{lang}.jsonl": "".join(
            json.dumps(i.to_dict(), ensure_ascii=False) + "\n"
            for i in built.items
            if i.language == lang
        )
        for lang in LANGUAGES
    }
    return texts | {made_of.tables / "README.md": card(built.items, made_of.card)}, built


def main(argv: list[str] | None = None) -> int:
    """Write one set or check both; the exit code is 1 if items are refused or differ."""
    parser = argparse.ArgumentParser(description="Build a set of confirmation items.")
    parser.add_argument("--set", type=int, choices=(1, 2), help="this set only (default: both)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    args = parser.parse_args(argv)
    chosen = SETS if args.set is None else (SETS[args.set - 1],)
    return max([written(one, args.check) for one in chosen])


def written(made_of: ConfirmSet, check: bool) -> int:
    """Write or check one set; the exit code."""
    texts, built = outputs(made_of)
    if built.faults:
        print(*built.faults, sep="\n", file=sys.stderr)
        print(f"{made_of.name}: {len(built.faults)} faults: nothing written", file=sys.stderr)
        return 1
    if check:
        return checked(texts, "data/confirm.py")
    put(texts)
    print(made_of.name, *built.dropped, repr(built.items), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
