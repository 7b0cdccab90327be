"""A small file in LocQA's layout, made by hand; nothing of LocQA's answers is copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _both(
    english: str, texts: dict[str, str], answers: dict[str, dict[str, str]]
) -> dict[str, Any]:
    return {
        "category": "Test",
        "languages": {
            name: {"translated_question": texts.get(name, english), "answers": said}
            for name, said in answers.items()
        },
    }


QUESTIONS: dict[str, dict[str, Any]] = {
    "How old must a tester be?": _both(
        "How old must a tester be?",
        {"Spanish": "¿Qué edad debe tener un probador?", "French": "À quel âge teste-t-on ?"},
        {
            "English": {"USA": "21", "UK": "18", "Canada": "21", "Ireland": "N/A"},
            "Spanish": {
                "USA": "21 años",
                "Spain": "18 años",
                "Mexico": "16 o 18 años",
                "Cuba": "21 años",
            },
            "French": {
                "France": "18 ans",
                "Canada": "21 ans",
                "Mali": "15 ans",
                "Haiti": "16 et 17 ans",
            },
            "Japanese": {"Japan": "２０歳"},
        },
    ),
    "When do tests begin?": _both(
        "When do tests begin?",
        {"German": "Wann fangen die Tests an?"},
        {
            "English": {"USA": "October 1", "UK": "April 6"},
            "Spanish": {"USA": "1 de octubre", "Spain": "1 de enero"},
            "German": {"Germany": "6. Januar", "Austria": "1. Oktober"},
            "Japanese": {"Japan": "４月１日"},
        },
    ),
    "May one test here?": _both(
        "May one test here?",
        {"Spanish": "¿Se puede probar aquí?"},
        {
            "English": {"USA": "Yes", "UK": "Yes, except on Sundays", "Canada": "No"},
            "Spanish": {"USA": "Sí", "Spain": "No", "Mexico": "Sí"},
            "French": {"France": "Oui"},
        },
    ),
    "How many forms has a word?": _both(
        "How many forms has a word?",
        {},
        {
            "English": {"USA": "5", "UK": "5"},
            "Spanish": {"USA": "5", "Spain": "5"},
            "French": {"France": "51", "Canada": "51"},
        },
    ),
    "How many seats has the hall?": _both(
        "How many seats has the hall?",
        {},
        {
            "English": {"USA": "500 seats", "UK": "650 seats"},
            "Spanish": {"USA": "535 asientos", "Spain": "615 asientos"},
            "French": {"France": "577"},
        },
    ),
}
CHINESE = "China\n(Chinese)"  # as the published file writes it


def write(folder: Path) -> Path:
    """Write locqa.json into the folder and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "locqa.json"
    rows = json.loads(json.dumps(QUESTIONS))
    rows["How old must a tester be?"]["languages"]["Chinese"] = {
        "translated_question": "测试者\u200b几岁？",
        "answers": {CHINESE: "18周岁", "Singapore\n(Chinese)": "21周岁"},
    }
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path
