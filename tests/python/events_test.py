"""Events and subscriptions, by iteration and in an asyncio loop."""

import pytest
from conftest import raises


@pytest.fixture
def pair(pods):
    exporter = pods.member("exporter")
    exporter.run("memory = npu_ipc.empty(1000); region = npu_ipc.publish('weights', memory)")
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights')")
    return exporter, importer


def test_events_name_the_mapping_that_they_are_about(pair):
    exporter, importer = pair
    importer.start("""
        for event in npu_ipc.events():
            if event.mapping is mapping: break
        mapping.detach()
        event.type.name
        """)
    exporter.run("region.withdraw()")
    assert importer.result() == "WITHDRAWING"


def test_next_event_comes_back_when_none_came(pair):
    _, importer = pair
    assert importer.run("npu_ipc.next_event(timeout=0)") is None
    assert importer.run("npu_ipc.next_event(timeout=0.3)") is None


def test_events_wake_an_asyncio_loop_that_goes_on_running(pair):
    """What causes the event is a task of the same loop: it would not run if waiting blocked."""
    _, importer = pair
    assert importer.run("""
        import asyncio
        async def publish():
            await asyncio.sleep(0.01)
            return npu_ipc.publish('from-the-loop', npu_ipc.empty(1))
        async def main():
            subscription = npu_ipc.subscribe('from-the-loop')
            publishing = asyncio.ensure_future(publish())
            async for event in npu_ipc.events():
                if event.subscription is subscription: break
            return (await publishing).name
        asyncio.run(main())
        """) == "from-the-loop"


def test_closing_ends_iterations_of_other_threads_and_loops(pair):
    _, importer = pair
    assert importer.run("""
        import asyncio, threading, time
        own = npu_ipc.Client()
        subscription = own.subscribe('nothing-')
        seen = {}
        async def listen():
            async for event in own.events(): pass
        def say(name, wait):
            seen[name] = list(wait) if name != 'loop' else asyncio.run(wait)
        waits = {'events': own.events(), 'changes': subscription, 'loop': listen()}
        threads = [threading.Thread(target=say, args=wait) for wait in waits.items()]
        for thread in threads: thread.start()
        deadline = time.monotonic() + 30
        while not own._connection.wake_at_close or own._connection.guard._calls < 2:  # until all wait
            assert time.monotonic() < deadline, (own._connection.wake_at_close, own._connection.guard._calls)
            time.sleep(0.001)
        own.close()
        for thread in threads: thread.join(30)
        (sorted(seen), any(thread.is_alive() for thread in threads))
        """) == [["changes", "events", "loop"], False]


def test_events_of_a_closed_client_end_at_once(pair):
    _, importer = pair
    assert importer.run("""
        import asyncio
        own = npu_ipc.Client()
        own.close()
        async def listen():
            return [event async for event in own.events()]
        (asyncio.run(listen()), list(own.events()))
        """) == [[], []]


def test_a_broker_that_goes_and_comes_back_is_told(node, pair):
    _, importer = pair
    node.do("stop broker")
    try:
        assert importer.run("npu_ipc.next_event(timeout=30).type.name") == "DISCONNECTED"
        error = raises(importer, "npu_ipc.Client(timeout=0.1)")
        assert error.type == "BrokerUnavailable"
        assert "ConnectionError" in error.bases
    finally:
        node.do("start broker")
    assert importer.run("npu_ipc.next_event(timeout=30).type.name") == "RECONNECTED"
    assert importer.run("mapping.live") is True


def test_a_right_that_is_taken_back_is_told(pods, pair):
    _, importer = pair
    importer.annotate(group="elsewhere")
    assert importer.run("npu_ipc.next_event(timeout=30).type.name") == "REVOKED"
    assert importer.run("(mapping.revoked, mapping.state.name)") == [True, "REVOKED"]
    importer.run("mapping.detach()")


def test_subscriptions_tell_what_is_there_and_what_comes_and_goes(pods, pair):
    exporter, importer = pair
    importer.run("subscription = npu_ipc.subscribe('w')")

    def change():
        return importer.run("(lambda c: (c.type.name, c.region.name))(subscription.next(30))")

    assert change() == ["PUBLISHED", "weights"]
    assert importer.run("subscription.next(timeout=0)") is None
    exporter.run("more = npu_ipc.publish('words', memory); other = npu_ipc.publish('x', memory)")
    assert change() == ["PUBLISHED", "words"]
    exporter.run("more.withdraw()")
    assert change() == ["GONE", "words"]
    importer.run("subscription.close(); subscription.close()")
    assert importer.run("list(subscription)") == []


def test_a_subscription_that_admits_ahead_tells_when_it_is_done(pods, pair):
    exporter, importer = pair
    importer.run("subscription = npu_ipc.subscribe('ahead-', admit_ahead=True)")
    exporter.run("ahead = npu_ipc.publish('ahead-1', memory)")
    assert importer.run("npu_ipc.next_event(timeout=30).subscription is subscription") is True
    seen = importer.run("""
        seen = []
        for change in subscription:
            seen.append(change.type.name)
            if change.type is npu_ipc.ChangeType.ADMITTED: break
        seen
        """)
    assert seen[-1] == "ADMITTED"
