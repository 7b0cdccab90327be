"""One HTML file from the page's data: the template, the script, Plotly, all of it inside.

Nothing that a run holds is ever markup: it travels as JSON, and the script writes it as text.
Should that fail, the page's own security policy lets no script run but these, known by their
SHA-256, and no address be asked.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError

HERE = Path(__file__).parent / "page"
SCRIPTS = (
    "tools.js",
    "charts.js",
    "projection.js",
    "browser.js",
    "page.js",
)  # in the order in which they run
EXTRA = "pip install 'mechcla[report]'"


def html(data: dict[str, Any]) -> str:
    """The whole page. Raises MechclaError where the extra `report` is not installed."""
    jinja2, library = _jinja2(), _plotly()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    packed = _packed()
    allowed = " ".join(f"'sha256-{_hash(text)}'" for text in (script, library))
    return str(
        environment.get_template("page.html").render(
            title=data["title"],
            runs=data["runs"],
            aligned=any(run["aligned"] for run in data["runs"]),
            projected=any(run["projection"] for run in data["runs"]),
            policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
            f"script-src {allowed}; base-uri 'none'; form-action 'none'",
            style=(HERE / "page.css").read_text(encoding="utf-8"),
            script=script,
            library=packed,
            data=as_json(data),
        )
    )


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, `>` or `&`, and no number that is none.

    >>> as_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    """The same with None for nan and infinities."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _hash(text: str) -> str:
    """As a security policy names a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _jinja2() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise _missing("jinja2") from error
    return jinja2


@cache
def _plotly() -> str:
    """Plotly's own library, as its Python package carries it."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise _missing("plotly") from error
    return str(get_plotlyjs())


@cache
def _packed() -> str:
    """Plotly, compressed: a third of its size. The browser unpacks it."""
    return base64.b64encode(gzip.compress(_plotly().encode(), mtime=0)).decode()


def _missing(package: str) -> MechclaError:
    return MechclaError(f"the page needs {package!r}, which is not installed; expected {EXTRA}")


def installed() -> bool:
    """Whether the extra `report` is there."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("jinja2", "plotly"))
