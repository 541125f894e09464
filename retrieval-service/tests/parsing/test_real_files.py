"""Real files of every format, where the data folder is at hand: what each must become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval_service.chunking import chunk
from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.parser import Parser

_FOLDER = Path(os.environ.get("SIXFOLD_DATA", "/nonexistent")) / "documents"

pytestmark = pytest.mark.skipif(not _FOLDER.is_dir(), reason="SIXFOLD_DATA names no folder with documents")

# What must be found in each, and on which page (0: the format has none).
_SAID = {
    "amt_handbook_sample.pdf": ("The Boots self-locking nut is of one piece, all-metal construction", 1),
    "epub_purvis_poetry.epub": ("The cold storms of winter shall chill him no more,", 0),
    "normal_4pages.pdf": ("이와 관련하여 세계보건기구(WHO)는", 1),
    "powerpoint_sample.pptx": ("Let’s introduce a list", 2),
    "right_to_left_01.pdf": (
        "تعتبر البرمجة بلغة R و Python من الأدوات القوية التي يمكن أن تعزز الإنتاجية",
        1,
    ),
    "wiki.md": ("IBM originated with several technological innovations", 0),
    "wiki_duck.html": ("Class: Aves", 0),
    "word_sample.docx": ("Leaves; Food: Ash, Elm, Maple; Calories per portion: 50", 0),
    "word_tables.docx": ("Header 0.0: Cell 2.0; Header 0.1: Merged Cell 1.1 2.1", 0),
    "xlsx_01.xlsx": ("first: 5; second: 1; third: -3", 1),
}
_REFUSED = {
    "2206.01062_pg3.pdf": FileReason.PASSWORD_PROTECTED,
    "ocr_test.pdf": FileReason.NO_TEXT,
}


async def test_each_has_its_outcome() -> None:
    parser = Parser(processes=1)
    outcomes: dict[str, FileReason] = {}
    for path in sorted(_FOLDER.iterdir()):
        try:
            parsed = await parser.parse(path, path.name)
        except DocumentError as error:
            outcomes[path.name] = error.fault.reason
            continue
        text, page = _SAID[path.name]
        (found, *_) = [passage for passage in chunk(parsed) if text in passage.text]
        assert found.page_first <= page <= found.page_last
        assert parsed.notes == ()
    await parser.close()
    assert outcomes == _REFUSED
