"""JupyterLab in a real browser: every widget is looked at, clicked through, and reloaded.

The tests of this module are one visit, in order: a notebook with each widget, then the first
lesson. What the page looked like at the end of each is in build/screenshots.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE, SCREENSHOTS, Complaints

expect.set_options(timeout=PATIENCE * 1000)
HEADING = {"x": 120, "y": 10}  # in a box on the map, where nothing smaller lies over it
RUNS = re.compile(r"\[(\*|\d+)\]:")  # a cell's prompt, when it runs or has run
RAN = re.compile(r"\[\d+\]:")  # when it has
EXPLORER, ONE, MANY, FREE, EXERCISE, JOURNEY, RUN, GRADE, WRONG, STOP = range(
    1, 11
)  # of notebook.py


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


def reload(page: Page, complaints: Complaints) -> None:
    """Load the page again, and once more if the widgets' models came too late for some output."""
    for _ in range(5):
        page.reload()
        expect(idle(page)).to_be_visible()
        for number in range(EXPLORER, RUN):
            expect(output(page, number).locator(".jupyter-widgets").first).to_be_visible()
        if not page.get_by_text("Error displaying widget: model not found").count():
            return
        complaints.forgive_late_models()
    pytest.fail("five times the widgets' models came too late")


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


def step(page: Page) -> Locator:
    """The slider's handle."""
    return output(page, JOURNEY).get_by_role("slider")


def chooser(page: Page) -> Locator:
    return output(page, JOURNEY).get_by_label("Packet:")


def badges(page: Page) -> Locator:
    """The numbers along the way on a journey's map."""
    return output(page, JOURNEY).locator(".labkit-picture svg text")


def tab_to(place: Locator) -> None:
    """Reach it as who has no mouse does."""
    for _ in range(40):
        place.page.keyboard.press("Tab")
        if place.evaluate("element => element === document.activeElement"):
            break
    expect(place).to_be_focused()


def open_tab(place: Locator, name: str) -> bool:
    """Click on a tab; again where the page moved under the mouse, as pictures above it came.

    Whether it opened: now and then the tabs of a page that was loaded again hear no click.
    """
    tab = place.get_by_role("tab", name=name)
    for _ in range(3):
        tab.click()
        with contextlib.suppress(AssertionError):
            expect(tab).to_have_attribute("aria-selected", "true", timeout=PATIENCE * 100)
            return True
    return False


def live(page: Page) -> Locator:
    return output(page, EXPLORER).get_by_role("button", name="Live")


def test_the_explorer_shows_the_map_and_under_it_a_table(page: Page):
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 1 container, 1 bridge")
    expect(status(page)).to_have_text("host1 as of the last refresh")
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
    assert open_tab(output(page, EXPLORER), "Map")
    eth0 = thing(page, "interface eth0 of web")
    tab_to(eth0)
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
    assert open_tab(place, "Rules")
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
    assert open_tab(place, "Map")


def test_another_host_can_be_chosen(page: Page):
    choice = output(page, EXPLORER).get_by_label("Lab host:")
    choice.select_option("host2")
    expect(the_map(page)).to_have_attribute("alt", "map of host2: 0 containers, 1 bridge")
    choice.select_option("all hosts")
    expect(thing(page, "lab host host2 on host2")).to_be_visible()
    expect(status(page)).to_have_text("all hosts as of the last refresh")
    photograph_now(page, "all_hosts")
    choice.select_option("host1")
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 1 container, 1 bridge")


def test_an_exercise_tells_what_is_missing(page: Page):
    place = output(page, EXERCISE)
    place.get_by_role("button", name="Check").press("Enter")
    missing = "still missing: there is no container named first"
    expect(place.get_by_role("status")).to_contain_text(missing)


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
    expect(status(page)).to_have_text("host1 as of the last refresh")


def test_a_prediction_is_committed_once(page: Page):
    place = output(page, ONE)
    place.get_by_role("button", name="Commit").click()
    expect(place.get_by_role("alert")).to_contain_text("choose one")
    place.get_by_role("radio", name="3").check()
    place.get_by_role("button", name="Commit").click()
    expect(place.get_by_role("status")).to_contain_text("committed: 3")
    expect(place.get_by_role("button", name="Commit")).to_be_disabled()


def test_several_choices_are_ticked_with_the_keyboard(page: Page):
    place = output(page, MANY)
    radio = place.get_by_role("radio", name="bridge")
    radio.press("Space")
    expect(radio).to_be_checked()
    tab_to(place.get_by_role("button", name="Commit"))
    page.keyboard.press("Enter")
    expect(place.get_by_role("status")).to_contain_text("committed: bridge")
    expect(page.get_by_text("Mode: Command")).to_be_visible()  # Enter was not the notebook's


def test_an_answer_in_own_words_is_written_with_the_keyboard(page: Page):
    place = output(page, FREE)
    answer = place.get_by_label("Prediction:")
    answer.press_sequentially("172.17.0.9")
    tab_to(place.get_by_role("button", name="Commit"))
    page.keyboard.press("Space")
    expect(place.get_by_role("status")).to_contain_text("committed: 172.17.0.9")
    expect(answer).to_be_disabled()


def test_the_lab_answers_a_prediction(page: Page):
    run(page, GRADE)
    expect(output(page, GRADE)).to_contain_text("correct: as you predicted: 3")
    surprise = "surprise: you predicted 172.17.0.9; the lab shows: 172.17.0.2."
    expect(output(page, GRADE)).to_contain_text(surprise)


def test_an_exercise_hints_and_checks_the_lab(page: Page):
    place = output(page, EXERCISE)
    said = place.get_by_role("status")
    place.get_by_role("button", name="Hint").click()
    expect(said).to_contain_text("(1 of")
    place.get_by_role("button", name="Solution").click()
    expect(said).to_contain_text("one way, on host1:")
    place.get_by_role("button", name="Check").click()
    expect(said).to_contain_text("correct: first runs nginx")


def test_an_exercise_tells_what_is_wrong(page: Page):
    run(page, WRONG)
    expect(cell(page, WRONG).locator(".jp-InputPrompt")).to_have_text(RAN)
    place = output(page, EXERCISE)
    place.get_by_role("button", name="Check").click()
    expect(place.get_by_role("status")).to_contain_text("but on the network bridge")


def test_a_journey_is_stepped_through_with_its_buttons(page: Page):
    place = output(page, JOURNEY)
    expect(place.get_by_role("img", name="map of")).to_be_visible()
    expect(step(page)).to_have_attribute("aria-valuetext", "1")
    expect(badges(page)).to_have_text(["1"])
    expect(place.get_by_role("button", name="Previous")).to_be_disabled()
    place.get_by_role("button", name="Next").click()
    expect(step(page)).to_have_attribute("aria-valuetext", "2")
    expect(badges(page)).to_have_text(["1", "2"])
    place.get_by_role("button", name="Next").click()
    expect(step(page)).to_have_attribute("aria-valuetext", "3")
    photograph_now(page, "a_journey_on_the_map")
    place.get_by_role("button", name="Previous").press("Enter")
    expect(step(page)).to_have_attribute("aria-valuetext", "2")


def test_a_journey_is_stepped_through_with_the_sliders_keys(page: Page):
    step(page).focus()
    told = output(page, JOURNEY).get_by_role("status")
    for key, number in (("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowUp", 3), ("End", 15)):
        page.keyboard.press(key)
        expect(step(page)).to_have_attribute("aria-valuetext", str(number))
        expect(step(page)).to_be_focused()
    expect(badges(page).last).to_have_text("14-15")
    expect(told).to_contain_text("On router, this shows it:")


def test_another_packet_of_a_journey_is_chosen(page: Page):
    chooser(page).select_option("5 request: TCP SYN")
    expect(step(page)).to_have_attribute("aria-valuetext", "1")
    expect(step(page)).to_have_attribute("aria-valuemax", "17.0")
    for number in range(2, 18):  # further than the packet before went
        step(page).press("ArrowRight")
        expect(step(page)).to_have_attribute("aria-valuetext", str(number))
    expect(badges(page).last).to_have_text("17")


def test_a_step_of_a_journey_is_picked_on_its_picture(page: Page):
    place = output(page, JOURNEY)
    assert open_tab(place, "Steps")
    expect(place.get_by_role("img", name="way of packet 5, TCP SYN")).to_be_visible()
    first, second = (place.get_by_role("button", name=f"step {n}", exact=True) for n in (1, 2))
    second.click()
    expect(step(page)).to_have_attribute("aria-valuetext", "2")
    expect(second).to_have_attribute("aria-pressed", "true")
    first.press("Enter")
    expect(step(page)).to_have_attribute("aria-valuetext", "1")
    expect(second).to_have_attribute("aria-pressed", "false")
    expect(first).to_be_focused()
    expect(place.get_by_role("region", name="details")).to_have_count(0)  # they are above


def test_a_packet_of_a_journey_is_picked_on_its_ladder(page: Page):
    place = output(page, JOURNEY)
    assert open_tab(place, "Conversation")
    packet = place.get_by_role("button", name="packet 3", exact=True)
    packet.click()
    expect(chooser(page)).to_have_value("3 request: DNS AAAA? outside")
    expect(packet).to_have_attribute("aria-pressed", "true")
    expect(place.get_by_role("region", name="details")).to_have_count(0)


def test_after_a_reload_of_the_page_the_widgets_live_on(page: Page, complaints: Complaints):
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    reload(page, complaints)
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 2 containers, 1 bridge")
    expect(output(page, ONE)).to_contain_text("committed: 3")
    expect(details(page)).to_contain_text("container web")  # picked before
    choice = output(page, EXPLORER).get_by_label("Lab host:")
    choice.select_option("host2")
    expect(the_map(page)).to_have_attribute("alt", "map of host2: 0 containers, 1 bridge")
    choice.select_option("host1")
    expect(the_map(page)).to_have_attribute("alt", "map of host1: 2 containers, 1 bridge")


def test_after_a_reload_of_the_page_a_journey_goes_on(page: Page, complaints: Complaints):
    place = output(page, JOURNEY)
    expect(chooser(page)).to_have_value("3 request: DNS AAAA? outside")
    expect(place.get_by_role("button", name="packet 3", exact=True)).to_be_visible()
    place.get_by_role("button", name="Next").click()
    expect(step(page)).to_have_attribute("aria-valuetext", "2")
    if not open_tab(place, "Map"):  # what a learner does then
        reload(page, complaints)
        assert open_tab(place, "Map")
    expect(badges(page)).to_have_text(["1", "2"])


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
