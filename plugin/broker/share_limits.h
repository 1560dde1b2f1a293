// How much the registry lets one process and one pod have, and how long it waits for them.
#pragma once

#include <stddef.h>

#include <chrono>

#include "hal/base/clock.h"

namespace npu_ipc::broker {

// Of all processes of one pod.
struct PodLimits {
  size_t regions = 32768;
  size_t pending_requests = 1024;
  size_t grants = 131072;
  size_t subscriptions = 1024;
};

struct ShareLimits {
  size_t regions = 4096;         // of one process
  size_t pending_requests = 64;  // attaches of one process that are not answered yet
  size_t grants = 16384;         // of one process
  size_t asked = 4096;           // whitelistings that one exporter has not answered yet
  // Processes on one key before it is renewed; the driver ends at 32,768 (svm_shmem_node.c).
  size_t whitelist = 32000;
  size_t subscriptions = 64;      // of one process
  size_t admitted_ahead = 1024;   // regions of one subscription
  size_t untold_changes = 16384;  // of one subscription whose client does not read
  PodLimits pod;
  Duration admit_deadline = std::chrono::seconds(5);     // an exporter's answer
  Duration rotate_drain = std::chrono::seconds(10);      // importers' time to close before it
  Duration rotate_deadline = std::chrono::seconds(10);   // an exporter's answer
  Duration disconnect_grace = std::chrono::seconds(30);  // a living process without a connection
  Duration reclaim_window = std::chrono::seconds(5);     // for importers, after the broker's start
  Duration hold = std::chrono::seconds(3);               // a publish, while nothing new is granted
  size_t peers_held = 4096;  // pairs of devices that one process may claim to have enabled
};

}  // namespace npu_ipc::broker
