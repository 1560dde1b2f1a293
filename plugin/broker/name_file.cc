#include "plugin/broker/name_file.h"

#include <errno.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "hal/base/read.h"
#include "hal/base/state_file.h"

namespace npu_ipc::broker {
namespace {

// A part of a page: no write is ever half done. The longest name, with namespace, group and
// numbers, has less than 400 bytes (wire.h). The first slot is the header; a free one is zeros.
constexpr size_t kSlotBytes = 512;
constexpr size_t kMaxBytes = size_t{1} << 30;

// "PID START_TIME CLIENT NAMESPACE/GROUP/NAME\n". A name has no control character (messages.cc), a
// namespace and a group no slash.
std::string ToText(const RegionName& name, const ProcessKey& exporter, ClientId client) {
  return std::to_string(exporter.pid) + " " + std::to_string(exporter.start_time_ticks) + " " +
         std::to_string(client) + " " + name.Text() + "\n";
}

template <class Number>
bool TakeNumber(std::string_view* text, Number* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc() || end == text->data() + text->size() || *end != ' ') return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()) + 1);
  return true;
}

std::optional<NameFile::Entry> FromText(std::string_view text) {
  const size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) return std::nullopt;
  text = text.substr(0, line_end);
  NameFile::Entry entry;
  if (!TakeNumber(&text, &entry.exporter.pid) ||
      !TakeNumber(&text, &entry.exporter.start_time_ticks) || !TakeNumber(&text, &entry.client)) {
    return std::nullopt;
  }
  const size_t group = text.find('/');
  const size_t name = group == std::string_view::npos ? group : text.find('/', group + 1);
  if (name == std::string_view::npos) return std::nullopt;
  entry.name.group.pod_namespace = text.substr(0, group);
  entry.name.group.name = text.substr(group + 1, name - group - 1);
  entry.name.name = text.substr(name + 1);
  return entry;
}

}  // namespace

Result<std::string> BootId() {
  Result<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  if (id.ok() && id->ends_with('\n')) id->pop_back();
  return id;
}

Result<std::unique_ptr<NameFile>> NameFile::Open(const std::string& path,
                                                 const std::string& boot_id) {
  Result<UniqueFd> opened = OpenStateFile(path);
  if (!opened.ok()) return opened.status();
  std::unique_ptr<NameFile> file(new NameFile(path, std::move(opened).value()));
  if (Status loaded = file->Load("npu-ipc names 1 " + boot_id + "\n"); !loaded.ok()) return loaded;
  return file;
}

Status NameFile::Load(const std::string& header) {
  const Result<std::string> text = ReadUpTo(file_.get(), kMaxBytes, "read " + path_);
  if (!text.ok()) return text.status();
  if (!text->starts_with(header)) {
    if (::ftruncate(file_.get(), 0) != 0) return PosixError(errno, "empty " + path_);
    if (!WriteSlot(0, header)) return PosixError(errno, "write " + path_);
    return Status::Ok();
  }
  end_ = std::max<Slot>(1, static_cast<Slot>(text->size() / kSlotBytes));
  for (Slot slot = 1; slot < end_; ++slot) {
    std::optional<Entry> entry =
        FromText(std::string_view(*text).substr(slot * kSlotBytes, kSlotBytes));
    if (entry) {
      entry->slot = slot;
      found_.push_back(std::move(*entry));
    } else {
      free_.push_back(slot);
    }
  }
  return Status::Ok();
}

bool NameFile::WriteSlot(Slot slot, std::string_view text) {
  std::array<char, kSlotBytes> bytes = {};
  if (text.size() > bytes.size()) return false;
  text.copy(bytes.data(), bytes.size());
  const auto offset = static_cast<off_t>(slot * kSlotBytes);
  for (;;) {
    const ssize_t written = ::pwrite(file_.get(), bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    return written == std::ssize(bytes);
  }
}

NameFile::Slot NameFile::Write(const RegionName& name, const ProcessKey& exporter,
                               ClientId client) {
  const Slot slot = free_.empty() ? end_ : free_.back();
  if (!WriteSlot(slot, ToText(name, exporter, client))) {
    if (!std::exchange(failing_, true)) {
      spdlog::error("names are not kept over a restart: {}",
                    PosixError(errno, "write " + path_).message());
    }
    return kNoSlot;
  }
  if (std::exchange(failing_, false)) {
    spdlog::info("names are kept over a restart again: file={}", path_);
  }
  if (slot == end_) {
    ++end_;
  } else {
    free_.pop_back();
  }
  return slot;
}

void NameFile::Clear(Slot slot) {
  if (slot == kNoSlot) return;
  // What cannot be cleared is held for its process once more after a restart, and no longer than
  // any other.
  WriteSlot(slot, {});
  free_.push_back(slot);
}

}  // namespace npu_ipc::broker
