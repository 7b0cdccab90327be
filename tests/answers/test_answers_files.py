"""A file of answers is read back whole, or refused by name, whichever of its bits was flipped."""

from __future__ import annotations

import random

import pytest

from mechcla.answers.answers import Answer, Answers
from mechcla.errors import MechclaError

ROWS = tuple(
    Answer(f"q{k}", "es", "ES", "test", "food", "implicit", f"té {k}", (k, k + 1), "stop")
    for k in range(6)
)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    path = tmp_path / "answers.parquet"
    table = Answers(ROWS, {"model": "tiny", "stop": "\n"})
    table.to_parquet(path)
    assert Answers.from_parquet(path) == table
    whole = path.read_bytes()
    draw = random.Random(0)
    refused: list[str] = []
    for _ in range(150):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            found = Answers.from_parquet(path)
        except MechclaError as error:
            refused.append(str(error))
        else:
            assert found == table  # a bit that holds nothing, such as padding
    assert len(refused) > 75
    assert all(str(path) in message for message in refused)


def test_what_is_no_file_of_answers_is_refused_by_name(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MechclaError, match=r"cannot read answers from .*a\.parquet"):
        Answers.from_parquet(tmp_path / "a.parquet")
