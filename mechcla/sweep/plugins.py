"""Plugins: a user's own files that register sources, recipes, operators, families, metrics, control
arms, choice rules, constraints or alignment methods.

    python -m mechcla.sweep --plugins my_family.py

A plugin is imported once per process, before other settings are checked, so that what it registers
is a valid value of them. Its code is part of the run's identity.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path

from mechcla.engine.operators import OPERATORS
from mechcla.errors import MechclaError
from mechcla.steering.controls import ARMS
from mechcla.steering.families import FAMILIES
from mechcla.storage import user_path
from mechcla.sweep.choosing import CONSTRAINTS, RULES
from mechcla.user_code import user_code
from mechcla.vectors.recipes import RECIPES

_loaded: dict[str, str] = {}  # by name as it was given, without folders: SHA-256 of the code


def load_plugins(names: object) -> None:
    """Import Python files (*.py) and modules, each once: a list of names, or a string with commas.

    Raises MechclaError naming the plugin.
    """
    given = names.strip("[]").split(",") if isinstance(names, str) else names
    if not isinstance(given, list | tuple) or not all(isinstance(n, str) for n in given):
        return  # none, or what the setting's own check refuses
    for name in (n.strip() for n in given if n.strip()):
        try:
            path = user_path(name) if name.endswith(".py") else _source(name)
            code = path.read_bytes()
        except (OSError, ImportError, ValueError) as error:
            raise MechclaError(
                f"cannot load the plugin {name!r}: {error}; expected a Python file, or a module "
                "that can be imported"
            ) from error
        key, digest = path.stem, hashlib.sha256(code).hexdigest()
        if _loaded.get(key) == digest:
            continue
        if key in _loaded:
            raise MechclaError(
                f"the plugin {name!r} was loaded before with other code; start Python anew"
            )
        try:
            if name.endswith(".py"):
                spec = importlib.util.spec_from_file_location(f"mechcla_plugin_{key}", path)
                assert spec is not None
                assert spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                sys.modules[spec.name] = module
                spec.loader.exec_module(module)
            else:
                importlib.import_module(name)
        except MechclaError:
            raise
        except Exception as error:  # a user's own code may raise anything
            raise MechclaError(
                f"the plugin {name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        _loaded[key] = digest


def plugin_digests() -> dict[str, str]:
    """The code of every loaded plugin, for a run's identity; empty without plugins."""
    return {f"plugin {name}": digest for name, digest in sorted(_loaded.items())}


def users_code(recipe: str, *operators: str) -> dict[str, str]:
    """Digests of the recipe and the operators of these names, and of all families, control arms,
    choice rules and constraints, where they are a user's own: registered from Python they are in no
    plugin's digest.
    """
    named: list[tuple[str, object]] = [(f"recipe {recipe}", RECIPES.get(recipe))]
    named += [(f"operator {operator}", OPERATORS.get(operator)) for operator in operators]
    named += [(f"family {name}", family) for name, family in FAMILIES.items()]
    named += [(f"arm {name}", arm) for name, arm in ARMS.items()]
    named += [(f"choice rule {name}", rule) for name, rule in RULES.items()]
    named += [(f"constraint {name}", guard) for name, guard in CONSTRAINTS.items()]
    found = ((f"code of {name}", user_code(value)) for name, value in named)
    return {name: digest for name, digest in found if digest is not None}


def _source(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError("there is no such module")
    return Path(spec.origin)
