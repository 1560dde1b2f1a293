#!/usr/bin/env python3
"""What the chart renders, and manifests/, held by kubeconform against the API of two releases of Kubernetes and the Prometheus
operator's resources. It knows no admission policy's expressions and no defaults: tests/e2e asks a real API server."""

import json
import subprocess
import unittest

import yaml

from rendering import ROOT, Rendered, built
from schemas import LOCATIONS, schemas

_FOLDER, _VERSIONS = schemas()
_MONITORING = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
               "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}, "dashboard": {"enabled": True}}
_VALUES = {
    "defaults": {},
    "broker only": {"devices": {"enabled": False}},
    "simulator": {"simulator": {"enabled": True, "node": "910c"}},
    "test on NPUs": {"test": {"image": "registry.example/npu-ipc-test:1"}},
    "SELinux": {"selinux": {"enabled": True}},
    "network policy": {"networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]}},
    "monitoring": {"metrics": _MONITORING},
    "everything of a pod": {
        "imagePullSecrets": [{"name": "registry"}], "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"},
        "podSecurityContext": {"supplementalGroups": [1000]}, "nodeSelector": {"npu": "yes"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "npu", "operator": "Exists"}]}]}}},
        "tolerations": [{"operator": "Exists"}], "serviceAccount": {"annotations": {"e": "f"}},
        "metrics": {"service": {"annotations": {"g": "h"}}}},
}


def conform(text, version):
    """What kubeconform has against it, and how many objects it looked at."""
    locations = [option for location in LOCATIONS for option in ("-schema-location", f"{_FOLDER}/{location}")]
    done = subprocess.run([built("tests/chart/build-kubeconform"), "-strict", "-summary", "-output", "json",
                           "-kubernetes-version", version, *locations, "-"],
                          input=text, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    problems = [f"{each['kind']} {each['name']}: {each['status']}: {each['msg']}" for each in report.get("resources") or []]
    return problems, report["summary"]["valid"]


class Conformance(unittest.TestCase):

    def assert_conforms(self, text, version):
        objects = [each for each in yaml.safe_load_all(text) if each]
        problems, valid = conform(text, version)
        self.assertEqual(problems, [])
        self.assertEqual(valid, len(objects))
        self.assertGreater(valid, 0)

    def test_what_renders(self):
        for version in _VERSIONS:
            beta = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"
            options = ["--kube-version", version, *(["--api-versions", beta] if version.startswith("1.34.") else [])]
            for name, values in _VALUES.items():
                with self.subTest(version=version, values=name):
                    rendered = Rendered(values, *options)
                    self.assertEqual(len(rendered.all("MutatingAdmissionPolicy")), 1)
                    self.assert_conforms(rendered.text, version)

    def test_manifests(self):
        files = [path for path in (ROOT / "manifests").rglob("*.yaml") if path.name != "kustomization.yaml"]
        self.assertGreaterEqual(len(files), 8)
        for path in files:
            with self.subTest(path=str(path.relative_to(ROOT))):
                self.assert_conforms(path.read_text(), _VERSIONS[-1])

    def test_what_is_wrong_is_found(self):
        text = Rendered({"metrics": _MONITORING}).text
        for wrong, right in (("hostPid:", "hostPID:"), ("maxSurge: []", "maxSurge: 0"), ("intervall:", "interval:"),
                             ("failurePolicies:", "failurePolicy:")):
            with self.subTest(wrong=wrong):
                self.assertIn(right, text)
                problems, _ = conform(text.replace(right, wrong), _VERSIONS[-1])
                self.assertNotEqual(problems, [])


if __name__ == "__main__":
    unittest.main()
