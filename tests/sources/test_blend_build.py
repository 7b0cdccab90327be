"""BLEnD's small folder: which items, pairs and questions it makes, in both layouts and as Hugging
Face rows.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.sources.blend import (
    blend_items,
    blend_pairs,
    blend_questions,
    blend_report,
)
from mechcla.sources.blend.build import build_items
from mechcla.sources.blend.choices import loose, says
from mechcla.sources.blend.hub import read_hub
from mechcla.sources.blend.read import read_folder
from mechcla.sources.blend.regions import find_region
from mechcla.sources.splits import half
from tests.sources.blend_folder import FILES, QUESTIONS, edit, note, question_rows, write


@pytest.mark.parametrize("layout", ["new", "old"])
def test_items_are_the_same_from_both_layouts(tmp_path, layout):
    items = mechcla.load_items("blend", path=write(tmp_path, layout), regions=["ES", "KR"])
    assert items.languages == ("es", "ko")
    soup = next(i for i in items.language("es") if i.id == "q-soup")
    assert soup.prompt == "Responde.\n\nPregunta: ¿Qué sopa se toma en nuestro país?\nRespuesta:"
    assert soup.prompt_explicit == soup.prompt.replace("nuestro país", "España")
    assert (soup.country, soup.topic, soup.source, soup.licence, soup.kind) == (
        "ES",
        "Food",
        "BLEnD",
        "CC BY-SA 4.0",
        "cultural",
    )
    assert {(c.text, c.role, c.country) for c in soup.candidates} == {
        ("gazpacho", "local", "ES"),
        ("sopa de pollo", "english", "US"),
        ("pozole", "other", "MX"),
        ("sopa de algas", "other", "KR"),
    }
    soup = next(i for i in items.language("ko") if i.id == "q-soup")
    assert soup.prompt.endswith("우리나라에서 먹는 국은 무엇인가요?\n답변:")
    assert {c.text for c in soup.candidates} == {"미역국", "닭국", "가스파초"}
    english = blend_items(["ES", "KR", "US"], write(tmp_path, layout), form="english")
    assert english.languages == ("en-ES", "en-KR", "en")
    bird = next(i for i in english.language("en-KR") if i.id == "q-bird")
    assert "stands for our country?" in bird.prompt
    assert "stands for South Korea?" in (bird.prompt_explicit or "")
    assert bird.prompt.endswith("Answer:")


def test_candidates_follow_the_rules(tmp_path):
    items = blend_items(["ES", "MX", "KR", "US"], write(tmp_path), form="english")
    for item in items:
        roles = Counter(c.role for c in item.candidates)
        assert roles["local"] == 1
        assert roles["english"] <= 1
        assert len(item.candidates) >= 3
        assert [c.country for c in item.candidates if c.role == "english"] in ([], ["US"])
        said = [loose(c.text) for c in item.candidates]
        assert len(set(said)) == len(said)
    tea = {i.language: i for i in items if i.id == "q-tea"}
    # The US says black tea too.
    assert {c.text for c in tea["en-MX"].candidates} == {"black tea", "camomile", "barley tea"}
    assert "en-ES" not in tea  # black tea is an accepted answer there, which leaves one distractor
    bird = {i.language: {c.text for c in i.candidates} for i in items if i.id == "q-bird"}
    # Elsewhere "eagle" is part of "bald eagle", or the other way.
    assert bird == {"en-KR": {"magpie", "bald eagle", "eagle"}}


def test_local_distractors_are_the_regions_own_words(tmp_path):
    items = blend_items(["KR"], write(tmp_path))
    # "hat" is accepted in Korea, cap and beret have no Korean word here.
    assert items.ids == ("q-soup",)
    report = blend_report(tmp_path, ["KR"])["KR"]
    assert report.skipped["fewer than two distractors"] == ("q-hat", "q-bird", "q-tea")
    # Exact strings: "the black teas" is another.
    assert report.us_differs == ("q-soup", "q-hat", "q-bird", "q-tea", "q-odd")
    assert (report.made, report.three, report.with_english) == (1, 0, 1)


def test_the_order_and_the_split_belong_to_the_id(tmp_path):
    folder = write(tmp_path)
    assert blend_items(path=folder) == blend_items(path=folder)
    assert blend_items(["ES"], folder).items == tuple(
        i for i in blend_items(path=folder) if i.language == "es"
    )
    for form in ("local", "english"):
        assert all(i.split == half(i.id) for i in blend_items(path=folder, form=form))
    assert [half(i) for i in ("q-soup", "q-hat", "q-bird", "q-tea")] == [
        "test",
        "dev",
        "test",
        "dev",
    ]


def test_what_is_left_out_is_counted(tmp_path):
    folder = write(tmp_path)
    edit(
        folder / "annotations" / "Spain_data.json",
        '"no-answer": 1',
        '"no-answer": 2, "not-applicable": 1',
    )
    report = blend_report(folder, ["ES", "KR"])
    spain, korea = report["ES"], report["KR"]
    assert (spain.questions, spain.valid) == (5, 4)
    assert spain.invalid == {"no-answer or not-applicable three times or more": ("q-soup",)}
    assert spain.valid == spain.made + sum(map(len, spain.skipped.values()))
    assert korea.still_named == {"q-odd": "한글"}  # named by its script: no rule can take that out
    assert "DZ" in report.absent
    assert "ES" in str(report)
    assert "q-odd ('한글')" in str(report)


def test_pairs_show_the_same_two_answers(tmp_path):
    pairs = blend_pairs(write(tmp_path), "ES", "MX")
    # The eagle is both's, black tea is accepted in Spain, q-odd is the same.
    assert set(pairs.ids) == {"q-soup", "q-hat"}
    assert set(blend_pairs(tmp_path, "ES", "MX", strict=False).ids) == {"q-soup", "q-hat", "q-tea"}
    for left, right in mechcla.items.item_set.pair_ids(
        pairs.language("es"), pairs.language("es-MX")
    ):
        assert [c.text for c in left.candidates] == [c.text for c in right.candidates]
        assert left.right != right.right
    english = blend_pairs(tmp_path, "KR", "US", form="english")
    assert {c.role for i in english.language("en-KR") for c in i.candidates} == {"local", "english"}
    with pytest.raises(MechclaError, match="ES answers in 'es' and KR in 'ko'"):
        blend_pairs(tmp_path, "ES", "KR")
    with pytest.raises(MechclaError, match="left and right are both ES"):
        blend_pairs(tmp_path, "ES", "ES")


def test_the_contrast_asks_one_question_with_either_country_named(tmp_path):
    from analyses.blend_contrast import two_ways

    folder = write(tmp_path)
    edit(
        folder / "questions/Mexico_questions.csv",
        "¿Qué sopa se toma en México?",
        "¿Qué sopa acostumbra comer la gente en México?",
    )
    items, countries, left_out = two_ways(folder, "ES", "MX")  # Mexico's own wording must not enter
    assert (items.languages, countries, left_out) == (("es",), ("ES", "MX"), 0)
    for item in items:
        assert item.prompt_explicit == item.prompt.replace("nuestro país", "España")
        assert item.prompt_us == item.prompt.replace("nuestro país", "México")
        assert [c.country for c in item.candidates if c.role == "local"] == ["ES"]
    english, _, _ = two_ways(tmp_path, "KR", "US")
    assert english.languages == ("en",)
    assert all("South Korea" in str(i.prompt_explicit) for i in english)
    assert all("the US" in str(i.prompt_us) for i in english)


def test_questions_carry_all_answers(tmp_path):
    questions = blend_questions(["ES", "KR"], write(tmp_path))
    soup = questions[0]
    assert (soup.id, soup.language, soup.country) == ("q-soup", "es", "ES")
    assert [(g.answers, g.en_answers, g.count) for g in soup.groups] == [
        (("gazpacho",), ("gazpacho",), 4),
        (("cocido",), ("stew",), 1),
    ]
    assert soup.us_groups[0].en_answers == ("chicken soups",)
    odd = next(q for q in questions if q.id == "q-odd" and q.country == "KR")
    assert odd.prompt is None
    assert "대한민국" in odd.prompt_explicit
    assert (
        blend_questions(["KR"], tmp_path, form="english")[0]
        .prompt_text("explicit")
        .count("South Korea")
        == 1
    )


def test_hugging_face_rows_become_the_same_items(tmp_path):
    folder, hub = write(tmp_path / "folder"), tmp_path / "hub"
    for name in ("annotations_hf", "questions_hf", "prompts"):
        (hub / "data" / name).mkdir(parents=True)
    for code, file in FILES.items():
        notes = [{"ID": id_, **note(code, id_)} for id_ in QUESTIONS]
        (hub / "data/annotations_hf" / f"{file}_data.json").write_text(
            json.dumps(notes, ensure_ascii=False), encoding="utf-8"
        )
        rows = json.dumps(question_rows(code, "old"), ensure_ascii=False)
        (hub / "data/questions_hf" / f"{file}_questions.json").write_text(rows, encoding="utf-8")
        (hub / "data/prompts" / f"{file}_prompts.csv").write_bytes(
            (folder / "prompts" / f"{file}_prompts.csv").read_bytes()
        )
    regions = [find_region(code) for code in FILES]
    data = read_hub(hub, regions)
    assert (
        build_items(data, regions, "local", 2, 2, 0)[0]
        == build_items(read_folder(folder), regions, "local", 2, 2, 0)[0]
    )
    (hub / "data/questions_hf/Spain_questions.json").unlink()
    with pytest.raises(
        MechclaError, match=r"cannot read short-answer-questions of ES from .* Pass path= a copy"
    ):
        read_hub(hub, regions)


def test_offline_says_how_to_pass_a_folder(monkeypatch):
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", "nowhere")
    with pytest.raises(
        MechclaError,
        match=(
            r"cannot read annotations of DZ from 'nayeon212/BLEnD' "
            r".*Pass path= a copy of BLEnD's data folder"
        ),
    ):
        blend_items()


def test_what_counts_as_the_same_answer():
    assert loose("The White Houses") == loose("white house.")
    assert says("ham sandwiches", {loose("ham sandwich")})
    assert says("bald eagle", {("eagle",)})
    assert not says("eagle", {("bald", "eagle")})
