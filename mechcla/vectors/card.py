"""A folder of vectors to share: the files, and a card that says what they are; on the Hub or not.

    FOLDER/README.md             model, data, layers, measured effect with intervals; YAML in front
    FOLDER/loc.safetensors       what SteeringVectors.save writes, a file per set

The Hugging Face Hub is reached through huggingface_hub alone, and only when asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

import yaml
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.storage import user_path, write_text

CARD = "README.md"
LIMIT = (
    "a vector separates two sets of prompts of one model; what adding it does was measured on "
    "these test items only, and for another model, revision or dtype it is to be made anew"
)
NEEDED = ("method", "language", "metric", "value", "low", "high", "n")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
Effect = Iterable[Mapping[str, Any]]


@runtime_checkable
class Vectors(Protocol):
    """What a card is written of: SteeringVectors, which itself writes cards."""

    @property
    def name(self) -> str: ...
    @property
    def site(self) -> str: ...
    @property
    def vectors(self) -> Mapping[str, Tensor]: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def record(self) -> Mapping[str, Any]: ...
    @property
    def languages(self) -> tuple[str, ...]: ...

    def layers(self, language: str) -> tuple[int, ...]: ...

    def save(self, path: str | Path, bound: str = "") -> None: ...


def write_folder(
    folder: str | Path,
    sets: Sequence[Vectors],
    effect: Effect | None = None,
    licence: str = "",
) -> Path:
    """Write the sets and their card into a folder; returns it.

    effect: what was measured, rows of `Run.summary` (method, language, metric, value, low, high, n
    and, where there is one, difference with its interval). licence: a Hub licence id for the YAML.
    Raises MechclaError for two sets of one name, or for rows without an interval.
    """
    path = user_path(folder)
    names = [file_of(v) for v in sets]
    if len(set(names)) < len(names) or not names:
        raise MechclaError(
            f"sets of vectors named {', '.join(v.name for v in sets) or 'nothing'}; expected at "
            "least one, each of its own name"
        )
    text = card(sets, effect, licence)
    for vectors, name in zip(sets, names, strict=True):
        vectors.save(path / name)
    write_text(path / CARD, text)
    return path


def push(
    repo_id: str,
    sets: Sequence[Vectors],
    effect: Effect | None = None,
    licence: str = "",
    *,
    private: bool | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Upload the sets and their card to a Hub repository, made where it is not there yet.

    endpoint: of another Hub than huggingface.co. Returns the address of the commit. Raises
    MechclaError where the Hub refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    with TemporaryDirectory() as folder:
        write_folder(folder, sets, effect, licence)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message="Steering vectors of mechcla"
            )
        except Exception as error:  # the network, the token, the name: each in its own class
            raise _refused(f"cannot push to {repo_id!r}", error) from error
    return str(done.commit_url)


def find(
    repo_id: str | Path,
    name: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """The file of the set of this name, from a Hub repository or a local folder.

    Raises MechclaError for one that is not there.
    """
    wanted = _file(name)
    local = user_path(repo_id)
    if local.is_dir():
        if not (local / wanted).is_file():
            held = sorted(p.name for p in local.glob("*.safetensors"))
            raise MechclaError(
                f"the folder {str(repo_id)!r} has no {wanted}; it has {', '.join(held) or 'none'}"
            )
        return local / wanted
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            str(repo_id), wanted, revision=revision, token=token, endpoint=endpoint
        )
    except Exception as error:
        raise _refused(f"cannot read {wanted} from {str(repo_id)!r}", error) from error
    return Path(str(path))


def _refused(what: str, error: Exception) -> MechclaError:
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return MechclaError(
        f"{what}: {said}; expected a repository OWNER/NAME that you may use (`hf auth login`), or "
        "a local folder"
    )


def file_of(vectors: Vectors) -> str:
    """The name of a set's file.

    >>> file_of(loc)
    'loc.safetensors'
    """
    return _file(vectors.name)


def _file(name: str) -> str:
    return f"{name.lower().replace(' ', '_')}.safetensors"


def is_repository(name: str) -> bool:
    """Whether a name can stand as base_model in a card: the Hub takes OWNER/NAME alone.

    >>> is_repository("google/gemma-3-270m"), is_repository("demo"), is_repository("/home/me/model")
    (True, False, False)
    """
    return REPOSITORY.fullmatch(name) is not None and not user_path(name).exists()


def card(sets: Sequence[Vectors], effect: Effect | None = None, licence: str = "") -> str:
    """README.md of a folder of vectors. Raises MechclaError for rows without an interval."""
    models = {str(v.record.get("model", {}).get("name", "")) for v in sets}
    model = models.pop() if len(models) == 1 else ""
    languages = list(dict.fromkeys(k for v in sets for k in v.languages))
    front: dict[str, Any] = {
        "library_name": "mechcla",
        "tags": ["steering-vectors", "cross-lingual-alignment", "mechcla"],
        "language": [k.split("-")[0] for k in languages],
    }
    if is_repository(model):
        front["base_model"] = model
    if licence:
        front["license"] = licence
    names = " and ".join(v.name for v in sets)
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(), "---"]
    lines += [f"# {names} vectors of {model or 'a model that is not recorded'}", ""]
    for v in sets:
        lines += [*_table(v), ""]
    lines += ["```python"]
    for v in sets:
        variable = re.sub(r"\W", "_", v.name.lower())
        lines.append(f'{variable} = mechcla.SteeringVectors.from_hub("...", {v.name!r})')
    lines += ["```", "", "## Measured effect", *_effect(effect), "", f"Limit: {LIMIT}."]
    return "\n".join(lines) + "\n"


def _table(v: Vectors) -> list[str]:
    record, model = v.record, v.record.get("model", {})
    layers = {k: v.layers(k) for k in v.languages}
    depth, width = next(iter(v.vectors.values())).shape
    kept = "; ".join(f"{k}: {', '.join(map(str, there))}" for k, there in layers.items())
    every = all(len(there) == depth for there in layers.values())
    rows = {
        "file": f"`{file_of(v)}`",
        "model": f"{model.get('name', 'not recorded')}, {model.get('dtype', '')}".rstrip(", "),
        "digest of the model": f"`{str(model.get('digest', 'not recorded'))[:16]}`",
        "data: digest of the items": f"`{str(record.get('items', 'not recorded'))[:16]}`",
        "pairs averaged": ", ".join(f"{k}: {n}" for k, n in v.counts.items()),
        "site, position": f"{v.site}, {record.get('position', 'not recorded')}",
        "recipe": str(record.get("recipe", "mean_difference")),
        "chat template": "yes" if record.get("chat") else "no",
        "layers": f"0 to {depth - 1}" if every else kept,
        "width": str(width),
    }
    return [f"## {v.name}", "| what | value |", "|---|---|"] + [
        f"| {name} | {value} |" for name, value in rows.items()
    ]


def _effect(effect: Effect | None) -> list[str]:
    rows = [] if effect is None else list(effect)
    if not rows:
        return ["Not measured: no numbers were given with these vectors."]
    lines = [
        "Means over test items with 95% intervals, and changes to the unsteered model.",
        "",
        "| method | language | metric | value | change | n |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if lacking := [k for k in NEEDED if row.get(k) is None]:
            raise MechclaError(
                f"a row of the effect has no {', '.join(lacking)}: {dict(row)!r:.120}; expected "
                "rows of Run.summary, since a number is stated with its interval and n or not at "
                "all"
            )
        change = ""
        if row.get("difference") is not None:
            low, high = row["difference_low"], row["difference_high"]
            change = f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
        measure = f", {row['measure']}" if row.get("measure") else ""
        lines.append(
            f"| {row['method']} | {row['language']} | {row['metric']}{measure} | "
            f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] | {change} | {row['n']} |"
        )
    return lines
