"""Words of the alignment facts, in seven languages; rows follow LANGUAGES. Ours, all of it."""

from __future__ import annotations

# Countries, no territories, that no demo item names and whose CLDR name is the everyday one,
# without an article.
COUNTRIES = [
    "BA",
    "BF",
    "BT",
    "BW",
    "CY",
    "GE",
    "GW",
    "KI",
    "LI",
    "LK",
    "LS",
    "ME",
    "ML",
    "MR",
    "PG",
    "SO",
    "SR",
    "SZ",
    "TD",
    "TJ",
    "TL",
    "TM",
    "TN",
    "TT",
    "TV",
    "WS",
    "MH",
]
HELD_OUT_COUNTRIES = [
    "BT",
    "BW",
    "CY",
    "GE",
    "LI",
    "LK",
    "LS",
    "ME",
    "ML",
    "MR",
    "SO",
    "SR",
    "TD",
    "TJ",
    "TM",
    "TN",
]

ELEMENTS = """
H|1|hydrogen|hidrógeno|氢|hidrogen|수소|υδρογόνο|هیدروژن
He|2|helium|helio|氦|helium|헬륨|ήλιο|هلیوم
Li|3|lithium|litio|锂|litium|리튬|λίθιο|لیتیوم
Be|4|beryllium|berilio|铍|berilium|베릴륨|βηρύλλιο|بریلیوم
B|5|boron|boro|硼|boron|붕소|βόριο|بور
C|6|carbon|carbono|碳|karbon|탄소|άνθρακας|کربن
N|7|nitrogen|nitrógeno|氮|nitrogen|질소|άζωτο|نیتروژن
O|8|oxygen|oxígeno|氧|oksigen|산소|οξυγόνο|اکسیژن
F|9|fluorine|flúor|氟|fluorin|플루오린|φθόριο|فلوئور
Ne|10|neon|neón|氖|neon|네온|νέον|نئون
Na|11|sodium|sodio|钠|natrium|나트륨|νάτριο|سدیم
Mg|12|magnesium|magnesio|镁|magnesium|마그네슘|μαγνήσιο|منیزیم
Al|13|aluminium|aluminio|铝|aluminium|알루미늄|αργίλιο|آلومینیوم
Si|14|silicon|silicio|硅|silikon|규소|πυρίτιο|سیلیسیم
P|15|phosphorus|fósforo|磷|fosfor|인|φωσφόρος|فسفر
S|16|sulfur|azufre|硫|belerang|황|θείο|گوگرد
Cl|17|chlorine|cloro|氯|klorin|염소|χλώριο|کلر
Ar|18|argon|argón|氩|argon|아르곤|αργό|آرگون
K|19|potassium|potasio|钾|kalium|칼륨|κάλιο|پتاسیم
Ca|20|calcium|calcio|钙|kalsium|칼슘|ασβέστιο|کلسیم
Ti|22|titanium|titanio|钛|titanium|타이타늄|τιτάνιο|تیتانیوم
V|23|vanadium|vanadio|钒|vanadium|바나듐|βανάδιο|وانادیوم
Cr|24|chromium|cromo|铬|kromium|크로뮴|χρώμιο|کروم
Mn|25|manganese|manganeso|锰|mangan|망가니즈|μαγγάνιο|منگنز
Fe|26|iron|hierro|铁|besi|철|σίδηρος|آهن
Co|27|cobalt|cobalto|钴|kobalt|코발트|κοβάλτιο|کبالت
Ni|28|nickel|níquel|镍|nikel|니켈|νικέλιο|نیکل
Cu|29|copper|cobre|铜|tembaga|구리|χαλκός|مس
Zn|30|zinc|zinc|锌|seng|아연|ψευδάργυρος|روی
Ga|31|gallium|galio|镓|galium|갈륨|γάλλιο|گالیم
As|33|arsenic|arsénico|砷|arsen|비소|αρσενικό|آرسنیک
Se|34|selenium|selenio|硒|selenium|셀레늄|σελήνιο|سلنیوم
Br|35|bromine|bromo|溴|bromin|브로민|βρώμιο|برم
Kr|36|krypton|kriptón|氪|kripton|크립톤|κρυπτό|کریپتون
Rb|37|rubidium|rubidio|铷|rubidium|루비듐|ρουβίδιο|روبیدیم
Sr|38|strontium|estroncio|锶|stronsium|스트론튬|στρόντιο|استرانسیم
Zr|40|zirconium|circonio|锆|zirkonium|지르코늄|ζιρκόνιο|زیرکونیم
Mo|42|molybdenum|molibdeno|钼|molibdenum|몰리브데넘|μολυβδαίνιο|مولیبدن
Pd|46|palladium|paladio|钯|paladium|팔라듐|παλλάδιο|پالادیم
Cd|48|cadmium|cadmio|镉|kadmium|카드뮴|κάδμιο|کادمیم
Sn|50|tin|estaño|锡|timah|주석|κασσίτερος|قلع
I|53|iodine|yodo|碘|iodin|아이오딘|ιώδιο|ید
Xe|54|xenon|xenón|氙|xenon|제논|ξένο|زنون
Cs|55|caesium|cesio|铯|sesium|세슘|καίσιο|سزیم
Ba|56|barium|bario|钡|barium|바륨|βάριο|باریم
W|74|tungsten|wolframio|钨|wolfram|텅스텐|βολφράμιο|تنگستن
Pt|78|platinum|platino|铂|platina|백금|λευκόχρυσος|پلاتین
Au|79|gold|oro|金|emas|금|χρυσός|طلا
Hg|80|mercury|mercurio|汞|raksa|수은|υδράργυρος|جیوه
Pb|82|lead|plomo|铅|timbal|납|μόλυβδος|سرب
Bi|83|bismuth|bismuto|铋|bismut|비스무트|βισμούθιο|بیسموت
Rn|86|radon|radón|氡|radon|라돈|ραδόνιο|رادون
Ra|88|radium|radio|镭|radium|라듐|ράδιο|رادیم
Th|90|thorium|torio|钍|torium|토륨|θόριο|توریم
U|92|uranium|uranio|铀|uranium|우라늄|ουράνιο|اورانیوم
"""
HELD_OUT_ELEMENTS = [
    "N",
    "Na",
    "Mg",
    "Cl",
    "K",
    "Ca",
    "Cr",
    "Zn",
    "Br",
    "Mn",
    "I",
    "Sn",
    "W",
    "Hg",
    "Pb",
    "U",
]

OPPOSITES = """
big/small|grande/pequeño|大/小|besar/kecil|크다/작다|μεγάλος/μικρός|بزرگ/کوچک
hot/cold|caliente/frío|热/冷|panas/dingin|뜨겁다/차갑다|ζεστός/κρύος|گرم/سرد
long/short|largo/corto|长/短|panjang/pendek|길다/짧다|μακρύς/κοντός|بلند/کوتاه
day/night|día/noche|白天/夜晚|siang/malam|낮/밤|μέρα/νύχτα|روز/شب
black/white|negro/blanco|黑/白|hitam/putih|검다/희다|μαύρος/άσπρος|سیاه/سفید
open/closed|abierto/cerrado|开/关|terbuka/tertutup|열다/닫다|ανοιχτός/κλειστός|باز/بسته
full/empty|lleno/vacío|满/空|penuh/kosong|차다/비다|γεμάτος/άδειος|پر/خالی
fast/slow|rápido/lento|快/慢|cepat/lambat|빠르다/느리다|γρήγορος/αργός|تند/کند
old/new|viejo/nuevo|旧/新|lama/baru|낡다/새롭다|παλιός/καινούργιος|کهنه/نو
light/heavy|ligero/pesado|轻/重|ringan/berat|가볍다/무겁다|ελαφρύς/βαρύς|سبک/سنگین
strong/weak|fuerte/débil|强/弱|kuat/lemah|강하다/약하다|δυνατός/αδύναμος|قوی/ضعیف
rich/poor|rico/pobre|富/穷|kaya/miskin|부유하다/가난하다|πλούσιος/φτωχός|ثروتمند/فقیر
near/far|cerca/lejos|近/远|dekat/jauh|가깝다/멀다|κοντά/μακριά|نزدیک/دور
easy/difficult|fácil/difícil|容易/困难|mudah/sulit|쉽다/어렵다|εύκολος/δύσκολος|آسان/سخت
wide/narrow|ancho/estrecho|宽/窄|lebar/sempit|넓다/좁다|φαρδύς/στενός|پهن/باریک
deep/shallow|profundo/superficial|深/浅|dalam/dangkal|깊다/얕다|βαθύς/ρηχός|عمیق/کم‌عمق
dry/wet|seco/mojado|干/湿|kering/basah|마르다/젖다|στεγνός/βρεγμένος|خشک/خیس
clean/dirty|limpio/sucio|干净/肮脏|bersih/kotor|깨끗하다/더럽다|καθαρός/βρόμικος|تمیز/کثیف
true/false|verdadero/falso|真/假|benar/salah|참/거짓|αληθής/ψευδής|درست/نادرست
happy/sad|feliz/triste|高兴/悲伤|senang/sedih|기쁘다/슬프다|χαρούμενος/λυπημένος|شاد/غمگین
left/right|izquierda/derecha|左/右|kiri/kanan|왼쪽/오른쪽|αριστερά/δεξιά|چپ/راست
above/below|arriba/abajo|上/下|atas/bawah|위/아래|πάνω/κάτω|بالا/پایین
inside/outside|dentro/fuera|里/外|di dalam/di luar|안/밖|μέσα/έξω|داخل/خارج
before/after|antes/después|前/后|sebelum/sesudah|전/후|πριν/μετά|قبل/بعد
first/last|primero/último|最先/最后|pertama/terakhir|처음/마지막|πρώτος/τελευταίος|اول/آخر
begin/end|empezar/terminar|开始/结束|mulai/selesai|시작하다/끝나다|αρχίζω/τελειώνω|آغاز/پایان
buy/sell|comprar/vender|买/卖|membeli/menjual|사다/팔다|αγοράζω/πουλάω|خریدن/فروختن
ask/answer|preguntar/responder|问/答|bertanya/menjawab|묻다/답하다|ρωτάω/απαντάω|پرسیدن/پاسخ دادن
come/go|venir/ir|来/去|datang/pergi|오다/가다|έρχομαι/φεύγω|آمدن/رفتن
give/take|dar/tomar|给/拿|memberi/mengambil|주다/받다|δίνω/παίρνω|دادن/گرفتن
push/pull|empujar/tirar|推/拉|mendorong/menarik|밀다/당기다|σπρώχνω/τραβάω|هل دادن/کشیدن
win/lose|ganar/perder|赢/输|menang/kalah|이기다/지다|κερδίζω/χάνω|بردن/باختن
laugh/cry|reír/llorar|笑/哭|tertawa/menangis|웃다/울다|γελάω/κλαίω|خندیدن/گریستن
love/hate|amar/odiar|爱/恨|cinta/benci|사랑하다/미워하다|αγαπώ/μισώ|دوست داشتن/نفرت داشتن
thick/thin|grueso/delgado|厚/薄|tebal/tipis|두껍다/얇다|χοντρός/λεπτός|ضخیم/نازک
hard/soft|duro/blando|硬/软|keras/lunak|단단하다/부드럽다|σκληρός/μαλακός|سفت/نرم
bright/dark|claro/oscuro|明亮/黑暗|terang/gelap|밝다/어둡다|φωτεινός/σκοτεινός|روشن/تاریک
loud/quiet|ruidoso/silencioso|吵闹/安静|bising/tenang|시끄럽다/조용하다|θορυβώδης/ήσυχος|پرسروصدا/آرام
safe/dangerous|seguro/peligroso|安全/危险|aman/berbahaya|안전하다/위험하다|ασφαλής/επικίνδυνος|امن/خطرناک
many/few|muchos/pocos|多/少|banyak/sedikit|많다/적다|πολλοί/λίγοι|بسیار/اندک
war/peace|guerra/paz|战争/和平|perang/damai|전쟁/평화|πόλεμος/ειρήνη|جنگ/صلح
"""

KINDS = {
    "animal": "animal|animal|动物|hewan|동물|ζώο|حیوان",
    "fruit": "fruit|fruta|水果|buah|과일|φρούτο|میوه",
    "vegetable": "vegetable|verdura|蔬菜|sayuran|채소|λαχανικό|سبزی",
    "colour": "colour|color|颜色|warna|색|χρώμα|رنگ",
    "body": "body part|parte del cuerpo|身体部位|anggota tubuh|신체 부위|μέρος του σώματος|عضو بدن",
    "clothing": "clothing|ropa|衣服|pakaian|옷|ρούχο|لباس",
    "vehicle": "vehicle|vehículo|交通工具|kendaraan|탈것|όχημα|وسیلهٔ نقلیه",
    "furniture": "furniture|mueble|家具|perabot|가구|έπιπλο|اثاثیه",
}
WORDS = """
animal|dog|perro|狗|anjing|개|σκύλος|سگ
animal|cat|gato|猫|kucing|고양이|γάτα|گربه
animal|cow|vaca|牛|sapi|소|αγελάδα|گاو
animal|horse|caballo|马|kuda|말|άλογο|اسب
animal|sheep|oveja|羊|domba|양|πρόβατο|گوسفند
animal|fish|pez|鱼|ikan|물고기|ψάρι|ماهی
animal|bird|pájaro|鸟|burung|새|πουλί|پرنده
animal|mouse|ratón|老鼠|tikus|쥐|ποντίκι|موش
animal|rabbit|conejo|兔子|kelinci|토끼|κουνέλι|خرگوش
animal|duck|pato|鸭子|bebek|오리|πάπια|اردک
animal|bee|abeja|蜜蜂|lebah|벌|μέλισσα|زنبور عسل
animal|elephant|elefante|大象|gajah|코끼리|ελέφαντας|فیل
animal|monkey|mono|猴子|monyet|원숭이|μαϊμού|میمون
animal|frog|rana|青蛙|katak|개구리|βάτραχος|قورباغه
fruit|apple|manzana|苹果|apel|사과|μήλο|سیب
fruit|banana|plátano|香蕉|pisang|바나나|μπανάνα|موز
fruit|orange|naranja|橙子|jeruk|오렌지|πορτοκάλι|پرتقال
fruit|grape|uva|葡萄|anggur|포도|σταφύλι|انگور
fruit|pear|pera|梨|pir|배|αχλάδι|گلابی
fruit|strawberry|fresa|草莓|stroberi|딸기|φράουλα|توت‌فرنگی
fruit|lemon|limón|柠檬|lemon|레몬|λεμόνι|لیمو
vegetable|onion|cebolla|洋葱|bawang|양파|κρεμμύδι|پیاز
vegetable|carrot|zanahoria|胡萝卜|wortel|당근|καρότο|هویج
vegetable|cabbage|col|卷心菜|kubis|양배추|λάχανο|کلم
vegetable|cucumber|pepino|黄瓜|mentimun|오이|αγγούρι|خیار
vegetable|spinach|espinaca|菠菜|bayam|시금치|σπανάκι|اسفناج
colour|red|rojo|红色|merah|빨간색|κόκκινο|قرمز
colour|blue|azul|蓝色|biru|파란색|μπλε|آبی
colour|green|verde|绿色|hijau|초록색|πράσινο|سبز
colour|yellow|amarillo|黄色|kuning|노란색|κίτρινο|زرد
colour|brown|marrón|棕色|cokelat|갈색|καφέ|قهوه‌ای
colour|purple|morado|紫色|ungu|보라색|μοβ|بنفش
body|hand|mano|手|tangan|손|χέρι|دست
body|foot|pie|脚|kaki|발|πόδι|پا
body|head|cabeza|头|kepala|머리|κεφάλι|سر
body|eye|ojo|眼睛|mata|눈|μάτι|چشم
body|ear|oreja|耳朵|telinga|귀|αυτί|گوش
body|nose|nariz|鼻子|hidung|코|μύτη|بینی
body|mouth|boca|嘴|mulut|입|στόμα|دهان
body|knee|rodilla|膝盖|lutut|무릎|γόνατο|زانو
clothing|shirt|camisa|衬衫|kemeja|셔츠|πουκάμισο|پیراهن
clothing|trousers|pantalón|裤子|celana|바지|παντελόνι|شلوار
clothing|skirt|falda|裙子|rok|치마|φούστα|دامن
clothing|coat|abrigo|外套|mantel|코트|παλτό|پالتو
clothing|sock|calcetín|袜子|kaus kaki|양말|κάλτσα|جوراب
vehicle|car|coche|汽车|mobil|자동차|αυτοκίνητο|خودرو
vehicle|bus|autobús|公共汽车|bus|버스|λεωφορείο|اتوبوس
vehicle|train|tren|火车|kereta api|기차|τρένο|قطار
vehicle|bicycle|bicicleta|自行车|sepeda|자전거|ποδήλατο|دوچرخه
vehicle|ship|barco|船|kapal|배|πλοίο|کشتی
vehicle|aeroplane|avión|飞机|pesawat|비행기|αεροπλάνο|هواپیما
vehicle|truck|camión|卡车|truk|트럭|φορτηγό|کامیون
furniture|table|mesa|桌子|meja|탁자|τραπέζι|میز
furniture|chair|silla|椅子|kursi|의자|καρέκλα|صندلی
furniture|bed|cama|床|tempat tidur|침대|κρεβάτι|تخت
furniture|wardrobe|armario|衣柜|lemari|옷장|ντουλάπα|کمد
furniture|shelf|estante|书架|rak|책장|ράφι|قفسه
"""
OPERATIONS = {
    "sum": "plus|más|加|ditambah|더하기|συν|به‌علاوهٔ",
    "difference": "minus|menos|减|dikurangi|빼기|μείον|منهای",
    "product": "times|por|乘以|dikali|곱하기|επί|ضربدر",
}
