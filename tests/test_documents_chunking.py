"""Cutting texts: pieces tile the text, follow its structure, and stay where nothing changed."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import get_args

import pytest

from memstore import Invalid
from memstore.documents.chunking import Kind, kind_of, pieces, sizes

KINDS = get_args(Kind)
NASTY = (
    "a", "word ", "\n", "\n\n", "# H\n", "## Two\n", "```\n", "~~~~\n", "def f():\n", "class A:\n", "    def g(self):\n", "        x\n",
    '"""', "'''", "@d\n", "# c\n", "漢字。", "e\u0301", "👩\u200d🚀", "\r\n", "\x0c", "\u2028", " " * 30, "-----\n", "=====\n",
    "| a | b |\n", "- item\n", "1. x\n", "> q\n", "\t", "'", '"', "\\", "\0",
)  # fmt: skip


def cut(text, **options):
    return [(piece.heading_path, text[piece.start : piece.end]) for piece in pieces(text, **options)]


def paths(text, **options):
    return [path for path, _ in cut(text, **options)]


def confirm_tiling(text, size, overlap, kind):
    found = pieces(text, size=size, overlap=overlap, kind=kind)
    if not text:
        assert found == []
        return
    assert (found[0].start, found[-1].end) == (0, len(text))
    for one, other in pairwise(found):
        assert one.start < other.start <= one.end < other.end
        assert one.end - other.start <= overlap + 32  # a character with its accents is taken along whole
    most_blank = max((len(run) for run in re.findall(r"\s+", text)), default=0)
    for piece in found:
        assert 0 < piece.end - piece.start <= size
        assert text[piece.start : piece.end].strip() or not text.strip() or most_blank >= size // 2


def test_pieces_tile_whatever_text_there_is(rng):
    for _ in range(1500):
        text = "".join(rng.choice(NASTY) for _ in range(rng.randrange(50)))
        size = rng.choice((1, 2, 3, 5, 10, 40, 200))
        confirm_tiling(text, size, rng.randrange((size + 1) // 2), rng.choice(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_is_linear_whatever_the_text_is_made_of(kind):
    size = 40_000  # at which anything quadratic takes many seconds
    odd = ("#", "`", "漢", "```\n~~~\n", "a\u2028", "\n ", "'\\", "def f():\n x\n", "a\n---\n", "@a(\n", ".)", ">", "\u0301")
    begun = time.process_time()
    for unit in (*NASTY, *odd):
        text = unit * (size // len(unit))
        found = pieces(text, kind=kind)
        assert found[-1].end == len(text)
    assert time.process_time() - begun < 15


def test_what_cannot_be_is_refused():
    for size, overlap in ((0, None), (1.5, 0), (1000, -1), (100, 50)):
        with pytest.raises(Invalid):
            sizes(size, overlap)


def test_the_kind_goes_by_the_suffix():
    kinds = [kind_of(suffix) for suffix in (None, "", ".md", ".MD", ".py", ".txt", ".rs")]
    assert kinds == ["markdown", "markdown", "markdown", "markdown", "python", "text", "code"]


# -- plain text ---------------------------------------------------------------------------------------------------------


def test_short_paragraphs_are_joined_and_none_is_torn():
    text = "\n\n".join(f"Paragraph {number} " + "says something. " * 4 for number in range(30))
    found = cut(text, size=200, overlap=40)
    assert "".join(piece for _, piece in found) == text
    assert all(piece.startswith("Paragraph") and piece.endswith((" \n\n", ". ")) for _, piece in found)
    assert max(len(piece) for _, piece in found) > 100


def test_a_long_paragraph_becomes_windows_that_overlap_and_end_with_sentences():
    text = " ".join(f"Sentence number {number} is neither long nor short." for number in range(100))
    found = pieces(text, size=300, overlap=60)
    for one, other in pairwise(found):
        assert text[one.start : one.end].endswith(". ")
        assert 30 <= one.end - other.start <= 60
        assert text[other.start - 1] == " " != text[other.start]


def test_only_windows_of_a_long_block_overlap():
    short = "".join(f"A short one, {number}.\n\n" for number in range(60))
    text = short + "long " * 200 + "\n\n" + short
    shared = [(one.end - other.start) for one, other in pairwise(pieces(text, size=200, overlap=50))]
    assert any(shared) and not any(shared[:2]) and not any(shared[-2:])


def test_a_long_list_or_table_is_cut_between_its_items():
    items = "".join(f"- item {number}. It says more\n  on a second line\n" for number in range(40))
    rows = "".join(f"| row {number} | a value. And another |\n" for number in range(40))
    for text, mark in ((items, "- item"), (rows, "| row")):
        assert all(piece.startswith(mark) for _, piece in cut(text, size=200, overlap=0, kind="markdown"))


def test_text_without_spaces_is_cut_at_its_own_full_stops():
    text = "今日は良い天気です。明日は雨が降るでしょう。" * 30
    found = cut(text, size=100, overlap=20)
    assert len(found) > 6 and all(piece.endswith("。") for _, piece in found)


def test_no_letter_is_parted_from_its_accents():
    for unit in ("e\u0301\u0323", "👩\u200d🚀", "👍\U0001f3fd", "\r\n"):
        text = unit * 200
        for piece in pieces(text, size=50, overlap=10):
            assert piece.start % len(unit) == piece.end % len(unit) == 0


# -- Markdown -----------------------------------------------------------------------------------------------------------


def test_headings_of_both_kinds_begin_pieces_and_give_the_path():
    text = "Before.\n\n# Install #\n\nGet it.\n\n## Linux\napt\n\n## C#\n\ncsc\n\nUse\n===\n\nCall it.\n\nFast\n----\n\nVery.\n"
    assert cut(text, kind="markdown") == [
        ("", "Before.\n\n"),
        ("Install", "# Install #\n\nGet it.\n\n"),
        ("Install > Linux", "## Linux\napt\n\n"),
        ("Install > C#", "## C#\n\ncsc\n\n"),
        ("Use", "Use\n===\n\nCall it.\n\n"),
        ("Use > Fast", "Fast\n----\n\nVery.\n"),
    ]


def test_a_heading_with_nothing_under_it_goes_with_the_first_one_below():
    assert cut("\n# Guide\n\n## Install\n\nGet it.\n\n# Empty\n# Next\nx\n", kind="markdown") == [
        ("Guide > Install", "\n# Guide\n\n## Install\n\nGet it.\n\n"),
        ("Empty", "# Empty\n"),
        ("Next", "# Next\nx\n"),
    ]


def test_what_only_looks_like_a_heading_is_none():
    fenced = "```sh\n# comment\n\n~~~\nx\n---\n```\n"
    others = "#hashtag\n####### seven\n\n- item\n---\n\n> quoted\n---\n\n| a |\n---\n\ntwo\nlines\n---\n\n    # indented\n"
    for text in (fenced, others, f"1. in a list\n   {fenced}", "```\n# never closed\n"):
        assert set(paths(text, kind="markdown")) == {""}
    assert paths(fenced + "# Real\n", kind="markdown") == ["", "Real"]


@pytest.mark.parametrize(
    ("text", "kind", "first"),
    [
        ("# Title\n\nsaid\n\n# Next\n\nsaid", "markdown", "Title"), ("Title\n=====\n\nsaid", "markdown", "Title"),
        ("---\nauthor: x\n---\n# Title\n\nsaid", "markdown", ""),
        ("def first():\n    pass\n\n\nclass B:\n    pass\n", "python", "def first"),
    ],
)  # fmt: skip
def test_a_byte_order_mark_hides_no_first_heading(text, kind, first):
    plain, marked = pieces(text, kind=kind), pieces("\ufeff" + text, kind=kind)
    assert plain[0].heading_path == first
    assert [(piece.end - 1, piece.heading_path) for piece in marked] == [(piece.end, piece.heading_path) for piece in plain]
    assert [piece.start for piece in marked] == [0, *(piece.end for piece in marked[:-1])]


def test_the_head_of_a_page_is_no_heading():
    assert paths("---\ntitle: x\n\ntags: y\n---\n\n# One\n\ntext\n", kind="markdown") == ["", "One"]


def test_a_fenced_block_stays_whole_where_it_fits():
    code = "```python\n" + "print('a line of code')\n\n" * 15 + "```\n"
    text = "# Title\n\n" + "Some words before it. " * 15 + "\n\n" + code + "And some words after it. " * 15
    assert any(code in piece for _, piece in cut(text, size=500, overlap=50, kind="markdown"))


def test_a_fenced_block_that_is_too_long_is_cut_between_lines():
    text = "```\n" + "".join(f"call({number}). # and so on\n" for number in range(100)) + "```\n"
    found = cut(text, size=300, overlap=0, kind="markdown")
    assert len(found) > 5 and all(piece.endswith("\n") for _, piece in found)


def test_a_long_title_is_cut_in_the_path_alone():
    for text, kind in (("# " + "very " * 1000 + "\n\ntext\n", "markdown"), (f"def {'a' * 5000}():\n    pass\n", "python")):
        found = pieces(text, kind=kind)
        assert len(found) > 4 and found[-1].end == len(text) and all(0 < len(piece.heading_path) < 90 for piece in found)


# -- Python -------------------------------------------------------------------------------------------------------------

MODULE = '''"""What it is for.

def not_this(): is text
"""

import os  # it's here


# Why it is so.
@cached(
    size=3,
)
def one(a):
    """Do.

class NorThis:
    """
# odd, but inside
    return a


LIMIT = 3


async def two():
    pass
'''


def test_functions_begin_pieces_with_their_decorators_and_comments():
    found = dict(cut(MODULE, kind="python"))
    assert paths(MODULE, kind="python") == ["", "def one", "", "async def two"]
    assert found["def one"].startswith("# Why it is so.\n@cached(") and "# odd, but inside\n    return a" in found["def one"]
    assert found["async def two"] == "async def two():\n    pass\n"


def test_a_class_that_fits_is_one_piece_and_a_long_one_is_cut_by_its_methods():
    methods = "".join(f'    @property\n    def part{number}(self):\n        """Say."""\n        return {number}\n\n' for number in range(4))
    text = f'class Whole:\n    """It is."""\n\n    size = 1\n\n{methods}\nclass Small:\n    def a(self):\n        pass\n'
    assert paths(text, kind="python") == ["class Whole", "class Small"]
    assert cut(text, size=200, overlap=20, kind="python") == [
        ("class Whole", 'class Whole:\n    """It is."""\n\n    size = 1\n\n'),
        *[
            (f"class Whole > def part{number}", piece)
            for number, piece in enumerate(re.findall(r"    @property\n(?:.+\n)+\n+", text))
        ],
        ("class Small", "class Small:\n    def a(self):\n        pass\n"),
    ]


def test_a_file_that_does_not_parse_is_cut_all_the_same():
    assert paths("def a(:\n    'open\n\n\ndef b()\n    )\n\nclass\nclass C:\n\tx\n", kind="python") == ["def a", "def b", "", "class C"]


# -- edits --------------------------------------------------------------------------------------------------------------


def test_an_edit_in_one_section_leaves_the_pieces_of_the_others_as_they_are(rng):
    for _ in range(20):
        bodies = ["".join(rng.choice(("Some words here.\n\n", "- item\n", "More. And more. ")) for _ in range(30)) for _ in range(6)]

        def of(bodies):
            text = "".join(f"# Section {number}\n\n{body}\n\n" for number, body in enumerate(bodies))
            return cut(text, size=150, overlap=30, kind="markdown")

        before, edited = of(bodies), rng.randrange(6)
        bodies[edited] += "New. " * rng.randrange(1, 60)
        other = [piece for piece in of(bodies) if piece[0] != f"Section {edited}"]
        assert other == [piece for piece in before if piece[0] != f"Section {edited}"]
