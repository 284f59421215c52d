"""The evals room in plain Python: runs, assertions and promotions are lists in order of arrival."""

from __future__ import annotations

from memstore import Exists, Invalid, NotFound

from .harness import (
    FLAGS,
    LIMITS,
    NO_DICT,
    NO_FLAG,
    NO_KEY,
    NO_LABEL,
    NO_LIMIT,
    NO_MOMENT,
    NO_NUMBER,
    NO_TEXT,
    Model,
    cut,
    moments,
    one_of,
    refuse_unless,
)  # fmt: skip

SPECIALISTS = one_of("coder", "writer", "judge", "")
MODELS = one_of("m-1", "m-2", "m-3")


class Evals(Model):
    """Which model is good, and which one is active."""

    room = "evals"
    reads = frozenset({"runs", "assertions", "promotions", "active_model", "reliability"})
    beyond = frozenset({"check"})
    often = {"record_run": 3, "promote": 2, "rollback": 2}

    def __init__(self):
        super().__init__()
        self.ran = []
        self.asserted = []
        self.promoted = []

    def _add(self, rows, id, created_at, **columns):
        refuse_unless(id not in [row["id"] for row in rows], Exists)
        id = self.new_id([row["id"] for row in rows]) if id is None else id
        row = {"id": id, "created_at": self.now if created_at is None else created_at, **columns}
        rows.append(row)
        return dict(row)

    def record_run(
        self, conversation_id, specialist, *, query_id=None, round="answer", utility_score=None, confidence_score=None,
        vcg_welfare_score=None, vcg_winner=False, corrections_applied=(), latency_ms=None, domain=None, domain_l0=None,
        domain_path=None, id=None, created_at=None,
    ):  # fmt: skip
        return self._add(
            self.ran, id, created_at, query_id=query_id, conversation_id=conversation_id, specialist=specialist, round=round,
            utility_score=utility_score, confidence_score=confidence_score, vcg_welfare_score=vcg_welfare_score,
            vcg_winner=vcg_winner, corrections_applied=list(corrections_applied), latency_ms=latency_ms, domain=domain,
            domain_l0=domain_l0, domain_path=domain_path,
        )  # fmt: skip

    def record_assertion(
        self, assertion_name, level, passed, *, session_id=None, bonus_applied=0.0, retries_used=0, latency_ms=None, domain=None,
        policy_name=None, id=None, created_at=None,
    ):  # fmt: skip
        return self._add(
            self.asserted, id, created_at, session_id=session_id, assertion_name=assertion_name, level=level, passed=passed,
            bonus_applied=bonus_applied, retries_used=retries_used, latency_ms=latency_ms, domain=domain, policy_name=policy_name,
        )  # fmt: skip

    def promote(self, specialist, from_model, to_model, *, metadata=None, id=None, created_at=None, actor="", note=""):
        row = self._promotion(specialist, "promote", from_model, to_model, reason=note, metadata=metadata, id=id, created_at=created_at)
        self.log("promotion.promote", row["id"], actor, note)
        return row

    def rollback(self, specialist, *, reason="", metadata=None, actor=""):
        standing = [row for row in self.promoted if row["specialist"] == specialist and row["event"] == "promote" and not row["reverted"]]
        refuse_unless(standing, NotFound)
        undone = standing[-1]
        undone.update(reverted=True, reverted_at=self.now)
        row = self._promotion(
            specialist, "rollback", undone["to_model"], undone["from_model"], reverts=undone["id"], reason=reason, metadata=metadata
        )
        self.log("promotion.rollback", row["id"], actor, reason)
        return row

    def record_promotion(
        self, specialist, event, from_model, to_model, *, reverted=False, reverted_at=None, reverts=None, reason="", metadata=None,
        id=None, created_at=None,
    ):  # fmt: skip
        refuse_unless(reverted or reverted_at is None, Invalid)
        refuse_unless(event == "rollback" or reverts is None, Invalid)
        born = self.now if created_at is None else created_at
        if reverted and reverted_at is None:
            reverted_at = born
        undone = [row for row in self.promoted if row["id"] == reverts and row["event"] == "promote"]
        if reverts is not None:
            refuse_unless(reverts not in [row["reverts"] for row in self.promoted], Exists)
            refuse_unless(undone, NotFound)
        row = self._promotion(
            specialist, event, from_model, to_model, reverted=reverted, reverted_at=reverted_at, reverts=reverts, reason=reason,
            metadata=metadata, id=id, created_at=born,
        )  # fmt: skip
        for marked in undone:
            if not marked["reverted"] or marked["reverted_at"] == marked["created_at"]:
                marked["reverted_at"] = born
            marked["reverted"] = True
        return row

    def _promotion(
        self, specialist, event, from_model, to_model, *, reason, metadata, reverts=None, reverted=False, reverted_at=None, id=None,
        created_at=None,
    ):  # fmt: skip
        return self._add(
            self.promoted, id, created_at, specialist=specialist, event=event, from_model=from_model, to_model=to_model,
            reverted=reverted, reverted_at=reverted_at, reverts=reverts, reason=reason, metadata=metadata,
        )  # fmt: skip

    # -- reads --------------------------------------------------------------------------------------------------------

    def runs(self, *, conversation_id=None, specialist=None, query_id=None, limit=None):
        return cut(_newest(_matching(self.ran, conversation_id=conversation_id, specialist=specialist, query_id=query_id)), limit)

    def assertions(
        self, *, session_id=None, assertion_name=None, level=None, passed=None, domain=None, policy_name=None, limit=None
    ):
        found = _matching(
            self.asserted, session_id=session_id, assertion_name=assertion_name, level=level, passed=passed, domain=domain,
            policy_name=policy_name,
        )  # fmt: skip
        return cut(_newest(found), limit)

    def promotions(self, *, specialist=None, event=None, include_reverted=True, limit=None):
        found = _matching(self.promoted, specialist=specialist, event=event, reverted=None if include_reverted else False)
        return cut(found[::-1], limit)

    def active_model(self, specialist):
        said = [row["to_model"] for row in self.promoted if row["specialist"] == specialist]
        return said[-1] if said else None

    def reliability(self, *, specialist=None, since=None):
        runs = [row for row in _matching(self.ran, specialist=specialist) if since is None or row["created_at"] >= since]
        names = sorted({row["specialist"] for row in runs})
        return [_reliability(name, [row for row in runs if row["specialist"] == name]) for name in names]

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(300)}"]),
        "created_at": moments,
        "since": moments,
        "reverted_at": moments,
        "conversation_id": one_of("c-1", "c-2", "c-3"),
        "specialist": SPECIALISTS,
        "query_id": one_of("q-1", "q-2", "q-3"),
        "round": one_of("answer", "peer_review"),
        "utility_score": one_of(0.0, -1.5, 3.25),
        "confidence_score": one_of(0.0, 0.5, 1.0),
        "vcg_welfare_score": one_of(0.0, 0.125, 2.5, -1.0),
        "vcg_winner": FLAGS,
        "corrections_applied": one_of((), ["k-1"], ["k-1", "k-2"]),
        "latency_ms": lambda model, rng: float(rng.randrange(12) * 50),
        "domain": one_of("code", "law", ""),
        "domain_l0": one_of("stem", None),
        "domain_path": one_of("stem/code", None),
        "session_id": one_of("s-1", "s-2"),
        "assertion_name": one_of("short", "cited"),
        "level": one_of("blocking", "soft", "info"),
        "passed": FLAGS,
        "bonus_applied": one_of(0.0, -0.5, 1.0),
        "retries_used": one_of(0, 1, 4),
        "policy_name": one_of("strict", None),
        "from_model": one_of(None, "m-1", "m-2"),
        "to_model": MODELS,
        "record_promotion.to_model": one_of(None, "m-1", "m-2"),
        "metadata": one_of(None, {"a": [1, {"b": None}]}),
        "actor": one_of("", "ann"),
        "note": one_of("", "better"),
        "reason": one_of("", "worse"),
        "event": one_of("promote", "rollback"),
        "reverted": FLAGS,
        "reverts": lambda model, rng: rng.choice(["nobody", *[row["id"] for row in model.promoted[-6:]]]),
        "include_reverted": FLAGS,
        "limit": LIMITS,
    }
    wrong = {
        "id": NO_KEY, "created_at": NO_MOMENT, "since": NO_MOMENT, "reverted_at": NO_MOMENT, "conversation_id": NO_LABEL,
        "specialist": NO_LABEL, "query_id": NO_LABEL, "round": ("vote", 1), "utility_score": NO_NUMBER, "vcg_winner": NO_FLAG,
        "corrections_applied": ("k-1", 7, [7]), "latency_ms": (-1.0, *NO_NUMBER), "assertion_name": NO_LABEL, "level": ("hard",),
        "retries_used": (-1, 1.5, True), "bonus_applied": NO_NUMBER, "to_model": NO_LABEL, "metadata": NO_DICT, "note": NO_TEXT,
        "reason": NO_TEXT, "event": ("demote", 3), "reverted": NO_FLAG, "reverts": NO_KEY, "include_reverted": NO_FLAG,
        "limit": NO_LIMIT,
    }  # fmt: skip


def _matching(rows, **wanted):
    return [dict(row) for row in rows if all(value is None or row[name] == value for name, value in wanted.items())]


def _newest(rows):
    return sorted(rows, key=lambda row: row["created_at"])[::-1]  # a stable sort: among equal times the last to arrive is newest


def _reliability(specialist, runs):
    wins = sum(row["vcg_winner"] for row in runs)
    welfare = [row["vcg_welfare_score"] for row in runs if row["vcg_welfare_score"] is not None]
    latencies = sorted(row["latency_ms"] for row in runs if row["latency_ms"] is not None)

    def percentile(share):
        """The smallest latency that at least this share of all does not exceed."""
        return next((one for place, one in enumerate(latencies, 1) if place * 100 >= share * len(latencies)), None)

    return {
        "specialist": specialist, "runs": len(runs), "wins": wins, "win_rate": wins / len(runs),
        "mean_welfare": sum(welfare) / len(welfare) if welfare else None,
        "latency_p50": percentile(50), "latency_p95": percentile(95), "latency_p99": percentile(99),
    }  # fmt: skip
