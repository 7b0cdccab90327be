"""Runs README's and the docs' commands in small, as tests/docs/commands.toml says: `make check-
commands`.

Models are tiny and random, items few; what a command computes is the tests' matter, that it runs as
written is this file's. A command that fails is shown with the end of what it said, and the others
still run. Two run at a time; one that names a folder of another's waits for it. `python -m
tests.commands WORD ...` runs those that contain one of the words.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import mechcla
from tests.conftest import save_tiny, tiny_tokenizer
from tests.docs.pages import ROOT, table
from tests.sources import blend_folder, locqa_file

AT_ONCE = threading.Semaphore(2)  # as many as the processes of make test
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def prepare(folder: Path) -> dict[str, str]:
    """What the small commands name in braces, made in the folder."""
    sizes = {"max_position_embeddings": 1024, "num_hidden_layers": 6}
    save_tiny("llama", folder / "tiny", **sizes)
    save_tiny("llama", folder / "chat", **sizes)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "chat")
    items = mechcla.load_items("demo", languages=["es", "ko"])
    few = set()
    for part in (items.universal, items.cultural.language("es")):
        for split in ("dev", "test"):
            few |= set(part.where(lambda i, split=split: i.split == split).ids[:6])
    items.where(lambda i: i.id in few).to_jsonl(folder / "items.jsonl")
    blend_folder.write(folder / "blend")
    locqa_file.write(folder / "locqa")
    names = {"tiny": "tiny", "chat": "chat", "items": "items.jsonl", "blend": "blend", "out": "out"}
    names["locqa"] = "locqa/locqa.json"
    return {name: str(folder / path) for name, path in names.items()}


def runnable(command: str, names: dict[str, str]) -> list[str]:
    """The command with this interpreter, and its make targets without what installs."""
    for name, path in names.items():
        command = command.replace("{" + name + "}", path)
    words = shlex.split(command)
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    assert words[0] == "make", f"{command}: expected make or python"
    return ["make", "STAMP=", "BENCH=", "EXTRAS=", f"BIN={Path(sys.executable).parent}", *words[1:]]


def main(only: list[str]) -> int:
    small = [e["check"] for e in table().values() if "check" in e]
    small = [c for c in dict.fromkeys(small) if not only or any(word in c for word in only)]
    if not small:
        print(
            f"no command contains {' or '.join(map(repr, only))}; expected words of commands as "
            'tests/docs/commands.toml has them under "check", such as sweep or "make figures", '
            "each a part of the text; without any, all run",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as folder:
        names = prepare(Path(folder))
        with ThreadPoolExecutor(len(small)) as pool:
            done: list[Future[bool]] = []
            for number, command in enumerate(small):
                before = [done[k] for k in waits_for(small, number)]
                done.append(pool.submit(check, command, names, before))
            failed = sum(not future.result() for future in done)
    print(f"{len(small)} commands, {failed} failed")
    return int(failed > 0)


def waits_for(commands: Sequence[str], number: int) -> list[int]:
    """Which commands before this one name one of its folders: what it reads or writes."""
    mine = _named(commands[number])
    return [k for k in range(number) if mine & _named(commands[k])]


def _named(command: str) -> set[str]:
    return set(re.findall(r"\{out\}/([\w-]+)", command))


def check(command: str, names: dict[str, str], before: Sequence[Future[bool]]) -> bool:
    """Run a command once those before it have ended; says how it went, and whether well."""
    for other in before:
        other.result()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment.setdefault("OMP_NUM_THREADS", "1")  # several run at a time
    with AT_ONCE:
        start = time.monotonic()
        done = subprocess.run(
            runnable(command, names),
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        took = time.monotonic() - start
    mark = "ok  " if done.returncode == 0 else f"rc {done.returncode}"
    said = [f"{mark} {took:4.0f} s  {command}"]
    if done.returncode:
        said += [f"    {line}" for line in done.stdout.splitlines()[-25:]]
    print("\n".join(said), flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
