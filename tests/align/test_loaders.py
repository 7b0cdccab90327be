"""Training texts from Hugging Face data sets: folders that `datasets` reads, and a hub by revision.

The hub is a server on this machine that answers what huggingface_hub asks; the reader is the real
one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import datasets
import pytest

import mechcla
from mechcla.align.config import make
from mechcla.align.loaders import load_data
from mechcla.align.record import RECORD, read_result
from mechcla.errors import MechclaError
from mechcla.storage import read_sealed, write_sealed
from tests.align.test_training import SMALL, train
from tests.hub import Answers, said, serving

CARD = """---
configs:
- config_name: talk
  data_files:
  - {split: train, path: talk/train.csv}
  - {split: held, path: talk/held.csv}
- config_name: news
  data_files:
  - {split: train, path: news.csv}
---
"""


def texts(sky: str) -> dict[str, str]:
    """The files of a data set of two configs, one of them with two splits."""
    return {
        "README.md": CARD,
        "talk/train.csv": "source,target\nTea,Té\nWine,Vino\n",
        "talk/held.csv": f"source,target\nSky,{sky}\nSea,Mar\n",
        "news.csv": "source,target\nRain,Lluvia\n",
    }


SETTINGS: dict[str, Any] = {
    "data_config": "talk",
    "data_split": "held",
    "columns": ["en=source", "es=target"],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in texts("Cielo").items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "set"


def test_a_folder_that_datasets_reads_is_trained_on_by_config_and_split(
    folder: Path, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    config = make({"method": "mist", "data": str(folder), **SETTINGS})
    data = load_data(config)
    assert [dict(fact.sentences) for fact in data.facts] == [
        {"en": "Sky", "es": "Cielo"},
        {"en": "Sea", "es": "Mar"},
    ]
    assert "[talk] held, row 2" in data.facts[1].where
    settings = SMALL | SETTINGS | {"steps": 2}
    base = tiny_folders["llama"]
    result = mechcla.align("mist", base, tmp_path / "a", str(folder), device="cpu", **settings)
    assert len(result.losses) == 2
    assert result.record["data"]["digest"] == data.digest
    other = load_data(config.model_copy(update={"data_config": "news", "data_split": "train"}))
    assert [fact.sentences["es"] for fact in other.facts] == ["Lluvia"]
    with pytest.raises(MechclaError, match=r"has no split 'hold'; did you mean 'held'"):
        load_data(config.model_copy(update={"data_split": "hold"}))
    with pytest.raises(MechclaError, match=r"config 'talks', on disk: .*talks"):
        load_data(config.model_copy(update={"data_config": "talks"}))


@pytest.mark.parametrize("data", ["demo", "folder"])
def test_a_revision_of_what_has_none_is_refused(data: str, folder: Path) -> None:
    named = {"data": str(folder) if data == "folder" else data}
    with pytest.raises(MechclaError, match=r"data_revision 'v1' .*; leave data_revision out"):
        load_data(make({"method": "mist", "data_revision": "v1", **named}))


def test_the_revision_is_part_of_what_was_trained_and_old_records_have_none(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    base, out = tiny_folders["llama"], tmp_path / "a"
    train("mist", base, out, steps=1)
    record = read_sealed(out / RECORD)
    assert record is not None
    assert record["settings"].pop("data_revision", "absent") is None
    write_sealed(out / RECORD, {k: v for k, v in record.items() if k != "digest"})
    assert train("mist", base, out, steps=1) == read_result(out)
    with pytest.raises(MechclaError, match=r"another training \(data_revision None, not 'v2'\)"):
        train("mist", base, out, steps=1, data_revision="v2")


REVISIONS = {"v1": ("1" * 40, texts("Cielo")), "v2": ("2" * 40, texts("Firmamento"))}


class Hub(Answers):
    """Answers as the Hub does for one data set of two revisions, by tag or commit."""

    def found(self, prefix: str) -> tuple[str, dict[str, str], str] | None:
        """Commit and files of the revision that the path names behind the prefix, and the rest."""
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(prefix):
            return None
        revision, _, rest = path.removeprefix(prefix).partition("/")
        for tag, (commit, files) in REVISIONS.items():
            if revision in (tag, commit):
                return commit, files, rest
        return None

    def answer(self) -> None:
        api = "/api/datasets/org/pairs/"
        if asked := self.found("/datasets/org/pairs/resolve/"):
            commit, files, name = asked
            if name not in files:
                return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            body = files[name].encode()
            etag = f'"{hashlib.sha256(body).hexdigest()}"'
            return self.reply(200, body, ETag=etag, X_Repo_Commit=commit)
        if asked := self.found(api + "revision/"):
            commit, files, _ = asked
            there = [{"rfilename": name} for name in files]
            return self.json({"id": "org/pairs", "sha": commit, "siblings": there})
        if asked := self.found(api + "tree/"):
            _, files, below = asked
            every = entries(files)
            return self.json([one for one in every if one["path"].startswith(below)])
        return self.reply(404, X_Error_Code="RevisionNotFound")

    def do_POST(self) -> None:
        given = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = self.found("/api/datasets/org/pairs/paths-info/")
        if asked is None:
            return self.reply(404, X_Error_Code="RevisionNotFound")
        paths = [path.strip("/") for path in parse_qs(given).get("paths", [])]
        return self.json([one for one in entries(asked[1]) if one["path"] in paths])

    def json(self, value: object) -> None:
        self.reply(200, json.dumps(value).encode(), Content_Type="application/json")


def entries(files: dict[str, str]) -> list[dict[str, Any]]:
    """Files and folders of a revision, as the Hub lists them."""
    folders = sorted({name.partition("/")[0] for name in files if "/" in name})
    sizes = {name: len(text.encode()) for name, text in files.items()}
    return [{"type": "directory", "path": name, "oid": name} for name in folders] + [
        {"type": "file", "path": name, "oid": name, "size": size} for name, size in sizes.items()
    ]


READ = """
import json, sys
import datasets
from mechcla import MechclaError
from mechcla.align.config import make
from mechcla.align.loaders import load_data
for revision, offline in (("v1", False), ("v2", False), ("v9", False), ("v1", True)):
    datasets.config.HF_HUB_OFFLINE = offline
    given = {"method": "mist", "data": "org/pairs", "data_revision": revision}
    try:
        data = load_data(make(given | json.loads(sys.argv[1])))
        print("READ", revision, *(fact.sentences["es"] for fact in data.facts))
    except MechclaError as error:
        print("REFUSED", error)
"""


def test_a_data_set_of_the_hub_is_read_at_its_revision(tmp_path: Path) -> None:
    with serving(Hub) as address:
        own = {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "sets")}
        lines = said(READ, json.dumps(SETTINGS), address=address, **own).splitlines()
    first, second, refused, offline = (x for x in lines if x.startswith(("READ", "REFUSED")))
    assert (first, second) == ("READ v1 Cielo Mar", "READ v2 Firmamento Mar")
    assert refused.startswith("REFUSED cannot load 'org/pairs', config 'talk', revision 'v9' from")
    assert "'v9' doesn't exist" in refused
    # Offline: what was loaded last, as docs/align.md says.
    assert offline == "READ v1 Firmamento Mar"
