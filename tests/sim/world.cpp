#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>

#include "tests/sim/check_bounds.h"
#include "tests/sim/check_convergence.h"
#include "tests/sim/check_invariant.h"
#include "tests/sim/check_reads.h"
#include "tests/sim/check_seeds.h"

namespace drseed::sim {

using namespace replicator;

namespace {

constexpr Time kHealRound = 10'000;
constexpr unsigned kHealRoundsMax = 600;

Tags initial_tags(Context& context) {
  Tags tags(context.parameters.sectors());
  for (std::uint64_t sector = 0; sector < tags.size(); ++sector) {
    if (sector % 8 == 0 && context.random.percent(static_cast<unsigned>(context.parameters.initial_zero_percent))) {
      sector += 7;
      continue;
    }
    tags[sector] = tag_of(kInitialWrite, sector);
  }
  return tags;
}

}  // namespace

World::World(const Options& options, Stats& stats)
    : context_(options, stats),
      network_(context_, *this),
      oracle_(initial_tags(context_), initial_record(context_.parameters, 0).lineage.back().generation),
      view_{context_, oracle_, network_, nodes_, {}},
      clients_(view_, *this),
      faults_(view_, *this),
      operators_(view_, *this),
      seeds_(view_, *this),
      losses_(view_, *this),
      sync_(view_),
      prefix_(view_),
      overwrite_(view_),
      promises_(view_, operators_) {
  view_.reign_of.fill(kNoReign);
  view_.first_members = context_.parameters.nodes;
  for (NodeIndex node = 0; node < context_.parameters.nodes; ++node) {
    nodes_.push_back(std::make_unique<SimNode>(context_, static_cast<Outside&>(*this), node,
                                               initial_record(context_.parameters, node)));
    nodes_[node]->disk().put(0, oracle_.reign(0).base);
  }
}

void World::run() {
  for (NodeIndex node = 0; node < nodes_.size(); ++node) restart(node);
  operators_.begin();
  faults_.begin();
  seeds_.begin();
  auto& scheduler = context_.scheduler;
  scheduler.after(context_.parameters.check_time, {0, 0, Kind::kCheck, 0, 0, 0, 0});
  scheduler.at(context_.parameters.busy_time, {0, 0, Kind::kHeal, 0, 0, 0, 0});
  while (phase_ != Phase::kOver && !context_.violation && !scheduler.empty()) {
    const auto scheduled = scheduler.next();
    context_.trace.set_time(scheduled.at);
    ++events_;
    handle(scheduled);
  }
}

void World::handle(const Scheduled& scheduled) {
  switch (scheduled.kind) {
    case Kind::kDiskDone:
    case Kind::kStoreDone:
    case Kind::kStep:
    case Kind::kTick:
      return nodes_[scheduled.node]->handle(scheduled);
    case Kind::kFrame:
    case Kind::kSession:
    case Kind::kLinkUp:
    case Kind::kLinkDown:
    case Kind::kBreak:
    case Kind::kMend:
      return network_.handle(scheduled);
    case Kind::kClient:
      return clients_.handle(scheduled);
    case Kind::kFault:
    case Kind::kRestart:
    case Kind::kRepair:
      return faults_.handle(scheduled);
    case Kind::kOperator:
      return operators_.handle(scheduled);
    case Kind::kHeal:
      return heal();
    case Kind::kSeed:
      return seeds_.handle(scheduled);
    case Kind::kCheck:
      check_now();
      if (!context_.violation) check_what_if();
      if (phase_ == Phase::kBusy || phase_ == Phase::kSettling) {
        context_.scheduler.after(
            context_.random.between(context_.parameters.check_time / 4, context_.parameters.check_time),
            {0, 0, Kind::kCheck, 0, 0, 0, 0});
      }
  }
}

// ---- What nodes do

void World::stepped(SimNode& node) {
  check_bounds(view_, node);
  const auto index = node.index();
  promises_.stepped(index);
  overwrite_.stepped(index);
  const auto& record = node.engine().record();
  if (record.data_corrupt && (data_corrupt_ & mask_of(index)) == 0) context_.stats.add(Count::kDataCorrupt);
  if (!record.data_corrupt && record.in_service && (data_corrupt_ & mask_of(index)) != 0)
    context_.stats.add(Count::kCorruptForced);
  data_corrupt_ &= ~mask_of(index);
  if (record.data_corrupt) data_corrupt_ |= mask_of(index);
  if (view_.reign_of[index] != kNoReign && record.in_service)
    oracle_.name_generation(record.lineage.back().generation, view_.reign_of[index]);
}

void World::sends(SimNode& node, const Send& send, const Bytes& bytes) {
  count_frame(send.frame);
  if (send.frame.type == FrameType::kResyncEnd) {
    sync_.resync_ended(node.index(), send.peer);
    if (view_.reign_of[node.index()] == kNoReign) prefix_.fed(node.index(), send.peer);
  }
  overwrite_.sends(node.index(), send.peer, send.frame);
  promises_.sends(node.index(), send.peer, send.frame);
  network_.send(node.index(), send.peer, send.frame, bytes);
}

void World::count_frame(const Frame& frame) {
  auto& stats = context_.stats;
  switch (frame.type) {
    case FrameType::kResync:
      return stats.add(Count::kResyncFrames);
    case FrameType::kResyncZero:
      return stats.add(Count::kZeroResyncFrames);
    case FrameType::kCheck:
      return stats.add(Count::kCheckFrames);
    case FrameType::kPull:
      return stats.add(Count::kPulls);
    case FrameType::kPromiseAsk:
      return stats.add(Count::kPromises);
    case FrameType::kOutdate:
      return stats.add(Count::kOutdates);
    case FrameType::kMark:
      return stats.add(Count::kMarks);
    case FrameType::kMap:
      return stats.add(Count::kMaps);
    default:
      return;
  }
}

void World::replies(SimNode& node, const Reply& reply) {
  const auto request = clients_.replied(node.index(), reply);
  if (!request || reply.status != Status::kOk) return;
  if (request->kind == RequestKind::kRead) return check_read(view_, *request);
  sync_.acknowledged(*request);
  overwrite_.acknowledged(*request);
}

void World::has_read(SimNode&, std::uint64_t request, std::uint64_t first, const Tags& tags) {
  clients_.has_read(request, first, tags);
}

void World::command_done(SimNode& node, const CommandDone& done) {
  if (done.id > Seeds::kFirstCommand) return seeds_.command_done(node.index(), done);
  operators_.command_done(node.index(), done);
}

void World::notices(SimNode& node, const Notice& notice) {
  auto& stats = context_.stats;
  operators_.notices(node.index(), notice);
  switch (notice.kind) {
    case NoticeKind::kInService:
      return in_service(node, notice.text.find("forced") != std::string::npos);
    case NoticeKind::kOutOfService:
      return out_of_service(node.index());
    case NoticeKind::kDecision:
      if (notice.row < 0 || notice.row >= kRows) return;
      ++stats.rows[static_cast<std::size_t>(notice.row)];
      return overwrite_.decided(node.index(), notice.peer, static_cast<Row>(notice.row));
    case NoticeKind::kInSync:
      stats.add(Count::kInSync);
      sync_.in_sync(node.index(), notice.peer);
      if (!network_.connected(node.index(), notice.peer)) return;
      prefix_.in_sync(notice.peer);
      promises_.in_sync(notice.peer);
      view_.set_back &= ~mask_of(notice.peer);
      return;
    case NoticeKind::kPeerLost:
      if (notice.text.find("fell behind") != std::string::npos) stats.add(Count::kFellBehind);
      if (notice.text.find("held back writes") != std::string::npos) stats.add(Count::kHeldBack);
      return stats.add(Count::kPeerLost);
    case NoticeKind::kSplitBrain:
      return stats.add(Count::kSplitBrains);
    case NoticeKind::kNewGeneration:
      return stats.add(Count::kGenerations);
    case NoticeKind::kDiskFailed:
      stats.add(Count::kDiskFailures);
      node.failed = true;
      out_of_service(node.index());
      return faults_.schedule_repair(node.index(), 1000, 20'000);
    case NoticeKind::kMismatch:
      return mismatch(node, notice);
    case NoticeKind::kStandAside:
      return stats.add(Count::kStandAside);
    case NoticeKind::kPromoteRefused:
      return;
  }
}

void World::mismatch(SimNode& node, const Notice& notice) {
  auto& stats = context_.stats;
  stats.add(Count::kMismatches);
  const bool rotten =
      std::any_of(nodes_.begin(), nodes_.end(), [](const auto& each) { return each->disk().was_ever_rotten(); });
  if (!rotten) context_.violate("verify", "n{}: finds n{} different: {}", node.index(), notice.peer, notice.text);
  unsigned long long offset = 0, length = 0;
  if (std::sscanf(notice.text.c_str(), "offset %llu length %llu", &offset, &length) == 2)
    overwrite_.mismatch(node.index(), notice.peer, offset, length);
}

void World::in_service(SimNode& node, bool forced) {
  const auto index = node.index();
  context_.stats.add(Count::kInService);
  if (forced) context_.stats.add(Count::kForced);
  if (!forced && !operators_.is_promoting(index)) context_.stats.add(Count::kReturned);
  if (view_.reign_of[index] != kNoReign)
    return context_.violate("replies", "n{}: comes into service, where it is", index);
  if (!forced) {
    context_.stats.add(Count::kGuardedPromotions);
    sync_.check(index);
  } else {
    overwrite_.forced(index);
  }
  promises_.in_service(index, forced);
  view_.reign_of[index] = oracle_.begin_reign(index, forced, node.disk().visible());
  oracle_.name_generation(node.engine().record().lineage.back().generation, view_.reign_of[index]);
  clients_.begin(index);
}

void World::out_of_service(NodeIndex node) {
  view_.reign_of[node] = kNoReign;
}

// ---- What the network does

void World::link_up(NodeIndex node, NodeIndex peer, std::uint64_t session) {
  nodes_[node]->post(LinkUp{peer, session});
}

void World::link_down(NodeIndex node, NodeIndex peer) {
  nodes_[node]->post(LinkDown{peer});
}

void World::arrives(NodeIndex from, NodeIndex to, std::uint64_t session, Frame frame, const Bytes& bytes) {
  auto& node = *nodes_[to];
  overwrite_.arrives(from, to, session, frame);
  promises_.arrives(from, to, frame);
  const bool resync = frame.type == FrameType::kResync || frame.type == FrameType::kResyncZero;
  if (resync && !overwrite_.follows(from, to, session)) sync_.resync_frame(to, session);
  if (bytes) frame.payload = node.payloads().add(bytes);
  node.post(FrameIn{from, session, std::move(frame)});
}

void World::arrives_late(NodeIndex from, NodeIndex to, std::uint64_t session, Frame frame, const Bytes& bytes) {
  auto& node = *nodes_[to];
  context_.stats.add(Count::kLateFrames);
  if (bytes) frame.payload = node.payloads().add(bytes);
  node.post(FrameIn{from, session, std::move(frame)});
}

// ---- Faults

void World::crash(NodeIndex node, bool power_lost) {
  auto& found = *nodes_[node];
  if (!found.up()) return;
  const auto durable_before = found.disk().durable();
  clients_.node_lost(node);
  operators_.node_lost(node);
  seeds_.node_lost(node);
  out_of_service(node);
  found.crash(power_lost);
  promises_.crashed(node);
  overwrite_.crashed(node);
  network_.node_down(node);
  if (power_lost) {
    sync_.power_lost(node);
    prefix_.check_crashed(node, *found.store().record(), found.disk().visible(), durable_before);
    prefix_.power_lost(node);
  } else {
    prefix_.check(node);
  }
  check_invariant_of(view_, node);
}

void World::restart(NodeIndex node) {
  if (context_.violation) return;
  nodes_[node]->start();
  network_.node_up(node);
}

void World::repair(NodeIndex index) {
  auto& node = *nodes_[index];
  node.disk_fails = false;
  node.disk_slow = 1;
  const bool misplaced = losses_.is_misplaced(index);
  if (node.up() && !node.failed && !misplaced) return;
  const bool blank = misplaced || (phase_ == Phase::kBusy && context_.random.percent(25));
  if (node.up()) crash(index, context_.random.percent(50));
  if (context_.violation) return;
  if (blank) losses_.make_blank(index);
  context_.scheduler.after(context_.random.between(1000, 10'000), {0, 0, Kind::kRestart, index, 0, 0, 0});
}

void World::replaced(NodeIndex node, bool foreign) {
  data_corrupt_ &= ~mask_of(node);
  sync_.replaced(node);
  prefix_.replaced(node);
  promises_.replaced(node);
  overwrite_.replaced(node, foreign);
  if (losses_.is_misplaced(node)) faults_.schedule_repair(node, 20'000, 80'000);
}

void World::join(const Join& join) {
  const auto index = static_cast<NodeIndex>(nodes_.size());
  nodes_.push_back(std::make_unique<SimNode>(context_, static_cast<Outside&>(*this), index, join.record));
  auto& node = *nodes_[index];
  node.disk().put(0, join.disk);
  if (!node.store().set_blocks(join.source, join.damaged))
    return context_.violate("store", "n{}: the damaged blocks cannot be kept", index);
  context_.parameters.nodes = static_cast<unsigned>(nodes_.size());
  context_.trace.note(index, "JOINS n{0}: clean={1}, {2} blocks damaged", join.source, join.clean, join.damaged.size());
  overwrite_.replaced(index, join.foreign);
  if (losses_.is_misplaced(index)) faults_.schedule_repair(index, 20'000, 80'000);
  check_joined(view_, index, join);
  check_invariant_of(view_, index);
  restart(index);
}

// ---- Checks

void World::check_now() {
  check_invariant(view_);
  for (NodeIndex node = 0; node < nodes_.size(); ++node) prefix_.check(node);
}

void World::check_what_if() {
  context_.stats.add(Count::kWhatIfCrashes);
  Random random(context_.random());
  CrashImages images;
  for (const auto& node : nodes_) {
    images.images.push_back(node->what_if_crashed(random));
    if (context_.violation) return;
    auto& image = images.images.back();
    prefix_.check_crashed(node->index(), *image.store->record(), image.disk.visible(), node->disk().durable());
  }
  check_invariant_of(view_, images);
}

// ---- The end

void World::begin_healing() {
  phase_ = Phase::kSettling;
  context_.trace.note(Trace::kNobody, "HEALING");
  faults_.stop();
  operators_.stop();
  seeds_.stop();
  network_.mend_all();
  for (const auto& node : nodes_) {
    node->disk_fails = false;
    node->disk_slow = 1;
    if (node->failed || losses_.is_misplaced(node->index())) faults_.schedule_repair(node->index(), 1, 2000);
    if (!node->up())
      context_.scheduler.after(context_.random.below(2000), {0, 0, Kind::kRestart, node->index(), 0, 0, 0});
  }
}

void World::heal() {
  if (phase_ == Phase::kBusy) begin_healing();
  if (++rounds_ > kHealRoundsMax) {
    std::string state;
    for (const auto& node : nodes_) {
      if (!node->up()) continue;
      const auto& record = node->record();
      state +=
          fmt::format("; n{}: in_service={} inconsistent={} outdated={} data_corrupt={} generations={} promise={}/{}",
                      node->index(), record.in_service, record.inconsistent, record.outdated, record.data_corrupt,
                      record.lineage.size(), record.promise.counter, record.promise.node);
    }
    return context_.violate("rest", "does not come to rest: {}; last refusal: {}{}", why_not_quiet(view_),
                            operators_.last_refusal(), state);
  }
  context_.scheduler.after(kHealRound, {0, 0, Kind::kHeal, 0, 0, 0, 0});
  seeds_.heal();
  switch (phase_) {
    case Phase::kSettling:
      operators_.heal();
      if (rounds_ > 3) clients_.stop();
      if (!clients_.stopped() || !why_not_in_sync(view_).empty() || clients_.outstanding(view_.only_source()) > 0)
        return;
      clients_.flush(view_.only_source());
      phase_ = Phase::kFlushing;
      return;
    case Phase::kFlushing:
      operators_.heal();
      if (!why_not_quiet(view_).empty() || clients_.outstanding(view_.only_source()) > 0) return;
      phase_ = Phase::kQuiet;
      return;
    case Phase::kQuiet:  // a round later
      if (!why_not_quiet(view_).empty()) return;
      check_convergence(view_);
      if (!context_.violation) check_now();
      phase_ = Phase::kOver;
      return;
    default:
      return;
  }
}

}  // namespace drseed::sim
