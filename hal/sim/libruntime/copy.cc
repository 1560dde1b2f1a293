#include "hal/sim/libruntime/copy.h"

#include <string.h>

#include <utility>

namespace npu_ipc::sim {
namespace {

// One side of a copy, held so that nobody unmaps it meanwhile.
struct Place {
  std::shared_ptr<const Region> region;  // nullptr: host memory
  uint8_t* bytes = nullptr;

  bool on_device() const { return region != nullptr; }
  bool across_devices() const { return region != nullptr && region->IsAcrossDevices(); }
  bool reachable() const { return region == nullptr || region->IsReachable(); }
};

struct Route {
  Place destination;
  Place source;
};

RtResult<Place> Locate(const AddressSpace& addresses, const void* pointer, size_t count,
                       const char* side) {
  Place place;
  place.region = addresses.Find(pointer);
  if (place.region == nullptr) {
    if (addresses.Overlaps(pointer, count)) {
      return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                      std::string("the ") + side + " runs from host memory into device addresses");
    }
    place.bytes = static_cast<uint8_t*>(const_cast<void*>(pointer));
    return place;
  }
  const size_t offset = reinterpret_cast<uintptr_t>(pointer) - place.region->base();
  if (count > place.region->bytes - offset) {
    return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                    std::string("the ") + side + " has " +
                        std::to_string(place.region->bytes - offset) + " bytes from there, not " +
                        std::to_string(count));
  }
  place.bytes = place.region->real + offset;
  return place;
}

RtStatus CheckKind(const Route& route, int kind) {
  bool to_device = false;
  bool from_device = false;
  switch (kind) {
    case ACL_MEMCPY_HOST_TO_HOST:
      break;
    case ACL_MEMCPY_HOST_TO_DEVICE:
    case ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE:
      to_device = true;
      break;
    case ACL_MEMCPY_DEVICE_TO_HOST:
      from_device = true;
      break;
    case ACL_MEMCPY_DEVICE_TO_DEVICE:
      to_device = true;
      from_device = true;
      break;
    case ACL_MEMCPY_DEFAULT:
      if (route.destination.across_devices() || route.source.across_devices()) {
        return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                        "the direction of a copy is not inferred for memory that was imported from "
                        "another device: pass ACL_MEMCPY_DEVICE_TO_DEVICE");
      }
      return {};
    default:
      return RtStatus(ACL_ERROR_RT_PARAM_INVALID, "no kind of copy " + std::to_string(kind));
  }
  if (route.destination.on_device() == to_device && route.source.on_device() == from_device) {
    return {};
  }
  return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                  "copy kind " + std::to_string(kind) +
                      " does not fit: the destination is on the " +
                      (route.destination.on_device() ? "device" : "host") + ", the source on the " +
                      (route.source.on_device() ? "device" : "host"));
}

RtResult<Route> Plan(const AddressSpace& addresses, const CopyRequest& request, bool in_stream) {
  if (request.count > request.room) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "the destination has room for " + std::to_string(request.room) +
                        " bytes, not for " + std::to_string(request.count));
  }
  RtResult<Place> destination =
      Locate(addresses, request.destination, request.count, "destination");
  if (!destination.ok()) return destination.status();
  RtResult<Place> source = Locate(addresses, request.source, request.count, "source");
  if (!source.ok()) return source.status();
  Route route = {std::move(*destination), std::move(*source)};
  if (RtStatus kind = CheckKind(route, request.kind); !kind.ok()) return kind;
  const bool across = route.destination.across_devices() || route.source.across_devices();
  if (across && !(in_stream && request.kind == ACL_MEMCPY_DEVICE_TO_DEVICE)) {
    return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                    "memory that was imported from another device is reached by asynchronous "
                    "device-to-device copies only");
  }
  return route;
}

RtStatus Gone(rtError_t code) {
  return RtStatus(code,
                  "imported memory is gone: its exporter has ended, freed it or closed its key");
}

RtStatus Move(const Route& route, size_t count, rtError_t code_if_gone) {
  if (!route.destination.reachable() || !route.source.reachable()) return Gone(code_if_gone);
  if (count != 0) ::memmove(route.destination.bytes, route.source.bytes, count);
  return {};
}

RtResult<Place> PlanFill(const AddressSpace& addresses, const FillRequest& request,
                         bool in_stream) {
  if (request.count > request.room) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "the destination has room for " + std::to_string(request.room) +
                        " bytes, not for " + std::to_string(request.count));
  }
  RtResult<Place> place = Locate(addresses, request.destination, request.count, "destination");
  if (place.ok() && place->across_devices() && !in_stream) {
    return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                    "memory that was imported from another device is not filled from the host");
  }
  return place;
}

RtStatus Fill(const Place& place, int32_t value, size_t count, rtError_t code_if_gone) {
  if (!place.reachable()) return Gone(code_if_gone);
  if (count != 0) ::memset(place.bytes, value, count);
  return {};
}

}  // namespace

RtStatus CopyNow(const AddressSpace& addresses, const CopyRequest& request) {
  RtResult<Route> route = Plan(addresses, request, /*in_stream=*/false);
  if (!route.ok()) return route.status();
  return Move(*route, request.count, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

RtStatus CopyOn(Stream& stream, const AddressSpace& addresses, const CopyRequest& request) {
  RtResult<Route> route = Plan(addresses, request, /*in_stream=*/true);
  if (!route.ok()) return route.status();
  stream.Run([route = std::move(*route), count = request.count] {
    return Move(route, count, ACL_ERROR_RT_DEVICE_MEM_ERROR);
  });
  return {};
}

RtStatus FillNow(const AddressSpace& addresses, const FillRequest& request) {
  RtResult<Place> place = PlanFill(addresses, request, /*in_stream=*/false);
  if (!place.ok()) return place.status();
  return Fill(*place, request.value, request.count, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

RtStatus FillOn(Stream& stream, const AddressSpace& addresses, const FillRequest& request) {
  RtResult<Place> place = PlanFill(addresses, request, /*in_stream=*/true);
  if (!place.ok()) return place.status();
  stream.Run([place = std::move(*place), value = request.value, count = request.count] {
    return Fill(place, value, count, ACL_ERROR_RT_DEVICE_MEM_ERROR);
  });
  return {};
}

}  // namespace npu_ipc::sim
