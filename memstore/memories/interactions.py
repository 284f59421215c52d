"""Interactions: what was asked and answered, with what the model was told, and what has become of that since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import Connection, Invalid, Record, new_id, record, values
from ..kernel.rows import filters, known, newest, refuse_taken, scope
from .beliefs import Beliefs
from .erasing import homes
from .tables import INTERACTIONS, PIECES, Interaction

LISTED = "store.memories.interactions()"

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@record
class ExplainedPiece(Record):
    """A piece of context as it was told, and as it stands now.

    `state` is "unchanged", "changed" (another version, or a chunk that its document has no more), "candidate", "superseded", "invalid"
    or "graduated" (its status), "expired", "removed" (with its document, which is hidden), "erased" (gone for whatever reason) or
    "unknown" (nothing that versions are kept of, and nothing here has it). `now` is the record itself, of a chunk that is gone the
    document, as far as its context says which; None where there is none.
    """

    kind: str
    id: str
    state: str
    version_then: int | None
    version_now: int | None
    now: Record | None


@record
class Explanation(Record):
    """What stood behind a response: the interaction, and each piece of its context with its `state` now, "unchanged" to "erased"."""

    interaction: Interaction
    pieces: list[ExplainedPiece]


class Interactions(Beliefs):
    """The part of the memories room that keeps what was said."""

    def capture(
        self,
        prompt: str,
        response: str = "",
        *,
        response_summary: str = "",
        context: Any = None,
        memories_used: Iterable[str] = (),
        chunks_used: Iterable[str] = (),
        client: str = "",
        session_id: str = "",
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Interaction:
        """Store a prompt and its response with what the model was told, and return it; no memory changes by that.

        `context` is a dict, or an object whose `to_dict()` gives one. Where it has "pieces", a list of objects with "kind" and
        "id", each is remembered with its "version", or the one that it has now, for `explain`; so are `memories_used` and
        `chunks_used`, which are ids, and those of its pieces where they are not given.
        """
        pack = {} if context is None else values.json_object("context", _as_dict(context))
        used = {"memory": _ids("memories_used", memories_used), "chunk": _ids("chunks_used", chunks_used)}
        told = _pieces(pack)
        for kind, ids in used.items():
            used[kind] = ids = ids or [id for of, id in told if of == kind]
            told.update({(kind, piece_id): None for piece_id in ids if (kind, piece_id) not in told})
        user_id = values.optional(values.key, "user_id", user_id)
        project = "" if project is None else values.label("project", project)
        new = Interaction(
            id=new_id() if id is None else values.key("id", id),
            created_at=self.db.now if created_at is None else values.moment("created_at", created_at),
            prompt=values.text("prompt", prompt, blank=False),
            response=values.text("response", response),
            response_summary=values.text("response_summary", response_summary),
            context_pack=pack,
            memories_used=used["memory"],
            chunks_used=used["chunk"],
            client=values.label("client", client),
            session_id=values.label("session_id", session_id),
            project=project,
            project_id=self._canonical(project, user_id) if project else None,
            user_id=user_id,
            conversation_id=values.optional(values.key, "conversation_id", conversation_id),
            metadata=values.optional(values.json_object, "metadata", metadata),
        )
        with self.db.write() as connection:
            refuse_taken(connection, INTERACTIONS, "an interaction", new.id, "what was said does not change, leave id= out")
            pk = INTERACTIONS.insert(connection, new)
            connection.many(
                "INSERT INTO interaction_pieces(interaction, kind, piece_id, piece_version) VALUES (?, ?, ?, ?)",
                [(pk, *piece, self._version(*piece) if version is None else version) for piece, version in told.items()],
            )
        return new

    def get_interaction(self, id: str) -> Interaction:
        """Return one interaction."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return known_interaction(connection, id)

    def interactions(
        self,
        *,
        project: str | None = None,
        session_id: str | None = None,
        client: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        limit: int | None = 50,
        before: str | None = None,
    ) -> list[Interaction]:
        """Return interactions, newest first by (created_at, arrival); `before` is the id of the last one of the page before.

        `since` is inclusive, `until` exclusive. A `user_id` finds that user's and nobody's.
        """
        terms = filters(
            ("session_id = ?", values.optional(values.label, "session_id", session_id)),
            ("client = ?", values.optional(values.label, "client", client)),
            ("conversation_id = ?", values.optional(values.label, "conversation_id", conversation_id)),
            ("created_at >= ?", values.optional(values.moment, "since", since)),
            ("created_at < ?", values.optional(values.moment, "until", until)),
        )
        terms += scope(self._canonical, project, user_id)
        limit = values.limit(limit)
        with self.db.read(snapshot=True) as connection:
            return newest(connection, INTERACTIONS, "interaction", terms, limit, before, LISTED)

    def explain(self, interaction_id: str) -> Explanation:
        """Return what the model was told in an interaction, with the state of each piece now.

        What the pieces said then is in `interaction.context_pack`, where that was captured with them.
        """
        interaction_id = values.key("interaction_id", interaction_id)
        with self.db.read(snapshot=True) as connection:
            interaction = known_interaction(connection, interaction_id)
            pieces = PIECES.find(
                connection, "WHERE interaction = (SELECT pk FROM interactions WHERE id = ?) ORDER BY pk", (interaction.id,)
            )
        known = homes(interaction.context_pack)
        return Explanation(
            interaction, [self._explained(each.kind, each.piece_id, each.piece_version, known.get(each.piece_id, "")) for each in pieces]
        )

    def _explained(self, kind: str, id: str, then: int | None, home_id: str) -> ExplainedPiece:
        found = self._piece(kind, id)
        home = self._piece("document", getattr(found, "document_id", home_id)) if kind == "chunk" else None
        subject = home or found
        if subject is None:
            return ExplainedPiece(kind, id, "unknown" if then is None else "erased", then, None, None)
        version = getattr(found, "version", None)
        same = found is not None and version in (None, then)
        state = _state(subject, self.db.now) or ("unchanged" if same else "changed")
        return ExplainedPiece(kind, id, state, then, version, found or home)

    def _version(self, kind: str, id: str) -> int | None:
        version: int | None = getattr(self._piece(kind, id), "version", None)
        return version


def known_interaction(connection: Connection, id: str) -> Interaction:
    """The interaction with an id, or NotFound."""
    return known(connection, INTERACTIONS, "interaction", id, LISTED)


def _state(found: Record, now: float) -> str | None:
    """What a record says of itself that makes its version beside the point; not every kind has a status or an end."""
    status: str = getattr(found, "status", "active")
    if status != "active":
        return status
    if getattr(found, "is_deleted", False):
        return "removed"
    if getattr(found, "superseded_at", None) is not None:
        return "superseded"
    end = getattr(found, "valid_until", getattr(found, "retired_at", None))  # an observation is retired
    return "expired" if end is not None and end <= now else None


def _as_dict(context: Any) -> Any:
    convert = None if isinstance(context, dict) else getattr(context, "to_dict", None)
    return context if convert is None else convert()


def _ids(name: str, given: Iterable[str]) -> list[str]:
    return [values.key(f"{name}[{position}]", id) for position, id in enumerate(values.strings(name, given))]


def _pieces(pack: dict[str, Any]) -> dict[tuple[str, str], int | None]:
    """Kind and id of each piece that a context lists, with the version that it gives."""
    pieces = pack.get("pieces", [])
    if not isinstance(pieces, list):
        raise Invalid(f'"pieces" of context must be a list of objects with "kind" and "id", not {values.shorten(pieces)}')
    found: dict[tuple[str, str], int | None] = {}
    for position, piece in enumerate(pieces):
        name = f"context.pieces[{position}]"
        if not isinstance(piece, dict):
            raise Invalid(f'{name} must be an object with "kind" and "id", not {values.shorten(piece)}')
        version = values.optional(values.integer, f"{name}.version", piece.get("version"))
        found.setdefault((values.key(f"{name}.kind", piece.get("kind")), values.key(f"{name}.id", piece.get("id"))), version)
    return found
