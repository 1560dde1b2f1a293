#!/usr/bin/env python3
"""Makes stand-ins for the shared libraries that a framework is linked against and this machine lacks.

What is missing is read from the framework's own .so files, never listed here: each library that one of
them names as NEEDED, and that is neither among them nor anywhere the loader looks, gets a library of
that SONAME. All of these need one library, which defines every function that the files leave
undefined as one that does nothing and returns 0.

A function that the simulator has is never stood in for, whatever order the loader finds them in.
"""

import argparse
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Iterable

NOTHING = 'libnpu_ipc_stand_in.so'  # what all stand-ins need
IDENTIFIER = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')


class Library:
    """What the loader would see of one ELF file."""

    def __init__(self, path: pathlib.Path):
        text = subprocess.run(['readelf', '--wide', '--dynamic', '--dyn-syms', str(path)], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        self.path = path
        self.needed = set(re.findall(r'\(NEEDED\).*\[(.+)\]', text))
        self.defined = set()
        self.undefined = set()
        for line in text.splitlines():
            # Num: Value Size Type Bind Vis Ndx Name
            fields = line.split()
            if len(fields) < 8 or not fields[0].endswith(':') or not fields[0][:-1].isdigit():
                continue
            bind, section, name = fields[4], fields[6], fields[7].split('@')[0]
            if section != 'UND':
                self.defined.add(name)
            elif bind == 'GLOBAL':  # a weak one may stay undefined
                self.undefined.add(name)


def is_elf(path: pathlib.Path) -> bool:
    if not path.is_file():
        return False
    with path.open('rb') as file:
        return file.read(4) == b'\x7fELF'


def libraries_below(directories: Iterable[pathlib.Path]) -> list[Library]:
    """Every shared library in these directories and below them."""
    paths = {path.resolve() for directory in directories for path in directory.rglob('*.so*')}
    return [Library(path) for path in sorted(paths) if is_elf(path)]


@functools.cache
def loader_cache() -> dict[str, pathlib.Path]:
    """The machine's own libraries, as ldconfig knows them."""
    text = subprocess.run(['/sbin/ldconfig', '-p'], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: pathlib.Path(path) for name, path in
            reversed(re.findall(r'^\s+(\S+) \(.*\) => (\S+)$', text, re.MULTILINE))}


def machine_libraries(names: set[str]) -> list[Library]:
    """Those of the names that this machine has, and what they need in turn."""
    found: dict[str, Library] = {}
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        path = loader_cache().get(name)
        if path is not None and name not in found:
            found[name] = Library(path)
            waiting |= found[name].needed
    return list(found.values())


def link(target: pathlib.Path, *inputs: str) -> None:
    """Builds a shared library from sources and libraries; replaces the file in one step."""
    fresh = target.with_suffix('.new')
    subprocess.run([os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-O1', '-fno-builtin', '-w',
                    f'-Wl,-soname,{target.name}', '-o', str(fresh), *inputs], check=True)
    fresh.replace(target)


def make(framework: list[pathlib.Path], present: list[pathlib.Path], opened: list[str],
         sources: list[pathlib.Path], output: pathlib.Path) -> tuple[list[str], list[str]]:
    """Writes the stand-ins to `output`; the names of the libraries and of the functions in them."""
    output.mkdir(parents=True, exist_ok=True)
    for old in output.iterdir():
        old.unlink()
    base = output / NOTHING
    link(base, *map(str, sources))
    own = libraries_below(framework)
    # The interpreter defines what extension modules use of it.
    there = libraries_below(present) + [Library(pathlib.Path(sys.executable).resolve()), Library(base)]
    names = {library.path.name for library in own + there}
    needed = set().union(*(library.needed for library in own)) | set(opened)
    missing = sorted(name for name in needed - names if name not in loader_cache())
    there += machine_libraries(needed)
    defined = set().union(*(library.defined for library in own + there))
    undefined = set().union(*(library.undefined for library in own))
    functions = sorted(name for name in undefined - defined if IDENTIFIER.fullmatch(name))

    with tempfile.NamedTemporaryFile('w', suffix='.c') as generated:
        generated.writelines(f'long {name}(void) {{ return 0; }}\n' for name in functions)
        generated.flush()
        link(base, generated.name, *map(str, sources))
    for name in missing:
        link(output / name, '-Wl,--no-as-needed', str(base), '-Wl,-rpath,$ORIGIN')
    return missing, functions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--framework', type=pathlib.Path, action='append', required=True,
                        help='a directory with the .so files whose needs are to be met; may be repeated')
    parser.add_argument('--present', type=pathlib.Path, action='append', default=[],
                        help='a directory with libraries that will be there (the simulator); may be repeated')
    parser.add_argument('--opened', action='append', default=[],
                        help='a library that the framework opens by name without NEEDED; may be repeated')
    parser.add_argument('--source', type=pathlib.Path, action='append', default=[],
                        help='C with the functions that have to do more; may be repeated')
    parser.add_argument('--output', type=pathlib.Path, required=True, help='the directory for the stand-ins')
    arguments = parser.parse_args()
    libraries, functions = make(arguments.framework, arguments.present, arguments.opened, arguments.source,
                                arguments.output)
    print(f'{len(libraries)} stand-ins ({", ".join(libraries)}) with {len(functions)} functions')
    return 0


if __name__ == '__main__':
    sys.exit(main())
