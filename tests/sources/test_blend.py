"""BLEnD: a small folder made here, in both published layouts and as Hugging Face rows, and the real files if named.

Set MECHCLA_BLEND to a copy of BLEnD's data folder to run the tests on the real files. No text of BLEnD stands here.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.building import building_faults
from mechcla.sources.blend import (
    blend_items,
    blend_pairs,
    blend_questions,
    blend_report,
    named_country,
)
from mechcla.sources.blend.build import build_items, build_pairs, build_questions
from mechcla.sources.blend.choices import loose, says, split_of
from mechcla.sources.blend.hub import read_hub
from mechcla.sources.blend.implicit import question_forms
from mechcla.sources.blend.names import _ENGLISH
from mechcla.sources.blend.read import read_folder
from mechcla.sources.blend.regions import REGIONS, find_region
from mechcla.sources.blend.rows import Row

NAMES = {"ES": "España", "MX": "México", "KR": "대한민국", "US": "the US"}
PROMPTS = {
    "ES": "Responde.\n\nPregunta: {q}\nRespuesta:",
    "KR": "대답하세요.\n\n질문: {q}\n답변:",
    "US": "Answer this.\n\nQuestion: {q}\nAnswer:",
}
PROMPTS["MX"] = PROMPTS["ES"]
QUESTIONS = {  # id: local question in Spanish, Korean and English, and what "your country" reads
    "q-soup": (
        "¿Qué sopa se toma en {}?",
        "{}에서 먹는 국은 무엇인가요?",
        "Which soup do people usually eat in {}?",
    ),
    "q-hat": (
        "¿Qué sombrero llevan los niños de {}?",
        "{}의 아이들은 어떤 모자를 쓰나요?",
        "Which hat do the children of {} wear?",
    ),
    "q-bird": (
        "¿Qué ave representa a {}?",
        "{}이 자랑하는 새는 무엇인가요?",
        "Which is the bird that stands for {}?",
    ),
    "q-tea": (
        "¿Qué té se bebe en {}?",
        "{}에서는 어떤 차를 마시나요?",
        "Which tea do people in {} usually drink?",
    ),
    "q-odd": (
        "¿Qué palabra española se oye más en {}?",
        "{}의 한글 책은 무엇인가요?",
        "What is the American word of {}, people say?",
    ),
}
# votes for (local, English) answers, most first
ANSWERS = {
    "ES": {
        "q-soup": [("gazpacho", "gazpacho", 4), ("cocido", "stew", 1)],
        "q-hat": [("boina", "beret", 3)],
        "q-bird": [("águila", "eagle", 3)],
        "q-tea": [("manzanilla", "camomile", 2), ("té negro", "black tea", 1)],
        "q-odd": [
            ("hola", "hello", 3),
            ("sopa de algas", "seaweed soup", 1),
            ("sopa de pollo", "chicken soups", 1),
        ],
    },
    "MX": {
        "q-soup": [("pozole", "pozole", 3)],
        "q-hat": [("sombrero", "hat", 3)],
        "q-bird": [("águila", "eagle", 4)],
        "q-tea": [("té negro", "black tea", 3)],
        "q-odd": [("hola", "hello", 3)],
    },
    "KR": {
        "q-soup": [("미역국", "seaweed soup", 4), ("스튜", "stew", 1)],
        "q-hat": [("갓", "gat", 3), ("모자", "hat", 1)],
        "q-bird": [("까치", "magpie", 3)],
        "q-tea": [("보리차", "barley tea", 3), ("홍차", "black tea", 1)],
        "q-odd": [("안녕", "hello", 2), ("가스파초", "gazpacho", 1), ("닭국", "chicken soups", 1)],
    },
    "US": {
        "q-soup": [("chicken soups", "chicken soups", 3)],
        "q-hat": [("cap", "cap", 4)],
        "q-bird": [("bald eagle", "bald eagle", 4)],
        "q-tea": [("the black teas", "the black teas", 4)],
        "q-odd": [("hi", "hi", 3)],
    },
}
FILES = {"ES": "Spain", "MX": "Mexico", "KR": "South_Korea", "US": "US"}


def texts(code: str, id_: str, layout: str) -> tuple[str, str]:
    """The local and the English question of a region; the old layout says "your country" in English."""
    local = QUESTIONS[id_][{"KR": 1, "US": 2}.get(code, 0)].format(NAMES[code])
    name = {"ES": "Spain", "MX": "Mexico", "KR": "South Korea", "US": "US"}[code]
    return local, QUESTIONS[id_][2].format("your country" if layout == "old" else name)


def question_rows(code: str, layout: str) -> list[dict[str, str]]:
    rows = []
    for id_ in QUESTIONS:
        local, english = texts(code, id_, layout)
        pair = (english, local) if layout == "old" else (local, english)
        rows.append(
            {
                "ID": id_,
                "Topic": "Food",
                "Source": "here",
                "Question": pair[0],
                "Translation": pair[1],
            }
        )
    return rows


def note(code: str, id_: str) -> dict:
    groups = [{"answers": [a], "en_answers": [e], "count": n} for a, e, n in ANSWERS[code][id_]]
    return {
        "question": "",
        "en_question": "",
        "annotations": groups,
        "idks": {"idk": 0, "no-answer": 1, "못 들음" if code == "KR" else "no sé": 9},
    }


def write(
    folder: Path, layout: str = "new", codes: tuple[str, ...] = ("ES", "MX", "KR", "US")
) -> Path:
    """BLEnD's data folder for these regions, with byte-order marks as published."""
    for name in ("annotations", "questions", "prompts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for code in codes:
        notes = {id_: note(code, id_) for id_ in QUESTIONS}
        (folder / "annotations" / f"{FILES[code]}_data.json").write_text(
            json.dumps(notes, ensure_ascii=False), encoding="utf-8"
        )
        tables = {
            "questions": [{"": str(n), **row} for n, row in enumerate(question_rows(code, layout))],
            "prompts": [
                {"id": "pers-1", "English": "From Spain. {q}", "Translation": "De España. {q}"},
                {"id": "inst-4", "English": PROMPTS["US"], "Translation": PROMPTS[code]},
            ],
        }
        for name, rows in tables.items():
            with (folder / name / f"{FILES[code]}_{name}.csv").open(
                "w", encoding="utf-8-sig", newline=""
            ) as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8-sig")


# --- a small folder ---


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
    assert {c.text for c in tea["en-MX"].candidates} == {
        "black tea",
        "camomile",
        "barley tea",
    }  # the US says black tea too
    assert "en-ES" not in tea  # black tea is an accepted answer there, which leaves one distractor
    bird = {i.language: {c.text for c in i.candidates} for i in items if i.id == "q-bird"}
    assert bird == {
        "en-KR": {"magpie", "bald eagle", "eagle"}
    }  # elsewhere "eagle" is part of "bald eagle", or the other way


def test_local_distractors_are_the_regions_own_words(tmp_path):
    items = blend_items(["KR"], write(tmp_path))
    assert items.ids == (
        "q-soup",
    )  # "hat" is accepted in Korea, cap and beret have no Korean word here
    report = blend_report(tmp_path, ["KR"])["KR"]
    assert report.skipped["fewer than two distractors"] == ("q-hat", "q-bird", "q-tea")
    assert report.us_differs == (
        "q-soup",
        "q-hat",
        "q-bird",
        "q-tea",
        "q-odd",
    )  # exact strings: "the black teas" is another
    assert (report.made, report.three, report.with_english) == (1, 0, 1)


def test_the_order_and_the_split_belong_to_the_id(tmp_path):
    folder = write(tmp_path)
    assert blend_items(path=folder) == blend_items(path=folder)
    assert blend_items(["ES"], folder).items == tuple(
        i for i in blend_items(path=folder) if i.language == "es"
    )
    for form in ("local", "english"):
        assert all(i.split == split_of(i.id) for i in blend_items(path=folder, form=form))
    assert [split_of(i) for i in ("q-soup", "q-hat", "q-bird", "q-tea")] == [
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
    assert set(pairs.ids) == {
        "q-soup",
        "q-hat",
    }  # the eagle is both's, black tea is accepted in Spain, q-odd is the same
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
        match=r"cannot read annotations of DZ from 'nayeon212/BLEnD' .*Pass path= a copy of BLEnD's data folder",
    ):
        blend_items()


# --- bad input ---


def test_unknown_settings_come_with_the_nearest(tmp_path):
    folder = write(tmp_path)
    for call, message in [
        ({"regions": ["Spian"]}, "BLEnD has no region 'Spian'; did you mean 'Spain'"),
        ({"regions": "es"}, "BLEnD has no region 'es'; did you mean 'ES'"),
        ({"regions": ["south korea"]}, "did you mean 'South_Korea'"),
        ({"regions": []}, r"regions=\[\] asks for no region"),
        ({"form": "lokal"}, "form='lokal' is not a form of a BLEnD question; did you mean 'local'"),
        ({"min_votes": 0}, "min_votes=0; expected a whole number of at least 1"),
        ({"regions": ["IR"]}, r"Iran_data.json is missing; the folder holds MX, KR, ES, US"),
    ]:
        with pytest.raises(MechclaError, match=message):
            blend_items(**{"path": folder, **call})
    with pytest.raises(MechclaError, match="the 'blend' items have no language 'kr'"):
        mechcla.load_items("blend", path=folder, languages=["kr"])


def test_a_folder_that_is_not_blend_is_named(tmp_path):
    with pytest.raises(MechclaError, match=r"no folder .*blendd'"):
        blend_items(path=tmp_path / "blendd")
    (tmp_path / "anotations").mkdir()
    with pytest.raises(
        MechclaError, match="has no 'annotations' folder; did you mean 'anotations'"
    ):
        blend_items(path=tmp_path)
    folder = write(tmp_path / "no_us", codes=("ES", "MX"))
    with pytest.raises(
        MechclaError, match=r"US_data.json is missing \(needed for the role 'english'\)"
    ):
        blend_items(["ES"], folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "annotations/Spain_data.json",
            '"count": 4',
            '"count": "four"',
            r"Spain_data.json, 'q-soup', annotation 1: 'count' is 'four'; expected a number",
        ),
        (
            "annotations/Spain_data.json",
            '"en_answers": ["gazpacho"]',
            '"en_answer": []',
            "annotation 1: 'en_answers' is None; expected a list",
        ),
        (
            "annotations/Spain_data.json",
            '"idks"',
            '"idk_s"',
            "Spain_data.json, 'q-soup': the field 'idks' is missing; did you mean 'idk_s'",
        ),
        (
            "annotations/Spain_data.json",
            '"idk": 0',
            '"idk": "0"',
            r"idks\['idk'\] is '0'; expected a number",
        ),
        (
            "annotations/Spain_data.json",
            '"q-hat"',
            '"q-hot"',
            r"Spain_questions.csv, row 3: ID 'q-hat' is not in .*did you mean 'q-hot'",
        ),
        (
            "questions/Spain_questions.csv",
            "Translation",
            "English",
            "Spain_questions.csv has no column 'Translation'; .*known: ID, Topic",
        ),
        (
            "questions/Spain_questions.csv",
            "q-hat",
            "q-soup",
            "Spain_questions.csv, row 3: ID 'q-soup' stands twice",
        ),
        (
            "prompts/Spain_prompts.csv",
            "inst-4",
            "inst-5",
            "Spain_prompts.csv has no row with id 'inst-4'; did you mean 'inst-5'",
        ),
        (
            "prompts/Spain_prompts.csv",
            "Pregunta: {q}",
            "Pregunta:",
            r"column 'Translation' is .*expected one '\{q\}'",
        ),
    ],
)
def test_bad_files_are_named_to_the_row_and_column(tmp_path, file, old, new, message):
    folder = write(tmp_path)
    edit(folder / file, old, new)
    with pytest.raises(MechclaError, match=message):
        blend_items(["ES"], folder)


def test_a_half_downloaded_file_is_named(tmp_path):
    folder = write(tmp_path)
    path = folder / "annotations" / "Mexico_data.json"
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    with pytest.raises(
        MechclaError,
        match=r"Mexico_data.json is not JSON at line 1.*It has 200 characters; was the download cut off",
    ):
        blend_items(["ES"], folder)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(MechclaError, match="expected an object from question ids to answers"):
        blend_items(["ES"], folder)
    write(folder)
    (folder / "questions" / "Mexico_questions.csv").rename(
        folder / "questions" / "Mexcio_questions.csv"
    )
    with pytest.raises(
        MechclaError, match=r"Mexico_questions.csv is missing; did you mean 'Mexcio_questions.csv'"
    ):
        blend_items(["ES"], folder)
    write(folder)
    (folder / "questions" / "Mexico_questions.csv").write_text(
        "\ufeff,ID,Topic,Question,Translation\n0,q-soup,Food\n", encoding="utf-8"
    )
    with pytest.raises(MechclaError, match=r"Mexico_questions.csv"):
        blend_items(["ES"], folder)


def test_a_table_in_one_language_twice_is_refused(tmp_path):
    folder = write(tmp_path)
    path = folder / "questions" / "South_Korea_questions.csv"
    rows = [{**r, "Question": r["Translation"]} for r in question_rows("KR", "new")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(
        MechclaError,
        match=r"expected English in one of the columns .* and South_Korea's language in the other; 100%",
    ):
        blend_items(["ES"], folder)


# --- implicit forms ---


@pytest.mark.parametrize(
    ("code", "published", "implicit"),
    [
        ("ES", "¿Qué beben los españoles?", "¿Qué beben los habitantes de nuestro país?"),
        (
            "ES",
            "En España, ¿qué baila la sociedad española?",
            "En nuestro país, ¿qué baila la sociedad de nuestro país?",
        ),
        (
            "MX",
            "¿Qué canción mexicana se canta en México?",
            "¿Qué canción de nuestro país se canta en nuestro país?",
        ),
        ("KR", "대한민국이 대한민국을 대한민국에서", "우리나라가 우리나라를 우리나라에서"),
        ("KP", "북한사람들은 북한과 북한으로", "우리 나라 사람들은 우리 나라와 우리 나라로"),
        ("CN", "中国人喜欢中国的什么？", "国人喜欢我国的什么？"),
        ("CN", "中国人均喝多少茶，其中国家喝多少？", "我国人均喝多少茶，其中国家喝多少？"),
        (
            "ID",
            "Apa yang dimakan orang Indonesia di Indonesia?",
            "Apa yang dimakan orang di negara kita di negara kita?",
        ),
        ("JB", "Naon nu diinum ku urang Sunda?", "Naon nu diinum ku jalma-jalma di daérah urang?"),
        (
            "GR",
            "Τι πίνουν οι Έλληνες στην Ελλάδα;",
            "Τι πίνουν οι κάτοικοι της χώρας μας στη χώρα μας;",
        ),
        (
            "AZ",
            "Azərbaycanda Azərbaycandan Azərbaycanın çayı",
            "Ölkəmizdə ölkəmizdən ölkəmizin çayı",
        ),
        ("NG", "Wane yanki ne Arewacin Najeriya ta fi so?", "Wane ɓangare ne yankinmu ya fi so?"),
        ("IR", "مردم درایران چه می‌نوشند؟", "مردم در کشور ما چه می‌نوشند؟"),
        (
            "DZ",
            "ماذا يشرب الجزائريون في المدارس الجزائرية ؟",
            "ماذا يشرب الناس في بلادنا في مدارس بلادنا؟",
        ),
        ("AS", "অসমত অসমীয়া লোকে কি খায়?", "আমাৰ ৰাজ্যত আমাৰ ৰাজ্যৰ লোকে কি খায়?"),
        ("ET", "ኢትዮጵያውያን በኢትዮጵያ ምን ይጠጣሉ?", "የአገራችን ሰዎች በአገራችን ምን ይጠጣሉ?"),
        ("GB", "What is the UK's tea in the UK?", "What is our country's tea in our country?"),
    ],
)
def test_the_country_goes_and_the_grammar_stays(code, published, implicit):
    forms = question_forms(Row("x", "Food", published, "", (), 0, 0), find_region(code))
    assert forms.implicit == implicit
    assert named_country(published, code)
    assert named_country(implicit, code) is None


@pytest.mark.parametrize(
    ("code", "published", "american"),
    [
        (
            "ES",
            "En España, ¿qué baila la sociedad española?",
            "En Estados Unidos, ¿qué baila la sociedad de Estados Unidos?",
        ),
        (
            "MX",
            "¿Qué canción mexicana se canta en México?",
            "¿Qué canción de Estados Unidos se canta en Estados Unidos?",
        ),
        ("KR", "대한민국이 대한민국을 대한민국에서", "미국이 미국을 미국에서"),
        ("KP", "북한사람들은 북한과 북한으로", "미국 사람들은 미국과 미국으로"),
        ("CN", "中国人喜欢中国全国的什么？", "美国人喜欢美国全国的什么？"),
        ("CN", "中国人均喝多少茶？", "美国人均喝多少茶？"),
        ("ID", "Apa yang dimakan orang Indonesia?", "Apa yang dimakan orang di Amerika Serikat?"),
        (
            "JB",
            "Naon nu diinum ku urang Sunda?",
            "Naon nu diinum ku jalma-jalma di Amérika Sarikat?",
        ),
        (
            "GR",
            "Στην Ελλάδα τι πίνουν οι Έλληνες;",
            "Στην Αμερική τι πίνουν οι κάτοικοι της Αμερικής;",
        ),
        ("AZ", "Azərbaycanda Azərbaycandan Azərbaycanın çayı", "ABŞ-da ABŞ-dan ABŞ-ın çayı"),
        ("NG", "Wane yanki ne Arewacin Najeriya ta fi so?", "Wane ɓangare ne Amurka ya fi so?"),
        ("IR", "مردم درایران چه می‌نوشند؟", "مردم در آمریکا چه می‌نوشند؟"),
        (
            "DZ",
            "ماذا يشرب الجزائريون في المدارس الجزائرية ؟",
            "ماذا يشرب الناس في أمريكا في مدارس أمريكا؟",
        ),
        ("AS", "অসমত অসমীয়া লোকে কি খায়?", "আমেৰিকাত আমেৰিকাৰ লোকে কি খায়?"),
        ("ET", "ኢትዮጵያውያን በኢትዮጵያ ምን ይጠጣሉ?", "የአሜሪካ ሰዎች በአሜሪካ ምን ይጠጣሉ?"),
        ("GB", "What do people in the UK drink?", "What do people in the US drink?"),
        ("US", "What do people in the US drink?", None),
        (
            "ES",
            "¿España es famosa? ¿Qué se come en España?",
            "¿Estados Unidos es famosa? ¿Qué se come en Estados Unidos?",
        ),
        (
            "AZ",
            "Azərbaycanın ölkəmizlə çayı",
            None,
        ),  # a case that no rule knows: better no third form than half of one
    ],
)
def test_the_united_states_stand_where_the_country_stood(code, published, american):
    forms = question_forms(Row("x", "Food", published, "", (), 0, 0), find_region(code))
    assert forms.us == american
    english = question_forms(
        Row("x", "Food", "x", "Which tea do people drink in your country?", (), 0, 0),
        find_region("KR"),
        "english",
    )
    assert english.us == "Which tea do people drink in the US?"


def test_your_country_gets_its_name_back_in_the_explicit_form():
    forms = question_forms(
        Row(
            "x",
            "Food",
            "در کشور شما چه می‌نوشند؟",
            "What do people drink in your country?",
            (),
            0,
            0,
        ),
        find_region("IR"),
    )
    assert (forms.implicit, forms.explicit) == ("در کشور ما چه می‌نوشند؟", "در ایران چه می‌نوشند؟")
    forms = question_forms(
        Row("x", "Food", "x", "Which region in your country?", (), 0, 0),
        find_region("NG"),
        "english",
    )
    assert (forms.implicit, forms.explicit) == (
        "Which area in our region?",
        "Which region in Northern Nigeria?",
    )
    bare = question_forms(Row("x", "Food", "¿Qué se bebe?", "", (), 0, 0), find_region("ES"))
    assert bare.explicit is None
    assert "names no country" in bare.why
    assert (
        question_forms(Row("x", "Food", "", "", (), 0, 0), find_region("ES")).why
        == "the published question is blank"
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ES", "la lengua castellana"),
        ("KR", "한글"),
        ("CN", "学习汉语"),
        ("US", "besides English"),
        ("US", "in the U.S."),
        ("IR", "زبان فارسی"),
        ("GR", "οι πανελλήνιες"),
        ("JB", "basa Sunda"),
        ("ET", "አማርኛ"),
        ("NG", "harshen Hausa"),
        ("DZ", "اللغة العربية"),
        ("AS", "অসমীয়া"),
    ],
)
def test_the_linter_sees_people_and_languages(code, text):
    assert named_country(text, code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("US", "Tell us (Provide Arabic numerals) about it"),
        ("CN", "其中国家"),
        ("DZ", "استعمل الأرقام العربية"),
        ("AS", "অসমৰ্থ"),
        ("GR", "έλλειψη"),
    ],
)
def test_the_linter_lets_look_alikes_pass(code, text):
    assert named_country(text, code) is None


def test_every_region_has_its_names():
    assert set(_ENGLISH) == {r.code for r in REGIONS}
    assert len({r.tag for r in REGIONS}) == 16


def test_what_counts_as_the_same_answer():
    assert loose("The White Houses") == loose("white house.")
    assert says("ham sandwiches", {loose("ham sandwich")})
    assert says("bald eagle", {("eagle",)})
    assert not says("eagle", {("bald", "eagle")})


# --- the real files ---

REAL = os.environ.get("MECHCLA_BLEND", "")
real = pytest.mark.skipif(
    not REAL,
    reason="MECHCLA_BLEND names no copy of BLEnD's data folder (CC BY-SA 4.0, not shipped)",
)
# Valid questions whose local and US answers are disjoint, counted independently before this source was written.
DIFFERS = {
    "DZ": 230,
    "CN": 269,
    "ET": 289,
    "GR": 220,
    "ID": 251,
    "IR": 243,
    "KR": 260,
    "ES": 215,
    "MX": 209,
    "NG": 312,
    "GB": 162,
}


@cache
def made(form: str):
    return build_items(data(), REGIONS, form, 2, 2, 0)


@cache
def data():
    return read_folder(REAL)


def report(form: str):
    return made(form)[1]


def items(form: str):
    return made(form)[0]


@real
def test_counts_of_the_real_files():
    local = report("local")
    assert (local["DZ"].valid, local["ID"].valid) == (437, 480)
    assert {r.valid for r in local.regions} == {r.valid for r in report("english").regions}
    for code, count in DIFFERS.items():
        assert abs(len(local[code].us_differs) - count) <= 2, code
    three = sum(r.three for r in local.regions if r.language not in ("en", "en-GB"))
    assert abs(three - 909) <= 0.15 * 909
    assert abs(sum(r.three for r in report("english").regions) - 5119) <= 0.05 * 5119
    for r in (*local.regions, *report("english").regions):
        assert r.questions == 500
        assert r.valid == r.made + sum(map(len, r.skipped.values()))
        assert r.questions == r.valid + sum(map(len, r.invalid.values()))


@real
@pytest.mark.parametrize(
    ("left", "right", "count"), [("ES", "MX", 230), ("KR", "KP", 209), ("GB", "US", 206)]
)
def test_pairs_of_the_real_files(left, right, count):
    sides = find_region(left), find_region(right)
    differ, strict = (build_pairs(data(), *sides, "local", 2, how) for how in (False, True))
    assert abs(len(differ.ids) - count) <= 0.25 * count
    assert set(strict.ids) < set(differ.ids)
    assert len(strict.ids) > 100
    assert len(strict) == 2 * len(strict.ids)
    assert not [f for f in building_faults(strict) if f.rule == "right-position"]


@real
@pytest.mark.parametrize("form", ["local", "english"])
def test_no_real_implicit_prompt_names_its_country(form):
    country = {r.country: r for r in REGIONS}
    for item in items(form):
        assert named_country(item.prompt, country[item.country]) is None, item.prompt
        assert named_country(item.prompt_explicit, country[item.country]), item.prompt_explicit
        if (
            item.country != "US"
        ):  # a third form, with the United States in the same place and no one else
            assert item.prompt_us != item.prompt
            assert named_country(item.prompt_us, country[item.country]) is None, item.prompt_us
    left_out = {r.code: r.no_implicit for r in report(form).regions if r.no_implicit}
    assert sum(len(ids) for reasons in left_out.values() for ids in reasons.values()) <= 5, left_out


@real
@pytest.mark.parametrize("form", ["local", "english"])
def test_real_items_are_sound(form):
    found = Counter(f.rule for f in building_faults(items(form)))
    assert not {
        "right-position",
        "duplicate-candidate",
        "two-splits",
        "white-space",
        "not-nfc",
    } & set(found), found
    for item in items(form):
        assert sum(c.role == "local" for c in item.candidates) == 1
        assert len(item.candidates) in (3, 4)
        assert item.split == split_of(item.id)
    assert 0.45 < len(items(form).dev.ids) / len(items(form).ids) < 0.55


@real
def test_real_questions_are_the_valid_ones():
    questions = build_questions(data(), REGIONS, "local")
    counts = Counter(q.country for q in questions)
    assert (counts["DZ"], counts["ID"]) == (437, 480)
    assert counts["CN"] == 473  # one of its 474 is blank
    assert [q.id for q in questions if q.prompt is None] == ["New-pe-11"]
    assert all(
        named_country(q.prompt, next(r for r in REGIONS if r.country == q.country)) is None
        for q in questions
        if q.prompt
    )
