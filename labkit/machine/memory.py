"""How much memory this computer can still give."""

from __future__ import annotations

import os
from pathlib import Path


def available() -> int:
    """Bytes of memory that are free or can be made so (proc_meminfo(5)).

    Where the kernel does not tell: as many as there are.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next(int(li.split()[1]) << 10 for li in lines if li.startswith("MemAvailable"))
