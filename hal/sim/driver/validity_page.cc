#include "hal/sim/driver/validity_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "hal/sim/driver/protocol.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1, glibc 2.38
#endif

namespace npu_ipc::sim {
namespace {

constexpr size_t kBytes = kValiditySlots * sizeof(uint32_t);

}  // namespace

std::unique_ptr<ValidityPage> ValidityPage::Create() {
  UniqueFd fd(::memfd_create("npu-validity", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), kBytes) != 0) return nullptr;
  void* const mapped = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return nullptr;
  std::unique_ptr<ValidityPage> page(
      new ValidityPage(std::move(fd), static_cast<uint32_t*>(mapped)));
  // The mapping above stays writable; no later one can be.
  if (::fcntl(page->fd(), F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return nullptr;
  }
  return page;
}

ValidityPage::~ValidityPage() { ::munmap(words_, kBytes); }

bool ValidityPage::Take(uint32_t* slot) {
  if (!returned_.empty()) {
    *slot = returned_.back();
    returned_.pop_back();
    return true;
  }
  if (first_unused_ == kValiditySlots) return false;
  *slot = first_unused_++;
  return true;
}

void ValidityPage::Return(uint32_t slot) {
  Set(slot, false);
  returned_.push_back(slot);
}

void ValidityPage::Set(uint32_t slot, bool valid) {
  std::atomic_ref<uint32_t>(words_[slot]).store(valid ? 1 : 0, std::memory_order_release);
}

}  // namespace npu_ipc::sim
