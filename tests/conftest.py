"""What all tests share: which need a lab, and that continuous integration skips none of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from labkit.errors import MachineError
from labkit.machine import choose

# `./lab test &` ignores Ctrl-C, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy computer is slow, which is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).parent.parent
NEED_A_LAB = [ROOT / "tests" / name for name in ("engine", "notebooks", "browser")]
NEED_A_LAB.append(ROOT / "notebooks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a lab; skip it where no machine can boot, and say why."""
    try:
        choose()
        skip = None
    except MachineError as error:
        skip = pytest.mark.skip(reason=str(error))
    for item in items:
        if any(item.path.is_relative_to(place) for place in NEED_A_LAB):
            item.add_marker("engine")
            if skip:
                item.add_marker(skip)


def pytest_configure(config: pytest.Config) -> None:
    """With LABKIT_NO_SKIP set a skipped test is a failed one: no run turns green by skipping."""
    if os.environ.get("LABKIT_NO_SKIP"):
        config.pluginmanager.register(NoSkip(), "labkit-no-skip")


class NoSkip:
    """A plugin, not a hook of this file, so that it holds for the notebooks' cells too."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        """Turn the report of a skip into one of a failure."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            report.outcome = "failed"
            report.longrepr = f"skipped, and LABKIT_NO_SKIP is set: {report.longrepr[2]}"
        return report
