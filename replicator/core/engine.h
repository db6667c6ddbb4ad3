#pragma once
// One mirror on one node: source, target, and everything between (replicator/DESIGN.md). Pure, single-threaded: no
// clock, thread, system call, exception or payload.
//
// The driver makes an engine from what the bitmap file says, calls step() with events in the order in which they
// happened, and carries out the actions (events.h). It never calls back into a step.

#include <memory>
#include <span>

#include "bitmap/activity_log.h"
#include "replicator/core/decide.h"
#include "replicator/core/events.h"

namespace drseed::replicator {

struct Settings {
  std::uint32_t block_bytes = bitmap::kBlockBytesDefault;
  std::uint32_t region_bytes = bitmap::kRegionBytesDefault;
  std::uint32_t log_regions = bitmap::kLogRegionsDefault;
  std::uint64_t durable_interval_ms = 200;  // a target's flush and the source's marks, when nothing else asks for them
  std::uint64_t return_wait_ms = 10'000;    // a restarted source sets data_corrupt when no majority answers by then
  std::uint32_t remembered_max = kRememberedWritesMax;
  // LKDR_WAIT_FOR_PREVIOUS_SOURCE_TIMEOUT: after a promotion, how long other targets wait until the previous source has
  // been resynced: 0 not at all (the survivors' own maps make their resync partial), -1 for ever.
  std::int64_t wait_previous_ms = 0;
  // Of each target, while it is being resynced or verified: 0: no limit. Refilled by ticks.
  std::uint64_t resync_bytes_per_second_max = 0;
  bool auto_return = true;  // a restarted source goes back into service by itself
  // Writes that an async target has not confirmed. Beyond it, the target falls behind (tracked, resynced later) or,
  // with `throttle`, writes wait, but no longer than throttle_ms_max.
  std::uint32_t async_limit = 4096;
  bool throttle = false;
  std::uint64_t throttle_ms_max = 5000;
};

// A deliberate mistake, for tests: each breaks a rule that a checker must see.
enum class Bug : std::uint8_t {
  kNone,
  kSkipActivityLog,        // R16: data before the log
  kClearOnSent,            // R8: a resync bit clears when the frame is sent
  kClearOnWritten,         // R8: the target says durable before its flush
  kIgnoreDependsOn,        // R1
  kLowWatermarkDependsOn,  // R1: depends_on is "all up to it", not the highest completed
  kIgnoreOverlap,          // R1: overlapping frames run at once on the target
  kNoHold,                 // a resync read does not hold back writes
  kTargetTracksNobody,     // R2: a target forgets what the others may lack
  kSourceLossForgotten,    // R2: recent writes do not become bits when the source is lost
  kNoMapExchange,          // the target's map is not merged
  kNoNewGeneration,        // R4
  kAcknowledgeSyncEarly,   // a sync write is acknowledged after the local write
  kAcknowledgeFlushEarly,  // R19
  kPromoteInconsistent,    // R5, R12
  kPromoteWithoutPromise,  // R6
  kIgnorePromise,          // R6: a promise is given to everybody
  kConsistentTooEarly,     // R16: the record says consistent before the resync is durable
  kNoInconsistentMark,     // R16: no record before the first overwritten byte
  kNoTailPull,             // R5
  kMarkTooFar,             // the durable mark covers what is not durable
  kEvictWithoutFlush,      // a region leaves the log without a flush
  kEvictWithoutBits,       // a region leaves the log without its unacknowledged writes in the slots
  kOldSessionFrames,       // R9: frames of an earlier session are applied
  kForgetSeedWrites,       // R10: a seed's slot misses writes
  kPartialClearsBlock,     // R8: a live write clears a block that it covers in part
  kStaleBase,              // R13: durable is told before the record
  kFullWithoutConsent,     // a full resync that nobody asked for
};

class EngineState;

class Engine {
 public:
  struct Start {
    NodeRecord record;
    Settings settings;
    std::vector<bitmap::DirtyBitmap> slots;   // kNodesMax of members, then kSeedsMax of seeds
    std::vector<bitmap::RegionIndex> logged;  // regions in the activity log
    bool log_lost = false;
    std::uint64_t random_seed = 0;  // of new generations
    Bug bug = Bug::kNone;
  };

  explicit Engine(Start start);
  ~Engine();
  Engine(Engine&&) noexcept;

  // Appends to `actions`. The first step of an engine may hold no event.
  void step(std::span<const Event> events, ActionList& actions);

  // What the node says of itself; for status, tests and checkers.
  const NodeRecord& record() const;
  bool in_service() const;
  NodeMask in_sync() const;  // as the source knows it; the source included
  NodeView view_for(NodeIndex peer) const;
  // What an image of the seed that ends now says of itself; nothing if the seed is not open here or this node is not
  // the source. The joining node's record has this lineage, low and high, and the seed.
  struct Passport {
    Lineage lineage;
    Sequence low = 0;
    Sequence high = 0;
  };
  std::optional<Passport> passport(const Id& seed) const;
  // Blocks that may differ from a member's: slot, log and remembered writes.
  bitmap::DirtyBitmap map_of(NodeIndex peer) const;
  const bitmap::DirtyBitmap& slot(std::size_t slot) const;
  // One line on a peer: its phase and why.
  std::string explain(NodeIndex peer) const;
  bool idle() const;  // nothing under way: every request replied to, every operation done
  std::size_t remembered_writes() const;

 private:
  std::unique_ptr<EngineState> state_;
};

}  // namespace drseed::replicator
