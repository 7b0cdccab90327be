"""Which half a question belongs to, where the data does not say, and which few stand for many: by
hash, so for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mechcla.errors import MechclaError
from mechcla.items.texts import clip, text_fault


def half(id: str) -> str:
    """ "dev" or "test", by the parity of the first byte of the id's SHA-256: the same in every
    language, on every machine.

    Ours. The halves are equal in expectation, not exactly. Raises MechclaError for an id that
    cannot be encoded.

    >>> half("abstract_algebra/test/4"), half("abstract_algebra/test/5")
    ('dev', 'test')
    """
    if fault := text_fault(id):
        raise MechclaError(f"'id' is {clip(id)}, which {fault}")
    return ("dev", "test")[hashlib.sha256(id.encode()).digest()[0] % 2]


def sample(ids: Sequence[str], limit: int) -> list[str]:
    """At most `limit` of the ids, in their order, spread over them by hash.

    The first few would be one subject, since data sets stand in order of subject. The hash is
    salted, so that the choice says nothing about dev and test.

    >>> len(sample(["a", "b", "c"], 2))
    2
    """
    chosen = set(
        sorted(ids, key=lambda id: hashlib.sha256(f"limit {id}".encode()).digest())[:limit]
    )
    return [id for id in ids if id in chosen]
