"""Device memory as DLPack tensors: what they say, and who lives how long."""

import ctypes
import subprocess
import textwrap

import numpy
import pytest
from conftest import PYTHON, SOURCE, raises

from npu_ipc import _dlpack


@pytest.fixture
def pod(pods):
    pod = pods.member("pod")
    pod.run("memory = npu_ipc.empty(1000)")
    return pod


def test_memory_is_a_vector_of_bytes_on_the_npu(pod):
    pod.run("tensor = dlpack.Tensor(memory)")
    assert pod.run("tensor.data == memory.ptr") is True
    said = pod.run("[getattr(tensor, n) for n in ('device_type', 'device_id', 'shape', 'strides')]")
    assert said == [12, 0, [1000], 0]
    said = pod.run("[getattr(tensor, n) for n in ('ndim', 'code', 'bits', 'lanes', 'byte_offset')]")
    assert said == [1, 1, 8, 1, 0]
    assert pod.run("memory.__dlpack_device__()") == [12, 0]


def test_memory_is_not_freed_under_a_tensor(pod):
    pod.run("tensors = [dlpack.Tensor(memory), dlpack.Tensor(memory)]")
    error = raises(pod, "memory.free()")
    assert error.type == "StillInUse"
    assert "2 tensor(s)" in error.cause
    pod.run("tensors.pop().drop()")
    assert raises(pod, "memory.free()").type == "StillInUse"
    assert pod.run("tensors.pop().drop(); memory.free(); memory") == (
        "<npu_ipc.Memory of 1000 bytes freed>"
    )
    assert raises(pod, "memory.__dlpack__()").type == "Ended"


def test_a_tensor_keeps_its_memory_alive_and_publishable(pod):
    pod.run("""
        import gc, weakref
        tensor = dlpack.Tensor(memory)
        pointer, seen = memory.ptr, weakref.ref(memory)
        del memory
        gc.collect()
        class Wrapped:
            nbytes = 1000
            def data_ptr(self): return tensor.data
        region = npu_ipc.publish('weights', Wrapped())
        tensor.drop()
        other = npu_ipc.empty(1)
        gc.collect()
        """)
    assert pod.run("seen().ptr == pointer") is True  # the region keeps it
    pod.run("region.withdraw(); gc.collect()")
    assert pod.run("seen()") is None
    assert "were never freed" in pod.errors()


def test_a_mapping_is_not_unmapped_under_a_tensor(pods, pod):
    pod.run("region = npu_ipc.publish('weights', memory)")
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights'); tensor = dlpack.Tensor(mapping)")
    assert importer.run("(tensor.data == mapping.ptr, tensor.device_id, tensor.shape)") == [
        True,
        0,
        [1000],
    ]
    assert raises(importer, "mapping.detach()").type == "StillInUse"
    assert importer.run("mapping.live") is True
    importer.run("tensor.drop(); mapping.detach()")
    assert raises(importer, "mapping.__dlpack__()").type == "Ended"


def test_a_block_that_leaves_a_tensor_behind_says_so_and_hides_no_error(pods, pod):
    assert raises(pod, "with memory: tensor = dlpack.Tensor(memory)").type == "StillInUse"
    assert raises(pod, "with memory: 1 / 0").type == "ZeroDivisionError"
    pod.run("tensor.drop(); memory.free()")
    assert "left open" in pod.errors()


def test_a_capsule_that_nobody_took_keeps_nothing_and_is_dead_afterwards(pod):
    pod.run("capsule = memory.__dlpack__(); memory.free()")
    error = raises(
        pod,
        """
        class Late:
            def __dlpack__(self): return capsule
        dlpack.Tensor(Late())
        """,
    )
    assert error.type == "ValueError"  # PyCapsule_GetPointer: no capsule of that name


def test_a_tensor_is_dropped_in_any_thread(pod):
    pod.run("""
        import threading
        tensors = [dlpack.Tensor(memory) for _ in range(100)]
        threads = [threading.Thread(target=tensor.drop) for tensor in tensors]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        memory.free()
        """)


def test_what_cannot_be_given_is_refused(pod):
    assert raises(pod, "memory.__dlpack__(copy=True)").type == "BufferError"
    assert raises(pod, "memory.__dlpack__(dl_device=(1, 0))").type == "BufferError"
    pod.run("memory.__dlpack__(stream=0, max_version=(1, 0), dl_device=(12, 0), copy=False)")


class HostMemory:
    """What numpy, a consumer that is written in C, takes."""

    def __init__(self):
        self.data = ctypes.create_string_buffer(bytes(range(64)), 64)
        self.exports = _dlpack.Exports(ctypes.addressof(self.data), 64, 0)

    def __dlpack_device__(self):
        return (_dlpack.EXT_DEV, 0)

    def __dlpack__(self, stream=None):
        return self.exports.new_capsule()


@pytest.fixture
def host_memory(monkeypatch):
    monkeypatch.setattr(_dlpack, "EXT_DEV", 1)  # kDLCPU
    return HostMemory()


def test_a_framework_reads_the_same_bytes_until_its_last_view_is_gone(host_memory):
    tensor = numpy.from_dlpack(host_memory)
    view = tensor.view(numpy.float16)
    assert (tensor.tolist(), view.shape) == (list(range(64)), (32,))
    del tensor
    assert host_memory.exports.in_use() == 1
    del view
    assert host_memory.exports.in_use() == 0


def test_the_exception_that_drops_a_tensor_is_not_lost(host_memory):
    """A deleter that were Python would be run while it is set, and ctypes would drop it."""
    with pytest.raises(ValueError, match="cannot reshape"):
        numpy.from_dlpack(host_memory).reshape(3, 3, 3)
    assert host_memory.exports.in_use() == 0


def test_a_framework_that_does_not_know_the_device_says_so_and_keeps_nothing():
    memory = HostMemory()
    with pytest.raises((RuntimeError, BufferError), match="(?i)device"):
        numpy.from_dlpack(memory)
    assert memory.exports.in_use() == 0


def test_a_tensor_may_outlive_the_interpreter():
    """As a framework's globals do: its deleter is called when the process ends."""
    script = """
        import ctypes, sys
        sys.path[:0] = [{package!r}, {here!r}]
        from pod import dlpack
        from npu_ipc import _dlpack
        class Owner:
            exports = _dlpack.Exports(4096, 10, 0)
            def __dlpack__(self): return self.exports.new_capsule()
        tensor = dlpack.Tensor(Owner())
        at_exit = ctypes.CDLL(None)["__cxa_atexit"]
        deleter, address = ctypes.c_void_p(tensor.deleter()), ctypes.c_void_p(tensor._address)
        assert at_exit(deleter, address, None) == 0
        print(Owner.exports.in_use())
        """.format(package=str(SOURCE / "runtime/python"), here=str(SOURCE / "tests/python"))
    said = subprocess.check_output([PYTHON, "-c", textwrap.dedent(script)], universal_newlines=True)
    assert said == "1\n"
