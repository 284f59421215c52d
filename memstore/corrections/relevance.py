"""How much a correction concerns a text."""

from __future__ import annotations


def score(subject_hits: int, subject_words: int, hits: int, asked_words: int, same_domain: bool) -> float:
    """Rate an overlap between 0 and 1.

    0.6 x the share of the subject that the text names + 0.3 x the share of the text that the correction speaks of
    + 0.1 for the same domain. The first share lets a long text find a short subject, the second a short text a long one.
    """
    of_subject = subject_hits / subject_words if subject_words else 0.0
    return round(0.6 * of_subject + 0.3 * hits / asked_words + 0.1 * same_domain, 6)
