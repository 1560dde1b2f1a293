#!/usr/bin/env python3
"""Brings up a real Kubernetes cluster in a box of namespaces, runs the tests against it, and leaves nothing behind."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

import environment
import images
from chart_test_case import ChartTestCase
from cluster import box, programs


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-tree", type=pathlib.Path, default="build/release",
                        help="of this project; default: %(default)s")
    parser.add_argument("--log-directory", type=pathlib.Path,
                        help="default: e2e-logs in the build tree, or e2e-logs-VERSION for another kubelet")
    parser.add_argument("--build-only", action="store_true",
                        help="build the cluster's programs, every kubelet and the images, and nothing else")
    parser.add_argument("--kubelet", default=programs.CONTROL_PLANE, choices=programs.KUBELETS,
                        help="minor version of the node's kubelet; default: that of the rest, %(default)s")
    parser.add_argument("--shell", action="store_true", help="a shell in the cluster's box instead of the tests")
    parser.add_argument("tests", nargs="*", help="names of tests as unittest takes them; default: all")
    parser.add_argument("--in-box", help=argparse.SUPPRESS)  # the cgroup
    parser.add_argument("--images", nargs="*", default=[], help=argparse.SUPPRESS)  # archives
    options = parser.parse_args()
    options.build_tree = options.build_tree.resolve()
    another = "" if options.kubelet == programs.CONTROL_PLANE else f"-{options.kubelet}"
    options.log_directory = (options.log_directory or options.build_tree / f"e2e-logs{another}").resolve()
    return options


def _suite(names):
    loader = unittest.TestLoader()
    here = str(pathlib.Path(__file__).parent)
    return loader.loadTestsFromNames(names) if names else loader.discover(here, "*_test.py")


def _install_the_chart(suite):
    """Whether any of those tests does."""
    return any(_install_the_chart(each) if isinstance(each, unittest.TestSuite) else isinstance(each, ChartTestCase)
               for each in suite)


class _TimedResult(unittest.TextTestResult):
    """Says how long each test took: all of them together have minutes."""

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok, {time.monotonic() - self._began:.1f} s")


def _outside(options):
    if os.geteuid() != 0:
        raise SystemExit("e2e cannot run: namespaces, mounts and cgroups need root")
    with box.interruptible():
        for kubelet in programs.KUBELETS if options.build_only else [options.kubelet]:
            programs.build(kubelet)
        archives = []
        if options.build_only or not options.shell and _install_the_chart(_suite(options.tests)):
            archives = images.build().values()
        if options.build_only:
            return 0
        shutil.rmtree(options.log_directory, ignore_errors=True)
        options.log_directory.mkdir(parents=True)
        with box.cgroup("npu-e2e-") as name:
            code = box.run([sys.executable, *sys.argv, "--in-box", name, "--images", *map(str, archives)])
    if code != 0:
        print(f"e2e: failed; the logs of all daemons are in {options.log_directory}", file=sys.stderr)
    return code


def _inside(options):
    box.become_init()
    began = time.monotonic()
    environment.start(options.build_tree, options.log_directory, options.in_box, options.kubelet, options.images)
    print(f"e2e: cluster ready in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    if options.shell:
        variables = {**os.environ, "KUBECONFIG": str(environment.control_plane.kubeconfig("admin")),
                     "PATH": f"{environment.kubectl.program.parent}:{os.environ['PATH']}"}
        return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=variables, check=False).returncode
    result = unittest.TextTestRunner(verbosity=2, resultclass=_TimedResult).run(_suite(options.tests))
    passed = result.wasSuccessful() and result.testsRun > 0 and not result.skipped
    return 0 if passed else 1


def main():
    options = _arguments()
    return _inside(options) if options.in_box else _outside(options)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    sys.exit(main())
