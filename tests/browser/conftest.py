"""A JupyterLab as `./lab` starts it, and Debian's Chromium that looks at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from labkit.headless import METADATA
from labkit.machine.prerequisites import BROWSER
from tests.browser.notebook import CELLS

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
PATIENCE = 120  # seconds, for what takes two on an idle computer
# A page that is loaded again gives a widget's model two seconds. If the models come just then, the
# output says for good that there is none; a known race, whose end is to load the page once more:
# https://github.com/jupyter-widgets/ipywidgets/issues/4026
LATE = re.compile(
    r"console: Error: widget model not found\n"
    r" +at \w+\.get_model \(\S+/@jupyter-widgets/jupyterlab-manager/\S+\)\n"
    r" +at async \w+\.renderModel \(\S+/@jupyter-widgets/jupyterlab-manager/\S+\) \S+"
)
OPTIONS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> str:
    path = shutil.which(BROWSER)
    if path is None:
        pytest.skip(f"there is no {BROWSER} here; on Debian: apt-get install {BROWSER}")
    return path


@pytest.fixture(scope="module")
def jupyter(chromium: str) -> Iterator[str]:
    """The address of a JupyterLab, token included, on copies of the notebooks."""
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        place = Path(folder)  # a short name: those of sockets begin with it
        notebooks = place / "notebooks"
        shutil.copytree(ROOT / "notebooks", notebooks)
        cells = [new_code_cell(source) for source in CELLS]
        made = new_notebook(cells=cells, metadata=METADATA)
        nbformat.write(made, notebooks / "widgets.ipynb")
        shutil.copy(ROOT / "tests" / "unit" / "journeys" / "nat.json", notebooks)
        # A home of its own: the learner's settings, workspaces and kernels stay out of it.
        homes = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "run",
            "IPYTHONDIR": "ipython",
        }
        environment = os.environ | {name: str(place / home) for name, home in homes.items()}
        command = [sys.executable, "-P", "-m", "labkit", "--no-browser"]
        command.append(f"--ServerApp.root_dir={notebooks}")
        with (place / "log").open("w") as log:
            server = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield _address(server, place)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _address(server: subprocess.Popen, place: Path) -> str:
    """As soon as the server has said where it is: it does so in a file."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        for file in place.rglob("jpserver-*.json"):
            if text := file.read_text():
                found = json.loads(text)
                assert found["hostname"] == "127.0.0.1"
                return f"{found['url']}lab/tree/NOTEBOOK?reset&token={found['token']}"
        time.sleep(0.05)
    raise AssertionError(f"JupyterLab did not start: {(place / 'log').read_text()}")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


class Complaints(list[str]):
    """What the browser complains of: errors on its console, in scripts, and of requests."""

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.append(f"page: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", lambda r: r.status >= 400 and self.append(f"{r.status}: {r.url}"))

    def forgive_late_models(self) -> None:
        """Forget what a page said of models that came too late; it is loaded again."""
        self[:] = [each for each in self if not LATE.fullmatch(each)]

    def _failed(self, request: Request) -> None:
        # A page that is loaded again drops what it had asked for: nothing has failed then.
        if request.failure != "net::ERR_ABORTED":
            self.append(f"request: {request.url} {request.failure}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.append(f"console: {message.text} {message.location['url']}")
