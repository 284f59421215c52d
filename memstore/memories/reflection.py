"""What follows from interactions: candidates, reinforcement, fading.

1. Nothing here makes a belief: what is found is a candidate until somebody promotes it.
2. Said again is not more true: what is known, was rejected, or was told to the model in the same interaction is no find.
3. Reinforcement and fading move the confidence and leave `version` and `updated_at` alone: who has read a row may still change it
   by `expected_version`, and idleness counts from what somebody did to it.
4. Fading depends on the days that have passed, never on how often it was asked for.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..kernel import Connection, values
from ..kernel.lifecycle import THEIRS, log, shown
from ..kernel.rows import Term, joined
from ..kernel.words import stems, tagged
from .extraction import EXTRACTOR, Found, extract
from .fading import FREE_DAYS, THRESHOLD, faded
from .interactions import Interactions, known_interaction
from .tables import MEMORIES, SHARING, Interaction, Memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

CANDIDATES = 50  # of one pass
GUESS = 0.5  # the confidence of what a rule has found
PAGE = 500  # rows

GAIN = 0.02  # of confidence, each time
SHORTEST = 12  # characters of a memory that can be recognised in a text
LONG = 15  # stems; a longer memory is rarely said again as a whole
MATCH = "CASE WHEN stem_count > ? THEN hits >= 12 AND hits * 100 >= stem_count * 35 ELSE hits * 100 >= stem_count * 70 END"
POOL = """
(project_id = ? OR (project_id IS NULL AND (
    memory_type = 'identity' OR memory_type = 'preference' OR memories.id IN (SELECT value FROM json_each(?))
)))
"""


class Reflection(Interactions):
    """The part of the memories room that learns from what was said."""

    # -- candidates -------------------------------------------------------------------------------------------------

    def extract_candidates(self, interaction_id: str, *, actor: str = "", note: str = "") -> list[Memory]:
        """Make candidates of what an interaction states and return those that stand, in order of appearance; at most 50.

        Of the response and its summary what stands under a heading or label (Decision becomes an adaptation, Constraint and
        Requirement become project, Fact becomes knowledge) and sentences ("I prefer", "the user prefers": preference; "decided to":
        adaptation; "the requirement is": project), and "I prefer" of the prompt. Left out is what an active memory of the type says
        already, what a memory says that the model was told, and what was rejected before. A second time writes nothing, whatever has
        become of what was found the first time.
        """
        interaction_id = values.key("interaction_id", interaction_id)
        with self.db.write() as connection:
            source = known_interaction(connection, interaction_id)
            last = connection.value("SELECT max(pk) FROM memories") or 0
            standing = {item.id: item for item in self._candidates(connection, source)}
            new = [id for (id,) in connection.rows("SELECT id FROM memories WHERE pk > ? ORDER BY pk", (last,))]
            if new:
                self._audit(
                    "interaction.extract", entity_kind="interaction", entity_id=source.id, actor=actor, note=note,
                    user_id=source.user_id, project=source.project_id, conversation_id=source.conversation_id,
                    details={"candidates": new, "extractor_version": EXTRACTOR},
                )  # fmt: skip
        return list(standing.values())

    def _candidates(self, connection: Connection, source: Interaction) -> Iterator[Memory]:
        given = self._given(connection, source)
        unknown = (item for item in extract(source.response, source.response_summary, source.prompt) if self._may_stand(given, item))
        for item in islice((item for item in unknown if not self._is_known(connection, source, item)), CANDIDATES):
            yield given.get(self._place(item)) or self.add(
                item.memory_type, item.content, status="candidate", confidence=GUESS, interaction_id=source.id, rule=item.rule,
                extractor_version=EXTRACTOR, project=source.project_id, user_id=source.user_id, conversation_id=source.conversation_id,
            )  # fmt: skip

    def _given(self, connection: Connection, source: Interaction) -> dict[tuple[str | None, str], Memory]:
        """What was made of an interaction before, by what it said then, whatever has become of it."""
        events = [event for event in self._history("interaction", source.id) if event.event_type == "interaction.extract"]
        ids = values.to_json("ids", [id for event in events for id in (event.details or {}).get("candidates", ())])
        found = {}
        for item in MEMORIES.find(connection, "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY pk", (ids,)):
            edits = [event.before or {} for event in self._history("memory", item.id) if event.event_type == "memory.update"]
            said = next((before["content"] for before in edits if "content" in before), item.content)
            found[item.rule, self._key(said)] = item
        return found

    def _may_stand(self, given: dict[tuple[str | None, str], Memory], item: Found) -> bool:
        before = given.get(self._place(item))
        return before is None or before.status == "candidate"

    def _place(self, item: Found) -> tuple[str | None, str]:
        return item.rule, self._key(item.content)

    def _is_known(self, connection: Connection, source: Interaction, item: Found) -> bool:
        """Whether a find is believed already, was rejected, or says what a memory says that the model was told."""
        project, user = source.project_id, source.user_id
        return bool(
            connection.value(
                f"""
                SELECT 1 FROM memories WHERE content_key = ? AND (
                    (
                        (status = 'active' OR status = 'graduated') AND memory_type = ?
                        AND (project_id IS NULL OR project_id = ?) AND (user_id IS NULL OR user_id = ?)
                    ) OR (
                        status = 'invalid' AND expired_at IS NULL AND {THEIRS}
                    ) OR id IN (
                        SELECT piece_id FROM interaction_pieces
                        WHERE interaction = (SELECT pk FROM interactions WHERE id = ?) AND kind = 'memory'
                    )
                ) LIMIT 1
                """,
                (self._key(item.content), item.memory_type, project, user, project, project, user, user, source.id),
            )
        )

    # -- reinforcement ----------------------------------------------------------------------------------------------

    def reinforce(
        self, text: str | Interaction, *, project: str | None = None, user_id: str | None = None, actor: str = "", note: str = ""
    ) -> list[Memory]:
        """Raise the confidence of the active memories that a text says again by 0.02, up to 1, and return them, newest first.

        Those of the project, and identity and preference of no project; without one, all that belong to none. A text says a memory
        (of 12 characters or more) again where it has 70 % of its stems, of more than 15 stems 12 and 35 %. It goes by words only: a
        text that says the contrary in the same words raises it too. An interaction says its response and summary, in its project and
        for its user where none are given, and what it was told may be of no project whatever its type.
        """
        told = "[]"
        if isinstance(text, Interaction):
            told = values.to_json("memories_used", text.memories_used)
            project = text.project_id if project is None else project
            user_id = text.user_id if user_id is None else user_id
            text = f"{text.response}\n{text.response_summary}"
        said = stems(values.text("text", text))
        pool: Term = ("project_id IS ?", None)
        if project is not None:
            pool = (POOL, self._canonical(values.key("project", project), user_id), told)
        with self.db.write() as connection:
            where, params = joined([*self._terms(status="active", user_id=user_id), pool, (MATCH, LONG)])
            found = MEMORIES.find(
                connection,
                f"WHERE pk IN (SELECT memories.pk FROM {SHARING} WHERE {where}) ORDER BY created_at DESC, pk DESC",
                (json.dumps(tagged(said, connection.cipher)), *params),
            )
            return [self._reinforced(connection, item, actor, note) for item in found if len(item.content) >= SHORTEST]

    def _reinforced(self, connection: Connection, old: Memory, actor: str, note: str) -> Memory:
        after: dict[str, Any] = {
            "confidence": min(1.0, old.confidence + GAIN),
            "reference_count": old.reference_count + 1,
            "last_referenced_at": self.db.now,
        }
        connection.run(
            "UPDATE memories SET confidence = ?, reference_count = ?, last_referenced_at = ? WHERE id = ?", (*after.values(), old.id)
        )
        log(self._audit, "memory", "reinforce", old, shown(old, after), after, actor=actor, note=note)
        return replace(old, **after)

    # -- time -------------------------------------------------------------------------------------------------------

    def decay(self, now: float | datetime | None = None, *, actor: str = "confidence-decay", note: str = "") -> list[Memory]:
        """Let the confidence of memories fade that nobody refers to; return those that are superseded by it, oldest first.

        An active memory without any reference loses 3 % for each whole day beyond 30 since it was last changed, and is superseded
        on the day on which it falls below 0.30: 40 such days from 1.0. Only that is audited. One reference exempts for good; being
        found by `search` is none.
        """
        moment = values.optional(values.moment, "now", now)
        lapsed: list[Memory] = []
        with self.db.write() as connection:
            at = self.db.now if moment is None else moment
            place = 0
            while page := connection.rows(
                "SELECT pk, confidence, updated_at, decayed_at FROM memories"
                " WHERE pk > ? AND status = 'active' AND reference_count = 0 AND updated_at <= ? ORDER BY pk LIMIT ?",
                (place, at - FREE_DAYS * values.DAY, PAGE),
            ):
                place = values.onward(place, page[-1][0])
                steps = [(pk, step) for pk, held, since, taken in page if (step := faded(held, since, taken, at)) is not None]
                connection.many(
                    "UPDATE memories SET confidence = ?, decayed_at = ? WHERE pk = ?",
                    [(*step, pk) for pk, step in steps if step[0] >= THRESHOLD],
                )
                lapsed += [self._lapse(connection, pk, step, actor, note) for pk, step in steps if step[0] < THRESHOLD]
        return lapsed

    def _lapse(self, connection: Connection, pk: int, step: tuple[float, float], actor: str, note: str) -> Memory:
        (old,) = MEMORIES.find(connection, "WHERE pk = ?", (pk,))
        self._turn(connection, old, "superseded", actor, note, confidence=step[0], decayed_at=step[1])
        return self._known(connection, old.id)

    def expire(
        self, now: float | datetime | None = None, *, idle_days: float = 14, actor: str = "candidate-expiry", note: str = ""
    ) -> list[Memory]:
        """Make candidates invalid that nothing has happened to for so many days, and return them, oldest first.

        Nobody has judged them: what they say may come back.
        """
        moment = values.optional(values.moment, "now", now)
        idle = values.real("idle_days", idle_days, low=0.0) * values.DAY
        with self.db.write() as connection:
            at = self.db.now if moment is None else moment
            rows = connection.rows("SELECT id FROM memories WHERE status = 'candidate' AND updated_at <= ? ORDER BY pk", (at - idle,))
            for (id,) in rows:
                self._turn(connection, self._known(connection, id), "invalid", actor, note, verb="expire", expired_at=at)
            return [self._known(connection, id) for (id,) in rows]
