"""What a compiler makes of declarations: values, sizes, offsets and types, as lines to compare."""

import pathlib
import subprocess
import tempfile


class CompileError(Exception):
    """The headers do not have what the table asks of them."""


_PREAMBLE = r'''
#include <cxxabi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <type_traits>
#include <typeinfo>

static void Number(const char* name, long long value) { printf("constant %s %lld\n", name, value); }

template <class T>
static void Constant(const char* name, T value) {
  if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    Number(name, static_cast<long long>(value));
  } else if constexpr (std::is_convertible_v<T, const char*>) {
    printf("constant %s \"%s\"\n", name, static_cast<const char*>(value));
  } else {
    printf("constant %s %.17g\n", name, static_cast<double>(value));
  }
}

static void Type(const char* kind, const char* name, const std::type_info& type) {
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr);
  printf("%s %s %s\n", kind, name, text);
  free(text);
}

#define CONSTANT(name) Constant(#name, name)
#define ENUM(name)                                              \
  printf("enum %s size %zu %s\n", #name, sizeof(name),          \
         std::is_signed_v<std::underlying_type_t<name>> ? "signed" : "unsigned")
#define LAYOUT(kind, name) \
  printf(kind " %s size %zu align %zu\n", #name, sizeof(name), alignof(name))
#define FIELD(owner, field)                                                                \
  printf("field %s.%s offset %zu size %zu\n", #owner, #field, offsetof(owner, field),      \
         sizeof(static_cast<owner*>(nullptr)->field))
#define TYPE(name) Type("type", #name, typeid(name*))
#define FUNCTION(name) Type("function", #name, typeid(decltype(&name)))
'''


def _row(declaration):
    name = declaration.name
    if declaration.kind == 'constant':
        yield f'CONSTANT({name});'
    elif declaration.kind == 'enum':
        yield f'ENUM({name});'
    elif declaration.kind in ('struct', 'union'):
        yield f'LAYOUT("{declaration.kind}", {name});'
        for field in declaration.fields:
            yield f'FIELD({name}, {field});'
    elif declaration.kind == 'type':
        yield f'TYPE({name});'
    else:
        yield f'FUNCTION({name});'


def facts(compiler, includes, include_directories, declarations):
    """{"kind name": value} of every declaration, fields included, as `compiler` sees them."""
    source = ''.join(f'#include <{include}>\n' for include in includes) + _PREAMBLE
    source += 'int main() {\n'
    source += ''.join(f'  {row}\n' for each in declarations for row in _row(each))
    source += '}\n'
    with tempfile.TemporaryDirectory() as scratch:
        program = pathlib.Path(scratch) / 'facts'
        command = [compiler, '-std=c++20', '-w', '-x', 'c++', '-', '-o', str(program)]
        for directory in include_directories:
            command += ['-I', str(directory)]
        built = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise CompileError(built.stderr)
        ran = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return parse(ran.stdout.splitlines())


def parse(lines):
    """Lines `kind name value`; empty ones and those that begin with # are skipped."""
    found = {}
    for line in lines:
        if not line.strip() or line.startswith('#'):
            continue
        kind, name, value = line.rstrip('\n').split(' ', 2)
        if f'{kind} {name}' in found and found[f'{kind} {name}'] != value:
            raise ValueError(f'{kind} {name} is both {found[f"{kind} {name}"]} and {value}')
        found[f'{kind} {name}'] = value
    return found


def differences(ours, vendors):
    """One line for every fact of ours that the vendor's contradicts or lacks."""
    for key, value in ours.items():
        if key not in vendors:
            yield f'{key}: ours is "{value}", the vendor has none'
        elif vendors[key] != value:
            yield f'{key}: ours is "{value}", the vendor\'s is "{vendors[key]}"'
