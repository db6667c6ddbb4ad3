#pragma once
// A few engines joined by ideal links and disks, for tests of one flow each. Nothing fails here unless a test says so;
// the simulator is where everything does.

#include <deque>
#include <map>
#include <memory>

#include "replicator/core/engine.h"

namespace drseed::replicator {

class Cluster {
 public:
  static constexpr std::uint64_t kSector = 512;
  static constexpr std::uint64_t kVolumeBytes = 256 * 4096;

  // `sync`: bit i: member i is a sync target. All begin equal, with the same history.
  explicit Cluster(unsigned nodes, NodeMask sync = 0) {
    NodeRecord record;
    record.mirror.bytes.fill(1);
    record.volume_bytes = kVolumeBytes;
    record.members_version = 1;
    for (NodeIndex i = 0; i < nodes; ++i) {
      record.members[i] = {true, (sync >> i & 1) != 0, {}, "dr" + std::to_string(i)};
      record.members[i].id.bytes.fill(static_cast<std::uint8_t>(i + 1));
    }
    LineageEntry first;
    first.generation.bytes.fill(9);
    record.lineage = {first};
    for (NodeIndex i = 0; i < nodes; ++i) {
      auto& node = nodes_.emplace_back();
      node.record = record;
      node.record.self = i;
      for (NodeIndex j = 0; j < nodes; ++j) node.record.peers[j].slot_valid = true;
      node.disk.resize(kVolumeBytes / kSector);
      for (unsigned slot = 0; slot < kNodesMax + kSeedsMax; ++slot) node.slots.emplace_back(kVolumeBytes / 4096);
      node.sent_bytes.resize(nodes);
      start(i);
    }
  }

  Engine& engine(NodeIndex node) { return *nodes_[node].engine; }
  std::vector<std::uint64_t>& disk(NodeIndex node) { return nodes_[node].disk; }
  std::uint64_t resync_bytes(NodeIndex from, NodeIndex to) const { return nodes_[from].sent_bytes[to]; }
  const std::map<std::uint64_t, CommandDone>& answers() const { return answers_; }
  const std::map<std::uint64_t, Status>& replies() const { return replies_; }
  const std::vector<Notice>& notices(NodeIndex node) const { return nodes_[node].notices; }
  std::size_t payloads() const { return payloads_.size(); }

  // A new node: its disk and record are the caller's. Its place must be the next one.
  NodeIndex join(NodeRecord record, std::vector<std::uint64_t> disk) {
    const auto index = static_cast<NodeIndex>(nodes_.size());
    auto& node = nodes_.emplace_back();
    node.record = std::move(record);
    node.record.self = index;
    node.disk = std::move(disk);
    for (unsigned slot = 0; slot < kNodesMax + kSeedsMax; ++slot) node.slots.emplace_back(kVolumeBytes / 4096);
    for (auto& other : nodes_) other.sent_bytes.resize(nodes_.size());
    start(index);
    return index;
  }
  Settings& settings(NodeIndex node) { return nodes_[node].settings; }  // of its next start
  const NodeRecord& record(NodeIndex node) const { return nodes_[node].record; }

  void start(NodeIndex node) {
    auto& state = nodes_[node];
    Engine::Start begin;
    begin.record = state.record;
    begin.settings = state.settings;
    for (const auto& slot : state.slots) begin.slots.push_back(slot.clone());
    for (auto& slot : begin.slots) slot.mark_none_changed();
    begin.logged = state.logged;
    begin.random_seed = 100 * ++starts_ + node;
    state.engine = std::make_unique<Engine>(std::move(begin));
    state.up = true;
    state.todo.clear();
    step(node, {});
    run();
  }
  // What was saved survives; the disk keeps all that was written.
  void kill(NodeIndex node) {
    nodes_[node].up = false;
    nodes_[node].todo.clear();
    nodes_[node].engine.reset();
    for (NodeIndex other = 0; other < nodes_.size(); ++other) cut(node, other);
  }
  void link(NodeIndex a, NodeIndex b) {
    if (a == b || !nodes_[a].up || !nodes_[b].up || links_.contains(key(a, b))) return;
    links_[key(a, b)] = ++sessions_;
    post(a, LinkUp{b, sessions_});
    post(b, LinkUp{a, sessions_});
    run();
  }
  void link_all() {
    for (NodeIndex a = 0; a < nodes_.size(); ++a) {
      for (NodeIndex b = 0; b < a; ++b) link(a, b);
    }
  }
  void cut(NodeIndex a, NodeIndex b) {
    if (links_.erase(key(a, b)) == 0) return;
    for (const auto& [self, other] : {std::pair{a, b}, std::pair{b, a}}) {
      std::erase_if(nodes_[self].todo, [gone = other](const Event& event) {
        const auto* in = std::get_if<FrameIn>(&event);
        return in != nullptr && in->peer == gone;
      });
      post(self, LinkDown{other});
    }
    run();
  }
  void tick(std::uint64_t ms = 1000) {
    now_ms_ += ms;
    for (NodeIndex node = 0; node < nodes_.size(); ++node) post(node, Tick{now_ms_});
    run();
  }
  // Until marks and durable words have gone round.
  void settle() {
    for (int i = 0; i < 6; ++i) tick();
  }
  CommandDone command(NodeIndex node, Command command) {
    command.id = ++ids_;
    post(node, command);
    run();
    for (int i = 0; i < 30 && !answers_.contains(command.id); ++i) tick();
    return answers_.contains(command.id) ? answers_[command.id] : CommandDone{command.id, false, "no answer"};
  }
  bool promote(NodeIndex node, NodeMask fenced = 0, bool force = false) {
    Command promote;
    promote.kind = CommandKind::kPromote;
    promote.mask = fenced;
    promote.force = force;
    return command(node, promote).ok;
  }
  // Returns the request's id; run() is not called, so that several can be under way.
  std::uint64_t write(NodeIndex node, std::uint64_t sector, std::uint64_t sectors = 8, bool fua = false) {
    const auto payload = ++payload_ids_;
    payloads_[payload].assign(sectors, ++tags_);
    ClientRequest request{
        ++ids_, RequestKind::kWrite, fua, {sector * kSector, sectors * kSector}, static_cast<Payload>(payload)};
    post(node, request);
    return request.id;
  }
  std::uint64_t flush(NodeIndex node) {
    post(node, ClientRequest{++ids_, RequestKind::kFlush, false, {}, kNoPayload});
    return ids_;
  }
  void run() {
    for (bool more = true; more;) {
      more = false;
      for (NodeIndex node = 0; node < nodes_.size(); ++node) {
        auto& state = nodes_[node];
        if (!state.up || state.todo.empty()) continue;
        const auto event = state.todo.front();
        state.todo.pop_front();
        step(node, event);
        more = true;
      }
    }
  }

 private:
  static Settings small_settings() {
    Settings settings;
    settings.region_bytes = 8192;
    settings.log_regions = 16;
    return settings;
  }
  struct Node {
    std::unique_ptr<Engine> engine;
    bool up = false;
    NodeRecord record;
    Settings settings = small_settings();
    std::vector<bitmap::DirtyBitmap> slots;
    std::vector<bitmap::RegionIndex> logged;
    std::vector<std::uint64_t> disk;
    std::deque<Event> todo;
    std::vector<Notice> notices;
    std::vector<std::uint64_t> sent_bytes;
  };

  static std::pair<NodeIndex, NodeIndex> key(NodeIndex a, NodeIndex b) { return std::minmax(a, b); }
  void post(NodeIndex node, Event event) {
    if (nodes_[node].up) nodes_[node].todo.push_back(std::move(event));
  }
  void step(NodeIndex node, std::optional<Event> event) {
    ActionList actions;
    if (event) nodes_[node].engine->step({&*event, 1}, actions);
    if (!event) nodes_[node].engine->step({}, actions);
    for (auto& action : actions) std::visit([&](auto& item) { carry_out(node, item); }, action);
  }
  void carry_out(NodeIndex node, const DiskOp& op) {
    auto& disk = nodes_[node].disk;
    const auto first = op.range.offset_bytes / kSector;
    const auto count = op.range.length_bytes / kSector;
    DiskDone done;
    done.op = op.op;
    if (op.kind == DiskKind::kWrite)
      std::copy_n(payloads_.at(op.payload).begin(), count, disk.begin() + static_cast<std::ptrdiff_t>(first));
    if (op.kind == DiskKind::kZero) std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(first), count, 0);
    if (op.kind == DiskKind::kReadForPeer) {
      done.payload = static_cast<Payload>(++payload_ids_);
      const auto begin = disk.begin() + static_cast<std::ptrdiff_t>(first);
      payloads_[done.payload].assign(begin, begin + static_cast<std::ptrdiff_t>(count));
      done.all_zero = std::all_of(begin, begin + static_cast<std::ptrdiff_t>(count), [](auto tag) { return tag == 0; });
    }
    if (op.kind == DiskKind::kHash) {
      for (std::uint64_t i = first; i < first + count; ++i) {
        done.hash[0] = (done.hash[0] ^ disk[i]) * 0x9e3779b97f4a7c15;
        done.hash[1] += done.hash[0] >> 7;
      }
    }
    post(node, done);
  }
  void carry_out(NodeIndex node, const CommitState& commit) {
    nodes_[node].record = *commit.record;
    post(node, StoreDone{commit.op, true});
  }
  void carry_out(NodeIndex node, const CommitLog& commit) {
    nodes_[node].logged = commit.regions;
    post(node, StoreDone{commit.op, true});
  }
  void carry_out(NodeIndex node, const SavePages& save) {
    auto& slot = nodes_[node].slots[bitmap::index_of(save.slot)];
    for (const auto& page : save.pages) {
      bitmap::PageWords words;
      words.fill(page.state == bitmap::PageState::kSet ? ~std::uint64_t{0} : 0);
      slot.load_page(page.page, page.words ? *page.words : words);
    }
    post(node, StoreDone{save.op, true});
  }
  void carry_out(NodeIndex node, const Send& send) {
    const auto found = links_.find(key(node, send.peer));
    if (found == links_.end()) return;
    auto frame = send.frame;
    if (frame.payload != kNoPayload) {
      frame.payload = static_cast<Payload>(++payload_ids_);
      payloads_[frame.payload] = payloads_.at(send.frame.payload);
    }
    if (frame.type == FrameType::kResync || frame.type == FrameType::kResyncZero)
      nodes_[node].sent_bytes[send.peer] += frame.range.length_bytes;
    post(send.peer, FrameIn{node, found->second, frame});
  }
  void carry_out(NodeIndex, const Reply& reply) { replies_[reply.request] = reply.status; }
  void carry_out(NodeIndex, const Release& release) {
    if (payloads_.erase(release.payload) == 0) std::abort();
  }
  void carry_out(NodeIndex, const CommandDone& done) { answers_[done.id] = done; }
  void carry_out(NodeIndex node, const Notice& notice) { nodes_[node].notices.push_back(notice); }

  std::vector<Node> nodes_;
  std::map<std::pair<NodeIndex, NodeIndex>, std::uint64_t> links_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> payloads_;
  std::map<std::uint64_t, CommandDone> answers_;
  std::map<std::uint64_t, Status> replies_;
  std::uint64_t now_ms_ = 0, sessions_ = 0, ids_ = 0, tags_ = 0, payload_ids_ = 0, starts_ = 0;
};

}  // namespace drseed::replicator
