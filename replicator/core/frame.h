#pragma once
// What members of a mirror say to each other, as the core sees it. The bytes are link_format.h's. Pure.
//
// A link carries frames in order within a session, or is cut. `payload` names bytes that only the driver sees.

#include <memory>

#include "bitmap/dirty_bitmap.h"
#include "replicator/core/types.h"

namespace drseed::replicator {

enum class FrameType : std::uint8_t {
  // Anybody to anybody
  kView = 1,       // body.view: at the begin of a session, and whenever the sender's role or flags change
  kPromiseAsk,     // number: counter; kFlagReturn: sequence: the counter of the promise under which it was the source
  kPromiseAnswer,  // number: counter; kFlagYes: granted; body.view
  kPull,           // the sender is being promoted and asks for what the receiver has more
  // Source to target
  kBegin,       // body.view, number: attempt; kFlagConsent: an operator agreed to a full or checksum resync
  kWrite,       // sequence, depends_on, range, payload; kFlagFua, kFlagWantWritten
  kZero,        // the same without payload: zeroed, with holes
  kFlush,       // sequence, depends_on
  kResync,      // number: range's; range, payload
  kResyncZero,  // the same, zeros
  kCheck,       // number: range's; range, hash: equal or not?
  kResyncEnd,   // sequence: all up to it was sent
  kGeneration,  // body.view.lineage: a new generation
  kMark,        // sequence: all up to it is durable on the members in `mask`
  kOutdate,     // the target will get no more: it is outdated
  kSeedOpen,    // body.view.seed; sequence: writes up to it are in the image
  // Target to source
  kBeginReady,  // number: attempt; kFlagYes: my map follows; without: refused; body.view
  kMap,         // body.runs: blocks that may differ, of the sender's map for the receiver
  kMapEnd,
  kWritten,      // sequence: that write or flush has completed
  kDurable,      // sequence: all up to it; number: all resync ranges up to it
  kInSync,       // the answer to kResyncEnd: all durable, record consistent
  kCheckResult,  // number: range's; kFlagYes: equal
  kOutdated,     // the answer to kOutdate
  // Anybody to anybody
  kPromiseRelease,  // number: counter; the sender does not come into service after all
};

constexpr std::uint8_t kFlagFua = 1;
constexpr std::uint8_t kFlagWantWritten = 2;
constexpr std::uint8_t kFlagYes = 4;
constexpr std::uint8_t kFlagConsent = 8;
constexpr std::uint8_t kFlagReturn = 16;

struct FrameBody {
  NodeView view;
  std::vector<bitmap::BlockRun> runs;
};

struct Frame {
  FrameType type = FrameType::kView;
  std::uint8_t flags = 0;
  NodeMask mask = 0;
  Sequence sequence = 0;
  Sequence depends_on = 0;
  std::uint64_t number = 0;
  ByteRange range;
  Payload payload = kNoPayload;
  std::array<std::uint64_t, 2> hash{};
  std::shared_ptr<const FrameBody> body;
};

}  // namespace drseed::replicator
