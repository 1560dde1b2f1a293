// A read past the end, planted on purpose: the address preset must report it.
#include <stddef.h>

#include <vector>

int main(int argc, char**) {
  const std::vector<int> three(3);
  const int* first = three.data();
  return first[static_cast<size_t>(argc) + 2];
}
