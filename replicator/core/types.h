#pragma once
// What the core's parts share: nodes, sequences, the record of a node, its view as others see it. Pure.

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/id.h"
#include "replicator/core/limits.h"

namespace drseed::replicator {

using Generation = Id;
using NodeIndex = std::uint8_t;  // a member's place in the member table
constexpr NodeIndex kNoNode = 255;
using NodeMask = std::uint32_t;  // bit i: member i
constexpr NodeMask mask_of(NodeIndex node) {
  return NodeMask{1} << node;
}
using Sequence = std::uint64_t;
constexpr Sequence kAnySequence = std::numeric_limits<Sequence>::max();
using Payload = std::uint32_t;  // the driver's name for bytes that the core never sees
constexpr Payload kNoPayload = 0;

struct ByteRange {
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint64_t end() const { return offset_bytes + length_bytes; }
  bool overlaps(const ByteRange& other) const { return offset_bytes < other.end() && other.offset_bytes < end(); }
  bool operator==(const ByteRange&) const = default;
};

// A generation and where it left the one before it in the lineage. The first has left nothing.
struct LineageEntry {
  Generation generation;
  Sequence forked_at = 0;  // last sequence of the parent that belongs to this history; kAnySequence: not known
  bool operator==(const LineageEntry&) const = default;
};
using Lineage = std::vector<LineageEntry>;  // oldest first; the last is the node's own generation

struct Member {
  bool present = false;
  bool sync = false;  // as a target
  Id id;
  std::string name;
  bool operator==(const Member&) const = default;
};

// What a node knows of another member.
struct PeerRecord {
  bool slot_valid = false;  // the slot has missed no change
  bool paused = false;      // by an operator, while this node is the source
  Sequence base = 0;        // the peer held every write up to it durably
  bool operator==(const PeerRecord&) const = default;
};

struct Promise {
  std::uint64_t counter = 0;
  NodeIndex node = kNoNode;
  bool operator==(const Promise&) const = default;
};

// A free place has no id: places keep their slots.
struct SeedRecord {
  Id id;
  std::string label;
  Sequence opened_at = 0;  // writes up to it are in the image
  bool operator==(const SeedRecord&) const = default;
};

// Everything that must change together on a node.
struct NodeRecord {
  Id mirror;
  std::uint64_t volume_bytes = 0;
  NodeIndex self = 0;
  std::uint32_t members_version = 0;
  std::array<Member, kNodesMax> members;
  std::array<PeerRecord, kNodesMax> peers;
  std::vector<SeedRecord> seeds;  // slot i of the seeds is seeds[i]
  Lineage lineage;                // empty: blank, joined with nothing
  Sequence low = 0;               // every write up to it is durable here
  Sequence high = 0;              // none beyond it is on this disk; kAnySequence on a source
  bool inconsistent = false;      // a resync is under way, or was interrupted
  NodeIndex resync_source = kNoNode;
  bool in_service = false;
  bool last_owner = false;
  NodeIndex source = kNoNode;  // who was the source when this node last was part of the mirror
  bool data_corrupt = false;
  bool outdated = false;
  bool unproven = false;
  Promise promise;
  std::optional<Id> seed;  // the disk was written from an image of this seed, and no resync has ended since
  bool operator==(const NodeRecord&) const = default;
};

// A node as another sees it in a handshake.
struct NodeView {
  Id mirror;
  std::uint64_t volume_bytes = 0;
  NodeIndex node = 0;
  std::uint32_t members_version = 0;
  Lineage lineage;
  Sequence low = 0;
  Sequence high = 0;
  bool inconsistent = false;
  bool in_service = false;
  bool last_owner = false;
  bool data_corrupt = false;
  bool outdated = false;
  bool discard = false;  // an operator named it the victim of a split brain
  Promise promise;
  bool slot_valid = false;  // its slot for the node it speaks to
  Sequence base = 0;        // and that slot's base
  bool map_empty = true;    // nothing in its map for the node it speaks to
  std::optional<Id> seed;   // it was written from an image of this seed
  bool operator==(const NodeView&) const = default;
};

}  // namespace drseed::replicator
