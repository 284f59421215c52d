"""Selection: which documents a user, or one conversation, wants to hear from.

1. What a conversation says goes before what its user says, and where neither says anything a document is wanted.
2. To say nothing is not to say no: clearing removes the row.
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

Tier = tuple[str | None, str | None]  # a user, or a conversation: whose choice it is

NAMED = 20  # ids that a message names at most


def wanted(user_id: str | None, conversation_id: str | None) -> Term:
    """The condition that a row of `documents` is wanted by a user in a conversation, either of which may be None."""
    return (
        "COALESCE((SELECT enabled FROM selections WHERE conversation_id = ? AND document = documents.pk),"
        " (SELECT enabled FROM selections WHERE user_id = ? AND document = documents.pk), 1) = 1",
        conversation_id,
        user_id,
    )


def heard(canonical: Canonical, project: str | None, user_id: str | None) -> list[Term]:
    """What documents must meet that a user hears of in a project: his, everybody's, and those of no project."""
    return [*scope(canonical, None, user_id), *filters(("(project_id IS NULL OR project_id = ?)", canonical(project, user_id)))]


class Selections(Library):
    """The part of the documents room that knows what is wanted."""

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
        """Say whether a user, or one conversation, wants to hear from documents, and return for how many that is news.

        None takes back what was said, so that what the user says holds again, or that a document is wanted. An id that is no
        document's, or that of a hidden one, raises NotFound, and nothing is said of the others.
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
        """Return what was said, newest first: by a user, in a conversation, with both by either, else by anybody.

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
        """Return the documents that a user, in a conversation, hears from, in the order of what they are called.

        What the conversation says goes before what the user says; where neither says anything a document is wanted. With a
        `user_id` those of others are left out, and with a `project` those of other projects.
        """
        limit = values.limit(limit)
        project, tier = values.optional(values.key, "project", project), _tier(user_id, conversation_id)
        terms = [("is_deleted = 0",), wanted(*tier), *heard(self._canonical, project, user_id)]
        clause, params = joined(terms)
        found = DOCUMENTS.find(self.db, f"WHERE {clause} ORDER BY pk", params)
        found.sort(key=lambda item: (item.display_name, item.title))  # which cannot be compared in the file of an encrypted store
        return found if limit < 0 else found[:limit]

    def is_selected(self, document_id: str, *, user_id: str | None = None, conversation_id: str | None = None) -> bool:
        """Return whether a document is among the `selected`."""
        document_id = values.key("document_id", document_id)
        terms = [wanted(*_tier(user_id, conversation_id)), *heard(self._canonical, None, user_id)]
        clause, params = joined([("id = ?", document_id), ("is_deleted = 0",), *terms])
        self.get(document_id)  # or NotFound
        return self.db.value(f"SELECT 1 FROM documents WHERE {clause}", params) is not None


def _tier(user_id: str | None, conversation_id: str | None) -> Tier:
    """Whose choice is meant."""
    return values.optional(values.key, "user_id", user_id), values.optional(values.key, "conversation_id", conversation_id)


def _ids(given: str | Iterable[str]) -> list[str]:
    """The ids of some documents, each once."""
    several = [given] if isinstance(given, str) else values.strings("document_ids", given)
    return list(dict.fromkeys(values.key(f"document_ids[{place}]", id) for place, id in enumerate(several)))


def _choosable(connection: Connection, ids: list[str]) -> dict[str, int]:
    """The keys of documents that are there and not hidden, or NotFound, which names those that are not."""
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
    """Ids in a message; of very many the first ones."""
    more = len(ids) - NAMED
    return ", ".join(values.shorten(id) for id in ids[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _said(connection: Connection, tier: Tier, keys: dict[str, int]) -> dict[str, tuple[int, bool]]:
    """What was said so far of documents: key and choice, by the document's id."""
    ids = {pk: id for id, pk in keys.items()}
    rows = connection.rows(
        f"SELECT pk, document, enabled FROM selections WHERE document {AMONG} AND user_id IS ? AND conversation_id IS ?",
        (listed(ids), *tier),
    )
    return {ids[document]: (pk, bool(enabled)) for pk, document, enabled in rows}


def _choose(
    connection: Connection, tier: Tier, known: list[int], unknown: list[int], enabled: bool | None, at: float
) -> None:
    """Change the choices with some keys, and make those for documents of which nothing was said."""
    if enabled is None:
        connection.many("DELETE FROM selections WHERE pk = ?", [(pk,) for pk in known])
        return
    connection.many("UPDATE selections SET enabled = ?, updated_at = ? WHERE pk = ?", [(int(enabled), at, pk) for pk in known])
    connection.many(
        "INSERT INTO selections(id, created_at, updated_at, document, user_id, conversation_id, enabled) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(new_id(), at, at, document, *tier, int(enabled)) for document in unknown],
    )
