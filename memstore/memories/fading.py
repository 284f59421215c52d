"""How the confidence of a memory fades that nobody refers to: by elapsed days, however often anybody asks.

Days count from the last change on. The first 30 are free; each whole one after them takes 3 %. Which have been taken off follows
from `decayed_at`, so asking once at the end, daily or twice a day multiplies the same numbers in the same order.
"""

from __future__ import annotations

from ..kernel import values

FREE_DAYS = 30
KEPT = 0.97  # of the confidence, each day
THRESHOLD = 0.30  # below it a memory is believed no longer


def faded(confidence: float, updated_at: float, decayed_at: float | None, now: float) -> tuple[float, float] | None:
    """Return the confidence now and up to when it was taken off, None if no day is due; it stops on the day it falls below."""
    begin = updated_at + FREE_DAYS * values.DAY
    taken = 0 if decayed_at is None or decayed_at <= begin else round((decayed_at - begin) / values.DAY)
    day = taken
    while day + 1 <= (now - begin) / values.DAY:
        day += 1
        confidence *= KEPT
        if confidence < THRESHOLD:
            break
    return None if day == taken else (confidence, begin + day * values.DAY)
