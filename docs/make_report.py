"""Make the site's live report, and the picture of its first screen: python docs/make_report.py [--picture]

The site runs it without ``--picture``, which needs Chromium and its driver.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "live"
PICTURE = ROOT / "docs" / "images" / "report_page.png"


def make() -> Path:
    """Return the page, which the demonstration has made; one that is there already is taken as it is."""
    page = OUT / "report.html"
    if not page.exists():
        subprocess.run([sys.executable, ROOT / "examples" / "demo.py", "--no-browser", "--out", OUT], check=True)
    return page


def draw(page: Path) -> None:
    """Save a picture of the first screen."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars", "force-device-scale-factor=1"):
        options.add_argument(f"--{argument}")
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1000, "height": 760, "deviceScaleFactor": 1, "mobile": False},
        )
        browser.get(page.as_uri())
        browser.save_screenshot(str(PICTURE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="draw the picture of README as well")
    page = make()
    if parser.parse_args().picture:
        draw(page)
