#pragma once
// What the tests of the replicator's core share: histories, views and records by hand and at random.

#include <algorithm>
#include <random>

#include "replicator/core/types.h"

namespace drseed::replicator {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

inline Id id_of(std::uint8_t number) {
  Id id;
  id.bytes.fill(number);
  return id;
}

constexpr Sequence first_of(std::uint64_t generation) {
  return generation << kGenerationShift;
}

using Random = std::mt19937_64;

inline std::uint64_t below(Random& random, std::uint64_t bound) {
  return random() % bound;
}
inline bool coin(Random& random) {
  return below(random, 2) == 1;
}

inline Id random_id_of(Random& random) {
  Id id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random());
  return id;
}

inline Lineage random_lineage(Random& random, std::size_t size) {
  Lineage lineage(size);
  for (auto& entry : lineage) entry = {random_id_of(random), below(random, 8) == 0 ? kAnySequence : random()};
  return lineage;
}

// Any value that the formats allow, with every field set to something now and then.
inline NodeView random_view(Random& random) {
  NodeView view;
  view.mirror = random_id_of(random);
  view.volume_bytes = 512 * (1 + below(random, std::uint64_t{1} << 47));
  view.node = static_cast<NodeIndex>(below(random, kNodesMax));
  view.members_version = static_cast<std::uint32_t>(random());
  view.lineage = random_lineage(random, below(random, kLineageMax + 1));
  view.low = random() >> 1;
  view.high = coin(random) ? kAnySequence : view.low + below(random, 1000);
  for (auto* flag : {&view.inconsistent, &view.in_service, &view.last_owner, &view.data_corrupt, &view.outdated,
                     &view.discard, &view.slot_valid, &view.map_empty}) {
    *flag = coin(random);
  }
  view.promise = {random(), coin(random) ? kNoNode : static_cast<NodeIndex>(below(random, kNodesMax))};
  view.base = random() >> 1;
  if (coin(random)) view.seed = random_id_of(random);
  return view;
}

inline std::string random_name(Random& random) {
  std::string name(below(random, 48), ' ');
  for (auto& c : name) c = static_cast<char>(0x20 + below(random, 0x5f));
  return name;
}

inline NodeRecord random_record(Random& random) {
  const auto node_or_none = [&] { return coin(random) ? kNoNode : static_cast<NodeIndex>(below(random, kNodesMax)); };
  NodeRecord record;
  record.mirror = random_id_of(random);
  record.volume_bytes = 512 * (1 + below(random, std::uint64_t{1} << 47));
  record.self = static_cast<NodeIndex>(below(random, kNodesMax));
  record.members_version = static_cast<std::uint32_t>(random());
  for (std::size_t i = 0; i < kNodesMax; ++i) {
    if (i != record.self && coin(random)) continue;
    record.members[i] = {true, coin(random), random_id_of(random), random_name(random)};
    record.peers[i] = {coin(random), coin(random), random() >> 1};
  }
  record.seeds.resize(below(random, kSeedsMax + 1));
  for (auto& seed : record.seeds) seed = {random_id_of(random), random_name(random), random() >> 1};
  record.lineage = random_lineage(random, below(random, kLineageMax + 1));
  record.low = random() >> 1;
  record.high = coin(random) ? kAnySequence : record.low + below(random, 1000);
  record.inconsistent = coin(random);
  record.resync_source = node_or_none();
  record.in_service = coin(random);
  record.last_owner = coin(random);
  record.source = node_or_none();
  record.data_corrupt = coin(random);
  record.outdated = coin(random);
  record.unproven = coin(random);
  record.promise = {random(), node_or_none()};
  return record;
}

}  // namespace drseed::replicator
