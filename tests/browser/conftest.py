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

    `page.complaints` collects console errors, failed requests and requests off the site.
    """

    def open_page(address: str, width: int):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.complaints = []
        origin = "file:" if address.startswith("file:") else "/".join(address.split("/")[:3])

        def check_request(request) -> None:
            if not request.url.startswith((origin, "data:", "blob:")):
                page.complaints.append(f"request off the site: {request.url}")

        def check_console(message) -> None:
            if message.type == "error":
                page.complaints.append(f"console: {message.text} {message.location.get('url')}")

        page.on("request", check_request)
        page.on("console", check_console)
        page.on("pageerror", lambda error: page.complaints.append(f"script: {error}"))
        page.goto(address, wait_until="load")
        page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        page.wait_for_load_state("networkidle")
        return page

    return open_page
