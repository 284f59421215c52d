"""The corrections room in plain Python: a list of rows in order of arrival, each with its rejections and applications."""

from __future__ import annotations

import json
import math

from memstore import Exists, Invalid, NotFound, RejectedClaim, VersionConflict

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
    Refused,
    cut,
    difference,
    moments,
    one_of,
    refuse_unless,
)  # fmt: skip

TAU = {"A": math.inf, "B": 10.0, "C": 3.0, "D": 0.5}  # years to fall to 1/e
YEAR = 365.25 * 86_400
FUNCTION_WORDS = {"the", "of", "is", "not", "why", "it", "was", "how", "do", "i"}
SUBJECTS = ("rounding of time", "Rounding  of TIME", "the cache", "unit price", "mathematical_proof of rounding")
CLAIMS = ("round half up", "Round half  UP", "truncate", "clear the cache", "price is net", "never round")
TEXTS = ("rounding", "why is the cache cold", "unit price of time", "the", "", "price rounding time cache", "clear half net", "proof")
OWNERS = (None, "ann", "bob")
KEEP = object()  # not given, where None says something


def normal(text):
    return " ".join(text.casefold().split())


def words(*texts):
    found = set(" ".join(texts).casefold().replace("_", " ").split())
    found |= {token.casefold().replace("_", "") for text in texts for token in text.split()}
    return found - FUNCTION_WORDS


def tokens(text):
    return max(1, len(text) // 4)


class Corrections(Model):
    """What was wrong, and what is right instead."""

    room = "corrections"
    reads = frozenset({"get", "find", "count", "relevant", "prompt", "rejections", "applications", "export_dpo"})
    beyond = frozenset({"check"})
    often = {"add": 6, "update": 4, "applied": 2}
    undrawn = frozenset({"skip_invalid", "dry_run"})

    def __init__(self):
        super().__init__()
        self.rows = []  # a row's fields that begin with _ are no columns
        self.imported = {}  # what an imported pair says -> its id
        self.made = []

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _effective(self, row):
        return row["confidence"] * math.exp(-max(0.0, self.now - row["confirmed_at"]) / YEAR / TAU[row["decay_class"]])

    def _show(self, row):
        shown = {name: value for name, value in row.items() if not name.startswith("_")}
        return {**shown, "effective_confidence": self._effective(row), "application_count": len(row["_applied"])}

    def _row(self, id):
        found = [row for row in self.rows if row["id"] == id]
        refuse_unless(found, NotFound)
        return found[0]

    def _live_row(self, id):
        row = self._row(id)
        refuse_unless(row["superseded_at"] is None, Invalid)
        return row

    def _live(self):
        return [row for row in self.rows if row["superseded_at"] is None]

    def _same(self, subject, claim, domain, scope, user_id):
        """The live row that says the same: the owner's own before everybody's, without an owner anybody's."""
        said = (normal(subject), normal(claim), domain, scope)
        found = [row for row in self._live() if _said(row)[:4] == said and _concerns(row, user_id)]
        return min(found, key=lambda row: row["user_id"] != user_id, default=None)

    def _refuse_rejected(self, subject, claim, user_id, withdrawn=None):
        found = [
            row for row in self._live()
            if normal(row["subject"]) == normal(subject) and normal(row["claim"]) != normal(claim) and _concerns(row, user_id)
            and any(normal(text) == normal(claim) and (row["id"], normal(text)) != withdrawn for text in row["_rejections"])
        ]  # fmt: skip
        if found:
            raise Refused(RejectedClaim, self._show(found[-1]))

    def _reject(self, row, text):
        """Remember a rejected text, once; True if it is new."""
        new = bool(normal(text)) and normal(text) not in map(normal, row["_rejections"])
        if new:
            row["_rejections"].append(text)
        return new

    def _insert(self, *, id, created_at, subject, domain, rejected, decay_class, **columns):
        if decay_class is None:
            decay_class = "A" if "mathematical_proof" in subject.casefold() else {"software_engineering": "D"}.get(domain, "C")
        born = self.now if created_at is None else created_at
        row = {
            "id": id, "created_at": born, "updated_at": self.now, "confirmed_at": born, "subject": subject, "domain": domain,
            "rejected": rejected, "decay_class": decay_class, "last_applied_at": None, "version": 1,
            "superseded_at": None, "superseded_by": None, "_rejections": [], "_applied": [], **columns,
        }  # fmt: skip
        self._reject(row, rejected)
        self.rows.append(row)
        return row

    # -- writes -------------------------------------------------------------------------------------------------------

    def add(
        self, subject, claim, *, rejected="", domain="general", scope="global", confidence=0.9, source="manual", decay_class=None,
        why="", prompt=None, user_id=None, conversation_id=None, metadata=None, override=False, id=None, created_at=None,
        superseded_at=None, superseded_by=None,
    ):  # fmt: skip
        refuse_unless(superseded_by is None or superseded_at is not None, Invalid)
        given = {
            "rejected": (rejected, ""), "source": (source, "manual"), "decay_class": (decay_class, None), "why": (why, ""),
            "prompt": (prompt, None), "conversation_id": (conversation_id, None), "metadata": (metadata, None),
        }  # fmt: skip
        row = self._same(subject, claim, domain, scope, user_id) if superseded_at is None else None
        if row is not None:
            row.update((name, value) for name, (value, default) in given.items() if value != default)
            row["confidence"] = max(row["confidence"], confidence)
            row["confirmed_at"] = self.now if created_at is None else max(row["confirmed_at"], created_at)
            row["updated_at"] = self.now
            row["version"] += 1
            self._reject(row, rejected)
            return self._show(row)
        if superseded_at is None and not override:
            self._refuse_rejected(subject, claim, user_id)
        ids = [row["id"] for row in self.rows]
        refuse_unless(id not in ids, Exists)
        row = self._insert(
            id=self.new_id(ids) if id is None else id, created_at=created_at, subject=subject, claim=claim, domain=domain, scope=scope,
            confidence=confidence, user_id=user_id, superseded_at=superseded_at, superseded_by=superseded_by,
            **{name: value for name, (value, _) in given.items()},
        )  # fmt: skip
        return self._show(row)

    def update(
        self, id, *, subject=None, claim=None, rejected=None, domain=None, scope=None, confidence=None, source=None, decay_class=None,
        why=None, prompt=KEEP, user_id=KEEP, conversation_id=KEEP, metadata=KEEP, expected_version=None, override=False, actor="",
        note="",
    ):  # fmt: skip
        given = {
            "subject": subject, "claim": claim, "rejected": rejected, "domain": domain, "scope": scope, "confidence": confidence,
            "source": source, "decay_class": decay_class, "why": why,
        }  # fmt: skip
        clearable = {"prompt": prompt, "user_id": user_id, "conversation_id": conversation_id, "metadata": metadata}
        changes = {name: value for name, value in given.items() if value is not None}
        changes |= {name: value for name, value in clearable.items() if value is not KEEP}
        row = self._live_row(id)
        if expected_version not in (None, row["version"]):
            raise Refused(VersionConflict, self._show(row))
        if claim is not None or confidence is not None:
            changes["confirmed_at"] = self.now
        new = {**row, **changes}
        if new == row:
            return self._show(row)
        refuse_unless(_said(new) not in [_said(one) for one in self._live() if one is not row], Exists)
        moved = (normal(row["subject"]), normal(row["claim"])) != (normal(new["subject"]), normal(new["claim"]))
        withdrawn = (id, normal(row["rejected"])) if row["rejected"] != new["rejected"] else None
        if moved and not override:
            self._refuse_rejected(new["subject"], new["claim"], new["user_id"], withdrawn)
        row["_rejections"] = [text for text in row["_rejections"] if (id, normal(text)) != withdrawn]
        row.update(changes, updated_at=self.now, version=row["version"] + 1)
        self._reject(row, row["rejected"])
        self.log("correction.update", id, actor, note)
        return self._show(row)

    def supersede(self, id, *, by=None, reason="", actor=""):
        refuse_unless(by != id, Invalid)
        row = self._live_row(id)
        if by is not None:
            self._live_row(by)
        row.update(superseded_at=self.now, superseded_by=by, updated_at=self.now, version=row["version"] + 1)
        self.log("correction.supersede", id, actor, reason)
        return self._show(row)

    def applied(self, id, *, conversation_id=None):
        row = self._row(id)
        row["_applied"].append({"conversation_id": conversation_id, "applied_at": self.now})
        row["last_applied_at"] = self.now
        return self._show(row)

    def prune(self, below=0.05, *, reason="", actor="", dry_run=False):
        stale = [row for row in self.rows if self._effective(row) < below]
        if stale:
            self.rows = [row for row in self.rows if row not in stale]
            self.log("correction.prune", None, actor, reason)
        return len(stale)

    def import_dpo(self, path, *, skip_invalid=False, actor="", note=""):
        new = 0
        for line in path.read_text().splitlines():
            pair = json.loads(line)
            said = (pair["prompt"], pair["chosen"], "general", "global")
            row = self._same(*said, None)
            if row is not None:
                fresh = self._reject(row, pair["rejected"])
                if fresh and not row["rejected"]:
                    row.update(rejected=pair["rejected"], updated_at=self.now, version=row["version"] + 1)
                new += fresh
                continue
            key = (normal(said[0]), normal(said[1]))
            if self.imported.get(key) in [row["id"] for row in self.rows]:
                continue  # changed or superseded since it came: an old file does not bring it back
            self.imported[key] = self.made.pop(0) if self.made else "made by the store"
            self._insert(
                id=self.imported[key], created_at=None, subject=said[0], claim=said[1], domain="general", scope="global",
                confidence=0.7, source="arbiter", rejected=pair["rejected"], decay_class=None, why="", prompt=None, user_id=None,
                conversation_id=None, metadata=None,
            )  # fmt: skip
            new += 1
        if new:
            self.log("correction.import", None, actor, note)
        return new

    def learn(self, store):
        known = {row["id"] for row in self.rows}
        self.made = [item.id for item in store.corrections.find(include_superseded=True)[::-1] if item.id not in known]

    # -- reads --------------------------------------------------------------------------------------------------------

    def get(self, id):
        return self._show(self._row(id))

    def _found(self, *, domain=None, scope=None, source=None, user_id=None, min_effective=None, include_superseded=False):
        rows = self.rows if include_superseded else self._live()
        wanted = {"domain": domain, "scope": scope, "source": source}
        return [
            row for row in rows
            if all(value is None or row[name] == value for name, value in wanted.items()) and _concerns(row, user_id)
            and self._effective(row) >= (min_effective or 0.0)
        ]  # fmt: skip

    def find(
        self, *, domain=None, scope=None, source=None, user_id=None, min_effective=None, include_superseded=False, limit=None
    ):
        found = self._found(
            domain=domain, scope=scope, source=source, user_id=user_id, min_effective=min_effective,
            include_superseded=include_superseded,
        )  # fmt: skip
        return [self._show(row) for row in cut(sorted(found, key=lambda row: row["created_at"])[::-1], limit)]

    def count(self, *, domain=None, scope=None, source=None, user_id=None, min_effective=None, include_superseded=False):
        found = self._found(
            domain=domain, scope=scope, source=source, user_id=user_id, min_effective=min_effective,
            include_superseded=include_superseded,
        )  # fmt: skip
        return len(found)

    def relevant(self, text, *, domain=None, scope=None, user_id=None, limit=5, min_effective=0.5):
        asked = words(text)
        ranked = []
        for place, row in enumerate(self.rows):
            about, spoken = words(row["subject"]), words(row["subject"], row["claim"], row["why"])
            visible = row["superseded_at"] is None and _concerns(row, user_id) and (scope is None or row["scope"] in (scope, "global"))
            left = self._effective(row)
            if visible and asked & spoken and left >= (min_effective or 0.0):
                of_subject = len(asked & about) / len(about) if about else 0.0
                score = round(0.6 * of_subject + 0.3 * len(asked & spoken) / len(asked) + 0.1 * (row["domain"] == domain), 6)
                ranked.append((score, left, row["created_at"], place))
        best = cut(sorted(ranked, reverse=True), limit)
        return [{"correction": self._show(self.rows[place]), "score": score} for score, _, _, place in best]

    def prompt(self, text, *, domain=None, scope=None, user_id=None, limit=5, min_effective=0.5, max_tokens=None):
        lines = []
        for hit in self.relevant(text, domain=domain, scope=scope, user_id=user_id, limit=limit, min_effective=min_effective):
            row = hit["correction"]
            rejected = f" (not: {row['rejected']})" if row["rejected"] else ""
            why = f" Why: {row['why']}" if row["why"] else ""
            line = " ".join(f"- {row['subject']}: {row['claim']}{rejected}{why}".split())
            if max_tokens is None or tokens("\n".join([*lines, line])) <= max_tokens:
                lines.append(line)
        return "\n".join(lines)

    def rejections(self, id):
        return list(self._row(id)["_rejections"])

    def applications(self, id, *, limit=None):
        return cut(self._row(id)["_applied"][::-1], limit)

    def export_dpo(self, path, *, min_effective=0.7, domain=None, source=None, since=None, conversational=False, meta=False):
        found = self._found(domain=domain, source=source, min_effective=min_effective)
        found = [row for row in found if since is None or row["created_at"] >= since]
        found.sort(key=lambda row: (row["created_at"], row["id"]))
        pairs = [(row, text) for row in found for text in row["_rejections"] if text != row["claim"]]
        written = [json.loads(line) for line in path.read_text().splitlines()]
        said = [(row["prompt"] or row["subject"], row["claim"], text) for row, text in pairs]
        if conversational:
            said = [
                tuple([{"role": role, "content": text}] for role, text in zip(("user", "assistant", "assistant"), pair)) for pair in said
            ]
        found = [(line["prompt"], line["chosen"], line["rejected"]) for line in written]
        assert found == said, difference(found, said)
        assert [line.get("id") for line in written] == [row["id"] if meta else None for row, _ in pairs], "ids of the pairs"
        return len(pairs)

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "id": lambda model, rng: rng.choice(["nobody", *[row["id"] for row in model.rows[-12:]]]),
        "add.id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(200)}"]),
        "by": lambda model, rng: rng.choice([None, "nobody", *[row["id"] for row in model.rows[-12:]]]),
        "subject": one_of(*SUBJECTS),
        "claim": one_of(*CLAIMS),
        "rejected": one_of("", *CLAIMS),
        "domain": one_of("general", "code", "software_engineering"),
        "scope": one_of("global", "team"),
        "confidence": one_of(0.0, 0.01, 0.3, 0.6, 0.95, 1.0),
        "source": one_of("manual", "arbiter"),
        "decay_class": one_of(None, "A", "B", "C", "D"),
        "why": one_of("", "it was measured", "net of tax"),
        "prompt": one_of(None, "how do I round?"),
        "user_id": one_of(*OWNERS),
        "conversation_id": one_of(None, "c-1"),
        "metadata": one_of(None, {"a": 1}),
        "override": FLAGS,
        "created_at": moments,
        "since": moments,
        "superseded_at": lambda model, rng: moments(model, rng) if rng.random() < 0.3 else None,
        "superseded_by": lambda model, rng: rng.choice([None, None, None, "id-1"]),
        "expected_version": one_of(None, 1, 2, 3),
        "actor": one_of("", "ann"),
        "note": one_of("", "said so"),
        "reason": one_of("", "said so"),
        "below": one_of(0.0, 0.05, 0.05, 0.02),
        "min_effective": one_of(None, 0.0, 0.5, 0.7, 1.0),
        "include_superseded": FLAGS,
        "limit": LIMITS,
        "text": one_of(*TEXTS),
        "max_tokens": one_of(None, 0, 10, 25, 60),
        "conversational": FLAGS,
        "meta": FLAGS,
        "path": lambda model, rng: _pairs(model.folder, rng),
    }
    wrong = {
        "id": NO_KEY, "by": NO_KEY, "subject": ("", " ", 7), "claim": ("", " ", 7), "rejected": (7, "\ud800"),
        "domain": NO_LABEL, "scope": NO_LABEL, "confidence": (-0.1, 1.1, *NO_NUMBER), "source": NO_LABEL, "decay_class": ("E", 1),
        "why": (7, "\ud800"), "prompt": (7,), "user_id": NO_LABEL, "metadata": NO_DICT, "override": NO_FLAG, "created_at": NO_MOMENT,
        "since": NO_MOMENT, "expected_version": ("1", 1.0, True), "reason": NO_TEXT, "below": (-1.0, 2.0, "0"),
        "min_effective": (-1.0, 2.0, "0"), "include_superseded": NO_FLAG, "limit": NO_LIMIT, "text": NO_TEXT, "max_tokens": (-1, "9"),
        "conversational": NO_FLAG, "meta": NO_FLAG,
    }  # fmt: skip


def _said(row):
    """What may stand once among the live rows of one owner."""
    return normal(row["subject"]), normal(row["claim"]), row["domain"], row["scope"], row["user_id"]


def _concerns(row, user_id):
    return user_id is None or row["user_id"] in (None, user_id)


def _pairs(folder, rng):
    """A new file of a few pairs."""
    lines = [
        json.dumps({"prompt": rng.choice(SUBJECTS), "chosen": rng.choice(CLAIMS), "rejected": rng.choice(CLAIMS)})
        for _ in range(rng.randrange(4))
    ]
    path = folder / f"{rng.randrange(10**9)}.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path
