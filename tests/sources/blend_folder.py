"""A small folder as BLEnD publishes it, in both layouts. No text of BLEnD stands here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

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
    """The local and the English question of a region; the old layout says "your country" in
    English.
    """
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
