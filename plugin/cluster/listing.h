// What a list of the API server's holds.
#pragma once

#include <string>
#include <vector>

#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {

struct Listing {
  Reply reply;  // of the last page; the rest is empty unless it is ok
  std::vector<Json> items;
  std::string resource_version;  // to watch from
};

}  // namespace npu_ipc::cluster
