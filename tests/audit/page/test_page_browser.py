"""The page in a real browser: Chromium without a window, by its driver."""

import json
import shutil
import time

import numpy as np
import pytest

from jepa_extractor.audit.moments import pca_plane
from jepa_extractor.audit.page import write_page
from tests.audit.page.known_audits import HISTORY

pytestmark = pytest.mark.slow
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
DEEP = """
function* deep(root) {
  for (const element of root.querySelectorAll("*")) {
    yield element;
    if (element.shadowRoot) yield* deep(element.shadowRoot);
  }
}
"""
PLACE = """
const map = document.querySelector(".map:not([hidden])");
map.scrollIntoView({block: "center"});
const plot = Bokeh.documents[0].roots()[0];
const view = Bokeh.index.find_one(plot);
const source = Bokeh.documents[0].get_model_by_name("points");
const box = view.el.getBoundingClientRect();
return [box.left + view.frame.x_scale.compute(source.data.x[arguments[0]]),
        box.top + view.frame.y_scale.compute(source.data.y[arguments[0]])];
"""


@pytest.fixture(scope="module")
def browser():
    """A browser that logs its console and every request."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no Chromium with its driver here")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report_file(merged, untrained, extractor, tmp_path_factory):
    """A page that holds all that it can."""
    path = tmp_path_factory.mktemp("browser") / "report.html"
    moments = [
        HISTORY[0]._replace(plane=pca_plane(untrained.latents)),
        HISTORY[2]._replace(plane=pca_plane(1 - merged.latents)),
    ]
    write_page([merged, untrained], path, {"untrained": extractor}, {"merged": moments})
    return path


@pytest.fixture
def page(browser, report_file):
    """The page, opened anew on a wide light screen; after the test its console and requests are looked at."""
    look(browser, 1200, dark=False)
    open_page(browser, report_file)
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} <= {report_file.as_uri()}


def open_page(browser, path):
    browser.get(path.as_uri())
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "true")


def until(ready, seconds=30):
    """Wait until ``ready()`` is true, and return what it gave."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
    return found


def look(browser, width, dark):
    """Look at the page on a screen of this width, in the light or the dark scheme."""
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def mouse(browser, kind, x, y):
    button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **button})


def browser_move(browser, x, y):
    """Move the pointer with its button pressed."""
    event = {"type": "mouseMoved", "x": x, "y": y, "button": "left", "buttons": 1}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def press(browser, key):
    from selenium.webdriver.common.keys import Keys

    browser.switch_to.active_element.send_keys(getattr(Keys, key))


def pictures(browser, selector):
    """Return the sources of the pictures under ``selector`` that the browser has drawn."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' img')].filter(i => i.naturalWidth).map(i => i.src)",
        selector,
    )


def test_every_part_is_drawn(page):
    """Maps and curves have a canvas each, and every picture can be read by the browser."""
    assert page.execute_script("return Bokeh.documents.length") == 2 + 2
    broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert page.execute_script(broken) == 0
    assert page.execute_script(DEEP + "return [...deep(document)].filter(e => e.tagName === 'CANVAS').length") >= 4


def test_hover_shows_the_image(page):
    """The pointer on a point shows its image, count and episode."""
    x, y = page.execute_script(PLACE, 3)
    mouse(page, "mouseMoved", x - 30, y - 30)
    mouse(page, "mouseMoved", x, y)
    tooltip = (
        DEEP
        + """
    const box = [...deep(document)].find(e => e.classList.contains("hover") && e.getBoundingClientRect().width);
    const image = box?.querySelector("img");
    return image?.naturalWidth ? [image.src, box.textContent] : null;"""
    )
    source, text = until(lambda: page.execute_script(tooltip))
    assert source.startswith("data:image/webp;base64,")
    assert "count" in text
    assert "episode" in text


def test_a_click_on_a_point_shows_its_neighbours(page):
    """A click chooses a point in every map, and shows those beside it."""
    x, y = page.execute_script(PLACE, 3)
    mouse(page, "mousePressed", x, y)
    mouse(page, "mouseReleased", x, y)
    assert len(until(lambda: pictures(page, "#card-0"))) == 6
    assert len(pictures(page, "#card-1")) == 6
    number = page.execute_script("return document.getElementById('observation').valueAsNumber")
    chosen = page.execute_script("return Bokeh.documents[1].get_model_by_name('points').selected.indices")
    assert chosen == [number - 1]


def test_a_filter_shows_a_gallery(page):
    """A class, an episode or steps: the observations that are so are chosen in every map, and shown."""
    held = page.execute_script("return JSON.parse(document.getElementById('content').textContent)")
    page.find_elements("css selector", "#only-class option")[8].click()
    page.find_element("id", "most-step").send_keys("0")
    members = held["models"][0]["members"]
    expected = [i for i, (kind, step) in enumerate(zip(members, held["steps"], strict=True)) if (kind, step) == (7, 0)]
    until(lambda: len(pictures(page, "#gallery")) == min(60, len(expected)))
    assert page.find_element("id", "gallery").text.startswith(f"{len(expected)} observations")
    for number in (0, 1):
        chosen = f"return Bokeh.documents[{number}].get_model_by_name('points').selected.indices"
        assert page.execute_script(chosen) == expected
    page.find_element("id", "clear").click()
    assert page.find_element("id", "gallery").text == ""


def test_a_slider_shows_moments_of_the_training(page, merged, untrained):
    """By the arrow keys the map takes the places, axes and numbers of a moment, and at last those of the end again."""

    def places():
        found = page.execute_script(
            "const data = Bokeh.documents[0].get_model_by_name('points').data; return [[...data.x], [...data.y]]"
        )
        return np.transpose(found)

    def has_moved(latents, text):
        return text in page.find_element("id", "moment-0-text").text and np.allclose(
            np.abs(places()), np.abs(pca_plane(latents).places), atol=1e-3
        )

    end = places()
    axis = "return Bokeh.documents[0].roots()[0].below[0].axis_label"
    label = page.execute_script(axis)
    page.execute_script("document.getElementById('moment-0').focus()")
    press(page, "ARROW_LEFT")
    until(lambda: has_moved(merged.latents, "After 2,000 steps: collapse index 0.100."))
    assert places() == pytest.approx(end, abs=1e-3)  # a mirror image, which is turned
    press(page, "ARROW_LEFT")
    until(lambda: has_moved(untrained.latents, "After 0 steps: collapse index 0.900."))
    assert page.execute_script(axis) != label
    assert page.switch_to.active_element.get_attribute("aria-valuetext") == "After 0 steps: collapse index 0.900."
    press(page, "END")
    until(lambda: has_moved(merged.latents, "The end"))
    assert (places() == end).all()
    assert page.execute_script(axis) == label
    assert page.find_elements("id", "moment-1") == []


def test_a_box_shows_a_gallery(page):
    """A box drawn around some points shows their pictures below the map."""
    page.execute_script("Bokeh.documents[0].roots()[0].toolbar.gestures.pan.active = null")
    page.execute_script(
        "const tools = Bokeh.documents[0].roots()[0].toolbar.tools;"
        "tools.find((tool) => tool.type === 'BoxSelectTool').active = true"
    )
    x, y = page.execute_script(PLACE, 3)
    mouse(page, "mousePressed", x - 40, y - 40)
    for way in (-20, 0, 20, 40):
        browser_move(page, x + way, y + way)
    mouse(page, "mouseReleased", x + 40, y + 40)
    until(lambda: len(pictures(page, "#gallery")) > 1)
    assert "observations" in page.find_element("id", "gallery").text


def test_an_observation_is_chosen_by_keyboard(page):
    """Without a pointer, a number chooses a point; neighbours that must be apart are marked."""
    data = page.execute_script("return JSON.parse(document.getElementById('content').textContent).models[0].apart")
    hit = next(i for i, row in enumerate(data) if any(row))
    page.execute_script("document.getElementById('observation').focus()")
    page.switch_to.active_element.send_keys(str(hit + 1))
    until(lambda: f"Observation {hit + 1}:" in page.find_element("id", "card-0").text)
    assert page.find_element("id", "card-0").text.count("must be apart") == sum(data[hit])


def test_a_click_on_a_cell_shows_both_classes(page):
    """The images of both classes are shown, and the cell says in words what it is."""
    cell = page.find_element("css selector", ".matrix .collapsed")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    until(lambda: len(pictures(page, "#members-0")) == 20)
    assert cell.get_attribute("aria-label") in page.find_element("id", "members-0").text
    assert cell.get_attribute("aria-pressed") == "true"


def test_the_matrix_by_keyboard(page):
    """One cell can be reached by Tab, the arrows go on, over the empty diagonal, and Enter shows images."""
    page.execute_script("document.querySelector('.matrix [tabindex=\"0\"]').focus()")
    assert page.switch_to.active_element.get_attribute("aria-label").startswith("0 and 1:")
    for key, label in [("ARROW_RIGHT", "0 and 2:"), ("ARROW_DOWN", "1 and 2:"), ("ARROW_LEFT", "1 and 0:")]:
        press(page, key)
        assert page.switch_to.active_element.get_attribute("aria-label").startswith(label)
    assert len(page.find_elements("css selector", ".matrix [tabindex='0']")) == 2  # one in each model's
    press(page, "ENTER")
    assert len(until(lambda: pictures(page, "#members-0"))) == 20


def test_colours_are_chosen(page):
    """The select changes the colours of every map, and the legend."""
    options = [option.text for option in page.find_elements("css selector", "#colour option")]
    assert options[0] == "class"
    last = len(options) - 1
    page.find_elements("css selector", "#colour option")[last].click()
    field = "return Bokeh.documents[arguments[0]].all_models"
    for number in (0, 1):
        models = f"{field.replace('return ', 'const models = ')}; return [...models]"
        fields = page.execute_script(models + ".filter(m => m.type === 'Scatter').map(m => m.fill_color.field)", number)
        assert set(fields) == {f"colour{last}"}
    visible = [element for element in page.find_elements("css selector", ".legend") if element.is_displayed()]
    assert [element.get_attribute("data-colour") for element in visible] == [str(last)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(page, report_file, dark):
    """360 pixels are wide enough for everything."""
    look(page, 360, dark)
    open_page(page, report_file)
    assert page.execute_script("return document.documentElement.scrollWidth") == 360
    narrow = "return document.querySelector('.map').getBoundingClientRect().width"
    assert 250 <= page.execute_script(narrow) <= 360


def luminance(colour):
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_in_both_schemes(page, dark):
    """All text contrasts by 4.5 to 1 with what lies behind it (WCAG 2, AA), and plots follow the scheme."""
    look(page, 1200, dark)
    until(lambda: page.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") == dark)
    colours = page.execute_script("""
    const found = new Set();
    for (const element of document.body.querySelectorAll("h1, h2, h3, p, a, td, th, dt, dd, li, label, select, input, \
summary, figcaption, span, button")) {
      if (!element.textContent.trim() && !element.value) continue;
      let behind = element;
      while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
      const style = getComputedStyle(behind ?? document.body);
      found.add(getComputedStyle(element).color + "/" + style.backgroundColor);
    }
    return [...found];""")
    assert len(colours) > 5
    for pair in colours:
        ink, paper = sorted(map(luminance, pair.split("/")))
        assert (paper + 0.05) / (ink + 0.05) >= 4.5, pair
    body = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) < 0.1) == dark
    fill = "return Bokeh.documents[0].roots()[0].background_fill_color"
    paper = "return getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    assert until(lambda: page.execute_script(fill) == page.execute_script(paper))
