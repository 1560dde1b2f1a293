"""Finds what C headers of this project declare: names, kinds, fields, in order.

Reads the compiler's own preprocessed output (`-E -dD`), so that includes, conditions and comments
are the compiler's business, and keeps what comes from the headers asked for. It understands plain C
declarations as these headers have them, and refuses what it does not understand: nothing is left
unchecked in silence.
"""

import dataclasses
import re
import subprocess


class ScanError(Exception):
    """A declaration that the scanner does not understand."""


@dataclasses.dataclass(frozen=True)
class Declaration:
    kind: str  # constant, enum, struct, union, type or function
    name: str  # as C++ names it
    fields: tuple = ()  # of a struct or union


_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|0[xX][0-9a-fA-F]+\w*|\d[\w.]*|\.\.\.|\S')
_MARKER = re.compile(r'^# (\d+) "([^"]*)"')
_DEFINE = re.compile(r'^#define (\w+)(\(?)\s?(.*)$')
_NAME = re.compile(r'^[A-Za-z_]\w*$')


def preprocess(compiler, includes, include_directories):
    """The lines of `-E -dD` on a C++ file that includes `includes`, each with the file it is of."""
    source = ''.join(f'#include <{include}>\n' for include in includes)
    command = [compiler, '-x', 'c++', '-std=c++20', '-E', '-dD']
    for directory in include_directories:
        command += ['-I', str(directory)]
    done = subprocess.run(command + ['-'], input=source, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ScanError(f'cannot preprocess {", ".join(includes)}:\n{done.stderr}')
    current = ''
    for line in done.stdout.splitlines():
        marker = _MARKER.match(line)
        if marker:
            current = marker.group(2)
        else:
            yield current, line


def names_in(lines):
    """Every identifier in preprocessed lines: what a header could possibly declare."""
    names = set()
    for _, line in lines:
        names.update(re.findall(r'[A-Za-z_]\w*', line))
    return names


def scan(lines, belongs):
    """The declarations in the files for which `belongs(path)` holds, in order, each once."""
    found = []
    tokens = []
    for path, line in lines:
        if not belongs(path):
            continue
        define = _DEFINE.match(line)
        if define:
            name, parameters, value = define.groups()
            # Macros with parameters, empty ones and attributes are no part of the ABI.
            if not parameters and value and not value.startswith('__attribute__'):
                found.append(Declaration('constant', name))
        elif not line.startswith('#'):
            tokens += _TOKEN.findall(line)
    found += _Parser(tokens).parse()
    return list(dict.fromkeys(found))


class _Parser:
    def __init__(self, tokens):
        self._tokens = tokens
        self._found = []

    def parse(self):
        for declaration in self._split():
            self._declaration(declaration)
        return self._found

    def _split(self):
        """Top-level declarations, without `extern "C" {` and its brace."""
        current, depth, linkage = [], 0, 0
        index = 0
        while index < len(self._tokens):
            token = self._tokens[index]
            if not current and self._tokens[index:index + 3] == ['extern', '"C"', '{']:
                linkage += 1
                index += 3
                continue
            if not current and token == '}' and linkage:
                linkage -= 1
                index += 1
                continue
            if token == '{':
                depth += 1
            elif token == '}':
                depth -= 1
            if token == ';' and depth == 0:
                yield _without_attributes(current)
                current = []
            else:
                current.append(token)
            index += 1
        if current:
            raise ScanError('unfinished: ' + ' '.join(current))

    def _declaration(self, tokens):
        if not tokens:
            return
        if tokens[0] == 'typedef':
            self._typedef(tokens[1:])
        elif tokens[:3] == ['static', 'const', 'int'] or tokens[:3] == ['static', 'const', 'int32_t']:
            self._add('constant', tokens[3])
        elif tokens[0] in ('enum', 'struct', 'union') and '{' in tokens:
            after = self._tagged(tokens)
            if after:
                raise ScanError('a variable: ' + ' '.join(tokens))
        elif tokens[0] in ('enum', 'struct', 'union') and len(tokens) == 2:
            pass  # declared ahead
        elif '(' in tokens and '{' not in tokens and tokens[-1] == ')':
            self._add('function', tokens[tokens.index('(') - 1])
        else:
            raise ScanError('not understood: ' + ' '.join(tokens))

    def _typedef(self, tokens):
        if tokens[0] in ('enum', 'struct', 'union') and '{' in tokens:
            close = _closing(tokens, tokens.index('{'))
            names = tokens[close + 1:]
            if len(names) != 1:
                raise ScanError('not understood: typedef ' + ' '.join(tokens))
            self._tagged(tokens[:close + 1], names[0])
        elif '(' in tokens:
            open_at = tokens.index('(')
            if tokens[open_at + 1] != '*':
                raise ScanError('not understood: typedef ' + ' '.join(tokens))
            self._add('type', tokens[open_at + 2])
        else:
            self._add('type', tokens[-1])

    def _tagged(self, tokens, typedef_name=None):
        """An enum, struct or union with its body; returns what follows the body."""
        kind = tokens[0]
        open_at = tokens.index('{')
        close = _closing(tokens, open_at)
        name = typedef_name or (tokens[1] if open_at == 2 else None)
        body = tokens[open_at + 1:close]
        if kind == 'enum':
            for member in _split_at(body, ','):
                self._add('constant', member[0])
            if name:
                self._add('enum', name)
        elif name is None:
            raise ScanError('a nameless ' + kind)
        else:
            self._found.append(Declaration(kind, name, tuple(self._fields(body))))
        return tokens[close + 1:]

    def _fields(self, body, prefix=''):
        for field in _split_at(body, ';'):
            if '{' in field:
                close = _closing(field, field.index('{'))
                inner = field[field.index('{') + 1:close]
                name = field[close + 1:]
                if name:
                    yield prefix + name[0]
                yield from self._fields(inner, prefix + (name[0] + '.' if name else ''))
                continue
            field = field[:field.index('[')] if '[' in field else field
            if '(' in field or ',' in field or not _NAME.match(field[-1]):
                raise ScanError('a field that is not understood: ' + ' '.join(field))
            yield prefix + field[-1]

    def _add(self, kind, name):
        if not _NAME.match(name):
            raise ScanError(f'{name!r} is no name of a {kind}')
        self._found.append(Declaration(kind, name))


def _without_attributes(tokens):
    kept, index = [], 0
    while index < len(tokens):
        if tokens[index] == '__attribute__':
            index = _closing(tokens, index + 1) + 1
        else:
            kept.append(tokens[index])
            index += 1
    return kept


def _closing(tokens, open_at):
    pairs = {'(': ')', '{': '}'}
    depth = 0
    for index in range(open_at, len(tokens)):
        if tokens[index] == tokens[open_at]:
            depth += 1
        elif tokens[index] == pairs[tokens[open_at]]:
            depth -= 1
            if depth == 0:
                return index
    raise ScanError('unbalanced: ' + ' '.join(tokens))


def _split_at(tokens, separator):
    part, depth = [], 0
    for token in tokens:
        depth += (token in '({') - (token in ')}')
        if token == separator and depth == 0:
            if part:
                yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part
