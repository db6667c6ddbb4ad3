// Ranges that cross beside the stream: resync, with or without hashes first, and online verify.
//
// A range is held first, so that no write enters it; read or hashed once none is under way in it; sent in the stream;
// then let go. A dirty block stays dirty until the target says durable of its range, and longer if it was set anew.

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

void EngineState::pump_resyncs() {
  for_each_other([&](NodeIndex node) { pump_resync(node); });
}

void EngineState::refill_allowances(std::uint64_t elapsed_ms) {
  const auto rate = settings_.resync_bytes_per_second_max;
  if (rate == 0) return;
  for_each_other([&](NodeIndex node) {
    auto& peer = peers_[node];
    // Unused allowance is kept for a second at most.
    const auto refill = static_cast<std::int64_t>(rate * std::min<std::uint64_t>(elapsed_ms, 1000) / 1000);
    peer.allowance_bytes = std::min(peer.allowance_bytes + refill, static_cast<std::int64_t>(rate));
    pump_resync(node);
  });
}

void EngineState::add_range(NodeIndex node, bitmap::BlockRun blocks, bool verify) {
  auto& peer = peers_[node];
  ResyncRange range;
  range.id = ++peer.range_id;
  range.blocks = blocks;
  range.range.offset_bytes = blocks.first * settings_.block_bytes;
  range.range.length_bytes =
      std::min(blocks.count * settings_.block_bytes, record_.volume_bytes - range.range.offset_bytes);
  range.verify = verify;
  range.check = verify || peer.checksum;
  peer.allowance_bytes -= static_cast<std::int64_t>(range.range.length_bytes);
  peer.ranges.push_back(range);
}

// Fills up what may be under way: dirty runs, pass after pass; then what a verify has not seen.
void EngineState::take_ranges(NodeIndex node) {
  auto& peer = peers_[node];
  const auto& slot = slots_[node];
  const bool dirty_wanted = peer.phase == Phase::kResyncing || (peer.phase == Phase::kInSync && peer.repair);
  // A range takes its regions of the target's log at once: at most a quarter of them.
  const auto bytes_max = std::min<std::uint64_t>(peer.checksum ? kCheckBytesMax : kResyncBytesMax,
                                                 std::uint64_t{settings_.log_regions / 4 - 1} * settings_.region_bytes);
  const auto blocks_max = std::max<std::uint64_t>(1, bytes_max / settings_.block_bytes);
  // The last range may exceed the allowance: the next ones wait until it is paid back.
  const auto allowed = [&] { return settings_.resync_bytes_per_second_max == 0 || peer.allowance_bytes > 0; };
  while (dirty_wanted && peer.ranges.size() < kResyncRangesMax && allowed()) {
    const auto run = slot.next_dirty(peer.cursor, blocks_max);
    if (!run) {
      if (!peer.ranges.empty() || slot.dirty_count() == 0) break;
      peer.cursor = 0;
      continue;
    }
    peer.cursor = run->end();
    add_range(node, *run, false);
  }
  const auto block_count = slot.block_count();
  while (peer.verifying && peer.phase == Phase::kInSync && peer.ranges.size() < kResyncRangesMax && allowed() &&
         peer.verify_cursor < block_count) {
    const auto count = std::min<std::uint64_t>(
        std::min(blocks_max, std::max<std::uint64_t>(1, kCheckBytesMax / settings_.block_bytes)),
        block_count - peer.verify_cursor);
    add_range(node, {peer.verify_cursor, count}, true);
    peer.verify_cursor += count;
  }
}

void EngineState::pump_resync(NodeIndex node) {
  auto& peer = peers_[node];
  if (peer.phase != Phase::kResyncing && peer.phase != Phase::kInSync) return;
  take_ranges(node);
  for (auto& range : peer.ranges) {
    if (range.step != ResyncRange::Step::kHeld || (writes_under_way(range.range) && !has_bug(Bug::kNoHold))) continue;
    range.step = ResyncRange::Step::kReading;
    emit(DiskOp{op_of(OpKind::kRangeRead, std::uint64_t{node} << 48 | range.id),
                range.check && !range.differs ? DiskKind::kHash : DiskKind::kReadForPeer, range.range, kNoPayload, 0});
  }
  if (!peer.ranges.empty()) return;
  if (peer.phase == Phase::kInSync) {
    if (peer.verifying && peer.verify_cursor >= slots_[node].block_count() &&
        (!peer.repair || slots_[node].dirty_count() == 0)) {
      end_verify(node, "");
    }
    return;
  }
  if (slots_[node].dirty_count() > 0) return;
  peer.phase = Phase::kEnding;
  Frame frame;
  frame.type = FrameType::kResyncEnd;
  frame.sequence = role_ == Role::kFeeding ? record_.low : last_sequence_;
  send(node, std::move(frame));
}

void EngineState::range_read(const DiskDone& done) {
  const auto node = static_cast<NodeIndex>(value_of(done.op) >> 48);
  const auto id = value_of(done.op) & ((std::uint64_t{1} << 48) - 1);
  auto& peer = peers_[node];
  const auto release = [&] {
    if (done.payload != kNoPayload) emit(Release{done.payload});
  };
  if (!done.ok) {
    release();
    return fail_disk("a read for a resync failed");
  }
  const auto range =
      std::find_if(peer.ranges.begin(), peer.ranges.end(), [&](const ResyncRange& other) { return other.id == id; });
  if (range == peer.ranges.end() || !is_streaming(peer.phase)) return release();
  Frame frame;
  range->number = ++peer.range_number;
  frame.number = range->number;
  frame.range = range->range;
  if (range->check && !range->differs) {
    frame.type = FrameType::kCheck;
    frame.hash = done.hash;
  } else {
    frame.type = done.all_zero ? FrameType::kResyncZero : FrameType::kResync;
    frame.payload = done.all_zero ? kNoPayload : done.payload;
    peer.resync_bytes += range->range.length_bytes;
  }
  send(node, std::move(frame));
  range->step = ResyncRange::Step::kSent;
  if (has_bug(Bug::kClearOnSent)) slots_[node].clear(range->blocks);
  release();
  pump_pieces();
  pump_resync(node);
}

// Equal: the range retires with the target's next durable word. Different: the data follow, in a range of a new number,
// held and read anew. Of a verify only if it repairs.
void EngineState::range_checked(NodeIndex node, const Frame& frame) {
  auto& peer = peers_[node];
  if (!is_streaming(peer.phase)) return;
  const auto range = std::find_if(peer.ranges.begin(), peer.ranges.end(), [&](const ResyncRange& other) {
    return other.step == ResyncRange::Step::kSent && other.number == frame.number;
  });
  if (range == peer.ranges.end() || !range->check || range->differs) return;
  range->answered = true;
  if ((frame.flags & kFlagYes) != 0) return;
  if (range->verify) {
    peer.mismatches += range->range.length_bytes;
    notice(NoticeKind::kMismatch, node,
           fmt::format("offset {} length {}: the copies differ", range->range.offset_bytes, range->range.length_bytes),
           -1, range->range.length_bytes);
    if (!peer.repair) return;
    set_in_slot(node, range->blocks);
  }
  auto again = *range;
  again.id = ++peer.range_id;
  again.number = 0;
  again.step = ResyncRange::Step::kHeld;
  again.differs = true;
  again.verify = false;
  again.set_anew = false;
  *range = peer.ranges.back();
  peer.ranges.pop_back();
  peer.ranges.push_back(again);
  pump_resync(node);
}

void EngineState::retire_ranges(NodeIndex node, std::uint64_t number) {
  auto& peer = peers_[node];
  std::erase_if(peer.ranges, [&](const ResyncRange& range) {
    if (range.number > number || range.step != ResyncRange::Step::kSent) return false;
    if (range.check && !range.differs && !range.answered) return false;
    if (!range.verify && !range.set_anew) slots_[node].clear(range.blocks);
    return true;
  });
}

void EngineState::verify(const Command& command) {
  auto& peer = peers_[command.peer];
  if (role_ != Role::kSource || !is_member(command.peer) || peer.phase != Phase::kInSync || peer.verifying) {
    emit(CommandDone{command.id, false, "verify runs on the source, once at a time, with a target that is mirroring"});
    return;
  }
  peer.verifying = true;
  peer.repair = command.force;
  peer.verify_cursor = 0;
  peer.mismatches = 0;
  peer.verify_command = command.id;
  pump_resync(command.peer);
}

void EngineState::end_verify(NodeIndex node, std::string why) {
  auto& peer = peers_[node];
  peer.verifying = peer.repair = false;
  const bool clean = why.empty() && peer.mismatches == 0;
  if (why.empty() && peer.mismatches > 0) why = fmt::format("{} bytes differed", peer.mismatches);
  emit(CommandDone{peer.verify_command, clean, std::move(why)});
}

}  // namespace drseed::replicator
