#include "tests/sim/check_overwrite.h"

#include <algorithm>
#include <utility>

namespace drseed::sim {

using namespace replicator;

void OverwriteChecker::allow(Pair& pair, std::uint64_t first_sector, std::uint64_t count) {
  const auto per_block = world_.context.parameters.sectors_per_block();
  if (pair.allowed.empty()) return;
  for (auto block = first_sector / per_block; block <= (first_sector + count - 1) / per_block; ++block)
    pair.allowed[block] = true;
}

void OverwriteChecker::allow(Pair& pair, const bitmap::DirtyBitmap& map) {
  for (std::uint64_t block = 0; block < pair.allowed.size(); ++block) {
    if (map.test(block)) pair.allowed[block] = true;
  }
}

void OverwriteChecker::submitted(const Request& request) {
  for (auto& each : pairs_[request.node]) allow(each, request.first, request.count);
}

void OverwriteChecker::acknowledged(const Request& request) {
  if (request.write == 0) return;
  const auto source = request.node;
  auto owners = mask_of(source) | world_.node(source).engine().in_sync();
  for (NodeIndex node = 0; node < world_.node_count(); ++node) {
    const auto session = world_.network.session_of(source, node);
    const auto& found = pair(source, node);
    if (session != 0 && found.consistent_in == session && found.begun_in == session) owners |= mask_of(node);
  }
  world_.oracle.write(request.write).owners = owners;
}

void OverwriteChecker::become_equal(NodeIndex source, NodeIndex target) {
  for (auto& write : world_.oracle.writes()) {
    write.owners &= ~mask_of(target);
    if ((write.owners & mask_of(source)) != 0) write.owners |= mask_of(target);
  }
  victim_[target] = false;
}

void OverwriteChecker::forget(NodeIndex node) {
  for (auto& write : world_.oracle.writes()) write.owners &= ~mask_of(node);
}

void OverwriteChecker::stepped(NodeIndex node) {
  const auto& record = world_.node(node).engine().record();
  const bool was_inconsistent = std::exchange(inconsistent_[node], record.inconsistent);
  if (!was_inconsistent && record.inconsistent && record.source < kNodesMax) {
    for (auto& each : pairs_) each[node].consistent_in = each[node].overwritten_in = 0;
    overwritten(record.source, node, world_.network.session_of(node, record.source));
  }
  if (!was_inconsistent || record.inconsistent || record.in_service || record.source >= kNodesMax) return;
  become_equal(record.source, node);
  pair(record.source, node).consistent_in = world_.network.session_of(node, record.source);
}

void OverwriteChecker::crashed(NodeIndex node) {
  inconsistent_[node] = world_.node(node).record().inconsistent;
  if (inconsistent_[node]) forget(node);
}

void OverwriteChecker::sends(NodeIndex node, NodeIndex peer, const Frame& frame) {
  if (frame.type == FrameType::kBegin) {
    auto& begun = pair(node, peer);
    begun.full = (frame.flags & kFlagConsent) != 0;
    begun.consistent_in = 0;
    begun.begun_in = world_.network.session_of(node, peer);
    begun.allowed.assign(world_.context.parameters.file.block_count(), false);
    if (begun.full && !begun.consent)
      world_.context.violate("overwrite", "n{}: a full resync of n{}, to which nobody consented", node, peer);
    begun.consent = false;
  } else if (frame.type == FrameType::kMapEnd) {
    allow(pair(peer, node), world_.node(node).map_of(peer));
  } else if (frame.type == FrameType::kInSync) {
    const auto session = world_.network.session_of(node, peer);
    become_equal(peer, node);
    pair(peer, node).consistent_in = session;
  } else if (frame.type == FrameType::kOutdate) {
    pair(node, peer).begun_in = 0;
  }
}

void OverwriteChecker::arrives(NodeIndex from, NodeIndex to, std::uint64_t session, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kMapEnd: {
      auto& begun = pair(to, from);
      allow(begun, world_.node(to).map_of(from));
      allow(begun, world_.node(from).map_of(to));
      if (world_.reign_of[to] == kNoReign) return;
      for (const auto id : world_.oracle.reign(world_.reign_of[to]).writes) {
        const auto& write = world_.oracle.write(id);
        if (write.acked == 0) allow(begun, write.first, write.count);
      }
      return;
    }
    case FrameType::kResync:
    case FrameType::kResyncZero:
      if (!follows(from, to, session)) overwritten(from, to, session);
      return check_blocks(from, to, frame.range);
    default:
      return;
  }
}

bool OverwriteChecker::has(NodeIndex node, const Write& write) {
  if (world_.oracle.reign(write.reign).node == node) return true;
  const auto& disk = world_.node(node).disk().visible();
  for (auto sector = write.first; sector < write.first + write.count; ++sector) {
    if (disk[sector] == tag_of(write.id, sector)) return true;
  }
  return false;
}

bool OverwriteChecker::holds(NodeIndex node, const Write& write) {
  const auto& disk = world_.node(node).disk().visible();
  const auto& reign = world_.oracle.reign(write.reign);
  for (auto sector = write.first; sector < write.first + write.count; ++sector) {
    if (!world_.oracle.holds(disk[sector], write, sector, reign.by_sector[sector])) return false;
  }
  return true;
}

void OverwriteChecker::overwritten(NodeIndex source, NodeIndex target, std::uint64_t session) {
  auto& found = pair(source, target);
  if (found.overwritten_in == session) return;
  found.overwritten_in = session;
  for (auto& write : world_.oracle.writes()) {
    // That the source was not to have it, only the one knew that acknowledged it.
    const auto witness = world_.oracle.reign(write.reign).node;
    const bool forgotten = witness < kNodesMax && (replaced_ & mask_of(witness)) != 0;
    const bool lost = (write.owners & mask_of(target)) != 0 && (write.owners & mask_of(source)) == 0 && !forgotten;
    if (lost && !found.full && !victim_[target] && !world_.context.violation && has(target, write) &&
        !holds(source, write)) {
      world_.context.violate("overwrite",
                             "n{} overwrites n{}, which has write {}, acknowledged by n{}, that n{} was never to have",
                             source, target, write.id, world_.oracle.reign(write.reign).node, source);
    }
    write.owners &= ~mask_of(target);
  }
}

void OverwriteChecker::check_blocks(NodeIndex source, NodeIndex target, const ByteRange& range) {
  const auto& found = pair(source, target);
  if (found.full || found.allowed.empty()) return;
  const auto blocks =
      bitmap::blocks_covering(range.offset_bytes, range.length_bytes, world_.context.parameters.file.block_bytes);
  for (auto block = blocks.first; block < blocks.end(); ++block) {
    if (found.allowed[block]) continue;
    return world_.context.violate("overwrite",
                                  "n{} resyncs block {} of n{}, which neither had in its map, and nobody consented",
                                  source, block, target);
  }
}

void OverwriteChecker::commanded(NodeIndex node, CommandKind kind, NodeIndex peer) {
  if (kind == CommandKind::kFullResync || kind == CommandKind::kChecksum) pair(node, peer).consent = true;
  if (kind == CommandKind::kDiscard) victim_[node] = true;
}

void OverwriteChecker::decided(NodeIndex source, NodeIndex target, Row row) {
  const bool excused = ((mask_of(source) | mask_of(target)) & replaced_) != 0;
  const bool long_lineage = world_.node(source).record().lineage.size() + 8 > kLineageMax;
  if (row == Row::kBeforeBase && !excused) {
    world_.context.violate(
        "overwrite", "n{} asks for consent to a full resync of n{}, though both tracked every change", source, target);
  }
  if (row == Row::kForeign && !excused && !any_forced_ && !any_foreign_ && !long_lineage)
    world_.context.violate("overwrite", "n{} finds nothing in common with n{}, though they are of one history", source,
                           target);
}

void OverwriteChecker::mismatch(NodeIndex source, NodeIndex target, std::uint64_t offset_bytes,
                                std::uint64_t length_bytes) {
  allow(pair(source, target), offset_bytes / kSectorBytes, length_bytes / kSectorBytes);
}

void OverwriteChecker::forced(NodeIndex) {
  any_forced_ = true;
}

void OverwriteChecker::replaced(NodeIndex node, bool foreign) {
  replaced_ |= mask_of(node);
  any_foreign_ |= foreign;
  inconsistent_[node] = world_.node(node).record().inconsistent;
  victim_[node] = false;
  for (auto& each : pairs_) each[node] = {};
  pairs_[node] = {};
  forget(node);
}

}  // namespace drseed::sim
