"""How a question loses its country: for each region, patterns and what stands in their place,
applied in order.

Every rule keeps the sentence grammatical in its language: particles and case move to the new phrase
(Korean -이 to -가, Greek στην to στη), adjectives become a genitive ("española" to "de nuestro
país"), and agreement is kept by choosing a word of the same gender (Arabic بلادنا for الجزائر).
Parts of a country say "our region" or "our state". Special cases come first, the bare name
last. Typing errors of the published files are part of the patterns (glued words, a Latin l before
an Arabic name).
"""

from __future__ import annotations

Rule = tuple[str, str]

_END = r"(?![\u0980-\u09ff])"  # Bengali-script words end here; \b does not know their vowel signs


def _korean(name: str, ours: str) -> tuple[Rule, ...]:
    """The particles after a name that ends in a consonant, for a phrase that ends in a vowel."""
    particles = (("이", "가"), ("은", "는"), ("을", "를"), ("과", "와"), ("으로", "로"))
    moved = tuple((rf"{name}{old}(?=[\s,.?]|$)", ours + new) for old, new in particles)
    return (
        ("한국식 나이\\(세는 나이\\)", "세는 나이"),
        *moved,
        (rf"{name}(?=사람)", ours + " "),
        (name, ours),
    )


RULES: dict[str, tuple[Rule, ...]] = {
    "ES": (
        (r"\blos españoles de postre\b", "de postre los habitantes de nuestro país"),
        (r"\bl([oa])s español([ea])s\b", "los habitantes de nuestro país"),
        (r"\bespañol(a|es|as)?\b", "de nuestro país"),
        (r"\bEspaña\b", "nuestro país"),
    ),
    "MX": (
        (r"\bl([oa])s mexican\1s\b", "los habitantes de nuestro país"),
        (r"\bmexican[oa]s?\b", "de nuestro país"),
        (r"\bMéxico\b", "nuestro país"),
    ),
    "KR": _korean("대[한힌]민국", "우리나라"),
    "KP": _korean("북한", "우리 나라"),  # written apart there
    "CN": (
        (r"哪所中国大学", "我国哪所大学"),
        (r"中国全国", "全国"),
        (r"中国人(?=[均口气才力])", "我国人"),
        (r"中国人民", "我国人民"),
        (r"中国人", "国人"),
        (r"(?<!其)中国", "我国"),
    ),
    "ID": (
        (r"\b(orang-orang|orang|masyarakat) Indonesia\b", r"\1 di negara kita"),
        (r"\btelevisi nasional Indonesia\b", "televisi nasional di negara kita"),
        (r"\bIndonesia\b", "negara kita"),
    ),
    "JB": (
        (r"\burang (Sunda|Jawa Barat) di Jawa Barat\b", "jalma-jalma di daérah urang"),
        (r"\burang Sunda(?=.*\bJawa Barat\b)", "jalma-jalma"),
        (r"\burang-urang Jawa Barat\b", "jalma-jalma di daérah urang"),
        (r"\burang (Sunda|Jawa Barat)\b", "jalma-jalma di daérah urang"),
        (r"\bJawa Barat\b", "daérah urang"),
    ),
    "GR": (
        (r"(?<=\w)στην Ελλάδα", " στη χώρα μας"),
        (r"\bστις ελληνικές οικογένειες", "στις οικογένειες της χώρας μας"),
        (r"\bστην ελληνική κοινωνία", "στην κοινωνία της χώρας μας"),
        (r"\bφαγητά Ελληνικής προέλευσης", "φαγητά της χώρας μας"),
        (r"\bπανελλήνιες |\bπανελλαδική ", ""),
        (r"\bοι Έλληνες", "οι κάτοικοι της χώρας μας"),
        (r"\bτους Έλληνες", "τους κατοίκους της χώρας μας"),
        (r"\bτων Ελλήνων", "των κατοίκων της χώρας μας"),
        (r"\b(οι άνθρωποι|τους ανθρώπους|των ανθρώπων) από την Ελλάδα", r"\1 στη χώρα μας"),
        (r"\bστην? Ελλάδα", "στη χώρα μας"),
        (r"\bΣτην? Ελλάδα", "Στη χώρα μας"),
        (r"\bτην? Ελλάδα", "τη χώρα μας"),
        (r"\bτης Ελλάδας", "της χώρας μας"),
        (r"\bη Ελλάδα", "η χώρα μας"),
    ),
    "AZ": (  # front vowels after ölkəmiz- where the name has back ones
        (r"\bAzərbaycanlılar\b|\bAzərbaycan insanları\b", "ölkəmizin insanları"),
        (r"\bAzərbaycanlı(?= tələbə)", "ölkəmizdən olan"),
        (r"\bAzərbaycanlı\b", "ölkəmizdəki"),
        (
            r"\bAzərbaycan"
            r"(?= (cəmiyyətində|məktəblərində|mətbəxində|yeməklərində|milli|insanlarının))",
            "ölkəmizin",
        ),
        (r"\bAzərbaycandakı\b", "ölkəmizdəki"),
        (r"\bAzərbaycandan\b", "ölkəmizdən"),
        (r"\bAzərbaycanda\b", "ölkəmizdə"),
        (r"\bAzərbaycanın\b", "ölkəmizin"),
        (r"\bAzərbaycan\b", "ölkəmiz"),
    ),
    "NG": (
        (r"\bwannan yanki na Arewacin Najeriya\b", "wannan yanki namu"),
        # "which part of our region", not "which region of our region".
        (r"(?<!wannan )\byanki\b", "ɓangare"),
        (r"\bkaratun firamare Arewacin Najeriya\b", "karatun firamare a yankinmu"),
        (r"\bgwamnatin Arewacin Najeriya\b", "gwamnatin yankinmu"),
        (r"\bArewacin Najeriya ta\b", "yankinmu ya"),
        (r"\ba Najeriya\b", "a yankinmu"),
        (r"\bna yankin ku\b", "ta yankinmu"),
        (r"\bArewacin Najeriya\b", "yankinmu"),
    ),
    "IR": (
        (r"^در\s?ایران(?= بازی‌های المپیک)", "در"),
        (r"درکشور(?= معمولاً)", "در کشور ما"),
        (r"کشور\s+شما", "کشور ما"),
        (r"ایرانی(?=\s|$)", "کشور ما"),
        (r"(?<![\s(])در\s?ایران", " در کشور ما"),
        (r"درایران", "در کشور ما"),
        (r"(?<=[^\s])ایران", " کشور ما"),
        (r"ایران", "کشور ما"),
    ),
    "DZ": (
        (r"الممثل ل\s?الجزائر|الممثل lالجزائر", "الممثل لبلادنا"),
        (r"للجزائرفي", "لبلادنا في"),
        (r"الأطعمة\s+الجزائرية", "أطعمة بلادنا"),
        (r"المطاعم الجزائرية", "مطاعم بلادنا"),
        (r"الأطباق الجزائرية", "أطباق بلادنا"),
        (r"المدارس الجزائرية", "مدارس بلادنا"),
        (r"الجامعات الجزائرية", "جامعات بلادنا"),
        (r"في العائلات الجزائرية", "في عائلات بلادنا"),
        (r"في الأعراس الجزائرية", "في أعراس بلادنا"),
        (r"في المجتمع الجزائري", "في مجتمعنا"),
        (r"الطعام الجزائري", "الطعام من بلادنا"),
        (r"الجزائرية الواحدة", "الواحدة في بلادنا"),
        (r"الوطني الجزائري لكرة القدم", "الوطني لكرة القدم في بلادنا"),
        (r"جامعة جزائرية", "جامعة في بلادنا"),
        (r"ل([إا]?)لشعب الجزائري", "للناس في بلادنا"),
        (r"الشعب الجزائري", "الناس في بلادنا"),
        (r"الطلاب الجزائريين", "الطلاب من بلادنا"),
        (r"للطلاب الجزائريين", "للطلاب من بلادنا"),
        (r"للجزائريين", "للناس في بلادنا"),
        (r"(الناس\s+)?الجزائري(ون|ين)", "الناس في بلادنا"),
        (r"الجزائري(ةا|ة)?(?=[\s؟،.)]|$)", "في بلادنا"),
        (r"للجزائر", "لبلادنا"),
        (r"بالجزائر", "ببلادنا"),
        (r"الجزائر(?=\()", "بلادنا "),
        (r"الجزائر", "بلادنا"),
    ),
    "AS": (
        (r"অসমীয়?া?" + _END, "আমাৰ ৰাজ্যৰ"),
        (r"অসমত" + _END, "আমাৰ ৰাজ্যত"),
        (r"অসমৰ" + _END, "আমাৰ ৰাজ্যৰ"),
        (r"অসমে" + _END, "আমাৰ ৰাজ্যই"),
        (r"অসম(?= চৰকাৰে)", "আমাৰ ৰাজ্যৰ"),
    ),
    "ET": (
        (r"(?<=ለበርካታ )ኢትዮጵያዊያን", "የአገራችን"),
        (r"ኢትዮጵያዊት", "የአገራችን"),
        (r"ኢትዮጵያውያን(?= በጣም የተወደዱ)", "በአገራችን"),
        (r"ኢትዮጵያው?ዊ?ያን", "የአገራችን ሰዎች"),
        (r"(?<![\u1200-\u137f])በ?ኢትዮጵያ [ወው]ስጥ( ውስጥ)?", "በአገራችን ውስጥ"),
        (r"የኢትዮጵያ(?= ብሄራዊ እግር ኳስ ቡድን ጋር)", "ከአገራችን"),
        (r"(?<![\u1200-\u137f])ኢትዮጵያ(?= (ወንዶች|ሴቶች))", "የአገራችን"),
        (r"(?<![\u1200-\u137f])ኢትዮጵያ(?= (በተለይ|የእናትነት|በጣም))|የኢትዮጵያ(?= ለአባቶች)", "በአገራችን"),
        (r"([በከየለ]?)ኢትዮጵያ", r"\1አገራችን"),
    ),
}

# Questions that address the reader ("your country") name no country: their explicit form puts the
# name there.
EXPLICIT_RULES: dict[str, tuple[Rule, ...]] = {
    "IR": ((r"کشور\s+شما", "ایران"), (r"درکشور(?= معمولاً)", "در ایران")),
    "NG": ((r"\bna yankin ku\b", "ta Arewacin Najeriya"),),
}
