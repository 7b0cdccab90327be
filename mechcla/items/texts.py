"""What a text, an id and a language code may hold, how a message shows a value, and JSON read
strictly.

A language code names folders and table rows, and an id stands in tables and messages, so neither
may hold what a path, a spreadsheet or a terminal reads as something else. Half a character (a lone
surrogate) and NUL are legal in a Python string and in JSON, but no tokenizer, file or digest takes
the first, and the second is a damaged file's.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from mechcla.errors import MechclaError

LONGEST_ID = 512  # characters
_LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,34}")
_POOLED = "all"  # the row that pools languages bears this name
_BROKEN = re.compile("[\ud800-\udfff\x00]")
_UNPRINTED = ("Cc", "Zl", "Zp")  # control characters, line and paragraph separators


def clip(value: object, width: int = 80) -> str:
    """The value as a message shows it: its repr, cut to `width` characters.

    >>> clip("La capital de Francia es", 16)
    "'La capital d..."
    """
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to show"
    except ValueError:  # Python prints no longer whole number, alone or inside something
        kind = "number" if isinstance(value, int) else type(value).__name__
        return f"a {kind} of more than 4,300 digits"
    return text if len(text) <= width else text[: width - 3] + "..."


def text_fault(text: str) -> str | None:
    """Why the text cannot be tokenized or written to a file, or None.

    >>> text_fault("La capital \\ud83d es")
    'holds half a character, U+D83D at place 11: a text that was cut inside an emoji or in UTF-16?'
    """
    found = _BROKEN.search(text)
    if found is None:
        return None
    if found[0] == "\x00":
        return f"holds NUL (U+0000) at place {found.start()}: a damaged file, or one in UTF-16?"
    return (
        f"holds half a character, U+{ord(found[0]):04X} at place {found.start()}: "
        "a text that was cut inside an emoji or in UTF-16?"
    )


def id_fault(id: str) -> str | None:
    """Why this is no id, or None: any text of at most 512 characters without control characters.

    >>> id_fault("capital\\tof Peru")
    'holds the control character U+0009 at place 7'
    """
    if fault := text_fault(id):
        return fault
    if len(id) > LONGEST_ID:
        return f"has {len(id)} characters; an id has at most {LONGEST_ID}"
    for place, char in enumerate("" if id.isprintable() else id):
        if unicodedata.category(char) in _UNPRINTED:
            return f"holds the control character U+{ord(char):04X} at place {place}"
    return None


def check_language(code: object, where: str = "") -> str:
    """The code, if it is one: 1 to 35 letters, digits, "-" and "_", and not "all".

    Codes name folders and table rows. `where` leads the message. Raises MechclaError that shows the
    code. Source: ours; 35 characters are what RFC 5646 (BCP 47) reckons with.

    >>> check_language("zh-Hans")
    'zh-Hans'
    """
    lead = f"{where}: " if where else ""
    if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
        raise MechclaError(
            f"{lead}'language' is {clip(code)}; expected a code of 1 to 35 letters (a to z), "
            "digits, '-' and '_', such as 'es', 'zh-Hans' or 'pt_BR'"
        )
    if code.casefold() == _POOLED:
        raise MechclaError(
            f"{lead}'language' is {code!r}, which names the row that pools all languages; "
            f"write another code, such as '{code}-x'"
        )
    return code


def parse_json(text: str) -> Any:
    """The JSON value, read strictly: an object with one key twice is refused, for one of the two
    values would be lost.

    Raises MechclaError that goes on after "column 'candidates'" or "line 3": not JSON, a key that
    stands twice, nesting or a whole number beyond what Python reads.

    >>> parse_json('{"id": "a"}')
    {'id': 'a'}
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise MechclaError(f"is not JSON ({error.msg}): {clip(text)}") from error
    except MechclaError as error:
        raise MechclaError(f"{error}: {clip(text)}") from None
    except RecursionError:
        raise MechclaError(f"is nested too deeply to be read as JSON: {clip(text)}") from None
    except ValueError:
        raise MechclaError(
            "holds a whole number of more than 4,300 digits, which Python does not read: "
            f"{clip(text)}"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MechclaError(f"has the key {twice!r} twice in one object")
    return made
