#include "runtime/src/subscription.h"

#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/memory.h"

namespace npu_ipc::runtime {
namespace {

size_t BucketOf(const char* name) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (; *name != '\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 16777619U;
  return hash % Subscription::kBuckets;
}

WaitingChange* FindWaiting(const Subscription& subscription, const char* name) {
  WaitingChange* change = subscription.buckets[BucketOf(name)];
  while (change != nullptr && strcmp(change->region.name, name) != 0) {
    change = change->next_of_bucket;
  }
  return change;
}

WaitingChange* AddWaiting(Subscription* subscription, const char* name) {
  if (subscription->waiting_count >= subscription->max_waiting) return nullptr;
  auto* const change = New<WaitingChange>();
  if (change == nullptr) return nullptr;
  WaitingChange** const bucket = &subscription->buckets[BucketOf(name)];
  change->next_of_bucket = *bucket;
  *bucket = change;
  subscription->waiting.PushBack(change);
  ++subscription->waiting_count;
  return change;
}

// Null when nothing waits. The caller deletes it.
WaitingChange* PopWaiting(Subscription* subscription) {
  WaitingChange* const change = subscription->waiting.PopFront();
  if (change == nullptr) return nullptr;
  WaitingChange** at = &subscription->buckets[BucketOf(change->region.name)];
  while (*at != change) at = &(*at)->next_of_bucket;
  *at = change->next_of_bucket;
  --subscription->waiting_count;
  return change;
}

void DropWaiting(Subscription* subscription) {
  for (WaitingChange* change = PopWaiting(subscription); change != nullptr;
       change = PopWaiting(subscription)) {
    Delete(change);
  }
}

void DeleteSubscription(Subscription* subscription) {
  DropWaiting(subscription);
  Delete(subscription);
}

}  // namespace

Subscriber::~Subscriber() {
  for (Subscription* subscription = subscriptions_.PopFront(); subscription != nullptr;
       subscription = subscriptions_.PopFront()) {
    DeleteSubscription(subscription);
  }
}

// An older broker would end the connection.
npu_ipc_status Subscriber::CheckBroker() {
  if (client_->BrokerMinor() >= wire::MinorOf(wire::MessageType::kSubscribe)) return NPU_IPC_OK;
  return client_->Fail(NPU_IPC_UNSUPPORTED,
                       Text("this node's broker is too old for lists and subscriptions"));
}

npu_ipc_status Subscriber::ListRegion(const char* group, const char* prefix, const char* after,
                                      wire::RegionDescription* region) {
  const Deadline deadline = Deadline::After(client_->timeout_ms());
  npu_ipc_status status = CheckBroker();
  if (status != NPU_IPC_OK) return status;
  PendingRequest pending;
  wire::List& list = pending.message.list;
  list.header = MakeHeader<wire::List>(wire::MessageType::kList, 0);
  CopyText(list.group, sizeof(list.group), group);
  CopyText(list.prefix, sizeof(list.prefix), prefix);
  CopyText(list.after, sizeof(list.after), after);
  pending.answer = wire::MessageType::kListed;
  pending.read_by_caller = true;
  status = client_->Request(&pending, deadline);
  if (status != NPU_IPC_OK) return status;
  if (pending.reply.listed.found == 0) {
    return client_->Fail(NPU_IPC_NOT_FOUND, Text("no (further) region of that prefix"));
  }
  *region = pending.reply.listed.region;
  return NPU_IPC_OK;
}

npu_ipc_status Subscriber::Subscribe(const SubscribeRequest& request, Subscription** result) {
  const Deadline deadline = Deadline::After(client_->timeout_ms());
  npu_ipc_status status = CheckBroker();
  if (status != NPU_IPC_OK) return status;
  ThreadDevice device;
  if (request.admit_ahead) {
    Text error;
    const hal::acl::IpcTable* const vendor = FindVendor(&error);
    if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
    const hal::acl::Error code = FindThreadDevice(*vendor, &device, &error);
    if (code != hal::acl::kSuccess) return client_->Fail(NPU_IPC_VENDOR_ERROR, error, code);
  }
  Subscription* const subscription = New<Subscription>();
  if (subscription == nullptr) {
    return client_->Fail(NPU_IPC_NO_MEMORY, Text("the host is out of memory"));
  }
  subscription->pid = client_->process().pid;
  subscription->client = client_;
  subscription->max_waiting = request.max_waiting;
  subscription->event.subscription = reinterpret_cast<npu_ipc_subscription*>(subscription);
  wire::Subscribe& subscribe = subscription->request;
  subscribe.header = MakeHeader<wire::Subscribe>(wire::MessageType::kSubscribe, 0);
  CopyText(subscribe.group, sizeof(subscribe.group), request.group);
  CopyText(subscribe.prefix, sizeof(subscribe.prefix), request.prefix);
  subscribe.claimed_physical_device = device.physical_device;
  subscribe.admit_ahead = request.admit_ahead ? 1 : 0;

  PendingRequest pending;
  pending.message.subscribe = subscribe;
  pending.answer = wire::MessageType::kSubscribed;
  pending.on_answer = &OnSubscribed;
  pending.object = subscription;
  status = client_->Request(&pending, deadline);
  if (status == NPU_IPC_OK) {
    *result = subscription;
  } else {
    DeleteSubscription(subscription);
  }
  return status;
}

void Subscriber::OnSubscribed(void* object, const Message& reply, uint64_t connection_id) {
  auto* const subscription = static_cast<Subscription*>(object);
  subscription->subscription_id = reply.subscribed.subscription_id;
  subscription->connection_id = connection_id;
  subscription->client->subscriber().subscriptions_.PushBack(subscription);
}

void Subscriber::TellUnsubscribe(uint64_t connection_id, uint64_t subscription_id) {
  wire::Unsubscribe unsubscribe = {};
  unsubscribe.header =
      MakeHeader<wire::Unsubscribe>(wire::MessageType::kUnsubscribe, client_->NextRequestId());
  unsubscribe.subscription_id = subscription_id;
  client_->Tell(connection_id, &unsubscribe, sizeof(unsubscribe));
}

void Subscriber::Unsubscribe(Subscription* subscription) {
  uint64_t connection_id = 0;
  uint64_t subscription_id = 0;
  {
    MutexLock lock(client_->mutex());
    connection_id = subscription->connection_id;
    subscription_id = subscription->subscription_id;
    subscriptions_.Remove(subscription);
    client_->events().Drop(&subscription->event);
  }
  DeleteSubscription(subscription);
  if (connection_id != 0) TellUnsubscribe(connection_id, subscription_id);
}

npu_ipc_status Subscriber::Next(Subscription* subscription, Deadline deadline,
                                npu_ipc_change* change, wire::RegionDescription* region) {
  for (;;) {
    bool renew = false;
    bool reset = false;
    WaitingChange* first = nullptr;
    client_->mutex().Lock();
    reset = subscription->reset_waits;
    subscription->reset_waits = false;
    renew = reset && subscription->overflowed;
    subscription->overflowed = false;
    if (!reset) first = PopWaiting(subscription);
    if (subscription->waiting_count == 0) client_->events().Drop(&subscription->event);
    const uint32_t seen = client_->CurrentEventCount();
    client_->mutex().Unlock();
    if (renew) client_->WakeThread();
    if (reset) {
      *change = NPU_IPC_CHANGE_RESET;
      *region = {};
      return NPU_IPC_OK;
    }
    if (first != nullptr) {
      *change = static_cast<npu_ipc_change>(first->change);
      *region = first->region;
      Delete(first);
      return NPU_IPC_OK;
    }
    if (deadline.Passed()) return NPU_IPC_NO_EVENT;
    client_->AwaitEvent(seen, deadline);
  }
}

void Subscriber::Changed(const wire::RegionChange& told, uint64_t connection_id) {
  uint64_t overflowed_id = 0;
  {
    MutexLock lock(client_->mutex());
    Subscription* subscription = subscriptions_.front();
    while (subscription != nullptr && (subscription->connection_id != connection_id ||
                                       subscription->subscription_id != told.subscription_id)) {
      subscription = subscriptions_.Next(subscription);
    }
    if (subscription == nullptr) return;
    WaitingChange* change = FindWaiting(*subscription, told.region.name);
    if (change == nullptr) change = AddWaiting(subscription, told.region.name);
    if (change != nullptr) {
      change->change = told.change;
      change->region = told.region;
    } else {
      DropWaiting(subscription);
      overflowed_id = subscription->subscription_id;
      subscription->connection_id = 0;
      subscription->reset_waits = true;
      subscription->overflowed = true;
    }
    client_->events().Push(&subscription->event, NPU_IPC_EVENT_SUBSCRIPTION);
  }
  client_->AnnounceEvent();
  if (overflowed_id != 0) TellUnsubscribe(connection_id, overflowed_id);
}

void Subscriber::LoseAll() {
  for (Subscription* subscription = subscriptions_.front(); subscription != nullptr;
       subscription = subscriptions_.Next(subscription)) {
    DropWaiting(subscription);
    subscription->connection_id = 0;
    subscription->reset_waits = true;
    client_->events().Push(&subscription->event, NPU_IPC_EVENT_SUBSCRIPTION);
  }
}

// With the client's lock held.
Subscription* Subscriber::NextToRenew(uint64_t connection_id) {
  Subscription* subscription = subscriptions_.front();
  while (subscription != nullptr &&
         (subscription->connection_id == connection_id || subscription->overflowed ||
          (subscription->asked_id != 0 && subscription->asked_over == connection_id))) {
    subscription = subscriptions_.Next(subscription);
  }
  return subscription;
}

void Subscriber::Renew(Connection* connection, uint64_t connection_id) {
  if (client_->BrokerMinor() < wire::MinorOf(wire::MessageType::kSubscribe)) return;
  for (;;) {
    wire::Subscribe request = {};
    {
      MutexLock lock(client_->mutex());
      Subscription* const subscription = NextToRenew(connection_id);
      if (subscription == nullptr) return;
      request = subscription->request;
      request.header.request_id = client_->NextRequestId();
      subscription->asked_id = request.header.request_id;
      subscription->asked_over = connection_id;
    }
    // What goes wrong with the connection is found out, and made good, by whoever reads it.
    connection->Send(request, Deadline::After(client_->timeout_ms()));
  }
}

bool Subscriber::Answered(const Message& message, uint64_t connection_id) {
  MutexLock lock(client_->mutex());
  Subscription* subscription = subscriptions_.front();
  while (subscription != nullptr && (subscription->asked_id != message.header.request_id ||
                                     subscription->asked_over != connection_id)) {
    subscription = subscriptions_.Next(subscription);
  }
  if (subscription == nullptr) return false;
  if (message.header.type != wire::MessageType::kSubscribed) {
    // Refused: the right to it is gone. Asked again after the next reconnect.
    return message.header.type == wire::MessageType::kRefused;
  }
  subscription->asked_id = 0;
  subscription->subscription_id = message.subscribed.subscription_id;
  subscription->connection_id = connection_id;
  return true;
}

void Subscriber::GiveBack(const wire::Subscribed& subscribed, uint64_t connection_id) {
  TellUnsubscribe(connection_id, subscribed.subscription_id);
}

}  // namespace npu_ipc::runtime
