// Requests of applications: overlap, activity log, sequence, local write, acknowledgement; and the writes that are
// remembered until they are durable here and on every target that gets the stream.

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

void EngineState::admit(const ClientRequest& request) {
  if (request.kind == RequestKind::kRead) {
    emit(DiskOp{op_of(OpKind::kRead, request.id), DiskKind::kRead, request.range, kNoPayload, request.id});
    return;
  }
  pieces_.push_back({request, Piece::Step::kQueued, ++serial_});
  pump_pieces();
}

bool EngineState::is_held(ByteRange range) const {
  if (has_bug(Bug::kNoHold)) return false;
  for (const auto& peer : peers_) {
    for (const auto& held : peer.ranges) {
      if (held.step != ResyncRange::Step::kSent && held.range.overlaps(range)) return true;
    }
  }
  return false;
}

bool EngineState::writes_under_way(ByteRange range) const {
  return std::any_of(writing_.begin(), writing_.end(), [&](const ByteRange& other) { return other.overlaps(range); });
}

// Nothing before it that it must wait for: an earlier piece, a write on the disk, a range being read for a resync.
bool EngineState::is_free(const Piece& piece) const {
  for (const auto& other : pieces_) {
    if (other.serial == piece.serial) break;
    if (other.request.kind != RequestKind::kFlush && other.request.range.overlaps(piece.request.range)) return false;
  }
  return !writes_under_way(piece.request.range) && !is_held(piece.request.range);
}

void EngineState::pump_pieces() {
  for (auto& piece : pieces_) {
    if (piece.step != Piece::Step::kQueued) continue;
    if (piece.request.kind == RequestKind::kFlush) {
      piece.step = Piece::Step::kReady;
      continue;
    }
    if (!is_free(piece)) continue;
    piece.step = log_begin(piece.serial, piece.request.range) ? Piece::Step::kReady : Piece::Step::kLogging;
  }
  submit_ready();
}

// A generation on its way to the record holds everything back (R4).
void EngineState::submit_ready() {
  if (barrier_ > 0) return;
  if (has_bug(Bug::kNoNewGeneration)) fork_wanted_ = false;
  if (submitting_ || throttles()) return;
  submitting_ = true;
  for (auto piece = pieces_.begin(); piece != pieces_.end() && remembered_.size() < settings_.remembered_max;) {
    // A range that came to be held meanwhile is waited for; its regions stay in the log.
    if (piece->step != Piece::Step::kReady ||
        (piece->request.kind != RequestKind::kFlush && is_held(piece->request.range))) {
      ++piece;
      continue;
    }
    // The first write that a lost target will not get begins a new generation.
    if (fork_wanted_) {
      fork("a write that a lost target does not get");
      break;
    }
    const auto request = piece->request;
    piece = pieces_.erase(piece);
    submit(request);
  }
  submitting_ = false;
}

void EngineState::submit(const ClientRequest& request) {
  Remembered write;
  write.sequence = ++last_sequence_;
  write.kind = request.kind;
  write.fua = request.fua;
  write.range = request.range;
  write.request = request.id;
  write.payload = request.payload;
  auto depends_on = completed_high_;
  if (has_bug(Bug::kLowWatermarkDependsOn)) {
    const auto open =
        std::find_if(remembered_.begin(), remembered_.end(), [](const Remembered& other) { return !other.local_done; });
    depends_on = open == remembered_.end() ? completed_high_ : std::min(completed_high_, open->sequence - 1);
  }
  stream(write, depends_on);
  for_each_other([&](NodeIndex node) {
    const auto& peer = peers_[node];
    if (!is_streaming(peer.phase)) {
      if (write.kind != RequestKind::kFlush) set_in_slot(node, covering(write.range));
      return;
    }
    write.not_durable |= mask_of(node);
    ++peers_[node].outstanding;
    if (record_.members[node].sync) write.want_written |= mask_of(node);
  });
  if (write.kind != RequestKind::kFlush) set_in_seeds(covering(write.range));
  const auto sequence = write.sequence;
  remembered_.push_back(write);
  if (write.kind == RequestKind::kFlush) {
    if (has_bug(Bug::kAcknowledgeFlushEarly)) return complete_locally(sequence);
    request_flush([this, sequence] { complete_locally(sequence); });
    return;
  }
  writing_.push_back(write.range);
  emit(DiskOp{op_of(OpKind::kWrite, sequence), write.kind == RequestKind::kZero ? DiskKind::kZero : DiskKind::kWrite,
              write.range, write.payload, 0});
}

void EngineState::stream(const Remembered& write, Sequence depends_on) {
  for_each_other([&](NodeIndex node) {
    if (!is_streaming(peers_[node].phase)) return;
    Frame frame;
    frame.type = write.kind == RequestKind::kFlush  ? FrameType::kFlush
                 : write.kind == RequestKind::kZero ? FrameType::kZero
                                                    : FrameType::kWrite;
    frame.sequence = write.sequence;
    frame.depends_on = depends_on;
    frame.range = write.range;
    frame.payload = write.payload;
    if (write.fua) frame.flags |= kFlagFua;
    if (record_.members[node].sync) frame.flags |= kFlagWantWritten;
    send(node, std::move(frame));
  });
}

Remembered* EngineState::find_remembered(Sequence sequence) {
  const auto found = std::lower_bound(remembered_.begin(), remembered_.end(), sequence,
                                      [](const Remembered& write, Sequence wanted) { return write.sequence < wanted; });
  return found != remembered_.end() && found->sequence == sequence ? &*found : nullptr;
}

void EngineState::write_done(Sequence sequence, bool ok) {
  auto* write = find_remembered(sequence);
  assert(write != nullptr);
  if (!ok) return fail_disk("a write failed");
  const auto under_way = std::find(writing_.begin(), writing_.end(), write->range);
  assert(under_way != writing_.end());
  writing_.erase(under_way);
  log_end(write->range);
  if (write->payload != kNoPayload) emit(Release{write->payload});
  write->payload = kNoPayload;
  if (write->fua) {
    request_flush([this, sequence] { complete_locally(sequence); });
  } else {
    complete_locally(sequence);
  }
  pump_pieces();
  pump_resyncs();
}

void EngineState::complete_locally(Sequence sequence) {
  auto* write = find_remembered(sequence);
  assert(write != nullptr && !write->local_done);
  write->local_done = true;
  write->durable_at = write->kind == RequestKind::kFlush || write->fua ? 0 : flush_issued_ + 1;
  completed_high_ = std::max(completed_high_, sequence);
  try_reply(*write);
  retire();
}

// Sync targets of the in-sync set; and those about to join it, so that nothing is acknowledged that they lack then.
NodeMask EngineState::waited_for() const {
  NodeMask mask = in_sync_;
  for (NodeIndex node = 0; node < kNodesMax; ++node) {
    if (peers_[node].phase == Phase::kEnding) mask |= mask_of(node);
  }
  return mask;
}

void EngineState::try_reply(Remembered& write) {
  if (write.replied || !write.local_done || barrier_ > 0) return;
  if ((write.want_written & waited_for()) != 0 && !has_bug(Bug::kAcknowledgeSyncEarly) &&
      !(write.kind == RequestKind::kFlush && has_bug(Bug::kAcknowledgeFlushEarly))) {
    return;
  }
  write.replied = true;
  emit(Reply{write.request, Status::kOk});
}

void EngineState::reply_held() {
  for (auto& write : remembered_) try_reply(write);
  retire();
}

void EngineState::retire() {
  const bool was_full = remembered_.size() >= settings_.remembered_max;
  while (!remembered_.empty()) {
    const auto& write = remembered_.front();
    if (!write.replied || !locally_durable(write) || write.not_durable != 0) break;
    retired_high_ = write.sequence;
    remembered_.pop_front();
  }
  if (was_full && remembered_.size() < settings_.remembered_max) submit_ready();
  if (remembered_.size() >= settings_.remembered_max && !flush_running_) {
    const bool undurable = std::any_of(remembered_.begin(), remembered_.end(), [&](const Remembered& write) {
      return write.local_done && !locally_durable(write);
    });
    if (undurable) request_flush([] {});
  }
}

}  // namespace drseed::replicator
