// The pods that share, over a restart of the broker.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "hal/base/state_file.h"
#include "plugin/pods/pod.h"

namespace npu_ipc::pods {

using PodPointers = std::vector<std::shared_ptr<const Pod>>;

// Those of `pods` that have an annotation of npu-ipc.io/, as JSON; the others have nothing that a
// restart could lose.
std::string PodsToText(const PodPointers& pods, const std::string& node_name);

// What PodsToText() wrote. kInvalidArgument: it is something else, or another node's. Never throws.
Result<std::vector<Pod>> PodsFromText(std::string_view text, const std::string& node_name);

// Keeps them in <directory>/pods. What cannot be written is logged, once until it can be again, and
// costs nothing else.
class PodCheckpoint {
 public:
  PodCheckpoint(const std::string& directory, std::string node_name);
  ~PodCheckpoint();  // writes what waits first
  PodCheckpoint(const PodCheckpoint&) = delete;
  PodCheckpoint& operator=(const PodCheckpoint&) = delete;

  // What an earlier process knew last; nothing where there is no file. One that is not to be
  // trusted or not whole (StateFile::Read()), or is another node's, is logged and ignored. Before
  // the first Save().
  std::vector<Pod> Load() const;

  // Returns at once; a thread of its own writes. Of several that wait the last is written.
  void Save(PodPointers pods);

 private:
  void Run();
  void Write(const PodPointers& pods);

  const StateFile file_;
  const std::string node_name_;
  bool failing_ = false;  // thread_'s own

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<PodPointers> waiting_;  // guarded by mutex_
  bool stopping_ = false;               // guarded by mutex_
  std::thread thread_;
};

}  // namespace npu_ipc::pods
