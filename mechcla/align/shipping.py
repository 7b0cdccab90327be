"""From a trained adapter and its reference run to a folder that travels: small, and with a choice.

folder = ship_weights("adapters/clo-0", rank=8)        # data/adapters/clo: bfloat16, card
# the reference run is the rounded adapter's own: --model demo+data/adapters/clo
ship_choice(folder, "runs/shipped/clo")                # what dev chose there, with its vectors
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechcla.align.curves import write_losses
from mechcla.align.kept import keep
from mechcla.align.record import CARD, LOSSES, RECORD, AlignResult, card, read_result
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED
from mechcla.models.adapters import CONFIG, WEIGHTS, recorded_base, shipped_folder
from mechcla.models.load import load_model
from mechcla.runs.run import Run, read_run
from mechcla.steering.recorded import (
    CHOICE,
    RecordedChoice,
    check_chosen_for,
    method_of,
    read_choice,
)
from mechcla.storage import (
    TEMPORARY,
    file_sha256,
    user_path,
    write_sealed,
    write_text,
    writing,
)
from mechcla.sweep.config import SweepConfig

LIMIT = 4_000_000  # bytes per file
FAMILY = "SUR"
NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms"
)
METRICS = ("transfer", "localization", "english_bias")


def ship_weights(
    trained: str | Path, out: str | Path = "", rank: int | None = None, limit: int = LIMIT
) -> AlignResult:
    """A trained adapter in bfloat16 as a folder to ship; its own run is still to be made.

    out: default: a folder of the method's name in data/adapters. rank: a smaller rank than it was
    trained with, to whose nearest adapter it is cut (`mechcla.align.kept.of_rank`). Raises
    MechclaError for a folder that is there already, and for a file above `limit` bytes, naming
    the largest rank that fits.
    """
    found = read_result(user_path(trained))
    folder = user_path(out) if str(out) else shipped_folder() / found.method
    if folder.exists():
        raise MechclaError(
            f"{str(folder)!r} is there already; remove it, or name another folder with --out"
        )
    part = folder.parent / f"{TEMPORARY}{folder.name}"
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            for name in (CONFIG, WEIGHTS):
                shutil.copyfile(found.folder / name, part / name)
            held = keep(part, "bfloat16", rank)
            _check_size(part, found, limit)
            record = {k: v for k, v in found.record.items() if k != "digest"}
            record["shipped"] = {
                "dtype": "bfloat16",
                "trained": found.digest,
                "rank": json.loads((part / CONFIG).read_text("utf-8"))["r"],
                "held": held,
            }
            record["adapter"] = file_sha256(part / WEIGHTS)
            write_losses(part / LOSSES, record["losses"])
            write_sealed(part / RECORD, record)
            write_text(part / CARD, shipped_card(record))
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return read_result(folder)


def _check_size(part: Path, found: AlignResult, limit: int) -> None:
    size = (part / WEIGHTS).stat().st_size
    rank = json.loads((part / CONFIG).read_text("utf-8"))["r"]
    if size > limit:
        fits = rank * limit * 99 // (size * 100)  # names and shapes take a part of it
        raise MechclaError(
            f"the adapter {str(found.folder)!r} takes {size:,} bytes in bfloat16 at rank {rank}, "
            f"and a file that ships takes at most {limit:,}; "
            + (f"cut it with --rank {fits}" if fits else "no rank fits")
            + ", or train fewer modules (--modules attention)"
        )


def ship_choice(shipped: str | Path, run: Run | str | Path) -> RecordedChoice:
    """Add to a shipped adapter what dev of its reference run chose for SUR, and that run's numbers.

    The run must be of this very adapter. Raises MechclaError for a run that is not complete, that
    has no SUR, that asked in a chat template, or whose model is another.
    """
    folder = user_path(shipped)
    found = read_result(folder)
    run = run if isinstance(run, Run) else read_run(run)
    where, config = f"the run {str(run.folder)!r}", run.config
    if run.status != "complete":
        raise MechclaError(f"{where} is not complete (status {run.status}); finish the sweep first")
    if FAMILY not in run.choice:
        raise MechclaError(f"{where} chose nothing for {FAMILY}; it has {', '.join(run.choice)}")
    if config.get("chat"):
        raise MechclaError(f"{where} asked in a chat template; a shipped choice is of plain ones")
    base, revision = recorded_base(folder)
    model = load_model(
        base or config["model"],
        adapter=folder,
        dtype=config["dtype"],
        device=config["device"],
        revision=revision,
    )
    if model.digest != run.record["identity"]["model"]:
        raise MechclaError(
            f"{where} is of another model ({config['model']!r}) than the adapter {str(folder)!r} "
            f"makes: bfloat16 rounding makes another one, too; expected the run of "
            f"python -m mechcla.sweep --model {base}+{folder}"
        )
    del model
    record = {
        "model": run.record["identity"]["model"],
        "adapter": found.digest,
        "items": run.record["identity"]["items"],
        "settings": {k: v for k, v in config.items() if k not in ("model", "items")},
        "versions": run.record["versions"],
        "reference": _reference(run),
    }
    choice = RecordedChoice(
        FAMILY,
        {language: method_of(m) for language, m in run.choice[FAMILY].items()},
        _manner(run),
        {name: run.vectors[name] for name in ("EN", "LOC")},
        record,
    )
    choice.save(folder)
    made = read_choice(folder)
    held = {k: v for k, v in found.record.items() if k != "digest"}
    write_text(folder / CARD, shipped_card(held, made))
    return made


def _manner(run: Run) -> Any:
    return SweepConfig(**run.config).manner


def _reference(run: Run) -> list[dict[str, Any]]:
    """The run's own numbers on test, pooled, unsteered and under SUR."""
    measure = run.config["measure"]
    kept = ("method", "metric", "value", "low", "high", "n")
    rows = run.summary.where(language=POOLED, measure=measure)
    wanted = [r for r in rows if r["method"] in ("unsteered", FAMILY) and r["metric"] in METRICS]
    return [{k: r[k] for k in kept} for r in wanted]


def shipped_card(record: Mapping[str, Any], choice: RecordedChoice | None = None) -> str:
    """A shipped adapter's card: that of its training, what was rounded, dev's choice, terms."""
    shipped, settings = record["shipped"], record["settings"]
    lines = [
        card(record).rstrip(),
        "",
        "## As it is shipped",
        f"Rounded to {shipped['dtype']} after training in float32"
        + (
            f", and cut from rank {settings['rank']} to {shipped['rank']}, which holds "
            f"{shipped['held']:.3f} of the squared norm of its updates. "
            if shipped["rank"] != settings["rank"]
            else ". "
        )
        + "Every number that is reported is that of this file. Digest of the trained file: "
        f"`{shipped['trained'][:16]}`.",
        "",
        "## Licence",
        f"{NOTICE}. A Model Derivative of Gemma 3 270M, changed by training; see data/NOTICES.md.",
    ]
    if choice is not None:
        lines += [
            "",
            f"## Steering on top: what dev chose for {choice.family}",
            "| language | method |",
            "|---|---|",
            *(f"| {language} | `{m.name}` |" for language, m in choice.methods.items()),
            "",
            "Reference run, test items, pooled, with 95% intervals:",
            "",
            "| condition | metric | value | n |",
            "|---|---|---|---|",
            *(
                f"| {r['method']} | {r['metric']} | {r['value']:.3f} [{r['low']:.3f}, "
                f"{r['high']:.3f}] | {r['n']} |"
                for r in choice.record["reference"]
            ),
            "",
            f"`{CHOICE}` and the two vector files hold the choice; digest of the merged model: "
            f"`{choice.record['model'][:16]}`.",
        ]
    return "\n".join(lines) + "\n"


def check_shipped(folder: Path, limit: int = LIMIT) -> None:
    """Verify a shipped folder's digests and sizes. Raises MechclaError, naming the file."""
    found = read_result(folder)
    if file_sha256(folder / WEIGHTS) != found.digest:
        raise MechclaError(f"{str(folder / WEIGHTS)!r} is not the file that {RECORD} names")
    check_chosen_for(folder, folder / WEIGHTS)
    for path in sorted(folder.iterdir()):
        if path.stat().st_size > limit:
            raise MechclaError(f"{str(path)!r} is above {limit:,} bytes")


__all__ = ["check_shipped", "ship_choice", "ship_weights", "shipped_card"]
