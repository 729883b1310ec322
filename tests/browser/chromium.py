"""Find a Chromium that starts, or install one.

Run as a program by `make test`, so that the browser tests never stop for want of a browser.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def starts(executable: str) -> bool:
    """Say whether the program exists and tells its version (a snap stub does not)."""
    try:
        run = subprocess.run([executable, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def find_chromium() -> str | None:
    """Return a Chromium that starts: the system's, else the one Playwright has downloaded."""
    from playwright.sync_api import sync_playwright

    for path in filter(None, map(shutil.which, NAMES)):
        if starts(path):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if starts(own) else None


def install() -> None:
    """Try the system's package manager where we may use it, then Playwright's download."""
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if sys.platform == "linux" and os.geteuid() == 0:
        attempts[0].append("--with-deps")
        if shutil.which("apt-get"):
            apt = "apt-get update -q && apt-get install -q -y --no-install-recommends chromium"
            attempts.insert(0, ["sh", "-c", apt])
    for command in attempts:
        print(f"No Chromium found; trying: {command[-1]}", flush=True)
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0 and find_chromium():
            return


if __name__ == "__main__":
    if not find_chromium():
        install()
    found = find_chromium()
    if not found:
        sys.exit("The browser tests need Chromium or Chrome: install either, then run this again.")
    print(f"Browser tests use {Path(found)}")
