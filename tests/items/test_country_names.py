"""mechcla.lint finds a country by its name in many languages, and lets look-alikes pass."""

from __future__ import annotations

import re

import pytest
from babel import Locale

import mechcla
from mechcla import Candidate, Item
from mechcla.items.country_names import country_names


def item(language: str, country: str, prompt: str) -> Item:
    return Item(
        id="x",
        language=language,
        kind="cultural",
        split="dev",
        country=country,
        prompt=prompt,
        candidates=(Candidate("first", "local"), Candidate("second", "other")),
    )


NAMED = [
    ("de", "DE", "In Deutschlands Küchen isst man"),
    ("de", "DE", "Das deutsche Essen ist"),
    ("de", "AT", "Die ÖSTERREICHISCHE Küche ist"),
    ("fr", "CA", "La monnaie canadienne est"),
    ("fr", "FR", "La monnaie française est"),
    ("fr", "FR", "La monnaie FRANCAISE est"),
    ("pt-BR", "BR", "A comida brasileira é"),
    ("it", "IT", "La moneta italiana è"),
    ("es", "AR", "Los argentinos comen"),
    ("es-MX", "MX", "La comida mexicana es"),
    ("ru", "RU", "В России едят"),
    ("ru", "RU", "Русская кухня — это"),
    ("uk", "UA", "В Україні їдять"),
    ("pl", "PL", "W Polsce je się"),
    ("cs", "CZ", "V Česku se jí"),
    ("el", "CY", "Στην Κύπρο τρώμε"),
    ("fi", "FI", "Suomalaiset syövät"),
    ("hu", "HU", "Magyarországon esznek"),
    ("tr", "TR", "TÜRKİYE'DE yenir"),
    ("ar", "EG", "العملة المصرية هي"),
    ("he", "IL", "המטבע בישראל הוא"),
    ("hi", "IN", "भारत की मुद्रा"),
    ("ta", "IN", "இந்தியாவின் பணம்"),
    ("bn", "BD", "বাংলাদেশের মুদ্রা"),
    ("am", "ET", "የኢትዮጵያ ምግብ"),
    ("sw", "TZ", "Chakula cha Watanzania ni"),
    ("vi", "VN", "Tiền của Việt Nam là"),
    ("th", "TH", "อาหารของประเทศไทยคือ"),
    ("ja", "JP", "日本のお金は"),
    ("ko", "JP", "일본의 돈은"),
    ("zh-TW", "TW", "台灣的錢是"),
    ("en", "IN", "In INDIA people eat"),
    ("en", "TR", "In Turkey people eat"),
    ("en", "GB", "The British eat"),
    ("es", "KE", "La moneda de Kenya es"),  # in English, in the middle of Spanish
]


@pytest.mark.parametrize(("language", "country", "prompt"), NAMED)
def test_a_prompt_that_names_its_country_is_found(language: str, country: str, prompt: str) -> None:
    report = mechcla.lint([item(language, country, prompt)])
    assert [(f.rule, f.field, f.severity) for f in report.findings] == [
        ("country-in-prompt", "prompt", "error")
    ]
    assert prompt in report.findings[0].message


LOOK_ALIKES = [
    ("en", "IN", "Individuals in our country indicate that"),
    ("en", "TR", "On the feast we eat turkey with"),
    ("en", "PL", "Before we go out we polish our"),
    ("en", "NE", "The Nigerian name of it is"),  # Nigeria, not Niger
    ("en", "GN", "Guinea-Bissau has the"),
    ("en", "OM", "The woman from Romania is"),
    ("en", "ML", "A malicious man in Somalia is"),
    ("ko", "IN", "인도네시아 음식은"),  # Indonesia begins like India
    ("es", "ES", "La espada y el espacio de nuestro país son"),
    ("fr", "FR", "Un franc, franchement, c'est"),
    ("ru", "RU", "Россыпь наших грибов — это"),
    ("ar", "EG", "العملة في بلادنا هي"),
    ("ja", "JP", "私たちの国のお金は"),
    ("de", "DE", "In Österreich isst man"),  # another country than the item's own
]


@pytest.mark.parametrize(("language", "country", "prompt"), LOOK_ALIKES)
def test_a_look_alike_passes(language: str, country: str, prompt: str) -> None:
    report = mechcla.lint([item(language, country, prompt)])
    assert report.findings == report.unchecked == ()


@pytest.mark.parametrize("language", ["de", "fr", "pt", "ru", "tr", "ar", "hi", "ja", "sw", "vi"])
def test_cldr_names_are_found_and_the_names_of_others_are_not(language: str) -> None:
    """Babel's own table is the oracle: each of 20 names is found as its country and, of the others,
    as none."""
    codes = re.findall("..", "ARBRCACHDEEGETFRINJPKEMXNGPHPKRUTHTRUAVN")
    names = {code: Locale.parse(language).territories[code] for code in codes}
    for code in codes:
        pattern = country_names(code, language)
        found = {other for other, name in names.items() if pattern.find(f"... {name}?")}
        assert found == {code}
