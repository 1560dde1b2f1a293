"""npu-ipc.io/inject: preload, as the API server makes it of pods, and programs that know nothing of npu-ipc."""

import json

import environment
import pod_program
from chart_test_case import ChartTestCase
from cluster.kubectl import container, pod
from npus import RESOURCE, SHARE

_GROUP = "npu-ipc.io/group"


class Preload(ChartTestCase):
    VALUES = {"simulator": {"enabled": True}}
    LIBRARY = "/usr/local/lib/npu-ipc/libnpu_ipc_preload.so"
    ASKED = {_GROUP: "weights", "npu-ipc.io/inject": "preload"}

    def created(self, manifest):
        """As the API server would hold it."""
        return json.loads(self.kubectl.run("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(manifest)))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        environment.kubectl.wait_for_object(
            "mutatingadmissionpolicies", "demo-npu-ipc-preload", lambda _: True, "the policy")

    def mutated(self, *containers, init=()):
        manifest = pod("guest", annotations=self.ASKED, initContainers=list(init))
        manifest["spec"]["containers"] = list(containers)
        return self.created(manifest)["spec"]

    def environment_of(self, each):
        return {entry["name"]: entry.get("value") for entry in each.get("env", [])}

    def test_a_container_with_an_npu_is_given_the_environment_alone(self):
        spec = self.mutated(container("main", resources={RESOURCE: 2}))
        self.assertEqual(self.environment_of(spec["containers"][0]), {"LD_PRELOAD": self.LIBRARY})
        self.assertEqual(spec["containers"][0]["resources"]["limits"], {RESOURCE: "2"})

    def test_a_container_without_one_asks_for_the_marker_too(self):
        spec = self.mutated(container("main", resources={"memory": "64Mi"}))
        resources = spec["containers"][0]["resources"]
        self.assertEqual(resources["limits"], {"memory": "64Mi", SHARE: "1"})
        self.assertEqual(resources["requests"], {"memory": "64Mi", SHARE: "1"})

    def test_what_the_pod_has_stays(self):
        own = {**container("main", resources={RESOURCE: 1}),
               "env": [{"name": "A", "value": "1"}, {"name": "LD_PRELOAD", "value": "/lib/jemalloc.so"},
                       {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
        after = self.mutated(own)["containers"][0]
        self.assertEqual(self.environment_of(after), {"A": "1", "B": None, "LD_PRELOAD": f"/lib/jemalloc.so:{self.LIBRARY}"})
        for untouched in ("command", "image", "name"):
            self.assertEqual(after[untouched], own[untouched])

    def test_every_container_is_meant(self):
        spec = self.mutated(container("a", resources={RESOURCE: 1}), container("b"), init=[container("c")])
        for each in spec["containers"] + spec["initContainers"]:
            self.assertEqual(self.environment_of(each)["LD_PRELOAD"], self.LIBRARY)

    def test_once_is_enough(self):
        once = self.mutated(container("main"))["containers"][0]
        twice = self.mutated({**container("main"), "env": once["env"], "resources": once["resources"]})["containers"][0]
        self.assertEqual((once["env"], once["resources"]), (twice["env"], twice["resources"]))

    def test_a_value_from_elsewhere_is_left_alone(self):
        elsewhere = [{"name": "LD_PRELOAD", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]
        spec = self.mutated({**container("main"), "env": elsewhere})
        self.assertEqual(spec["containers"][0]["env"], elsewhere)

    def test_nobody_else_is_touched(self):
        for annotations in ({}, {_GROUP: "weights"}, {_GROUP: "weights", "npu-ipc.io/inject": "library"}):
            spec = self.created(pod("guest", annotations=annotations))["spec"]
            self.assertNotIn("env", spec["containers"][0])
            self.assertFalse(spec["containers"][0]["resources"])

    def run_unmodified(self, name, annotations):
        """A program that calls AscendCL and has never heard of npu-ipc; commands.txt beside its source has what it
        understands."""
        self.create_pod(pod_program.manifest(name, "unmodified-linked", annotations=annotations, resources={RESOURCE: 1}))
        program = pod_program.PodProgram(self.node, self.kubectl.wait_for_phase(name, "Running"))
        self.assertEqual(program.ask("device 0"), "ok")
        return program

    def test_programs_that_know_nothing_of_it_share_and_nobody_else_gets_in(self):
        exporter, importer = (self.run_unmodified(name, self.ASKED) for name in ("exporter", "importer"))
        stranger = self.run_unmodified("stranger", {})
        self.assertEqual(exporter.ask(f"malloc {4 << 20}"), "ok")
        self.assertEqual(exporter.ask("write 1000"), "ok whole=yes first_word=1000")
        exported = exporter.ask("export 1")  # open to every process of the node, were it not for us
        self.assertRegex(exported, "^ok key=[^ ]+ errno=42$")
        key = exported.split()[1].removeprefix("key=")

        self.assertRegex(stranger.ask(f"import {key} 0"), "^error 507899 ")
        self.assertEqual(importer.ask(f"import {key} 1"), "ok errno=42")
        self.assertEqual(importer.ask("read"), "ok whole=yes first_word=1000")
        importer.ask("write 5000")
        self.assertEqual(exporter.ask("read"), "ok whole=yes first_word=5000")
        self.assertEqual(importer.ask(f"close {key}"), "ok errno=42")
        self.assertEqual(exporter.ask(f"close {key}"), "ok errno=42")
