"""Selection: which documents are used for a user, or in one conversation.

1. The choice for a conversation precedes that of the user; without either a document is wanted.
2. A cleared choice is not a no: its row is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Invalid, NotFound, new_id, values
from ..kernel.rows import AMONG, Term, filters, joined, listed, newest, scope
from .library import Library
from .tables import DOCUMENTS, SELECTIONS, Document, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ..kernel import Canonical, Connection

Tier = tuple[str | None, str | None]  # user and conversation, of which one is None in a row: whose choice it is

NAMED = 20  # ids that a message names at most


def wanted(user_id: str | None, conversation_id: str | None) -> Term:
    """The condition that a row of `documents` is wanted by a user in a conversation, either of which may be None."""
    return (
        "COALESCE((SELECT enabled FROM selections WHERE conversation_id = ? AND document = documents.pk),"
        " (SELECT enabled FROM selections WHERE user_id = ? AND document = documents.pk), 1) = 1",
        conversation_id,
        user_id,
    )


def concerning(canonical: Canonical, project: str | None, user_id: str | None) -> list[Term]:
    """The conditions on documents that concern a user and a project: his and everybody's, of that project and of none."""
    return [*scope(canonical, None, user_id), *filters(("(project_id IS NULL OR project_id = ?)", canonical(project, user_id)))]


class Selections(Library):
    """The part of the documents room that keeps selections."""

    def select(
        self,
        document_ids: str | Iterable[str],
        enabled: bool | None,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        updated_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> int:
        """Select or deselect documents for a user, or for one conversation, and return for how many that is a change.

        None clears the choice, so that of the user holds again, or else that a document is wanted. Where an id is unknown, or that of a
        hidden document, NotFound is raised and nothing is changed.
        """
        tier = _tier(user_id, conversation_id)
        if tier == (None, None) or None not in tier:
            raise Invalid("select() needs either user_id or conversation_id: whose choice it is")
        ids = _ids(document_ids)
        enabled = values.optional(values.flag, "enabled", enabled)
        at = values.optional(values.moment, "updated_at", updated_at)
        with self.db.write() as connection:
            keys = _choosable(connection, ids)
            said = _said(connection, tier, keys)
            news = [id for id in keys if said.get(id, (0, None))[1] is not enabled]
            if not news:
                return 0
            known, unknown = [said[id][0] for id in news if id in said], [keys[id] for id in news if id not in said]
            _choose(connection, tier, known, unknown, enabled, self.db.now if at is None else at)
            self._audit(
                "selection.clear" if enabled is None else "selection.set", entity_kind="selection", entity_id=user_id or conversation_id,
                before={id: said[id][1] if id in said else None for id in news}, after=dict.fromkeys(news, enabled),
                user_id=user_id, conversation_id=conversation_id, actor=actor, note=note,
            )  # fmt: skip
        return len(news)

    def selections(
        self,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Selection]:
        """Return choices, newest first: those of a user, of a conversation, with both given of either, with none of all.

        `before` is the id of the last one of the page before.
        """
        tier = _tier(user_id, conversation_id)
        terms: list[Term] = [] if tier == (None, None) else [("(user_id = ? OR conversation_id = ?)", *tier)]
        limit = values.limit(limit)
        with self.db.read(snapshot=True) as connection:
            return newest(connection, SELECTIONS, "selection", terms, limit, before, "store.documents.selections()")

    def selected(
        self, *, user_id: str | None = None, conversation_id: str | None = None, project: str | None = None, limit: int | None = None
    ) -> list[Document]:
        """Return the documents that are wanted by a user in a conversation, in the order of `display_name`.

        The choice for the conversation precedes that of the user; without either a document is wanted. With a `user_id` documents of
        other users are left out, and with a `project` those of other projects.
        """
        limit = values.limit(limit)
        project, tier = values.optional(values.key, "project", project), _tier(user_id, conversation_id)
        terms = [("is_deleted = 0",), wanted(*tier), *concerning(self._canonical, project, user_id)]
        clause, params = joined(terms)
        found = DOCUMENTS.find(self.db, f"WHERE {clause} ORDER BY pk", params)
        found.sort(key=lambda item: (item.display_name, item.title))  # not by SQL: in an encrypted file both are encrypted
        return found if limit < 0 else found[:limit]

    def is_selected(self, document_id: str, *, user_id: str | None = None, conversation_id: str | None = None) -> bool:
        """Return whether a document is among the `selected`."""
        document_id = values.key("document_id", document_id)
        terms = [wanted(*_tier(user_id, conversation_id)), *concerning(self._canonical, None, user_id)]
        clause, params = joined([("id = ?", document_id), ("is_deleted = 0",), *terms])
        self.get(document_id)  # or NotFound
        return self.db.value(f"SELECT 1 FROM documents WHERE {clause}", params) is not None


def _tier(user_id: str | None, conversation_id: str | None) -> Tier:
    """Check whose choice is meant."""
    return values.optional(values.key, "user_id", user_id), values.optional(values.key, "conversation_id", conversation_id)


def _ids(given: str | Iterable[str]) -> list[str]:
    """The ids of some documents, each once."""
    several = [given] if isinstance(given, str) else values.strings("document_ids", given)
    return list(dict.fromkeys(values.key(f"document_ids[{place}]", id) for place, id in enumerate(several)))


def _choosable(connection: Connection, ids: list[str]) -> dict[str, int]:
    """The keys of documents by id; NotFound names those that do not exist or are hidden."""
    rows = connection.rows(f"SELECT id, pk, is_deleted FROM documents WHERE id {AMONG}", (listed(ids),))
    keys = {id: pk for id, pk, hidden in rows if not hidden}
    hidden = [id for id, _, gone in rows if gone]
    unknown = [id for id in ids if id not in keys and id not in hidden]
    told = [f"no document {_named(unknown)}"] if unknown else []
    told += [f"hidden until added again: {_named(hidden)}"] if hidden else []
    if told:
        raise NotFound(f"{'; '.join(told)}; nothing was changed, store.documents.find() lists those that can be selected")
    return {id: keys[id] for id in ids}


def _named(ids: list[str]) -> str:
    """Ids for a message, at most NAMED of them."""
    more = len(ids) - NAMED
    return ", ".join(values.shorten(id) for id in ids[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _said(connection: Connection, tier: Tier, keys: dict[str, int]) -> dict[str, tuple[int, bool]]:
    """The choices so far: key and value by the id of the document."""
    ids = {pk: id for id, pk in keys.items()}
    rows = connection.rows(
        f"SELECT pk, document, enabled FROM selections WHERE document {AMONG} AND user_id IS ? AND conversation_id IS ?",
        (listed(ids), *tier),
    )
    return {ids[document]: (pk, bool(enabled)) for pk, document, enabled in rows}


def _choose(
    connection: Connection, tier: Tier, known: list[int], unknown: list[int], enabled: bool | None, at: float
) -> None:
    """Change or clear the choices with `known` keys, and add choices for documents with `unknown` ones."""
    if enabled is None:
        connection.many("DELETE FROM selections WHERE pk = ?", [(pk,) for pk in known])
        return
    connection.many("UPDATE selections SET enabled = ?, updated_at = ? WHERE pk = ?", [(int(enabled), at, pk) for pk in known])
    connection.many(
        "INSERT INTO selections(id, created_at, updated_at, document, user_id, conversation_id, enabled) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(new_id(), at, at, document, *tier, int(enabled)) for document in unknown],
    )
