"""JupyterLab in a real browser: every widget is looked at, clicked through, and reloaded.

The tests of this module are one visit, in order: a notebook with each widget, then the first
lesson. What the page looked like at the end of each is in build/screenshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE, SCREENSHOTS, Complaints

expect.set_options(timeout=PATIENCE * 1000)
HEADING = {"x": 120, "y": 10}  # in a box on the map, where nothing smaller lies over it
RUNS = re.compile(r"\[(\*|\d+)\]:")  # a cell's prompt, when it runs or has run
EXPLORER, ONE, MANY, FREE, EXERCISE, JOURNEY, RUN, STOP = range(1, 9)  # the cells of notebook.py


@pytest.fixture(scope="module")
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture(scope="module")
def tab(browser: Browser, complaints: Complaints) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    complaints.listen(page)
    yield page
    page.close()


@pytest.fixture(scope="module")
def page(tab: Page, jupyter: str) -> Page:
    """The notebook of widgets, with the cells run that show them."""
    tab.goto(jupyter.replace("NOTEBOOK", "widgets.ipynb"))
    expect(idle(tab)).to_be_visible()
    for number in range(RUN):
        run(tab, number)
    expect(output(tab, 0)).to_contain_text("ready")
    return tab


@pytest.fixture(autouse=True)
def photograph(request: pytest.FixtureRequest, tab: Page) -> Iterator[None]:
    """Keep what the page looks like at the end of a test, of one that fails too."""
    yield
    photograph_now(tab, request.node.name.removeprefix("test_"))


def photograph_now(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def cell(page: Page, number: int) -> Locator:
    return page.locator(".jp-CodeCell").nth(number)


def output(page: Page, number: int) -> Locator:
    return cell(page, number).locator(".jp-OutputArea").first


def run(page: Page, number: int) -> None:
    """Run a cell as a learner does: click into it, Control and Enter."""
    text = cell(page, number).locator(".cm-content")
    text.click()
    expect(text).to_be_focused()
    text.press("Control+Enter")
    expect(cell(page, number).locator(".jp-InputPrompt")).to_have_text(RUNS)
    page.keyboard.press("Escape")


def idle(page: Page) -> Locator:
    """In the status bar, as soon as the kernel can be asked to run something."""
    return page.get_by_role("button", name="| Idle")


def menu(page: Page, name: str, item: str) -> None:
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def the_map(page: Page) -> Locator:
    return output(page, EXPLORER).get_by_role("img", name="map of")


def status(page: Page) -> Locator:
    return output(page, EXPLORER).get_by_role("status")


def thing(page: Page, label: str) -> Locator:
    return output(page, EXPLORER).get_by_role("button", name=label, exact=True)


def details(page: Page) -> Locator:
    """Of what is picked on the map."""
    return output(page, EXPLORER).locator(".labkit-picture .details").first


def live(page: Page) -> Locator:
    return output(page, EXPLORER).get_by_role("button", name="Live")


def test_the_explorer_shows_the_map_and_under_it_a_table(page: Page):
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 1 container, 1 bridge")
    expect(status(page)).to_have_text("host1 as it is now")
    summary = output(page, EXPLORER).get_by_text("As a table, when this cell ran")
    summary.click()
    expect(output(page, EXPLORER).get_by_role("table")).to_be_visible()
    summary.click()


def test_a_thing_on_the_map_is_picked_with_the_mouse(page: Page):
    web = thing(page, "container web")
    web.click(position=HEADING)
    expect(web).to_have_attribute("aria-pressed", "true")
    expect(details(page)).to_contain_text("nginx")
    expect(details(page).locator("pre")).to_contain_text("docker inspect")
    web.click(position=HEADING)
    expect(details(page)).to_be_hidden()
    web.click(position=HEADING)
    details(page).get_by_role("button", name="Close").click()
    expect(details(page)).to_be_hidden()
    expect(web).to_be_focused()


def test_a_thing_on_the_map_is_picked_with_the_keyboard(page: Page):
    output(page, EXPLORER).get_by_role("tab", name="Map").click()
    eth0 = thing(page, "interface eth0 of web")
    for _ in range(40):
        page.keyboard.press("Tab")
        if eth0.evaluate("element => element === document.activeElement"):
            break
    expect(eth0).to_be_focused()
    page.keyboard.press("Enter")
    expect(eth0).to_have_attribute("aria-pressed", "true")
    expect(details(page)).to_contain_text("172.17.0.2/16")
    expect(page.get_by_text("Mode: Command")).to_be_visible()  # Enter was not the notebook's
    photograph_now(page, "a_thing_with_the_keyboards_focus")
    page.keyboard.press("Escape")
    expect(details(page)).to_be_hidden()
    expect(eth0).to_be_focused()


def test_a_tab_is_drawn_when_it_is_opened(page: Page):
    tabs = output(page, EXPLORER).get_by_role("tab")
    for name, shows in (("NAT table", "NAT table of host1"), ("Map", "map of host1")):
        tabs.filter(has_text=name).click()
        expect(output(page, EXPLORER).get_by_role("img", name=shows)).to_be_visible()


def test_the_rules_are_filtered(page: Page):
    place = output(page, EXPLORER)
    place.get_by_role("tab", name="Rules").click()
    picture = place.get_by_role("img", name="rules of host1")
    expect(picture).to_be_visible()
    port = place.get_by_label("Port:")
    port.fill("http")
    port.press("Enter")
    expect(place.get_by_role("alert")).to_contain_text("is no port")
    expect(picture).to_be_hidden()
    port.fill("8080")
    port.press("Enter")
    expect(place.get_by_role("img", name="rules of host1 for port 8080")).to_be_visible()
    photograph_now(page, "the_rules_for_a_port")
    place.get_by_role("tab", name="Map").click()


def test_another_host_can_be_chosen(page: Page):
    choice = output(page, EXPLORER).get_by_label("Lab host:")
    choice.select_option("host2")
    expect(the_map(page)).to_have_attribute("alt", "map of host2: 0 containers, 1 bridge")
    choice.select_option("all hosts")
    expect(thing(page, "lab host host2 on host2")).to_be_visible()
    photograph_now(page, "all_hosts")
    choice.select_option("host1")
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 1 container, 1 bridge")


def test_live_mode_draws_a_new_container_without_a_click(page: Page):
    live(page).click()
    expect(live(page)).to_have_class(re.compile("mod-active"))
    expect(status(page)).to_have_text("host1, live")
    web = thing(page, "container web")
    web.click(position=HEADING)
    run(page, RUN)
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 2 containers, 1 bridge")
    expect(thing(page, "container first")).to_have_attribute("aria-pressed", "false")
    expect(web).to_have_attribute("aria-pressed", "true")  # still
    expect(details(page)).to_contain_text("container web")
    live(page).click()
    expect(live(page)).not_to_have_class(re.compile("mod-active"))


def test_refresh_reads_the_network_again(page: Page):
    output(page, EXPLORER).get_by_role("button", name="Refresh").click()
    expect(status(page)).to_have_text("host1 as it is now")


def test_a_prediction_is_committed_once(page: Page):
    place = output(page, ONE)
    place.get_by_role("button", name="Commit").click()
    expect(place).to_contain_text("choose one")
    place.get_by_role("radio", name="3").check()
    place.get_by_role("button", name="Commit").click()
    expect(place).to_contain_text("committed: 3")
    expect(place.get_by_role("button", name="Commit")).to_be_disabled()


def test_several_choices_can_be_right_together(page: Page):
    place = output(page, MANY)
    place.get_by_label("bridge", exact=True).check()
    place.get_by_role("button", name="Commit").click()
    expect(place).to_contain_text("committed: bridge")


def test_an_exercise_hints_and_checks_the_lab(page: Page):
    place = output(page, EXERCISE)
    place.get_by_role("button", name="Hint").click()
    expect(place).to_contain_text("(1 of")
    place.get_by_role("button", name="Solution").click()
    expect(place).to_contain_text("one way, on host1:")
    place.get_by_role("button", name="Check").click()
    expect(place).to_contain_text("correct")


def test_after_a_reload_of_the_page_the_widgets_live_on(page: Page):
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    page.reload()
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 2 containers, 1 bridge")
    expect(output(page, ONE)).to_contain_text("committed: 3")
    expect(details(page)).to_contain_text("container web")  # picked before
    choice = output(page, EXPLORER).get_by_label("Lab host:")
    choice.select_option("host2")
    expect(the_map(page)).to_have_attribute("alt", "map of host2: 0 containers, 1 bridge")
    choice.select_option("host1")
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 2 containers, 1 bridge")


def test_live_mode_ends_with_the_lab(page: Page):
    live(page).click()
    expect(status(page)).to_have_text("host1, live")
    run(page, STOP)
    alert = output(page, EXPLORER).get_by_role("alert")
    expect(alert).to_contain_text("live mode has ended: the lab is stopped")
    expect(live(page)).not_to_have_class(re.compile("mod-active"))


def test_the_first_lesson_runs_from_top_to_bottom(tab: Page, jupyter: str):
    tab.goto(jupyter.replace("NOTEBOOK", "00-start-here.ipynb"))
    expect(idle(tab)).to_be_visible()
    image = tab.get_by_role("img").first
    expect(image).to_be_visible()  # stored with the notebook, as is all the rest
    expect(tab.get_by_text("Error displaying widget")).to_have_count(0)
    photograph_now(tab, "the_first_lesson_before_it_runs")
    menu(tab, "Edit", "Clear Outputs of All Cells")
    expect(tab.get_by_text("<Lab: stopped>")).to_have_count(0)
    menu(tab, "Run", "Run All Cells")
    expect(tab.get_by_text("<Lab: stopped>")).to_be_visible()
    expect(tab.locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)
    image = tab.get_by_role("img", name="map of host1: 1 container, 1 bridge")
    image.scroll_into_view_if_needed()


def test_nobody_complained(complaints: Complaints):
    assert complaints == []
