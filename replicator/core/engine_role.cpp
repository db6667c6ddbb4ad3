// Coming into service and going out of it: promises, the tail of the most advanced member, generations.

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

Generation EngineState::new_generation() {
  Generation generation;
  for (auto& byte : generation.bytes) byte = static_cast<std::uint8_t>(random_());
  return generation;
}

void EngineState::promote(const Command& command) {
  const auto refuse = [&](std::string why) {
    notice(NoticeKind::kPromoteRefused, record_.self, why);
    emit(CommandDone{command.id, false, std::move(why)});
  };
  if (role_ == Role::kSource) {
    emit(CommandDone{command.id, true, "in service already"});
    return;
  }
  const bool pending = role_ == Role::kStarting && starting_ && !starting_->committing;
  const bool returning = pending && starting_->command == 0;
  if (pending && !returning && command.force) give_up_start("overridden by a forced promotion");
  if (role_ != Role::kIdle && !returning) return refuse("busy with another change of roles");
  bool other_in_service = false;
  for_each_other([&](NodeIndex node) {
    other_in_service |= peers_[node].phase != Phase::kDown && peers_[node].view && peers_[node].view->in_service;
  });
  if (other_in_service) return refuse("another member is in service and reachable: take it out of service first");
  if (source_ != kNoNode || !ops_.empty()) return refuse("the stream of the last source is still being carried out");
  if (!command.force) {
    if (record_.lineage.empty()) return refuse("this node is blank");
    if (record_.inconsistent && !has_bug(Bug::kPromoteInconsistent))
      return refuse("this node was being resynced and is inconsistent: only --force puts it into service");
    if (record_.outdated)
      return refuse("this node is outdated: the source has acknowledged writes without it; --force");
    if (record_.data_corrupt) return refuse("data_corrupt is set: --force");
  }
  starting_.reset();
  role_ = Role::kStarting;
  Starting starting;
  starting.command = command.id;
  starting.force = command.force;
  starting.fenced = command.mask;
  starting.granted = mask_of(record_.self) | command.mask;
  starting.counter = record_.promise.counter + 1;
  for (const auto& peer : peers_) {
    if (peer.view) starting.counter = std::max(starting.counter, peer.view->promise.counter + 1);
  }
  starting_ = starting;
  record_.promise = {starting.counter, record_.self};
  commit_record([this] {
    if (!starting_) return;
    starting_->ready = true;
    ask_promises();
    try_start();
  });
}

// A source that restarts: it may go on where it was if a majority says that nobody else was promised anything since.
void EngineState::start_return() {
  role_ = Role::kStarting;
  Starting starting;
  starting.granted = mask_of(record_.self);
  starting.old_counter = record_.promise.counter;
  starting.counter = record_.promise.counter;
  starting.ready = true;
  starting_ = starting;
  try_start();
}

void EngineState::ask_promises() {
  if (!starting_ || !starting_->ready || starting_->committing || starting_->pulling_from != kNoNode) return;
  for_each_other([&](NodeIndex node) {
    auto& peer = peers_[node];
    if (peer.phase == Phase::kDown || !peer.view || (starting_->granted & mask_of(node) & ~starting_->fenced) != 0)
      return;
    Frame frame;
    frame.type = FrameType::kPromiseAsk;
    frame.number = starting_->counter;
    frame.sequence = starting_->old_counter;
    frame.flags = starting_->command == 0 ? kFlagReturn : 0;
    send(node, std::move(frame));
  });
}

void EngineState::promise_asked(NodeIndex node, const Frame& frame) {
  const bool returning = (frame.flags & kFlagReturn) != 0;
  // What was received is carried out before this node says what it holds; the asker asks again.
  if (!ops_.empty() || draining_) return;
  const bool busy = (starting_ && starting_->committing) || role_ == Role::kSource || role_ == Role::kStopping ||
                    role_ == Role::kFeeding || (source_ != kNoNode && source_ != node);
  bool grants = returning ? record_.promise.counter <= frame.sequence : record_.promise.counter < frame.number;
  if (!returning && record_.promise == Promise{frame.number, node}) grants = true;  // asked again
  // A counter is given once.
  if (returning && record_.promise.counter == frame.sequence && record_.promise.node != node) grants = false;
  // A source in service asks because this node promised somebody else, who may still be on the way.
  const bool other =
      record_.promise.node != kNoNode && record_.promise.node != node && record_.promise.node != record_.self;
  if (peers_[node].view && peers_[node].view->in_service && other && now_ms_ < promised_ms_ + settings_.return_wait_ms)
    grants = false;
  if (role_ == Role::kStarting && !(starting_->command == 0)) grants = grants && frame.number > starting_->counter;
  if (has_bug(Bug::kIgnorePromise)) grants = true;
  const auto answer = [this, node, number = frame.number](bool yes) {
    auto body = std::make_shared<FrameBody>();
    body->view = view_for(node);
    Frame reply;
    reply.type = FrameType::kPromiseAnswer;
    reply.number = number;
    reply.flags = yes ? kFlagYes : 0;
    reply.body = std::move(body);
    send(node, std::move(reply));
  };
  if (busy || !grants) return answer(false);
  request_flush(
      [this, answer, node, number = frame.number, returning, old = frame.sequence, session = peers_[node].session] {
        if (peers_[node].session != session || peers_[node].phase == Phase::kDown) return;
        if ((starting_ && starting_->committing) || role_ == Role::kSource) return answer(false);
        if (!record_.inconsistent && record_.low < applied_low_) record_.low = applied_low_;
        if (record_.high != kAnySequence) record_.high = std::max(record_.high, record_.low);
        // Of several that ask, the one with the largest counter.
        const auto wanted = returning ? old : number;
        const bool given = record_.promise.counter == wanted && record_.promise.node != node;
        if ((record_.promise.counter > wanted || given) && !has_bug(Bug::kIgnorePromise)) return answer(false);
        if (returning) {
          record_.promise = {old, node};
        } else {
          record_.promise = {number, node};
          promised_ms_ = now_ms_;
          if (role_ == Role::kStarting && starting_->command == 0)
            stand_aside(node, "another member is being promoted");
          if (role_ == Role::kStarting) give_up_start("another member is being promoted");
        }
        commit_record([answer] { answer(true); });
      });
}

void EngineState::promise_released(NodeIndex node, std::uint64_t counter) {
  if (feeding_ == node) lose_peer(node, Phase::kUp, "it is not promoted after all");
  if (record_.promise != Promise{counter, node}) return;
  record_.promise.node = kNoNode;
  commit_record([this] { send_views(); });
}

// A source in service whose target has promised somebody else: it asks for a newer promise. The lineage still decides
// who may overwrite whom.
void EngineState::renew_promise(NodeIndex node) {
  const auto& view = peers_[node].view;
  if (!view || view->promise.counter <= record_.promise.counter) return;
  Frame frame;
  frame.type = FrameType::kPromiseAsk;
  frame.number = view->promise.counter + 1;
  send(node, std::move(frame));
}

void EngineState::promise_answered(NodeIndex node, const Frame& frame) {
  auto& peer = peers_[node];
  peer.view = frame.body->view;
  if (role_ == Role::kSource && (frame.flags & kFlagYes) != 0 && frame.number > record_.promise.counter) {
    record_.promise = {frame.number, record_.self};
    commit_record([this] { send_views(); });
    if (peer.phase == Phase::kBlocked) peer.phase = Phase::kUp;
    return consider(node);
  }
  if (!starting_ || frame.number != starting_->counter || starting_->committing) return;
  const auto& view = *peer.view;
  const bool yes = (frame.flags & kFlagYes) != 0;
  if (starting_->command == 0) {
    // Was somebody promoted, or promised to be, since this node was the source?
    const bool newer =
        !view.lineage.empty() && !record_.lineage.empty() &&
        relation_of(record_.lineage, view.lineage.back().generation, view.high) == Relation::kUnrelated &&
        relation_of(view.lineage, record_.lineage.back().generation, 0) != Relation::kUnrelated;
    if (view.in_service || newer || (!yes && view.promise.counter > starting_->old_counter))
      return stand_aside(node, "another node was promoted since");
  }
  if (yes) starting_->granted |= mask_of(node);
  if (!yes) starting_->refused |= mask_of(node);
  try_start();
}

void EngineState::try_start() {
  if (!starting_ || !starting_->ready || starting_->committing || starting_->pulling_from != kNoNode) return;
  NodeMask members = 0;
  for (NodeIndex node = 0; node < kNodesMax; ++node) {
    if (is_member(node)) members |= mask_of(node);
  }
  const auto count = std::popcount(members);
  const auto granted = std::popcount(starting_->granted & members);
  const auto needed = count <= 2 ? count : count / 2 + 1;
  const bool returning = starting_->command == 0;
  if (granted < needed && !starting_->force && !has_bug(Bug::kPromoteWithoutPromise)) return;
  // A member that is linked may hold more: its answer is waited for, up to the deadline.
  bool outstanding = false;
  for_each_other([&](NodeIndex node) {
    const auto heard = starting_->granted | starting_->refused | starting_->fenced;
    outstanding |= peers_[node].phase != Phase::kDown && (heard & mask_of(node)) == 0;
  });
  const bool patient = starting_->deadline_ms == 0 || now_ms_ < starting_->deadline_ms;
  if (outstanding && patient && !starting_->force && !has_bug(Bug::kPromoteWithoutPromise)) return;
  if (returning && !settings_.auto_return) return;
  if (!starting_->force && !returning) {
    // R5: what was acknowledged synchronously elsewhere is here, or the member that has it answers.
    const bool has_all = record_.members[record_.self].sync && !record_.outdated && !record_.inconsistent;
    bool missing_sync = false;
    for_each_other([&](NodeIndex node) {
      missing_sync |= record_.members[node].sync && node != record_.source &&
                      (starting_->granted & ~starting_->fenced & mask_of(node)) == 0;
    });
    if (missing_sync && !has_all) {
      return give_up_start(
          "a sync target is unreachable and may hold acknowledged writes that this node lacks: --force");
    }
  }
  // Who is further on the same history gives its tail first.
  NodeIndex best = kNoNode;
  if (!has_bug(Bug::kNoTailPull) && !record_.lineage.empty() && !returning) {
    auto best_view = view_for(record_.self);
    // Who was mirroring synchronously when a source crashed has all that it acknowledged; the crashed disk may not.
    const auto holds_all = [&](NodeIndex node, const NodeView& view, const Generation& generation) {
      return record_.members[node].sync && !view.inconsistent && !view.outdated && !view.lineage.empty() &&
             view.high != kAnySequence && view.lineage.back().generation == generation;
    };
    const auto has_holder = [&](const Generation& generation) {
      bool found = holds_all(record_.self, view_for(record_.self), generation);
      for_each_other([&](NodeIndex node) {
        const auto& peer = peers_[node];
        found |= (starting_->granted & mask_of(node)) != 0 && peer.phase != Phase::kDown && peer.view &&
                 holds_all(node, *peer.view, generation);
      });
      return found;
    };
    for_each_other([&](NodeIndex node) {
      const auto& peer = peers_[node];
      if ((starting_->granted & ~starting_->fenced & mask_of(node)) == 0 || peer.phase == Phase::kDown || !peer.view)
        return;
      const auto& view = *peer.view;
      if (view.inconsistent || view.outdated || view.lineage.empty()) return;
      if (view.high == kAnySequence && has_holder(view.lineage.back().generation)) return;
      const auto mine = relation_of(view.lineage, best_view.lineage.back().generation, best_view.low);
      const bool further = mine == Relation::kAncestor ||
                           (mine == Relation::kEqual && (view.low > best_view.low || view.high == kAnySequence));
      if (!further) return;
      best = node;
      best_view = view;
    });
  }
  if (best != kNoNode) {
    starting_->pulling_from = best;
    Frame frame;
    frame.type = FrameType::kPull;
    send(best, std::move(frame));
    return;
  }
  start_service();
}

// A member that is promoted asks for what this node has more: this node feeds it, without being in service.
void EngineState::pull_asked(NodeIndex node) {
  if (role_ != Role::kIdle || source_ != kNoNode || peers_[node].phase == Phase::kDown) return;
  role_ = Role::kFeeding;
  feeding_ = node;
  if (record_.high == kAnySequence) record_.high = record_.low;
  peers_[node].phase = Phase::kUp;
  consider(node);
  if (peers_[node].phase != Phase::kBeginning) {
    role_ = Role::kIdle;
    feeding_ = kNoNode;
  }
}

void EngineState::pulled() {
  if (!starting_) return;
  starting_->pulling_from = kNoNode;
  end_stream();
  if (!starting_) return;
  start_service();
}

// What this disk shows after a death of the process alone may not be durable yet: a reign is built on flushed data.
void EngineState::start_service() {
  starting_->committing = true;
  request_flush([this] { start_service_now(); });
}

void EngineState::start_service_now() {
  const bool crashed = record_.high == kAnySequence;
  if (record_.inconsistent && starting_->force) {
    // Nothing can be said about what this disk holds: a history without parent, and everything may differ (R12).
    record_.lineage = {{new_generation(), 0}};
    for_each_other([&](NodeIndex node) { slots_[node].set_all(); });
    save_slots();
  } else {
    record_.lineage.push_back({new_generation(), crashed ? kAnySequence : std::max(record_.low, applied_low_)});
    if (record_.lineage.size() > kLineageMax) record_.lineage.erase(record_.lineage.begin());
  }
  const auto newest = std::max({record_.low, applied_low_, last_sequence_, crashed ? Sequence{0} : record_.high});
  const auto generation_base = ((newest >> kGenerationShift) + 1) << kGenerationShift;
  record_.low = generation_base;
  record_.high = kAnySequence;
  record_.inconsistent = false;
  record_.outdated = false;
  record_.data_corrupt = false;
  record_.in_service = true;
  record_.last_owner = true;
  const bool others = record_.source != kNoNode && record_.source != record_.self && is_member(record_.source);
  previous_ = others && settings_.wait_previous_ms != 0 ? record_.source : kNoNode;
  previous_deadline_ms_ =
      settings_.wait_previous_ms < 0 ? 0 : now_ms_ + static_cast<std::uint64_t>(settings_.wait_previous_ms);
  record_.source = record_.self;
  discard_ = false;
  const bool forced = starting_->force;
  commit_record([this, generation_base, forced, command = starting_->command] {
    starting_.reset();
    role_ = Role::kSource;
    last_sequence_ = completed_high_ = retired_high_ = announced_ = generation_base;
    in_sync_ = mask_of(record_.self);
    fork_wanted_ = false;
    notice(NoticeKind::kInService, record_.self, forced ? "in service, forced" : "in service");
    notice(NoticeKind::kNewGeneration, record_.self, "in service");
    if (command != 0) emit(CommandDone{command, true, ""});
    send_views();
    for_each_other([&](NodeIndex node) {
      if (peers_[node].phase == Phase::kBlocked) peers_[node].phase = Phase::kUp;
      consider(node);
    });
  });
}

void EngineState::give_up_start(std::string why) {
  const auto command = starting_->command;
  notice(NoticeKind::kPromoteRefused, record_.self, why);
  const auto feeder = std::exchange(starting_->pulling_from, kNoNode);
  if (command == 0) {
    starting_->pulling_from = kNoNode;
    return;
  }
  Frame frame;
  frame.type = FrameType::kPromiseRelease;
  frame.number = starting_->counter;
  starting_.reset();
  role_ = Role::kIdle;
  record_.promise.node = kNoNode;
  commit_record({});
  for_each_other([&](NodeIndex node) {
    if (peers_[node].phase != Phase::kDown) send(node, frame);
  });
  if (feeder != kNoNode && source_ == feeder) end_stream();
  send_views();
  emit(CommandDone{command, false, std::move(why)});
}

// Somebody else has been promoted since this node was the source: it is a target now.
void EngineState::stand_aside(NodeIndex node, std::string why) {
  if (starting_ && starting_->committing) return;
  starting_.reset();
  role_ = Role::kIdle;
  record_.in_service = false;
  record_.last_owner = false;
  notice(NoticeKind::kStandAside, node, std::move(why));
  commit_record([this] { send_views(); });
}

void EngineState::demote(std::uint64_t command) {
  if (role_ == Role::kStarting && starting_ && !starting_->committing && starting_->command == 0) {
    stand_aside(record_.self, "taken out of service by an operator");
    emit(CommandDone{command, true, ""});
    return;
  }
  if (role_ == Role::kStarting && starting_ && !starting_->committing && starting_->command != 0)
    give_up_start("cancelled");
  if (role_ != Role::kSource) {
    emit(CommandDone{command, role_ == Role::kIdle, role_ == Role::kIdle ? "" : "busy with another change of roles"});
    return;
  }
  role_ = Role::kStopping;
  stop_command_ = command;
  request_flush([] {});
  try_stop();
}

// Out of service once all requests are answered and durable here and on the in-sync set.
void EngineState::try_stop() {
  if (role_ != Role::kStopping || stop_committing_ || !pieces_.empty() || barrier_ > 0) return;
  retire();
  if (!remembered_.empty()) {
    const bool here = std::all_of(remembered_.begin(), remembered_.end(),
                                  [&](const Remembered& write) { return locally_durable(write); });
    if (!here) {
      if (!flush_running_) request_flush([this] { try_stop(); });
      return;
    }
    // Targets in a resync are not waited for: what they lack is in their slots.
    for_each_other([&](NodeIndex node) {
      if (is_streaming(peers_[node].phase) && (in_sync_ & mask_of(node)) == 0)
        lose_peer(node, Phase::kUp, "the source goes out of service");
    });
    if (stop_committing_ || role_ != Role::kStopping || !remembered_.empty()) return;
  }
  stop_committing_ = true;
  announce_mark();
  save_slots();
  record_.in_service = false;
  record_.low = record_.high = last_sequence_;
  commit_record([this] {
    role_ = Role::kIdle;
    stop_committing_ = false;
    for (auto& peer : peers_) {
      if (is_streaming(peer.phase)) peer.view.reset();
      if (peer.phase != Phase::kDown) peer.phase = Phase::kUp;
      peer.ranges.clear();
    }
    in_sync_ = 0;
    applied_low_ = record_.low;
    send_views();
    notice(NoticeKind::kOutOfService, record_.self, "out of service");
    emit(CommandDone{stop_command_, true, ""});
  });
}

}  // namespace drseed::replicator
