// How long to wait before trying again.
#pragma once

#include <functional>

#include "hal/base/clock.h"

namespace npu_ipc::cluster {

// Returns numbers in [0, 1).
using RandomFunction = std::function<double()>;
double Random();  // safe for concurrent use, another sequence in each process

struct BackoffOptions {
  Duration initial = std::chrono::seconds(1);
  Duration longest = std::chrono::seconds(30);
};

// Delays that double, of which a random part is taken off: the nodes of a cluster must not come
// back to a restarted API server all at once. Not thread safe.
class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options = {}, RandomFunction random = Random);

  // Between a half and the whole of `initial`, twice that, and so on up to `longest`.
  Duration Next();
  void Reset();  // the next delay is the first again

 private:
  const BackoffOptions options_;
  const RandomFunction random_;
  Duration upper_;
};

}  // namespace npu_ipc::cluster
