"""The site: its reference is complete, its links lead somewhere, and a browser shows it without complaint."""

import functools
import http.server
import importlib
import pkgutil
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

import jepa_extractor

ROOT = Path(__file__).parents[2]
WIDTHS = {"telephone": 390, "tablet": 820, "desktop": 1440}
HOST = "http://127.0.0.1"


def test_the_reference_has_every_package():
    """``.. public::`` lists what a package exports: each package with ``__all__`` stands on some page."""
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    listed = set(re.findall(r"^\.\. public:: ([\w.]+)$", pages, re.MULTILINE))
    packages = ["jepa_extractor", "counting_env"]
    packages += [
        f"jepa_extractor.{found.name}" for found in pkgutil.iter_modules(jepa_extractor.__path__) if found.ispkg
    ]
    public = {name for name in packages if getattr(importlib.import_module(name), "__all__", ())}
    assert listed == public


class Page(HTMLParser):
    """The ids of a page, and what it points to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        self.targets += [values[key] for key in ("href", "src") if values.get(key)]


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_internal_links_and_anchors_lead_somewhere(site):
    """Every relative link of every page names a file of the site, and an id in it."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 30
    wrong = []
    for path, page in pages.items():
        for target in page.targets:
            if urlsplit(target).scheme or target.startswith("//"):
                continue
            file, anchor = urldefrag(target)
            there = (path.parent / unquote(urlsplit(file).path)).resolve() if file else path
            known = pages[there].ids if there in pages else set()
            if not there.exists() or (anchor and there.suffix == ".html" and unquote(anchor) not in known):
                wrong.append(f"{path.relative_to(site)}: {target}")
    assert not wrong


@pytest.fixture(scope="module")
def address(site):
    """Where a server shows the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{HOST}:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium, driven by Selenium, which looks for neither on the network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and chromedriver on the path (Debian's packages chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    running = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield running
    running.quit()


BROKEN = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOAD_ALL = "for (const image of document.images) image.loading = 'eager'"


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_browser_shows_every_page(site, address, browser, width):
    """At each width no page logs an error, lacks a picture, or has to be scrolled sideways."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    complaints = []
    for path in sorted(site.rglob("*.html")):
        if "_modules" in path.parts:
            continue
        name = path.relative_to(site).as_posix()
        browser.get(urljoin(address, name))
        browser.execute_script(LOAD_ALL)
        # Bokeh's words on a live report are of level INFO
        entries = [entry for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
        complaints += [f"{name}: {entry['message']}" for entry in entries]
        complaints += [f"{name}: {source} is no picture" for source in browser.execute_script(BROKEN)]
        if (more := browser.execute_script(WIDER)) > 0:
            complaints.append(f"{name}: {more} pixels too wide")
    assert not complaints


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_the_search_finds_a_name(address, browser):
    """The search page lists the entry of a public name."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(urljoin(address, "search.html?q=largest_bisimulation"))
    found = WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    assert any("reference/bisimulation" in link.get_attribute("href") for link in found)
