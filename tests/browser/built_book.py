"""Where the built book is, and its pages."""

from pathlib import Path

BOOK = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(
    path.relative_to(BOOK).as_posix()
    for path in BOOK.rglob("*.html")
    if not path.is_relative_to(BOOK / "_static")
)
