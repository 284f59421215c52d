"""Where things are: numbers of arrival, ids of messages, keys of conversations and places in them.

1. A number of arrival is taken once: the counter is the highest of the messages, or the mark kept where that was higher.
2. `pk` of a message is its conversation's key in the upper and its place in the lower 32 bits.
"""

from __future__ import annotations

from ..kernel import Connection, Exists, Invalid, NotFound, values
from .tables import CONVERSATIONS, Conversation

SPAN = 1 << 32  # places in a conversation


def last_arrival(conn: Connection) -> int:
    """The highest number of arrival ever given."""
    newest, mark = conn.rows("SELECT (SELECT max(arrival) FROM messages), (SELECT last FROM arrivals WHERE id = 1)")[0]
    return max(newest or 0, mark or 0)


def next_arrival(conn: Connection) -> int:
    """Take a number of arrival for what is no message."""
    number = last_arrival(conn) + 1
    keep_arrival(conn, number)
    return number


def keep_arrival(conn: Connection, number: int) -> None:
    """Set the mark below which no number is free, whatever becomes of the messages."""
    conn.run("INSERT INTO arrivals(id, last) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET last = excluded.last", (number,))


def new_message_id(now: float, arrival: int, chance: int) -> str:
    """An id that holds its number: 42 bits of it, and 32 of chance to tell stores apart."""
    return values.uuid7(int(now * 1000), arrival >> 30, (arrival & 0x3FFF_FFFF) << 32 | chance)


def arrival_in(message_id: str) -> int | None:
    """The number of arrival that an id made by `ChatStore` holds; anything for other ids."""
    try:
        digits = int(message_id.replace("-", ""), 16)
    except ValueError:
        return None
    return (digits >> 64 & 0xFFF) << 30 | digits >> 32 & 0x3FFF_FFFF


def find_message(conn: Connection, message_id: str) -> tuple[int, int] | None:
    """Key and number of arrival of the message with this id: one that we made says its number, others are indexed."""
    found: tuple[int, int] | None = conn.row(
        """
        SELECT pk, arrival FROM messages WHERE arrival = ? AND id = ?
        UNION ALL
        SELECT pk, arrival FROM messages WHERE supplied = 1 AND id = ?
        LIMIT 1
        """,
        (arrival_in(message_id), message_id, message_id),
    )
    return found


def known_message(conn: Connection, message_id: str, owner: int | None = None) -> tuple[int, int]:
    """Key and number of a message that must be there, and in the conversation with the key `owner` where one is given."""
    found = find_message(conn, values.key("message id", message_id))
    if found is None:
        known = [row[0] for row in conn.rows("SELECT id FROM messages WHERE supplied = 1 ORDER BY pk DESC LIMIT 1000")]
        nearest = values.suggest(message_id, known)
        raise NotFound(f"no message {values.shorten(message_id)}{nearest}; store.chat.messages(conversation_id) lists them")
    if owner not in (None, found[0] >> 32):
        there, here = (conn.value("SELECT id FROM conversations WHERE pk = ?", (pk,)) for pk in (found[0] >> 32, owner))
        raise Invalid(f"message {message_id!r} is in conversation {there!r}, not in {here!r}")
    return found


def free_id(conn: Connection, message_id: str) -> str:
    """A caller's id, which no message may have."""
    if find_message(conn, message_id) is not None:
        raise Exists(f"message {message_id!r} exists already; store.chat.get_message() shows it")
    return message_id


def key_of(conn: Connection, conversation_id: str) -> int:
    """The conversation's integer key."""
    found: int | None = conn.value("SELECT pk FROM conversations WHERE id = ?", (values.key("conversation_id", conversation_id),))
    if found is None:
        raise no_conversation(conn, conversation_id)
    return found


def known_conversation(conn: Connection, conversation_id: str) -> Conversation:
    """A conversation that must be there."""
    found = CONVERSATIONS.first(conn, "WHERE id = ?", (values.key("conversation_id", conversation_id),))
    if found is None:
        raise no_conversation(conn, conversation_id)
    return found


def no_conversation(conn: Connection, conversation_id: str) -> NotFound:
    """The error for an unknown conversation, with the nearest that there is."""
    known = [row[0] for row in conn.rows("SELECT id FROM conversations ORDER BY pk DESC LIMIT 1000")]
    nearest = values.suggest(conversation_id, known)
    return NotFound(f"no conversation {values.shorten(conversation_id)}{nearest}; store.chat.conversations() lists them")


#: Queries that find what must not be: kind of finding, and number and description of each; printf, since || of a lost value is NULL.
CHECKS = (
    (
        "misplaced",
        """
        SELECT messages.arrival, printf('message %s is in no conversation, or beyond the last place of its own', messages.id)
        FROM messages LEFT JOIN conversations ON conversations.pk = messages.pk >> 32
        WHERE conversations.pk IS NULL OR messages.pk & 4294967295 > conversations.last_seq
        """,
    ),
    (
        "message_id",
        """
        SELECT arrival, printf('message %s has number %d, which is not the one in its id', id, arrival)
        FROM messages
        WHERE supplied = 0
          AND (substr(id, 15, 4) <> printf('7%03x', arrival >> 30)
               OR substr(id, 20, 4) || substr(id, 25, 4) <> printf('%08x', 2147483648 | (arrival & 1073741823)))
        """,
    ),
    (
        "project_name",
        """
        SELECT NULL, printf('the name %s is an alias of another project of its user', name)
        FROM projects JOIN project_aliases ON alias = name AND project_aliases.user_id = projects.user_id
        WHERE project_id <> projects.id
        """,
    ),
)
