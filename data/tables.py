"""Which countries, cities, continents and languages the universal facts are about: ISO codes only.

Left out on purpose: countries on two continents, disputed capitals and official languages, several
big official languages, and names that are long, bracketed or seldom used in one of the seven
languages.
"""

from __future__ import annotations

# Countries that a small model has read about, and whose CLDR name is the everyday one in all
# languages.
_COUNTRIES = (
    "RU DE FR GB IT UA PL ES RO NL BE GR CZ PT SE HU BY AT BG RS DK FI SK NO IE HR LT SI LV EE IS "
    "CH AL MT "
    "CN IN BD JP TR IR TH KR SA IQ AF UZ MY NP KP SY KH LB JO MN AZ AM VN PK QA OM PH LA BH KG KZ "
    "EG ET KE MA NG UG SD GH AO SN ZW ZM LY MG MZ NA RW NE "
    "US CA CU PE CO VE AR EC PY UY NI HN HT JM CR AU NZ FJ"
)
COUNTRIES = tuple(_COUNTRIES.split())
_ZONE_CITIES = (
    "TR:Europe/Istanbul AU:Australia/Sydney AU:Australia/Melbourne AU:Australia/Perth "
    "CN:Asia/Shanghai "
    "AE:Asia/Dubai PK:Asia/Karachi NG:Africa/Lagos ZA:Africa/Johannesburg MA:Africa/Casablanca "
    "US:America/New_York US:America/Los_Angeles US:America/Chicago US:America/Detroit "
    "CA:America/Toronto CA:America/Vancouver BR:America/Sao_Paulo BR:America/Manaus "
    "EC:America/Guayaquil MX:America/Monterrey MX:America/Tijuana NZ:Pacific/Auckland "
    "KZ:Asia/Almaty RU:Asia/Novosibirsk RU:Europe/Volgograd "
    "CH:Europe/Zurich UZ:Asia/Samarkand TZ:Africa/Dar_es_Salaam CM:Africa/Douala"
)
ZONE_CITIES = tuple(pair.split(":") for pair in _ZONE_CITIES.split())
CONTINENT_OF = {
    "AF": "NG ET KE UG GH MA DZ AO SN ZW ZM MG SD",
    "AS": "CN IN ID PK JP VN TH IR IQ PH MY NP KR",
    "EU": "DE FR GB IT PL ES SE PT GR FI NO UA HU",
    "SA": "BR AR CO PE VE EC BO PY UY CL",
    "NA": "MX CA CU",
    "OC": "AU NZ FJ",
}
LANGUAGE_OF = {
    "es": "AR CO CU CR CL VE UY HN PA MX NI DO",
    "ar": "EG SY JO YE LY QA OM KW",
    "en": "US AU JM GH LR ZM NG SL",
    "fr": "SN GA TG BJ",
    "pt": "BR AO MZ CV",
    "de": "AT",
    "fa": "IR",
    "he": "IL",
    "km": "KH",
    "ro": "MD",
}
NEAR_LANGUAGES = {
    "AF": "en fr pt ar sw es de",
    "AS": "ar fa tr ru hi fr en th ja",
    "EU": "de fr it es ru pt nl",
    "SA": "pt fr en nl de it es",
    "NA": "pt fr en nl de it es",
    "OC": "en fr de es ja",
}
SPOKEN_BY_MANY = 10.0  # per cent: such a language is no safe wrong answer
ALSO_SPOKEN = {"MD": ("ru",), "QA": ("en",), "KW": ("en",)}  # more than CLDR's figures say
NEIGHBOUR = {"OC": "AS", "NA": "SA", "SA": "NA"}
