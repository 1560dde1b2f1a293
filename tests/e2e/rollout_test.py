"""Deployments that are rolled while memory is shared."""

import pod_program
from cluster.kubectl import deployment
from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from npus import RESOURCE
from pod_program import PodProgram

_GROUP = {"npu-ipc.io/group": "weights"}


class Rollout(ClusterTestCase):

    def deploy(self, role, replicas=1, strategy="RollingUpdate"):
        """Returns its pods when they run."""
        template = pod_program.example(role, role, annotations=_GROUP, resources={RESOURCE: 1})
        self.kubectl.create(deployment(template, replicas, strategy))
        self.addCleanup(self.kubectl.run, "delete", "deployment", role, "--cascade=foreground", "--wait=true")
        return self.pods(role)

    def pods(self, role):
        """The programs in the pods of a Deployment, when all are of its latest revision and run."""
        self.kubectl.run("rollout", "status", f"deployment/{role}", "--timeout=60s")
        return [PodProgram(self.node, seen) for seen in self.kubectl.list("pods", "-l", f"app={role}")
                if "deletionTimestamp" not in seen["metadata"]]

    def roll(self, role):
        self.kubectl.run("rollout", "restart", f"deployment/{role}")
        return self.pods(role)

    def attach(self, importers):
        for importer in importers:
            importer.step_to("devices", "attached")

    def test_the_importers_are_rolled_and_the_next_ones_share(self):
        (exporter,) = self.deploy("exporter")
        exporter.step_to("published")
        before = self.deploy("importer", replicas=2)
        self.attach(before)
        after = self.roll("importer")
        self.assertEqual(len(after), 2)
        self.assertFalse({each.name for each in before} & {each.name for each in after})
        self.attach(after)
        pod_program.read_and_write(exporter, *after)
        wait_until(lambda: self.npus.metric("npu_ipc_broker_grants") == 2, "those before to be forgotten")

    def test_the_exporter_is_rolled_and_the_importer_hears_of_it_and_shares_with_the_next(self):
        (exporter,) = self.deploy("exporter", strategy="Recreate")  # a name is one exporter's at a time
        exporter.step_to("published")
        (importer,) = self.deploy("importer")
        self.attach([importer])
        importer.step_to("read", "wrote")

        (following,) = self.roll("exporter")
        importer.wait_for("the exporter is gone")
        importer.step_to("detached")
        following.step_to("published")

        self.kubectl.wait_for_object("pods", importer.name, self.runs_again, "the importer to run again")
        (importer,) = self.pods("importer")
        self.attach([importer])
        pod_program.read_and_write(following, importer)

    def runs_again(self, seen):
        status = seen["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and "running" in status["state"]
