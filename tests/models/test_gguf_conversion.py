"""What a GGUF file's folder is called, when it is made anew, and each way that making it fails."""

from __future__ import annotations

import errno
import json
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from filelock import FileLock
from transformers import AutoTokenizer

pytest.importorskip("gguf", reason="the extra `gguf` is not installed")

from mechcla.errors import MechclaError
from mechcla.models import gguf_files, gguf_tokens, memory
from mechcla.models.adapters import CONFIG, check_base
from mechcla.models.conversion import converted, plain_config
from mechcla.models.gguf_header import Header, read_header
from tests.models.gguf_made import kept, load
from tests.models.gguf_writing import CONTROL, write_gguf

pytestmark = pytest.mark.usefixtures("gguf_cache")


def test_an_adapter_of_another_file_is_refused(gguf_folders, gguf_file, tmp_path):
    other = write_gguf(gguf_folders["qwen2"], tmp_path / "other.gguf")
    same = shutil.copy(gguf_file, tmp_path / "same.gguf")
    for recorded in (gguf_file, same, tmp_path / "elsewhere.gguf", "org/model"):
        (tmp_path / CONFIG).write_text(json.dumps({"base_model_name_or_path": str(recorded)}))
        check_base(tmp_path, str(gguf_file), str(tmp_path))
    (tmp_path / CONFIG).write_text(json.dumps({"base_model_name_or_path": str(other)}))
    with pytest.raises(MechclaError, match=r"trained on '.*other\.gguf', not on '.*tiny\.gguf'"):
        check_base(tmp_path, str(gguf_file), str(tmp_path))


@pytest.mark.parametrize("how", ["written to", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read_is_refused(how, gguf_file, tmp_path, monkeypatch):
    convert = gguf_files._convert

    def changing(*given: object) -> None:
        convert(*given)
        if how == "written to":
            gguf_file.write_bytes(gguf_file.read_bytes()[:-1] + b"x")
        elif how == "replaced":
            copy = shutil.copy2(gguf_file, tmp_path / "copy")
            copy.replace(gguf_file)
        else:
            gguf_file.unlink()

    monkeypatch.setattr(gguf_files, "_convert", changing)
    with pytest.raises(MechclaError, match="changed, replaced or removed while it was being read"):
        load(gguf_file)
    assert kept(tmp_path) == []


def test_another_transformers_makes_another_folder(monkeypatch):
    names = set()
    for said in ("5.23.0", "5.24.0", "5.24.0.dev0+a/b"):
        monkeypatch.setattr(gguf_files, "version", lambda _, said=said: said)
        names.add(gguf_files.folder_name("12ab"))
    assert len(names) == 3
    assert all(name.startswith("gguf-12ab-v") and "/" not in name for name in names)


def test_the_rules_of_splitting_are_those_of_the_installed_transformers(monkeypatch):
    from transformers.integrations.gguf import gguf_tokenizer_mapping as of_transformers

    said = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}
    read = SimpleNamespace(decode=lambda ids, **_: ids)
    monkeypatch.setattr(gguf_tokens, "_written", lambda _, text: text)
    assert gguf_tokens.doubts(read, said) == []
    monkeypatch.delattr(of_transformers, gguf_tokens.TABLE)  # as in older versions
    assert "the rule 'qwen2'" in gguf_tokens.doubts(read, said)[0]
    assert gguf_tokens.doubts(read, said | {"tokenizer.ggml.pre": "smollm"}) == []


FAILING = {
    "disk": (OSError(errno.ENOSPC, "No space left on device"), "the system refuses a file: .*room"),
    "disk, of safetensors": (Exception("I/O error (os error 28)"), "the system refuses a file"),
    "memory": (MemoryError(), "the memory is used up"),
    "memory, of torch": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "is used up"),
    "package": (ImportError("no accelerate"), r"is missing \(.*no accelerate\).*mechcla\[gguf\]"),
    "reader": (OSError("no config"), "transformers .* cannot read this GGUF file.*no config"),
}


@pytest.mark.parametrize("what", FAILING)
def test_each_failure_has_its_own_message(what, gguf_file, tmp_path, monkeypatch):
    error, said = FAILING[what]

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(gguf_files, "dequantised", fail)
    with pytest.raises(
        MechclaError, match=rf"cannot load the model '.*tiny\.gguf'.*{said}"
    ) as told:
        load(gguf_file)
    assert ("cannot read this GGUF file" in str(told.value)) == (what == "reader")
    assert kept(tmp_path) == []


def test_a_folder_that_is_not_whole_is_one_message(gguf_file, tmp_path):
    folder = tmp_path / "cache" / gguf_files.folder_name(gguf_files.gguf_digest(gguf_file))
    folder.mkdir(parents=True)
    with pytest.raises(MechclaError, match=rf"'{folder}'.*has no doubts\.json.*delete that folder"):
        load(gguf_file)


def test_a_model_larger_than_memory_is_refused_before_it_is_read(gguf_file, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_files, "available", lambda: 1000)
    with pytest.raises(MechclaError, match=r"takes 0\.0 GiB of memory, and 0\.0 GiB are available"):
        load(gguf_file)
    assert kept(tmp_path) == []


def test_available_memory_is_the_least_that_is_known(tmp_path, monkeypatch):
    free, limit = tmp_path / "meminfo", tmp_path / "max"
    monkeypatch.setattr(memory, "MEMINFO", free)
    monkeypatch.setattr(memory, "CGROUP", limit)
    assert memory.available() == memory._built_in()
    free.write_text("MemTotal: 9 kB\nMemAvailable:   5 kB\nSwapFree:   2 kB\n")
    assert memory.available() == 7 * 1024
    limit.write_text("max\n")
    assert memory.available() == 7 * 1024
    limit.write_text("100\n")
    assert memory.available() == 100


def test_control_tokens_that_are_cut_are_refused_by_name(gguf_folders, tmp_path):
    vocabulary = AutoTokenizer.from_pretrained(gguf_folders["llama"]).get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    path = write_gguf(gguf_folders["llama"], tmp_path / "plain.gguf")
    kinds = [1] * len(tokens)
    for index, _ in read_header(path, "plain").whole:
        kinds[index] = CONTROL
    tokens[300], kinds[300] = "<｜User｜>", CONTROL  # as DeepSeek writes them
    settings = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
    letters = [f"{a} {b}" for a in "aeinorst" for b in "aeinorst" if {a + b, a, b} <= {*tokens}]
    settings["tokenizer.ggml.merges"] = letters  # none of the token that was there
    path = write_gguf(gguf_folders["llama"], tmp_path / "tiny.gguf", settings=settings)
    with pytest.raises(MechclaError, match=r"1 are not read as that token: '<｜User｜>' .*\[300\]"):
        load(path)


def test_another_end_or_padding_than_the_file_s_is_refused(gguf_folders):
    tokenizer = AutoTokenizer.from_pretrained(gguf_folders["llama"])
    ids = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    said = {f"tokenizer.ggml.{name}_token_id": k for name, k in ids.items()}
    gguf_tokens.check_whole_tokens(tokenizer, Header(said, {}), "it")
    wrong = said | {"tokenizer.ggml.eos_token_id": 40}
    with pytest.raises(MechclaError, match=r"its eos_token_id is \d+, and the GGUF file says 40"):
        gguf_tokens.check_whole_tokens(tokenizer, Header(wrong, {}), "it")


def test_a_config_may_have_lost_its_quantisation_already():
    model = SimpleNamespace(config=SimpleNamespace(kept=1))
    assert plain_config(model).kept == 1


def test_the_second_process_waits_for_the_first(tmp_path, capsys):
    made: list[object] = []
    (tmp_path / "cache").mkdir()
    lock = FileLock(tmp_path / "cache" / ".folder.lock")
    lock.acquire()
    second = threading.Thread(target=converted, args=("folder", "a model", made.append))
    second.start()
    time.sleep(0.3)
    assert second.is_alive()
    (tmp_path / "cache" / "folder").mkdir()  # by the first
    lock.release()
    second.join(10)
    assert made == []
    assert "waiting for another process that converts a model" in capsys.readouterr().err
    assert kept(tmp_path) == ["folder"]
