#pragma once
// What goes into the engine and what comes out. Pure.
//
// The driver carries out actions in the order given, as far as an order is promised: frames of a link stay in order;
// store operations (state, log, pages) are carried out one after the other, each durable before the next begins; disk
// operations run concurrently and complete in any order (the engine never has two overlapping ones under way of which
// one writes). An operation that fails reports ok = false. After a failed write or flush the disk is not used again.

#include <string>
#include <variant>
#include <vector>

#include "bitmap/bitmap_format.h"
#include "replicator/core/frame.h"

namespace drseed::replicator {

// ---- Events

enum class RequestKind : std::uint8_t { kRead, kWrite, kZero, kFlush };  // kZero: write-zeroes and trim

struct ClientRequest {
  std::uint64_t id = 0;  // the driver's; unique among those not replied to
  RequestKind kind = RequestKind::kRead;
  bool fua = false;
  ByteRange range;               // whole sectors, at most kPieceBytesMax: the front-end splits (R15)
  Payload payload = kNoPayload;  // of a write; the driver keeps it until the core releases it
};
struct DiskDone {
  std::uint64_t op = 0;
  bool ok = true;
  bool all_zero = false;                // of kReadForPeer
  Payload payload = kNoPayload;         // of kReadForPeer: what was read; belongs to the core until released
  std::array<std::uint64_t, 2> hash{};  // of kHash
};
struct StoreDone {
  std::uint64_t op = 0;
  bool ok = true;
};
struct LinkUp {
  NodeIndex peer = kNoNode;
  std::uint64_t session = 0;  // larger than any before on this link
};
struct LinkDown {
  NodeIndex peer = kNoNode;
};
struct FrameIn {
  NodeIndex peer = kNoNode;
  std::uint64_t session = 0;
  Frame frame;
};
struct Tick {
  std::uint64_t now_ms = 0;
};
enum class CommandKind : std::uint8_t {
  kPromote,     // come into service; mask: members confirmed fenced; force
  kDemote,      // go out of service
  kPause,       // peer
  kResume,      // peer
  kFullResync,  // peer: consent to a full resync, once
  kChecksum,    // peer: consent to a checksum resync, once
  kVerify,      // peer: online verify; force: repair
  kDiscard,     // this node is the victim of a split brain
  kOpenSeed,    // seed, member.name as its label: on the source; the image begins after the answer
  kDropSeed,    // seed
  kExtend,      // peer, member, seed or none: a new member; on the source its slot is the seed's
};
struct Command {
  std::uint64_t id = 0;
  CommandKind kind = CommandKind::kPromote;
  NodeIndex peer = kNoNode;
  NodeMask mask = 0;
  bool force = false;
  Id seed;
  Member member;
};
using Event = std::variant<ClientRequest, DiskDone, StoreDone, LinkUp, LinkDown, FrameIn, Tick, Command>;

// ---- Actions

enum class DiskKind : std::uint8_t {
  kRead,         // for a client: straight into its reply
  kReadForPeer,  // into a new payload; says whether all is zero
  kWrite,
  kZero,
  kFlush,
  kHash,
};
struct DiskOp {
  std::uint64_t op = 0;
  DiskKind kind = DiskKind::kRead;
  ByteRange range;
  Payload payload = kNoPayload;
  std::uint64_t request = 0;  // of kRead
};
struct CommitState {
  std::uint64_t op = 0;
  std::shared_ptr<const NodeRecord> record;
};
struct CommitLog {
  std::uint64_t op = 0;
  std::vector<bitmap::RegionIndex> regions;
};
struct SavePages {
  std::uint64_t op = 0;
  bitmap::SlotId slot{};
  std::vector<bitmap::PageImage> pages;
};
struct Send {
  NodeIndex peer = kNoNode;
  Frame frame;
};
enum class Status : std::uint8_t { kOk, kIoError, kNotInService };
struct Reply {
  std::uint64_t request = 0;
  Status status = Status::kOk;
};
struct Release {  // the core is done with these bytes
  Payload payload = kNoPayload;
};
struct CommandDone {
  std::uint64_t id = 0;
  bool ok = true;
  std::string text;  // why not, for a person
};
enum class NoticeKind : std::uint8_t {
  kInService,
  kOutOfService,
  kDecision,
  kInSync,
  kPeerLost,
  kSplitBrain,
  kNewGeneration,
  kDiskFailed,
  kMismatch,
  kPromoteRefused,
  kStandAside,
};
struct Notice {  // for logs, hooks and tests
  NoticeKind kind = NoticeKind::kInService;
  NodeIndex peer = kNoNode;
  int row = -1;  // of the handshake table, with kDecision
  std::uint64_t bytes = 0;
  std::string text;
};
using Action = std::variant<DiskOp, CommitState, CommitLog, SavePages, Send, Reply, Release, CommandDone, Notice>;
using ActionList = std::vector<Action>;

}  // namespace drseed::replicator
