"""`kubectl npu`, as a plugin of the real kubectl, against the chart's daemons."""

import json
import os
import pathlib
import subprocess

import environment
from chart_test import ChartWithExamples
from cluster.process import wait_until


class KubectlNpuTestCase(ChartWithExamples):

    VALUES = {"simulator": {"enabled": True}}

    def run_npu(self, *arguments):
        kubectl = pathlib.Path(self.kubectl.program)
        path = f"{environment.programs_of_this_build}:{kubectl.parent}:{os.environ['PATH']}"
        kubeconfig = str(environment.control_plane.kubeconfig("admin"))
        return subprocess.run([kubectl, "npu", *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "PATH": path, "KUBECONFIG": kubeconfig})

    def npu(self, *arguments, exit_code=0):
        """What it prints."""
        ran = self.run_npu(*arguments)
        self.assertEqual(ran.returncode, exit_code, ran.stdout + ran.stderr)
        return ran.stdout

    def items(self, *arguments):
        return json.loads(self.npu(*arguments, "-o", "json"))["items"]


class KubectlNpu(KubectlNpuTestCase):

    def test_a_share_in_use_is_shown_with_both_sides(self):
        self.run_example("exporter", "exporter", {"npu-ipc.io/group": "weights"})
        wait_until(lambda: any(share["exporter"]["pod"] == "exporter" for share in self.items("shares")),
                   "the exporter's region to be shown")
        self.assertIn("exporter", self.npu("shares", "-o", "wide"))
        wait_until(lambda: any(held["pod"] == "exporter" for device in self.items("devices")
                               for held in device["holders"]), "its device to be shown as held")
        self.assertIn("exporter", [pod["name"] for pod in self.items("pods")])
        self.run_example("importer", "importer", {"npu-ipc.io/group": "weights"})
        for name in ("exporter", "importer"):
            self.assert_succeeds(name)

    def test_doctor_says_what_a_pod_lacks(self):
        self.run_example("plain", "importer", {}, wait=5)
        self.outcome("plain")
        self.assertIn("npu-ipc.io/group", self.npu("doctor", "plain", exit_code=1))
        self.npu("doctor", "nobody", exit_code=1)

    def test_doctor_says_why_devices_may_not_open(self):
        # The nodes are 0660, as the driver makes them.
        self.run_pod("mapped", npus=1, annotations={"npu-ipc.io/group": "weights"}, hostUsers=False)
        self.assertRegex(self.npu("doctor", "mapped", exit_code=1), "device-nodes .*hostUsers: false.* must be 0666")

    def test_every_command_answers(self):
        for command in ("devices", "pods", "shares", "audit", "top", "events"):
            with self.subTest(command):
                self.npu(command, "-A")
        self.assertIn("kubectl", self.npu("completion", "bash"))
        self.npu("version")
        self.npu("doctor")
