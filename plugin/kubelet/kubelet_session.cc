#include "plugin/kubelet/kubelet_session.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace npu_ipc::kubelet {
namespace {

std::string EndpointName(std::string resource_name) {
  std::replace(resource_name.begin(), resource_name.end(), '/', '_');
  return "npu-ipc-" + resource_name + ".sock";
}

}  // namespace

Result<std::unique_ptr<KubeletSession>> KubeletSession::Create(EventLoop& loop,
                                                               const KubeletSettings& settings) {
  std::unique_ptr<KubeletSession> session(new KubeletSession(loop, settings));
  DirectoryWatch::Callbacks callbacks;
  callbacks.created = [raw = session.get()](const std::string& name) {
    if (name != kKubeletSocketName) return;
    raw->CloseUnusedConnection();  // it is the kubelet's before
    for (const auto& plugin : raw->plugins_) plugin->OnKubeletSocketCreated();
  };
  callbacks.removed = [raw = session.get()](const std::string& name) {
    for (const auto& plugin : raw->plugins_) plugin->OnFileRemoved(name);
  };
  callbacks.rescan = [raw = session.get()] {
    raw->CloseUnusedConnection();
    for (const auto& plugin : raw->plugins_) plugin->OnRescan();
  };
  Result<std::unique_ptr<DirectoryWatch>> watch =
      DirectoryWatch::Create(loop, settings.directory, std::move(callbacks));
  if (!watch.ok()) return watch.status();
  session->watch_ = std::move(*watch);
  const std::string kubelet = settings.directory + "/" + kKubeletSocketName;
  if (::access(kubelet.c_str(), F_OK) == 0) {
    session->connection_ = KubeletConnection::Begin(kubelet);
  }
  return session;
}

Status KubeletSession::Add(std::shared_ptr<const Resource> resource) {
  for (const auto& plugin : plugins_) {
    if (plugin->resource().name() == resource->name()) {
      return {StatusCode::kAlreadyExists, resource->name() + " is served already"};
    }
  }
  const std::string endpoint = EndpointName(resource->name());
  auto plugin = std::make_unique<DevicePlugin>(loop_, settings_, std::move(resource), endpoint,
                                               std::move(connection_));
  if (Status status = plugin->Start(); !status.ok()) return status;
  plugins_.push_back(std::move(plugin));
  return Status::Ok();
}

void KubeletSession::DevicesChanged(const std::string& resource_name) {
  for (const auto& plugin : plugins_) {
    if (plugin->resource().name() == resource_name) plugin->DevicesChanged();
  }
}

}  // namespace npu_ipc::kubelet
