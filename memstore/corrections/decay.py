"""How confidence fades: by a class chosen from what a correction is about.

The trap: tau is the time to fall to 1/e, not to a half.
"""

from __future__ import annotations

import math
from typing import Literal

from ..kernel import Corrupt, values

DecayClass = Literal["A", "B", "C", "D"]
DECAY_CLASSES = ("A", "B", "C", "D")

#: Years in which confidence falls to 1/e; class A does not decay.
TAU = {"A": math.inf, "B": 10.0, "C": 3.0, "D": 0.5}
YEAR = 365.25 * 86_400

_CLASS_OF_SUBJECT = {
    "time_complexity": "A", "space_complexity": "A", "algorithm_correctness": "A", "mathematical_proof": "A",
    "logical_validity": "A", "security_vulnerability": "D", "cve": "D", "clinical_guideline": "D", "drug_dosage": "D",
    "ml_benchmark": "D", "api_version": "D",
}  # fmt: skip
_CLASS_OF_DOMAIN = {
    "mathematics": "A", "pure_physics": "A", "structural_engineering": "B", "software_engineering": "D", "stem_research": "D",
}  # fmt: skip


def chosen_class(subject: str, domain: str) -> str:
    """Choose a decay class: by a topic inside the subject, else by the domain, else C."""
    folded = subject.casefold()
    for topic, decay_class in _CLASS_OF_SUBJECT.items():
        if topic in folded:
            return decay_class
    return _CLASS_OF_DOMAIN.get(domain.casefold(), "C")


def effective(confidence: float, decay_class: str, confirmed_at: float, now: float) -> float:
    """Return what is left of a confidence; a time in the future counts as now."""
    try:
        age = max(0.0, now - confirmed_at) / YEAR
        return confidence * math.exp(-age / TAU[decay_class])
    except (KeyError, TypeError) as error:  # what STRICT and CHECK have seen go in, a damaged page gives back otherwise
        found = f"confidence {confidence!r}, decay class {decay_class!r}, confirmed at {confirmed_at!r}"
        raise Corrupt(f"a correction is damaged ({values.one_line(found)}); check() lists what else is") from error
