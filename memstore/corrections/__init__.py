"""What was wrong, and what is right instead: the corrections that an agent must not have to hear twice.

1. Texts are compared normalised (NFKC, case and white space folded). Of the live rows one owner has one for each subject,
   domain, scope and claim; saying it again strengthens that row, and nobody's repeat changes the row of somebody else.
2. What was rejected for a subject stays rejected, in every domain and scope, until the correction that says so is superseded.
   A correction keeps every text that it ever rejected; `rejected` is the latest.
3. Confidence fades with the time since `confirmed_at`. It is computed at every read, never stored: a stored one is stale at once.
4. The words of live corrections are kept in `correction_words` by the transaction that writes the row, so that finding what
   concerns a text costs the words of that text and not the number of corrections.

The trap is the order of `add`: a repeat is recognised before a rejection. Otherwise a pair that was once overridden could never
be confirmed again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from ..kernel import (
    Exists,
    Finding,
    Invalid,
    NotFound,
    Prunable,
    Recorder,
    RejectedClaim,
    Room,
    estimate_tokens,
    new_id,
    values,
    write_lines,
)
from ..kernel.lifecycle import changed, confirm_version, shown
from ..kernel.words import key_of, tagged, words
from . import dpo, removal
from .correction import (
    APPLICATIONS,
    CHECKS,
    CORRECTIONS,
    GIVEN,
    OPTIONAL,
    SCHEMA,
    Correction,
    CorrectionApplication,
    ScoredCorrection,
    checked_pair,
    differences,
    line_of,
    postings_of,
    sealed_rejection,
    unsealed_rejection,
)
from .decay import DecayClass, chosen_class, effective
from .relevance import score

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import datetime

    from ..kernel import Connection
    from ..kernel.subject import Subject

__all__ = ["SCHEMA", "Correction", "CorrectionApplication", "CorrectionStore", "DecayClass", "ScoredCorrection"]



class CorrectionStore:
    """Corrections: add, find and inject them, and export them for training.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     added = store.corrections.add("rounding of TimeDelta", "round, do not truncate", rejected="int() is enough")
    ...     print(store.corrections.prompt("why is TimeDelta off by one?"))
    - rounding of TimeDelta: round, do not truncate (not: int() is enough)
    """

    def __init__(self, db: Room, audit: Recorder) -> None:
        self.db = db
        self._audit = audit

    # -- write ------------------------------------------------------------------------------------------------------

    def add(
        self,
        subject: str,
        claim: str,
        *,
        rejected: str = "",
        domain: str = "general",
        scope: str = "global",
        confidence: float = 0.9,
        source: str = "manual",
        decay_class: DecayClass | None = None,
        why: str = "",
        prompt: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        override: bool = False,
        id: str | None = None,
        created_at: float | datetime | None = None,
        superseded_at: float | datetime | None = None,
        superseded_by: str | None = None,
    ) -> Correction:
        """Store a correction, or strengthen the live one that says the same, and return it.

        Strengthening takes the larger confidence, confirms the row now and replaces the columns given here; an argument that
        equals its default counts as not given. It leaves `id`, `created_at` and `user_id` as they are.
        A `decay_class` of None is chosen by subject and domain: A never decays, B falls to 1/e in 10 years, C in 3, D in 0.5.
        A claim that was rejected for the subject raises RejectedClaim unless `override`. Decay counts from `created_at`.
        One with `superseded_at` is history from elsewhere: stored as it is, it strengthens nothing and nothing refuses it.
        """
        given = values.checked(
            CHECKS,
            {"subject": subject, "claim": claim, "rejected": rejected, "domain": domain, "scope": scope, "confidence": confidence,
             "source": source, "decay_class": decay_class, "why": why, "prompt": prompt, "user_id": user_id,
             "conversation_id": conversation_id, "metadata": metadata, "id": id, "created_at": created_at,
             "superseded_at": superseded_at, "superseded_by": superseded_by},
        )  # fmt: skip
        if given["superseded_by"] is not None and given["superseded_at"] is None:
            raise Invalid("superseded_by needs superseded_at: a live correction is retired by supersede()")
        override = values.flag("override", override)
        with self.db.write() as connection:
            live = given["superseded_at"] is None
            known = self._same(connection, given) if live else None
            if known is not None:
                return self._strengthen(connection, known, given)
            if live and not override:
                self._refuse_rejected(connection, given["subject"], given["claim"], given["user_id"])
            if given["id"] is not None and connection.value("SELECT 1 FROM corrections WHERE id = ?", (given["id"],)):
                raise Exists(f"there is a correction {given['id']!r} already; update() changes it")
            return self._insert(connection, given)

    def _insert(self, connection: Connection, given: dict[str, Any]) -> Correction:
        now = self.db.now
        born = now if given["created_at"] is None else given["created_at"]
        new = Correction(
            id=new_id() if given["id"] is None else given["id"],
            created_at=born,
            updated_at=now,
            confirmed_at=born,
            **{name: given[name] for name in GIVEN},
            effective_confidence=0.0,
            application_count=0,
            last_applied_at=None,
            superseded_at=given["superseded_at"],
            superseded_by=given["superseded_by"],
            version=1,
        )
        if new.decay_class is None:
            new = replace(new, decay_class=chosen_class(new.subject, new.domain))
        keys = {"subject_key": self._key(new.subject), "claim_key": self._key(new.claim)}
        pk = CORRECTIONS.insert(connection, new, **keys, subject_words=len(words(new.subject)))
        if new.superseded_at is None:
            self._post(connection, pk, new)
        self._reject(connection, pk, new.subject, new.rejected)
        return self._known(connection, new.id)

    def _strengthen(self, connection: Connection, known: Correction, given: dict[str, Any]) -> Correction:
        changes = {name: given[name] for name, default in OPTIONAL.items() if given[name] != default}
        changes["confidence"] = max(known.confidence, given["confidence"])
        changes["confirmed_at"] = self.db.now if given["created_at"] is None else max(known.confirmed_at, given["created_at"])
        return self._rewrite(connection, known, replace(known, **changes))

    def _rewrite(self, connection: Connection, old: Correction, new: Correction) -> Correction:
        """Write what may change of a row, and what is derived from it."""
        pk = connection.value("SELECT pk FROM corrections WHERE id = ?", (old.id,))
        metadata = None if new.metadata is None else values.to_json("metadata", new.metadata)
        subject, claim, rejected, why, prompt, metadata = CORRECTIONS.sealed(
            connection, old.id, subject=new.subject, claim=new.claim, rejected=new.rejected, why=new.why, prompt=new.prompt,
            metadata=metadata,
        )  # fmt: skip
        connection.run(
            "UPDATE corrections SET updated_at = ?, confirmed_at = ?, subject = ?, domain = ?, scope = ?, claim = ?, rejected = ?,"
            " confidence = ?, source = ?, decay_class = ?, why = ?, prompt = ?, user_id = ?, conversation_id = ?, metadata = ?,"
            " subject_key = ?, claim_key = ?, subject_words = ?, version = version + 1 WHERE pk = ?",
            (self.db.now, new.confirmed_at, subject, new.domain, new.scope, claim, rejected,
             new.confidence, new.source, new.decay_class, why, prompt, new.user_id, new.conversation_id, metadata,
             self._key(new.subject), self._key(new.claim), len(words(new.subject)), pk),
        )  # fmt: skip
        if old.subject != new.subject:
            connection.run("UPDATE correction_rejections SET subject_key = ? WHERE correction = ?", (self._key(new.subject), pk))
        if (old.subject, old.claim, old.why) != (new.subject, new.claim, new.why):
            connection.run("DELETE FROM correction_words WHERE correction = ?", (pk,))
            self._post(connection, pk, new)
        self._reject(connection, pk, new.subject, new.rejected)
        return self._known(connection, old.id)

    def _key(self, text: str) -> str:
        return key_of(text, self.db.cipher)

    def _post(self, connection: Connection, pk: int, item: Correction) -> None:
        rows = postings_of(pk, item, connection.cipher)
        connection.many("INSERT INTO correction_words(word, correction, in_subject) VALUES (?, ?, ?)", rows)

    def _reject(self, connection: Connection, pk: int, subject: str, rejected: str) -> int:
        """Remember a rejected text; return 1 if the correction had not rejected it before."""
        key = self._key(rejected)
        known = "SELECT 1 FROM correction_rejections WHERE correction = ? AND rejected_key = ?"
        if key == "" or connection.value(known, (pk, key)):
            return 0
        return connection.run(
            "INSERT INTO correction_rejections(correction, subject_key, rejected_key, rejected) VALUES (?, ?, ?, ?)",
            (pk, self._key(subject), key, sealed_rejection(connection.cipher, pk, key, rejected)),
        )

    def _same(self, connection: Connection, given: dict[str, Any]) -> Correction | None:
        """The live row that says the same: the owner's own before everybody's, without an owner anybody's."""
        return self._first(
            connection,
            "WHERE subject_key = ? AND claim_key = ? AND domain = ? AND scope = ? AND superseded_at IS NULL"
            " AND (? IS NULL OR user_id IS NULL OR user_id = ?) ORDER BY user_id IS ? DESC, pk LIMIT 1",
            (self._key(given["subject"]), self._key(given["claim"]), given["domain"], given["scope"], *[given["user_id"]] * 3),
        )

    def _refuse_rejected(
        self, connection: Connection, subject: str, claim: str, user_id: str | None, replaced: tuple[str, str] = ("", "")
    ) -> None:
        """Raise RejectedClaim where a live correction has rejected the claim; `replaced` is a rejection about to be withdrawn."""
        found = self._first(
            connection,
            "JOIN correction_rejections AS r ON r.correction = corrections.pk"
            " WHERE r.subject_key = ? AND r.rejected_key = ? AND corrections.superseded_at IS NULL"
            # A pair that differs only in case or spaces is about spelling: it must not reject its own claim.
            " AND r.rejected_key <> corrections.claim_key AND (? IS NULL OR user_id IS NULL OR user_id = ?)"
            " AND NOT (corrections.id = ? AND r.rejected_key = ?) ORDER BY corrections.pk DESC LIMIT 1",
            (self._key(subject), self._key(claim), user_id, user_id, replaced[0], self._key(replaced[1])),
        )
        if found is not None:
            raise RejectedClaim(
                f"the claim {values.shorten(claim)} was rejected for {values.shorten(subject)} by correction {found.id}, which says"
                f" {values.shorten(found.claim)}; pass override=True to store it all the same, or supersede() that correction",
                found,
            )

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Correction:
        """Return a correction, superseded or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._known(connection, id)

    def find(
        self,
        *,
        domain: str | None = None,
        scope: str | None = None,
        source: str | None = None,
        user_id: str | None = None,
        min_effective: float | None = None,
        include_superseded: bool = False,
        limit: int | None = None,
    ) -> list[Correction]:
        """Return corrections, newest first by (created_at, arrival): all of them unless there is a limit.

        Each filter is exact, but a `user_id` finds that user's corrections and everybody's.
        """
        limit = values.limit(limit)
        threshold = _threshold(min_effective)
        where, params = _filter(
            domain=domain, scope=scope, source=source, user_id=user_id, threshold=threshold, include_superseded=include_superseded
        )
        if threshold <= 0.0:
            return self._find(self.db, f"{where} ORDER BY created_at DESC, pk DESC LIMIT ?", (*params, limit))
        found = self._find(self.db, f"{where} ORDER BY created_at DESC, pk DESC", params)
        kept = [item for item in found if item.effective_confidence >= threshold]
        return kept if limit < 0 else kept[:limit]

    def count(
        self,
        *,
        domain: str | None = None,
        scope: str | None = None,
        source: str | None = None,
        user_id: str | None = None,
        min_effective: float | None = None,
        include_superseded: bool = False,
    ) -> int:
        """Count what `find` would return."""
        threshold = _threshold(min_effective)
        where, params = _filter(
            domain=domain, scope=scope, source=source, user_id=user_id, threshold=threshold, include_superseded=include_superseded
        )
        rows = self.db.rows(f"SELECT confidence, decay_class, confirmed_at FROM corrections {where}", params)
        now = self.db.now
        return sum(effective(confidence, decay_class, at, now) >= threshold for confidence, decay_class, at in rows)

    def relevant(
        self,
        text: str,
        *,
        domain: str | None = None,
        scope: str | None = None,
        user_id: str | None = None,
        limit: int | None = 5,
        min_effective: float | None = 0.5,
    ) -> list[ScoredCorrection]:
        """Return the live corrections that share words with a text, best first (score, effective confidence, newest).

        Score: 0.6 x the share of the subject's words that the text has + 0.3 x the share of the text's words that subject, claim
        and why have + 0.1 for the same domain, which only raises and never hides. A `scope` finds that scope and "global".
        """
        asked = words(values.text("text", text))
        domain = values.optional(values.label, "domain", domain)
        limit = values.limit(limit)
        threshold = _threshold(min_effective)
        where, params = _filter(user_id=user_id, threshold=threshold)
        if scope is not None:
            where, params = f"{where} AND scope IN (?, 'global')", [*params, values.label("scope", scope)]
        if not asked or limit == 0:
            return []
        with self.db.read(snapshot=True) as connection:
            candidates = connection.rows(
                "SELECT corrections.pk, created_at, domain, subject_words, hit.subject_hits, hit.hits,"
                " confidence, decay_class, confirmed_at"
                " FROM (SELECT correction, SUM(in_subject) AS subject_hits, COUNT(*) AS hits FROM correction_words"
                "  WHERE word IN (SELECT value FROM json_each(?)) GROUP BY correction) AS hit"
                f" CROSS JOIN corrections ON corrections.pk = hit.correction {where}",
                (json.dumps(tagged(asked, connection.cipher)), *params),
            )
            now = self.db.now
            ranked = []
            for pk, born, its_domain, subject_words, subject_hits, hits, confidence, decay_class, at in candidates:
                left = effective(confidence, decay_class, at, now)
                if left >= threshold:
                    points = score(subject_hits, subject_words, hits, len(asked), its_domain == domain)
                    ranked.append((-points, -left, -born, -pk))
            best = nsmallest(len(ranked) if limit < 0 else limit, ranked)
            chosen = json.dumps([-pk for *_, pk in best])
            found = self._find(
                connection, "JOIN json_each(?) AS place ON place.value = corrections.pk ORDER BY place.key", (chosen,)
            )
        return [ScoredCorrection(item, -ranks[0]) for item, ranks in zip(found, best, strict=True)]

    def prompt(
        self,
        text: str,
        *,
        domain: str | None = None,
        scope: str | None = None,
        user_id: str | None = None,
        limit: int | None = 5,
        min_effective: float | None = 0.5,
        max_tokens: int | None = None,
    ) -> str:
        """Return what `relevant` finds as lines for a model's prompt, best first; "" when nothing applies or fits.

        Never longer than `max_tokens` by `estimate_tokens`: a line that would be is left out whole, a shorter one may follow.
        """
        budget = values.optional(values.integer, "max_tokens", max_tokens, low=0)
        result = ""
        for hit in self.relevant(text, domain=domain, scope=scope, user_id=user_id, limit=limit, min_effective=min_effective):
            line = f"- {line_of(hit.correction)}"
            longer = f"{result}\n{line}" if result else line
            if budget is None or estimate_tokens(longer) <= budget:
                result = longer
        return result

    def rejections(self, id: str) -> list[str]:
        """Return every text that a correction rejects, oldest first."""
        id = values.key("id", id)
        with self.db.read(snapshot=True) as connection:
            self._known(connection, id)
            found = connection.rows(
                "SELECT r.correction, r.rejected_key, r.rejected"
                " FROM correction_rejections AS r JOIN corrections AS c ON c.pk = r.correction"
                " WHERE c.id = ? ORDER BY r.pk",
                (id,),
            )
        return [unsealed_rejection(self.db.cipher, *row) for row in found]

    def applications(self, id: str, *, limit: int | None = None) -> list[CorrectionApplication]:
        """Return when and where a correction was applied, newest first."""
        id, limit = values.key("id", id), values.limit(limit)
        with self.db.read(snapshot=True) as connection:
            self._known(connection, id)
            return APPLICATIONS.find(
                connection,
                "WHERE correction = (SELECT pk FROM corrections WHERE id = ?) ORDER BY pk DESC LIMIT ?",
                (id, limit),
            )

    def _find(self, reader: Room | Connection, clause: str, params: Sequence[Any] = ()) -> list[Correction]:
        found = CORRECTIONS.find(reader, clause, params)
        now = self.db.now
        for item in found:  # in Python, because SQLite may be built without exp()
            item.effective_confidence = effective(item.confidence, item.decay_class, item.confirmed_at, now)  # type: ignore[misc]
        return found

    def _first(self, reader: Room | Connection, clause: str, params: Sequence[Any]) -> Correction | None:
        found = self._find(reader, clause, params)
        return found[0] if found else None

    def _known(self, connection: Connection, id: str) -> Correction:
        found = self._first(connection, "WHERE corrections.id = ?", (id,))
        if found is None:
            recent = connection.rows("SELECT id FROM corrections ORDER BY pk DESC LIMIT 100")
            near = values.suggest(id, [name for (name,) in recent])
            raise NotFound(f"no correction {values.shorten(id)}{near}; store.corrections.find() lists them")
        return found

    # -- change -----------------------------------------------------------------------------------------------------

    def update(
        self,
        id: str,
        *,
        subject: str | None = None,
        claim: str | None = None,
        rejected: str | None = None,
        domain: str | None = None,
        scope: str | None = None,
        confidence: float | None = None,
        source: str | None = None,
        decay_class: DecayClass | None = None,
        why: str | None = None,
        prompt: str | None = values.KEEP,
        user_id: str | None = values.KEEP,
        conversation_id: str | None = values.KEEP,
        metadata: dict[str, Any] | None = values.KEEP,
        expected_version: int | None = None,
        override: bool = False,
        actor: str = "",
        note: str = "",
    ) -> Correction:
        """Change what is given of a live correction and return it.

        None clears `prompt`, `user_id`, `conversation_id` and `metadata`, elsewhere it means not given. Giving claim or confidence
        confirms the row now. A new `rejected` takes the place of the latest. When nothing differs, nothing is written.
        """
        id = values.key("id", id)
        given = {"subject": subject, "claim": claim, "rejected": rejected, "domain": domain, "scope": scope,
                 "confidence": confidence, "source": source, "decay_class": decay_class, "why": why}  # fmt: skip
        clearable = {"prompt": prompt, "user_id": user_id, "conversation_id": conversation_id, "metadata": metadata}
        changes = values.changes(CHECKS, given, clearable)
        override = values.flag("override", override)
        with self.db.write() as connection:
            old = self._live(connection, id)
            confirm_version(f"correction {id}", old, expected_version)
            new = replace(old, **changes)
            if claim is not None or confidence is not None:
                new = replace(new, confirmed_at=self.db.now)
            names = changed(old, new, (*GIVEN, "confirmed_at"))
            if not names:
                return old
            self._guard(connection, old, new, override)
            if "rejected" in names:
                connection.run(
                    "DELETE FROM correction_rejections WHERE rejected_key = ?"
                    " AND correction = (SELECT pk FROM corrections WHERE id = ?)",
                    (self._key(old.rejected), id),
                )
            result = self._rewrite(connection, old, new)
            self._log("update", result, shown(old, names), shown(new, names), actor, note)
            return result

    def _guard(self, connection: Connection, old: Correction, new: Correction, override: bool) -> None:
        """Refuse a change that would say what another row says, or what was rejected."""
        twin = connection.value(
            "SELECT id FROM corrections WHERE subject_key = ? AND claim_key = ? AND domain = ? AND scope = ?"
            " AND COALESCE(user_id, '') = ? AND superseded_at IS NULL AND id <> ?",
            (self._key(new.subject), self._key(new.claim), new.domain, new.scope, new.user_id or "", old.id),
        )
        if twin is not None:
            raise Exists(f"correction {twin} says that already; supersede {old.id} by it instead")
        moved = (key_of(old.subject), key_of(old.claim)) != (key_of(new.subject), key_of(new.claim))
        if moved and not override:
            withdrawn = (old.id, old.rejected) if old.rejected != new.rejected else ("", "")
            self._refuse_rejected(connection, new.subject, new.claim, new.user_id, withdrawn)

    def supersede(self, id: str, *, by: str | None = None, reason: str = "", actor: str = "") -> Correction:
        """Retire a live correction and return it: hidden from reads unless asked for, and what it rejected is free again.

        `by` is the live correction that takes its place.
        """
        id = values.key("id", id)
        by = values.optional(values.key, "by", by)
        reason = values.text("reason", reason)
        if by == id:
            raise Invalid(f"correction {id} cannot supersede itself; give the id of another one as by=")
        with self.db.write() as connection:
            old = self._live(connection, id)
            if by is not None:
                self._live(connection, by)
            now = self.db.now
            connection.run(
                "UPDATE corrections SET superseded_at = ?, superseded_by = ?, updated_at = ?, version = version + 1 WHERE id = ?",
                (now, by, now, id),
            )
            connection.run("DELETE FROM correction_words WHERE correction = (SELECT pk FROM corrections WHERE id = ?)", (id,))
            after = {"superseded_at": now, "superseded_by": by}
            self._log("supersede", old, {"superseded_at": None, "superseded_by": None}, after, actor, reason)
            return self._known(connection, id)

    def applied(self, id: str, *, conversation_id: str | None = None) -> Correction:
        """Count that a correction was put before a model, and return it; its version stays, for no belief has changed."""
        id = values.key("id", id)
        conversation_id = values.optional(values.label, "conversation_id", conversation_id)
        with self.db.write() as connection:
            self._known(connection, id)
            now = self.db.now
            connection.run(
                "INSERT INTO correction_applications(correction, conversation_id, applied_at)"
                " SELECT pk, ?, ? FROM corrections WHERE id = ?",
                (conversation_id, now, id),
            )
            connection.run(
                "UPDATE corrections SET application_count = application_count + 1, last_applied_at = ? WHERE id = ?", (now, id)
            )
            return self._known(connection, id)

    def _live(self, connection: Connection, id: str) -> Correction:
        found = self._known(connection, id)
        if found.superseded_at is not None:
            by = "" if found.superseded_by is None else f" by {found.superseded_by}"
            raise Invalid(f"correction {id} was superseded{by}; it is kept as it was")
        return found

    def _log(self, verb: str, item: Correction, before: object, after: object, actor: str, note: str) -> None:
        self._audit(
            f"correction.{verb}", entity_kind="correction", entity_id=item.id, before=before, after=after,
            actor=actor, note=note, user_id=item.user_id, conversation_id=item.conversation_id,
        )  # fmt: skip

    # -- remove -----------------------------------------------------------------------------------------------------

    def prune(self, below: float = 0.05, *, reason: str = "", actor: str = "", dry_run: bool = False) -> int:
        """Remove for good the corrections whose effective confidence fell below a threshold; return how many.

        With `dry_run` it only counts them.
        """
        below = values.real("below", below, low=0.0, high=1.0)
        reason = values.text("reason", reason)
        dry_run = values.flag("dry_run", dry_run)
        with self.db.read() if dry_run else self.db.write() as connection:
            now = self.db.now
            rows = connection.rows("SELECT pk, id, confidence, decay_class, confirmed_at FROM corrections ORDER BY pk")
            stale = [(pk, id) for pk, id, confidence, decay_class, at in rows if effective(confidence, decay_class, at, now) < below]
            if stale and not dry_run:
                connection.many("DELETE FROM corrections WHERE pk = ?", [(pk,) for pk, _ in stale])
                details = {"below": below, "count": len(stale), "ids": [id for _, id in stale]}
                self._audit("correction.prune", entity_kind="correction", details=details, actor=actor, note=reason)
                self.db.scrub()
        return len(stale)

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import erasing

        erasing.erase(connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: what was superseded; live ones fade, and `prune` here removes them."""
        return [Prunable("corrections", removal.COUNT, removal.OLDEST, removal.remove_oldest)]

    # -- training data ----------------------------------------------------------------------------------------------

    def export_dpo(
        self,
        path: str | os.PathLike[str],
        *,
        min_effective: float | None = 0.7,
        domain: str | None = None,
        source: str | None = None,
        since: float | datetime | None = None,
        conversational: bool = False,
        meta: bool = False,
    ) -> int:
        """Write preference pairs as TRL reads them, one JSON line each, in order of (created_at, id); return how many.

        Left out: superseded corrections, blank rejections, rejections equal to the claim. A correction that rejected several
        texts gives a pair for each. `meta` adds columns of the correction. The file is replaced whole; the same corrections give
        the same bytes, until the confidence of one fades below `min_effective`.
        """
        threshold = _threshold(min_effective)
        since = values.optional(values.moment, "since", since)
        conversational, meta = values.flag("conversational", conversational), values.flag("meta", meta)
        where, params = _filter(domain=domain, source=source, threshold=threshold)
        if since is not None:
            where, params = f"{where} AND created_at >= ?", [*params, since]
        with self.db.read(snapshot=True) as connection:
            found = self._find(connection, f"{where} ORDER BY created_at, id", params)
            rejected: dict[str, list[str]] = {}
            for id, *row in connection.rows(
                "SELECT c.id, r.correction, r.rejected_key, r.rejected"
                " FROM correction_rejections AS r JOIN corrections AS c ON c.pk = r.correction"
                " WHERE c.superseded_at IS NULL ORDER BY r.pk"
            ):
                rejected.setdefault(id, []).append(unsealed_rejection(connection.cipher, *row))
        lines = (
            dpo.line(
                item.subject if item.prompt is None else item.prompt,
                item.claim,
                text,
                {name: getattr(item, name) for name in dpo.META} if meta else {},
                conversational=conversational,
            )
            for item in found
            if item.effective_confidence >= threshold
            for text in rejected.get(item.id, ())
            if text != item.claim
        )
        return write_lines(path, lines)

    def import_dpo(self, path: str | os.PathLike[str], *, skip_invalid: bool = False, actor: str = "", note: str = "") -> int:
        """Store the pairs of a .jsonl file, or of every one in a folder by name; return how many were new.

        Reads TRL rows (plain or conversational), what `export_dpo` writes and AUA's `dpo_pairs`; keys it does not know are left.
        A pair that the store has is left as it is, so that a second time stores nothing. A line that is bad or blank raises
        Invalid with its file and number and nothing is stored; with `skip_invalid` it is passed over.
        """
        pairs = dpo.read(path, checked_pair, refused=[] if values.flag("skip_invalid", skip_invalid) else None)
        with self.db.write() as connection:
            new = sum(self._import(connection, pair) for pair in pairs)
            if new:
                self._audit("correction.import", entity_kind="correction", details={"count": new}, actor=actor, note=note)
        return new

    def _import(self, connection: Connection, pair: dict[str, Any]) -> int:
        known = self._same(connection, pair)
        if known is None:
            if connection.value("SELECT 1 FROM corrections WHERE id = ?", (pair["id"],)):
                return 0  # superseded or changed since it came: an old file must not bring back what was put right
            self._insert(connection, pair)
            return 1
        pk = connection.value("SELECT pk FROM corrections WHERE id = ?", (known.id,))
        new = self._reject(connection, pk, known.subject, pair["rejected"])
        if new and not known.rejected.strip():
            (rejected,) = CORRECTIONS.sealed(connection, known.id, rejected=pair["rejected"])
            connection.run(
                "UPDATE corrections SET rejected = ?, updated_at = ?, version = version + 1 WHERE pk = ?", (rejected, self.db.now, pk)
            )
        return new

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute all that is derived from the corrections and report what differs."""
        with self.db.read(snapshot=True) as connection:
            return [Finding("derived", pk, f"correction {id}: {what}") for pk, id, what in differences(connection)]


def _threshold(min_effective: float | None) -> float:
    return 0.0 if min_effective is None else values.real("min_effective", min_effective, low=0.0, high=1.0)


def _filter(
    *,
    domain: str | None = None,
    scope: str | None = None,
    source: str | None = None,
    user_id: str | None = None,
    threshold: float,
    include_superseded: bool = False,
) -> tuple[str, list[Any]]:
    """The WHERE clause of a read; confidence never rises with age, so what begins under the threshold is left to SQLite."""
    terms: list[tuple[str, Any]] = [("confidence >= ?", threshold)]
    for name, value in (("domain", domain), ("scope", scope), ("source", source)):
        if value is not None:
            terms.append((f"{name} = ?", values.label(name, value)))
    if user_id is not None:
        terms.append(("(user_id IS NULL OR user_id = ?)", values.label("user_id", user_id)))
    hidden = "" if values.flag("include_superseded", include_superseded) else " AND superseded_at IS NULL"
    return f"WHERE {' AND '.join(term for term, _ in terms)}{hidden}", [value for _, value in terms]
