"""The Agents-SDK session: the SDK's protocol, item for item."""

from __future__ import annotations

import asyncio

import pytest

from memstore import Closed, Invalid, NotFound, open_store

ITEMS = [
    {"role": "user", "content": "What is 345 ms?"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "id": "fc_1", "status": "completed"},
    {"type": "function_call_output", "call_id": "c1", "output": "345"},
    {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "345", "annotations": []}]},
    {"role": "user", "content": ""},
    {"whatever": ["the", {"sdk": "thinks of"}], "number": 1.5, "none": None},
]


@pytest.fixture
def session(store):
    return store.chat.session("support-42")


def test_it_has_the_shape_that_the_sdk_asks_for(session):
    assert session.session_id == "support-42" and session.session_settings is None
    for name in ("get_items", "add_items", "pop_item", "clear_session"):
        assert asyncio.iscoroutinefunction(getattr(session, name))


def test_before_the_first_item_there_is_nothing(store, session):
    async def use():
        assert await session.get_items() == [] and await session.pop_item() is None
        await session.clear_session()
        await session.add_items([])

    asyncio.run(use())
    assert store.chat.conversations() == []


def test_items_come_back_as_they_went_in(store, session):
    async def use():
        await session.add_items(ITEMS)
        assert await session.get_items() == ITEMS
        assert await session.get_items(limit=2) == ITEMS[-2:]
        assert await session.get_items(100) == ITEMS
        for none in (0, -1):
            assert await session.get_items(none) == []
        assert await store.chat.session("other").get_items() == []

    asyncio.run(use())
    assert [message.role for message in store.chat.messages("support-42")] == ["user", "item", "item", "item", "assistant", "user", "item"]


def test_the_settings_of_the_sdk_limit_what_is_got(session):
    class Settings:
        limit = 3

    async def use():
        await session.add_items(ITEMS)
        session.session_settings = Settings()
        assert await session.get_items() == ITEMS[-3:]
        assert await session.get_items(1) == ITEMS[-1:]

    asyncio.run(use())


def test_more_items_than_a_page_come_back(session):
    many = [{"role": "user", "content": str(number)} for number in range(300)]

    async def use():
        await session.add_items(many)
        assert await session.get_items() == many

    asyncio.run(use())


def test_pop_takes_the_newest_and_clear_takes_all(store, session):
    async def use():
        await session.add_items(ITEMS)
        assert await session.pop_item() == ITEMS[-1]
        assert await session.get_items() == ITEMS[:-1]
        await session.clear_session()
        await session.clear_session()
        assert await session.get_items() == [] and await session.pop_item() is None
        await session.add_items(ITEMS[:1])
        assert await session.get_items() == ITEMS[:1]

    asyncio.run(use())
    assert len(store.audit.find(event_type="conversation.clear")) == 1


@pytest.mark.parametrize("wrong", ["text", {"role": "user", "content": "x"}, [ITEMS[0], "text"], [ITEMS[0], None], [ITEMS[0], {"a": {1}}]])
def test_what_is_no_list_of_json_objects_is_refused_whole(store, session, wrong):
    with pytest.raises(Invalid):
        asyncio.run(session.add_items(wrong))
    with pytest.raises(NotFound):
        store.chat.messages("support-42")


def test_sessions_at_once_lose_nothing(file_store):
    async def use():
        sessions = [file_store.chat.session(f"s{number % 3}") for number in range(30)]
        await asyncio.gather(*(session.add_items([{"role": "user", "content": str(n)}]) for n, session in enumerate(sessions)))
        return [len(await file_store.chat.session(f"s{number}").get_items()) for number in range(3)]

    assert asyncio.run(use()) == [10, 10, 10]


def test_inside_a_transaction_it_takes_part(file_store):
    async def use():
        session = file_store.chat.session("s")
        with pytest.raises(RuntimeError), file_store.transaction():
            await session.add_items(ITEMS)
            assert await session.get_items() == ITEMS
            raise RuntimeError
        assert await session.get_items() == []

    asyncio.run(use())


def test_after_close_it_says_so(tmp_path):
    store = open_store(tmp_path / "a.db")
    session = store.chat.session("s")
    asyncio.run(session.add_items(ITEMS))
    store.close()
    for use in (session.get_items, session.pop_item, session.clear_session, lambda: session.add_items(ITEMS)):
        with pytest.raises(Closed):
            asyncio.run(use())


def test_a_session_outlives_its_process(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        asyncio.run(store.chat.session("s").add_items(ITEMS))
    with open_store(tmp_path / "a.db") as store:
        assert asyncio.run(store.chat.session("s").get_items()) == ITEMS


@pytest.mark.parametrize("wrong", ["", " ", "a\0", 5, None])
def test_a_session_needs_an_id(store, wrong):
    with pytest.raises(Invalid, match="session_id"):
        store.chat.session(wrong)
