"""Rows as the engine prepares them, for tests of what comes after."""

from megatts3.engine.preparation import Order, Preparation
from megatts3.engine.scheduler import Row, Ticket
from megatts3.engine.voice_states import VoiceStates


def prepare(networks, frontend, asked, *, together=1):
    """`asked`: pairs of (text of one segment, params), with a voice each → rows, in that order."""
    orders = []
    for n, (text, voice, params) in enumerate(asked):
        (segment,) = frontend.segments(text)
        orders.append(Order(Ticket(f"r{n}", 0, params.steps, 0.0), segment, 0, 1, voice, params))
    preparation = Preparation(networks, VoiceStates(networks, max_bytes=2**20), orders, together=together)
    found = {}
    while not preparation.is_done:
        found.update(preparation.advance())
    return [Row(order.ticket, found[order].latent_frames, found[order]) for order in orders]
