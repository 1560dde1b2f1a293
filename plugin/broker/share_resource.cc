#include "plugin/broker/share_resource.h"

#include <charconv>
#include <unordered_set>
#include <utility>

namespace npu_ipc::broker {
namespace {

constexpr std::string_view kIdPrefix = "share-";

std::string Id(size_t number) { return std::string(kIdPrefix) + std::to_string(number); }

}  // namespace

ShareResource::ShareResource(std::string name, size_t count, injection::ContainerChanges changes)
    : name_(std::move(name)), count_(count), changes_(std::move(changes)) {}

bool ShareResource::Has(std::string_view id) const {
  if (!id.starts_with(kIdPrefix)) return false;
  const std::string_view digits = id.substr(kIdPrefix.size());
  size_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return read.ec == std::errc() && number < count_ && id == Id(number);
}

std::vector<kubelet::AdvertisedDevice> ShareResource::Devices() const {
  std::vector<kubelet::AdvertisedDevice> devices(count_);
  for (size_t i = 0; i < count_; ++i) devices[i].id = Id(i);
  return devices;
}

Result<injection::ContainerChanges> ShareResource::Allocate(
    const std::vector<std::string>& ids) const {
  if (ids.empty()) return Status(StatusCode::kInvalidArgument, "no id of " + name_ + " is named");
  std::unordered_set<std::string_view> named;
  for (const std::string& id : ids) {
    if (!Has(id)) {
      return Status(StatusCode::kNotFound, name_ + " has no id '" + id + "' (it has share-0 to " +
                                               Id(count_ - 1) + ", as share.ids says)");
    }
    if (!named.insert(id).second) {
      return Status(StatusCode::kInvalidArgument,
                    "id '" + id + "' of " + name_ + " is named twice");
    }
  }
  return changes_;
}

Result<std::vector<std::string>> ShareResource::Prefer(
    const kubelet::PreferenceRequest& request) const {
  std::vector<std::string> chosen = request.must_include;
  std::unordered_set<std::string_view> taken(request.must_include.begin(),
                                             request.must_include.end());
  for (const std::string& id : request.available) {
    if (chosen.size() >= request.size) break;
    if (taken.insert(id).second) chosen.push_back(id);
  }
  if (chosen.size() != request.size) {
    return Status(StatusCode::kInvalidArgument,
                  "cannot choose " + std::to_string(request.size) + " of " +
                      std::to_string(request.available.size()) + " ids of " + name_ + " with " +
                      std::to_string(request.must_include.size()) + " of them given");
  }
  return chosen;
}

}  // namespace npu_ipc::broker
