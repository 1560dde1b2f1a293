"""The package says of the C API what npu_ipc.h says: layouts, constants, functions."""

import ctypes
import re
import subprocess

import pytest
from conftest import BUILD, SOURCE

from npu_ipc import _native, status

HEADER = SOURCE / "runtime/include/npu_ipc.h"

STRUCTS = {
    "npu_ipc_open_options": _native.OpenOptions,
    "npu_ipc_identity": _native.Identity,
    "npu_ipc_publish_options": _native.PublishOptions,
    "npu_ipc_region_info": _native.RegionInfo,
    "npu_ipc_attach_options": _native.AttachOptions,
    "npu_ipc_mapping_info": _native.MappingInfo,
    "npu_ipc_event": _native.Event,
    "npu_ipc_region_description": _native.RegionDescription,
    "npu_ipc_list_options": _native.ListOptions,
    "npu_ipc_subscribe_options": _native.SubscribeOptions,
}
ENUMS = {
    "npu_ipc_status": ("NPU_IPC_", status.Status),
    "npu_ipc_mapping_state": ("NPU_IPC_MAPPING_", status.MappingState),
    "npu_ipc_event_type": ("NPU_IPC_EVENT_", status.EventType),
    "npu_ipc_change": ("NPU_IPC_CHANGE_", status.ChangeType),
}


@pytest.fixture(scope="module")
def header():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def c_says(tmp_path, expressions):
    """What a C program that includes the header prints of them."""
    source = tmp_path / "says.c"
    lines = "".join(f'  printf("%lld\\n", (long long)({e}));\n' for e in expressions)
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "npu_ipc.h"\n'
        f"int main(void) {{\n{lines}  return 0;\n}}\n"
    )
    program = tmp_path / "says"
    subprocess.run(["cc", "-I", HEADER.parent, source, "-o", program], check=True)
    return [int(n) for n in subprocess.check_output([program]).split()]


def test_every_struct_is_laid_out_as_in_c(header, tmp_path):
    assert set(re.findall(r"typedef struct (\w+) \{", header)) == set(STRUCTS)
    expressions, ours = [], []
    for name, struct in STRUCTS.items():
        expressions.append(f"sizeof({name})")
        ours.append(ctypes.sizeof(struct))
        for field, _ in struct._fields_:
            expressions += [f"offsetof({name}, {field})", f"sizeof((({name}*)0)->{field})"]
            ours += [getattr(struct, field).offset, getattr(struct, field).size]
    said = c_says(tmp_path, expressions)
    assert dict(zip(expressions, said)) == dict(zip(expressions, ours))


def test_every_field_is_declared(header):
    for name, struct in STRUCTS.items():
        body = re.search(rf"typedef struct {name} \{{(.*?)\}} {name};", header, re.DOTALL).group(1)
        fields = re.findall(r"(\w+)(?:\[\d+\])?;", body)
        assert fields == [field for field, _ in struct._fields_], name


def test_every_constant_has_its_value(header, tmp_path):
    assert set(re.findall(r"typedef enum (\w+) \{", header)) == set(ENUMS)
    for name, (prefix, ours) in ENUMS.items():
        body = re.search(rf"typedef enum {name} \{{(.*?)\}} {name};", header, re.DOTALL).group(1)
        constants = re.findall(r"(NPU_IPC_\w+)\s*=", body)
        said = c_says(tmp_path, constants)
        theirs = {constant[len(prefix) :]: n for constant, n in zip(constants, said)}
        assert {member.name: member.value for member in ours} == theirs
    assert c_says(tmp_path, ["NPU_IPC_FOREVER"]) == [_native.FOREVER]


def test_every_function_is_declared_with_as_many_arguments(header):
    declared = {
        name: 0 if arguments.strip() == "void" else arguments.count(",") + 1
        for name, arguments in re.findall(r"NPU_IPC_API [\w\s*]+?(npu_ipc_\w+)\(([^)]*)\)", header)
    }
    assert declared == {function.name: len(function.arguments) for function in _native.FUNCTIONS}


def test_the_library_of_this_build_is_taken(monkeypatch):
    monkeypatch.setenv("NPU_IPC_LIBRARY", str(BUILD / "lib/libnpu_ipc.so"))
    library = _native.load()
    assert library.npu_ipc_status_name(status.Status.NO_GROUP) == b"NPU_IPC_NO_GROUP"
