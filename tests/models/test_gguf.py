"""A GGUF file is loaded by its name: the numbers and tokens are those of the model it was made of,
or of transformers' own reading of it where it is quantised; each wrong file is one message.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf = pytest.importorskip("gguf", reason="the extra `gguf` is not installed")

from mechcla.errors import MechclaError  # noqa: E402
from mechcla.models.conversion import converted  # noqa: E402
from mechcla.models.load import check_model_name, find_fitting_adapter, load_model  # noqa: E402
from mechcla.sweep.config import make  # noqa: E402
from mechcla.sweep.held import find_model  # noqa: E402
from mechcla.sweep.models import model_runs  # noqa: E402
from tests.conftest import TEXT  # noqa: E402
from tests.models.gguf_made import MADE, kept, load, same_scores  # noqa: E402
from tests.models.gguf_writing import write_gguf  # noqa: E402
from tests.models.test_adapters import lora, save_adapter  # noqa: E402

pytestmark = pytest.mark.usefixtures("gguf_cache")

Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0
ASKED = [*TEXT, "  two spaces, 12 and 3.14", "우리는 차를 마신다", "چای می‌نوشیم"]


@pytest.mark.parametrize("name", MADE)
def test_a_file_of_float32_is_the_model_and_the_tokenizer_it_was_made_of(
    name, gguf_folders, tmp_path, small_items
):
    path = write_gguf(gguf_folders[name], tmp_path / "tiny.gguf")
    model = load(path)
    raw = AutoModelForCausalLM.from_pretrained(
        gguf_folders[name], attn_implementation="eager"
    ).eval()
    own = AutoTokenizer.from_pretrained(gguf_folders[name])
    for text in ASKED:
        assert model.tokenizer(text).input_ids == own(text).input_ids, text
        ids = own(text, add_special_tokens=False).input_ids
        assert model.tokenizer.decode(ids) == own.decode(ids)
    assert (own("a").input_ids[0] == own.bos_token_id) == (name not in ("qwen2", "qwen3", "phi3"))
    assert model.tokenizer.chat_template == own.chat_template
    same_scores(model, raw, own, small_items[:5])
    assert model.name == str(path)


@pytest.mark.parametrize(("name", "kind"), [("llama", Q8), ("qwen2", Q4)])
def test_a_quantised_file_is_what_transformers_dequantises(
    name, kind, gguf_folders, tmp_path, small_items
):
    path = write_gguf(gguf_folders[name], tmp_path / "tiny.gguf", kind)
    raw = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model = load(path)
    same_scores(model, raw, AutoTokenizer.from_pretrained(gguf_folders[name]), small_items[:5])
    plain = load(gguf_folders[name])
    assert model.digest != plain.digest
    assert load(path, dtype="bfloat16").digest != model.digest


def test_a_file_is_converted_once_and_anew_where_it_was_changed(
    gguf_file, gguf_folders, tmp_path, capsys
):
    first = load(gguf_file)
    assert capsys.readouterr().err.count("converting the model") == 1
    [folder] = kept(tmp_path)
    made = (tmp_path / "cache" / folder).stat().st_mtime_ns
    again = load(gguf_file)
    moved = load(shutil.move(gguf_file, tmp_path / "blob"))  # a name is no part of it
    assert "converting" not in capsys.readouterr().err
    assert {first.digest, again.digest, moved.digest} == {first.digest}
    assert moved.name == str(tmp_path / "blob")
    assert (tmp_path / "cache" / folder).stat().st_mtime_ns == made
    write_gguf(gguf_folders["llama"], gguf_file, Q8)
    assert load(gguf_file).digest != first.digest
    assert len(kept(tmp_path)) == 2


def test_a_killed_conversion_leaves_no_model(gguf_file, tmp_path):
    code = (
        "import os, sys, transformers\n"
        "from pathlib import Path\n"
        "def cut(self, folder, **_):\n"
        "    Path(folder).mkdir()\n"
        "    Path(folder, 'config.json').write_text('{')\n"
        "    os.kill(os.getpid(), 9)\n"
        "transformers.PreTrainedModel.save_pretrained = cut\n"
        "import mechcla\n"
        "mechcla.load_model(sys.argv[1], device='cpu')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(gguf_file)], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr
    left = kept(tmp_path)
    assert len(left) == 2  # the folder, and the lock, which is free
    assert all(name.startswith(".gguf-") for name in left)
    load(gguf_file)
    assert len(kept(tmp_path)) == 2  # the killed one's folder, and the whole one
    assert not [name for name in kept(tmp_path) if name.endswith(".lock")]


def test_the_first_of_two_processes_makes_the_folder(tmp_path):
    def second(work: Path) -> None:
        (work / "model").mkdir()
        first = tmp_path / "cache" / "folder"
        first.mkdir()  # by another process, meanwhile
        (first / "config.json").write_text("first")

    folder = converted("folder", "a model", second)
    assert (folder / "config.json").read_text() == "first"
    assert kept(tmp_path) == ["folder"]


def cut(keep: int):
    return lambda path: path.write_bytes(path.read_bytes()[:keep])


WRONG = {
    "absent": (lambda p: p.rename(p.parent / "tiny2.gguf"), r"no such file.*mean 'tiny2\.gguf'"),
    "cut in the tensors": (cut(-100), r"\(\d+ bytes\) is damaged or cut off: .*download it again"),
    "cut in the settings": (cut(700), r"\(700 bytes\) is damaged or cut off"),
    "cut in the header": (cut(10), "ends within its header"),
    "empty": (cut(0), r"it is no GGUF file \(it begins with b''"),
    "none": (lambda p: p.write_bytes(b"PK\3\4" * 9), r"begins with b'PK.*expected a GGUF file"),
    "pointer": (lambda p: p.write_bytes(b"version https://git-lfs"), "git lfs pull"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_one_message_with_its_name(wrong, gguf_file, tmp_path):
    damage, said = WRONG[wrong]
    damage(gguf_file)
    with pytest.raises(MechclaError, match=rf"cannot load the model '.*tiny\.gguf': .*{said}"):
        load(gguf_file)
    assert kept(tmp_path) == []


def test_a_name_is_checked_before_anything_is_converted(gguf_file, tmp_path):
    check_model_name(str(gguf_file))
    with pytest.raises(MechclaError, match=r"revision 'main' was asked for, and .* is a file"):
        load(gguf_file, revision="main")
    with pytest.raises(MechclaError, match="a GGUF file, which comes with no code"):
        load(gguf_file, trust_remote_code=True)
    part = shutil.copy(gguf_file, tmp_path / "tiny-00002-of-00003.gguf")
    with pytest.raises(MechclaError, match=r"one of 3 parts.*--merge tiny-00001-of-00003\.gguf w"):
        check_model_name(str(part))
    with pytest.raises(MechclaError, match="there is no such file"):
        check_model_name(str(tmp_path / "absent.gguf"))
    check_model_name(str(shutil.copy(gguf_file, tmp_path / "tiny-00001-of-00001.gguf")))
    assert kept(tmp_path) == []


def test_a_folder_of_gguf_files_names_them(gguf_file, gguf_folders, tmp_path):
    with pytest.raises(MechclaError, match=r"no config\.json.*load_model\('.*/tiny\.gguf'\)"):
        load(tmp_path)
    shutil.copy(gguf_folders["llama"] / "config.json", tmp_path)
    with pytest.raises(MechclaError, match=r"no model\.safetensors.*load_model\('.*/tiny\.gguf'\)"):
        load(tmp_path)
    with pytest.raises(MechclaError, match=r"a file of a model; name its folder: '.*llama'"):
        load(gguf_folders["llama"] / "model.safetensors")


def test_adapters_maps_and_names_of_runs_work_as_with_folders(gguf_file, gguf_folders, tmp_path):
    adapter = save_adapter(gguf_folders["llama"], tmp_path / "own", lora())
    model = load(gguf_file, adapter=adapter)
    assert model.name == f"{gguf_file}+{adapter}"
    assert model.digest != load(gguf_file).digest
    assert find_fitting_adapter(str(gguf_file), adapter)[0] == adapter.resolve()
    assert find_model(make({"model": model.name, "device": "cpu"})).digest == model.digest
    assert load_model(gguf_file, device_map={"": "cpu"}).digest == load(gguf_file).digest
    other = shutil.copy(gguf_file, tmp_path / "other.gguf")
    config = make({"models": [str(gguf_file), str(other)], "out": str(tmp_path / "runs")})
    assert set(model_runs(config)) == {"tiny", "other"}


def test_without_the_package_one_message_says_what_to_install(gguf_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)  # as where it is not installed
    with pytest.raises(MechclaError, match=r"package 'gguf'; .*: pip install 'mechcla\[gguf\]'"):
        load(gguf_file)
    assert kept(tmp_path) == []


def test_the_page_s_block_loads_a_file(gguf_file):
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    (code,) = re.findall(r"## GGUF files\n(?:<!--.*?-->\n)?```python\n(.*?)```", page, re.DOTALL)
    shown = "downloads/model-Q4_K_M.gguf"
    assert code.count(shown) == 2
    held: dict[str, Any] = {}
    exec(compile(code.replace(shown, str(gguf_file)), "docs/models.md", "exec"), held)
    assert held["model"].describe()["dtype"] == "bfloat16"
