#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {

const char* ChipFamilyName(ChipFamily family) {
  switch (family) {
    case ChipFamily::kAscend910B:
      return "Ascend910B";
    case ChipFamily::kAscend910C:
      return "Ascend910C";
  }
  return "unknown";
}

const char* HealthLevelName(HealthLevel level) {
  switch (level) {
    case HealthLevel::kOk:
      return "ok";
    case HealthLevel::kMinor:
      return "minor";
    case HealthLevel::kMajor:
      return "major";
    case HealthLevel::kCritical:
      return "critical";
    case HealthLevel::kAbsent:
      return "absent";
  }
  return "unknown";
}

const char* FaultSeverityName(FaultSeverity severity) {
  switch (severity) {
    case FaultSeverity::kNotice:
      return "notice";
    case FaultSeverity::kMinor:
      return "minor";
    case FaultSeverity::kMajor:
      return "major";
    case FaultSeverity::kCritical:
      return "critical";
  }
  return "unknown";
}

const char* FaultChangeName(FaultChange change) {
  switch (change) {
    case FaultChange::kCleared:
      return "cleared";
    case FaultChange::kRaised:
      return "raised";
    case FaultChange::kOccurred:
      return "occurred";
  }
  return "unknown";
}

const char* LinkTypeName(LinkType link) {
  switch (link) {
    case LinkType::kSelf:
      return "self";
    case LinkType::kSystem:
      return "SYS";
    case LinkType::kPciHost:
      return "PHB";
    case LinkType::kHccs:
      return "HCCS";
    case LinkType::kPciMulti:
      return "PXB";
    case LinkType::kPciSwitch:
      return "PIX";
    case LinkType::kSio:
      return "SIO";
    case LinkType::kHccsSwitch:
      return "HCCS_SW";
    case LinkType::kUb:
      return "UB";
    case LinkType::kUnknown:
      return "unknown";
  }
  return "unknown";
}

bool LinkCarriesPeerAccess(LinkType link) {
  switch (link) {
    case LinkType::kSelf:
    case LinkType::kHccs:
    case LinkType::kPciSwitch:
    case LinkType::kSio:
    case LinkType::kHccsSwitch:
    case LinkType::kUb:
      return true;
    case LinkType::kSystem:
    case LinkType::kPciHost:
    case LinkType::kPciMulti:
    case LinkType::kUnknown:
      return false;
  }
  return false;
}

}  // namespace npu_ipc::hal
