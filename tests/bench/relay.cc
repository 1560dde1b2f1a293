#include "tests/bench/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/unix_socket.h"

namespace npu_ipc {
namespace {

constexpr mode_t kAnybody = 0666;

// The next connection; empty when `stop` hangs up first.
UniqueFd AcceptUnless(UnixListener& listener, int stop) {
  pollfd waiting[] = {{listener.fd(), POLLIN, 0}, {stop, 0, 0}};
  while (::poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
    Result<UniqueFd> peer = listener.Accept();
    if (!peer.ok()) break;
    if (*peer) return std::move(*peer);
  }
  return UniqueFd();
}

bool Pass(int from, int to) {
  char packet[1024];
  const Result<ReceivedMessage> got = ReceiveMessage(from, packet, sizeof(packet));
  if (!got.ok() || got->end_of_stream) return false;
  return got->would_block || SendMessage(to, packet, got->bytes).ok();
}

}  // namespace

Result<std::unique_ptr<Relay>> Relay::Start(const std::string& exporter_path,
                                            const std::string& importer_path) {
  Result<std::unique_ptr<UnixListener>> exporters = UnixListener::Listen(exporter_path, kAnybody);
  if (!exporters.ok()) return exporters.status();
  Result<std::unique_ptr<UnixListener>> importers = UnixListener::Listen(importer_path, kAnybody);
  if (!importers.ok()) return importers.status();
  int stop[2];
  if (::pipe2(stop, O_CLOEXEC) != 0) return PosixError(errno, "pipe2");
  std::unique_ptr<Relay> relay(new Relay());
  relay->stop_read_.Reset(stop[0]);
  relay->stop_write_.Reset(stop[1]);
  relay->thread_ = std::thread(
      [exporters = std::move(*exporters), importers = std::move(*importers), end = stop[0]] {
        const UniqueFd exporter = AcceptUnless(*exporters, end);
        const UniqueFd importer = exporter ? AcceptUnless(*importers, end) : UniqueFd();
        if (!importer) return;
        pollfd waiting[] = {{importer.get(), POLLIN, 0}, {exporter.get(), POLLIN, 0}, {end, 0, 0}};
        while (::poll(waiting, 3, -1) > 0 && waiting[2].revents == 0) {
          if (waiting[0].revents != 0 && !Pass(importer.get(), exporter.get())) return;
          if (waiting[1].revents != 0 && !Pass(exporter.get(), importer.get())) return;
        }
      });
  return relay;
}

Relay::~Relay() {
  stop_write_.Reset();
  thread_.join();
}

}  // namespace npu_ipc
