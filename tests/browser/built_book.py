"""Where the built book is, and its pages."""

from pathlib import Path

BOOK = Path(__file__).parents[2] / "_build" / "html"
REDIRECT = BOOK / "index.html"  # leads to the preface at once
PAGES = sorted(
    path.relative_to(BOOK).as_posix()
    for path in BOOK.rglob("*.html")
    if not path.is_relative_to(BOOK / "_static") and path != REDIRECT
)
