"""LocQA on the unsteered model: how many items each language has, and what they show when the
question names no country, names its own, and names the United States.

Writes locqa.json into --out: counts and reasons over all 49 places, and per language, on the test
items of its main place, localization, English bias and the collision-aware one (share), each with
its 95% interval. Nothing is chosen. --path is your own copy of locqa.json; --counts-only needs no
model.
"""

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import arguments
from mechcla.items.item_set import ItemSet
from mechcla.metrics import metric
from mechcla.sources import load
from mechcla.sources.locqa.places import LANGUAGES
from mechcla.storage import write_text

FORMS = ("implicit", "explicit", "us")
METRICS = ("localization", "english_bias", "collision_aware_bias")


def base_numbers(
    model: mechcla.HookedModel, items: ItemSet, resamples: int
) -> list[dict[str, Any]]:
    """A row per prompt form, language (and all but English) and metric."""
    rows = []
    for form in FORMS:
        scores = mechcla.score(model, items, prompt=form, prior=False)
        for name in METRICS:
            for language, value in metric(scores, name, resamples=resamples).items():
                shown = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
                rows.append(
                    {
                        "form": form,
                        "language": language,
                        "metric": name,
                        "n": value.n,
                        "value": shown,
                    }
                )
        print(form, "scored", flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows as the page shows them: a line per language, localization by form, then bias."""
    made = []
    for language in dict.fromkeys(r["language"] for r in rows):
        own = {(r["form"], r["metric"]): r for r in rows if r["language"] == language}
        line = {"language": language, "n": str(own["implicit", "localization"]["n"])}
        line |= {f"local answer, {f}": own[f, "localization"]["value"] for f in FORMS}
        for name, head in zip(METRICS[1:], ("English bias", "collision-aware"), strict=True):
            found = own.get(("implicit", name))
            line[f"{head}, implicit"] = f"{found['value']} n={found['n']}" if found else "-"
        made.append(line)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--path", type=Path, required=True, help="locqa.json, or its folder")
    parser.add_argument("--counts-only", action="store_true", help="no model")
    args = arguments(__doc__, parent=parser)
    report = load("locqa", path=args.path).report
    record: dict[str, Any] = {
        "what": "counts of the loader; the unsteered model on the main places' test items",
        "command": "python -m analyses.locqa --path locqa.json --out docs/reference",
        "date": datetime.date.today().isoformat(),
        "counts": [{k: str(v) for k, v in row.items()} for row in report.by_language()],
        "reasons": [{"left out because": k, "n": str(v)} for k, v in report.reasons().items()],
    }
    print(report)
    if not args.counts_only:
        main_places = {code: language.main for code, language in LANGUAGES.items()}
        asked = args.languages.split(",") if args.languages else None
        items = mechcla.load_items("locqa", asked, path=args.path, places=main_places)
        local = items.test.where(lambda i: i.language != "en")  # English items are the US's own
        rows = base_numbers(mechcla.load_model(args.model), local, args.resamples)
        record["model"] = Path(args.model).name
        record["base"] = table(rows)
    path = args.out / "locqa.json"
    write_text(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
