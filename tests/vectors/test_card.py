"""Folders of vectors to share: what the card says, and the Hub, spoken to by huggingface_hub over a
local server.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml

import mechcla
from mechcla.align.record import card as adapter_card
from mechcla.align.record import read_result
from mechcla.errors import MechclaError
from mechcla.models.adapters import shipped_folder
from mechcla.results import Rows
from mechcla.vectors.steering_vectors import SteeringVectors

ROW = {
    "method": "LOC",
    "language": "all",
    "metric": "localization",
    "measure": "share",
    "value": 0.61963,
    "low": 0.57196,
    "high": 0.67019,
    "n": 378,
    "difference": 0.04797,
    "difference_low": 0.0332,
    "difference_high": 0.06392,
}


@pytest.fixture(scope="module")
def sets(tiny, small_items) -> tuple[SteeringVectors, SteeringVectors]:
    return (
        mechcla.loc_vectors(tiny, small_items.cultural.dev),
        mechcla.en_vectors(tiny, small_items.universal.dev),
    )


def test_a_folder_holds_the_vectors_and_a_card_that_says_what_they_are(sets, tmp_path, tiny):
    loc, en = sets
    folder = loc.only({"es": [2]}).save_folder(
        tmp_path / "x", en, effect=Rows((ROW,)), licence="mit"
    )
    text = (folder / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "mechcla"
    assert front["language"] == ["es"]
    assert front["license"] == "mit"
    assert "base_model" not in front  # a folder's name is none that the Hub takes
    for said in (
        f"`{tiny.digest[:16]}`",
        f"`{loc.record['items'][:16]}`",
        "| layers | es: 2 |",
        "| layers | 0 to 3 |",
        "| pairs averaged | es: 3 |",
        "| LOC | all | localization, share | 0.620 [0.572, 0.670] | ",
        " | +0.048 [+0.033, +0.064] | 378 |",
    ):
        assert said in text, said
    back = SteeringVectors.from_hub(folder, "LOC")
    assert back.layers("es") == (2,)
    assert torch.equal(back.at("es", 2)[0], loc.at("es", 2)[0])
    assert torch.equal(SteeringVectors.from_hub(folder, "EN")["es"], en["es"])


def test_no_number_without_interval_and_none_said_where_there_is_none(sets, tmp_path):
    loc, _ = sets
    with pytest.raises(MechclaError, match="has no low, n: "):
        loc.save_folder(tmp_path / "x", effect=[ROW | {"low": None, "n": None}])
    assert not (tmp_path / "x").exists()
    loc.save_folder(tmp_path / "x")
    assert "Not measured" in (tmp_path / "x" / "README.md").read_text("utf-8")
    with pytest.raises(MechclaError, match="LOC, LOC"):
        loc.save_folder(tmp_path / "x", loc)
    with pytest.raises(MechclaError, match=r"has no en\.safetensors; it has loc\.safetensors"):
        SteeringVectors.from_hub(tmp_path / "x", "EN")


def test_an_adapters_card_names_a_base_that_the_hub_takes():
    for name in ("clo", "midalign", "mist"):
        found = read_result(shipped_folder() / name)
        shipped = (found.folder / "README.md").read_text("utf-8")
        front = yaml.safe_load(shipped.split("---\n")[1])
        assert (front["library_name"], "base_model" in front) == ("peft", False)
        assert shipped.startswith(adapter_card(found.record).split("| steps |")[0])
        hub = {"settings": found.record["settings"] | {"model": "google/gemma-3-270m"}}
        text = adapter_card({**found.record, **hub})
        assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "google/gemma-3-270m"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as one upload and one download need."""

    files: dict[str, bytes] = {}
    made: list[dict[str, Any]] = []

    def log_message(self, *args: Any) -> None: ...

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, data: bytes, kind: str, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            self._json({"url": f"http://{self.headers['Host']}/me/vectors"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": f["path"], **mode} for f in asked]})
        else:
            for line in body.decode().splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    self.files[part["value"]["path"]] = base64.b64decode(part["value"]["content"])
            url = f"http://{self.headers['Host']}/me/vectors/commit/{'a' * 40}"
            self._json({"success": True, "commitOid": "a" * 40, "commitUrl": url})

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if "/resolve/" not in self.path or name not in self.files:
            self.send_error(404)
            return
        self._send(
            self.files[name], "application/octet-stream", X_Repo_Commit="a" * 40, ETag='"one"'
        )

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_hub_gives_back_what_was_pushed(sets, hub):
    loc, en = sets
    address = loc.push_to_hub(
        "me/vectors", en, effect=[ROW], private=True, token="hf_x", endpoint=hub
    )
    assert address == f"{hub}/me/vectors/commit/{'a' * 40}"
    assert Hub.made[0]["name"] == "vectors"
    assert sorted(Hub.files) == ["README.md", "en.safetensors", "loc.safetensors"]
    assert b"0.620 [0.572, 0.670]" in Hub.files["README.md"]
    back = SteeringVectors.from_hub("me/vectors", "LOC", endpoint=hub, token="hf_x")
    assert all(torch.equal(back[k], loc[k]) for k in loc.languages)
    assert back.record == loc.record
    with pytest.raises(MechclaError, match=r"cannot read nothing\.safetensors from 'me/vectors'"):
        SteeringVectors.from_hub("me/vectors", "nothing", endpoint=hub, token="hf_x")
