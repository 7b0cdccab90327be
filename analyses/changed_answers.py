"""What the model writes under LOC: on which test items does the local answer come, or go?

Each cultural test item's implicit prompt is gone on with, greedily: unsteered, under the language's
LOC vector from dev items, and with the country named. An answer has the local one where its text,
folded, is a part of it: a crude look at free text, for an example to show and not for a claim.
"""

import argparse

import mechcla
from analyses.common import all_items, arguments, write
from mechcla.answers.lemmas import fold

TOKENS = 8

if __name__ == "__main__":
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--layer", type=int, default=13, help="block of v_LOC")
    parent.add_argument("--strength", type=float, default=4.0, help="of v_LOC")
    args = arguments(__doc__, parent=parent)
    items, model = all_items(args).cultural, mechcla.load_model(args.model)
    languages = [k for k in items.languages if k != "en"]
    loc = mechcla.loc_vectors(model, items.dev.language(*languages))
    layer = min(args.layer, model.n_layers - 1)
    rows = []
    for language in languages:
        asked = list(items.test.language(language))[: args.questions]
        steps = mechcla.loc_steering(loc, language=language, layer=layer, strength=args.strength)
        texts = {
            "unsteered": mechcla.generate(model, asked, max_new_tokens=TOKENS),
            "LOC": mechcla.generate(model, asked, steps, max_new_tokens=TOKENS),
            "explicit": mechcla.generate(model, asked, prompt="explicit", max_new_tokens=TOKENS),
        }
        for place, item in enumerate(asked):
            local = next(c.text for c in item.candidates if c.role == "local")
            row = {"language": language, "id": item.id, "prompt": item.prompt, "local": local}
            for name, answers in texts.items():
                text = answers[place].text
                row |= {name: text, f"{name}_local": fold(local, language) in fold(text, language)}
            row["change"] = {(False, True): "gained", (True, False): "lost"}.get(
                (row["unsteered_local"], row["LOC_local"]), ""
            )
            rows.append(row)
        counts = {name: sum(r[f"{name}_local"] for r in rows) for name in texts}
        print(f"{language}: of {len(asked)} items the local answer is in {counts}", flush=True)
    for row in rows:
        if row["change"]:
            print(f"{row['change']}: {row['prompt']} | {row['unsteered']} | {row['LOC']}")
    write(args.out, "changed_answers", rows)
