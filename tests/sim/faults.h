#pragma once
// What goes wrong at random: power, daemons, links, slow readers.

#include "tests/sim/world_view.h"

namespace drseed::sim {

class Faults {
 public:
  class Hand {  // who carries out what needs more than the node or the network
   public:
    virtual ~Hand() = default;
    virtual void crash(replicator::NodeIndex node, bool power_lost) = 0;
    virtual void restart(replicator::NodeIndex node) = 0;
    virtual void lose_something(replicator::NodeIndex node) = 0;  // that is down: losses.h
    virtual void repair(replicator::NodeIndex node) = 0;
    virtual bool may_restart(replicator::NodeIndex node) = 0;
  };
  Faults(WorldView& world, Hand& hand) : world_(world), hand_(hand) {}

  void begin();
  void handle(const Scheduled& scheduled);  // kFault, kRestart, kRepair
  void stop() { stopped_ = true; }
  void crash(replicator::NodeIndex node);
  // The disk fails no more and is fast; whoever gave it up, or has the wrong one, starts anew.
  void schedule_repair(replicator::NodeIndex node, Time least, Time most);

 private:
  void happen();
  void isolate(replicator::NodeIndex node);
  void silence(replicator::NodeIndex node);
  void rot(replicator::NodeIndex node);
  void cut(replicator::NodeIndex a, replicator::NodeIndex b, Time duration);
  void schedule();

  WorldView& world_;
  Hand& hand_;
  bool stopped_ = false;
};

}  // namespace drseed::sim
