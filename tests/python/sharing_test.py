"""Two pods share memory through the package, on a simulated node with the real daemons."""

from conftest import raises

MIB = 1 << 20


def published(pods, name="weights", nbytes=1000):
    exporter = pods.member("exporter")
    exporter.run(f"""
        memory = npu_ipc.empty({nbytes})
        acl.write(memory.ptr, bytes(range(200)))
        region = npu_ipc.publish({name!r}, memory)
        """)
    return exporter


def test_an_importer_reads_and_writes_the_exporters_memory(pods):
    exporter = published(pods)
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights')")
    assert importer.run("list(acl.read_remote(mapping.ptr, 200))") == list(range(200))
    assert importer.run("(mapping.nbytes, mapping.device, mapping.device_index)") == [1000, 1, 0]
    assert importer.run("mapping.exporter._asdict()") == {
        "namespace": "team-a",
        "pod": exporter.name,
        "pod_uid": exporter.run("npu_ipc.whoami().pod_uid"),
        "host_pid": exporter.run("npu_ipc.whoami().host_pid"),
        "device": 0,
    }
    assert importer.run("mapping.generation") == exporter.run("region.generation")
    assert importer.run("(mapping.live, mapping.revoked)") == [True, False]
    importer.run("mapping.detach()")
    assert exporter.run("region.withdraw(); memory.free(); region.withdrawn") is True


def test_the_exporter_sees_what_an_importer_writes(pods):
    exporter = published(pods)
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights'); acl.write_remote(mapping.ptr, b'hello')")
    assert exporter.run("acl.read(memory.ptr, 5).decode()") == "hello"


def test_whoami_is_what_the_broker_says(pods):
    pod = pods.member("somebody", role="importer")
    who = pod.run("npu_ipc.whoami()._asdict()")
    assert who["pod_namespace"] == "team-a"
    assert who["pod_name"] == pod.name
    assert who["host_pid"] == pod.host_pid
    assert who["pid"] == 1
    assert who["groups"] == {pods.group: "importer"}


def test_a_tensor_in_exportable_memory_is_published_as_the_part_that_it_is(pods):
    exporter = pods.member("exporter")
    exporter.run(f"""
        memory = npu_ipc.empty({3 * MIB})
        acl.write(memory.ptr + 4096, b'part')
        class Tensor:
            nbytes = 100
            contiguous = True
            def data_ptr(self): return memory.ptr + 4096
            def is_contiguous(self): return self.contiguous
        tensor = Tensor()
        region = npu_ipc.publish('part', tensor)
        """)
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('part')")
    assert importer.run("mapping.nbytes") == 100
    assert importer.run("acl.read_remote(mapping.ptr, 4).decode()") == "part"
    assert exporter.run("memory.allocated_nbytes") == 4 * MIB
    assert exporter.run("[r.allocated_nbytes for r in npu_ipc.list()]") == [4 * MIB]

    error = raises(exporter, "tensor.contiguous = False; npu_ipc.publish('strided', tensor)")
    assert error.type == "NotExportable"
    assert "contiguous" in error.cause


def test_any_other_tensor_is_refused_with_what_to_do(pods):
    exporter = pods.member("exporter")
    error = raises(
        exporter,
        """
        class Tensor:
            nbytes = 512
            pointer = acl.malloc(2 << 20)
            def data_ptr(self): return self.pointer + 512
        npu_ipc.publish('cached', Tensor())
        """,
    )
    assert error.type == "NotExportable"
    assert "ValueError" in error.bases
    assert "npu_ipc.empty(nbytes)" in error.advice
    assert "publish 'cached'" in error.text


def test_a_pointer_and_its_size_are_published_as_they_are(pods):
    exporter = pods.member("exporter")
    exporter.run(f"pointer = acl.malloc({2 * MIB}); acl.write(pointer + 4096, b'view')")
    exporter.run(
        f"region = npu_ipc.publish('raw', pointer, {2 * MIB}, view_offset=4096, view_nbytes=8)"
    )
    importer = pods.member("importer")
    assert importer.run("npu_ipc.attach('raw').nbytes") == 8

    assert raises(exporter, "npu_ipc.publish('sizeless', pointer)").type == "InvalidArgument"
    error = raises(exporter, f"npu_ipc.publish('inside', pointer + 512, {MIB})")
    assert error.type == "InvalidArgument"
    assert "not aligned" in error.cause


def test_imported_memory_is_not_exported_again(pods):
    published(pods)
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights')")
    assert raises(importer, "npu_ipc.publish('again', mapping)").type == "NotExportable"


def test_attach_waits_for_the_region(pods):
    importer = pods.member("importer")
    importer.run("npu_ipc.whoami()")
    importer.start("mapping = npu_ipc.attach('late', timeout=None); mapping.nbytes")
    published(pods, "late")
    assert importer.result() == 1000


def test_attach_says_that_nobody_came(pods):
    importer = pods.member("importer")
    error = raises(importer, "npu_ipc.attach('never', timeout=0.05)")
    assert error.type == "TimedOut"
    assert "TimeoutError" in error.bases
    assert error.status == "TIMED_OUT"
    assert "podAffinity" in error.advice
    assert "attach 'never'" in error.text
    assert raises(importer, "npu_ipc.attach('never', timeout=-1)").type == "InvalidArgument"


def test_blocks_end_what_they_began(pods):
    exporter = pods.member("exporter")
    importer = pods.member("importer")
    exporter.start("""
        with npu_ipc.empty(1000) as memory, npu_ipc.publish('weights', memory) as region:
            for event in npu_ipc.subscribe():
                if event.region.name == 'done': break
        (memory, region)
        """)
    importer.run("""
        with npu_ipc.attach('weights') as mapping:
            done = npu_ipc.publish('done', npu_ipc.empty(1))
        """)
    assert exporter.result() == [
        "<npu_ipc.Memory of 1000 bytes freed>",
        "<npu_ipc.Region 'weights', withdrawn>",
    ]
    assert importer.run("mapping") == "<npu_ipc.Mapping of 'weights', detached>"
    assert raises(importer, "mapping.ptr").type == "Ended"
    assert raises(importer, "mapping.detach()").type == "Ended"
    assert raises(exporter, "region.withdraw()").type == "Ended"


def test_a_region_that_is_held_stays_and_says_by_whom(pods):
    exporter = published(pods)
    importer = pods.member("importer")
    importer.run("mapping = npu_ipc.attach('weights')")
    error = raises(exporter, "region.withdraw(timeout=0.05)")
    assert error.type == "StillHeld"
    assert importer.name in error.cause
    assert importer.run("(mapping.state.name, mapping.live)") == ["WITHDRAWING", False]
    assert raises(exporter, "memory.free()").type == "StillInUse"
    exporter.run("region.withdraw(timeout=0.05, force=True); memory.free()")
    assert importer.run("mapping.detach()") is None


def test_memory_is_kept_from_being_freed_while_it_is_published(pods):
    exporter = published(pods)
    error = raises(exporter, "memory.free()")
    assert error.type == "StillInUse"
    assert "BufferError" in error.bases
    exporter.run("npu_ipc.close(); memory.free()")
    assert raises(exporter, "region.generation").type == "Ended"


def test_a_name_is_one_exporters(pods):
    published(pods)
    other = pods.member("other")
    error = raises(other, "npu_ipc.publish('weights', npu_ipc.empty(1))")
    assert (error.type, error.status) == ("NameTaken", "NAME_TAKEN")


def test_list_pages_through_the_names(pods):
    exporter = pods.member("exporter")
    exporter.run("""
        memory = npu_ipc.empty(1000)
        regions = [npu_ipc.publish(f'layer-{i}', memory) for i in range(5)]
        other = npu_ipc.publish('other', memory)
        """)
    names = exporter.run("[r.name for r in npu_ipc.list('layer-')]")
    assert names == [f"layer-{i}" for i in range(5)]
    assert len(exporter.run("npu_ipc.list()")) == 6
    assert exporter.run("npu_ipc.list('nothing')") == []
    found = exporter.run("npu_ipc.list('other')[0]._asdict()")
    assert found["exporter_pod"] == exporter.name
    assert (found["nbytes"], found["allocated_nbytes"], found["importers"]) == (1000, 2 * MIB, 0)
