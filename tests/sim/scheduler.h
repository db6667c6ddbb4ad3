#pragma once
// What is to happen when, in virtual time; things of the same instant in the order in which they were scheduled.

#include <queue>
#include <vector>

#include "tests/sim/tags.h"

namespace drseed::sim {

enum class Kind : std::uint8_t {
  kDiskDone,   // node, epoch, number: op
  kStoreDone,  // node, epoch
  kStep,       // node, epoch: the engine gets its inbox
  kTick,       // node, epoch
  kFrame,      // node: from, peer: to; number: session
  kSession,    // node, peer: a session may begin
  kLinkUp,     // node: who learns it, peer; number: session
  kLinkDown,   // the same
  kClient,     // node: may submit
  kFault,      // the next random fault
  kRestart,    // node
  kBreak,      // node, peer: their session breaks
  kMend,       // node, peer: a cut ends
  kOperator,   // the next random act of an operator
  kHeal,       // the next round of healing
  kCheck,      // what if all crashed now
  kSeed,       // number: of a seed on its way; 0: perhaps another
  kRepair,     // node: its disk is healthy again, or another one
};

struct Scheduled {
  Time at = 0;
  std::uint64_t order = 0;
  Kind kind = Kind::kStep;
  std::uint8_t node = 0;
  std::uint8_t peer = 0;
  std::uint32_t epoch = 0;  // of a node: what a crash took away does not happen any more
  std::uint64_t number = 0;
};

class Scheduler {
 public:
  Time now() const { return now_; }
  void at(Time when, Scheduled what) {
    what.at = when < now_ ? now_ : when;
    what.order = ++order_;
    queue_.push(what);
  }
  void after(Time delay, Scheduled what) { at(now_ + delay, what); }
  bool empty() const { return queue_.empty(); }
  Scheduled next() {
    const auto first = queue_.top();
    queue_.pop();
    now_ = first.at;
    return first;
  }

 private:
  struct Later {
    bool operator()(const Scheduled& a, const Scheduled& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };
  Time now_ = 0;
  std::uint64_t order_ = 0;
  std::priority_queue<Scheduled, std::vector<Scheduled>, Later> queue_;
};

}  // namespace drseed::sim
