#include "hal/sim/driver/audit_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "hal/base/fd.h"
#include "hal/base/posix_error.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

constexpr char kUnfinishedFile[] = ".unfinished";
constexpr uint64_t kKeyBuckets = 1024;        // driver: DEVMM_HASH_LIST_NUM
constexpr uint32_t kThisServer = UINT32_MAX;  // a whitelist entry's sdid for a local process
constexpr uint64_t kBasePageBytes = 4096;

bool IsKey(const std::string& name) {
  return name.size() == kKeyBytes - 1 && name.find_first_not_of("0123456789abcdef") == name.npos;
}

}  // namespace

Result<std::unique_ptr<AuditFiles>> AuditFiles::Create(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return PosixError(errno, "audit directory " + directory);
  }
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    return PosixError(errno, "audit directory " + directory);
  }
  std::unique_ptr<AuditFiles> files(new AuditFiles(directory));
  files->RemoveAll();
  return files;
}

AuditFiles::~AuditFiles() { RemoveAll(); }

void AuditFiles::RemoveAll() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (IsKey(name) || name == kUnfinishedFile) ::unlink(entry.path().c_str());
  }
}

void AuditFiles::OnChanged(const Share& share) {
  const Status written = Write(share);
  if (written.ok() || reported_) return;
  reported_ = true;
  ::fprintf(stderr, "npu-sim-driver: audit files are incomplete: %s\n", written.message().c_str());
}

void AuditFiles::OnRemoved(const Share& share) { ::unlink((directory_ + "/" + share.key).c_str()); }

Status AuditFiles::Write(const Share& share) const {
  const std::string unfinished = directory_ + "/" + kUnfinishedFile;
  ::unlink(unfinished.c_str());
  const UniqueFd fd(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (!fd) return PosixError(errno, "create a file in " + directory_);
  const std::string text = Describe(share);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return PosixError(errno, "write a file in " + directory_);
    done += static_cast<size_t>(wrote);
  }
  if (::rename(unfinished.c_str(), (directory_ + "/" + share.key).c_str()) != 0) {
    return PosixError(errno, "rename a file in " + directory_);
  }
  return Status::Ok();
}

std::string AuditFiles::Describe(const Share& share) {
  const SharedMemory& memory = share.memory;
  char line[512];
  ::snprintf(
      line, sizeof(line),
      "name=%s;sdid=%u;devid=%u;vfid=0;pid=%d;vptr=0x%" PRIx64 ";len=%" PRIu64 ";page_size=%" PRIu64
      ";is_huge=%d;is_reserve=0;need_set_wlist=%d;valid=%d;key=%" PRIu64 ";ref=%u;mem_repair=0\n",
      share.key.c_str(), share.super_pod_device_id, memory.device, share.creator, memory.address,
      memory.length, memory.page_bytes, memory.page_bytes > kBasePageBytes ? 1 : 0,
      share.whitelist_required ? 1 : 0, share.valid ? 1 : 0, share.counter % kKeyBuckets,
      share.openings + (share.valid ? 1 : 0));
  std::string text = "Ipc node detail:\n";
  text += line;
  text += "White List:\n";
  int index = 0;
  for (const auto& entry : share.whitelist) {
    // 0 means "not open" here, so that an opener that named no address is shown at 1.
    const uint64_t address =
        entry->opening == nullptr ? 0 : std::max<uint64_t>(entry->opening->address, 1);
    ::snprintf(line, sizeof(line),
               "   [%d]:sdid=%u;pid=%d;set_time=%" PRIu64 ";vptr=0x%" PRIx64 "\n", index++,
               kThisServer, entry->pid, entry->set_time_ns, address);
    text += line;
  }
  return text;
}

}  // namespace npu_ipc::sim
