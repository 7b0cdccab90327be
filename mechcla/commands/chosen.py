"""What steers, for the commands that take `--run` or layers: methods by family and language, and
their vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from mechcla.commands.command import Flags
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError, nearest
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.models.placement import SETTINGS
from mechcla.runs.run import Run, read_run
from mechcla.sources import load_items
from mechcla.steering.families import FAMILIES
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import method_of
from mechcla.sweep.axes import MADE_OF
from mechcla.sweep.config import SweepConfig, make
from mechcla.sweep.held import find_model
from mechcla.sweep.placement_settings import PlacementSettings
from mechcla.sweep.setting_types import Layer, Where, Words
from mechcla.vectors.extract import extract
from mechcla.vectors.gates import GATE, gate_vectors
from mechcla.vectors.steering_vectors import SteeringVectors


class SteeringFlags(PlacementSettings, Flags):
    """The flags that say what steers: a run's choice, or layers, strengths and vectors."""

    run: str | None = Field(
        None, description="run folder, whose model, vectors and choice are taken; else give layers"
    )
    languages: Words | None = Field(
        None, description="languages, such as es,id; default: all of the run's choice"
    )
    method: Words | None = Field(
        None, description="families, such as sur or en,loc; default: all that were chosen or given"
    )
    model: str | None = Field(
        None,
        description="'demo', 'smollm2', a Hugging Face id, a folder or a GGUF file; default: "
        "the run's, or demo",
    )
    dtype: str | None = Field(None, description="float32, bfloat16 or float16; default: the run's")
    device: str | None = Field(None, description="cpu, cuda, mps, ...; default: cuda if present")
    vectors: Words = Field(
        [],
        description="vector files of SteeringVectors.save, named EN, LOC or GATE: "
        "en.safetensors,loc.safetensors; default: made of the items",
    )
    items: str = Field(
        "demo", description="items whose dev part makes the vectors, and whose cue names a country"
    )
    en_layer: Layer | None = Field(None, description="block of v_EN")
    en_strength: float = Field(0.3, allow_inf_nan=False, description="of v_EN")
    loc_layer: Layer | None = Field(None, description="block of v_LOC")
    loc_strength: float = Field(2.0, allow_inf_nan=False, description="of v_LOC")
    restore_layer: Layer | None = Field(None, description="block where v_EN is subtracted again")
    gate_layer: Layer | None = Field(None, description="block that a gate reads, for gated SUR")
    en_positions: Where = Field("prompt", description="tokens that EN-steering edits")
    loc_positions: Where = Field("prompt", description="tokens that LOC-steering edits")
    operator: str = Field("add", description="how a vector acts")
    unit: str = Field("raw", description="of strengths: raw or relative")
    chat: bool = Field(False, description="texts in the model's chat template; a run's own wins")
    system_prompt: str | None = Field(None, description="text of a system turn, with --chat")


@dataclass(frozen=True, eq=False)
class Chosen:
    """Methods by family and language, with the settings of the model that they are for.

    run: where they were chosen, if anywhere. manner: how vectors are added.
    """

    methods: Mapping[str, Mapping[str, Method]]
    manner: Manner
    config: SweepConfig
    vectors: Mapping[str, SteeringVectors] = field(default_factory=dict)
    run: Run | None = None

    @property
    def languages(self) -> list[str]:
        """The languages that any family has a method in."""
        return list(dict.fromkeys(k for by in self.methods.values() for k in by))

    def edits(self, family: str, language: str) -> tuple[Intervention, ...]:
        """A family's edits in a language; () where dev chose to leave the model as it is."""
        return self.methods[family][language].interventions(self.vectors, language, self.manner)

    def item_set(self, languages: Sequence[str]) -> ItemSet:
        """The items of the run, or those that the settings name, in these languages and English."""
        if self.run is not None:
            return self.run.item_set
        return load_items(self.config.items, list(languages))


def chosen(flags: SteeringFlags) -> Chosen:
    """What the flags say, without a model. Raises MechclaError for flags that say nothing, or both,
    and for a family or language that was not chosen.
    """
    given = [n for n in ("en_layer", "loc_layer") if getattr(flags, n) is not None]
    if flags.run is None and not given:
        raise MechclaError(
            "which layers? expected --run RUN, whose choice is taken, or a block and a strength, "
            "such as --loc-layer 13 --loc-strength 4"
        )
    if flags.run is not None and (given or flags.vectors):
        named = given[0].replace("_", "-") if given else "vectors"
        raise MechclaError(f"--run and --{named}: a run has its own; expected one of the two")
    found = _of_run(flags) if flags.run is not None else _of_layers(flags)
    return _only(found, flags)


def _of_run(flags: SteeringFlags) -> Chosen:
    run = read_run(str(flags.run))
    methods = {
        family: {language: method_of(m) for language, m in by.items()}
        for family, by in run.choice.items()
    }
    asked = _given(flags, "model", "dtype")
    if asked.get("model", run.config["model"]) != run.config["model"]:
        asked["revision"] = None  # the run's is of the run's model
    config = make(_elsewhere(run.config, flags) | asked)
    return Chosen(methods, config.manner, config, run.vectors, run)


def _given(flags: SteeringFlags, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(flags, name)) is not None}


def _elsewhere(config: Mapping[str, Any], flags: SteeringFlags) -> dict[str, Any]:
    """A run's settings, with the model where the flags say, if they say it."""
    asked = _given(flags, "device", *SETTINGS)
    return {k: v for k, v in config.items() if not asked or k not in ("device", *SETTINGS)} | asked


def _of_layers(flags: SteeringFlags) -> Chosen:
    languages = flags.languages
    if languages is None:
        raise MechclaError("which languages? expected --languages es, or several: es,id")
    en = Method(flags.en_layer, flags.en_strength)
    loc = Method(loc_layer=flags.loc_layer, loc_strength=flags.loc_strength)
    both = Method(
        flags.en_layer,
        flags.en_strength,
        flags.restore_layer,
        flags.loc_layer,
        flags.loc_strength,
    )
    made: dict[str, Method] = {}
    if flags.en_layer is not None:
        made["EN"] = en
        if flags.restore_layer is not None:
            made["EN+restore"] = Method(flags.en_layer, flags.en_strength, flags.restore_layer)
    if flags.loc_layer is not None:
        made["LOC"] = loc
    if flags.en_layer is not None and flags.loc_layer is not None:
        made["SUR"] = both
        if flags.gate_layer is not None:
            made["GATED"] = Method(
                flags.en_layer,
                flags.en_strength,
                loc_layer=flags.loc_layer,
                loc_strength=flags.loc_strength,
                gate_layer=flags.gate_layer,
            )
    settings = {
        "model": flags.model or "demo",
        "items": flags.items,
        "languages": languages,
        "operator": flags.operator,
        "unit": flags.unit,
        "en_positions": flags.en_positions,
        "loc_positions": flags.loc_positions,
        "chat": flags.chat,
        "system_prompt": flags.system_prompt,
        "restore": flags.restore_layer is not None,
        **_given(flags, "dtype", "device", *SETTINGS),
    }
    config = make(settings)
    held = [SteeringVectors.load(path) for path in flags.vectors]
    methods = {family: dict.fromkeys(languages, method) for family, method in made.items()}
    return Chosen(methods, config.manner, config, {v.name: v for v in held})


def _only(found: Chosen, flags: SteeringFlags) -> Chosen:
    """The families and languages that were asked for."""
    methods = dict(found.methods)
    if flags.method is not None:
        names = {name.upper(): name for name in FAMILIES if FAMILIES[name].vectors}
        for word in flags.method:
            name = names.get(word.upper())
            if name is None:
                raise MechclaError(f"--method {word!r}; {nearest(word.upper(), list(names), 40)}")
            if name not in methods:
                raise MechclaError(
                    f"--method {word!r}: no {name} was chosen or given; there is "
                    f"{', '.join(methods)}"
                    + ("" if flags.run else f"; {name} needs {_needs(name)}")
                )
        asked = {names[word.upper()] for word in flags.method}
        methods = {name: by for name, by in methods.items() if name in asked}
    if flags.languages is not None:
        known = list(dict.fromkeys(k for by in methods.values() for k in by))
        for language in flags.languages:
            if language not in known:
                raise MechclaError(
                    f"--languages {language!r}: nothing was chosen for it; "
                    f"{nearest(language, known)}"
                )
        methods = {
            name: {k: m for k, m in by.items() if k in flags.languages}
            for name, by in methods.items()
        }
    return Chosen(methods, found.manner, found.config, found.vectors, found.run)


def _needs(family: str) -> str:
    layers = {"EN": "--en-layer", "LOC": "--loc-layer", GATE: "--gate-layer"}
    return " and ".join(layers[v] for v in FAMILIES[family].vectors if v in layers)


def with_vectors(found: Chosen, model: HookedModel) -> Chosen:
    """The same with the vectors that its methods need, made of dev items where no file has them."""
    needed = {v for name in found.methods for v in FAMILIES[name].vectors}
    missing = needed - set(found.vectors)
    made = dict(found.vectors)
    if missing:
        items = found.item_set(found.languages).dev
        chat = found.config.chat_form
        if missing - {GATE}:
            kinds = {kind for name, kind in MADE_OF.items() if name in missing}
            mine = set(found.languages)
            asked = items.where(
                lambda i: i.kind in kinds and (i.kind == "universal" or i.language in mine)
            )
            extracted = extract(
                model, asked, found.config.recipe, site=found.config.site, chat=chat
            )
            made |= {name: v for name, v in extracted.items() if name in missing}
        if GATE in missing:
            made[GATE] = gate_vectors(model, items, chat=chat).to_vectors()
    for name in sorted(needed - set(made)):
        raise MechclaError(
            f"the items {found.config.items!r} make no {name} vectors; give --vectors, or items of "
            "the kind that they are made of"
        )
    return Chosen(found.methods, found.manner, found.config, made, found.run)


def model_of(found: Chosen) -> HookedModel:
    """The model that the methods are for."""
    return find_model(found.config)


def cue_of(items: ItemSet, language: str, country: str | None = None) -> str | None:
    """What names the country in front of a prompt, as most explicit prompts of the language do.

    country: where a language has several. None where the items name none in front.
    """
    cues: Counter[str] = Counter()
    for item in items.cultural:
        mine = item.language == language and country in (None, item.country)
        if mine and item.prompt_explicit and item.prompt_explicit.endswith(item.prompt):
            cues[item.prompt_explicit.removesuffix(item.prompt)] += 1
    return cues.most_common(1)[0][0] if cues and cues.most_common(1)[0][0].strip() else None
