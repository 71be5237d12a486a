"""What happens between subjects and server. The proxy does it; it is told what and for how long here."""

from __future__ import annotations

import time
from random import Random

from unstale.tools.chaos.proxy_program import Manner
from unstale.tools.chaos.world import PROXY, Fault, World


def delay(world: World, draw: Random) -> str:
    """Everything takes longer, by different times, up to beyond the patience of a subject."""
    most, seconds = draw.choice((0.005, 0.05, 0.6)), draw.uniform(0.3, 1.5)
    proxy = world.through()
    before = proxy.look().delayed
    with proxy.behaving(Manner(delay=(0.0, most))):
        time.sleep(seconds)
    return f"{proxy.look().delayed - before} pieces took up to {1000 * most:.0f} ms more, for {seconds:.1f} s"


def stragglers(world: World, draw: Random) -> str:
    """A few pieces take longer than a subject waits: what it sends again meanwhile comes first, and they come last."""
    seconds, often = draw.uniform(0.5, 1.5), draw.choice((0.03, 0.2))
    proxy = world.through()
    before = proxy.look().delayed
    with proxy.behaving(Manner(delay=(0.3, 1.0), delayed=often)):
        time.sleep(seconds)
    return f"{proxy.look().delayed - before} pieces came up to a second late, in {seconds:.1f} s"


def cut(world: World, draw: Random) -> str:
    """Requests and answers break off in the middle, and their connections with them."""
    often, seconds = draw.choice((0.005, 0.05, 0.3)), draw.uniform(0.2, 1.0)
    proxy = world.through()
    before = proxy.look().cut
    with proxy.behaving(Manner(cut=often)):
        time.sleep(seconds)
    return f"{proxy.look().cut - before} connections broke off in the middle of a request or an answer"


def reset(world: World, draw: Random) -> str:
    """Connections are reset, whatever is on its way in them."""
    proxy = world.through()
    before = proxy.look().reset
    return f"{proxy.reset(draw.choice((0.3, 1.0))) - before} connections were reset"


def black_hole(world: World, draw: Random) -> str:
    """Nothing arrives any more. What was sent meanwhile arrives afterwards, as TCP has it, or never."""
    seconds, is_lost = draw.uniform(0.2, 2.0), draw.random() < 0.5  # noqa: PLR2004 - a coin
    proxy = world.through()
    with proxy.behaving(Manner(hold=True)):
        time.sleep(seconds)
        if is_lost:
            proxy.reset()
    return f"nothing arrived for {seconds:.1f} s, {'nor ever' if is_lost else 'then all of it'}"


def refuse(world: World, draw: Random) -> str:
    """All connections are reset, and new ones as well."""
    seconds = draw.uniform(0.2, 1.0)
    proxy = world.through()
    with proxy.behaving(Manner(refuse=True)):
        proxy.reset()
        time.sleep(seconds)
    return f"connections were refused for {seconds:.1f} s"


FAULTS = (
    Fault("delay", "The network is slow, unevenly.", delay, PROXY),
    Fault("stragglers", "A few packets come very late, after what was sent in their place.", stragglers, PROXY),
    Fault("cut", "Connections break off in the middle of a request or an answer.", cut, PROXY),
    Fault("reset", "Connections are reset.", reset, PROXY),
    Fault("black-hole", "The network swallows everything, and may bring it late.", black_hole, PROXY),
    Fault("refuse", "The server refuses connections.", refuse, PROXY),
)
