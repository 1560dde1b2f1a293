// A doubly linked list whose links live in its elements: no allocation, O(1) removal.
#pragma once

namespace npu_ipc::runtime {

// Derive from it, once per `Tag` for every list that the type can be in. Starts in no list.
template <class Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  bool linked() const { return next_ != nullptr; }

 private:
  template <class T, class AnyTag>
  friend class List;
  ListLink* previous_ = nullptr;
  ListLink* next_ = nullptr;
};

// Owns nothing: elements are unlinked before they are freed.
template <class T, class Tag = T>
class List {
 public:
  List() { head_.previous_ = head_.next_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return head_.next_ == &head_; }
  T* front() const { return empty() ? nullptr : Element(head_.next_); }
  // The element after `element`, or null.
  T* Next(const T* element) const {
    const ListLink<Tag>* const link = element;
    return link->next_ == &head_ ? nullptr : Element(link->next_);
  }
  void PushBack(T* element) {
    ListLink<Tag>* const link = element;
    link->previous_ = head_.previous_;
    link->next_ = &head_;
    head_.previous_->next_ = link;
    head_.previous_ = link;
  }
  // Does nothing when `element` is in no list.
  void Remove(T* element) {
    ListLink<Tag>* const link = element;
    if (!link->linked()) return;
    link->previous_->next_ = link->next_;
    link->next_->previous_ = link->previous_;
    link->previous_ = link->next_ = nullptr;
  }
  T* PopFront() {
    T* const element = front();
    if (element != nullptr) Remove(element);
    return element;
  }

 private:
  static T* Element(ListLink<Tag>* link) { return static_cast<T*>(link); }
  ListLink<Tag> head_;
};

}  // namespace npu_ipc::runtime
