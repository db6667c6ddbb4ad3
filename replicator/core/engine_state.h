#pragma once
// The engine's inside, shared by engine*.cpp only: one class, a file for each concern.
//
//   engine.cpp          events, record, flushes, the activity log
//   engine_client.cpp   requests of applications, remembered writes
//   engine_source.cpp   peers as targets: handshake, stream, marks, losing them
//   engine_resync.cpp   ranges that cross beside the stream: resync, checksums, verify
//   engine_target.cpp   this node as a target: received operations, what others may lack
//   engine_seed.cpp     seeds: slots of copies on their way; new members
//   engine_role.cpp     coming into and going out of service: promises, tail, generations

#include <functional>
#include <random>
#include <unordered_map>

#include "replicator/core/engine.h"
#include "replicator/core/ring.h"

namespace drseed::replicator {

enum class Role : std::uint8_t { kIdle, kStarting, kSource, kFeeding, kStopping, kFailed };

enum class Phase : std::uint8_t {
  kDown,
  kUp,         // linked; nothing decided
  kBlocked,    // the table or the target says no
  kBeginning,  // asked to be a target; its map is on its way
  kResyncing,
  kEnding,  // everything sent, not confirmed
  kInSync,
  kPausing,  // told that it is outdated, not confirmed
  kPaused,
};
constexpr bool is_streaming(Phase phase) {
  return phase == Phase::kResyncing || phase == Phase::kEnding || phase == Phase::kInSync;
}

enum class OpKind : std::uint8_t { kWrite = 1, kFlush, kRead, kRangeRead, kTargetWrite, kState, kLog, kPages, kHash };
constexpr std::uint64_t op_of(OpKind kind, std::uint64_t value) {
  return std::uint64_t{static_cast<std::uint8_t>(kind)} << 56 | value;
}
constexpr OpKind kind_of(std::uint64_t op) {
  return static_cast<OpKind>(op >> 56);
}
constexpr std::uint64_t value_of(std::uint64_t op) {
  return op & ((std::uint64_t{1} << 56) - 1);
}

// A request on its way to the disk.
struct Piece {
  enum class Step : std::uint8_t { kQueued, kLogging, kReady };
  ClientRequest request;
  Step step = Step::kQueued;
  std::uint64_t serial = 0;
};

// A write or flush that was submitted, until it is durable here and on every target that gets the stream.
struct Remembered {
  Sequence sequence = 0;
  RequestKind kind = RequestKind::kWrite;
  bool fua = false;
  bool local_done = false;
  bool replied = false;
  ByteRange range;
  std::uint64_t request = 0;
  Payload payload = kNoPayload;
  std::uint64_t durable_at = 0;  // the number of the flush that makes it durable here
  NodeMask want_written = 0;     // sync targets that get the stream and have not said so
  NodeMask not_durable = 0;      // targets that have not said so
  NodeMask spilled = 0;          // targets in whose slots its blocks were set, because its region left the log
};

// A range being resynced to a peer.
struct ResyncRange {
  enum class Step : std::uint8_t { kHeld, kReading, kSent };
  std::uint64_t id = 0;      // of its read
  std::uint64_t number = 0;  // in the order in which ranges are sent: the target confirms all up to one
  ByteRange range;
  bitmap::BlockRun blocks;
  Step step = Step::kHeld;
  bool check = false;     // a hash crosses first
  bool verify = false;    // of an online verify: its blocks are not dirty
  bool differs = false;   // said the target; the data are to follow
  bool answered = false;  // the target has compared
  bool set_anew = false;  // its blocks were set in the slot since
};

struct Peer {
  Phase phase = Phase::kDown;
  std::uint64_t session = 0;
  std::optional<NodeView> view;
  std::string why;                   // of the phase, for a person
  bool consent = false;              // to a full resync, once
  bool full = false;                 // the resync under way began with consent
  bool checksum = false;             // hashes cross first
  std::int64_t allowance_bytes = 0;  // of the resync's rate limit
  Sequence begun_at = 0;             // what the target records at the begin of its resync
  bool resyncs = false;
  std::uint64_t attempt = 0;  // of beginning; answers to earlier ones are not heeded
  bool ready = false;         // the target's answer to this attempt was yes: its map follows
  // As a target of this node
  std::vector<ResyncRange> ranges;
  std::uint64_t range_id = 0;
  std::uint64_t range_number = 0;
  std::uint64_t cursor = 0;  // block
  std::uint64_t resync_bytes = 0;
  Sequence durable = 0;
  std::uint32_t outstanding = 0;         // writes that it has not confirmed as durable
  std::uint64_t throttled_since_ms = 0;  // 0: not throttling
  // Online verify
  bool verifying = false;
  bool repair = false;
  std::uint64_t verify_cursor = 0;  // block
  std::uint64_t mismatches = 0;     // bytes
  std::uint64_t verify_command = 0;
};

// A frame that this node carries out as a target.
struct TargetOp {
  enum class Step : std::uint8_t { kWaiting, kLogging, kRunning, kDone };
  Frame frame;
  std::uint64_t serial = 0;
  Step step = Step::kWaiting;
};

struct RecentWrite {
  Sequence sequence = 0;
  ByteRange range;
};

struct Starting {
  std::uint64_t command = 0;  // 0: a restarted source that returns by itself
  std::uint64_t counter = 0;
  Sequence old_counter = 0;
  NodeMask granted = 0;
  NodeMask refused = 0;
  NodeMask fenced = 0;
  bool force = false;
  bool ready = false;  // its own promise is durable
  NodeIndex pulling_from = kNoNode;
  std::uint64_t deadline_ms = 0;
  bool committing = false;
};

class EngineState {
 public:
  explicit EngineState(Engine::Start start);

  // engine.cpp
  void step(std::span<const Event> events, ActionList& actions);
  void handle(const ClientRequest& request);
  void handle(const DiskDone& done);
  void handle(const StoreDone& done);
  void handle(const LinkUp& up);
  void handle(const LinkDown& down);
  void handle(const FrameIn& in);
  void handle(const Tick& tick);
  void handle(const Command& command);
  template <typename T>
  void emit(T&& action) {
    actions_->emplace_back(std::forward<T>(action));
  }
  void send(NodeIndex peer, Frame frame) { emit(Send{peer, std::move(frame)}); }
  void notice(NoticeKind kind, NodeIndex peer, std::string text, int row = -1, std::uint64_t bytes = 0) {
    emit(Notice{kind, peer, row, bytes, std::move(text)});
  }
  void commit_record(std::function<void()> then);
  void request_flush(std::function<void()> then);  // covers every write that has completed by now
  void save_slots();
  bool log_begin(std::uint64_t ticket, ByteRange range);
  void log_end(ByteRange range);
  void serve_log();
  void start_cleaning(bitmap::ActivityLog::Cleaning cleaning);
  void spill(const std::vector<bitmap::RegionIndex>& regions);
  void fail_disk(std::string why);
  bool has_bug(Bug bug) const { return bug_ == bug; }
  bitmap::BlockRun covering(ByteRange range) const {
    return bitmap::blocks_covering(range.offset_bytes, range.length_bytes, settings_.block_bytes);
  }
  bool is_member(NodeIndex node) const { return node < kNodesMax && record_.members[node].present; }
  template <typename Function>
  void for_each_other(Function function) {
    for (NodeIndex node = 0; node < kNodesMax; ++node) {
      if (is_member(node) && node != record_.self) function(node);
    }
  }
  NodeView view_for(NodeIndex peer) const;
  bitmap::DirtyBitmap map_of(NodeIndex peer) const;
  void send_view(NodeIndex peer);
  void send_views();
  void set_in_slot(std::size_t slot, bitmap::BlockRun blocks);

  // engine_client.cpp
  void admit(const ClientRequest& request);
  bool is_free(const Piece& piece) const;
  void pump_pieces();
  void submit_ready();
  void submit(const ClientRequest& request);
  void stream(const Remembered& write, Sequence depends_on);
  void write_done(Sequence sequence, bool ok);
  void complete_locally(Sequence sequence);
  NodeMask waited_for() const;
  void try_reply(Remembered& write);
  void reply_held();
  void retire();
  Remembered* find_remembered(Sequence sequence);
  bool locally_durable(const Remembered& write) const { return write.local_done && write.durable_at <= flush_done_; }
  bool is_held(ByteRange range) const;
  bool writes_under_way(ByteRange range) const;

  // engine_source.cpp
  void consider(NodeIndex peer);
  void begin(NodeIndex peer, const Decision& decision);
  void begin_answered(NodeIndex peer, const Frame& frame);
  void map_received(NodeIndex peer, const Frame& frame);
  void start_stream(NodeIndex peer);
  void peer_written(NodeIndex peer, Sequence sequence);
  void peer_durable(NodeIndex peer, Sequence sequence, std::uint64_t number);
  void clear_durable(NodeIndex peer, const Remembered& write);
  bool waits_for_previous(NodeIndex peer);
  void refill_allowances(std::uint64_t elapsed_ms);
  void peer_in_sync(NodeIndex peer, Sequence sequence);
  void lose_peer(NodeIndex peer, Phase phase, std::string why);
  void announce_mark();
  bool throttles();
  void fall_behind(NodeIndex peer, std::string why);
  void fork(std::string why);
  void pause(NodeIndex peer);
  void paused(NodeIndex peer);
  NodeMask streaming() const;

  // engine_resync.cpp
  void pump_resync(NodeIndex peer);
  void pump_resyncs();
  void add_range(NodeIndex peer, bitmap::BlockRun blocks, bool verify);
  void take_ranges(NodeIndex peer);
  void range_read(const DiskDone& done);
  void range_checked(NodeIndex peer, const Frame& frame);
  void retire_ranges(NodeIndex peer, std::uint64_t number);
  void verify(const Command& command);
  void end_verify(NodeIndex peer, std::string why);

  // engine_target.cpp
  void target_begin(NodeIndex peer, const Frame& frame);
  void target_begin_now(NodeIndex peer, Frame frame);
  void send_map(NodeIndex peer);
  void target_frame(NodeIndex peer, const Frame& frame);
  void target_mark(const Frame& frame);
  void pump_target();
  bool may_run(std::size_t index) const;
  void run_target_op(TargetOp& op);
  void target_op_logged(std::uint64_t serial);
  void target_op_done(std::uint64_t serial, bool ok);
  void target_hashed(const DiskDone& done);
  void finish_target_op(std::uint64_t serial);
  void tell_durable();
  void end_resync(const Frame& frame);
  void end_stream();
  void lose_source();
  void send_to_source(Frame frame);
  void pop_target_ops();

  // engine_seed.cpp
  std::optional<std::size_t> seed_index(const Id& id) const;
  std::optional<std::size_t> add_seed(SeedRecord seed);
  void open_seed(const Command& command);
  void seed_opened(const Frame& frame);
  void drop_seed(const Command& command);
  void extend(const Command& command);
  void set_in_seeds(bitmap::BlockRun blocks);

  // engine_role.cpp
  void promote(const Command& command);
  void start_return();
  void ask_promises();
  void promise_asked(NodeIndex peer, const Frame& frame);
  void promise_answered(NodeIndex peer, const Frame& frame);
  void promise_released(NodeIndex peer, std::uint64_t counter);
  void renew_promise(NodeIndex peer);
  void try_start();
  void pulled();
  void start_service();
  void start_service_now();
  void give_up_start(std::string why);
  void stand_aside(NodeIndex peer, std::string why);
  void demote(std::uint64_t command);
  void try_stop();
  void pull_asked(NodeIndex peer);
  Generation new_generation();

  // What survives, as far as it was committed
  NodeRecord record_;
  Settings settings_;
  std::vector<bitmap::DirtyBitmap> slots_;
  bitmap::ActivityLog log_;

  Bug bug_;
  ActionList* actions_ = nullptr;
  std::mt19937_64 random_;
  Role role_ = Role::kIdle;
  std::uint64_t now_ms_ = 0;
  bool discard_ = false;
  bool first_step_ = true;

  std::uint64_t store_ops_ = 0;
  std::uint64_t store_done_ = 0;
  std::unordered_map<std::uint64_t, std::function<void()>> on_state_;
  std::uint64_t flush_issued_ = 0;
  std::uint64_t flush_done_ = 0;
  bool flush_running_ = false;
  std::vector<std::function<void()>> flush_now_, flush_next_;
  std::optional<bitmap::ActivityLog::Cleaning> cleaning_;
  std::unordered_map<std::uint64_t, ByteRange> logging_;  // tickets that wait for the log
  std::uint64_t serial_ = 0;

  // Client side
  Ring<Piece> pieces_;              // queued, logging or ready, in order of arrival
  std::vector<ByteRange> writing_;  // writes under way on this disk for clients
  Ring<Remembered> remembered_;
  Sequence last_sequence_ = 0;
  Sequence completed_high_ = 0;
  Sequence retired_high_ = 0;
  Sequence announced_ = 0;
  bool base_moved_ = false;   // of a peer, since the record was written
  unsigned barrier_ = 0;      // generations on their way to the record
  bool fork_wanted_ = false;  // a member of the in-sync set was lost since the last write
  NodeMask in_sync_ = 0;
  bool submitting_ = false;
  std::uint64_t stop_command_ = 0;
  bool stop_committing_ = false;

  std::array<Peer, kNodesMax> peers_;

  // Target side
  NodeIndex source_ = kNoNode;        // whose stream this node carries out
  std::uint64_t target_session_ = 0;  // changes with every stream
  Ring<TargetOp> ops_;
  Ring<RecentWrite> recents_;
  NodeMask stream_members_ = 0;  // the in-sync set, from the last mark
  Sequence applied_low_ = 0;     // all received up to it are on this disk
  std::uint64_t range_low_ = 0;
  Sequence told_durable_ = 0;
  std::uint64_t told_range_ = 0;
  bool telling_ = false;
  bool draining_ = false;  // the stream has ended; what was received is being carried out
  bool pumping_ = false;
  Sequence spilled_high_ = 0;
  std::uint64_t last_tell_ms_ = 0;
  std::optional<std::pair<NodeIndex, Frame>> pending_begin_;

  NodeIndex previous_ = kNoNode;            // the source before a promotion, while others wait for it
  std::uint64_t previous_deadline_ms_ = 0;  // 0: for ever
  std::optional<Starting> starting_;
  std::uint64_t promised_ms_ = 0;  // when this node gave its promise, as far as this process knows
  NodeIndex feeding_ = kNoNode;
};

}  // namespace drseed::replicator
