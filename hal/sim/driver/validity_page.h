// What tells an importer's process, without a message, that its pages have been pulled.
#pragma once

#include <stdint.h>

#include <memory>
#include <vector>

#include "hal/base/fd.h"

namespace npu_ipc::sim {

// One shared page range a process: kValiditySlots words, which the driver writes and the process
// only reads (the memfd is sealed against every other writer). Not thread safe, but the reader sees
// each word change atomically.
class ValidityPage {
 public:
  // nullptr when the host has no descriptor or memory for it.
  static std::unique_ptr<ValidityPage> Create();
  ~ValidityPage();
  ValidityPage(const ValidityPage&) = delete;
  ValidityPage& operator=(const ValidityPage&) = delete;

  int fd() const { return fd_.get(); }

  // Takes a free slot, invalid as yet. False: all are taken.
  bool Take(uint32_t* slot);
  // Marks the slot invalid and frees it.
  void Return(uint32_t slot);
  void Set(uint32_t slot, bool valid);

 private:
  ValidityPage(UniqueFd fd, uint32_t* words) : fd_(std::move(fd)), words_(words) {}

  UniqueFd fd_;
  uint32_t* words_;
  uint32_t first_unused_ = 0;
  std::vector<uint32_t> returned_;
};

}  // namespace npu_ipc::sim
