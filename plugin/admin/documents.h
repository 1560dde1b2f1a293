// The answers at the admin socket, as README.md has them.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "hal/base/result.h"
#include "plugin/admin/driver_exports.h"
#include "plugin/admin/node_snapshot.h"
#include "plugin/admin/request.h"
#include "plugin/driver_records/driver_records.h"

namespace npu_ipc::admin {

// Each answers one topic from what the snapshot has of it; what it needs of it is said. They read
// /proc for PIDs in containers, and may take seconds on a node with tens of thousands of processes:
// never on the broker's loop. No document holds an export key.

nlohmann::json VersionDocument(const NodeSnapshot& node);
nlohmann::json SharesDocument(const NodeSnapshot& node);   // regions
nlohmann::json PodsDocument(const NodeSnapshot& node);     // processes
nlohmann::json DevicesDocument(const NodeSnapshot& node);  // nothing of shares
nlohmann::json EventsDocument(const NodeSnapshot& node);   // nothing of shares

// Needs processes and keys. `exports` must have been read before the snapshot was taken: whoever is
// let in is noted here before the driver lists him. What is published here and was not there then
// is looked for in `driver` again.
nlohmann::json AuditDocument(const NodeSnapshot& node, const DriverExports& exports,
                             const driver_records::DriverRecords& driver);

// How far the pod "namespace/name" gets, or, where it is empty, the node alone. Needs processes,
// and the regions of its groups. What the node's broker cannot see (whether the container was given
// the library) is not in it.
nlohmann::json DoctorDocument(const NodeSnapshot& node, const std::string& pod);

// What the snapshot must have of the shares to answer the request.
broker::ShareQuery ShareQueryFor(const NodeSnapshot& node, const Request& request);

// The document that says why there is no other.
nlohmann::json FailureDocument(const Status& status);

// In UTF-8 whatever is in it, on one line.
std::string Dump(const nlohmann::json& document);

}  // namespace npu_ipc::admin
