"""Looks at dev during training: transfer and localization, the best adapter, and when to stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mechcla.align.kept import keep
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import localization, transfer
from mechcla.models.adapters import WEIGHTS
from mechcla.models.load import load_model
from mechcla.scoring.scorer import score
from mechcla.sources import load_items
from mechcla.storage import write_json


class DevLooks:
    """Dev scores of the base and of the adapter as it is, pooled over languages, headline share.

    An adapter is judged by transfer + localization, the sum of both axes. Each look loads the base
    with the adapter as `load_model` does, and asks as training did (`chat`), so what is judged is
    what will be used. Test items are never read.
    """

    def __init__(self, adapted: Any, config: AlignConfig, work: Path) -> None:
        self.adapted, self.config, self.work = adapted, config, work
        self.rows: list[dict[str, Any]] = []
        items = load_items(str(config.dev_items))
        self.items = items.dev
        for kind in ("universal", "cultural"):
            if not len(getattr(self.items, kind)):
                raise MechclaError(
                    f"dev_items {config.dev_items!r} have no {kind} dev items; "
                    "early stopping looks at both axes"
                )

    @property
    def path(self) -> Path:
        return self.work / "dev.json"

    def begin(self, step: int) -> None:
        """Go on after `step`: later looks are forgotten; the base is looked at once."""
        if self.path.exists():
            held = json.loads(self.path.read_text("utf-8"))
            self.rows = [row for row in held if row["step"] <= step]
        if not self.rows:
            self._add(0, None)

    def look(self, step: int) -> bool:
        """Score the adapter of this step; True if `patience` looks brought no gain."""
        if any(row["step"] == step for row in self.rows):
            return self._tired()
        folder = self._save(self.work / "dev")
        self._add(step, folder)
        if self._best()["step"] == step:
            best = self.work / "best"
            shutil.rmtree(best, ignore_errors=True)
            folder.replace(best)
        shutil.rmtree(folder, ignore_errors=True)
        return self._tired()

    def restore_best(self) -> None:
        """Give the model the weights of the best look."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        if (self.work / "best" / WEIGHTS).exists():
            set_peft_model_state_dict(self.adapted, load_file(self.work / "best" / WEIGHTS))

    def _best(self) -> dict[str, Any]:
        return max(self.rows[1:], key=lambda row: (row["sum"], -row["step"]))

    def _tired(self) -> bool:
        after = [row for row in self.rows if row["step"] > self._best()["step"]]
        return len(after) >= self.config.patience

    def _save(self, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        self.adapted.save_pretrained(str(folder), save_embedding_layers=False)
        if self.config.adapter_dtype != "float32":
            keep(folder, self.config.adapter_dtype)
        return folder

    def _add(self, step: int, folder: Path | None) -> None:
        config = self.config
        model = load_model(
            config.model,
            adapter=folder,
            device=config.device,
            dtype=config.dtype,
            revision=config.revision,
        )
        scores = score(model, self.items, chat=config.chat_form or False)
        row: dict[str, Any] = {"step": step}
        for name, metric in (("transfer", transfer), ("localization", localization)):
            row[name] = metric(scores)[POOLED].value
        row["sum"] = row["transfer"] + row["localization"]
        self.rows.append(row)
        write_json(self.path, self.rows)
