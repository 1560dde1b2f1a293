#!/usr/bin/env python3
"""Holds every declaration of vendor headers that this project makes against the vendor's own.

What PyPI's torch-npu wheel declares is compiled from there; what it lacks is in noted/, taken from
the vendor's public repositories. A name that is in neither fails: nothing is left unchecked.
"""

import argparse
import pathlib
import sys

import declarations
import facts


def scan_ours(compiler, includes, directory):
    lines = list(declarations.preprocess(compiler, includes, [directory]))
    return declarations.scan(lines, lambda path: path.startswith(f'{directory}/'))


def check_against_wheel(compiler, ours_directory, includes, wheel_directory, noted):
    """Problems, and how many facts were compared."""
    ours = scan_ours(compiler, includes, ours_directory)
    wheel_includes = [each for each in includes if (wheel_directory / each).is_file()]
    in_wheel = declarations.names_in(
        declarations.preprocess(compiler, wheel_includes, [wheel_directory]))
    shared = [each for each in ours if each.name in in_wheel]
    others = [each for each in ours if each.name not in in_wheel]
    mine = facts.facts(compiler, includes, [ours_directory], shared)
    vendors = facts.facts(compiler, wheel_includes, [wheel_directory], shared)
    problems = list(facts.differences(mine, vendors))
    more, count = check_against_noted(compiler, ours_directory, includes, others, noted)
    return problems + more, len(mine) + count


def check_against_noted(compiler, directory, includes, ours, noted):
    mine = facts.facts(compiler, includes, [directory], ours)
    return list(facts.differences(mine, noted)), len(mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--compiler', required=True, help='a C++ compiler')
    parser.add_argument('--directory', required=True, type=pathlib.Path,
                        help='include directory of the headers to check')
    parser.add_argument('--include', required=True, action='append', dest='includes',
                        help='a header, as programs include it')
    parser.add_argument('--wheel', type=pathlib.Path, help='the wheel\'s include directory')
    parser.add_argument('--noted', action='append', type=pathlib.Path, default=[],
                        help='file of noted facts')
    options = parser.parse_args()

    directory = options.directory.resolve()
    noted = facts.parse([line for path in options.noted
                         for line in path.read_text(encoding='utf-8').splitlines()])
    try:
        if options.wheel is not None:
            problems, count = check_against_wheel(options.compiler, directory,
                                                  options.includes, options.wheel, noted)
        else:
            ours = scan_ours(options.compiler, options.includes, directory)
            problems, count = check_against_noted(options.compiler, directory,
                                                  options.includes, ours, noted)
    except (declarations.ScanError, facts.CompileError) as error:
        sys.exit(str(error))
    if count == 0:
        problems.append('nothing was compared')
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f'{count} facts agree with the vendor\'s')


if __name__ == '__main__':
    main()
