"""Tasks of one event loop and one store."""

from __future__ import annotations

import asyncio
import threading

import pytest

from memstore import Closed, Invalid, open_store

from .things import Things, at_rest


@pytest.fixture
def things(store):
    """A room that exists."""
    room = Things(store)
    room.add("first")
    return room


def test_another_task_that_enters_a_transaction_is_told_at_once(store, things):
    async def main():
        entered, tried = asyncio.Event(), asyncio.Event()

        async def first():
            with store.transaction():
                things.add("a")
                entered.set()
                await tried.wait()
                things.add("b")

        async def second():
            await entered.wait()
            for call in (lambda: things.add("c"), lambda: store.transaction().__enter__(), store.optimize, store._database.close):
                with pytest.raises(Invalid, match=r"another task of this thread is inside transaction\(\)"):
                    call()
            if store.path == ":memory:":
                with pytest.raises(Invalid, match="another task"):
                    things.words()
            else:
                assert things.words() == ["first"], "a reader sees the last commit"
            tried.set()

        await asyncio.gather(first(), second())

    asyncio.run(main())
    assert things.words() == ["first", "a", "b"]
    assert at_rest(store)


def test_tasks_that_do_not_await_inside_share_a_store(store, things):
    async def work(number):
        for turn in range(10):
            with store.transaction():
                things.add(f"{number} {turn}")
                things.add(f"{number} {turn}")
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(work(number) for number in range(5)))

    asyncio.run(main())
    words = things.words()[1:]
    assert len(words) == 100
    assert words[::2] == words[1::2]


def test_run_returns_what_the_function_returns_and_raises_what_it_raises(store, things):
    def divide(a, *, b):
        assert threading.current_thread() is not threading.main_thread()
        return a / b

    async def main():
        assert await store.run(divide, 6, b=3) == 2
        with pytest.raises(ZeroDivisionError):
            await store.run(divide, 1, b=0)
        await asyncio.gather(*(store.run(things.add, f"{number}") for number in range(20)))

    asyncio.run(main())
    assert sorted(things.words()) == sorted(["first", *map(str, range(20))])


def test_the_loop_goes_on_while_a_call_waits_for_the_file(store, things):
    async def main():
        loop = asyncio.get_running_loop()
        inside, go_on = asyncio.Event(), threading.Event()

        def long():
            with store.transaction():
                things.add("a")
                loop.call_soon_threadsafe(inside.set)
                assert go_on.wait(10)

        job = asyncio.ensure_future(store.run(long))
        await inside.wait()
        waiting = asyncio.ensure_future(store.run(things.add, "b"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        await asyncio.gather(job, waiting)

    asyncio.run(main())
    assert things.words() == ["first", "a", "b"]


def test_a_cancelled_call_that_has_begun_is_awaited_and_stands(store, things):
    async def main():
        loop = asyncio.get_running_loop()
        inside, go_on = asyncio.Event(), threading.Event()

        def long():
            with store.transaction():
                things.add("a")
                loop.call_soon_threadsafe(inside.set)
                assert go_on.wait(10)

        job = asyncio.ensure_future(store.run(long))
        await inside.wait()
        for _ in range(3):  # patience, however often it is cancelled
            job.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not job.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert things.words() == ["first", "a"], "the outcome stands before the cancellation arrives"

    asyncio.run(main())


def test_a_cancelled_call_that_has_begun_and_fails_is_cancelled_quietly(store, things):
    async def main():
        loop = asyncio.get_running_loop()
        unheard = []
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        inside, go_on = asyncio.Event(), threading.Event()

        def fail():
            loop.call_soon_threadsafe(inside.set)
            assert go_on.wait(10)
            with store.transaction():
                things.add("a")
                raise ZeroDivisionError

        job = asyncio.ensure_future(store.run(fail))
        await inside.wait()
        job.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await job
        del job
        assert unheard == []

    asyncio.run(main())
    assert things.words() == ["first"]


def test_a_cancelled_call_that_has_not_begun_does_not_happen(store, things):
    async def main():
        loop = asyncio.get_running_loop()
        go_on, begun = threading.Event(), []
        full = asyncio.Event()

        def occupy():
            begun.append(1)
            loop.call_soon_threadsafe(full.set)
            assert go_on.wait(10)

        await store.run(begun.clear)
        workers = store._hops[1]._max_workers
        jobs = [asyncio.ensure_future(store.run(occupy)) for _ in range(workers)]
        while len(begun) < workers:
            full.clear()
            await full.wait()
        late = asyncio.ensure_future(store.run(things.add, "never"))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        go_on.set()
        await asyncio.gather(*jobs)
        await store.run(things.add, "later")

    asyncio.run(main())
    assert things.words() == ["first", "later"]


def test_a_function_run_in_a_worker_has_a_transaction_of_its_own(file_store):
    things = Things(file_store)
    things.add("first")

    async def main():
        with file_store.transaction():
            things.add("a")
            assert await file_store.run(things.words) == ["first"]

    asyncio.run(main())
    assert things.words() == ["first", "a"]


def test_context_variables_reach_the_worker(store):
    import contextvars

    name = contextvars.ContextVar("name")

    async def main():
        name.set("agent-7")
        assert await store.run(name.get) == "agent-7"

    asyncio.run(main())


def test_run_on_a_closed_store_is_refused(tmp_path):
    store = open_store(tmp_path / "agent.db")

    async def main():
        assert await store.run(lambda: 1) == 1
        store.close()
        with pytest.raises(Closed):
            await store.run(lambda: 1)

    asyncio.run(main())


def test_close_leaves_no_worker_behind(tmp_path):
    async def main():
        with open_store(tmp_path / "agent.db") as store:
            await store.run(Things(store).add, "a")

    before = set(threading.enumerate())
    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
