"""The page at `/`, as its headers say and as people use it: in Chromium, on a real server."""

import io
import re
from importlib import resources

import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from catfish_server import web
from catfish_server.web import page
from tests.model_server.web.browser import browser, look

SOURCE = (resources.files(web) / "documents" / "try.html").read_text()
CHROMIUM_ACCEPTS = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
SECONDS = 30


@pytest.mark.parametrize("accepts", [None, "*/*", "application/json", "application/*", "image/png", ""])
def test_programs_get_json(client_of, accepts):
    headers = {} if accepts is None else {"Accept": accepts}
    response = client_of().get("/", headers=headers)
    assert (response.get_json(), response.headers["Vary"]) == ({"status": "ok"}, "Accept")


@pytest.mark.parametrize("accepts", [CHROMIUM_ACCEPTS, "text/html", "text/html, application/json;q=0.5"])
def test_browsers_get_the_page_and_a_policy_that_lets_nothing_else_run(client_of, accepts):
    response = client_of().get("/", headers={"Accept": accepts})
    assert response.content_type == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert page.policy(response.text) == policy, "the hashes are those of the page that is sent"


def test_the_page_brings_everything_along():
    assert re.findall(r"""(?:src|href)=["'](?!data:|openapi\.json)([^"']*)""", SOURCE) == []
    assert not re.search(r"@import|url\(|\sstyle=|\son\w+=", SOURCE)
    assert len(SOURCE) < 20_000


def luminance(colour):
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_colours_have_the_contrast_that_wcag_asks_for(scheme):
    """https://www.w3.org/TR/WCAG22/#contrast-minimum and #non-text-contrast."""
    colours = dict(re.findall(r"--([\w-]+): #(\w+);", SOURCE.split(":root {")[1 + scheme].split("}")[0]))
    texts = [("text", "page"), ("text", "card"), ("quiet", "page"), ("quiet", "card"), ("accent", "card")]
    texts += [("accent", "page"), ("accent", "tint"), ("on-accent", "accent"), ("quiet", "tint")]
    texts += [("bad", "bad-tint"), ("text", "bad-tint"), ("quiet", "bad-tint")]
    needed = dict.fromkeys(texts, 4.5) | {("field", "card"): 3.0, ("accent", "track"): 3.0}
    found = {}
    for front, back in needed:
        lighter, darker = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        found[front, back] = (lighter + 0.05) / (darker + 0.05)
    assert [pair for pair, ratio in found.items() if ratio < needed[pair]] == []


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def visit(running, driver):
    """Opens the page of a server with these settings."""

    def opened(**settings):
        server = running(**settings)
        driver.get(f"http://127.0.0.1:{server.server.port}/")
        driver.get_log("browser")
        return server

    yield opened
    driver.get("about:blank")


@pytest.fixture
def photo(tmp_path):
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "PNG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    return str(tmp_path / "photo.png")


def shown(driver, name):
    element = driver.find_element(By.ID, name)
    WebDriverWait(driver, SECONDS).until(lambda _: element.is_displayed())
    return element


def texts(driver, *names):
    return [driver.find_element(By.ID, name).text for name in names]


def test_a_chosen_image_is_answered_with_class_probability_time_and_revision(visit, driver, photo):
    visit()
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "result")
    said, time, image, revision, request = texts(driver, "class", "time", "image", "revision", "request")
    assert said in {"cat", "fish"}
    assert re.fullmatch(r"\d+ ms, as seen by this browser", time)
    assert image.startswith("photo.png (")
    assert revision == "catfish-0123456789"
    assert re.fullmatch("[0-9a-f]{32}", request)
    rows = driver.find_elements(By.CSS_SELECTOR, "#classes tr")
    assert [re.fullmatch(rf"{said}\s*\d+(\.\d)?%", row.text) is not None for row in rows] == [True]
    assert driver.execute_script("return document.getElementById('picture').naturalWidth") == 256
    assert driver.get_log("browser") == [], "the policy of the page forbids something that it does"


def test_all_classes_are_shown_where_the_model_gives_them_away(visit, driver, photo):
    visit(return_probabilities=True)
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "result")
    heads = [head.text for head in driver.find_elements(By.CSS_SELECTOR, "#classes th")]
    assert (sorted(heads), heads[0]) == (["cat", "fish"], *texts(driver, "class"))


def test_a_dropped_image_is_answered(visit, driver):
    visit()
    driver.execute_async_script(
        """
        const done = arguments[0], canvas = document.createElement("canvas");
        canvas.toBlob((blob) => {
          const data = new DataTransfer();
          data.items.add(new File([blob], "dropped.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
          done();
        });
        """
    )
    shown(driver, "result")
    assert texts(driver, "image")[0].startswith("dropped.png")


def test_an_address_is_written_and_sent_by_the_keyboard_alone_and_its_error_is_read(visit, driver):
    visit()
    ActionChains(driver).send_keys(Keys.TAB, Keys.TAB).perform()  # the file, the address
    field = driver.switch_to.active_element
    assert field.get_attribute("id") == "address"
    field.send_keys("http://127.0.0.1/cat.jpg", Keys.ENTER)
    alert = shown(driver, "error")
    assert alert.get_attribute("role") == "alert"
    assert driver.switch_to.active_element == alert
    assert texts(driver, "title", "detail") == [
        "The address of the image is refused",
        "The host is not on the public internet.",
    ]
    assert re.fullmatch(r"Status 422 · field image_url · request [0-9a-f]{32}", texts(driver, "about")[0])


@pytest.mark.parametrize("written", ["", "cat.jpg", "ftp://a.test/", "javascript:alert(1)"])
def test_what_is_no_address_is_not_sent(visit, driver, written):
    visit()
    driver.find_element(By.ID, "address").send_keys(written)
    driver.find_element(By.ID, "go").click()
    shown(driver, "error")
    assert texts(driver, "title") == ["That is not an address"]


def test_an_image_over_the_limit_is_not_sent(visit, driver, photo):
    server = visit(max_body_bytes=100)
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "error")
    assert texts(driver, "title") == ["The image is too large"]
    assert 'path="/predict"} 1.0' not in server.server._metrics.text().decode()


def test_a_file_that_is_no_image_is_explained(visit, driver, tmp_path):
    visit()
    (tmp_path / "page.html").write_text("<p>hello")
    driver.find_element(By.ID, "file").send_keys(str(tmp_path / "page.html"))
    shown(driver, "error")
    assert "415" in texts(driver, "about")[0]


def test_a_server_that_is_gone_is_explained(visit, driver, photo):
    server = visit()
    server.server.stop()
    server.thread.join()
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "error")
    assert texts(driver, "title") == ["The server does not answer"]


def test_a_class_with_markup_in_its_name_is_text(visit, driver, photo, classifier, monkeypatch):
    hostile = "<img src=x onerror=alert(1)>"
    monkeypatch.setattr(classifier, "_classes", (hostile, hostile + " "))
    visit(return_probabilities=True)
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "result")
    assert texts(driver, "class")[0].strip() == hostile
    assert driver.get_log("browser") == []


def test_without_addresses_there_is_no_field_for_them(visit, driver):
    visit(image_urls_enabled=False)
    assert not driver.find_element(By.ID, "address").is_displayed()


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_sticks_out_of_the_window_and_both_schemes_are_kept(visit, driver, photo, width, dark):
    look(driver, dark=dark, width=width)
    visit()
    driver.find_element(By.ID, "file").send_keys(photo)
    shown(driver, "result")
    root = driver.find_element(By.TAG_NAME, "html")
    assert int(root.get_property("scrollWidth")) <= width
    background = driver.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert ("244, 246, 248" in background) is not dark


def test_every_control_has_a_name_and_the_page_a_language_and_a_title(visit, driver):
    visit()
    assert driver.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    assert driver.title == "Try the model \N{EN DASH} Catfish"
    controls = driver.find_elements(By.CSS_SELECTOR, "input, button, a")
    assert [control.accessible_name != "" for control in controls] == [True] * 4
