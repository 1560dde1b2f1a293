#include "plugin/cluster/backoff.h"

#include <algorithm>
#include <random>
#include <utility>

namespace npu_ipc::cluster {

double Random() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

Backoff::Backoff(const BackoffOptions& options, RandomFunction random)
    : options_(options), random_(std::move(random)), upper_(options.initial) {}

Duration Backoff::Next() {
  const Duration half = upper_ / 2;
  const auto part = static_cast<Duration::rep>(static_cast<double>(half.count()) * random_());
  upper_ = std::min(upper_ * 2, options_.longest);
  return half + Duration(part);
}

void Backoff::Reset() { upper_ = options_.initial; }

}  // namespace npu_ipc::cluster
