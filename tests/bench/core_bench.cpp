// The replicator's core alone: one source and two async targets in memory, 4 KiB writes at depth 32. Prints one JSON
// line a figure: writes a second through all three engines, through the source's steps only, and allocations per write
// after a warm-up. Disks and links complete at once; nothing is copied.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <new>

#include "replicator/core/engine.h"

namespace {

std::uint64_t allocations = 0;

}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace drseed;
using namespace drseed::replicator;

constexpr std::uint64_t kVolumeBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kBlock = 4096;
constexpr unsigned kNodes = 3;
constexpr unsigned kDepth = 32;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

NodeRecord record_of(NodeIndex self) {
  NodeRecord record;
  record.volume_bytes = kVolumeBytes;
  record.self = self;
  for (NodeIndex i = 0; i < kNodes; ++i) {
    record.members[i] = {true, false, {}, "n"};
    record.peers[i].slot_valid = true;
  }
  record.lineage = {LineageEntry{}};
  return record;
}

class World {
 public:
  World() {
    for (NodeIndex i = 0; i < kNodes; ++i) {
      Engine::Start start;
      start.record = record_of(i);
      for (unsigned slot = 0; slot < kNodesMax + kSeedsMax; ++slot) start.slots.emplace_back(kVolumeBytes / kBlock);
      engines_.emplace_back(std::move(start));
    }
    for (NodeIndex a = 0; a < kNodes; ++a) {
      for (NodeIndex b = 0; b < kNodes; ++b) {
        if (a != b) todo_[a].push_back(LinkUp{b, 1});
      }
    }
    run();
    Command promote;
    promote.id = 1;
    todo_[0].push_back(promote);
    run();
  }
  bool ready() const { return engines_[0].in_sync() == 0b111; }
  std::uint64_t replies() const { return replies_; }
  double source_seconds() const { return source_seconds_; }

  void write(std::uint64_t count) {
    for (std::uint64_t done = 0; done < count; done += kDepth) {
      for (unsigned i = 0; i < kDepth; ++i) {
        random_ = random_ * 6364136223846793005 + 1442695040888963407;
        ClientRequest request{
            ++ids_, RequestKind::kWrite, false, {(random_ >> 33) % (kVolumeBytes / kBlock) * kBlock, kBlock}, 1};
        todo_[0].push_back(request);
      }
      run();
      if (++rounds_ % 64 == 0) tick();
    }
  }
  void tick() {
    now_ms_ += 1000;
    for (auto& todo : todo_) todo.push_back(Tick{now_ms_});
    run();
  }

 private:
  void run() {
    for (bool more = true; more;) {
      more = false;
      for (NodeIndex node = 0; node < kNodes; ++node) {
        if (todo_[node].empty()) continue;
        more = true;
        std::swap(events_, todo_[node]);
        const double begin = seconds();
        engines_[node].step(events_, actions_);
        if (node == 0) source_seconds_ += seconds() - begin;
        events_.clear();
        for (auto& action : actions_) std::visit([&](auto& item) { carry_out(node, item); }, action);
        actions_.clear();
      }
    }
  }
  void carry_out(NodeIndex node, DiskOp& op) { todo_[node].push_back(DiskDone{op.op, true, false, kNoPayload, {}}); }
  void carry_out(NodeIndex node, CommitState& op) { todo_[node].push_back(StoreDone{op.op, true}); }
  void carry_out(NodeIndex node, CommitLog& op) { todo_[node].push_back(StoreDone{op.op, true}); }
  void carry_out(NodeIndex node, SavePages& op) { todo_[node].push_back(StoreDone{op.op, true}); }
  void carry_out(NodeIndex node, Send& send) { todo_[send.peer].push_back(FrameIn{node, 1, std::move(send.frame)}); }
  void carry_out(NodeIndex, Reply&) { ++replies_; }
  template <typename Other>
  void carry_out(NodeIndex, Other&) {}

  std::vector<Engine> engines_;
  std::array<std::vector<Event>, kNodes> todo_;
  std::vector<Event> events_;
  ActionList actions_;
  std::uint64_t random_ = 1, ids_ = 0, replies_ = 0, rounds_ = 0, now_ms_ = 0;
  double source_seconds_ = 0;
};

}  // namespace

int main() {
  constexpr std::uint64_t kWarmUp = 200'000;
  constexpr std::uint64_t kWrites = 2'000'000;
  World world;
  for (int i = 0; i < 5; ++i) world.tick();
  if (!world.ready()) {
    std::fprintf(stderr, "core_bench: the targets did not come into step\n");
    return 1;
  }
  world.write(kWarmUp);
  const auto allocations_before = allocations;
  const auto replies_before = world.replies();
  const double source_before = world.source_seconds();
  const double begin = seconds();
  world.write(kWrites);
  const double elapsed = seconds() - begin;
  const double source = world.source_seconds() - source_before;
  const auto writes = static_cast<double>(world.replies() - replies_before);
  std::printf("{\"figure\": \"core_writes_per_second\", \"value\": %.0f, \"engines\": 3}\n", writes / elapsed);
  std::printf("{\"figure\": \"core_source_writes_per_second\", \"value\": %.0f, \"engines\": 1}\n", writes / source);
  std::printf("{\"figure\": \"core_allocations_per_write\", \"value\": %.5f}\n",
              static_cast<double>(allocations - allocations_before) / writes);
  return 0;
}
