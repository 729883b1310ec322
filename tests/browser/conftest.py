"""The built book, served over HTTP, and one browser for all tests of a worker."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from built_book import BOOK, PAGES
from chromium import find_chromium
from playwright.sync_api import sync_playwright


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps no log."""

    def log_message(self, *args) -> None:
        """Say nothing."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", PAGES)


@pytest.fixture(scope="session")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(BOOK)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def open_page(browser):
    """Return a function that opens an address and waits until its mathematics is set.

    One page of each width serves all tests. `page.complaints` collects console errors, scripts
    that fail and requests off the site.
    """
    context = browser.new_context()
    pages = {}

    def open_page(address: str, width: int):
        if width not in pages:
            pages[width] = watched(context.new_page())
            pages[width].set_viewport_size({"width": width, "height": 900})
        page = pages[width]
        page.complaints.clear()
        page.goto(address, wait_until="load")
        page.add_style_tag(content="* { transition: none !important }")
        page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        page.evaluate("async () => { await document.fonts.ready }")
        return page

    yield open_page
    context.close()


def watched(page):
    """Return the page with a list of everything it should not have done."""
    page.complaints = []

    def check_request(request) -> None:
        if not request.url.startswith(("http://127.0.0.1", "file:", "data:", "blob:")):
            page.complaints.append(f"request off the site: {request.url}")

    def check_console(message) -> None:
        if message.type == "error":
            page.complaints.append(f"console: {message.text} {message.location.get('url')}")

    page.on("request", check_request)
    page.on("console", check_console)
    page.on("pageerror", lambda error: page.complaints.append(f"script: {error}"))
    return page
