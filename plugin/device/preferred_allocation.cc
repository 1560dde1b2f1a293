#include "plugin/device/preferred_allocation.h"

#include <algorithm>
#include <bitset>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

namespace npu_ipc::device {
namespace {

// DCMI lists 64 cards at most (dcmi_get_card_list), of two dies each.
constexpr size_t kMostCards = 128;
using CardSet = std::bitset<kMostCards>;  // by index

// 12,870 choices of 8 out of 16: searched in about a millisecond.
constexpr size_t kMostSearchedWhole = 16;

bool ConnectsGroup(hal::LinkType link) {
  return link == hal::LinkType::kHccs || link == hal::LinkType::kHccsSwitch ||
         link == hal::LinkType::kSio || link == hal::LinkType::kUb;
}

// The sets of cards that `connected` joins, directly or through others.
std::vector<CardSet> Components(size_t count,
                                const std::function<bool(size_t, size_t)>& connected) {
  std::vector<size_t> component(count);
  std::iota(component.begin(), component.end(), size_t{0});
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) {
      if (component[a] == component[b] || !connected(a, b)) continue;
      std::replace(component.begin(), component.end(), size_t{component[b]}, size_t{component[a]});
    }
  }
  std::map<size_t, CardSet> sets;
  for (size_t i = 0; i < count; ++i) sets[component[i]].set(i);
  std::vector<CardSet> result;
  result.reserve(sets.size());
  for (const auto& [number, set] : sets) result.push_back(set);
  return result;
}

// The node as the costs see it.
class Node {
 public:
  Node(const std::vector<CardState>& cards, const LinkTable& links);

  ChoiceCost Cost(const CardSet& chosen) const;

 private:
  void FindPeers(const std::vector<CardState>& cards, const LinkTable& links);
  void CountGroups(const CardSet& chosen, ChoiceCost* cost) const;

  CardSet free_;
  CardSet untouched_;           // all replicas are free
  std::vector<size_t> others_;  // replicas that others have, by index
  std::vector<CardSet> groups_;
  std::vector<CardSet> modules_;  // of more than one die
  std::vector<CardSet> numa_nodes_;
  std::vector<CardSet> peers_;  // by index: the cards at the same position of other groups
};

Node::Node(const std::vector<CardState>& cards, const LinkTable& links) {
  std::map<std::optional<int32_t>, CardSet> numa_nodes;
  for (size_t i = 0; i < cards.size(); ++i) {
    if (cards[i].free > 0) free_.set(i);
    if (cards[i].free == cards[i].replicas) untouched_.set(i);
    others_.push_back(cards[i].replicas - cards[i].free);
    numa_nodes[cards[i].numa_node].set(i);
  }
  for (const auto& [number, set] : numa_nodes) numa_nodes_.push_back(set);
  const auto link = [&](size_t a, size_t b) {
    return LinkBetween(links, cards[a].physical_id, cards[b].physical_id);
  };
  groups_ = Components(cards.size(), [&](size_t a, size_t b) { return ConnectsGroup(link(a, b)); });
  modules_ = Components(cards.size(), [&](size_t a, size_t b) {
    return cards[a].card_id == cards[b].card_id || link(a, b) == hal::LinkType::kSio;
  });
  std::erase_if(modules_, [](const CardSet& module) { return module.count() == 1; });
  FindPeers(cards, links);
}

void Node::FindPeers(const std::vector<CardState>& cards, const LinkTable& links) {
  peers_.resize(cards.size());
  const auto members = [&](const CardSet& group) {
    std::vector<size_t> indices;
    for (size_t i = 0; i < cards.size(); ++i) {
      if (group.test(i)) indices.push_back(i);
    }
    return indices;
  };
  const auto join = [&](size_t a, size_t b) {
    peers_[a].set(b);
    peers_[b].set(a);
  };
  for (size_t first = 0; first < groups_.size(); ++first) {
    for (size_t second = first + 1; second < groups_.size(); ++second) {
      const std::vector<size_t> here = members(groups_[first]);
      const std::vector<size_t> there = members(groups_[second]);
      bool linked = false;
      for (const size_t a : here) {
        for (const size_t b : there) {
          const hal::LinkType link = LinkBetween(links, cards[a].physical_id, cards[b].physical_id);
          if (!hal::LinkCarriesPeerAccess(link)) continue;
          join(a, b);
          linked = true;
        }
      }
      for (size_t rank = 0; !linked && rank < std::min(here.size(), there.size()); ++rank) {
        join(here[rank], there[rank]);
      }
    }
  }
}

void Node::CountGroups(const CardSet& chosen, ChoiceCost* cost) const {
  size_t most = 0;
  size_t fewest = std::numeric_limits<size_t>::max();
  for (const CardSet& group : groups_) {
    const size_t taken = (group & chosen).count();
    if (taken == 0) continue;
    ++cost->groups;
    most = std::max(most, taken);
    fewest = std::min(fewest, taken);
    cost->group_left += (group & free_ & ~chosen).count();
  }
  if (cost->groups < 2) return;
  cost->imbalance = most - fewest;
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (chosen.test(i) && (peers_[i] & chosen).none()) ++cost->unpaired;
  }
}

ChoiceCost Node::Cost(const CardSet& chosen) const {
  ChoiceCost cost;
  CountGroups(chosen, &cost);
  for (const CardSet& module : modules_) {
    if ((module & chosen).none() || (module & ~chosen).none()) continue;
    ++cost.partial_modules;
    if ((module & ~untouched_).none()) ++cost.broken_modules;
  }
  for (size_t i = 0; i < others_.size(); ++i) {
    if (chosen.test(i)) cost.crowding += others_[i];
  }
  for (const CardSet& numa_node : numa_nodes_) {
    if ((numa_node & chosen).none()) continue;
    ++cost.numa_nodes;
    cost.numa_left += (numa_node & free_ & ~chosen).count();
  }
  return cost;
}

// The cheapest set of `base` and `size` of `candidates`, tried one and all, the lowest indices
// first.
CardSet SearchWhole(const Node& node, const CardSet& base, const std::vector<size_t>& candidates,
                    size_t size) {
  std::vector<size_t> picks(size);  // positions in `candidates`, ascending
  std::iota(picks.begin(), picks.end(), size_t{0});
  std::optional<ChoiceCost> lowest;
  CardSet best = base;
  for (;;) {
    CardSet chosen = base;
    for (const size_t pick : picks) chosen.set(candidates[pick]);
    if (const ChoiceCost cost = node.Cost(chosen); !lowest || cost < *lowest) {
      lowest = cost;
      best = chosen;
    }
    size_t moved = size;  // the last that can still go on
    while (moved > 0 && picks[moved - 1] == candidates.size() - size + moved - 1) --moved;
    if (moved == 0) return best;
    ++picks[moved - 1];
    std::iota(picks.begin() + static_cast<ptrdiff_t>(moved), picks.end(), picks[moved - 1] + 1);
  }
}

// Adds to `chosen` what costs least, card by card.
CardSet Grow(const Node& node, CardSet chosen, const std::vector<size_t>& candidates, size_t size) {
  for (size_t taken = 0; taken < size; ++taken) {
    std::optional<ChoiceCost> lowest;
    CardSet best;
    for (const size_t added : candidates) {
      if (chosen.test(added)) continue;
      const CardSet with = CardSet(chosen).set(added);
      if (const ChoiceCost cost = node.Cost(with); !lowest || cost < *lowest) {
        lowest = cost;
        best = with;
      }
    }
    chosen = best;
  }
  return chosen;
}

// Grows a set from each card, takes the cheapest, and exchanges single cards for as long as that is
// cheaper.
CardSet SearchByExchange(const Node& node, const CardSet& base,
                         const std::vector<size_t>& candidates, size_t size) {
  std::optional<ChoiceCost> lowest;
  CardSet best;
  for (const size_t first : candidates) {
    const CardSet grown = Grow(node, CardSet(base).set(first), candidates, size - 1);
    if (const ChoiceCost cost = node.Cost(grown); !lowest || cost < *lowest) {
      lowest = cost;
      best = grown;
    }
  }
  for (bool cheaper = true; cheaper;) {
    cheaper = false;
    const CardSet chosen = best;
    for (const size_t removed : candidates) {
      for (const size_t added : candidates) {
        if (!chosen.test(removed) || chosen.test(added)) continue;
        const CardSet exchanged = CardSet(chosen).reset(removed).set(added);
        if (const ChoiceCost cost = node.Cost(exchanged); cost < *lowest) {
          lowest = cost;
          best = exchanged;
          cheaper = true;
        }
      }
    }
  }
  return best;
}

CardSet Search(const Node& node, const CardSet& base, const std::vector<size_t>& candidates,
               size_t size) {
  return candidates.size() <= kMostSearchedWhole ? SearchWhole(node, base, candidates, size)
                                                 : SearchByExchange(node, base, candidates, size);
}

bool CanBeDone(const std::vector<CardState>& cards, size_t size) {
  size_t free = 0;
  size_t required = 0;
  for (const CardState& card : cards) {
    if (card.required > card.free || card.free > card.replicas) return false;
    free += card.free;
    required += card.required;
  }
  return cards.size() <= kMostCards && required <= size && size <= free;
}

}  // namespace

std::optional<std::vector<size_t>> ChooseReplicas(const std::vector<CardState>& cards,
                                                  const LinkTable& links, size_t size) {
  if (!CanBeDone(cards, size)) return std::nullopt;
  std::vector<size_t> counts;
  CardSet chosen;
  for (size_t i = 0; i < cards.size(); ++i) {
    counts.push_back(cards[i].required);
    if (cards[i].required > 0) chosen.set(i);
    size -= cards[i].required;
  }
  while (size > 0) {
    // One more replica of the cards that have been given the fewest: of all of them, or of the
    // best.
    size_t level = std::numeric_limits<size_t>::max();
    std::vector<size_t> candidates;
    for (size_t i = 0; i < cards.size(); ++i) {
      if (counts[i] == cards[i].free || counts[i] > level) continue;
      if (counts[i] < level) candidates.clear();
      level = counts[i];
      candidates.push_back(i);
    }
    if (size >= candidates.size()) {
      for (const size_t i : candidates) chosen.set(i);
    } else if (level == 0) {
      const CardSet best = Search(Node(cards, links), chosen, candidates, size);
      std::erase_if(candidates, [&](size_t i) { return !best.test(i); });
      chosen = best;
    } else {
      // The cards are settled: those that others use least carry the load.
      std::stable_sort(candidates.begin(), candidates.end(), [&](size_t a, size_t b) {
        return cards[a].replicas - cards[a].free < cards[b].replicas - cards[b].free;
      });
      candidates.resize(size);
    }
    for (const size_t i : candidates) ++counts[i];
    size -= candidates.size();
  }
  return counts;
}

}  // namespace npu_ipc::device
