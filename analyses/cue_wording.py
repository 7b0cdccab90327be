"""How the country is named matters: several wordings of the cue, on dev.

For each wording in data/cue_wordings.json and the demo items' own ("Our country is ..."): the
change in localization when the country is named in the prompt, and when v_LOC made with that
wording is added, made from one half of the questions and scored on the other, both ways. The items'
cue was chosen by this table; test items are not read.
"""

import json
from dataclasses import replace
from pathlib import Path

import mechcla
from analyses.common import arguments, load, write
from mechcla.items.item_set import ItemSet
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import ItemScore, Scores

WORDINGS = Path(__file__).resolve().parent.parent / "data" / "cue_wordings.json"
STRENGTH = 2.0


def worded(items: ItemSet, cues: dict[str, dict[str, str]]) -> ItemSet:
    """The items with their country named in this wording."""
    return ItemSet(
        tuple(
            replace(i, prompt_explicit=cues[i.language][i.country or ""] + i.separator + i.prompt)
            for i in items
        )
    )


if __name__ == "__main__":
    args = arguments(__doc__)
    if args.items != "demo":
        raise mechcla.MechclaError(
            f"--items {args.items}: "
            "the wordings are those of the demo items' countries, and are compared on them only"
        )
    model, dev = load(args)
    items = dev.cultural.where(lambda i: i.language != "en")
    wordings = {"Our country is ...": items}
    wordings |= {
        name: worded(items, cues)
        for name, cues in json.loads(WORDINGS.read_text(encoding="utf-8")).items()
    }
    layers = sorted({model.n_layers * k // 18 for k in (6, 9, 12, 14)})
    half = {i: k % 2 for k, i in enumerate(items.ids)}
    base: list[ItemScore] = []
    scored: dict[tuple[str, int], list[ItemScore]] = {
        (name, layer): [] for name in wordings for layer in (-1, *layers)
    }
    for name, asked in wordings.items():
        scored[name, -1] += mechcla.score(model, asked, prompt="explicit", prior=False).rows
        print(f"{name}: named in the prompt", flush=True)
    for held in (0, 1):
        made = {
            name: mechcla.loc_vectors(model, asked.where(lambda i, held=held: half[i.id] != held))
            for name, asked in wordings.items()
        }
        for language in items.languages:
            keys = [(name, layer) for name in wordings for layer in layers]
            steps = [
                mechcla.loc_steering(made[name], language=language, layer=layer, strength=STRENGTH)
                for name, layer in keys
            ]
            mine = items.language(language).where(lambda i, held=held: half[i.id] == held)
            for n, table in score_many(prepare(model, mine, prior=False), [(), *steps]):
                (base if n == 0 else scored[keys[n - 1]]).extend(table.rows)
            print(f"half {held}, {language}: {len(keys)} variants scored", flush=True)
    rows = []
    for (name, layer), found in scored.items():
        for metric in ("localization", "english_bias"):
            gain = mechcla.difference(Scores(tuple(found)), Scores(tuple(base)), metric, "share")
            where = "prompt" if layer < 0 else f"LOC at {layer}"
            rows += [
                {
                    "wording": name,
                    "named_in": where,
                    "metric": metric,
                    "language": k,
                    "change": g.value,
                    "low": g.low,
                    "high": g.high,
                    "n": g.n,
                }
                for k, g in gain.items()
            ]
            print(
                f"{name:<20}{where:<12}{metric:<14}{gain['all'].value:+.3f} "
                f"[{gain['all'].low:+.3f}, {gain['all'].high:+.3f}]"
            )
    write(args.out, "cue_wording", rows)
