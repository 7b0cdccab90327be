"""Names that CLDR lacks, or spells otherwise than people do, and the little grammar that prompts
need.

CLDR gives the country and language names and the cities that name a time zone; everything here was
written for this project. Rows follow LANGUAGES.
"""

from __future__ import annotations

LANGUAGES = ("en", "es", "zh", "id", "ko", "el", "fa")

# Everyday names where CLDR's is official, or a spelling that is seldom met.
EVERYDAY: dict[str, dict[str, str]] = {
    "TR": {"en": "Turkey", "ko": "터키"},
    "KR": {"ko": "한국", "fa": "کره جنوبی"},
    "KP": {"fa": "کره شمالی"},
    "NL": {"el": "Ολλανδία"},
    "US": {"fa": "آمریکا"},
    "AE": {"zh": "阿联酋", "fa": "امارات متحده عربی"},
    "AZ": {"fa": "آذربایجان"},
    "AU": {"ko": "호주"},
    "ZA": {"ko": "남아프리카공화국", "fa": "آفریقای جنوبی"},
}
EVERYDAY_LANGUAGE: dict[str, dict[str, str]] = {"tr": {"ko": "터키어", "fa": "ترکی"}}
EVERYDAY_ZONE: dict[str, dict[str, str]] = {
    "Asia/Amman": {"fa": "امان"},
    "America/Vancouver": {"ko": "밴쿠버"},
    "Africa/Lusaka": {"el": "Λουσάκα", "fa": "لوساکا"},
    "Africa/Dar_es_Salaam": {"es": "Dar es Salaam"},
    "Europe/Brussels": {"id": "Brussel"},
    "Europe/Bucharest": {"id": "Bukares"},
    "Europe/Lisbon": {"id": "Lisboa"},
    "Europe/Volgograd": {"ko": "볼고그라드", "el": "Βόλγκογκραντ", "fa": "ولگوگراد"},
    "America/Bogota": {"en": "Bogotá", "id": "Bogotá"},
    "America/Sao_Paulo": {"en": "São Paulo", "id": "São Paulo"},
}

CAPITALS: dict[str, str] = {
    "CN": "Beijing|Pekín|北京|Beijing|베이징|Πεκίνο|پکن",
    "IN": "New Delhi|Nueva Delhi|新德里|New Delhi|뉴델리|Νέο Δελχί|دهلی نو",
    "US": "Washington|Washington|华盛顿|Washington|워싱턴|Ουάσινγκτον|واشینگتن",
    "PK": "Islamabad|Islamabad|伊斯兰堡|Islamabad|이슬라마바드|Ισλαμαμπάντ|اسلام‌آباد",
    "NG": "Abuja|Abuya|阿布贾|Abuja|아부자|Αμπούτζα|ابوجا",
    "VN": "Hanoi|Hanói|河内|Hanoi|하노이|Ανόι|هانوی",
    "TR": "Ankara|Ankara|安卡拉|Ankara|앙카라|Άγκυρα|آنکارا",
    "CA": "Ottawa|Ottawa|渥太华|Ottawa|오타와|Οτάβα|اتاوا",
    "MA": "Rabat|Rabat|拉巴特|Rabat|라바트|Ραμπάτ|رباط",
    "AU": "Canberra|Canberra|堪培拉|Canberra|캔버라|Καμπέρα|کانبرا",
    "EC": "Quito|Quito|基多|Quito|키토|Κίτο|کیتو",
    "NZ": "Wellington|Wellington|惠灵顿|Wellington|웰링턴|Ουέλινγκτον|ولینگتون",
    "CH": "Bern|Berna|伯尔尼|Bern|베른|Βέρνη|برن",
    "CR": "San José|San José|圣何塞|San José|산호세|Σαν Χοσέ|سن خوزه",
    "QA": "Doha|Doha|多哈|Doha|도하|Ντόχα|دوحه",
    "JM": "Kingston|Kingston|金斯敦|Kingston|킹스턴|Κίνγκστον|کینگستون",
    "AL": "Tirana|Tirana|地拉那|Tirana|티라나|Τίρανα|تیرانا",
    "UA": "Kyiv|Kiev|基辅|Kyiv|키이우|Κίεβο|کی‌یف",
    "AR": "Buenos Aires|Buenos Aires|布宜诺斯艾利斯|Buenos Aires|부에노스아이레스|Μπουένος Άιρες|بوئنوس آیرس",  # noqa: E501
    "NP": "Kathmandu|Katmandú|加德满都|Kathmandu|카트만두|Κατμαντού|کاتماندو",
    "FJ": "Suva|Suva|苏瓦|Suva|수바|Σούβα|سووا",
    "BH": "Manama|Manama|麦纳麦|Manama|마나마|Μανάμα|منامه",
    "MT": "Valletta|La Valeta|瓦莱塔|Valletta|발레타|Βαλέτα|والتا",
    "KZ": "Astana|Astaná|阿斯塔纳|Astana|아스타나|Αστανά|آستانه",
}

# Big cities, not capitals, without a time zone of their own: country, then the names.
CITIES: dict[str, str] = {
    "mumbai": "IN|Mumbai|Bombay|孟买|Mumbai|뭄바이|Βομβάη|بمبئی",
    "kolkata": "IN|Kolkata|Calcuta|加尔各答|Kolkata|콜카타|Καλκούτα|کلکته",
    "osaka": "JP|Osaka|Osaka|大阪|Osaka|오사카|Οσάκα|اوساکا",
    "kyoto": "JP|Kyoto|Kioto|京都|Kyoto|교토|Κιότο|کیوتو",
    "busan": "KR|Busan|Busan|釜山|Busan|부산|Μπουσάν|بوسان",
    "barcelona": "ES|Barcelona|Barcelona|巴塞罗那|Barcelona|바르셀로나|Βαρκελώνη|بارسلونا",
    "milan": "IT|Milan|Milán|米兰|Milan|밀라노|Μιλάνο|میلان",
    "venice": "IT|Venice|Venecia|威尼斯|Venesia|베네치아|Βενετία|ونیز",
    "naples": "IT|Naples|Nápoles|那不勒斯|Napoli|나폴리|Νάπολη|ناپل",
    "munich": "DE|Munich|Múnich|慕尼黑|München|뮌헨|Μόναχο|مونیخ",
    "hamburg": "DE|Hamburg|Hamburgo|汉堡|Hamburg|함부르크|Αμβούργο|هامبورگ",
    "frankfurt": "DE|Frankfurt|Fráncfort|法兰克福|Frankfurt|프랑크푸르트|Φρανκφούρτη|فرانکفورت",
    "marseille": "FR|Marseille|Marsella|马赛|Marseille|마르세유|Μασσαλία|مارسی",
    "lyon": "FR|Lyon|Lyon|里昂|Lyon|리옹|Λυών|لیون",
    "manchester": "GB|Manchester|Mánchester|曼彻斯特|Manchester|맨체스터|Μάντσεστερ|منچستر",
    "liverpool": "GB|Liverpool|Liverpool|利物浦|Liverpool|리버풀|Λίβερπουλ|لیورپول",
    "rotterdam": "NL|Rotterdam|Róterdam|鹿特丹|Rotterdam|로테르담|Ρότερνταμ|روتردام",
    "krakow": "PL|Krakow|Cracovia|克拉科夫|Krakow|크라쿠프|Κρακοβία|کراکوف",
    "saint_petersburg": "RU|Saint Petersburg|San Petersburgo|圣彼得堡|Saint Petersburg|상트페테르부르크"  # noqa: E501
    "|Αγία Πετρούπολη|سن پترزبورگ",
    "rio_de_janeiro": "BR|Rio de Janeiro|Río de Janeiro|里约热内卢|Rio de Janeiro|리우데자네이루"
    "|Ρίο ντε Τζανέιρο|ریودوژانیرو",
    "geneva": "CH|Geneva|Ginebra|日内瓦|Jenewa|제네바|Γενεύη|ژنو",
    "thessaloniki": "GR|Thessaloniki|Salónica|塞萨洛尼基|Thessaloniki|테살로니키|Θεσσαλονίκη|تسالونیکی",  # noqa: E501
    "isfahan": "IR|Isfahan|Isfahán|伊斯法罕|Isfahan|이스파한|Ισφαχάν|اصفهان",
    "mashhad": "IR|Mashhad|Mashhad|马什哈德|Masyhad|마슈하드|Μασχάντ|مشهد",
    "surabaya": "ID|Surabaya|Surabaya|泗水|Surabaya|수라바야|Σουραμπάγια|سورابایا",
    "guangzhou": "CN|Guangzhou|Cantón|广州|Guangzhou|광저우|Γκουανγκτζού|گوانگژو",
    "mecca": "SA|Mecca|La Meca|麦加|Makkah|메카|Μέκκα|مکه",
    "medellin": "CO|Medellín|Medellín|麦德林|Medellín|메데인|Μεδεγίν|مدئین",
    "salzburg": "AT|Salzburg|Salzburgo|萨尔茨堡|Salzburg|잘츠부르크|Σάλτσμπουργκ|زالتسبورگ",
    "antwerp": "BE|Antwerp|Amberes|安特卫普|Antwerpen|안트베르펜|Αμβέρσα|آنتورپ",
    "lahore": "PK|Lahore|Lahore|拉合尔|Lahore|라호르|Λαχώρη|لاهور",
    "izmir": "TR|Izmir|Esmirna|伊兹密尔|Izmir|이즈미르|Σμύρνη|ازمیر",
    "kharkiv": "UA|Kharkiv|Járkov|哈尔科夫|Kharkiv|하르키우|Χάρκοβο|خارکیف",
    "mombasa": "KE|Mombasa|Mombasa|蒙巴萨|Mombasa|몸바사|Μομπάσα|مومباسا",
}

CONTINENTS: dict[str, str] = {
    "AF": "Africa|África|非洲|Afrika|아프리카|Αφρική|آفریقا",
    "AS": "Asia|Asia|亚洲|Asia|아시아|Ασία|آسیا",
    "EU": "Europe|Europa|欧洲|Eropa|유럽|Ευρώπη|اروپا",
    "SA": "South America|América del Sur|南美洲|Amerika Selatan|남아메리카|Νότια Αμερική|آمریکای جنوبی",  # noqa: E501
    "NA": "North America|América del Norte|北美洲|Amerika Utara|북아메리카|Βόρεια Αμερική|آمریکای شمالی",  # noqa: E501
    "OC": "Oceania|Oceanía|大洋洲|Oseania|오세아니아|Ωκεανία|اقیانوسیه",
}

EN_THE = ("US", "GB", "NL", "PH", "AE", "DO")
ES_ARTICLE = {"GB": "el", "NL": "los", "LB": "el", "DO": "la", "IN": "la", "AE": "los"}
_EL_GENITIVE = {
    "Ηνωμένες Πολιτείες": "των Ηνωμένων Πολιτειών",
    "Ηνωμένο Βασίλειο": "του Ηνωμένου Βασιλείου",
    "Ηνωμένα Αραβικά Εμιράτα": "των Ηνωμένων Αραβικών Εμιράτων",
    "Φιλιππίνες": "των Φιλιππίνων",
    "Μεξικό": "του Μεξικού",
    "Βέλγιο": "του Βελγίου",
    "Μαρόκο": "του Μαρόκου",
    "Αίγυπτος": "της Αιγύπτου",
    "Λίβανος": "του Λιβάνου",
    "Καναδάς": "του Καναδά",
    "Παναμάς": "του Παναμά",
    "Ισημερινός": "του Ισημερινού",
    "Νίγηρας": "του Νίγηρα",
    "Νότια Κορέα": "της Νότιας Κορέας",
    "Βόρεια Κορέα": "της Βόρειας Κορέας",
    "Νότια Αφρική": "της Νότιας Αφρικής",
    "Σαουδική Αραβία": "της Σαουδικής Αραβίας",
    "Νέα Ζηλανδία": "της Νέας Ζηλανδίας",
    "Κόστα Ρίκα": "της Κόστα Ρίκα",
    "Δομινικανή Δημοκρατία": "της Δομινικανής Δημοκρατίας",
    "Σιέρα Λεόνε": "της Σιέρα Λεόνε",
    "Γκαμπόν": "της Γκαμπόν",
    "Ζιμπάμπουε": "της Ζιμπάμπουε",
    "Πράσινο Ακρωτήριο": "του Πράσινου Ακρωτηρίου",
}


def row(text: str) -> dict[str, str]:
    """One 'en|es|zh|id|ko|el|fa' row by language."""
    return dict(zip(LANGUAGES, text.split("|"), strict=True))


def greek_genitive(name: str) -> str:
    """The country with its article, in the genitive: 'της Ιαπωνίας', 'του Ιράν'."""
    if name in _EL_GENITIVE:
        return _EL_GENITIVE[name]
    return f"της {name}ς" if name[-1] in "αάηή" else f"του {name}"


def spanish_of(country: str, name: str) -> str:
    """'de Japón', 'de la India', 'del Reino Unido'."""
    article = ES_ARTICLE.get(country, "")
    return f"del {name}" if article == "el" else " ".join(filter(None, ("de", article, name)))


def korean(name: str, after_consonant: str, after_vowel: str) -> str:
    """The name with the particle that its last syllable asks for: 도쿄가, 리옹이."""
    closed = (ord(name[-1]) - 0xAC00) % 28 != 0
    return name + (after_consonant if closed else after_vowel)
