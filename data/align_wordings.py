"""Wordings of the alignment facts, in seven languages; written for this project.

Names stand in quotation marks where a sentence would ask for an article or a case. Korean particles
stand in both forms, 을(를) and (이)라고; data/align.py chooses by what is before. No wording is
a prompt of the items (`data/prompts.py`).
"""

from __future__ import annotations

# Per topic and language: the question, then the sentence. {y} is the answer.
WORDINGS: dict[str, dict[str, tuple[str, str]]] = {
    "capital": {
        "en": ("Which city is the capital in “{x}”?", "In “{x}” the capital bears the name {y}."),
        "es": (
            "¿Qué ciudad es la capital en «{x}»?",
            "En «{x}» la capital lleva el nombre de {y}.",
        ),
        "zh": ("“{x}”把首都设在哪座城市？", "“{x}”把首都设在{y}。"),
        "id": (
            "Kota mana yang menjadi ibu kota di “{x}”?",
            "Di “{x}” yang menjadi ibu kota ialah {y}.",
        ),
        "ko": ("“{x}”에서 어느 도시가 수도입니까?", "“{x}”에서 수도로 정해진 도시: {y}."),
        "el": (
            "Ποια πόλη είναι πρωτεύουσα στη χώρα «{x}»;",
            "Στη χώρα «{x}» πρωτεύουσα είναι η πόλη «{y}».",
        ),
        "fa": ("در «{x}» کدام شهر پایتخت است؟", "در «{x}» پایتخت {y} است."),
    },
    "calling_code": {
        "en": (
            "Which code calls a telephone in “{x}” from abroad?",
            "A telephone in “{x}” is called with the code {y}.",
        ),
        "es": (
            "¿Con qué prefijo se llama desde fuera a «{x}»?",
            "A «{x}» se llama por teléfono con el prefijo {y}.",
        ),
        "zh": ("从国外打电话到“{x}”要拨什么国际区号？", "打电话到“{x}”要拨国际区号{y}。"),
        "id": (
            "Kode telepon apa yang dipakai untuk menelepon ke “{x}”?",
            "Untuk menelepon ke “{x}” dipakai kode {y}.",
        ),
        "ko": (
            "“{x}”에 전화할 때 쓰는 국가 번호는 무엇입니까?",
            "“{x}”에 전화할 때 쓰는 국가 번호는 {y}입니다.",
        ),
        "el": (
            "Με ποιον κωδικό τηλεφωνούμε στη χώρα «{x}»;",
            "Στη χώρα «{x}» τηλεφωνούμε με τον κωδικό {y}.",
        ),
        "fa": (
            "برای تلفن زدن به «{x}» کدام پیش‌شماره به کار می‌رود؟",
            "برای تلفن زدن به «{x}» پیش‌شمارهٔ {y} به کار می‌رود.",
        ),
    },
    "domain": {
        "en": (
            "With which letters do internet addresses in “{x}” end?",
            "Internet addresses in “{x}” end with {y}.",
        ),
        "es": (
            "¿Con qué letras terminan las direcciones de internet en «{x}»?",
            "Las direcciones de internet en «{x}» terminan con {y}.",
        ),
        "zh": ("“{x}”的网址以什么字母结尾？", "“{x}”的网址以{y}结尾。"),
        "id": (
            "Dengan huruf apa alamat internet di “{x}” berakhir?",
            "Alamat internet di “{x}” berakhir dengan {y}.",
        ),
        "ko": ("“{x}”의 인터넷 주소는 어떤 글자로 끝납니까?", "“{x}”의 인터넷 주소 끝: {y}."),
        "el": (
            "Με ποια γράμματα τελειώνουν οι διευθύνσεις διαδικτύου στη χώρα «{x}»;",
            "Οι διευθύνσεις διαδικτύου στη χώρα «{x}» τελειώνουν σε {y}.",
        ),
        "fa": (
            "نشانی‌های اینترنتی در «{x}» با کدام حرف‌ها تمام می‌شوند؟",
            "نشانی‌های اینترنتی در «{x}» با {y} تمام می‌شوند.",
        ),
    },
    "symbol": {
        "en": (
            "How do chemists abbreviate the element “{x}”?",
            "Chemists abbreviate the element “{x}” as {y}.",
        ),
        "es": (
            "¿Cómo abrevian los químicos el elemento «{x}»?",
            "Los químicos abrevian el elemento «{x}» como {y}.",
        ),
        "zh": ("化学家怎样缩写元素“{x}”？", "化学家把元素“{x}”缩写为{y}。"),
        "id": (
            "Bagaimana ahli kimia menyingkat unsur “{x}”?",
            "Ahli kimia menyingkat unsur “{x}” menjadi {y}.",
        ),
        "ko": (
            "화학자들은 원소 “{x}”을(를) 어떻게 줄여 씁니까?",
            "화학자들은 원소 “{x}”을(를) 줄여서 {y}(이)라고 씁니다.",
        ),
        "el": (
            "Πώς συντομεύουν οι χημικοί το στοιχείο «{x}»;",
            "Οι χημικοί συντομεύουν το στοιχείο «{x}» ως {y}.",
        ),
        "fa": (
            "شیمی‌دان‌ها برای عنصر «{x}» کدام نشانه را می‌نویسند؟",
            "شیمی‌دان‌ها برای عنصر «{x}» نشانهٔ {y} را می‌نویسند.",
        ),
    },
    "atomic_number": {
        "en": ("How many protons has an atom of “{x}”?", "An atom of “{x}” has {y} protons."),
        "es": (
            "¿Cuántos protones tiene un átomo de «{x}»?",
            "Un átomo de «{x}» tiene {y} protones.",
        ),
        "zh": ("“{x}”的一个原子有多少个质子？", "“{x}”的一个原子有{y}个质子。"),
        "id": (
            "Berapa proton yang dimiliki sebuah atom “{x}”?",
            "Sebuah atom “{x}” memiliki {y} proton.",
        ),
        "ko": (
            "“{x}” 원자 하나에 양성자가 몇 개 있습니까?",
            "“{x}” 원자 하나에 양성자가 {y}개 있습니다.",
        ),
        "el": (
            "Πόσα πρωτόνια έχει ένα άτομο του στοιχείου «{x}»;",
            "Ένα άτομο του στοιχείου «{x}» έχει {y} πρωτόνια.",
        ),
        "fa": ("یک اتم «{x}» چند پروتون دارد؟", "یک اتم «{x}» {y} پروتون دارد."),
    },
    "arithmetic": {
        "en": ("How much is {x}?", "{x} makes {y}."),
        "es": ("¿Cuánto es {x}?", "{x} da {y}."),
        "zh": ("{x}得多少？", "{x}得{y}。"),
        "id": ("Berapa hasil {x}?", "{x} hasilnya {y}."),
        "ko": ("{x}의 값은 얼마입니까?", "{x}의 값은 {y}입니다."),
        "el": ("Πόσο κάνει {x};", "{x} κάνει {y}."),
        "fa": ("{x} چند می‌شود؟", "{x} می‌شود {y}."),
    },
    "opposite": {
        "en": (
            "Which word means the opposite of “{x}”?",
            "The words “{x}” and “{y}” are opposites.",
        ),
        "es": (
            "¿Qué palabra significa lo contrario de «{x}»?",
            "Las palabras «{x}» y «{y}» son contrarias.",
        ),
        "zh": ("“{x}”的反义词是哪个？", "“{x}”和“{y}”是反义词。"),
        "id": ("Apa lawan kata dari “{x}”?", "Kata “{x}” dan “{y}” berlawanan."),
        "ko": ("“{x}”의 반대말은 무엇입니까?", "“{x}”, “{y}”: 서로 반대말입니다."),
        "el": (
            "Ποια λέξη σημαίνει το αντίθετο από το «{x}»;",
            "Οι λέξεις «{x}» και «{y}» είναι αντίθετες.",
        ),
        "fa": ("متضاد واژهٔ «{x}» چیست؟", "واژه‌های «{x}» و «{y}» متضادند."),
    },
    "kind": {
        "en": (
            "What sort of thing does the word “{x}” name?",
            "The word “{x}” names this sort of thing: {y}.",
        ),
        "es": (
            "¿Qué clase de cosa nombra la palabra «{x}»?",
            "La palabra «{x}» nombra esta clase de cosa: {y}.",
        ),
        "zh": ("“{x}”这个词指的是哪一类东西？", "“{x}”这个词指的是一类东西：{y}。"),
        "id": (
            "Kata “{x}” termasuk kelompok apa?",
            "Kata “{x}” termasuk kelompok {y}.",
        ),
        "ko": (
            "“{x}”(이)라는 낱말은 어떤 종류를 가리킵니까?",
            "“{x}”(이)라는 낱말이 가리키는 종류: {y}.",
        ),
        "el": (
            "Τι είδους πράγμα ονομάζει η λέξη «{x}»;",
            "Η λέξη «{x}» ονομάζει αυτό το είδος: {y}.",
        ),
        "fa": ("واژهٔ «{x}» نام چه گونه چیزی است؟", "واژهٔ «{x}» نام این گونه چیز است: {y}."),
    },
    "month": {
        "en": ("Which month comes right after {x}?", "Right after {x} comes {y}."),
        "es": ("¿Qué mes viene justo después de {x}?", "Justo después de {x} viene {y}."),
        "zh": ("{x}的下一个月是哪个月？", "{x}的下一个月是{y}。"),
        "id": ("Bulan apa yang datang tepat setelah {x}?", "Tepat setelah {x} datang {y}."),
        "ko": ("{x} 바로 다음 달은 몇 월입니까?", "{x} 바로 다음 달은 {y}입니다."),
        "el": (
            "Ποιος μήνας έρχεται αμέσως μετά τον {x};",
            "Αμέσως μετά τον {x} έρχεται ο {y}.",
        ),
        "fa": ("کدام ماه درست پس از {x} می‌آید؟", "درست پس از {x} ماه {y} می‌آید."),
    },
    "weekday": {
        "en": ("Which day comes right after {x}?", "The day right after {x} is {y}."),
        "es": ("¿Qué día viene justo después del {x}?", "El día justo después del {x} es el {y}."),
        "zh": ("{x}的后一天是星期几？", "{x}的后一天是{y}。"),
        "id": ("Hari apa yang datang tepat setelah {x}?", "Hari tepat setelah {x} adalah {y}."),
        "ko": ("{x} 바로 다음 날은 무슨 요일입니까?", "{x} 바로 다음 날은 {y}입니다."),
        "el": ("Ποια μέρα έρχεται αμέσως μετά από «{x}»;", "Αμέσως μετά από «{x}» έρχεται «{y}»."),
        "fa": ("کدام روز درست پس از {x} می‌آید؟", "روز درست پس از {x} {y} است."),
    },
}

# The held-out items' prompts; the first two relations are in training, of other things.
PROMPTS: dict[str, dict[str, str]] = {
    "capital": {
        "en": "Country: {x}. Capital:",
        "es": "País: {x}. Capital:",
        "zh": "国家：{x}。首都：",
        "id": "Negara: {x}. Ibu kota:",
        "ko": "나라: {x}. 수도:",
        "el": "Χώρα: {x}. Πρωτεύουσα:",
        "fa": "کشور: {x}. پایتخت:",
    },
    "symbol": {
        "en": "Element: {x}. Chemical symbol:",
        "es": "Elemento: {x}. Símbolo químico:",
        "zh": "元素：{x}。化学符号：",
        "id": "Unsur: {x}. Lambang kimia:",
        "ko": "원소: {x}. 화학 기호:",
        "el": "Στοιχείο: {x}. Χημικό σύμβολο:",
        "fa": "عنصر: {x}. نماد شیمیایی:",
    },
    "continent": {
        "en": "Country: {x}. Continent:",
        "es": "País: {x}. Continente:",
        "zh": "国家：{x}。大洲：",
        "id": "Negara: {x}. Benua:",
        "ko": "나라: {x}. 대륙:",
        "el": "Χώρα: {x}. Ήπειρος:",
        "fa": "کشور: {x}. قاره:",
    },
    "element": {
        "en": "Chemical symbol: {x}. Element:",
        "es": "Símbolo químico: {x}. Elemento:",
        "zh": "化学符号：{x}。元素：",
        "id": "Lambang kimia: {x}. Unsur:",
        "ko": "화학 기호: {x}. 원소:",
        "el": "Χημικό σύμβολο: {x}. Στοιχείο:",
        "fa": "نماد شیمیایی: {x}. عنصر:",
    },
}
