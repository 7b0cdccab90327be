"""Every example of a docstring runs and prints what it shows.

The model is tiny, with as many blocks as the demo model; decimal numbers that its random
weights decide stand for those of a real one.
"""

from __future__ import annotations

import ast
import csv
import doctest
import importlib
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import mechcla
from mechcla.models.load import load_model
from mechcla.sources.blend import blend_questions
from mechcla.steering.linear_map import fit_map
from mechcla.vectors.residuals import cache_residuals
from tests.conftest import save_tiny, tiny_items
from tests.runs.harness import settings, warm
from tests.sources import blend_folder, global_mmlu_folder, locqa_file

ROOT = Path(mechcla.__file__).parent
LIST = Path(__file__).with_name("skipped_examples.txt")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<user>{{ m.content }}</user>{% endfor %}"
    "{% if add_generation_prompt %}<model>"
    "{% if enable_thinking is defined and not enable_thinking %}<quiet>{% endif %}{% endif %}"
)
CAUSES = ("network", "GPU", "demo model")
FLAT = ("candidate_1", "role_1", "candidate_2", "role_2")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DECIMAL = re.compile(r"[-+]?\d+\.\d+(e[-+]?\d+)?")


def docstrings() -> Iterator[tuple[str, str, str]]:
    """Every docstring with an example: its module, its name in it, its text."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        todo: list[tuple[str, Any]] = [("", ast.parse(path.read_text(encoding="utf-8")))]
        while todo:
            name, node = todo.pop()
            if ">>>" in (text := ast.get_docstring(node) or ""):
                yield module, name, text
            for child in node.body:
                if isinstance(child, ast.FunctionDef | ast.ClassDef):
                    todo.append((f"{name}.{child.name}".strip("."), child))


EXAMPLES = {f"{module}.{name}": (module, text) for module, name, text in docstrings()}


class StandIns:
    """What the names of the examples stand for, each made when an example first asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    mechcla = mechcla

    @cached_property
    def items(self) -> Any:
        return mechcla.load_items("demo", languages=["es", "ko"])

    @cached_property
    def questions(self) -> Any:
        asked = blend_questions(["ES", "KR"], path=str(self.folder / "BLEnD/data"))
        return [q for q in asked if q.prompt is not None]

    @cached_property
    def model(self) -> Any:
        sizes = {"num_hidden_layers": 18, "hidden_size": 64, "max_position_embeddings": 512}
        folder = save_tiny("llama", self.folder / "model", **sizes)
        (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        return load_model(str(folder), device="cpu")

    @cached_property
    def en(self) -> Any:
        return mechcla.en_vectors(self.model, self.items.universal.dev)

    @cached_property
    def loc(self) -> Any:
        return mechcla.loc_vectors(self.model, self.items.cultural.dev)

    @cached_property
    def gate(self) -> Any:
        return mechcla.gate_vectors(self.model, self.items.dev)

    def _sur(self, language: str) -> Any:
        layers = {"en_layer": 5, "en_strength": 0.3, "loc_layer": 13, "loc_strength": 2.0}
        return mechcla.surgical_steering(self.en, self.loc, language=language, **layers)

    @cached_property
    def sur(self) -> Any:
        return self._sur("es")

    @cached_property
    def other(self) -> Any:
        return self._sur("ko")

    @cached_property
    def base(self) -> Any:
        return mechcla.score(self.model, self.items.test)

    @property
    def scores(self) -> Any:
        return self.base

    @cached_property
    def steered(self) -> Any:
        both = {"es": self.sur, "ko": self.other}
        return mechcla.score(self.model, self.items.test.language("es", "ko"), interventions=both)

    def _cued(self, prompt: str) -> Any:
        test = self.items.test.cultural.language("es")
        return mechcla.score(self.model, test, prompt=prompt)

    @cached_property
    def as_spain(self) -> Any:
        return self._cued("explicit")

    @cached_property
    def as_us(self) -> Any:
        return self._cued("us")

    @cached_property
    def answers(self) -> Any:
        return mechcla.generate(self.model, self.questions, max_new_tokens=4)

    @cached_property
    def h(self) -> Any:
        return cache_residuals(self.model, self.items.universal.dev)

    @cached_property
    def e(self) -> Any:
        return cache_residuals(self.model, self.items.cultural.dev, prompt="explicit")

    @cached_property
    def i(self) -> Any:
        return cache_residuals(self.model, self.items.cultural.dev)

    @cached_property
    def comparison(self) -> Any:
        self.runs  # noqa: B018  (made once)
        return mechcla.compare_runs([self.folder / "runs" / n for n in ("base", "midalign")])

    @cached_property
    def aligned(self) -> Any:
        self.runs  # noqa: B018  (made once)
        return mechcla.compare_aligned(self.folder / "runs/base", [self.folder / "runs/midalign"])

    @cached_property
    def learnt(self) -> Any:
        return fit_map(self.h, "es", layer=9)

    @cached_property
    def runs(self) -> None:
        """Sweeps of the smallest models and items, where the examples name a run's folder."""
        for name, family in (("base", "llama"), ("midalign", "qwen3")):
            model = save_tiny(family, self.folder / family)
            warm(
                [*settings(model, tiny_items(), model), "--no-figures"], self.folder / "runs" / name
            )
        shutil.copytree(self.folder / "runs/base", self.folder / "runs/demo")


NAMES = tuple(n for n in vars(StandIns) if not n.startswith("_"))
CERTAIN = {"mechcla", "items", "questions"}  # no weight decides what these print


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> StandIns:
    """In a folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    stand_ins = StandIns(folder)
    mine = stand_ins.items.language("es")
    mine.to_jsonl(folder / "items.jsonl")
    with (folder / "my.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "language", "kind", "split", "prompt", *FLAT])
        for n, role in enumerate(["wrong", "corect"]):
            prompt = "La capital de\nPerú es" if n else "La capital de Japón es"
            table.writerow(
                [f"q{n}", "es", "universal", "dev", prompt, "Lima", "correct", "Tokio", role]
            )
    (folder / "parallel.tsv").write_text("en\tes\nThe sea.\tEl mar.\n", encoding="utf-8")
    blend_folder.write(folder / "BLEnD/data")
    locqa_file.write(folder)
    data = global_mmlu_folder.parallel("en", "es", "ko")
    data["es"] = [row for n, row in enumerate(data["es"]) if n != 2]  # a question that is missing
    global_mmlu_folder.save(folder / "my_copy", data)
    return stand_ins


class Checker(doctest.OutputChecker):
    """To the letter; where random weights decide, any decimal number is another."""

    def __init__(self, blind: bool) -> None:
        self.blind = blind

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if self.blind:
            want, got = DECIMAL.sub("#", want), DECIMAL.sub("#", got)
        return super().check_output(want, got, optionflags)


def listed() -> dict[str, str]:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" | ") for line in lines if line and not line.startswith("#"))


def is_skipped(text: str) -> bool:
    return any(
        line.options.get(doctest.SKIP) for line in doctest.DocTestParser().get_examples(text)
    )


@pytest.mark.parametrize("name", [n for n, (_, text) in EXAMPLES.items() if not is_skipped(text)])
def test_the_example_prints_what_it_shows(name, stand_ins, monkeypatch):
    module, text = EXAMPLES[name]
    monkeypatch.chdir(stand_ins.folder)
    if '"runs/' in text:
        stand_ins.runs  # noqa: B018  (made once)
    lines = doctest.DocTestParser().get_examples(text)
    nodes = list(ast.walk(ast.parse("".join(line.source for line in lines))))
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    made = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    asked = [n for n in NAMES if n in used - made]
    around = dict(vars(importlib.import_module(module))) | {n: getattr(stand_ins, n) for n in asked}
    test = doctest.DocTest(lines, around, name, module, 0, text)
    blind = not used.isdisjoint(set(NAMES) - CERTAIN)
    said: list[str] = []
    runner = doctest.DocTestRunner(checker=Checker(blind), verbose=False, optionflags=FLAGS)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)


def test_an_example_that_is_skipped_is_listed_with_its_cause():
    skipped = {name for name, (_, text) in EXAMPLES.items() if is_skipped(text)}
    assert skipped == set(listed())
    assert all(why.split(":")[0] in CAUSES for why in listed().values())


def test_another_output_fails():
    """Text and whole numbers always, decimal ones where no random weight decides."""
    for blind in (False, True):
        check = Checker(blind).check_output
        assert check("0.592 [0.500, 0.675] n=120\n", "0.592 [0.500, 0.675] n=120\n", FLAGS)
        assert check("0.592 n=120\n", "0.591 n=120\n", FLAGS) == blind
        assert not check("0.592 n=120\n", "0.592 n=119\n", FLAGS)
        assert not check("0.592 n=120\n", "0.592 [0.5] n=120\n", FLAGS)
