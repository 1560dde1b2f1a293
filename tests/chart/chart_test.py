#!/usr/bin/env python3
"""What the chart renders for the values that people set, and which values it refuses. No cluster: tests/e2e has that."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from rendering import CHART, ROOT, Rendered, built, helm, template


def mounted(container):
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


class Defaults(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.rendered = Rendered()

    def test_helm_lints_it(self):
        done = helm("lint", "--strict", str(CHART), "--namespace", "npu-ipc")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_versions_are_the_projects(self):
        project = re.search(r"project\(npu-ipc VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (project, project))
        self.assertEqual(self.rendered.container("npu-ipc-broker")["image"], f"npu-ipc:{project}")

    def test_the_two_daemons_are_two_containers_of_one_pod(self):
        self.assertTrue(self.rendered.pod["hostPID"])
        self.assertFalse(self.rendered.pod.get("hostNetwork") or self.rendered.pod.get("hostIPC"))
        self.assertEqual([each["name"] for each in self.rendered.pod["containers"]], ["npu-ipc-broker", "npu-device-plugin"])

    def test_the_broker_has_no_privilege_but_the_pid_namespace(self):
        context = self.rendered.container("npu-ipc-broker")["securityContext"]
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertTrue(context["readOnlyRootFilesystem"])
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertNotIn("privileged", context)

    def test_the_broker_alone_has_a_token(self):
        token = "/var/run/secrets/kubernetes.io/serviceaccount"
        self.assertFalse(self.rendered.pod["automountServiceAccountToken"])
        self.assertIn(token, mounted(self.rendered.container("npu-ipc-broker")))
        self.assertNotIn(token, mounted(self.rendered.container("npu-device-plugin")))

    def test_the_broker_sees_neither_the_hosts_files_nor_its_devices(self):
        volumes = {each["name"]: each for each in self.rendered.pod["volumes"]}
        seen = {volumes[name]["hostPath"]["path"] for name in mounted(self.rendered.container("npu-ipc-broker")).values()
                if "hostPath" in volumes[name]}
        self.assertEqual(seen, {"/run/npu-ipc", "/var/lib/npu-ipc", "/var/lib/kubelet/device-plugins"})

    def test_every_volume_is_mounted_and_every_mount_is_a_volume(self):
        for values in ({}, {"devices": {"enabled": False}}, {"selinux": {"enabled": True}}, {"simulator": {"enabled": True}}):
            for each in Rendered(values).all("DaemonSet"):
                with self.subTest(values=values, name=each["metadata"]["name"]):
                    pod = each["spec"]["template"]["spec"]
                    used = {mount["name"] for container in pod["containers"] + pod.get("initContainers", [])
                            for mount in container["volumeMounts"]}
                    self.assertEqual(used, {volume["name"] for volume in pod["volumes"]})

    def test_two_device_plugins_never_overlap(self):
        strategy = self.rendered.one("DaemonSet", "npus-npu-ipc")["spec"]["updateStrategy"]
        self.assertEqual(strategy["rollingUpdate"], {"maxUnavailable": 1, "maxSurge": 0})

    def test_the_broker_may_do_this_at_the_api_server_and_no_more(self):
        rules = self.rendered.one("ClusterRole", "npus-npu-ipc-broker")["rules"]
        rights = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
        self.assertEqual(rights, {("pods", "list"), ("pods", "watch"), ("events", "create"), ("events", "patch"),
                                  ("nodes", "get"), ("nodes", "patch")})
        self.assertEqual({group for rule in rules for group in rule["apiGroups"]}, {""})

    def test_its_right_to_patch_is_for_its_own_node(self):
        policy = self.rendered.one("ValidatingAdmissionPolicy", "npus-npu-ipc-broker-own-node")
        self.assertIn("system:serviceaccount:npu-ipc:npus-npu-ipc'", policy["spec"]["matchConditions"][0]["expression"])
        binding = self.rendered.one("ValidatingAdmissionPolicyBinding", "npus-npu-ipc-broker-own-node")
        self.assertEqual(binding["spec"]["validationActions"], ["Deny"])

    def test_what_needs_an_operator_is_off(self):
        kinds = {each["kind"] for each in self.rendered.objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})}
        self.assertFalse(kinds & {"ServiceMonitor", "PrometheusRule", "NetworkPolicy", "Job"})

    def test_helm_test_runs_in_pods_like_the_examples(self):
        template = Rendered({"test": {"image": "cann"}}).one("Job", "npus-npu-ipc-test")["spec"]["template"]["spec"]
        context = template["containers"][0]["securityContext"]
        example = yaml.safe_load((ROOT / "manifests/examples/explicit-c/pods.yaml").read_text().split("\n---\n")[0])
        self.assertEqual(context["capabilities"], example["spec"]["containers"][0]["securityContext"]["capabilities"])
        self.assertFalse(context["allowPrivilegeEscalation"])

    def test_selectors_find_the_pods_and_no_others(self):
        rendered = Rendered({"simulator": {"enabled": True}, "networkPolicy": {"enabled": True}})
        labels = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
                  for each in rendered.all("DaemonSet") + rendered.all("Job")}
        self.assertEqual(set(labels), {"npus-npu-ipc", "npus-npu-ipc-simulator", "npus-npu-ipc-test",
                                       "npus-npu-ipc-remove-labels"})
        selectors = [rendered.one("Service", "npus-npu-ipc-metrics")["spec"]["selector"],
                     rendered.one("NetworkPolicy", "npus-npu-ipc")["spec"]["podSelector"]["matchLabels"],
                     rendered.one("DaemonSet", "npus-npu-ipc")["spec"]["selector"]["matchLabels"]]
        for selector in selectors:
            selected = [name for name, its in labels.items() if selector.items() <= its.items()]
            self.assertEqual(selected, ["npus-npu-ipc"])


class Notes(unittest.TestCase):
    """What Helm prints at the end of an installation; without a cluster it renders all but that."""

    def notes(self, values=None, *options):
        with tempfile.TemporaryDirectory() as directory:
            chart = pathlib.Path(directory) / "chart"
            shutil.copytree(CHART, chart)
            (chart / "templates/NOTES.txt").rename(chart / "notes")
            (chart / "templates/notes.yaml").write_text('notes: |\n{{ tpl (.Files.Get "notes") . | indent 2 }}\n')
            done = helm("template", "npus", str(chart), "--namespace", "npu-ipc", "--show-only", "templates/notes.yaml", *options,
                        values=values)
            self.assertEqual(done.returncode, 0, done.stderr)
            return yaml.safe_load(done.stdout)["notes"]

    def test_they_name_what_was_installed(self):
        notes = self.notes()
        self.assertIn("daemonset/npus-npu-ipc", notes)
        self.assertIn(r"ASCEND910B:.status.allocatable.huawei\.com/Ascend910B,", notes)
        self.assertNotIn("helm test", notes)
        self.assertNotIn("LD_PRELOAD", notes)

    def test_they_say_what_is_special(self):
        self.assertIn("helm test npus --namespace npu-ipc", self.notes({"simulator": {"enabled": True}}))
        self.assertIn("npu-ipc.io/share: 1", self.notes({"devices": {"enabled": False}}))
        self.assertIn("set LD_PRELOAD=", self.notes({}, "--kube-version", "1.34.0"))


class Settings(unittest.TestCase):
    """What the daemons are told."""

    def test_given_settings_win_and_the_others_stay(self):
        rendered = Rendered({"broker": {"config": {"policy": {"crossNamespace": True}, "log": {"format": "text"}}},
                             "devices": {"config": {"nodes": {"node-a": {"sharing": {"replicas": 2}}}}}})
        broker = rendered.config("npu-ipc-broker")
        self.assertEqual(broker["policy"], {"crossNamespace": True})
        self.assertEqual(broker["log"], {"format": "text"})
        self.assertEqual(broker["http"], {"listenAddress": ":9500"})
        devices = rendered.config("npu-device-plugin")
        self.assertEqual(devices["nodes"], {"node-a": {"sharing": {"replicas": 2}}})
        self.assertEqual(devices["driver"], {"directory": "/usr/local/Ascend/driver", "hostRoot": "/host"})

    def test_another_configuration_is_another_pod(self):
        def checksum(values):
            daemons = Rendered(values).one("DaemonSet", "npus-npu-ipc")
            return daemons["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

        self.assertEqual(checksum({}), checksum({"metrics": {"dashboard": {"enabled": True}}}))
        for changed in ({"broker": {"config": {"log": {"level": "debug"}}}}, {"devices": {"config": {"log": {"level": "debug"}}}}):
            self.assertNotEqual(checksum({}), checksum(changed))

    def test_the_port_is_the_same_everywhere(self):
        rendered = Rendered({"metrics": {"port": 9999}})
        self.assertEqual(rendered.config("npu-ipc-broker")["http"]["listenAddress"], ":9999")
        self.assertEqual(rendered.container("npu-ipc-broker")["ports"][0]["containerPort"], 9999)
        self.assertEqual(rendered.one("Service", "npus-npu-ipc-metrics")["spec"]["ports"][0]["port"], 9999)

    def test_without_devices_the_broker_is_alone(self):
        rendered = Rendered({"devices": {"enabled": False}})
        self.assertEqual([each["name"] for each in rendered.pod["containers"]], ["npu-ipc-broker"])
        self.assertEqual(rendered.config("npu-ipc-broker")["deviceView"], {"socket": "off"})
        self.assertNotIn("privileged", rendered.text)

    def test_a_kubelet_elsewhere(self):
        rendered = Rendered({"kubeletDirectory": "/data/kubelet"})
        paths = {volume["hostPath"]["path"] for volume in rendered.pod["volumes"] if "hostPath" in volume}
        self.assertLessEqual({"/data/kubelet/device-plugins", "/data/kubelet/pod-resources"}, paths)

    def test_the_simulator_stands_for_the_driver_in_a_set_of_its_own(self):
        rendered = Rendered({"simulator": {"enabled": True, "node": "910c"}})
        devices = rendered.config("npu-device-plugin")
        self.assertEqual(devices["driver"]["directory"], "/var/lib/npu-ipc/simulator")
        self.assertEqual(devices["dcmi"], {"library": "/var/lib/npu-ipc/simulator/lib64/libdcmi.so"})
        simulator = rendered.one("DaemonSet", "npus-npu-ipc-simulator")["spec"]
        self.assertIn("--node=910c", simulator["template"]["spec"]["containers"][0]["args"])
        self.assertEqual(simulator["updateStrategy"], {"type": "OnDelete"})
        test = rendered.one("Job", "npus-npu-ipc-test")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(test["resources"], {"limits": {"huawei.com/Ascend910C": 1}})

    def test_selinux_labels_what_containers_see(self):
        pod = Rendered({"selinux": {"enabled": True}}).pod
        command = pod["initContainers"][0]["command"]
        self.assertEqual(command[-2:], ["/run/npu-ipc", "/var/lib/npu-ipc/lib"])
        for each in pod["containers"]:
            self.assertEqual(each["securityContext"]["seLinuxOptions"], {"type": "spc_t"})

    def test_names_and_images_are_overridden(self):
        rendered = Rendered({"fullnameOverride": "npu", "namespaceOverride": "elsewhere", "imagePullSecrets": [{"name": "s"}],
                             "image": {"repository": "r/i", "digest": "sha256:" + "a" * 64}})
        daemons = rendered.one("DaemonSet", "npu")
        self.assertEqual(daemons["metadata"]["namespace"], "elsewhere")
        pod = daemons["spec"]["template"]["spec"]
        self.assertEqual(pod["containers"][0]["image"], "r/i@sha256:" + "a" * 64)
        self.assertEqual(pod["imagePullSecrets"], [{"name": "s"}])
        self.assertEqual(rendered.one("ClusterRoleBinding", "npu-broker")["subjects"][0]["namespace"], "elsewhere")


class Uninstall(unittest.TestCase):
    """The job that takes the labels off the nodes. That it does is tried on a cluster."""

    def hooks(self, values=None):
        return [each for each in Rendered(values).objects
                if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "post-delete"]

    def test_the_job_has_rights_of_its_own_that_go_with_it(self):
        hooks = {each["kind"]: each for each in self.hooks()}
        self.assertEqual(set(hooks), {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"})
        self.assertEqual(hooks["ClusterRole"]["rules"], [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "patch"]}])
        account = hooks["ServiceAccount"]["metadata"]
        (subject,) = hooks["ClusterRoleBinding"]["subjects"]
        self.assertEqual((subject["name"], subject["namespace"]), (account["name"], account["namespace"]))
        self.assertEqual(hooks["ClusterRoleBinding"]["roleRef"]["name"], hooks["ClusterRole"]["metadata"]["name"])
        for each in hooks.values():
            self.assertIn("hook-succeeded", each["metadata"]["annotations"]["helm.sh/hook-delete-policy"])

    def test_the_job_is_no_daemon(self):
        (job,) = (each for each in self.hooks() if each["kind"] == "Job")
        pod = job["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], "npus-npu-ipc-remove-labels")
        self.assertNotIn("volumes", pod)
        self.assertNotIn("hostPID", pod)
        (container,) = pod["containers"]
        self.assertEqual(container["command"], ["npu-ipc-broker", "remove-node-labels"])
        self.assertTrue(container["securityContext"]["runAsNonRoot"])
        self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})

    def test_it_can_be_left_out(self):
        for values in ({"removeLabels": {"enabled": False}}, {"rbac": {"create": False}}):
            with self.subTest(values=values):
                self.assertEqual(self.hooks(values), [])


class Preload(unittest.TestCase):
    """The MutatingAdmissionPolicy. What it does to a pod is tried on a cluster."""

    BETA = ("--kube-version", "1.34.0", "--api-versions", "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy")

    def test_it_is_of_the_version_that_the_cluster_has(self):
        for options, versions in (((), ["v1"]), (self.BETA, ["v1beta1"]), (("--kube-version", "1.34.0"), [])):
            with self.subTest(options=options):
                found = [each["apiVersion"] for each in Rendered({}, *options).all("MutatingAdmissionPolicy")]
                self.assertEqual(found, [f"admissionregistration.k8s.io/{version}" for version in versions])

    def test_it_can_be_left_out(self):
        self.assertFalse(Rendered({"preloadPolicy": {"enabled": False}}).all("MutatingAdmissionPolicy"))

    def ours(self, values):
        policy = Rendered(values).one("MutatingAdmissionPolicy", "npus-npu-ipc-preload")
        return next(each["expression"] for each in policy["spec"]["variables"] if each["name"] == "ours")

    def test_it_knows_which_resources_bring_the_library(self):
        self.assertEqual(self.ours({}), "['huawei.com/Ascend910B','huawei.com/Ascend910C','npu-ipc.io/share']")
        self.assertEqual(self.ours({"devices": {"enabled": False}}), "['npu-ipc.io/share']")
        self.assertEqual(self.ours({"devices": {"config": {"resources": {"ascend910b": "a.b/c"}}},
                                    "broker": {"config": {"share": {"resourceName": "d.e/f"}}}}),
                         "['a.b/c','huawei.com/Ascend910C','d.e/f']")


class Monitoring(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.rendered = Rendered({"metrics": {"serviceMonitor": {"enabled": True, "labels": {"a": "b"}},
                                             "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}})

    def metrics(self):
        """Every metric that the daemons' sources name."""
        texts = {part: (ROOT / path).read_text() for part, path in (
            ("npu_ipc_broker_", "plugin/broker/metrics.cc"), ("npu_ipc_", "plugin/device_view/device_metrics.cc"))}
        return {prefix + name for prefix, text in texts.items() for name in re.findall(r'"([a-z][a-z_]+)"', text)} \
            | set(re.findall(r'"(npu_ipc_broker_\w+)"', texts["npu_ipc_broker_"]))

    def test_what_is_asked_for_is_there(self):
        rules = self.rendered.one("PrometheusRule", "npus-npu-ipc")["spec"]["groups"][0]["rules"]
        dashboard = json.loads(self.rendered.one("ConfigMap", "npus-npu-ipc-dashboard")["data"]["npu-ipc.json"])
        asked = [rule["expr"] for rule in rules]
        asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        asked += [each["query"] for each in dashboard["templating"]["list"]]
        named = {name for expression in asked for name in re.findall(r"\bnpu_ipc_\w+", expression)}
        self.assertGreater(len(named), 15)
        self.assertFalse(named - self.metrics())

    def test_the_rules_are_prometheus_rules(self):
        done = subprocess.run([built("tests/promtool/build-promtool"), "check", "rules", CHART / "monitoring/rules.yaml"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_service_monitor_selects_the_service(self):
        monitor = self.rendered.one("ServiceMonitor", "npus-npu-ipc")
        self.assertEqual(monitor["metadata"]["labels"]["a"], "b")
        service = self.rendered.one("Service", "npus-npu-ipc-metrics")
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
        self.assertEqual(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"])


class Refused(unittest.TestCase):
    """Values that are wrong, and what is said of them."""

    def assert_refused(self, words, values, namespace="npu-ipc"):
        done = template(values, namespace=namespace)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(words, done.stderr)

    def test_sharing_without_the_hosts_process_ids(self):
        self.assert_refused("hostPID=false: the broker could not tell which process is on its socket", {"hostPID": False})

    def test_the_namespace_default(self):
        self.assert_refused("is not installed into the namespace default", {}, namespace="default")
        self.assertEqual(template({"allowDefaultNamespace": True}, namespace="default").returncode, 0)

    def test_a_surge(self):
        for surge in (1, "10%"):
            self.assert_refused(f"maxSurge={surge}", {"updateStrategy": {"rollingUpdate": {"maxSurge": surge}}})

    def test_what_does_not_go_together(self):
        self.assert_refused("simulator.enabled=true needs devices.enabled=true",
                            {"simulator": {"enabled": True}, "devices": {"enabled": False}})
        self.assert_refused("serviceAccount.create=false needs serviceAccount.name", {"serviceAccount": {"create": False}})
        self.assert_refused("needs metrics.service.enabled=true",
                            {"metrics": {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}})

    def test_what_the_schema_does_not_have(self):
        for where, values in (("'imagee' not allowed", {"imagee": {}}),
                              ("/metrics/port", {"metrics": {"port": 0}}),
                              ("/metrics/port", {"metrics": {"port": "9500"}}),
                              ("/image/pullPolicy", {"image": {"pullPolicy": "Sometimes"}}),
                              ("/image/digest", {"image": {"digest": "latest"}}),
                              ("/kubeletDirectory", {"kubeletDirectory": "var/lib/kubelet"}),
                              ("/simulator/deviceMode", {"simulator": {"deviceMode": "rw"}}),
                              ("/devices/enabled", {"devices": {"enabled": "no"}}),
                              ("/broker/config", {"broker": {"config": "policy"}})):
            with self.subTest(values=values):
                self.assert_refused(where, values)

    def test_every_value_has_a_place_in_the_schema(self):
        def undescribed(values, schema, path):
            for name, value in values.items():
                its = schema.get("properties", {}).get(name)
                if its is None:
                    yield f"{path}{name}"
                elif isinstance(value, dict) and "properties" in its:
                    yield from undescribed(value, its, f"{path}{name}.")

        values = yaml.safe_load((CHART / "values.yaml").read_text())
        schema = json.loads((CHART / "values.schema.json").read_text())
        self.assertEqual(list(undescribed(values, schema, "")), [])


class Manifests(unittest.TestCase):

    def test_they_are_what_the_chart_renders(self):
        done = subprocess.run([ROOT / "tests/chart/render-manifests", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
