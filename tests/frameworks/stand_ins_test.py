#!/usr/bin/env python3
"""stand_ins.py on a framework of one library, which this test makes."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import stand_ins


def build(target, source, *options):
    target.parent.mkdir(exist_ok=True)
    subprocess.run([os.environ.get('CC', 'cc'), '-x', 'c', '-', '-x', 'none', '-shared', '-fPIC', f'-Wl,-soname,{target.name}',
                    '-o', str(target), *map(str, options)], input=source, text=True, check=True)


class StandInsTest(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        root = pathlib.Path(directory.name)
        self.framework, self.present, self.output = root / 'framework', root / 'present', root / 'output'
        build(self.present / 'libpresent.so', 'int there(void) { return 7; }')
        build(root / 'linked' / 'libmissing.so', 'int gone(void) { return 9; } int special(void) { return 9; }')
        build(self.framework / 'libframework.so',
              '#include <stdlib.h>\n'
              'int there(void), gone(void), special(void), abs(int);\n'
              'extern int perhaps(void) __attribute__((weak));\n'
              'int sum(void) { return there() + 10 * special() + 100 * gone() + (perhaps ? 1000 : 0); }\n'
              'int machine(void) { return atoi("5"); }',
              root / 'linked' / 'libmissing.so', self.present / 'libpresent.so')
        self.source = root / 'special.c'
        self.source.write_text('int special(void) { return 3; }')

    def make(self, opened=()):
        return stand_ins.make([self.framework], [self.present], list(opened), [self.source], self.output)

    def call(self, function):
        """What the framework's function returns where the loader finds present before output."""
        program = f'import ctypes; print(ctypes.CDLL("{self.framework}/libframework.so").{function}())'
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                              env={**os.environ, 'LD_LIBRARY_PATH': f'{self.present}:{self.output}'})
        return int(done.stdout)

    def test_stands_in_for_what_is_missing_and_nothing_else(self):
        libraries, functions = self.make()
        self.assertEqual(libraries, ['libmissing.so'])
        self.assertEqual(functions, ['gone'])

    def test_the_framework_loads_and_calls_it(self):
        self.make()
        self.assertEqual(self.call('sum'), 7 + 10 * 3 + 100 * 0)
        self.assertEqual(self.call('machine'), 5)

    def test_what_is_opened_by_name_is_there_too(self):
        libraries, _ = self.make(['libopened.so', 'libpresent.so', 'libc.so.6'])
        self.assertEqual(libraries, ['libmissing.so', 'libopened.so'])

    def test_may_be_made_again(self):
        self.make()
        self.assertEqual(self.make(), (['libmissing.so'], ['gone']))
        self.assertEqual(self.call('sum'), 37)


if __name__ == '__main__':
    unittest.main()
