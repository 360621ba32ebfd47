"""The NAT table of a lab host: its chains in the order in which a packet meets them."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.model.rules import Chain, Rule
from labkit.model.snapshot import Namespace, Snapshot
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, wrapped

EDGE, INDENT, LINE = 8, 22, 10.5
PACKETS, BYTES, RULES = 56, 108, 122  # right ends of the counters' columns, left end of the rules
HOOKS = {
    "PREROUTING": "packets that come in, before the routing decision",
    "INPUT": "packets that have come in for a process here",
    "OUTPUT": "packets that a process here sends",
    "POSTROUTING": "packets that leave, after the routing decision",
}


def nat_table(snapshot: Snapshot, namespace: str | None = None) -> Picture:
    """The NAT rules in the order in which a packet meets them, with their counters.

    A chain that a rule jumps to is drawn under that rule. Rows that counted a packet are marked.

    Args:
        snapshot: of the host; live from ``host.snapshot()`` or loaded from a file.
        namespace: the name of a container, to see the rules in its namespace; the host's without.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Example:
        >>> from labkit import Snapshot, nat_table
        >>> nat_table(Snapshot.load("tests/unit/snapshots/one.json"))
        <NAT table of host1: 6 rules>
    """
    place = _find(snapshot, namespace)
    chains = {c.name: c for c in place.chains if c.table == "nat"}
    rules = sum(len(c.rules) for c in chains.values())
    picture = Picture(f"NAT table of {place.name}: {rules} rule" + "s" * (rules != 1))
    _Table(picture, place, chains).draw()
    return picture


def _find(snapshot: Snapshot, name: str | None) -> Namespace:
    if name is None:
        return snapshot.root
    container = snapshot.container(name)
    found = snapshot.namespace(container.namespace) if container and container.namespace else None
    if not found:
        known = ", ".join(c.name for c in snapshot.containers) or "none"
        raise UsageError(f"there is no container {name!r} in this snapshot; there are: {known}")
    return found


class _Table:
    """The drawing on its way from top to bottom; ``y`` is how far it has come."""

    def __init__(self, picture: Picture, place: Namespace, chains: dict[str, Chain]) -> None:
        self.picture, self.place, self.chains = picture, place, chains
        self.left = dict(chains)  # the chains that are still to be drawn
        self.y = 0.0

    def draw(self) -> None:
        picture = self.picture
        width = picture.text(EDGE, 14, self.place.name, style.TITLE, 200, bold=True)
        about = "the nat table; only the first packet of a connection meets it"
        picture.text(EDGE + width + 8, 15, about, color=style.SOFT)
        self.y = 40
        if not self.chains:
            picture.text(EDGE, self.y, "There is no rule and no chain here.")
        else:
            picture.text(
                PACKETS, self.y - 7, "packets", style.SMALL, color=style.SOFT, align="right"
            )
            picture.text(BYTES, self.y - 7, "bytes", style.SMALL, color=style.SOFT, align="right")
        for name in (*HOOKS, *self.chains):
            if name in self.left:
                self.chain(self.left.pop(name), 0)
                self.y += 7
        picture.grow(self.y + EDGE)

    def chain(self, chain: Chain, depth: int) -> None:
        """A chain's heading and its rules, and under each rule the chain that it leads to."""
        x = RULES + depth * INDENT
        face, ink = (style.FLAG, style.PAPER) if depth == 0 else (style.FAINT, style.INK)
        left = x - 8 if depth else EDGE
        self.picture.band(left, self.y, WIDTH - EDGE - left, 16, face)
        self.y += 8
        width = self.picture.text(x, self.y, chain.name, style.NAME, 180, bold=True, color=ink)
        about = HOOKS.get(chain.name, "" if depth else "no rule leads here")
        self.picture.text(x + width + 10, self.y, about, style.SMALL, color=ink)
        if chain.policy:
            policy = f"policy {chain.policy}: {_count(chain.packets)}"
            at = WIDTH - EDGE - 6
            self.picture.text(at, self.y, policy, style.SMALL, color=ink, align="right")
        self.y += 8
        start = self.y
        if not chain.rules:
            self.picture.text(x, self.y + 9, "no rule", style.SMALL, color=style.SOFT)
            self.y += 16
        for rule in chain.rules:
            self.rule(rule, x)
            if rule.target in self.left:
                middle = self.y + 11
                self.picture.line([(x + 4, self.y), (x + 4, middle), (x + 9, middle)])
                self.picture.arrow(x + 11, middle)
                self.y += 3
                self.chain(self.left.pop(rule.target), depth + 1)
        if depth:
            self.picture.line([(x - 7, start), (x - 7, self.y - 2)], style.FAINT, 2)

    def rule(self, rule: Rule, x: float) -> None:
        """A rule as iptables writes it, what it means, and its counters."""
        picture, room = self.picture, WIDTH - EDGE - 6 - x
        drawn = rule.target in self.chains and rule.target not in self.left
        words = f"{rule.condition} → {rule.effect}" + ", drawn above" * drawn
        lines = [
            (t, style.PLAIN, True, style.INK) for t in wrapped(rule.spec, style.PLAIN, room, True)
        ]
        lines += [(t, style.SMALL, False, style.SOFT) for t in wrapped(words, style.SMALL, room)]
        height = len(lines) * LINE + 6
        counted = rule.packets > 0
        if counted:
            picture.band(EDGE, self.y + 0.5, WIDTH - 2 * EDGE, height - 1, style.MARK)
            picture.band(EDGE, self.y + 0.5, 4, height - 1, style.INK)
        for right, number in ((PACKETS, rule.packets), (BYTES, rule.bytes)):
            picture.text(
                right, self.y + 3 + LINE / 2, _amount(number), style.PLAIN, bold=counted,
                color=style.INK if counted else style.SOFT, align="right",
            )  # fmt: skip
        for number, (text, size, mono, color) in enumerate(lines):
            y = self.y + 3 + LINE * (number + 0.5)
            picture.text(x, y, text, size, room, mono=mono, color=color)
        self.y += height


def _count(packets: int) -> str:
    return f"{_amount(packets)} packet" + "s" * (packets != 1)


def _amount(number: int) -> str:
    """A counter, as iptables -v shortens it, but only where the column would overflow."""
    for power, unit in ((12, "T"), (9, "G"), (6, "M")):
        if number >= 10 ** (power + 2):
            return f"{number // 10**power}{unit}"
    return str(number)
