// Which process holds which region name, over a restart of the broker.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

// A file of slots, one name each, that are written in place: one write(2) a name, before its
// exporter is told that it has it, so that a broker that is killed at any moment leaves every name
// behind. Not synced to disk: what ends the machine ends the exporters, and a file of another boot
// is not read.
//
// Not thread safe. There is no lock between processes: the broker's socket has one.
class NameFile {
 public:
  using Slot = uint32_t;
  static constexpr Slot kNoSlot = 0;

  struct Entry {
    Slot slot = kNoSlot;
    RegionName name;
    ProcessKey exporter;  // as the kernel says it
    ClientId client = 0;  // of the broker that wrote it: tells connections of one process apart
  };

  // Makes the file where it is missing. Errors as of OpenStateFile(). What is in it and is of
  // another boot, or is no such file, is thrown away.
  static Result<std::unique_ptr<NameFile>> Open(const std::string& path,
                                                const std::string& boot_id);

  // What an earlier broker has written and not cleared, once.
  std::vector<Entry> TakeFound() { return std::exchange(found_, {}); }

  // kNoSlot where it cannot be written, which is logged, once until it can be again.
  Slot Write(const RegionName& name, const ProcessKey& exporter, ClientId client);
  void Clear(Slot slot);

 private:
  NameFile(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  Status Load(const std::string& header);
  bool WriteSlot(Slot slot, std::string_view text);

  const std::string path_;
  const UniqueFd file_;
  Slot end_ = 1;  // the first that was never used
  std::vector<Slot> free_;
  std::vector<Entry> found_;
  bool failing_ = false;
};

// Of this boot of the machine: /proc/sys/kernel/random/boot_id.
Result<std::string> BootId();

}  // namespace npu_ipc::broker
