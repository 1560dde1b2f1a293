// A race planted on purpose: the thread preset is worth something only if it reports this.
#include <thread>

int main() {
  int unguarded = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) ++unguarded;
  });
  for (int i = 0; i < 1000; ++i) ++unguarded;
  other.join();
  return unguarded == 0 ? 1 : 0;
}
