// Times of one kind of operation (or sizes of one kind of thing), and what is said of them.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace npu_ipc {

class Samples {
 public:
  // Runs `operation` and keeps how long it took.
  template <class Operation>
  void Time(Operation&& operation) {
    const auto start = std::chrono::steady_clock::now();
    std::forward<Operation>(operation)();
    Add(std::chrono::steady_clock::now() - start);
  }

  void Add(std::chrono::nanoseconds time) { values_.push_back(time.count()); }
  void Add(int64_t value) { values_.push_back(value); }

  // The value that `percent` of the samples are not above (times are in nanoseconds). REQUIRES:
  // there are samples.
  int64_t Percentile(int percent) const {
    std::vector<int64_t> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[(sorted.size() - 1) * static_cast<size_t>(percent) / 100];
  }

  // "name p50=123 p99=456 n=300", in nanoseconds: how the parties report to the harness.
  std::string Report(const std::string& name) const {
    return "sample " + name + " p50=" + std::to_string(Percentile(50)) +
           " p99=" + std::to_string(Percentile(99)) + " n=" + std::to_string(values_.size());
  }

 private:
  std::vector<int64_t> values_;
};

}  // namespace npu_ipc
