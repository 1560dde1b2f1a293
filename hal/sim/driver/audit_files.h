// The content of the driver's /proc/svm_shmem, offered as files.
#pragma once

#include <memory>
#include <string>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "hal/sim/driver/shares.h"

namespace npu_ipc::sim {

// One file a share, named by its key, mode 0400, with what the driver prints for it
// (svm_shmem_procfs.c). Whoever reads sees a whole file, as it was before or after a change; a file
// is written anew at each change, so that a share with a long whitelist is dear while this is on;
// listing more processes copies what is there instead of formatting it again. Failures to write
// are reported once, on stderr, and otherwise do not matter to the driver.
class AuditFiles : public ShareObserver {
 public:
  // Makes `directory` if it is not there, and removes files of a daemon that was killed.
  static Result<std::unique_ptr<AuditFiles>> Create(const std::string& directory);
  // Removes the files.
  ~AuditFiles() override;

  void OnChanged(const Share& share) override;
  void OnListed(const Share& share, size_t first) override;
  void OnRemoved(const Share& share) override;

  // The text of one file.
  static std::string Describe(const Share& share);

 private:
  explicit AuditFiles(std::string directory) : directory_(std::move(directory)) {}
  void RemoveAll() const;
  void Report(const Status& written);
  Status Write(const Share& share) const;
  // The file that is there, and the entries of the whitelist from `first` on.
  Status Extend(const Share& share, size_t first) const;
  Result<UniqueFd> CreateUnfinished() const;
  Status Finish(const Share& share, int unfinished, const std::string& rest) const;

  std::string directory_;
  bool reported_ = false;
};

}  // namespace npu_ipc::sim
