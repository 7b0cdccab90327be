"""Which edits act on which rows: a vector of one language is not added to another's unasked.

Source: ours. Steering vectors are made per language, and a vector of another language moves the
numbers like any push does, so that a mistake would pass for a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mechcla.engine.gating import PromptGate
from mechcla.engine.intervention import Intervention, active, check_chat
from mechcla.errors import MechclaError, nearest
from mechcla.models.chat import Chat

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

Interventions = (
    Intervention
    | Sequence[Intervention]
    | Mapping[str, Intervention]
    | Mapping[str, Sequence[Intervention]]
    | Mapping[str, Intervention | Sequence[Intervention]]
)


def by_language(
    interventions: Interventions,
    languages: Sequence[str],
    model: HookedModel,
    chat: bool | Chat = False,
    any_language: bool = False,
) -> dict[str, tuple[Intervention, ...]]:
    """The edits of each of these rows' languages: those that do something, checked.

    interventions: one or several for all rows, or by language; languages that a mapping does not
    name run unsteered. chat: how the rows' prompts stand, as a vector's own must have. An edit
    whose `language` is None, such as one of your own making, suits every language. Raises
    MechclaError for a mapping that names a language without rows, or for a vector that was made for
    another language than the rows that it would be added to, unless `any_language`.
    """
    rows = tuple(dict.fromkeys(languages))
    if not isinstance(interventions, Mapping):
        check_chat(_listed(interventions), model, chat)
        edits = active(interventions, model)
        if not any_language:
            _check(_listed(interventions), rows)
        return dict.fromkeys(rows, edits)
    for language in interventions:
        if language not in rows:
            raise MechclaError(
                f"interventions name {language!r}, of which there is no item; "
                f"{nearest(language, rows)}"
            )
    found: dict[str, tuple[Intervention, ...]] = dict.fromkeys(rows, ())
    for language, steps in interventions.items():
        check_chat(_listed(steps), model, chat)
        found[language] = active(steps, model)
        if not any_language:
            _check(_listed(steps), (language,))
    return found


def described(
    interventions: Interventions, found: Mapping[str, tuple[Intervention, ...]]
) -> list[dict[str, object]] | dict[str, list[dict[str, object]]]:
    """What settings say of a table's edits: a list, or one per language if so given."""
    if isinstance(interventions, Mapping):
        return {k: [e.describe() for e in found[k]] for k in interventions}
    return [e.describe() for e in next(iter(found.values()), ())]


def _listed(steps: Any) -> tuple[Intervention, ...]:
    return (steps,) if isinstance(steps, Intervention) else tuple(steps)


def _check(edits: tuple[Intervention, ...], rows: tuple[str, ...]) -> None:
    """Refuse an edit with a language beside rows, or another edit, of another one."""
    parts: list[Intervention | PromptGate] = [*edits]
    parts += [e.gate for e in edits if e.gate is not None]
    made = {part.language: part for part in parts if part.language is not None}
    if len(made) > 1:
        both = " and ".join(f"{e.label or 'steering'} of {k!r}" for k, e in made.items())
        raise MechclaError(
            f"vectors of different languages in one list: {both}; give them by language, "
            "interventions={" + ", ".join(f"{k!r}: ..." for k in made) + "}, or, to add them "
            "together on purpose, any_language=True"
        )
    for language, edit in made.items():
        if others := [row for row in rows if row != language]:
            raise MechclaError(
                f"the {edit.label or 'steering'} vector is of {language!r}, and the rows are of "
                f"{', '.join(map(repr, rows))}; give vectors by language, "
                f"interventions={{{language!r}: ..., {others[0]!r}: ...}}, choose the rows, "
                f"items.language({language!r}), or, to add it to them on purpose, any_language=True"
            )
