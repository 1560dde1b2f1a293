#!/usr/bin/env python3
"""That check_library_abi.py tells a broken interface from one that has grown."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import check_library_abi

HEADER = '''
#include <stddef.h>
#include <stdint.h>
typedef struct npu_ipc_thing npu_ipc_thing;
typedef enum npu_ipc_state { LIVE = 0, GONE = 1 } npu_ipc_state;
typedef struct npu_ipc_info {
  size_t struct_bytes;
  uint32_t device;
  npu_ipc_state state;
} npu_ipc_info;
npu_ipc_state npu_ipc_get(npu_ipc_thing* thing, npu_ipc_info* info);
int npu_ipc_close(npu_ipc_thing* thing, uint32_t wait);
'''
SOURCE = '''
#include "npu_ipc.h"
npu_ipc_state npu_ipc_get(npu_ipc_thing* thing, npu_ipc_info* info) {
  return thing != 0 && info->device != 0 ? info->state : GONE;
}
int npu_ipc_close(npu_ipc_thing* thing, uint32_t wait) { return thing != 0 && wait != 0; }
'''
MAP = 'NPU_IPC_0.1 { global: npu_ipc_*; local: *; };'


class LibraryAbiTest(unittest.TestCase):
    """Each case builds the library anew with one change, and holds it against the first."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.released = cls.build('released', HEADER, SOURCE, MAP)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def build(cls, name, header, source, version_map, soname='libnpu_ipc.so.0'):
        """The description of a library built of these."""
        directory = pathlib.Path(cls.scratch.name) / name
        (directory / 'include').mkdir(parents=True)
        (directory / 'include' / 'npu_ipc.h').write_text(header, encoding='utf-8')
        (directory / 'library.c').write_text(source, encoding='utf-8')
        (directory / 'library.map').write_text(version_map, encoding='utf-8')
        subprocess.run(
            [os.environ.get('CC', 'cc'), '-g', '-fPIC', '-shared', '-I', str(directory / 'include'),
             f'-Wl,--version-script={directory / "library.map"}', f'-Wl,-soname,{soname}',
             str(directory / 'library.c'), '-o', str(directory / 'library.so')], check=True)
        description = directory / 'library.abi'
        check_library_abi.describe(directory / 'library.so', directory / 'include', description)
        return description

    def missed(self, header=('', ''), source=('', ''), version_map=('', ''), soname=None,
               additions=True):
        """What is missed once the first of each pair is replaced by the second."""
        texts = []
        for text, (old, new) in ((HEADER, header), (SOURCE, source), (MAP, version_map)):
            self.assertIn(old, text)
            texts.append(text.replace(old, new) if old else text + new)
        description = self.build(self.id(), *texts, soname=soname or 'libnpu_ipc.so.0')
        return check_library_abi.compare(self.released, description, additions)

    def test_the_same_is_no_difference(self):
        self.assertEqual(self.missed(), '')

    def test_an_added_function_is_no_difference(self):
        self.assertEqual(self.missed(header=('', 'void npu_ipc_more(int);'),
                                     source=('', 'void npu_ipc_more(int x) { (void)x; }')), '')

    def test_an_added_function_is_one_where_there_may_be_none(self):
        self.assertIn('npu_ipc_more', self.missed(header=('', 'void npu_ipc_more(int);'),
                                                  source=('', 'void npu_ipc_more(int x) { (void)x; }'),
                                                  additions=False))

    def test_a_field_at_the_end_is_no_difference(self):
        self.assertEqual(self.missed(header=('npu_ipc_state state;',
                                             'npu_ipc_state state; uint64_t generation;')), '')

    def test_a_new_enumerator_is_no_difference(self):
        self.assertEqual(self.missed(header=('GONE = 1', 'GONE = 1, REVOKED = 2')), '')

    def test_a_removed_function(self):
        self.assertIn('npu_ipc_close', self.missed(
            version_map=('npu_ipc_*', 'npu_ipc_get')))

    def test_a_function_of_another_version(self):
        self.assertIn('npu_ipc_close', self.missed(
            version_map=(MAP, 'NPU_IPC_0.1 { global: npu_ipc_get; local: *; };'
                              'NPU_IPC_0.2 { global: npu_ipc_close; } NPU_IPC_0.1;')))

    def test_another_soname(self):
        self.assertIn('SONAME', self.missed(soname='libnpu_ipc.so.1'))

    def test_another_parameter_type(self):
        self.assertIn('npu_ipc_close', self.missed(header=('uint32_t wait', 'uint64_t wait'),
                                                   source=('uint32_t wait', 'uint64_t wait')))

    def test_another_value_of_an_enumerator(self):
        self.assertIn('GONE', self.missed(header=('GONE = 1', 'GONE = 2')))

    def test_a_field_in_the_middle(self):
        self.assertIn('npu_ipc_info', self.missed(header=('uint32_t device;',
                                                          'uint32_t card; uint32_t device;')))

    def test_a_removed_field(self):
        self.assertIn('state', self.missed(
            header=('npu_ipc_state state;', ''), source=('info->state', 'LIVE')))

    def test_a_library_without_debug_information_is_not_compared(self):
        library = pathlib.Path(self.scratch.name) / 'released' / 'library.so'
        stripped = library.with_name('stripped.so')
        subprocess.run(['strip', '-o', str(stripped), str(library)], check=True)
        with self.assertRaises(check_library_abi.ToolError):
            check_library_abi.describe(stripped, library.parent / 'include',
                                       stripped.with_suffix('.abi'))


if __name__ == '__main__':
    unittest.main()
