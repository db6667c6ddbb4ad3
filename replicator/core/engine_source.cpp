// Peers as targets of this node: handshake, stream, resync, marks, losing them.

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

NodeMask EngineState::streaming() const {
  NodeMask mask = 0;
  for (NodeIndex node = 0; node < kNodesMax; ++node) {
    if (is_streaming(peers_[node].phase)) mask |= mask_of(node);
  }
  return mask;
}

// Acts on what both views say, if this node has anything to decide.
void EngineState::consider(NodeIndex node) {
  auto& peer = peers_[node];
  if (!peer.view || (peer.phase != Phase::kUp && peer.phase != Phase::kBlocked)) return;
  if (role_ == Role::kStarting) {
    if (peer.view->in_service && starting_ && !starting_->committing) {
      if (starting_->command == 0) return stand_aside(node, "another node is in service");
      return give_up_start("another member is in service and reachable: take it out of service first");
    }
    return ask_promises();
  }
  if (role_ == Role::kFeeding) {
    if (node != feeding_) return;
  } else if (role_ != Role::kSource) {
    return;
  }
  if (record_.peers[node].paused && role_ == Role::kSource) {
    peer.phase = Phase::kPaused;
    peer.why = "paused by an operator";
    return;
  }
  if (waits_for_previous(node)) {
    peer.why = "waits until the previous source has been resynced";
    return;
  }
  auto decision = decide(view_for(node), *peer.view);
  if (has_bug(Bug::kFullWithoutConsent) && decision.resync == Resync::kConsent) peer.consent = true;
  if (peer.why != decision.why || peer.phase != Phase::kBlocked)
    notice(NoticeKind::kDecision, node, decision.why, static_cast<int>(decision.row));
  peer.why = decision.why;
  if (decision.row == Row::kSplitBrain) notice(NoticeKind::kSplitBrain, node, decision.why);
  if (decision.resync == Resync::kRefused || (decision.resync == Resync::kConsent && !peer.consent)) {
    peer.phase = Phase::kBlocked;
    return;
  }
  begin(node, decision);
}

void EngineState::begin(NodeIndex node, const Decision& decision) {
  auto& peer = peers_[node];
  peer.phase = Phase::kBeginning;
  peer.ranges.clear();
  peer.cursor = 0;
  peer.resync_bytes = 0;
  peer.durable = 0;
  peer.full = decision.resync == Resync::kConsent;
  peer.resyncs = decision.resync != Resync::kNothing;
  const auto attempt = ++peer.attempt;
  peer.ready = false;
  const auto ask = [this, node, attempt] {
    auto& asked = peers_[node];
    if (asked.phase != Phase::kBeginning || asked.attempt != attempt) return;
    auto body = std::make_shared<FrameBody>();
    body->view = view_for(node);
    asked.begun_at = body->view.low;
    Frame frame;
    frame.type = FrameType::kBegin;
    frame.number = attempt;
    frame.flags = asked.full ? kFlagConsent : 0;
    frame.body = std::move(body);
    send(node, std::move(frame));
  };
  if (!peer.full) return ask();
  // From here on the slot is right: everything may differ.
  peer.consent = false;
  slots_[node].set_all();
  save_slots();
  record_.peers[node].slot_valid = true;
  record_.peers[node].base = 0;
  commit_record(ask);
}

void EngineState::begin_answered(NodeIndex node, const Frame& frame) {
  auto& peer = peers_[node];
  peer.ready = false;
  if (peer.phase != Phase::kBeginning || frame.number != peer.attempt) return;
  peer.view = frame.body->view;
  peer.ready = (frame.flags & kFlagYes) != 0;
  if (peer.ready) return;
  peer.phase = Phase::kUp;  // busy with something else, or promised: asked again with the next tick
  peer.why = "the target refused";
  if (role_ == Role::kSource) renew_promise(node);
  if (role_ == Role::kFeeding) {
    role_ = Role::kIdle;
    feeding_ = kNoNode;
  }
}

void EngineState::map_received(NodeIndex node, const Frame& frame) {
  auto& peer = peers_[node];
  if (peer.phase != Phase::kBeginning || !peer.ready) return;
  if (frame.type == FrameType::kMapEnd) return start_stream(node);
  if (has_bug(Bug::kNoMapExchange)) return;
  for (const auto& run : frame.body->runs) {
    if (run.end() <= slots_[node].block_count()) set_in_slot(node, run);
  }
}

// From the next write on, the peer gets the stream. What was submitted before is in its slot.
void EngineState::start_stream(NodeIndex node) {
  auto& peer = peers_[node];
  peer.phase = Phase::kResyncing;
  // Before the first bit clears: the target has recorded the same.
  if (peer.resyncs && role_ == Role::kSource) {
    record_.peers[node].base = peer.begun_at;
    commit_record({});
  }
  peer.why = fmt::format("{} blocks to go", slots_[node].dirty_count());
  if (role_ == Role::kFeeding) in_sync_ = mask_of(record_.self);
  pump_resync(node);
}

void EngineState::peer_written(NodeIndex node, Sequence sequence) {
  auto* write = find_remembered(sequence);
  if (write == nullptr || !is_streaming(peers_[node].phase)) return;
  write->want_written &= ~mask_of(node);
  try_reply(*write);
  retire();
}

// A live write clears the blocks that it covers whole; of a peer that misses nothing else, all that it touches. Blocks
// that a later write set anew stay set.
void EngineState::clear_durable(NodeIndex node, const Remembered& write) {
  const auto& peer = peers_[node];
  if (write.kind == RequestKind::kFlush || slots_[node].dirty_count() == 0) return;
  const bool equal_otherwise = peer.phase == Phase::kInSync || peer.phase == Phase::kEnding;
  const auto blocks = equal_otherwise || has_bug(Bug::kPartialClearsBlock)
                          ? covering(write.range)
                          : bitmap::blocks_within(write.range.offset_bytes, write.range.length_bytes,
                                                  settings_.block_bytes, record_.volume_bytes);
  if (blocks.count == 0 || !slots_[node].any(blocks)) return;
  // Ranges under way clear their own blocks.
  for (const auto& range : peer.ranges) {
    if (range.verify) continue;  // those clear nothing
    if (range.blocks.first < blocks.end() && blocks.first < range.blocks.end()) return;
  }
  slots_[node].clear(blocks);
  for (const auto& later : remembered_) {
    if (later.sequence > write.sequence && (later.spilled & mask_of(node)) != 0 &&
        (later.not_durable & mask_of(node)) != 0)
      set_in_slot(node, covering(later.range));
  }
}

void EngineState::peer_durable(NodeIndex node, Sequence sequence, std::uint64_t number) {
  auto& peer = peers_[node];
  if (!is_streaming(peer.phase)) return;
  peer.durable = std::max(peer.durable, sequence);
  for (auto& write : remembered_) {
    if (write.sequence > sequence) break;
    if ((write.not_durable & mask_of(node)) == 0) continue;
    write.not_durable &= ~mask_of(node);
    write.want_written &= ~mask_of(node);
    --peer.outstanding;
    clear_durable(node, write);
    try_reply(write);
  }
  retire_ranges(node, number);
  retire();
  pump_resync(node);
  try_stop();
}

bool EngineState::waits_for_previous(NodeIndex node) {
  if (previous_ == kNoNode || node == previous_) return false;
  if (previous_deadline_ms_ != 0 && now_ms_ >= previous_deadline_ms_) previous_ = kNoNode;
  return previous_ != kNoNode;
}

void EngineState::peer_in_sync(NodeIndex node, Sequence sequence) {
  auto& peer = peers_[node];
  if (peer.phase != Phase::kEnding) return;
  if (role_ == Role::kFeeding) {
    role_ = Role::kIdle;
    feeding_ = kNoNode;
    in_sync_ = 0;
    peer.phase = Phase::kUp;
    peer.view.reset();
    send_view(node);
    return;
  }
  peer_durable(node, sequence, peer.range_number);
  peer.phase = Phase::kInSync;
  peer.why = "";
  in_sync_ |= mask_of(node);
  if (node == previous_) previous_ = kNoNode;
  record_.peers[node].slot_valid = true;
  record_.peers[node].base = sequence;
  save_slots();
  commit_record({});
  notice(NoticeKind::kInSync, node, "in sync", -1, peer.resync_bytes);
  announce_mark();
}

// Members of the in-sync set are equal but for writes after the mark.
void EngineState::announce_mark() {
  announced_ = retired_high_;
  const auto tell = [this, sequence = has_bug(Bug::kMarkTooFar) ? last_sequence_ : retired_high_] {
    for_each_other([&](NodeIndex node) {
      if (!is_streaming(peers_[node].phase)) return;
      Frame frame;
      frame.type = FrameType::kMark;
      frame.sequence = sequence;
      frame.mask = in_sync_;
      send(node, std::move(frame));
    });
  };
  if (streaming() == 0 || record_.low >= retired_high_) return tell();
  // The others' bases will rely on it: a source that is set back must be noticed as well (R13).
  record_.low = retired_high_;
  commit_record(tell);
}

// The peer gets nothing more: what it may lack becomes bits.
void EngineState::lose_peer(NodeIndex node, Phase phase, std::string why) {
  auto& peer = peers_[node];
  const bool streamed = is_streaming(peer.phase);
  // One that has been sent everything may have recorded that it is consistent.
  const bool was_in_sync = (in_sync_ & mask_of(node)) != 0 || peer.phase == Phase::kEnding;
  peer.phase = phase;
  peer.why = why;
  peer.ranges.clear();
  peer.outstanding = 0;
  peer.throttled_since_ms = 0;
  if (peer.verifying) end_verify(node, "the target was lost: " + why);
  if (feeding_ == node) {
    role_ = Role::kIdle;
    feeding_ = kNoNode;
    in_sync_ = 0;
  }
  if (streamed) {
    peer.view.reset();  // of before the stream; the peer sends another when it has ended
    for (auto& write : remembered_) {
      if ((write.not_durable & mask_of(node)) != 0 && write.kind != RequestKind::kFlush)
        set_in_slot(node, covering(write.range));
      write.not_durable &= ~mask_of(node);
      write.want_written &= ~mask_of(node);
      write.spilled &= ~mask_of(node);
    }
  }
  if (was_in_sync && (role_ == Role::kSource || role_ == Role::kStopping)) {
    in_sync_ &= ~mask_of(node);
    notice(NoticeKind::kPeerLost, node, why);
    fork_wanted_ = true;
    const bool unanswered =
        std::any_of(remembered_.begin(), remembered_.end(), [](const Remembered& write) { return !write.replied; });
    if (unanswered) fork(std::move(why));
    announce_mark();
  }
  if (streamed) {
    pump_pieces();
    reply_held();
    try_stop();
  }
}

// A new generation, durable before anything is acknowledged that the lost peer does not have (R4).
void EngineState::fork(std::string why) {
  fork_wanted_ = false;
  if (has_bug(Bug::kNoNewGeneration)) return;
  ++barrier_;
  record_.lineage.push_back({new_generation(), last_sequence_});
  if (record_.lineage.size() > kLineageMax) record_.lineage.erase(record_.lineage.begin());
  last_sequence_ = ((last_sequence_ >> kGenerationShift) + 1) << kGenerationShift;
  record_.low = last_sequence_;  // so that no later generation of this node counts from there again
  notice(NoticeKind::kNewGeneration, kNoNode, std::move(why));
  commit_record([this, lineage = record_.lineage] {
    --barrier_;
    if (role_ != Role::kSource && role_ != Role::kStopping) return;
    auto body = std::make_shared<FrameBody>();
    body->view.lineage = lineage;
    Frame frame;
    frame.type = FrameType::kGeneration;
    frame.body = std::move(body);
    for_each_other([&](NodeIndex node) {
      if (is_streaming(peers_[node].phase)) send(node, frame);
    });
    announce_mark();
    reply_held();
    pump_pieces();
    try_stop();
  });
}

// A target that confirms too slowly gets no more; what it lacks is tracked, and it is resynced when it has caught up.
void EngineState::fall_behind(NodeIndex node, std::string why) {
  lose_peer(node, Phase::kPausing, std::move(why));
  Frame frame;
  frame.type = FrameType::kOutdate;
  send(node, std::move(frame));
}

// True while an async target holds back writes, for at most throttle_ms_max.
bool EngineState::throttles() {
  bool waits = false;
  for_each_other([&](NodeIndex node) {
    auto& peer = peers_[node];
    if (!is_streaming(peer.phase) || peer.outstanding < settings_.async_limit) {
      peer.throttled_since_ms = 0;
      return;
    }
    if (record_.members[node].sync) return;  // its acknowledgements bound it
    if (!settings_.throttle) return fall_behind(node, "it fell behind");
    if (peer.throttled_since_ms == 0) peer.throttled_since_ms = std::max<std::uint64_t>(now_ms_, 1);
    if (now_ms_ >= peer.throttled_since_ms + settings_.throttle_ms_max)
      return fall_behind(node, "it held back writes for too long");
    waits = true;
  });
  return waits;
}

void EngineState::pause(NodeIndex node) {
  auto& peer = peers_[node];
  record_.peers[node].paused = true;
  commit_record({});
  if (!is_streaming(peer.phase)) {
    if (peer.phase != Phase::kDown && peer.phase != Phase::kPausing) peer.phase = Phase::kPaused;
    return;
  }
  // Replies wait for the new generation; the target records that it is outdated as soon as it can.
  fall_behind(node, "paused by an operator");
}

void EngineState::paused(NodeIndex node) {
  auto& peer = peers_[node];
  if (peer.phase != Phase::kPausing) return;
  peer.phase = record_.peers[node].paused ? Phase::kPaused : Phase::kUp;
  peer.view.reset();  // the one that says so follows
}

}  // namespace drseed::replicator
