#!/usr/bin/env python3
"""Holds a library's binary interface against the one that was released, by libabigail.

What a program built with the baseline may rely on stays: symbols and their versions, the SONAME,
prototypes, enumerators' values, and the layout of structures up to their end. New symbols, new
enumerators and fields at the end of a structure that begins with its size (`struct_bytes`) are no
difference; --update writes them into the baseline, and refuses any other change unless --break.
With --no-additions a new symbol is one: of a library that defines functions in another's place.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


class ToolError(Exception):
    """libabigail could not do it; says what it said."""


def describe(library, headers, output):
    """Writes the interface that `library`, built with -g, exports of what `headers` declare."""
    command = ['abidw', '--exported-interfaces-only', '--headers-dir', str(headers),
               '--drop-private-types', '--no-corpus-path', '--no-comp-dir-path', '--no-show-locs',
               '--type-id-style', 'hash', '--out-file', str(output), str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not output.is_file():
        raise ToolError(f'abidw {library}: {done.stdout}{done.stderr}')
    if '<function-decl' not in output.read_text(encoding='utf-8'):
        raise ToolError(f'{library} exports no function with debug information')


def compare(baseline, description, additions=True):
    """What a program built with `baseline` would miss in `description`, in words; '': nothing.
    Without `additions` also what it would find there that was not in the baseline."""
    command = ['abidiff', '--no-architecture', *(['--no-added-syms'] if additions else []),
               '--suppressions', str(HERE / 'additions.suppr'), str(baseline), str(description)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode & 3:  # abidiff: 1 an error of its own, 2 of its usage
        raise ToolError(f'abidiff: {done.stdout}{done.stderr}')
    return done.stdout if done.returncode else ''


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--library', required=True, type=pathlib.Path)
    parser.add_argument('--headers', required=True, type=pathlib.Path,
                        help='the directory of its public headers')
    parser.add_argument('--baseline', required=True, type=pathlib.Path)
    parser.add_argument('--no-additions', action='store_false', dest='additions',
                        help='a symbol that the baseline does not have is a difference')
    parser.add_argument('--update', action='store_true', help='write additions into the baseline')
    parser.add_argument('--break', action='store_true', dest='breaks',
                        help='with --update: a new SONAME or a major version allows any change')
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        description = pathlib.Path(scratch) / 'library.abi'
        try:
            describe(options.library, options.headers, description)
            missed = ''
            if options.baseline.is_file() or not options.update:
                missed = compare(options.baseline, description, options.additions)
        except ToolError as error:
            sys.exit(str(error))
        if missed and not (options.update and options.breaks):
            sys.exit(f'{missed}\nPrograms built with {options.baseline.name} would break. Keep what '
                     'was released and add beside it.')
        if options.update:
            options.baseline.write_bytes(description.read_bytes())
            print(f'wrote {options.baseline}')
        else:
            print(f'{options.library.name} has all of {options.baseline.name}')


if __name__ == '__main__':
    main()
