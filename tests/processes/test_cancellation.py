"""Cancellation at every point of `await store.run(...)`: what has begun is awaited and stands, what has not does not happen."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kernel.things import Things, at_rest, run

from memstore import open_store

TICKS = 8  # turns of the loop, more than a call takes to begin and to end


class Bench:
    """A store with one worker, and a call in it that ends when it is told."""

    def __init__(self, store):
        self.store, self.things = store, Things(store)
        self.things.words()
        self.pool = ThreadPoolExecutor(1)
        self.jobs, submit = [], self.pool.submit

        def noted(*given):
            self.jobs.append(submit(*given))
            return self.jobs[-1]

        self.pool.submit = noted
        store._hops = (os.getpid(), self.pool)
        self.begun, self.go = threading.Event(), threading.Event()

    def work(self, word="word"):
        """Write in a transaction that lasts as long as the test wants."""
        with self.store.transaction():
            self.things.add(word)
            self.begun.set()
            assert self.go.wait(60)
        return word

    def occupy(self):
        """Keep the only worker busy."""
        return self.pool.submit(self.go.wait, 60)

    def let_go(self):
        """Let the call end and wait until it has, while the loop stands still."""
        self.go.set()
        for job in self.jobs:
            with contextlib.suppress(BaseException):
                job.result(60)


@pytest.fixture
def bench(file_store):
    return Bench(file_store)


def fresh(bench):
    """Forget what a round has left."""
    bench.begun.clear()
    bench.go.clear()
    bench.jobs.clear()
    with bench.things.room.write() as connection:
        connection.run("DELETE FROM things")


@pytest.mark.parametrize("queued", [False, True])
def test_a_call_cancelled_at_any_turn_of_the_loop_has_happened_if_and_only_if_it_had_begun(bench, queued):
    async def attempt(cancel_at, end_at):
        if queued:
            bench.occupy()
        task = asyncio.ensure_future(bench.store.run(bench.work))
        for turn in range(TICKS):
            if turn == 1 and not queued and cancel_at > 0:
                assert bench.begun.wait(60)
            if turn == end_at:
                bench.let_go()
            if turn == cancel_at:
                task.cancel()
            await asyncio.sleep(0)
        bench.let_go()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return outcome

    seen = set()
    for cancel_at in range(TICKS):
        for end_at in range(TICKS):
            fresh(bench)
            outcome = asyncio.run(attempt(cancel_at, end_at))
            begun = bench.begun.is_set()
            assert bench.things.words() == (["word"] if begun else []), (cancel_at, end_at)
            assert outcome == "word" or isinstance(outcome, asyncio.CancelledError)
            assert begun or outcome != "word"
            if cancel_at == 0:
                assert not begun, "a task that was cancelled before its first step does nothing"
            assert at_rest(bench.store)
            seen.add((begun, outcome == "word"))
    assert seen == {(False, False), (True, False), (True, True)}


def test_a_call_that_has_ended_but_has_not_been_heard_of_stands_when_it_is_cancelled(bench):
    async def main():
        task = asyncio.ensure_future(bench.store.run(bench.work))
        await asyncio.sleep(0)
        bench.begun.wait(60)
        bench.let_go()  # the loop has not turned since: the result is on its way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert bench.things.words() == ["word"]


def test_a_failing_task_group_leaves_no_call_under_way(bench):
    async def fail():
        await asyncio.sleep(0)
        assert bench.begun.wait(60)
        asyncio.get_running_loop().call_later(0.02, bench.go.set)  # after the group has cancelled the others
        raise KeyError

    async def main():
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(bench.store.run(bench.work))
                group.create_task(bench.store.run(bench.things.add, "queued"))
                group.create_task(fail())
        assert bench.things.words() == ["word"]
        assert at_rest(bench.store)

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["wait_for", "timeout"])
def test_a_timeout_is_raised_when_the_outcome_stands(bench, limit):
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, bench.go.set)
        with pytest.raises(TimeoutError):
            if limit == "wait_for":
                await asyncio.wait_for(bench.store.run(bench.work), 0.01)
            else:
                async with asyncio.timeout(0.01):
                    await bench.store.run(bench.work)
        assert bench.go.is_set()
        assert bench.things.words() == ["word"]

    asyncio.run(main())


def test_of_a_cancelled_gather_what_had_begun_stands_and_the_rest_does_not_happen(bench):
    async def main():
        tasks = [asyncio.ensure_future(bench.store.run(function, word)) for function, word in
                 [(bench.work, "begun"), (bench.things.add, "queued"), (bench.things.add, "queued too")]]  # fmt: skip
        all_of_them = asyncio.gather(*tasks)
        await asyncio.sleep(0)
        assert bench.begun.wait(60)
        all_of_them.cancel()
        await asyncio.sleep(0)
        bench.let_go()
        with pytest.raises(asyncio.CancelledError):
            await all_of_them
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [True] * 3
        assert bench.things.words() == ["begun"]

    asyncio.run(main())


def test_a_cancellation_from_far_outside_waits_for_the_call_within(bench):
    async def inner():
        try:
            return await bench.store.run(bench.work)
        finally:
            await bench.store.run(bench.things.add, "cleaned up")

    async def main():
        outer = asyncio.ensure_future(asyncio.gather(inner()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert bench.begun.wait(60)
        outer.cancel()
        asyncio.get_running_loop().call_soon(bench.go.set)
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert bench.things.words() == ["word", "cleaned up"]

    asyncio.run(main())


def test_a_loop_of_its_own_inside_a_worker_is_cancelled_exactly_too(bench):
    bench.pool._max_workers = 2

    def nested():
        async def within():
            task = asyncio.ensure_future(bench.store.run(bench.work))
            await asyncio.sleep(0)
            assert bench.begun.wait(60)
            task.cancel()
            asyncio.get_running_loop().call_soon(bench.go.set)
            with pytest.raises(asyncio.CancelledError):
                await task
            return bench.things.words()

        return asyncio.run(within())

    assert asyncio.run(bench.store.run(nested)) == ["word"]


def test_a_loop_closed_under_a_call_leaves_its_outcome_standing(bench, caplog):
    loop = asyncio.new_event_loop()
    heard = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    task = loop.create_task(bench.store.run(bench.work))
    loop.run_until_complete(asyncio.sleep(0))
    assert bench.begun.wait(60)
    loop.close()
    bench.let_go()
    assert bench.things.words() == ["word"]
    assert at_rest(bench.store)
    del task
    bench.jobs.clear()
    gc.collect()
    assert heard == ["Task was destroyed but it is pending!"], "which is what asyncio says of any such task"
    assert caplog.records == []
    assert asyncio.run(bench.store.run(bench.things.words)) == ["word"]


def test_a_task_cancelled_inside_its_transaction_undoes_it_and_lets_the_next_one_in(bench):
    async def main():
        inside = asyncio.Event()

        async def first():
            with bench.store.transaction():
                bench.things.add("never")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(first())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert at_rest(bench.store)
        with bench.store.transaction():
            bench.things.add("next")

    asyncio.run(main())
    assert bench.things.words() == ["next"]


def test_an_interrupt_raised_by_the_function_itself_undoes_it_and_ends_the_loop(bench):
    def interrupted():
        with bench.store.transaction():
            bench.things.add("never")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(bench.store.run(interrupted))
    assert bench.things.words() == []
    assert at_rest(bench.store)


CTRL_C = """
import asyncio, signal, sys, threading
from memstore import open_store
from kernel.things import Things, at_rest

signal.signal(signal.SIGINT, signal.default_int_handler)
with open_store(sys.argv[1]) as store:
    things = Things(store)
    things.add("first")
    begun, go = threading.Event(), threading.Event()

    def work():
        with store.transaction():
            things.add("begun")
            begun.set()
            assert go.wait(60)

    async def main():
        job = asyncio.ensure_future(store.run(work))
        await asyncio.sleep(0)
        begun.wait(60)
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        asyncio.get_running_loop().call_later(0.02, go.set)
        await job

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print(things.words(), at_rest(store), go.is_set())
"""


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals here")
def test_ctrl_c_in_the_loop_waits_for_what_has_begun(tmp_path):
    assert run(CTRL_C, tmp_path / "agent.db") == "['first', 'begun'] True True\n"


def test_calls_of_every_room_cancelled_at_random_turns_are_whole_or_have_not_happened(tmp_path, rng):
    async def main(store):
        store.chat.create_conversation(id="c")

        def three(word):
            with store.transaction():
                store.chat.append("c", "user", word)
                store.corrections.add(word, "claim")
                store.audit.append("call.made", entity_kind="word", entity_id=word)
            made.append(word)

        made, returned = [], []

        async def call(word):
            await store.run(three, word)
            returned.append(word)

        for turn in range(40):
            tasks = [asyncio.ensure_future(call(f"{turn} {number}")) for number in range(8)]
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)
            for task in tasks:
                if rng.random() < 0.7:
                    task.cancel()
            await asyncio.wait(tasks)
            assert {f"{turn} {number}" for number, task in enumerate(tasks) if not task.cancelled()} <= set(returned)
            assert sorted(message.content for message in store.chat.messages("c", limit=None)) == sorted(made)
        return made, returned

    with open_store(tmp_path / "agent.db") as store:
        made, returned = asyncio.run(main(store))
        assert set(returned) <= set(made)
        assert len(made) < 320
        assert sorted(item.subject for item in store.corrections.find()) == sorted(made)
        assert sorted(event.entity_id for event in store.audit.find(limit=None)) == sorted(made)
        assert store.audit.verify().ok
