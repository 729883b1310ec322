"""Every link and anchor inside the built book leads somewhere."""

from functools import cache
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from built_book import BOOK, REDIRECT


@cache
def read(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def anchors(path):
    return {tag["id"] for tag in read(path).find_all(id=True)} | {"", "top"}


def test_every_internal_link_resolves(page_name):
    here = BOOK / page_name
    addresses = {tag["href"] for tag in read(here).find_all("a", href=True)}
    addresses |= {tag["src"] for tag in read(here).find_all(["img", "script"], src=True)}
    broken = [address for address in addresses if not resolves(here, urlsplit(address))]
    assert not broken, f"{page_name}: {sorted(broken)}"


def test_the_address_that_make_book_prints_leads_to_a_page():
    target = read(REDIRECT).find("meta", attrs={"http-equiv": "Refresh"})["content"]
    assert (BOOK / target.partition("url=")[2]).is_file()


def resolves(here, link) -> bool:
    """Say whether the link is external, or leads to a file and an anchor that exist."""
    if link.scheme or link.netloc:
        return True
    target = (here.parent / unquote(link.path)).resolve() if link.path else here
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(BOOK):
        return False
    return target.suffix != ".html" or unquote(link.fragment) in anchors(target)
