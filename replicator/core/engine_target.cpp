// This node as a target: it carries out a source's stream, remembers what others may lack, says what is durable.

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

namespace {

bool touches_disk(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kWrite:
    case FrameType::kZero:
    case FrameType::kResync:
    case FrameType::kResyncZero:
      return true;
    default:
      return false;
  }
}

bool uses_disk(const Frame& frame) {
  return touches_disk(frame) || frame.type == FrameType::kCheck;
}

bool is_resync(const Frame& frame) {
  return frame.type == FrameType::kResync || frame.type == FrameType::kResyncZero;
}

}  // namespace

void EngineState::target_begin(NodeIndex node, const Frame& frame) {
  // Operations of an earlier stream end first (R9).
  if (!ops_.empty()) {
    pending_begin_ = {node, frame};
    return;
  }
  target_begin_now(node, frame);
}

void EngineState::target_begin_now(NodeIndex node, Frame frame) {
  auto& peer = peers_[node];
  const auto& view = frame.body->view;
  peer.view = view;
  const auto answer = [this, node, number = frame.number](bool yes) {
    Frame reply;
    reply.type = FrameType::kBeginReady;
    reply.number = number;
    reply.flags = yes ? kFlagYes : 0;
    auto body = std::make_shared<FrameBody>();
    body->view = view_for(node);
    reply.body = std::move(body);
    send(node, std::move(reply));
  };
  // Who is in service is followed, not pulled from.
  if (view.in_service && starting_ && !starting_->committing) {
    if (starting_->command == 0) stand_aside(node, "another node is in service");
    if (starting_) give_up_start("another member is in service and reachable: take it out of service first");
  }
  if (starting_ && !starting_->committing && starting_->command != 0 && view.promise.counter > starting_->counter)
    give_up_start("another member has been promised more");
  const bool pulling = starting_ && starting_->pulling_from == node;
  if ((role_ != Role::kIdle && !pulling) || (source_ != kNoNode && source_ != node)) return answer(false);
  // Its promise to itself is void once a node that was the source has gone out of service.
  const bool promised = record_.promise.node != record_.self && record_.promise.node != kNoNode;
  if (promised && view.promise.counter < record_.promise.counter && !has_bug(Bug::kIgnorePromise)) return answer(false);
  const auto decision = decide(view, view_for(node));
  const bool consent = (frame.flags & kFlagConsent) != 0;
  if (decision.resync == Resync::kRefused || (decision.resync == Resync::kConsent && !consent)) return answer(false);
  if (source_ == node) lose_source();
  draining_ = false;
  source_ = node;
  ++target_session_;
  if (!has_bug(Bug::kNoInconsistentMark)) record_.inconsistent = decision.resync != Resync::kNothing;
  // A token of this resync, which the source keeps as its base: a disk that is set back to before it is noticed (R13).
  const bool copies = !pulling && decision.resync != Resync::kNothing;
  record_.low = copies ? view.low : std::max(record_.low, view.low);
  record_.resync_source = node;
  record_.lineage = view.lineage;
  record_.source = node;
  record_.last_owner = false;
  record_.in_service = false;
  if (record_.high == kAnySequence) record_.high = record_.low;
  if (view.promise.counter > record_.promise.counter) record_.promise = view.promise;
  if (consent) record_.peers[node].slot_valid = true;
  discard_ = false;
  applied_low_ = told_durable_ = 0;
  range_low_ = told_range_ = 0;
  stream_members_ = 0;
  spilled_high_ = 0;
  commit_record([this, node, answer, session = target_session_] {
    if (source_ != node || target_session_ != session) return;
    answer(true);
    send_map(node);
  });
}

void EngineState::send_map(NodeIndex node) {
  auto body = std::make_shared<FrameBody>();
  const auto flush = [&] {
    Frame frame;
    frame.type = FrameType::kMap;
    frame.body = std::exchange(body, std::make_shared<FrameBody>());
    send(node, std::move(frame));
  };
  const auto& slot = slots_[node];
  for (auto run = slot.next_dirty(0); run; run = slot.next_dirty(run->end())) {
    body->runs.push_back(*run);
    if (body->runs.size() == kMapRunsPerFrame) flush();
  }
  if (!body->runs.empty()) flush();
  Frame end;
  end.type = FrameType::kMapEnd;
  send(node, std::move(end));
}

void EngineState::target_frame(NodeIndex node, const Frame& frame) {
  if (source_ != node) {
    if (frame.payload != kNoPayload) emit(Release{frame.payload});
    if (frame.type == FrameType::kOutdate) {
      Frame reply;
      reply.type = FrameType::kOutdated;
      send(node, std::move(reply));
    }
    return;
  }
  if (frame.type == FrameType::kMark) return target_mark(frame);
  if (frame.type == FrameType::kSeedOpen) return seed_opened(frame);
  if (touches_disk(frame) && !is_resync(frame)) {
    recents_.push_back({frame.sequence, frame.range});
    while (recents_.size() > settings_.remembered_max) {
      for_each_other([&](NodeIndex other) { set_in_slot(other, covering(recents_.front().range)); });
      spilled_high_ = std::max(spilled_high_, recents_.front().sequence);
      recents_.pop_front();
    }
    const bool in_sync = (stream_members_ & mask_of(record_.self)) != 0;
    if (!has_bug(Bug::kTargetTracksNobody)) {
      for_each_other([&](NodeIndex other) {
        const bool gets_it = other == source_ || (in_sync && (stream_members_ & mask_of(other)) != 0);
        if (!gets_it) set_in_slot(other, covering(frame.range));
      });
      set_in_seeds(covering(frame.range));
    }
  }
  if (is_resync(frame) && !has_bug(Bug::kTargetTracksNobody)) {
    for_each_other([&](NodeIndex other) {
      if (other != source_) set_in_slot(other, covering(frame.range));
    });
    set_in_seeds(covering(frame.range));
  }
  ops_.push_back({frame, ++serial_, TargetOp::Step::kWaiting});
  pump_target();
}

// Members of the set hold what this node holds, but for writes after the mark.
void EngineState::target_mark(const Frame& frame) {
  if ((frame.mask & mask_of(record_.self)) == 0) return;
  while (!recents_.empty() && recents_.front().sequence <= frame.sequence) recents_.pop_front();
  bool changed = false;
  for_each_other([&](NodeIndex node) {
    const bool member = (frame.mask & mask_of(node)) != 0;
    if (!member) {
      // It gets nothing more: what it may lack of the recent writes is set now.
      if ((stream_members_ & mask_of(node)) != 0 && !has_bug(Bug::kTargetTracksNobody)) {
        for (const auto& recent : recents_) set_in_slot(node, covering(recent.range));
      }
      return;
    }
    // A mark before what this node holds without remembering it (by a resync, or spilled) says too little.
    if (frame.sequence < spilled_high_) return;
    if (slots_[node].dirty_count() > 0) slots_[node].clear_all();
    auto& known = record_.peers[node];
    if (known.base < frame.sequence) {
      known.base = frame.sequence;
      base_moved_ = true;
    }
    changed |= !known.slot_valid;
    known.slot_valid = true;
  });
  stream_members_ = frame.mask;
  if (changed) {
    save_slots();
    commit_record({});
  }
}

bool EngineState::may_run(std::size_t index) const {
  const auto& op = ops_[index];
  const auto& frame = op.frame;
  const bool barrier = frame.type == FrameType::kResyncEnd || frame.type == FrameType::kOutdate;
  for (std::size_t i = 0; i < index; ++i) {
    const auto& earlier = ops_[i];
    if (earlier.step == TargetOp::Step::kDone) continue;
    if (barrier || earlier.frame.type == FrameType::kGeneration || earlier.frame.type == FrameType::kOutdate ||
        earlier.frame.type == FrameType::kResyncEnd) {
      return false;
    }
    if (earlier.frame.sequence != 0 && frame.sequence != 0 && earlier.frame.sequence <= frame.depends_on &&
        !has_bug(Bug::kIgnoreDependsOn)) {
      return false;
    }
    const bool both_only_read = earlier.frame.type == FrameType::kCheck && frame.type == FrameType::kCheck;
    if (uses_disk(earlier.frame) && uses_disk(frame) && !both_only_read && earlier.frame.range.overlaps(frame.range) &&
        !has_bug(Bug::kIgnoreOverlap)) {
      return false;
    }
  }
  return true;
}

void EngineState::pump_target() {
  if (pumping_) return;
  pumping_ = true;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (ops_[i].step != TargetOp::Step::kWaiting || !may_run(i)) continue;
    auto& op = ops_[i];
    if (touches_disk(op.frame) && !log_begin(op.serial, op.frame.range)) {
      op.step = TargetOp::Step::kLogging;
      continue;
    }
    run_target_op(op);
  }
  pumping_ = false;
  if (!ops_.empty() && ops_.front().step == TargetOp::Step::kDone) {
    pop_target_ops();
    pump_target();
  }
}

void EngineState::target_op_logged(std::uint64_t serial) {
  auto& op = ops_[serial - ops_.front().serial];
  assert(op.serial == serial);
  run_target_op(op);
}

void EngineState::run_target_op(TargetOp& op) {
  op.step = TargetOp::Step::kRunning;
  const auto serial = op.serial;
  const auto& frame = op.frame;
  const auto session = target_session_;
  switch (frame.type) {
    case FrameType::kWrite:
    case FrameType::kResync:
      emit(DiskOp{op_of(OpKind::kTargetWrite, serial), DiskKind::kWrite, frame.range, frame.payload, 0});
      return;
    case FrameType::kZero:
    case FrameType::kResyncZero:
      emit(DiskOp{op_of(OpKind::kTargetWrite, serial), DiskKind::kZero, frame.range, kNoPayload, 0});
      return;
    case FrameType::kFlush:
      request_flush([this, serial] { finish_target_op(serial); });
      return;
    case FrameType::kGeneration:
      record_.lineage = frame.body->view.lineage;
      commit_record([this, serial] { finish_target_op(serial); });
      return;
    case FrameType::kResyncEnd:
      return end_resync(frame);
    case FrameType::kCheck:
      emit(DiskOp{op_of(OpKind::kHash, serial), DiskKind::kHash, frame.range, kNoPayload, 0});
      return;
    case FrameType::kOutdate:
      record_.outdated = true;
      commit_record([this, serial, session] {
        finish_target_op(serial);
        if (target_session_ != session || source_ == kNoNode) return;
        Frame reply;
        reply.type = FrameType::kOutdated;
        send_to_source(std::move(reply));
        end_stream();
      });
      return;
    default:
      finish_target_op(serial);
  }
}

void EngineState::target_op_done(std::uint64_t serial, bool ok) {
  if (!ok) return fail_disk("a write of the stream failed");
  if (ops_.empty() || serial < ops_.front().serial) return;
  auto& op = ops_[serial - ops_.front().serial];
  log_end(op.frame.range);
  if (op.frame.payload != kNoPayload) emit(Release{op.frame.payload});
  op.frame.payload = kNoPayload;
  if ((op.frame.flags & kFlagFua) != 0) {
    request_flush([this, serial] { finish_target_op(serial); });
    return;
  }
  finish_target_op(serial);
}

void EngineState::target_hashed(const DiskDone& done) {
  if (!done.ok) return fail_disk("a read for a comparison failed");
  const auto serial = value_of(done.op);
  if (ops_.empty() || serial < ops_.front().serial) return;
  const auto& frame = ops_[serial - ops_.front().serial].frame;
  Frame reply;
  reply.type = FrameType::kCheckResult;
  reply.number = frame.number;
  reply.flags = frame.hash == done.hash ? kFlagYes : 0;
  send_to_source(std::move(reply));
  finish_target_op(serial);
}

void EngineState::finish_target_op(std::uint64_t serial) {
  if (ops_.empty() || serial < ops_.front().serial) return;
  auto& op = ops_[serial - ops_.front().serial];
  op.step = TargetOp::Step::kDone;
  if ((op.frame.flags & kFlagWantWritten) != 0) {
    Frame reply;
    reply.type = FrameType::kWritten;
    reply.sequence = op.frame.sequence;
    send_to_source(std::move(reply));
  }
  if (pumping_) return;
  pop_target_ops();
  pump_target();
}

void EngineState::send_to_source(Frame frame) {
  if (source_ != kNoNode && !draining_) send(source_, std::move(frame));
}

void EngineState::pop_target_ops() {
  while (!ops_.empty() && ops_.front().step == TargetOp::Step::kDone) {
    const auto& frame = ops_.front().frame;
    if (frame.sequence != 0 && !is_resync(frame)) applied_low_ = std::max(applied_low_, frame.sequence);
    if (is_resync(frame) || frame.type == FrameType::kCheck) range_low_ = std::max(range_low_, frame.number);
    ops_.pop_front();
  }
  if (!ops_.empty()) return;
  if (draining_) lose_source();
  if (pending_begin_) {
    auto [node, frame] = std::move(*pending_begin_);
    pending_begin_.reset();
    target_begin_now(node, std::move(frame));
    return;
  }
  if (source_ != kNoNode && range_low_ > told_range_) tell_durable();
}

// A flush, then the record, then the word (R13).
void EngineState::tell_durable() {
  last_tell_ms_ = now_ms_;
  if (telling_ || source_ == kNoNode || (applied_low_ <= told_durable_ && range_low_ <= told_range_)) return;
  telling_ = true;
  const auto sequence = applied_low_;
  const auto number = range_low_;
  const auto session = target_session_;
  const auto tell = [this, sequence, number, session] {
    if (source_ == kNoNode || target_session_ != session) return;
    telling_ = false;
    told_durable_ = std::max(told_durable_, sequence);
    told_range_ = std::max(told_range_, number);
    Frame reply;
    reply.type = FrameType::kDurable;
    reply.sequence = sequence;
    reply.number = number;
    send_to_source(std::move(reply));
    if (range_low_ > told_range_ && ops_.empty()) tell_durable();
  };
  if (has_bug(Bug::kClearOnWritten)) return tell();
  request_flush([this, sequence, session, tell] {
    if (target_session_ != session || record_.inconsistent || sequence <= record_.low || has_bug(Bug::kStaleBase))
      return tell();
    record_.low = sequence;
    record_.high = std::max(record_.high, sequence);
    commit_record(tell);
  });
}

// Everything before it is on the disk: flushed, recorded as consistent, then confirmed (R16).
void EngineState::end_resync(const Frame& frame) {
  const auto sequence = frame.sequence;
  const auto serial = ops_.front().serial;
  const auto session = target_session_;
  const auto confirm = [this, sequence, serial, session] {
    if (target_session_ != session || source_ == kNoNode) return finish_target_op(serial);
    const auto source = source_;
    Frame reply;
    reply.type = FrameType::kInSync;
    reply.sequence = sequence;
    send_to_source(std::move(reply));
    told_durable_ = std::max(told_durable_, sequence);
    finish_target_op(serial);
    if (starting_ && starting_->pulling_from == source) pulled();
  };
  spilled_high_ = std::max(spilled_high_, sequence);
  const auto record = [this, sequence, session, confirm] {
    if (target_session_ != session || source_ == kNoNode) return confirm();
    record_.inconsistent = false;
    record_.outdated = false;
    record_.data_corrupt = false;
    record_.resync_source = kNoNode;
    record_.seed.reset();
    const bool pulls = starting_ && starting_->pulling_from == source_;
    record_.low = record_.high = pulls ? std::max(record_.low, sequence) : sequence;
    commit_record(confirm);
  };
  if (has_bug(Bug::kConsistentTooEarly)) return record();
  request_flush(record);
}

// The link is gone or the source has ended: what was received is carried out, nothing more comes.
void EngineState::end_stream() {
  draining_ = true;
  if (ops_.empty()) lose_source();
}

// Nobody says any more what others hold: what this node remembers becomes bits for everybody.
void EngineState::lose_source() {
  source_ = kNoNode;
  draining_ = false;
  ++target_session_;
  telling_ = false;
  if (!has_bug(Bug::kSourceLossForgotten)) {
    for (const auto& recent : recents_) {
      for_each_other([&](NodeIndex node) { set_in_slot(node, covering(recent.range)); });
    }
  }
  recents_.clear();
  stream_members_ = 0;
  if (starting_ && starting_->pulling_from != kNoNode) give_up_start("the member that held more was lost meanwhile");
  send_views();
}

}  // namespace drseed::replicator
