#include "plugin/driver_records/driver_records.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "hal/base/fd.h"
#include "hal/base/posix_error.h"
#include "hal/base/read.h"

namespace npu_ipc::driver_records {
namespace {

// The head is one line of some 300 characters; the rest of it is the whitelist's beginning.
constexpr size_t kHeadBytes = 1024;
// 32,768 entries (driver: svm_shmem_node.h) of at most 90 characters.
constexpr size_t kWholeBytes = size_t{4} << 20;
constexpr size_t kKeyDigits = 64;

// A key is hexadecimal digits and zeros (driver: svm_shmem_node.c), so that one that a process
// names cannot lead out of the directory.
bool IsKey(std::string_view key) {
  return key.size() == kKeyDigits && std::all_of(key.begin(), key.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string Pid(pid_t pid) { return "process " + std::to_string(pid); }

// The driver keeps what the export named, in whole pages.
bool SameLength(uint64_t claimed, const IpcMemoryRecord& record) {
  if (claimed == record.bytes) return true;
  return claimed < record.bytes && record.page_bytes > 0 &&
         record.bytes - claimed < record.page_bytes && record.bytes % record.page_bytes == 0;
}

std::optional<std::string> Difference(const IpcMemoryRecord& record, pid_t exporter,
                                      uint32_t device, uint64_t bytes) {
  if (record.creator != exporter) {
    return "the driver says that " + Pid(record.creator) + " made this export, not " +
           Pid(exporter);
  }
  if (record.device != device) {
    return "the driver says that this export is of device " + std::to_string(record.device) +
           ", not " + std::to_string(device);
  }
  if (!SameLength(bytes, record)) {
    return "the driver says that this export has " + std::to_string(record.bytes) + " bytes, not " +
           std::to_string(bytes);
  }
  return std::nullopt;
}

}  // namespace

DriverRecords::DriverRecords(std::string directory) : directory_(std::move(directory)) {}

bool DriverRecords::Available() const {
  std::error_code error;
  return std::filesystem::is_directory(directory_, error);
}

Result<IpcMemoryRecord> DriverRecords::Read(std::string_view key) const {
  return ReadFirst(key, kWholeBytes);
}

Result<IpcMemoryRecord> DriverRecords::ReadFirst(std::string_view key, size_t limit) const {
  if (!Available()) {
    return Status(StatusCode::kUnavailable, "the driver offers no records: no " + directory_);
  }
  const Status unknown(StatusCode::kNotFound, "the driver has no such export");
  if (!IsKey(key)) return unknown;
  const std::string path = directory_ + "/" + std::string(key);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    if (errno == ENOENT) return unknown;
    return Status(StatusCode::kUnavailable,
                  PosixError(errno, "open a record of the driver's in " + directory_).message());
  }
  const Result<std::string> text =
      ReadUpTo(fd.get(), limit, "read a record of the driver's in " + directory_);
  if (!text.ok()) return Status(StatusCode::kUnavailable, text.status().message());
  // The node may have gone after it was opened: the driver then shows nothing.
  if (text->empty()) return unknown;
  return ParseIpcMemoryRecord(*text);
}

Result<std::vector<std::string>> DriverRecords::Keys() const {
  std::error_code error;
  std::filesystem::directory_iterator files(directory_, error);
  std::vector<std::string> keys;
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::string name = files->path().filename().string();
    if (IsKey(name)) keys.push_back(std::move(name));
  }
  if (error) {
    return Status(StatusCode::kUnavailable,
                  "the driver offers no records: " + directory_ + ": " + error.message());
  }
  return keys;
}

std::optional<std::string> DriverRecords::Contradiction(const ExportClaim& claim) const {
  const Result<IpcMemoryRecord> record = ReadFirst(claim.key, kHeadBytes);
  if (!record.ok()) {
    if (record.status().code() != StatusCode::kNotFound) return std::nullopt;
    return record.status().message() + " as " + Pid(claim.exporter) + " says it made";
  }
  if (!record->valid && record->creator == claim.exporter) {
    return "the driver says that this export is closed";
  }
  return Difference(*record, claim.exporter, claim.device, claim.bytes);
}

std::optional<std::string> DriverRecords::Contradiction(const MappingClaim& claim) const {
  const Result<IpcMemoryRecord> record = Read(claim.key);
  if (!record.ok() || !record->valid) return std::nullopt;
  if (auto other = Difference(*record, claim.exporter, claim.device, claim.bytes)) return other;
  const ListedProcess* const listed = record->Find(claim.importer);
  if (listed == nullptr && record->whitelist_required) {
    return "the driver says that " + Pid(claim.importer) + " is not on this export's whitelist";
  }
  if (listed != nullptr && !listed->open) {
    return "the driver says that " + Pid(claim.importer) + " does not have this export mapped";
  }
  return std::nullopt;
}

}  // namespace npu_ipc::driver_records
