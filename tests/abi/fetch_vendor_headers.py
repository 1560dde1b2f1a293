#!/usr/bin/env python3
"""Unpacks the vendor's AscendCL headers out of PyPI's torch-npu wheel, once a build tree.

The headers are the vendor's and are never part of this repository. The wheel is pinned by its hash:
what is compared against does not change under us. It is always the one for x86-64 and Python 3.11,
whatever runs this: headers are the same in all of them.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

REQUIREMENT = 'torch-npu==2.14.0'
SHA256 = '7736f7d82cf9f16c7dfc4537f7e7c638153da760273a193455e70857f912189e'
HEADERS = 'torch_npu/include/acl/'


def download(directory):
    """The wheel's path in `directory`, by pip; its hash is checked by pip."""
    requirements = directory / 'requirements.txt'
    requirements.write_text(f'{REQUIREMENT} --hash=sha256:{SHA256}\n', encoding='utf-8')
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--require-hashes',
               '--only-binary=:all:', '--python-version', '3.11', '--implementation', 'cp',
               '--abi', 'cp311', '--platform', 'manylinux_2_28_x86_64',
               '--dest', str(directory), '-r', str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f'cannot download {REQUIREMENT} from PyPI, which this check compares against:\n'
            f'{done.stdout}{done.stderr}'
            'It needs pip (Debian: apt-get install python3-pip) and a way to PyPI.')
    return next(directory.glob('*.whl'))


def unpack(wheel, into):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.filename.startswith(HEADERS) or member.is_dir():
                continue
            path = into / 'acl' / member.filename[len(HEADERS):]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))
    if not (into / 'acl' / 'acl.h').is_file():
        raise SystemExit(f'{wheel.name} has no {HEADERS}acl.h')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('destination', type=pathlib.Path,
                        help='becomes an include directory with acl/acl.h in it')
    destination = parser.parse_args().destination
    stamp = destination / 'sha256'
    if stamp.is_file() and stamp.read_text(encoding='utf-8') == SHA256:
        print(f'{destination} has them already')
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        wheel = download(pathlib.Path(scratch))
        fresh = pathlib.Path(scratch) / 'include'
        unpack(wheel, fresh)
        (fresh / 'sha256').write_text(SHA256, encoding='utf-8')
        shutil.rmtree(destination, ignore_errors=True)
        fresh.rename(destination)
    print(f'unpacked {REQUIREMENT} to {destination}')


if __name__ == '__main__':
    main()
