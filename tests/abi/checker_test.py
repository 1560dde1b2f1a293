#!/usr/bin/env python3
"""The checkers find what they are there for: each kind of difference, made on purpose."""

import os
import pathlib
import tempfile
import textwrap
import unittest

import check_declarations
import check_exports
import declarations
import facts

COMPILER = os.environ.get('CXX', 'c++')

HEADER = '''
    #ifndef H_
    #define H_
    #include <stdint.h>
    #ifdef __cplusplus
    extern "C" {
    #endif
    #define VISIBLE __attribute__((visibility("default")))
    #define LIMIT 0x40U
    #define FLAG (1UL << 3)
    #define GREETING "hello; {world"
    typedef int error_t_;
    typedef void *handle_t;
    typedef void (*callback_t)(int, void *);
    static const int CODE_BAD = 107;
    enum { NAMELESS = 3 };
    typedef enum { RED = 1, GREEN } colour_t;
    enum kind { KIND_A = -1 };
    typedef struct { uint32_t id; colour_t colour; char text[LIMIT]; } record_t;
    struct outer { int tag; union { int whole; struct { short low; short high_; } parts; } u; };
    VISIBLE error_t_ do_it(record_t *record, const char *name,
                           uint64_t flags);
    VISIBLE handle_t __attribute__((deprecated)) old_one(void);
    #ifdef __cplusplus
    }
    #endif
    #endif
'''


class Headers:
    """A directory with `api.h` in it."""

    def __init__(self, text):
        self._scratch = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self._scratch.name).resolve()
        (self.directory / 'api.h').write_text(textwrap.dedent(text), encoding='utf-8')

    def __enter__(self):
        return self.directory

    def __exit__(self, *_):
        self._scratch.cleanup()


def scan(text):
    with Headers(text) as directory:
        return check_declarations.scan_ours(COMPILER, ['api.h'], directory)


def problems(ours, vendors, noted=None):
    with Headers(ours) as mine, Headers(vendors) as theirs:
        found, count = check_declarations.check_against_wheel(COMPILER, mine, ['api.h'], theirs,
                                                              noted or {})
    return found, count


class ScannerTest(unittest.TestCase):
    def test_finds_every_kind(self):
        found = {each.name: each for each in scan(HEADER)}
        kinds = {name: each.kind for name, each in found.items()}
        self.assertEqual(kinds, {
            'LIMIT': 'constant', 'FLAG': 'constant', 'GREETING': 'constant',
            'CODE_BAD': 'constant', 'NAMELESS': 'constant', 'RED': 'constant',
            'GREEN': 'constant', 'KIND_A': 'constant', 'colour_t': 'enum', 'kind': 'enum',
            'error_t_': 'type', 'handle_t': 'type', 'callback_t': 'type',
            'record_t': 'struct', 'outer': 'struct', 'do_it': 'function',
            'old_one': 'function'})
        self.assertEqual(found['record_t'].fields, ('id', 'colour', 'text'))
        self.assertEqual(found['outer'].fields,
                         ('tag', 'u', 'u.whole', 'u.parts', 'u.parts.low', 'u.parts.high_'))

    def test_refuses_what_it_does_not_understand(self):
        for text in ('extern int variable;', 'struct s { int a : 3; };', 'struct s { int a, b; };',
                     'int f(void) { return 1; }'):
            with self.subTest(text), self.assertRaises(declarations.ScanError):
                scan(text + '\n')


class ComparisonTest(unittest.TestCase):
    def test_the_same_agrees(self):
        found, count = problems(HEADER, HEADER)
        self.assertEqual(found, [])
        self.assertGreater(count, 20)

    def differ(self, changes):
        """Each (old, new, key): with `new` in the vendor's header, `key` is reported."""
        vendors = HEADER
        for old, new, _ in changes:
            self.assertIn(old, vendors)
            vendors = vendors.replace(old, new)
        found, _ = problems(HEADER, vendors)
        for _, _, key in changes:
            self.assertTrue(any(line.startswith(key) for line in found), f'{key} not in {found}')

    def test_values(self):
        self.differ([('0x40U', '0x41U', 'constant LIMIT'),
                     ('<< 3', '<< 4', 'constant FLAG'),
                     ('CODE_BAD = 107', 'CODE_BAD = 108', 'constant CODE_BAD'),
                     ('RED = 1', 'RED = 0', 'constant GREEN'),
                     ('hello', 'bye', 'constant GREETING')])

    def test_sizes(self):
        self.differ([('uint32_t id;', 'uint64_t id;', 'struct record_t'),
                     ('KIND_A = -1', 'KIND_A = 1', 'enum kind')])

    def test_offsets(self):
        self.differ([('uint32_t id; colour_t colour;', 'colour_t colour; uint32_t id;',
                      'field record_t.id')])

    def test_types(self):
        self.differ([('typedef void *handle_t', 'typedef char *handle_t', 'type handle_t'),
                     ('(int, void *)', '(long, void *)', 'type callback_t')])

    def test_prototypes(self):
        self.differ([('uint64_t flags', 'uint32_t flags', 'function do_it'),
                     ('handle_t __attribute__((deprecated)) old_one', 'int old_one',
                      'function old_one')])
        self.differ([('const char *name', 'char *name', 'function do_it')])

    def test_a_name_that_the_vendor_lacks(self):
        ours = HEADER.replace('#ifdef __cplusplus\n    }', 'int added(int);\n#ifdef __cplusplus\n}')
        self.assertNotEqual(ours, HEADER)
        found, _ = problems(ours, HEADER)
        self.assertEqual(len(found), 1)
        self.assertIn('added', found[0])
        found, _ = problems(ours, HEADER, facts.parse(['function added int (*)(long)']))
        self.assertEqual(len(found), 1)
        found, _ = problems(ours, HEADER, facts.parse(['function added int (*)(int)']))
        self.assertEqual(found, [])

    def test_noted_facts_do_not_contradict_each_other(self):
        with self.assertRaises(ValueError):
            facts.parse(['constant A 1', 'constant A 2'])


class ExportsTest(unittest.TestCase):
    def test_both_directions(self):
        self.assertEqual(list(check_exports.problems({'a', 'b'}, {'a', 'b'}, ['a'], '')), [])
        self.assertEqual(len(list(check_exports.problems({'a'}, {'a', 'b'}, [], ''))), 1)
        self.assertEqual(len(list(check_exports.problems({'a', 'b'}, {'a'}, [], ''))), 1)
        self.assertEqual(len(list(check_exports.problems({'a'}, {'a'}, ['c'], ''))), 1)
        self.assertEqual(list(check_exports.problems({'a', '_Z1x'}, {'a'}, [], '_Z')), [])


if __name__ == '__main__':
    unittest.main()
