#include "tests/sim/faults.h"

namespace drseed::sim {

using replicator::NodeIndex;

void Faults::begin() {
  schedule();
}

void Faults::schedule() {
  auto& context = world_.context;
  context.scheduler.after(context.random.between(1000, context.parameters.fault_time),
                          {0, 0, Kind::kFault, 0, 0, 0, 0});
}

void Faults::handle(const Scheduled& scheduled) {
  if (scheduled.kind == Kind::kRestart) {
    if (world_.node(scheduled.node).up()) return;
    if (hand_.may_restart(scheduled.node)) return hand_.restart(scheduled.node);
    auto again = scheduled;
    world_.context.scheduler.after(5000, again);
    return;
  }
  if (scheduled.kind == Kind::kRepair) return hand_.repair(scheduled.node);
  if (stopped_) return;
  happen();
  schedule();
}

void Faults::crash(NodeIndex node) {
  auto& random = world_.context.random;
  if (!world_.node(node).up()) return;
  const bool power_lost = random.percent(75);
  world_.context.stats.add(power_lost ? Count::kPowerCuts : Count::kDaemonDeaths);
  hand_.crash(node, power_lost);
  if (!world_.context.violation) hand_.lose_something(node);
  const auto away = random.percent(50) ? random.between(1000, 10'000) : random.between(5000, 80'000);
  world_.context.scheduler.after(away, {0, 0, Kind::kRestart, node, 0, 0, 0});
}

void Faults::cut(NodeIndex a, NodeIndex b, Time duration) {
  world_.network.cut(a, b);
  world_.context.scheduler.after(duration, {0, 0, Kind::kMend, a, b, 0, 0});
}

void Faults::isolate(NodeIndex node) {
  world_.context.stats.add(Count::kIsolations);
  const auto duration = world_.context.random.between(2000, 60'000);
  for (NodeIndex peer = 0; peer < world_.node_count(); ++peer) {
    if (peer != node) cut(node, peer, duration);
  }
}

// Nothing that it sends arrives, but it hears the others.
void Faults::silence(NodeIndex node) {
  world_.context.stats.add(Count::kAsymmetric);
  const auto duration = world_.context.random.between(2000, 60'000);
  for (NodeIndex peer = 0; peer < world_.node_count(); ++peer) {
    if (peer == node) continue;
    world_.network.stall(node, peer, duration);
    if (world_.context.random.percent(70))
      world_.context.scheduler.after(duration - 500, {0, 0, Kind::kBreak, node, peer, 0, 0});
  }
}

void Faults::rot(NodeIndex node) {
  auto& random = world_.context.random;
  auto& disk = world_.node(node).disk();
  for (auto count = random.between(1, 3); count > 0; --count) {
    if (disk.make_rotten(random.below(disk.sectors()))) world_.context.stats.add(Count::kRottenBlocks);
  }
}

void Faults::schedule_repair(NodeIndex node, Time least, Time most) {
  world_.context.scheduler.after(world_.context.random.between(least, most), {0, 0, Kind::kRepair, node, 0, 0, 0});
}

void Faults::happen() {
  auto& context = world_.context;
  auto& random = context.random;
  const auto node = static_cast<NodeIndex>(random.below(world_.node_count()));
  const auto peer = static_cast<NodeIndex>((node + 1 + random.below(world_.node_count() - 1)) % world_.node_count());
  const auto choice = random.below(125);
  if (choice < 35) {
    crash(node);
  } else if (choice < 42) {  // all at once
    for (NodeIndex each = 0; each < world_.node_count(); ++each) crash(each);
  } else if (choice < 65) {
    context.stats.add(Count::kLinkCuts);
    cut(node, peer, random.between(500, 30'000));
  } else if (choice < 75) {
    context.stats.add(Count::kLinkCuts);
    context.scheduler.after(0, {0, 0, Kind::kBreak, node, peer, 0, 0});
    world_.network.cut(node, peer);
    context.scheduler.after(1, {0, 0, Kind::kMend, node, peer, 0, 0});
  } else if (choice < 85) {
    isolate(node);
  } else if (choice < 93) {
    context.stats.add(Count::kStalls);
    const auto duration = random.between(2000, 40'000);
    world_.network.stall(node, peer, duration);
    if (random.percent(50)) context.scheduler.after(duration - 500, {0, 0, Kind::kBreak, node, peer, 0, 0});
  } else if (choice < 107) {
    world_.node(node).disk_fails = true;
    schedule_repair(node, 2000, 30'000);
  } else if (choice < 112) {
    context.stats.add(Count::kSlowDisks);
    world_.node(node).disk_slow = static_cast<unsigned>(random.between(4, 30));
    schedule_repair(node, 5000, 60'000);
  } else if (choice < 118) {
    silence(node);
  } else if (choice < 125 && choice >= 121) {
    rot(node);
  } else {
    world_.network.set_slow(node, peer, static_cast<unsigned>(random.between(1, 10)));
  }
}

}  // namespace drseed::sim
