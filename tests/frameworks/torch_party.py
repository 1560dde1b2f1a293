"""What runs in the pods of these tests: torch with torch_npu, doing what its standard input says.

Commands and answers are those of npu-ipc-party: a line each, `ok key=value ...` or `error KIND
reason`. Nothing here knows npu-ipc: whatever two of these share, they share by torch_npu's own calls,
and the test carries their handles to and fro as an application would.
"""

import io
import os
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

# Answers are all that goes to standard output. torch_npu warns there, when it is imported and later.
answers = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)

import torch  # noqa: E402
import torch_npu  # noqa: E402

WORD = torch.int64


def pattern(words: int, first_word: int) -> torch.Tensor:
    return torch.arange(first_word, first_word + words, dtype=WORD)


class Party:
    """One method a command; what it returns becomes the answer's keys and values, or is the answer."""

    def __init__(self):
        self.tensors: dict[str, torch.Tensor] = {}
        self.other = None

    def beside(self, *command):
        """Another such process in this container, started when first spoken to, does it."""
        if self.other is None:
            self.other = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True)
            self.other.stdout.readline()
        print(*command, file=self.other.stdin, flush=True)
        return self.other.stdout.readline().rstrip('\n')

    def count(self):
        return {'count': torch.npu.device_count()}

    def device(self, index):
        torch.npu.set_device(int(index))
        properties = torch.npu.get_device_properties(int(index))
        return {'name': properties.name, 'total_memory_mib': properties.total_memory >> 20}

    def allocate(self, name, words):
        self.tensors[name] = torch.empty(int(words), dtype=WORD, device='npu')
        return {'pointer': hex(self.tensors[name].data_ptr())}

    def write(self, name, first_word):
        """By way of memory of our own: a copy from the host does not reach another device."""
        tensor = self.tensors[name]
        tensor.copy_(pattern(tensor.numel(), int(first_word)).to('npu'))
        torch.npu.synchronize()

    def write_from_host(self, name, first_word):
        tensor = self.tensors[name]
        tensor.copy_(pattern(tensor.numel(), int(first_word)))

    def read(self, name):
        tensor = self.tensors[name]
        own = torch.empty_like(tensor)
        own.copy_(tensor)
        return self._judge(own.cpu())

    def read_to_host(self, name):
        return self._judge(self.tensors[name].cpu())

    def read_pinned(self, name):
        host = torch.empty(self.tensors[name].numel(), dtype=WORD).pin_memory()
        host.copy_(self.tensors[name], non_blocking=True)
        torch.npu.synchronize()
        return self._judge(host)

    @staticmethod
    def _judge(host):
        whole = torch.equal(host, pattern(host.numel(), int(host[0])))
        return {'first_word': int(host[0]), 'whole': 'yes' if whole else 'no'}

    def share(self, name):
        """What torch_npu gives out of a tensor, for whoever gets it to the other process."""
        return {'handle': pickle.dumps(self.tensors[name].untyped_storage()._share_npu_()).hex()}

    def attach(self, name, handle):
        storage = torch.UntypedStorage._new_shared_npu(*pickle.loads(bytes.fromhex(handle)))
        self.tensors[name] = torch.empty(0, dtype=WORD, device='npu').set_(storage)
        return {'pointer': hex(self.tensors[name].data_ptr())}

    def pickle(self, name):
        """What torch.multiprocessing's queues send of a tensor."""
        buffer = io.BytesIO()
        ForkingPickler(buffer).dump(self.tensors[name])
        return {'handle': buffer.getvalue().hex()}

    def unpickle(self, name, handle):
        self.tensors[name] = pickle.loads(bytes.fromhex(handle))

    def drop(self, name):
        del self.tensors[name]

    def memory(self):
        """After what can be given back was: blocks whose receivers are done, then segments without blocks."""
        torch.npu.synchronize()
        torch_npu.npu.ipc_collect()
        torch.npu.empty_cache()
        return {'allocated': torch.npu.memory_allocated(), 'reserved': torch.npu.memory_reserved()}


def answer(party: Party, line: str) -> str:
    command, *arguments = line.split()
    try:
        values = getattr(party, command)(*arguments) or {}
        if isinstance(values, str):
            return values
    except Exception as error:  # whatever torch raises is this command's answer
        return f'error {type(error).__name__} ' + ' '.join(str(error).split())
    return ' '.join(['ok', *(f'{key}={value}' for key, value in values.items())])


def main() -> None:
    party = Party()
    print('ready', file=answers)
    for line in sys.stdin:
        print(answer(party, line), file=answers)


if __name__ == '__main__':
    main()
