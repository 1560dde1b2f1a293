#include "plugin/device/preferred_allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace npu_ipc::device {
namespace {

using hal::LinkType;
using ::testing::ElementsAre;

struct TestNode {
  std::vector<CardState> cards;
  LinkTable links;

  void Link(uint32_t a, uint32_t b, LinkType link) { links[std::minmax(a, b)] = link; }
  void Take(std::initializer_list<uint32_t> ids) {
    for (const uint32_t id : ids) cards[id].free = 0;
  }
  // The ids that are chosen, each as often as it is.
  std::vector<uint32_t> Choose(size_t size) const {
    std::vector<uint32_t> ids;
    const auto counts = ChooseReplicas(cards, links, size);
    EXPECT_TRUE(counts.has_value());
    for (size_t i = 0; counts && i < counts->size(); ++i) {
      ids.insert(ids.end(), (*counts)[i], cards[i].physical_id);
    }
    return ids;
  }
};

// Cards 0 to count - 1, the first half on NUMA node 0.
TestNode Cards(uint32_t count) {
  TestNode node;
  for (uint32_t i = 0; i < count; ++i) {
    node.cards.push_back({i, i, i < count / 2 ? 0 : 1, 1, 1, 0});
  }
  return node;
}

TestNode Mesh(uint32_t count) {
  TestNode node = Cards(count);
  for (uint32_t a = 0; a < count; ++a) {
    for (uint32_t b = a + 1; b < count; ++b) node.Link(a, b, LinkType::kHccs);
  }
  return node;
}

// Two groups of the cards in `order`: its first half and its second, in the order of their
// positions.
TestNode Box(const std::vector<uint32_t>& order) {
  const auto count = static_cast<uint32_t>(order.size());
  TestNode node = Cards(count);
  for (uint32_t a = 0; a < count; ++a) {
    node.cards[order[a]].numa_node = a % (count / 2) < count / 4 ? 0 : 1;
    for (uint32_t b = a + 1; b < count; ++b) {
      const bool same_group = (a < count / 2) == (b < count / 2);
      const bool same_position = a + count / 2 == b;
      node.Link(order[a], order[b],
                same_group      ? LinkType::kHccs
                : same_position ? LinkType::kPciSwitch
                                : LinkType::kPciHost);
    }
  }
  return node;
}

TestNode Box(uint32_t count) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  return Box(order);
}

TestNode Modules(uint32_t modules) {
  TestNode node = Cards(2 * modules);
  for (uint32_t a = 0; a < 2 * modules; ++a) {
    node.cards[a].card_id = a / 2;
    for (uint32_t b = a + 1; b < 2 * modules; ++b) {
      node.Link(a, b, a / 2 == b / 2 ? LinkType::kSio : LinkType::kHccsSwitch);
    }
  }
  return node;
}

TEST(PreferredAllocationTest, StaysOnOneNumaNodeOfAMesh) {
  TestNode node = Mesh(8);
  EXPECT_THAT(node.Choose(2), ElementsAre(0, 1));
  EXPECT_THAT(node.Choose(4), ElementsAre(0, 1, 2, 3));
  node.Take({1, 2});
  EXPECT_THAT(node.Choose(3), ElementsAre(4, 5, 6));
  EXPECT_THAT(node.Choose(2), ElementsAre(0, 3)) << "fills up the node that is in use already";
  EXPECT_THAT(node.Choose(6), ElementsAre(0, 3, 4, 5, 6, 7));
}

TEST(PreferredAllocationTest, NeverSplitsABox16WhileOneGroupCanHoldTheRequest) {
  TestNode node = Box(16);
  node.Take({0, 1, 2, 8, 9, 10, 11, 12});
  EXPECT_THAT(node.Choose(5), ElementsAre(3, 4, 5, 6, 7));
  EXPECT_THAT(node.Choose(3), ElementsAre(13, 14, 15)) << "leaves the larger group whole";
  EXPECT_THAT(Box(16).Choose(8), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(PreferredAllocationTest, SplitsABox16EvenlyAtTheSamePositions) {
  for (const size_t size : {10u, 12u, 14u}) {
    const std::vector<uint32_t> ids = Box(16).Choose(size);
    ASSERT_EQ(ids.size(), size);
    for (size_t i = 0; i < size / 2; ++i) EXPECT_EQ(ids[i] + 8, ids[i + size / 2]);
  }
  TestNode node = Box(16);
  node.Take({0, 9});
  EXPECT_THAT(node.Choose(10), ElementsAre(2, 3, 4, 5, 6, 10, 11, 12, 13, 14));
}

TEST(PreferredAllocationTest, KnowsGroupsByLinksAndNotByIds) {
  // The groups are the even ids and the odd ones, in opposite order.
  TestNode node = Box({0, 2, 4, 6, 8, 10, 12, 14, 15, 13, 11, 9, 7, 5, 3, 1});
  node.Take({0});
  EXPECT_THAT(node.Choose(8), ElementsAre(1, 3, 5, 7, 9, 11, 13, 15));
  EXPECT_THAT(node.Choose(14), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14));
}

TEST(PreferredAllocationTest, GoesByRankWhereNoLinkTellsThePositions) {
  TestNode node = Box(16);
  for (uint32_t i = 0; i < 8; ++i) node.Link(i, i + 8, LinkType::kSystem);
  node.Take({3});
  EXPECT_THAT(node.Choose(14), ElementsAre(0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15));
}

TEST(PreferredAllocationTest, GivesWholeModulesForEvenCounts) {
  TestNode node = Modules(8);
  node.Take({0, 3});
  EXPECT_THAT(node.Choose(2), ElementsAre(4, 5));
  EXPECT_THAT(node.Choose(4), ElementsAre(4, 5, 6, 7)) << "on one NUMA node";
}

TEST(PreferredAllocationTest, TakesAnOddDieFromAModuleThatIsBroken) {
  TestNode node = Modules(8);
  node.Take({12});
  EXPECT_THAT(node.Choose(1), ElementsAre(13));
  EXPECT_THAT(node.Choose(3), ElementsAre(8, 9, 13));
}

TEST(PreferredAllocationTest, KnowsAModuleByItsCardWhereTheDriverTellsNoLinks) {
  TestNode node = Modules(4);
  node.links.clear();
  node.Take({1});
  EXPECT_THAT(node.Choose(1), ElementsAre(0));
  EXPECT_THAT(node.Choose(2), ElementsAre(2, 3));
}

TEST(PreferredAllocationTest, HonoursWhatMustBeIncluded) {
  TestNode node = Box(16);
  node.cards[9].required = 1;
  EXPECT_THAT(node.Choose(2), ElementsAre(8, 9));
  node.cards[1].required = 1;
  EXPECT_THAT(node.Choose(4), ElementsAre(0, 1, 8, 9));
}

TEST(PreferredAllocationTest, SpreadsReplicasBeforeItDoublesUp) {
  TestNode node = Mesh(4);
  for (CardState& card : node.cards) card.replicas = card.free = 3;
  node.cards[0].free = 1;
  EXPECT_THAT(node.Choose(2), ElementsAre(2, 3)) << "where nobody is yet";
  EXPECT_THAT(node.Choose(4), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(node.Choose(6), ElementsAre(0, 1, 1, 2, 2, 3));
  EXPECT_THAT(node.Choose(10), ElementsAre(0, 1, 1, 1, 2, 2, 2, 3, 3, 3));
  node.cards[1].required = 2;
  EXPECT_THAT(node.Choose(3), ElementsAre(1, 1, 2));
}

TEST(PreferredAllocationTest, RefusesWhatCannotBeDone) {
  TestNode node = Mesh(4);
  node.Take({0, 1});
  EXPECT_FALSE(ChooseReplicas(node.cards, node.links, 3).has_value());
  node.cards[2].required = node.cards[3].required = 1;
  EXPECT_FALSE(ChooseReplicas(node.cards, node.links, 1).has_value());
  EXPECT_FALSE(ChooseReplicas({}, {}, 1).has_value());
  EXPECT_TRUE(ChooseReplicas({}, {}, 0).has_value());
}

TEST(PreferredAllocationTest, StaysOnOneGroupOfANodeThatIsTooLargeToSearchWhole) {
  TestNode node = Box(48);
  node.Take({0, 1, 2, 3, 4});
  const std::vector<uint32_t> ids = node.Choose(20);
  ASSERT_EQ(ids.size(), 20u);
  EXPECT_TRUE(ids.front() >= 24) << "5 of the first group's 24 are taken";
  EXPECT_EQ(std::set<uint32_t>(ids.begin(), ids.end()).size(), 20u);
}

// The criteria once more, slowly and apart from the code under test: by definition, over sets of
// ids.
class Reference {
 public:
  using Ids = std::set<uint32_t>;
  using Cost = std::array<size_t, 9>;

  explicit Reference(const TestNode& node) : node_(node) {
    for (const CardState& card : node.cards) {
      groups_.push_back(Reach(card.physical_id, [&](uint32_t a, uint32_t b) {
        const LinkType link = LinkBetween(node_.links, a, b);
        return link == LinkType::kHccs || link == LinkType::kHccsSwitch || link == LinkType::kSio;
      }));
      modules_.push_back(Reach(card.physical_id, [&](uint32_t a, uint32_t b) {
        return LinkBetween(node_.links, a, b) == LinkType::kSio;
      }));
    }
  }

  Cost CostOf(const Ids& chosen) const {
    std::map<Ids, size_t> taken_of_group, taken_of_module;
    std::map<int32_t, size_t> taken_of_numa_node;
    Cost cost{};
    for (const uint32_t id : chosen) {
      ++taken_of_group[groups_[id]];
      ++taken_of_module[modules_[id]];
      ++taken_of_numa_node[*node_.cards[id].numa_node];
      cost[5] += node_.cards[id].replicas - node_.cards[id].free;
    }
    size_t most = 0, fewest = 1000;
    for (const auto& [group, taken] : taken_of_group) {
      most = std::max(most, taken);
      fewest = std::min(fewest, taken);
      for (const uint32_t id : group) cost[7] += node_.cards[id].free > 0 && !chosen.contains(id);
    }
    cost[0] = taken_of_group.size();
    if (cost[0] > 1) {
      cost[1] = most - fewest;
      for (const uint32_t a : chosen) {
        cost[2] += std::none_of(chosen.begin(), chosen.end(), [&](uint32_t b) {
          return LinkBetween(node_.links, a, b) == LinkType::kPciSwitch;
        });
      }
    }
    for (const auto& [module, taken] : taken_of_module) {
      if (taken == module.size()) continue;
      ++cost[3];
      cost[4] += std::all_of(module.begin(), module.end(), [&](uint32_t id) {
        return node_.cards[id].free == node_.cards[id].replicas;
      });
    }
    cost[6] = taken_of_numa_node.size();
    for (const CardState& card : node_.cards) {
      cost[8] += card.free > 0 && !chosen.contains(card.physical_id) &&
                 taken_of_numa_node.contains(*card.numa_node);
    }
    return cost;
  }

  // The first of the cheapest sets of `size` cards that are free, with those required.
  Ids Best(size_t size) const {
    std::optional<Cost> lowest;
    std::vector<uint32_t> best;
    for (uint32_t bits = 0; bits < (1u << node_.cards.size()); ++bits) {
      if (static_cast<size_t>(__builtin_popcount(bits)) != size) continue;
      Ids chosen;
      bool allowed = true;
      for (const CardState& card : node_.cards) {
        const bool in = (bits >> card.physical_id & 1) != 0;
        if (in) chosen.insert(card.physical_id);
        allowed = allowed && (!in || card.free > 0) && (in || card.required == 0);
      }
      if (!allowed) continue;
      const Cost cost = CostOf(chosen);
      const std::vector<uint32_t> ids(chosen.begin(), chosen.end());
      if (!lowest || std::tie(cost, ids) < std::tie(*lowest, best)) {
        lowest = cost;
        best = ids;
      }
    }
    return {best.begin(), best.end()};
  }

 private:
  template <class Connected>
  Ids Reach(uint32_t from, const Connected& connected) const {
    Ids reached = {from};
    for (size_t before = 0; before != reached.size();) {
      before = reached.size();
      for (const uint32_t a : Ids(reached)) {
        for (const CardState& card : node_.cards) {
          if (connected(a, card.physical_id)) reached.insert(card.physical_id);
        }
      }
    }
    return reached;
  }

  const TestNode& node_;
  std::vector<Ids> groups_, modules_;  // by id
};

TEST(PreferredAllocationTest, IsNeverBeatenByAnyOtherChoice) {
  std::mt19937 random(20240229);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  for (int round = 0; round < 240; ++round) {
    std::vector<uint32_t> order(8);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    TestNode node = round % 3 == 0 ? Mesh(8) : round % 3 == 1 ? Box(order) : Modules(4);
    const size_t replicas = 1 + below(3);
    size_t free = 0, required = 0;
    for (CardState& card : node.cards) {
      card.replicas = replicas;
      card.free = below(3) == 0 ? below(replicas + 1) : replicas;
      card.required = card.free > 0 && below(8) == 0 ? 1 : 0;
      free += card.free > 0;
      required += card.required;
    }
    if (free == 0) continue;
    const size_t size = std::max<size_t>(required, 1 + below(free));
    const Reference reference(node);
    const Reference::Ids best = reference.Best(size);
    EXPECT_EQ(node.Choose(size), std::vector<uint32_t>(best.begin(), best.end()))
        << "round " << round << " size " << size;
  }
}

}  // namespace
}  // namespace npu_ipc::device
