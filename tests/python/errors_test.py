"""Every error says what failed, why and what to do, and is caught by what a program can do."""

import pickle

import pytest
from conftest import BUILD, SOURCE, raises

import npu_ipc
from npu_ipc import _native, errors
from npu_ipc.status import Status


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.OK, Status.NO_EVENT)])
def test_each_status_has_an_error(status):
    error = errors.error_for("attach 'weights'", status, "because", 0)
    assert isinstance(error, npu_ipc.NpuIpcError)
    assert error.status is status
    assert str(error).startswith(f"attach 'weights': {status.name}: because")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.cause) == (type(error), str(error), "because")


def test_only_what_nobody_can_act_on_has_no_class_of_its_own():
    plain = {s for s in Status if type(errors.error_for("x", s)) is npu_ipc.NpuIpcError}
    assert plain == {
        Status.OK,
        Status.MALFORMED,
        Status.RECONNECT,
        Status.INTERNAL,
        Status.NO_EVENT,
    }


def test_a_status_that_is_newer_than_this_package_is_an_error_too():
    error = errors.error_for("attach 'x'", 63, "of the future")
    assert error.status is Status.INTERNAL
    assert error.cause == "status 63: of the future"


def test_a_library_that_is_not_there_is_said_at_the_first_call(monkeypatch, tmp_path):
    _native.library.cache_clear()
    monkeypatch.setenv("NPU_IPC_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(ImportError) as raised:
        npu_ipc.Client()
    assert isinstance(raised.value, npu_ipc.LibraryNotFound)
    assert "none.so" in raised.value.cause
    assert "npu-ipc.io/share" in raised.value.advice

    monkeypatch.delenv("NPU_IPC_LIBRARY")
    assert _native.candidates() == ["/usr/local/lib/npu-ipc/libnpu_ipc.so", "libnpu_ipc.so.0"]


def test_a_library_without_our_functions_is_said_to_be_too_old(monkeypatch):
    with pytest.raises(npu_ipc.LibraryNotFound) as raised:
        _native.load("libc.so.6")
    assert "npu_ipc_" in raised.value.cause


def test_where_containers_have_the_library_is_what_the_device_plugin_says():
    directory, name = _native.CONTAINER_PATH.rsplit("/", 1)
    text = (SOURCE / "plugin/injection/host_files.h").read_text()
    assert f'kContainerLibraryDirectory[] = "{directory}"' in text
    assert name == "libnpu_ipc.so"


def test_no_broker_is_an_error_to_try_again_after(monkeypatch, tmp_path):
    _native.library.cache_clear()
    monkeypatch.setenv("NPU_IPC_LIBRARY", str(BUILD / "lib/libnpu_ipc.so"))
    with pytest.raises(ConnectionError) as raised:
        npu_ipc.Client(socket_path=str(tmp_path / "none.sock"), timeout=0.05)
    assert isinstance(raised.value, npu_ipc.BrokerUnavailable)
    assert raised.value.status is Status.NO_BROKER
    assert "none.sock" in raised.value.cause


def test_a_pod_without_the_annotation_is_told_which(pods):
    error = raises(pods.stranger("stranger"), "npu_ipc.whoami()")
    assert (error.type, error.status) == ("NotAllowed", "NO_GROUP")
    assert "npu-ipc.io/group" in error.advice


def test_a_role_that_does_not_allow_it_is_named(pods):
    error = raises(pods.member("reader", role="importer"), "npu_ipc.publish('x', npu_ipc.empty(1))")
    assert (error.type, error.status) == ("NotAllowed", "ROLE_DENIED")
    assert error.cause


def test_another_group_than_the_pods_is_refused(pods):
    pod = pods.member("member")
    assert raises(pod, "npu_ipc.list(group='other')").status == "NOT_IN_GROUP"


def test_a_quota_is_a_limit(pods):
    pod = pods.member("small", max_bytes="2Mi")
    error = raises(pod, "npu_ipc.publish('x', npu_ipc.empty(4 << 20))")
    assert (error.type, error.status) == ("LimitExceeded", "QUOTA_EXCEEDED")


def test_a_thread_without_a_device_is_told_to_set_it(pods):
    pod = pods.member("exporter")
    pod.run("memory = npu_ipc.empty(1000); region = npu_ipc.publish('weights', memory)")
    raised_in_thread = """
        import threading
        raised = []
        def run():
            try: {}
            except npu_ipc.VendorError as error: raised.append((error.vendor_code, error.advice))
        thread = threading.Thread(target=run); thread.start(); thread.join()
        raised[0]
        """
    for call in ("npu_ipc.publish('other', memory)", "region.withdraw()"):
        code, advice = pod.run(raised_in_thread.format(call))
        assert code == 107002
        assert "torch.npu.set_device()" in advice
    pod.run("region.withdraw()")  # it was kept


def test_a_program_without_ascendcl_is_told_to_load_it(pods):
    pod = pods.stranger("bare", group=pods.group)
    assert raises(pod, "npu_ipc.attach('x')").type == "NoVendorLibrary"


def test_impossible_sizes_are_refused(pods):
    pod = pods.member("pod")
    assert raises(pod, "npu_ipc.empty(0)").type == "InvalidArgument"
    assert raises(pod, "npu_ipc.empty(1 << 50)").vendor_code == 207001


def test_an_interrupt_after_an_end_does_not_end_an_object_twice(pods):
    """A signal's handler runs, and may raise, when a call of C has come back."""
    pod = pods.member("interrupted")
    ended = pod.run("""
        class Interrupting:
            def __init__(self, library): self.library = library
            def __getattr__(self, name):
                function = getattr(self.library, name)
                def call(*arguments):
                    function(*arguments)
                    raise KeyboardInterrupt
                ends = ('close', 'withdraw', 'unsubscribe')
                return call if name[len('npu_ipc_'):] in ends else function

        client = npu_ipc.Client()
        memory = npu_ipc.empty(1)
        region = client.publish('weights', memory)
        subscription = client.subscribe()
        connection = client._connection
        connection.library = Interrupting(connection.library)
        interrupted = 0
        for end in (region.withdraw, subscription.close, client.close):
            try: end()
            except KeyboardInterrupt: interrupted += 1
        client.close()
        (interrupted, region.withdrawn, client.closed)
        """)
    assert ended == [3, True, True]
