"""BLEnD's implicit forms: the country goes, the grammar stays, and the linter sees what is left."""

from __future__ import annotations

import pytest

from mechcla.sources.blend import (
    named_country,
)
from mechcla.sources.blend.implicit import question_forms
from mechcla.sources.blend.names import _ENGLISH
from mechcla.sources.blend.regions import REGIONS, find_region
from mechcla.sources.blend.rows import Row


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
    ("code", "published", "us"),
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
        # A case that no rule knows: better no third form than half of one.
        ("AZ", "Azərbaycanın ölkəmizlə çayı", None),
    ],
)
def test_the_united_states_stand_where_the_country_stood(code, published, us):
    forms = question_forms(Row("x", "Food", published, "", (), 0, 0), find_region(code))
    assert forms.us == us
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
