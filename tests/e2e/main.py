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
from cluster import box, programs


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-tree", type=pathlib.Path, default="build/release",
                        help="of this project; default: %(default)s")
    parser.add_argument("--log-directory", type=pathlib.Path, help="default: e2e-logs in the build tree")
    parser.add_argument("--build-only", action="store_true",
                        help="build the cluster's programs and the images, and nothing else")
    parser.add_argument("--kubelet", default=programs.CONTROL_PLANE,
                        help="minor version of the node's kubelet; default: that of the rest, %(default)s")
    parser.add_argument("--shell", action="store_true", help="a shell in the cluster's box instead of the tests")
    parser.add_argument("tests", nargs="*", help="names of tests as unittest takes them; default: all")
    parser.add_argument("--in-box", help=argparse.SUPPRESS)  # the cgroup
    options = parser.parse_args()
    options.build_tree = options.build_tree.resolve()
    options.log_directory = (options.log_directory or options.build_tree / "e2e-logs").resolve()
    return options


def _installs_the_chart(options):
    return not options.shell and (not options.tests or any(name.startswith("chart_") for name in options.tests))


def _outside(options):
    if os.geteuid() != 0:
        raise SystemExit("e2e cannot run: namespaces, mounts and cgroups need root")
    with box.interruptible():
        programs.build(options.kubelet)
        if options.build_only or _installs_the_chart(options):
            images.build()
        if options.build_only:
            return 0
        shutil.rmtree(options.log_directory, ignore_errors=True)
        options.log_directory.mkdir(parents=True)
        with box.cgroup("npu-e2e-") as name:
            code = box.run([sys.executable, *sys.argv, "--in-box", name])
    if code != 0:
        print(f"e2e: failed; the logs of all daemons are in {options.log_directory}", file=sys.stderr)
    return code


def _inside(options):
    box.become_init()
    began = time.monotonic()
    environment.start(options.build_tree, options.log_directory, options.in_box, options.kubelet)
    print(f"e2e: cluster ready in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    if options.shell:
        variables = {**os.environ, "KUBECONFIG": str(environment.control_plane.kubeconfig("admin")),
                     "PATH": f"{environment.kubectl.program.parent}:{os.environ['PATH']}"}
        return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=variables, check=False).returncode
    loader = unittest.TestLoader()
    here = str(pathlib.Path(__file__).parent)
    suite = loader.loadTestsFromNames(options.tests) if options.tests else loader.discover(here, "*_test.py")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    passed = result.wasSuccessful() and result.testsRun > 0 and not result.skipped
    return 0 if passed else 1


def main():
    options = _arguments()
    return _inside(options) if options.in_box else _outside(options)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    sys.exit(main())
