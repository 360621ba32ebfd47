"""The rules of a lab host, in the order in which a packet meets them."""

from __future__ import annotations

from shlex import quote

from labkit.errors import UsageError
from labkit.model.causes import Cause, cause
from labkit.model.concerns import concerns
from labkit.model.nftables import NftChain
from labkit.model.rows import Row, rows
from labkit.model.rules import WAYS, Chain, Rule
from labkit.model.snapshot import Namespace, Snapshot
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, text_width, wrapped
from labkit.plot.thing import Thing
from labkit.plot.topology.things import Area, inside

EDGE, INDENT, LINE = 8, 22, 10.5
FIRST, SECOND, RULES = 56, 108, 122  # right ends of the counters' columns, left end of the rules
CAUSE = 150  # the most that a cause takes of a rule's line
HOOKS = {
    "INGRESS": "what an interface has received, before anything else",
    "PREROUTING": "packets that come in, before the routing decision",
    "INPUT": "packets that have come in for a process here",
    "FORWARD": "packets that are on their way through, after the routing decision",
    "OUTPUT": "packets that a process here sends",
    "POSTROUTING": "packets that leave, after the routing decision",
    "EGRESS": "what an interface is about to send, after everything else",
    "bridge": "frames that a bridge passes on",
    "arp": "questions and answers of ARP",
    "": "chains to which no rule leads",
}
Moment = tuple[Snapshot, Namespace]
NOTHING = Namespace(id=0, kind="container", name="")  # of a container that was not there yet


def rules_table(
    snapshot: Snapshot,
    namespace: str | None = None,
    way: str | None = None,
    before: Snapshot | None = None,
    address: str | None = None,
    port: int | None = None,
    container: str | None = None,
) -> Picture:
    """The rules of iptables, ip6tables and nft in the order in which a packet meets them.

    Hook by hook, in each hook the tables in the order of their priorities; a chain that a rule
    jumps to is drawn under that rule. Under each rule stands what it says in plain English, at its
    right the published port, network or name server that Docker wrote it for. Rows that counted a
    packet are marked.

    With ``address``, ``port`` or ``container`` only the rules are drawn that could matter to such a
    packet: those that ask for it, and those that every packet meets. Of the others each chain says
    how many there are. Of a published port this includes the rules for the container's port behind
    it; of a container's address, what is about another container or network is left out.

    Args:
        snapshot: of the host; live from ``host.snapshot()`` or loaded from a file.
        namespace: the name of a container or of one of Docker's own namespaces, to see the rules in
            it; the host's without.
        way: "in" to a process there, "through" it, or "out" from a process there; all without.
        before: an earlier snapshot of the same host: rows that counted since then are marked
            (+3), and so are rules that were added, moved, or are gone.
        address: of a packet's source or destination, before or after translation.
        port: of a packet's source or destination, before or after translation.
        container: the name of a container at one end.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Raises:
        UsageError: there is no such way, container or namespace, or the address is none.

    Example:
        >>> from labkit import Snapshot, rules_table
        >>> rules_table(Snapshot.load("tests/unit/snapshots/one.json"), way="in")
        <rules of host1 on the way in: 3 rules>
    """
    if way is not None and way not in WAYS:
        raise UsageError(f"way={way!r}: a packet's way is one of {', '.join(map(repr, WAYS))}")
    place = _find(snapshot, namespace)
    earlier = (_known(before, namespace) or NOTHING) if before else None
    wanted = concerns(snapshot, address, port, container)
    found = rows(place, way, earlier, wanted)
    kept = [f"address {address}"] * (address is not None) + [f"port {port}"] * (port is not None)
    kept += [f"container {container}"] * (container is not None)
    title = [f"rules of {place.name}", *([f"on the way {way}"] if way else [])]
    title += [f"for {' and '.join(kept)}"] if kept else []
    number = sum(r.kind == "rule" for r in found)
    picture = Picture(f"{' '.join(title)}: {number} rule" + "s" * (number != 1))
    about = "; ".join([*title[1:], *(["what changed and counted is marked"] if before else [])])
    earlier_place = (before, earlier) if before and earlier else None
    _Table(picture, (snapshot, place), earlier_place).draw(f"rules of {place.name}", about, found)
    return picture


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
    found = rows(place, tables=("nat",))
    number = sum(r.kind == "rule" for r in found)
    picture = Picture(f"NAT table of {place.name}: {number} rule" + "s" * (number != 1))
    about = "the nat table; only the first packet of a connection meets it"
    _Table(picture, (snapshot, place)).draw(place.name, about, found)
    return picture


def _known(snapshot: Snapshot, name: str | None) -> Namespace | None:
    if name is None:
        return snapshot.root
    container = snapshot.container(name)
    found = snapshot.namespace(container.namespace) if container else None
    return found or next((n for n in snapshot.namespaces if n.name == name), None)


def _find(snapshot: Snapshot, name: str | None) -> Namespace:
    if found := _known(snapshot, name):
        return found
    known = ", ".join(c.name for c in snapshot.containers) or "none"
    raise UsageError(f"there is no container {name!r} in this snapshot; there are: {known}")


class _Table:
    """The drawing on its way from top to bottom; ``y`` is how far it has come."""

    def __init__(self, picture: Picture, now: Moment, before: Moment | None = None) -> None:
        self.picture, self.now, self.before = picture, now, before
        self.snapshot, self.place = now
        self.y = 0.0
        self.starts: list[float] = []  # the tops of the chains that are open, one for each depth

    def draw(self, title: str, about: str, found: tuple[Row, ...]) -> None:
        picture = self.picture
        width = picture.write(EDGE, 14, title, style.TITLE, 300, bold=True)
        picture.write(EDGE + width + 8, 15, about, room=WIDTH - 2 * EDGE - width - 8,
                     color=style.SOFT)  # fmt: skip
        self.y = 40
        if not found:
            picture.write(EDGE, self.y, "There is no rule and no chain here.")
        else:
            names = ("since", "packets") if self.before else ("packets", "bytes")
            for right, name in zip((FIRST, SECOND), names, strict=True):
                picture.write(
                    right, self.y - 7, name, style.SMALL, color=style.SOFT, align="right"
                )  # fmt: skip
        for row in found:
            self.close(row.depth + (row.kind in ("rule", "left out")))
            if row.kind == "hook":
                self.hook(row)
            elif row.kind == "left out":
                self.left_out(row)
            elif row.chain and row.rule:
                self.rule(row, row.chain, row.rule)
            elif row.chain:
                self.chain(row, row.chain)
        self.close(0)
        picture.grow(self.y + 7 + EDGE)

    def close(self, depth: int) -> None:
        """Draw the line beside each chain that has ended."""
        while len(self.starts) > depth:
            start = self.starts.pop()
            if inner := len(self.starts):
                x = self.left(inner) - 7
                self.picture.line([(x, start), (x, self.y - 2)], style.FAINT, 2)

    def left(self, depth: int) -> float:
        return RULES + depth * INDENT

    def hook(self, row: Row) -> None:
        self.y += 7 if self.y > 40 else 0
        self.picture.band(EDGE, self.y, WIDTH - 2 * EDGE, 16, style.FLAG)
        self.y += 8
        width = self.picture.write(
            RULES, self.y, row.name or "nowhere", style.NAME, 180, bold=True, color=style.PAPER
        )
        at = RULES + width + 10
        self.picture.write(at, self.y, HOOKS[row.name], style.SMALL, color=style.PAPER)
        self.y += 8

    def chain(self, row: Row, chain: Chain) -> None:
        """A chain's heading."""
        x = self.left(row.depth)
        left = x - 8 if row.depth else EDGE
        top = self.y
        self.y += 1
        self.picture.band(left, self.y, WIDTH - EDGE - left, 15, style.FAINT)
        self.y += 7.5
        name = chain.name if row.depth else f"{_table(row, chain)} {chain.name}"
        width = self.picture.write(x, self.y, name, style.NAME, 220, bold=True)
        at: float = WIDTH - EDGE - 6
        if chain.policy:
            # nft does not count what meets a policy
            number = "" if chain.packets == row.counted == 0 else f": {_count(row.counted)}"
            policy = f"policy {chain.policy}{number}" + " since" * bool(self.before and number)
            at -= self.picture.write(at, self.y, policy, style.SMALL, align="right") + 10
        about = [row.mark] if row.mark else []
        about += [f"priority {chain.priority}"] if row.depth == 0 and chain.hook else []
        about += [] if chain.rules else ["no rule"]
        start = x + width + 10
        self.picture.write(start, self.y, ", ".join(about), style.SMALL, at - start)
        self.y += 7.5
        self.starts.append(self.y)
        self.things_chain(row, chain, (left, top, WIDTH - EDGE - left, self.y - top))

    def rule(self, row: Row, chain: Chain, rule: Rule) -> None:
        """A rule as its tool writes it, what it means, what caused it, and its counters."""
        picture, x = self.picture, self.left(row.depth)
        snapshot, place = self.before if self.before and row.mark == "gone" else self.now
        why = cause(snapshot, place, rule)
        room = WIDTH - EDGE - 6 - x
        tag = min(text_width(why.words, style.SMALL, bold=True), CAUSE) + 12 if why else 0
        comment = rule.match("comment")
        words = f"{rule.condition} → {rule.effect}" + ", drawn above" * (row.leads == "above")
        words += f" (“{comment.value}”)" if comment else ""
        ink = style.SOFT if row.mark == "gone" else style.INK
        spec = rule.spec or "(no condition, no target)"
        lines = [
            (t, style.PLAIN, True, ink) for t in wrapped(spec, style.PLAIN, room - tag - 8, True)
        ]
        lines += [(t, style.SMALL, False, style.SOFT) for t in wrapped(words, style.SMALL, room)]
        height = len(lines) * LINE + 6
        counted = row.counted > 0
        if counted:
            picture.band(EDGE, self.y + 0.5, WIDTH - 2 * EDGE, height - 1, style.MARK)
            picture.band(EDGE, self.y + 0.5, 4, height - 1, style.INK)
        elif row.mark:
            picture.band(EDGE, self.y + 0.5, 4, height - 1, style.SOFT)
        self.counters(row, rule, self.y + 3 + LINE / 2)
        for number, (text, size, mono, color) in enumerate(lines):
            y = self.y + 3 + LINE * (number + 0.5)
            width = picture.write(x, y, text, size, room, mono=mono, color=color)
            if row.mark == "gone" and mono:
                picture.line([(x, y), (x + width, y)], style.SOFT, 0.8)
        if why:
            right = WIDTH - EDGE - 6
            picture.box(right - tag, self.y + 2.5, tag, 11, face=style.HOST, line=0.6)
            picture.write(
                right - 6, self.y + 8, why.words, style.SMALL, CAUSE, bold=True, align="right"
            )  # fmt: skip
        self.things_rule(row, chain, rule, why, (EDGE, self.y, WIDTH - 2 * EDGE, height))
        self.y += height
        if row.leads == "below":
            middle = self.y + 11
            picture.line([(x + 4, self.y), (x + 4, middle), (x + 9, middle)])
            picture.arrow(x + 11, middle)
            self.y += 3

    def counters(self, row: Row, rule: Rule, y: float) -> None:
        """What the row counted, in its two columns."""
        counts = [rule.packets, rule.bytes] if rule.counts else []
        texts = [_amount(number) for number in counts] or ["-", "-"]
        if self.before:
            texts = [row.mark or (f"+{_amount(row.counted)}" if row.counted else ""), texts[0]]
        for right, text in zip((FIRST, SECOND), texts, strict=True):
            strong = row.counted > 0 or (bool(row.mark) and right == FIRST)
            self.picture.write(
                right, y, text, style.PLAIN, bold=strong,
                color=style.INK if strong else style.SOFT, align="right",
            )  # fmt: skip

    def left_out(self, row: Row) -> None:
        """How many rules are not drawn."""
        number = row.number
        text = f"{number} rule{'s' * (number != 1)} for other packets"
        self.picture.write(self.left(row.depth), self.y + 8, text, style.SMALL, color=style.SOFT)
        self.y += 16

    def things_chain(self, row: Row, chain: Chain, box: Area) -> None:
        details = [("table", _table(row, chain)), ("chain", chain.name)]
        details += [("hook", chain.hook), ("priority", str(chain.priority))] if chain.hook else []
        details += [("policy", chain.policy)] if chain.policy else []
        details += [("rules", str(len(chain.rules)))]
        details += [("since the snapshot before", row.mark)] if row.mark else []
        self.thing(box, "chain", f"{chain.table} {chain.name}", details, self.command(row, chain))

    def things_rule(self, row: Row, chain: Chain, rule: Rule, why: Cause | None, box: Area) -> None:
        details = [
            ("text", rule.spec), ("takes", rule.condition), ("and", rule.effect),
            ("counted", f"{rule.packets} packets, {rule.bytes} bytes" if rule.counts
             else "nothing: the rule has no counter"),
        ]  # fmt: skip
        if self.before:
            details += [("since the snapshot before", row.mark or f"{row.counted} packets")]
        details += [("because of", why.words), ("why", why.why)] if why else []
        name = f"{rule.table} {rule.chain} {rule.number}"
        self.thing(box, "rule", name, details, self.command(row, chain, f" {rule.number}"))

    def thing(self, box: Area, kind: str, name: str, details: list, command: str) -> None:
        self.picture.things.append(
            Thing(box, kind, name, tuple(details), (command,), self.snapshot.host)
        )

    def command(self, row: Row, chain: Chain, number: str = "") -> str:
        """What shows the row in a shell of the host."""
        tools = {"ip": "iptables", "ip6": "ip6tables"}
        if isinstance(chain, NftChain):
            command = f"nft list chain {row.family} {chain.table} {quote(chain.name)}"
        else:
            command = f"{tools[row.family]} -t {chain.table} -L {quote(chain.name)}{number} -n -v"
        return inside(self.snapshot, self.place) + command


def _table(row: Row, chain: Chain) -> str:
    """The table as its tool names it; nft says the family too."""
    if isinstance(chain, NftChain):
        return f"{row.family} {chain.table}"
    return f"{'IPv6 ' * (row.family == 'ip6')}{chain.table}"


def _count(packets: int) -> str:
    return f"{_amount(packets)} packet" + "s" * (packets != 1)


def _amount(number: int) -> str:
    """A counter, as iptables -v shortens it, but only where the column would overflow."""
    for power, unit in ((12, "T"), (9, "G"), (6, "M")):
        if number >= 10 ** (power + 2):
            return f"{number // 10**power}{unit}"
    return str(number)
