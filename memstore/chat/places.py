"""Where things are: numbers of arrival, ids of messages, keys of conversations and places in them.

1. `pk` of a message is its conversation's key in the upper and its place in the lower 32 bits.
2. Messages that come one after the other into one conversation have keys and numbers of arrival that rise together: such a run
   is one row of `arrivals`, and what lengthens it writes no row.
3. A number of arrival is taken once. The newest run is that of the conversation with the newest message, whose `activity` is
   then the last number given; a run with the key 0 has no conversation and begins behind it.
"""

from __future__ import annotations

from ..kernel import Connection, Exists, Invalid, NotFound, values
from .tables import CONVERSATIONS, Conversation

SPAN = 1 << 32  # places in a conversation
_ID = "%08x-%04x-7%03x-%04x-%04x%08x"  # an f-string of as many parts takes twice as long

#: The messages whose numbers are `wanted.value`. Behind the end of a run may lie keys with other numbers: so those are compared.
AT_WANTED = """
CROSS JOIN messages ON messages.pk = (
    SELECT pk + wanted.value - first FROM arrivals WHERE first <= wanted.value ORDER BY first DESC LIMIT 1
) AND messages.arrival = wanted.value
"""


def last_arrival(conn: Connection) -> int:
    """The highest number of arrival ever given."""
    number: int | None = conn.value(
        """
        SELECT coalesce(newest.activity, arrivals.first - 1)
        FROM arrivals LEFT JOIN conversations AS newest ON newest.pk = arrivals.pk >> 32
        ORDER BY arrivals.first DESC
        LIMIT 1
        """
    )
    return 0 if number is None else number


def next_arrival(conn: Connection) -> int:
    """Take a number of arrival for what is no message."""
    number = last_arrival(conn) + 1
    begin_run(conn, number + 1, 0)
    return number


def begin_run(conn: Connection, first: int, pk: int) -> None:
    """Say that messages from a number on have the keys from `pk` on."""
    conn.run("INSERT OR REPLACE INTO arrivals(first, pk) VALUES (?, ?)", (first, pk))


def new_message_id(now: float, number: int, chance: int) -> str:
    """An id in the layout of UUID version 7 that holds 42 bits of its number, and 32 of chance to tell stores apart."""
    ms = int(now * 1000) & 0xFFFF_FFFF_FFFF
    group, low = 0x8000 | number >> 16 & 0x3FFF, number & 0xFFFF
    return _ID % (ms >> 16, ms & 0xFFFF, number >> 30 & 0xFFF, group, low, chance)


def new_message_ids(now: float, first: int, count: int, chance: int) -> list[str]:
    """The ids of messages with consecutive numbers."""
    end, result = first + count, list[str]()
    while first < end:
        head, low = new_message_id(now, first, chance)[:24], first & 0xFFFF
        block = range(low, min(low + end - first, 1 << 16))  # these share the head
        result += map(f"{head}%04x{chance:08x}".__mod__, block)
        first += block.stop - low
    return result


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
        f"""
        SELECT messages.pk, messages.arrival FROM (SELECT ? AS value) AS wanted {AT_WANTED} WHERE messages.id = ?
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
        "arrival",
        """
        SELECT arrival, printf('message %s is not where its number %d is looked for', id, arrival)
        FROM messages
        WHERE pk IS NOT (
            SELECT arrivals.pk + messages.arrival - first FROM arrivals WHERE first <= messages.arrival ORDER BY first DESC LIMIT 1
        )
        """,
    ),
    (
        "plain",
        """
        SELECT arrival, printf('message %s is marked as plain, but it has more than a role and a text', id)
        FROM messages
        WHERE plain <> 0 AND coalesce(
            callout_type, nullif(models_used, '[]'), accuracy_level, confidence, tool_calls, tool_call_id, name, extra, metadata
        ) IS NOT NULL
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
