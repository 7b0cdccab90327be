"""Global-MMLU's files and settings that are not as they should be: one message that names file, row
and column.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.sources.global_mmlu import read_global_mmlu
from tests.sources.global_mmlu_folder import LAYOUTS, parallel, question, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path, parallel("en", "es", "ko", "zh"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "ca"}, "subset is 'ca'; .*known: CA, CS, all"),
        ({"form": "letter"}, "form is 'letter'; did you mean 'letters'"),
        ({"shots": 6}, "shots is 6; expected 0 to 5"),
        ({"limit": 0}, "limit is 0; expected at least 1"),
        (
            {"shots": 1},
            (
                r"no dev questions in 'en' in .*; "
                r"expected en/dev-00000-of-00001\.parquet, .* languages there: none"
            ),
        ),
        (
            {"languages": ["fr"]},
            (
                r"no test questions in 'fr' in .*; "
                r"expected fr/test-00000.*languages there: en, es, ko, zh"
            ),
        ),
        ({"subsets": "CA"}, "'global_mmlu' has no option 'subsets'; did you mean 'subset'"),
    ],
)
def test_bad_options_are_shown(folder, options, message):
    with pytest.raises(MechclaError, match=message):
        mechcla.load_items("global_mmlu", **{"languages": ["es"], "path": folder, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "E"}, r"row 3 .*column 'answer' is 'E'; expected one of A, B, C, D"),
        ({"answer": "b"}, r"column 'answer' is 'b'; expected one of A, B, C, D; did you mean 'B'"),
        ({"answer": "1"}, r"column 'answer' is '1'; expected one of A, B, C, D; did you mean 'B'"),
        ({"answer": ""}, r"row 3 .*column 'answer' is ''; expected a text"),
        ({"is_annotated": "maybe"}, r"column 'is_annotated' is 'maybe'; expected true or false"),
        (
            {"cultural_sensitivity_label": "CX"},
            r"column 'cultural_sensitivity_label' is 'CX'; did you mean",
        ),
        (
            {"sample_id": "arithmetic/test/0"},
            r"row 3 .*sample_id 'arithmetic/test/0' stands twice, first at .*row 1",
        ),
        ({"sample_id": " "}, r"column 'sample_id' is ' '; expected a text"),
    ],
)
@pytest.mark.parametrize("layout", [LAYOUTS[1], LAYOUTS[2]])
def test_a_bad_cell_is_named_by_file_row_and_column(tmp_path, change, message, layout):
    data = parallel("en", "es")
    data["es"][2] |= change
    folder = save(tmp_path, data, layout=layout)
    name = layout.format(language="es", split="test").replace(".", r"\.")
    message = message.replace("row 3 ", "(row|line) 3").replace("row 1", "(row|line) 1")
    with pytest.raises(MechclaError, match=f"{name}, .*{message}"):
        mechcla.load_items("global_mmlu", languages=["es"], path=folder)


def test_a_number_where_a_text_belongs_is_named(tmp_path):
    rows = parallel("en")["en"]
    rows[1]["option_a"] = 7
    with pytest.raises(
        MechclaError, match=r"en_test\.jsonl, line 2, column 'option_a' is 7; expected a text"
    ):
        read_global_mmlu(path=save(tmp_path, {"en": rows}, layout=LAYOUTS[2]))


@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_a_renamed_column_comes_with_the_nearest(tmp_path, layout):
    rows = [
        {("optionb" if k == "option_b" else k): v for k, v in row.items()}
        for row in parallel("en")["en"]
    ]
    with pytest.raises(
        MechclaError, match=r"(row|line) 1.* lacks the column 'option_b'; did you mean 'option"
    ):
        read_global_mmlu(path=save(tmp_path, {"en": rows}, layout=layout))
    bare = [
        {k: v for k, v in row.items() if k not in ("is_annotated", "cultural_sensitivity_label")}
        for row in parallel("en")["en"]
    ]
    folder = save(tmp_path / "bare", {"en": bare}, layout=layout)
    # A copy without annotations has no subsets.
    assert read_global_mmlu(path=folder, subset="all").report.kept == 12
    with pytest.raises(MechclaError, match="lacks the column 'is_annotated'"):
        read_global_mmlu(path=folder)


def test_half_downloaded_files_are_named(tmp_path):
    data = parallel("en")
    shard = save(tmp_path / "a", data, layout=LAYOUTS[0]) / "en/test-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:900])
    with pytest.raises(
        MechclaError,
        match=r"cannot read .*test-00000-of-00001\.parquet as Parquet: .*cut off while downloading",
    ):
        read_global_mmlu(path=tmp_path / "a")
    shard.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5185242\n")
    with pytest.raises(
        MechclaError, match="is a Git LFS pointer, not the data: run `git lfs pull`"
    ):
        read_global_mmlu(path=tmp_path / "a")
    shard.write_bytes(b"")
    with pytest.raises(MechclaError, match=r"is empty \(0 bytes\)"):
        read_global_mmlu(path=tmp_path / "a")
    shard.rename(shard.with_suffix(".parquet.incomplete"))
    with pytest.raises(
        MechclaError, match=r"a download did not finish: test-00000-of-00001\.parquet\.incomplete"
    ):
        read_global_mmlu(["en"], path=tmp_path / "a")
    save(tmp_path / "b", data, layout="{language}/{split}-00000-of-00003.parquet")
    with pytest.raises(
        MechclaError, match=r"has 1 of 3 parts of 'en' test; missing test-00001-of-00003\.parquet"
    ):
        read_global_mmlu(path=tmp_path / "b")
    for layout, cut in ((LAYOUTS[1], "row 12"), (LAYOUTS[2], "line 12 is not JSON")):
        file = save(tmp_path / layout[-4:], data, layout=layout) / layout.format(
            language="en", split="test"
        )
        text = file.read_text(encoding="utf-8")
        file.write_text(text[: text.rindex("plus one")], encoding="utf-8")
        with pytest.raises(MechclaError, match=cut):
            read_global_mmlu(path=file.parent if layout == LAYOUTS[2] else file.parent.parent)


def test_wrong_folders_are_named(tmp_path, folder):
    with pytest.raises(
        MechclaError, match="is no folder; expected one with a sub-folder or file per language"
    ):
        read_global_mmlu(["es"], path=tmp_path / "nowhere")
    with pytest.raises(MechclaError, match=r"test\.csv' is no folder; .*did you mean '.*es'"):
        read_global_mmlu(["es"], path=folder / "es" / "test.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(
        MechclaError, match=r"holds no language of Global-MMLU; expected en/test\.csv"
    ):
        read_global_mmlu(path=tmp_path / "none")
    save(folder, parallel("es"), layout=LAYOUTS[2])
    with pytest.raises(MechclaError, match=r"holds the test questions in 'es' twice: .*; keep one"):
        read_global_mmlu(["es"], path=folder)
    header = ",".join(question("en", 0))
    (folder / "en" / "test.csv").write_text(header + "\n", encoding="utf-8")
    with pytest.raises(
        MechclaError,
        match=r"en.test\.csv has no rows; expected Global-MMLU's test questions in 'en'",
    ):
        read_global_mmlu(["en"], path=folder)
    save(folder, {"en": [question("en", 1)]})
    with pytest.raises(
        MechclaError, match="no question is left: Global-MMLU CA, cloze: 0 of 0 questions kept"
    ):
        read_global_mmlu(["en"], path=folder)


def test_the_hub_out_of_reach_is_one_clear_message(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    want = (
        r"cannot load 'CohereLabs/Global-MMLU', config 'en', from the Hugging Face hub: "
        r".*HF_HUB_OFFLINE is set; path='folder' reads your own copy"
    )
    with pytest.raises(MechclaError, match=want) as caught:
        mechcla.load_items("global_mmlu", languages=["es"])
    assert "\n" not in str(caught.value)
    with pytest.raises(MechclaError, match="which languages of Global-MMLU"):
        mechcla.load_items("global_mmlu")
