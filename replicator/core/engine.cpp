// Events, the record, flushes and the activity log: what all roles share.

#include "replicator/core/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

using bitmap::ActivityLog;
using bitmap::DirtyBitmap;

EngineState::EngineState(Engine::Start start)
    : record_(std::move(start.record)),
      settings_(start.settings),
      slots_(std::move(start.slots)),
      log_(start.settings.log_regions),
      bug_(start.bug),
      random_(start.random_seed) {
  assert(slots_.size() == kNodesMax + kSeedsMax);
  // What the log says may have been changing differs from everybody's, until it is known better.
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    const bool used = i < kNodesMax ? is_member(static_cast<NodeIndex>(i)) && i != record_.self
                                    : i - kNodesMax < record_.seeds.size();
    if (!used) continue;
    if (start.log_lost) slot.set_all();
    for (const auto region : start.logged) {
      const auto offset = std::uint64_t{region} * settings_.region_bytes;
      slot.set(covering({offset, std::min<std::uint64_t>(settings_.region_bytes, record_.volume_bytes - offset)}));
    }
  }
  log_.adopt(start.logged);
  if (!record_.lineage.empty()) {
    applied_low_ = record_.low;
    told_durable_ = record_.low;
  }
}

void EngineState::step(std::span<const Event> events, ActionList& actions) {
  actions_ = &actions;
  if (first_step_) {
    first_step_ = false;
    // What a lost log stands for is in the slots; they are saved before there is a log again.
    save_slots();
    if (record_.in_service) start_return();
  }
  for (const auto& event : events) {
    if (role_ == Role::kFailed && !std::holds_alternative<ClientRequest>(event)) continue;
    std::visit([this](const auto& item) { handle(item); }, event);
  }
  if (role_ != Role::kFailed) serve_log();
  actions_ = nullptr;
}

void EngineState::handle(const ClientRequest& request) {
  if (role_ != Role::kSource) {
    if (request.payload != kNoPayload) emit(Release{request.payload});
    emit(Reply{request.id, role_ == Role::kFailed ? Status::kIoError : Status::kNotInService});
    return;
  }
  assert(request.range.length_bytes <= kPieceBytesMax && request.range.end() <= record_.volume_bytes);
  admit(request);
}

void EngineState::handle(const DiskDone& done) {
  switch (kind_of(done.op)) {
    case OpKind::kWrite:
      return write_done(value_of(done.op), done.ok);
    case OpKind::kRead:
      emit(Reply{value_of(done.op), done.ok ? Status::kOk : Status::kIoError});
      if (!done.ok) fail_disk("a read failed");
      return;
    case OpKind::kRangeRead:
      return range_read(done);
    case OpKind::kHash:
      return target_hashed(done);
    case OpKind::kTargetWrite:
      return target_op_done(value_of(done.op), done.ok);
    case OpKind::kFlush: {
      if (!done.ok) return fail_disk("a flush failed");
      flush_done_ = value_of(done.op);
      flush_running_ = false;
      auto callbacks = std::move(flush_now_);
      flush_now_.clear();
      if (!flush_next_.empty()) {
        auto next = std::move(flush_next_);
        flush_next_.clear();
        for (auto& callback : next) request_flush(std::move(callback));
      }
      for (auto& callback : callbacks) callback();
      return retire();
    }
    default:
      return;
  }
}

void EngineState::handle(const StoreDone& done) {
  if (!done.ok) return fail_disk("the bitmap file cannot be written");
  ++store_done_;
  if (kind_of(done.op) == OpKind::kState) {
    const auto found = on_state_.find(value_of(done.op));
    assert(found != on_state_.end());
    auto then = std::move(found->second);
    on_state_.erase(found);
    if (then) then();
  } else if (kind_of(done.op) == OpKind::kLog) {
    std::vector<ActivityLog::Ticket> started;
    log_.committed(value_of(done.op), started);
    for (const auto ticket : started) {
      const auto found = logging_.find(ticket);
      assert(found != logging_.end());
      const auto range = found->second;
      logging_.erase(found);
      const auto piece =
          std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& waiting) { return waiting.serial == ticket; });
      const auto op =
          std::find_if(ops_.begin(), ops_.end(), [&](const TargetOp& waiting) { return waiting.serial == ticket; });
      if (piece != pieces_.end()) {
        piece->step = Piece::Step::kReady;
      } else if (op != ops_.end()) {
        target_op_logged(ticket);
      } else {
        log_end(range);  // dropped meanwhile
      }
    }
    submit_ready();
    pump_target();
  }
}

void EngineState::handle(const LinkUp& up) {
  auto& peer = peers_[up.peer];
  if (!is_member(up.peer) || up.session <= peer.session) return;
  if (peer.phase != Phase::kDown) handle(LinkDown{up.peer});
  peer.session = up.session;
  peer.phase = Phase::kUp;
  peer.view.reset();
  send_view(up.peer);
  if (starting_) ask_promises();
}

void EngineState::handle(const LinkDown& down) {
  auto& peer = peers_[down.peer];
  if (peer.phase == Phase::kDown) return;
  if (source_ == down.peer) end_stream();
  if (starting_ && starting_->pulling_from == down.peer && source_ != down.peer)
    give_up_start("the member that held more was lost meanwhile");
  if (pending_begin_ && pending_begin_->first == down.peer) pending_begin_.reset();
  lose_peer(down.peer, Phase::kDown, "the link is down");
  peer.view.reset();
}

void EngineState::handle(const FrameIn& in) {
  auto& peer = peers_[in.peer];
  const auto& frame = in.frame;
  if (peer.phase == Phase::kDown || (in.session != peer.session && !has_bug(Bug::kOldSessionFrames))) {
    if (frame.payload != kNoPayload) emit(Release{frame.payload});
    return;
  }
  switch (frame.type) {
    case FrameType::kView:
      peer.view = frame.body->view;
      if (source_ == in.peer && !peer.view->in_service && !(starting_ && starting_->pulling_from == in.peer))
        end_stream();
      return consider(in.peer);
    case FrameType::kPromiseAsk:
      return promise_asked(in.peer, frame);
    case FrameType::kPromiseAnswer:
      return promise_answered(in.peer, frame);
    case FrameType::kPromiseRelease:
      return promise_released(in.peer, frame.number);
    case FrameType::kPull:
      return pull_asked(in.peer);
    case FrameType::kBegin:
      return target_begin(in.peer, frame);
    case FrameType::kBeginReady:
      return begin_answered(in.peer, frame);
    case FrameType::kMap:
    case FrameType::kMapEnd:
      return map_received(in.peer, frame);
    case FrameType::kWritten:
      return peer_written(in.peer, frame.sequence);
    case FrameType::kDurable:
      return peer_durable(in.peer, frame.sequence, frame.number);
    case FrameType::kInSync:
      return peer_in_sync(in.peer, frame.sequence);
    case FrameType::kOutdated:
      return paused(in.peer);
    case FrameType::kCheckResult:
      return range_checked(in.peer, frame);
    default:
      return target_frame(in.peer, frame);
  }
}

void EngineState::handle(const Tick& tick) {
  if (now_ms_ == 0 && record_.promise.node != kNoNode) promised_ms_ = tick.now_ms;
  const auto elapsed_ms = tick.now_ms - std::min(now_ms_, tick.now_ms);
  now_ms_ = tick.now_ms;
  refill_allowances(elapsed_ms);
  if (role_ == Role::kSource || role_ == Role::kStopping) {
    const bool undurable = std::any_of(remembered_.begin(), remembered_.end(), [&](const Remembered& write) {
      return write.local_done && !locally_durable(write);
    });
    if (undurable) request_flush([] {});
    if (announced_ != retired_high_) announce_mark();
    submit_ready();
    for_each_other([&](NodeIndex node) {
      if (peers_[node].phase == Phase::kUp && peers_[node].view) consider(node);
    });
  }
  if (source_ != kNoNode && now_ms_ >= last_tell_ms_ + settings_.durable_interval_ms) tell_durable();
  if (starting_) {
    ask_promises();
    if (starting_->deadline_ms == 0) starting_->deadline_ms = now_ms_ + settings_.return_wait_ms;
    try_start();
  }
  if (starting_) {
    if (now_ms_ >= starting_->deadline_ms && !starting_->committing && starting_->pulling_from == kNoNode) {
      if (starting_->command != 0) {
        give_up_start(
            "too few members answered: a majority must promise, or the missing ones must be fenced (--fenced), "
            "or --force");
      } else if (!record_.data_corrupt) {
        record_.data_corrupt = true;
        commit_record({});
        send_views();
        notice(NoticeKind::kPromoteRefused, kNoNode,
               "no majority answered: out of service until force, or until one does");
      }
    }
  }
  try_stop();
}

void EngineState::handle(const Command& command) {
  const auto refuse = [&](std::string why) { emit(CommandDone{command.id, false, std::move(why)}); };
  switch (command.kind) {
    case CommandKind::kPromote:
      return promote(command);
    case CommandKind::kDemote:
      return demote(command.id);
    case CommandKind::kPause:
      if (role_ != Role::kSource || !is_member(command.peer) || command.peer == record_.self)
        return refuse("only the source pauses a target");
      pause(command.peer);
      break;
    case CommandKind::kResume:
      if (role_ != Role::kSource || !is_member(command.peer)) return refuse("only the source resumes a target");
      record_.peers[command.peer].paused = false;
      commit_record({});
      if (peers_[command.peer].phase == Phase::kPaused) peers_[command.peer].phase = Phase::kUp;
      consider(command.peer);
      break;
    case CommandKind::kFullResync:
    case CommandKind::kChecksum:
      if (role_ != Role::kSource || !is_member(command.peer)) return refuse("only the source resyncs a target");
      peers_[command.peer].consent = true;
      peers_[command.peer].checksum = command.kind == CommandKind::kChecksum;
      if (peers_[command.peer].phase == Phase::kBlocked) peers_[command.peer].phase = Phase::kUp;
      consider(command.peer);
      break;
    case CommandKind::kVerify:
      return verify(command);
    case CommandKind::kOpenSeed:
      return open_seed(command);
    case CommandKind::kDropSeed:
      return drop_seed(command);
    case CommandKind::kExtend:
      return extend(command);
    case CommandKind::kDiscard:
      if (role_ == Role::kStarting && starting_ && !starting_->committing) {
        if (starting_->command == 0) stand_aside(record_.self, "an operator gave up what it wrote");
        if (role_ == Role::kStarting) give_up_start("an operator gave up what this node wrote");
      }
      if (role_ != Role::kIdle) return refuse("take it out of service first");
      discard_ = true;
      send_views();
      break;
    default:
      return refuse("not known");
  }
  emit(CommandDone{command.id, true, ""});
}

void EngineState::commit_record(std::function<void()> then) {
  base_moved_ = false;
  const auto number = ++store_ops_;
  on_state_.emplace(number, std::move(then));
  emit(CommitState{op_of(OpKind::kState, number), std::make_shared<const NodeRecord>(record_)});
}

void EngineState::request_flush(std::function<void()> then) {
  if (flush_running_) {
    flush_next_.push_back(std::move(then));
    return;
  }
  flush_running_ = true;
  flush_now_.push_back(std::move(then));
  emit(DiskOp{op_of(OpKind::kFlush, ++flush_issued_), DiskKind::kFlush, {}, kNoPayload, 0});
}

// The store carries operations out in order: what comes after this relies on it.
void EngineState::save_slots() {
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].changed_count() == 0) continue;
    emit(SavePages{op_of(OpKind::kPages, ++store_ops_), bitmap::SlotId(slot), slots_[slot].take_changed()});
  }
}

namespace {

struct Regions {
  std::array<bitmap::RegionIndex, 512> list;
  std::size_t count = 0;
  Regions(ByteRange range, std::uint32_t region_bytes) {
    const auto first = range.offset_bytes / region_bytes;
    const auto last = (range.end() - 1) / region_bytes;
    assert(last - first < list.size());
    for (auto region = first; region <= last; ++region) list[count++] = static_cast<bitmap::RegionIndex>(region);
  }
  std::span<const bitmap::RegionIndex> span() const { return {list.data(), count}; }
};

}  // namespace

bool EngineState::log_begin(std::uint64_t ticket, ByteRange range) {
  if (has_bug(Bug::kSkipActivityLog)) return true;
  if (log_.begin(ticket, Regions(range, settings_.region_bytes).span())) return true;
  logging_.emplace(ticket, range);
  return false;
}

void EngineState::log_end(ByteRange range) {
  if (!has_bug(Bug::kSkipActivityLog)) log_.end(Regions(range, settings_.region_bytes).span());
}

void EngineState::serve_log() {
  if (auto commit = log_.next_commit(role_ == Role::kStopping && pieces_.empty()))
    emit(CommitLog{op_of(OpKind::kLog, commit->number), std::move(commit->regions)});
  if (!cleaning_) {
    if (auto cleaning = log_.next_cleaning()) start_cleaning(std::move(*cleaning));
  }
}

// What these regions' writes are not known to be durable elsewhere goes into the slots; the disk is flushed; the slots
// are saved; then the regions may leave the log.
void EngineState::start_cleaning(ActivityLog::Cleaning cleaning) {
  cleaning_ = std::move(cleaning);
  if (!has_bug(Bug::kEvictWithoutBits)) spill(cleaning_->regions);
  const auto cleaned = [this] {
    save_slots();
    // A base that the saved slots rely on.
    bool moved = false;
    for_each_other([&](NodeIndex node) {
      auto& base = record_.peers[node].base;
      if (peers_[node].phase != Phase::kInSync || peers_[node].durable <= base) return;
      base = peers_[node].durable;
      moved = true;
    });
    if (moved || base_moved_) commit_record({});
    log_.cleaned(*cleaning_);
    cleaning_.reset();
    serve_log();
  };
  if (has_bug(Bug::kEvictWithoutFlush)) return cleaned();
  request_flush(cleaned);
}

void EngineState::spill(const std::vector<bitmap::RegionIndex>& regions) {
  const auto inside = [&](ByteRange range) {
    const auto first = range.offset_bytes / settings_.region_bytes;
    const auto last = (range.end() - 1) / settings_.region_bytes;
    const auto found = std::lower_bound(regions.begin(), regions.end(), first);
    return found != regions.end() && *found <= last;
  };
  for (auto& write : remembered_) {
    if (write.kind == RequestKind::kFlush || write.not_durable == 0 || !inside(write.range)) continue;
    for_each_other([&](NodeIndex node) {
      if ((write.not_durable & mask_of(node)) != 0) set_in_slot(node, covering(write.range));
    });
    write.spilled |= write.not_durable;
  }
  for (const auto& recent : recents_) {
    if (!inside(recent.range)) continue;
    for_each_other([&](NodeIndex node) { set_in_slot(node, covering(recent.range)); });
    spilled_high_ = std::max(spilled_high_, recent.sequence);
  }
}

void EngineState::set_in_slot(std::size_t slot, bitmap::BlockRun blocks) {
  slots_[slot].set(blocks);
  if (slot >= kNodesMax) return;
  for (auto& range : peers_[slot].ranges) {
    if (range.blocks.first < blocks.end() && blocks.first < range.blocks.end()) range.set_anew = true;
  }
}

void EngineState::fail_disk(std::string why) {
  if (role_ == Role::kFailed) return;
  role_ = Role::kFailed;
  for (const auto& piece : pieces_) {
    if (piece.request.payload != kNoPayload) emit(Release{piece.request.payload});
    emit(Reply{piece.request.id, Status::kIoError});
  }
  for (const auto& write : remembered_) {
    if (write.payload != kNoPayload) emit(Release{write.payload});
    if (!write.replied) emit(Reply{write.request, Status::kIoError});
  }
  for (const auto& op : ops_) {
    if (op.frame.payload != kNoPayload && op.step != TargetOp::Step::kDone) emit(Release{op.frame.payload});
  }
  pieces_.clear();
  remembered_.clear();
  ops_.clear();
  notice(NoticeKind::kDiskFailed, record_.self, std::move(why));
}

NodeView EngineState::view_for(NodeIndex peer) const {
  NodeView view;
  view.mirror = record_.mirror;
  view.volume_bytes = record_.volume_bytes;
  view.node = record_.self;
  view.members_version = record_.members_version;
  view.lineage = record_.lineage;
  view.low = source_ != kNoNode && !record_.inconsistent ? std::max(record_.low, applied_low_) : record_.low;
  view.high = record_.high == kAnySequence ? kAnySequence : std::max(record_.high, view.low);
  view.inconsistent = record_.inconsistent;
  view.in_service = role_ == Role::kSource || role_ == Role::kStopping;
  view.last_owner = record_.last_owner;
  view.data_corrupt = record_.data_corrupt;
  view.outdated = record_.outdated;
  view.discard = discard_;
  view.promise = record_.promise;
  view.seed = record_.seed;
  view.slot_valid = record_.peers[peer].slot_valid;
  view.base = record_.peers[peer].base;
  view.map_empty = slots_[peer].dirty_count() == 0 && remembered_.empty() && recents_.empty();
  return view;
}

DirtyBitmap EngineState::map_of(NodeIndex peer) const {
  auto map = slots_[peer].clone();
  for (const auto& write : remembered_) {
    if (write.kind != RequestKind::kFlush) map.set(covering(write.range));
  }
  for (const auto& recent : recents_) map.set(covering(recent.range));
  return map;
}

void EngineState::send_view(NodeIndex peer) {
  auto body = std::make_shared<FrameBody>();
  body->view = view_for(peer);
  Frame frame;
  frame.type = FrameType::kView;
  frame.body = std::move(body);
  send(peer, std::move(frame));
}

void EngineState::send_views() {
  for_each_other([&](NodeIndex node) {
    if (peers_[node].phase != Phase::kDown) send_view(node);
  });
}

// ---- The public face

Engine::Engine(Start start) : state_(std::make_unique<EngineState>(std::move(start))) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

void Engine::step(std::span<const Event> events, ActionList& actions) {
  state_->step(events, actions);
}
const NodeRecord& Engine::record() const {
  return state_->record_;
}
bool Engine::in_service() const {
  return state_->role_ == Role::kSource;
}
NodeMask Engine::in_sync() const {
  return state_->in_sync_;
}
NodeView Engine::view_for(NodeIndex peer) const {
  return state_->view_for(peer);
}
DirtyBitmap Engine::map_of(NodeIndex peer) const {
  return state_->map_of(peer);
}
const DirtyBitmap& Engine::slot(std::size_t slot) const {
  return state_->slots_[slot];
}
std::size_t Engine::remembered_writes() const {
  return state_->remembered_.size();
}

std::string Engine::explain(NodeIndex peer) const {
  constexpr std::string_view kNames[] = {"link down", "linked",    "blocked", "beginning", "resyncing",
                                         "ending",    "mirroring", "pausing", "paused"};
  const auto& state = state_->peers_[peer];
  return fmt::format("{}: {}", kNames[static_cast<int>(state.phase)], state.why);
}

bool Engine::idle() const {
  const auto& state = *state_;
  return state.pieces_.empty() && state.remembered_.empty() && state.ops_.empty() && !state.flush_running_ &&
         state.store_ops_ + state.log_.commit_count() == state.store_done_ && !state.starting_;
}

}  // namespace drseed::replicator
