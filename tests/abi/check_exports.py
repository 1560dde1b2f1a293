#!/usr/bin/env python3
"""Holds what a simulated vendor library exports against what its headers declare: no more, no less.

With --functions, every function of that list which begins with --prefix is declared and exported.
"""

import argparse
import pathlib
import re
import subprocess
import sys

import declarations


def exported(nm, library):
    done = subprocess.run([nm, '--dynamic', '--defined-only', '--format=posix', str(library)],
                          capture_output=True, text=True, check=True)
    return {line.split()[0].split('@')[0] for line in done.stdout.splitlines() if line.strip()}


def declared(compiler, includes, directory, below):
    lines = list(declarations.preprocess(compiler, includes, [directory]))
    root = f'{directory / below}'
    found = declarations.scan(lines, lambda path: path.startswith(root))
    return {each.name for each in found if each.kind == 'function'}


def listed(path, prefix):
    for line in path.read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#') and line.startswith(prefix):
            yield line.split()[0]


def problems(exports, declares, wanted, private):
    """`private`: a pattern of what libraries of one build may have among themselves."""
    public = {name for name in exports if not (private and re.match(private, name))}
    for name in sorted(declares - public):
        yield f'{name} is declared and not exported'
    for name in sorted(public - declares):
        yield f'{name} is exported and not declared'
    for name in wanted:
        if name not in declares:
            yield f'{name} is listed and not declared'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--nm', default='nm')
    parser.add_argument('--compiler', required=True, help='a C++ compiler')
    parser.add_argument('--library', required=True, type=pathlib.Path)
    parser.add_argument('--directory', required=True, type=pathlib.Path,
                        help='include directory of its headers')
    parser.add_argument('--below', default='', help='only what is declared below this part of it')
    parser.add_argument('--include', required=True, action='append', dest='includes')
    parser.add_argument('--private', default='', help='pattern of exports that are no interface')
    parser.add_argument('--functions', type=pathlib.Path, help='list of functions to have')
    parser.add_argument('--prefix', default='')
    options = parser.parse_args()

    try:
        declares = declared(options.compiler, options.includes, options.directory.resolve(),
                            options.below)
    except declarations.ScanError as error:
        sys.exit(str(error))
    wanted = list(listed(options.functions, options.prefix)) if options.functions else []
    if not declares or (options.functions and not wanted):
        sys.exit('nothing was compared')
    found = list(problems(exported(options.nm, options.library), declares, wanted,
                          options.private))
    for problem in found:
        print(problem)
    if found:
        sys.exit(1)
    print(f'{options.library.name} exports the {len(declares)} functions that are declared')


if __name__ == '__main__':
    main()
