#include "plugin/driver_records/ipc_memory_record.h"

#include <charconv>
#include <map>
#include <optional>

namespace npu_ipc::driver_records {
namespace {

using Fields = std::map<std::string_view, std::string_view>;

constexpr std::string_view kWhitelistTitle = "White List:\n";

// "a=1;b=2": what has no '=' is skipped.
Fields ReadFields(std::string_view line) {
  Fields fields;
  while (!line.empty()) {
    const size_t end = line.find(';');
    const std::string_view field = line.substr(0, end);
    const size_t equals = field.find('=');
    if (equals != field.npos) fields.emplace(field.substr(0, equals), field.substr(equals + 1));
    if (end == line.npos) break;
    line.remove_prefix(end + 1);
  }
  return fields;
}

template <class T>
std::optional<T> ReadNumber(const Fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return std::nullopt;
  std::string_view text = found->second;
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  T value = 0;
  const auto [parsed, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || parsed != text.data() + text.size()) return std::nullopt;
  return value;
}

Status Wrong(const std::string& what) {
  return {StatusCode::kInvalidArgument, "the driver's record of an export " + what};
}

std::optional<ListedProcess> ReadListed(std::string_view line) {
  const size_t start = line.find("]:");
  if (start == line.npos) return std::nullopt;
  const Fields fields = ReadFields(line.substr(start + 2));
  const auto server = ReadNumber<uint32_t>(fields, "sdid");
  const auto pid = ReadNumber<pid_t>(fields, "pid");
  const auto set_time = ReadNumber<uint64_t>(fields, "set_time");
  const auto address = ReadNumber<uint64_t>(fields, "vptr");
  if (!pid || !set_time || !address) return std::nullopt;
  return ListedProcess{server.value_or(ListedProcess::kThisServer), *pid, *set_time, *address != 0};
}

Status ReadWhitelist(std::string_view text, std::vector<ListedProcess>* whitelist) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == text.npos) break;  // was read only so far
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.empty()) continue;
    const std::optional<ListedProcess> listed = ReadListed(line);
    if (!listed) {
      return Wrong("has a whitelist entry of another form, number " +
                   std::to_string(whitelist->size()));
    }
    whitelist->push_back(*listed);
  }
  return Status::Ok();
}

}  // namespace

const ListedProcess* IpcMemoryRecord::Find(pid_t pid) const {
  for (const ListedProcess& listed : whitelist) {
    if (listed.pid == pid && listed.super_pod_device_id == ListedProcess::kThisServer) {
      return &listed;
    }
  }
  return nullptr;
}

Result<IpcMemoryRecord> ParseIpcMemoryRecord(std::string_view text) {
  const size_t begin = text.find("name=");
  if (begin == text.npos) return Wrong("names no key");
  const size_t end = text.find('\n', begin);
  if (end == text.npos) return Wrong("ends within its first line");
  const Fields fields = ReadFields(text.substr(begin, end - begin));

  IpcMemoryRecord record;
  record.key = fields.at("name");
  const auto device = ReadNumber<uint32_t>(fields, "devid");
  const auto creator = ReadNumber<pid_t>(fields, "pid");
  const auto bytes = ReadNumber<uint64_t>(fields, "len");
  const auto required = ReadNumber<int>(fields, "need_set_wlist");
  const auto valid = ReadNumber<int>(fields, "valid");
  const std::pair<const char*, bool> needed[] = {{"devid", device.has_value()},
                                                 {"pid", creator.has_value()},
                                                 {"len", bytes.has_value()},
                                                 {"need_set_wlist", required.has_value()},
                                                 {"valid", valid.has_value()}};
  for (const auto& [name, there] : needed) {
    if (!there) return Wrong(std::string("has no number as ") + name);
  }
  record.device = *device;
  record.creator = *creator;
  record.bytes = *bytes;
  record.page_bytes = ReadNumber<uint64_t>(fields, "page_size").value_or(0);
  record.whitelist_required = *required != 0;
  record.valid = *valid != 0;

  const size_t title = text.find(kWhitelistTitle, end);
  if (title == text.npos) return record;
  if (Status read = ReadWhitelist(text.substr(title + kWhitelistTitle.size()), &record.whitelist);
      !read.ok()) {
    return read;
  }
  return record;
}

}  // namespace npu_ipc::driver_records
