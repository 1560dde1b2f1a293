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

std::string DescribeWhitelist(const Share& share, size_t first) {
  std::string text;
  for (size_t i = first; i < share.whitelist.size(); ++i) {
    const WhitelistEntry& entry = *share.whitelist[i];
    // 0 means "not open" here, so that an opener that named no address is shown at 1.
    const uint64_t address =
        entry.opening == nullptr ? 0 : std::max<uint64_t>(entry.opening->address, 1);
    char line[128];
    ::snprintf(line, sizeof(line),
               "   [%zu]:sdid=%u;pid=%d;set_time=%" PRIu64 ";vptr=0x%" PRIx64 "\n", i, kThisServer,
               entry.pid, entry.set_time_ns, address);
    text += line;
  }
  return text;
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

void AuditFiles::OnChanged(const Share& share) { Report(Write(share)); }

void AuditFiles::OnListed(const Share& share, size_t first) { Report(Extend(share, first)); }

void AuditFiles::OnRemoved(const Share& share) { ::unlink((directory_ + "/" + share.key).c_str()); }

void AuditFiles::Report(const Status& written) {
  if (written.ok() || reported_) return;
  reported_ = true;
  ::fprintf(stderr, "npu-sim-driver: audit files are incomplete: %s\n", written.message().c_str());
}

Status AuditFiles::Write(const Share& share) const {
  const Result<UniqueFd> unfinished = CreateUnfinished();
  if (!unfinished.ok()) return unfinished.status();
  return Finish(share, unfinished->get(), Describe(share));
}

Status AuditFiles::Extend(const Share& share, size_t first) const {
  const std::string path = directory_ + "/" + share.key;
  const UniqueFd before(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!before) return Write(share);
  const Result<UniqueFd> unfinished = CreateUnfinished();
  if (!unfinished.ok()) return unfinished.status();
  for (;;) {
    constexpr size_t kMost = 1 << 30;
    const ssize_t copied =
        ::copy_file_range(before.get(), nullptr, unfinished->get(), nullptr, kMost, 0);
    if (copied < 0) return Write(share);  // not every file system can
    if (copied == 0) break;
  }
  return Finish(share, unfinished->get(), DescribeWhitelist(share, first));
}

Result<UniqueFd> AuditFiles::CreateUnfinished() const {
  const std::string path = directory_ + "/" + kUnfinishedFile;
  ::unlink(path.c_str());
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (!fd) return PosixError(errno, "create a file in " + directory_);
  return fd;
}

Status AuditFiles::Finish(const Share& share, int unfinished, const std::string& rest) const {
  size_t done = 0;
  while (done < rest.size()) {
    const ssize_t wrote = ::write(unfinished, rest.data() + done, rest.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return PosixError(errno, "write a file in " + directory_);
    done += static_cast<size_t>(wrote);
  }
  const std::string path = directory_ + "/" + kUnfinishedFile;
  if (::rename(path.c_str(), (directory_ + "/" + share.key).c_str()) != 0) {
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
  return text + DescribeWhitelist(share, 0);
}

}  // namespace npu_ipc::sim
