#include "tests/sim/seeds.h"

#include <algorithm>

namespace drseed::sim {

using namespace replicator;

namespace {
constexpr unsigned kFlowsMax = 3;    // under way at a time
constexpr unsigned kMembersMax = 4;  // that a mirror grows to
}  // namespace

void Seeds::begin() {
  if (world_.context.parameters.seed_time > 0) schedule(0, 3000, world_.context.parameters.seed_time);
}

void Seeds::schedule(std::size_t number, Time least, Time most) {
  world_.context.scheduler.after(world_.context.random.between(least, most), {0, 0, Kind::kSeed, 0, 0, 0, number});
}

void Seeds::handle(const Scheduled& scheduled) {
  if (scheduled.number > 0) return advance(scheduled.number);
  if (stopped_) return;
  const auto under_way =
      std::count_if(flows_.begin(), flows_.end(), [](const Flow& flow) { return flow.step != Step::kOver; });
  if (under_way < kFlowsMax) begin_flow();
  spread_members();
  schedule(0, 3000, world_.context.parameters.seed_time);
}

void Seeds::begin_flow() {
  auto& random = world_.context.random;
  const auto source = world_.only_source();
  if (source == kNoNode) return;
  Flow flow;
  flow.id = make_id(5000 + flows_.size());
  flow.source = source;
  flow.reign = world_.reign_of[source];
  flow.opened = world_.context.tick_serial();
  flow.joins = world_.node_count() + joins_ < kMembersMax && random.percent(80);
  if (flow.joins && random.percent(40)) flow.mistake = static_cast<Mistake>(random.between(1, 7));
  joins_ += flow.joins;
  flows_.push_back(std::move(flow));
  command(source, CommandKind::kOpenSeed, flows_.back().id, flows_.size());
}

void Seeds::command(NodeIndex node, CommandKind kind, const Id& seed, std::size_t flow, NodeIndex peer) {
  Command sent;
  sent.id = ++last_command_;
  sent.kind = kind;
  sent.peer = peer;
  sent.seed = seed;
  if (kind == CommandKind::kExtend) sent.member = member_of(world_.context.parameters, peer);
  pending_[sent.id] = {node, kind, peer, flow};
  world_.node(node).post(sent);
}

bool Seeds::still_reigns(const Flow& flow) const {
  return world_.reign_of[flow.source] == flow.reign;
}

void Seeds::advance(std::size_t number) {
  switch (flows_[number - 1].step) {
    case Step::kImaging:
      return image(number);
    case Step::kTravelling:
      return travelled(number);
    case Step::kExtending:
      return extend(number);
    default:
      return;
  }
}

// The image is read piece by piece while writes go on. It ends with the reign (R10).
void Seeds::image(std::size_t number) {
  auto& flow = flows_[number - 1];
  auto& random = world_.context.random;
  auto& node = world_.node(flow.source);
  if (!still_reigns(flow) || !node.in_service()) {
    world_.context.stats.add(Count::kImagesFailed);
    return give_up(number);
  }
  const auto left = node.disk().sectors() - flow.cursor;
  if (left > 0) {
    const auto count = std::min(left, random.between(1, node.disk().sectors() / 3 + 1));
    const auto read = node.disk().read(flow.cursor, count);
    flow.image.insert(flow.image.end(), read.begin(), read.end());
    flow.cursor += count;
    return schedule(number, 100, 6000);
  }
  flow.passport = node.engine().passport(flow.id);
  if (!flow.passport) {
    world_.context.violate("seeds", "n{}: gives no passport of a seed that is open on it", flow.source);
    return give_up(number);
  }
  world_.context.stats.add(Count::kImaged);
  flow.step = Step::kTravelling;
  schedule(number, 1000, random.percent(50) ? 5000 : 60'000);
}

// What goes wrong on the way, before the mirror is extended.
void Seeds::travelled(std::size_t number) {
  auto& flow = flows_[number - 1];
  const auto source = world_.only_source();
  if (source == kNoNode) return stopped_ ? give_up(number) : schedule(number, 2000, 8000);
  if (!flow.joins || flow.mistake == Mistake::kDropped || flow.mistake == Mistake::kReopened) {
    world_.context.stats.add(Count::kSeedsDropped);
    for (auto& node : world_.nodes) {
      if (node->up() && (node->index() == source || flow.mistake == Mistake::kDropped))
        command(node->index(), CommandKind::kDropSeed, flow.id, 0);
    }
    if (flow.mistake == Mistake::kReopened) command(source, CommandKind::kOpenSeed, flow.id, 0);
  }
  if (!flow.joins) {
    flow.step = Step::kOver;
    return;
  }
  flow.step = Step::kExtending;
  schedule(number, 500, 5000);
}

void Seeds::extend(std::size_t number) {
  auto& flow = flows_[number - 1];
  if (stopped_) return give_up(number);
  const auto source = world_.only_source();
  if (source == kNoNode || (extending_ != 0 && extending_ != number) || is_pending(source, next_index()))
    return schedule(number, 1000, 8000);
  extending_ = number;
  const auto index = next_index();
  flow.extended_by = source;
  flow.extended_in = world_.reign_of[source];
  if (world_.node(source).record().members[index].present) return join(number);  // an answer was lost
  auto seed = flow.id;
  if (flow.mistake == Mistake::kOtherSeed) {
    for (const auto& other : world_.node(source).record().seeds) {
      if (other.id != Id{} && other.id != flow.id) seed = other.id;
    }
  }
  flow.with_seed = flow.mistake != Mistake::kBlank;
  command(source, CommandKind::kExtend, flow.with_seed ? seed : Id{}, number, index);
  schedule(number, 30'000, 40'000);  // if no answer comes
}

void Seeds::give_up(std::size_t number) {
  auto& flow = flows_[number - 1];
  if (flow.step == Step::kOver) return;
  flow.step = Step::kOver;
  joins_ -= flow.joins;
  if (extending_ == number) extending_ = 0;
}

void Seeds::command_done(NodeIndex node, const CommandDone& done) {
  const auto found = pending_.find(done.id);
  if (found == pending_.end() || found->second.node != node)
    return world_.context.violate("replies", "n{}: command {} is done, which is not under way", node, done.id);
  const auto pending = found->second;
  pending_.erase(found);
  auto& stats = world_.context.stats;
  if (pending.kind == CommandKind::kExtend && done.ok) hand_.became_member(node, pending.peer);
  if (pending.flow == 0) return;
  auto& flow = flows_[pending.flow - 1];
  if (pending.kind == CommandKind::kOpenSeed && flow.step == Step::kOpening) {
    if (!done.ok) return give_up(pending.flow);
    stats.add(Count::kSeedsOpened);
    flow.step = Step::kImaging;
    return schedule(pending.flow, 1, 3000);
  }
  if (pending.kind != CommandKind::kExtend || flow.step != Step::kExtending) return;
  if (done.ok) return join(pending.flow);
  stats.add(Count::kExtendsRefused);
  if (world_.node(node).record().members[pending.peer].present || !flow.with_seed) return;
  flow.with_seed = false;  // the seed is stale, or the source is another one and has it not
  command(node, CommandKind::kExtend, {}, pending.flow, pending.peer);
}

void Seeds::node_lost(NodeIndex node) {
  std::erase_if(pending_, [&](const auto& each) { return each.second.node == node; });
  for (std::size_t number = 1; number <= flows_.size(); ++number) {
    if (flows_[number - 1].source == node && flows_[number - 1].step == Step::kOpening) give_up(number);
  }
}

bool Seeds::is_pending(NodeIndex node, NodeIndex peer) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const auto& each) {
    return each.second.node == node && each.second.kind == CommandKind::kExtend && each.second.peer == peer;
  });
}

// The new member's record is made of the source's and of the passport.
void Seeds::join(std::size_t number) {
  auto& flow = flows_[number - 1];
  auto& context = world_.context;
  auto& random = context.random;
  Hand::Join join;
  join.source = flow.extended_by;
  const auto& model = world_.node(join.source).record();
  join.record = joined_record(context.parameters, next_index(), model.members, model.members_version);
  auto& record = join.record;
  record.peers[join.source].slot_valid = true;
  record.lineage = flow.passport->lineage;
  record.low = flow.passport->low;
  record.high = flow.passport->high;
  record.seed = flow.id;
  record.inconsistent = true;
  join.disk = std::move(flow.image);
  switch (flow.mistake) {
    case Mistake::kOtherMirror:
      record.mirror = make_id(9);
      break;
    case Mistake::kOtherSize:
      record.volume_bytes += context.parameters.file.block_bytes;
      break;
    case Mistake::kForeign:
      record.lineage = {{make_id(random()), 0}};
      join.foreign = true;
      break;
    case Mistake::kBlank:
      record.lineage.clear();
      record.low = record.high = 0;
      record.seed.reset();
      record.inconsistent = false;
      record.peers[join.source].slot_valid = false;
      break;
    default:
      break;
  }
  const auto per_block = context.parameters.sectors_per_block();
  if (random.percent(30)) {
    for (auto count = random.between(1, 4); count > 0; --count) {
      const auto block = random.below(context.parameters.file.block_count());
      join.damaged.push_back(block);
      for (auto sector = block * per_block; sector < std::min<std::uint64_t>((block + 1) * per_block, join.disk.size());
           ++sector) {
        join.disk[sector] = 0;  // it could not be read from the image
      }
    }
  }
  join.reign = flow.reign;
  join.opened = flow.opened;
  join.clean = flow.mistake == Mistake::kNone && flow.with_seed && flow.extended_by == flow.source &&
               still_reigns(flow) && flow.extended_in == flow.reign;
  flow.step = Step::kOver;
  extending_ = 0;
  --joins_;
  context.stats.add(Count::kSeedsJoined);
  if (flow.extended_by != flow.source && flow.with_seed) context.stats.add(Count::kSeedsSurvived);
  if (flow.mistake != Mistake::kNone) context.stats.add(Count::kSeedsWrong);
  if (!join.damaged.empty()) context.stats.add(Count::kImagesDamaged);
  hand_.join(join);
}

void Seeds::stop() {
  stopped_ = true;
  for (std::size_t number = 1; number <= flows_.size(); ++number) {
    if (flows_[number - 1].step != Step::kExtending) give_up(number);
  }
}

// Whoever does not know a member is told, without a seed: it was down, or its file is an older one.
void Seeds::spread_members() {
  for (auto& node : world_.nodes) {
    if (!node->up() || node->failed) continue;
    for (auto& peer : world_.nodes) {
      if (peer == node || node->record().members[peer->index()].present || is_pending(node->index(), peer->index()))
        continue;
      command(node->index(), CommandKind::kExtend, {}, 0, peer->index());
    }
  }
}

bool Seeds::all_know_each_other() const {
  return std::all_of(world_.nodes.begin(), world_.nodes.end(), [&](const auto& node) {
    return std::all_of(world_.nodes.begin(), world_.nodes.end(),
                       [&](const auto& peer) { return node->record().members[peer->index()].present; });
  });
}

}  // namespace drseed::sim
