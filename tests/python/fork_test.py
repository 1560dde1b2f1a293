"""A child of a fork is told so, whatever it touches, and may begin anew."""

IN_CHILD = """
import json, os
def in_child(*calls):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        for call in calls:
            try: said.append(repr(call()))
            except Exception as error: said.append(type(error).__name__)
        os.write(write, json.dumps(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers: said = json.load(answers)
    assert os.waitpid(pid, 0)[1] == 0
    return said
"""


def test_objects_of_the_parent_are_dead_in_the_child(pods):
    pod = pods.member("parent")
    pod.run(IN_CHILD)
    pod.run("""
        client = npu_ipc.Client()
        memory = npu_ipc.empty(1000)
        region = client.publish('weights', memory)
        subscription = client.subscribe()
        other = npu_ipc.Client()
        """)
    said = pod.run("""
        in_child(client.whoami, lambda: client.publish('x', 1 << 21, 1 << 21),
                 lambda: client.attach('weights'), client.list, client.subscribe,
                 lambda: client.next_event(0), lambda: next(iter(client.events())),
                 client.event_fd, lambda: region.generation, region.withdraw,
                 lambda: subscription.next(0), memory.free, lambda: memory.ptr,
                 memory.__dlpack__, lambda: client.publish('x', memory))
        """)
    assert said == ["WrongProcess"] * 15
    assert pod.run("in_child(client.close, client.close, lambda: client.closed)") == [
        "None",
        "None",
        "True",
    ]
    assert pod.run("region.withdraw(); memory.free(); client.close()") is None


def test_no_lock_of_another_thread_holds_the_child(pods):
    pod = pods.member("parent")
    pod.run(IN_CHILD)
    said = pod.run("""
        import threading
        client = npu_ipc.Client()
        client._connection.guard._changed.acquire()  # as a thread that the fork left behind may have
        said = in_child(client.whoami)
        client._connection.guard._changed.release()
        said
        """)
    assert said == ["WrongProcess"]


def test_the_packages_functions_open_a_client_of_the_childs_own(pods):
    pod = pods.member("parent")
    pod.run(IN_CHILD)
    parent = pod.run("npu_ipc.whoami().host_pid")
    (child,) = pod.run("in_child(lambda: npu_ipc.whoami().host_pid)")
    assert int(child) != parent
    assert pod.run("npu_ipc.whoami().host_pid") == parent
