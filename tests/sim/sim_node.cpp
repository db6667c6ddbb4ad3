#include "tests/sim/sim_node.h"

#include <algorithm>

namespace drseed::sim {

using namespace replicator;

namespace {

std::uint64_t first_sector(const ByteRange& range) {
  return range.offset_bytes / kSectorBytes;
}
std::uint64_t sector_count(const ByteRange& range) {
  return range.length_bytes / kSectorBytes;
}

std::array<std::uint64_t, 2> hash_of(std::span<const Tag> tags) {
  std::array<std::uint64_t, 2> hash{0x9e3779b97f4a7c15, 0x2545f4914f6cdd1d};
  for (const auto tag : tags) {
    hash[0] = (hash[0] ^ tag) * 0x9ddfea08eb382d69;
    hash[1] = (hash[1] + tag) * 0xbf58476d1ce4e5b9;
    hash[0] ^= hash[0] >> 31;
  }
  return hash;
}

}  // namespace

SimNode::SimNode(Context& context, Outside& outside, NodeIndex index, const NodeRecord& record)
    : context_(context),
      outside_(outside),
      index_(index),
      disk_(context.parameters.sectors()),
      store_(std::make_unique<NodeStore>(context.parameters.file, record)) {
  if (!store_->open()) context_.violate("store", "n{}: a new bitmap file does not open", index_);
}

bitmap::DirtyBitmap SimNode::map_of(NodeIndex peer) {
  return up() && !failed ? engine_->map_of(peer) : store_->map_of(peer);
}

bool SimNode::idle() const {
  return disk_jobs_.empty() && store_queue_.empty() && inbox_.empty();
}

void SimNode::start() {
  Engine::Start start;
  start.record = *store_->record();
  start.settings = context_.parameters.settings;
  for (std::size_t i = 0; i < kNodesMax + kSeedsMax; ++i) start.slots.push_back(store_->file().load(bitmap::SlotId(i)));
  start.logged = store_->file().logged_regions();
  start.log_lost = store_->file().log_lost();
  start.random_seed = context_.random();
  start.bug = context_.parameters.bug;
  if (start.log_lost) context_.stats.add(Count::kLogLost);
  context_.trace.note(index_, "starts: low {0}, {1} regions logged, lost={2}", start.record.low, start.logged.size(),
                      start.log_lost);
  engine_ = std::make_unique<Engine>(std::move(start));
  context_.scheduler.after(context_.random.below(context_.parameters.tick_time), mine(Kind::kTick));
  step();
}

void SimNode::crash(bool power_lost) {
  context_.trace.note(index_, power_lost ? "POWER LOST" : "DAEMON DIES", disk_jobs_.size(), store_queue_.size());
  engine_.reset();
  failed = false;
  ++epoch_;
  const StoreOp* under_way = store_queue_.empty() ? nullptr : &store_queue_.front();
  if (!store_->crash(context_.random, under_way, power_lost))
    context_.violate("store", "n{}: the bitmap file does not open after a crash", index_);
  if (store_->torn()) context_.stats.add(Count::kTornStores);
  if (power_lost) {
    disk_.crash(context_.random);
  } else {
    disk_.abandon(context_.random);
  }
  payloads_.clear();
  disk_jobs_.clear();
  store_queue_.clear();
  inbox_.clear();
}

SimNode::Image SimNode::what_if_crashed(Random& random) const {
  Image image{disk_, std::make_unique<NodeStore>(*store_)};
  image.disk.crash(random);
  if (!image.store->crash(random, store_queue_.empty() ? nullptr : &store_queue_.front(), true))
    context_.violate("store", "n{}: the bitmap file would not open after a crash", index_);
  return image;
}

void SimNode::put_back(const Image& image) {
  context_.trace.note(index_, "DISKS REPLACED by an older snapshot of them");
  disk_ = image.disk;
  store_ = std::make_unique<NodeStore>(*image.store);
  if (!store_->open()) context_.violate("store", "n{}: a snapshot of the bitmap file does not open", index_);
}

void SimNode::replace(const Tags& disk, const NodeRecord& record) {
  context_.trace.note(index_, "DISKS REPLACED: {0} generations known", record.lineage.size());
  disk_ = SimDisk(disk.size());
  disk_.put(0, disk);
  store_ = std::make_unique<NodeStore>(context_.parameters.file, record);
  if (!store_->open()) context_.violate("store", "n{}: a new bitmap file does not open", index_);
}

void SimNode::lose_log() {
  context_.trace.note(index_, "LOG LOST");
  if (!store_->lose_log(context_.random))
    context_.violate("store", "n{}: the bitmap file does not open without its log", index_);
}

void SimNode::post(Event event) {
  if (!up()) return;
  inbox_.push_back(std::move(event));
  if (inbox_.size() > 1) return;  // a step is scheduled
  context_.scheduler.after(context_.random.percent(80) ? 0 : context_.random.below(100), mine(Kind::kStep));
}

void SimNode::handle(const Scheduled& scheduled) {
  if (scheduled.epoch != epoch_ || !up()) return;
  switch (scheduled.kind) {
    case Kind::kStep:
      return step();
    case Kind::kDiskDone:
      return end_disk(scheduled.number);
    case Kind::kStoreDone:
      return end_store();
    case Kind::kTick:
      post(Tick{context_.scheduler.now() / 1000});
      context_.scheduler.after(context_.parameters.tick_time, mine(Kind::kTick));
      return;
    default:
      return;
  }
}

void SimNode::step() {
  events_.swap(inbox_);
  inbox_.clear();
  for (const auto& event : events_) context_.trace.event(index_, event);
  actions_.clear();
  engine_->step(events_, actions_);
  events_.clear();
  outside_.stepped(*this);
  ActionList actions;
  actions.swap(actions_);
  for (auto& action : actions) {
    context_.trace.action(index_, action);
    carry_out(action);
    if (context_.violation) return;
  }
  actions_.swap(actions);
}

void SimNode::carry_out(Action& action) {
  if (const auto* op = std::get_if<DiskOp>(&action)) return begin_disk(*op);
  if (const auto* send = std::get_if<Send>(&action)) {
    Bytes bytes;
    if (send->frame.payload != kNoPayload) {
      bytes = payloads_.find(send->frame.payload);
      if (!bytes)
        return context_.violate("payload", "n{}: sends payload {}, which it has not", index_, send->frame.payload);
    }
    return outside_.sends(*this, *send, bytes);
  }
  if (const auto* reply = std::get_if<Reply>(&action)) return outside_.replies(*this, *reply);
  if (const auto* release = std::get_if<Release>(&action)) {
    if (!payloads_.release(release->payload))
      context_.violate("payload", "n{}: releases payload {}, which it has not", index_, release->payload);
    return;
  }
  if (const auto* done = std::get_if<CommandDone>(&action)) return outside_.command_done(*this, *done);
  if (const auto* notice = std::get_if<Notice>(&action)) return outside_.notices(*this, *notice);
  if (auto* state = std::get_if<CommitState>(&action)) {
    context_.stats.add(Count::kStateCommits);
    store_queue_.emplace_back(std::move(*state));
  } else if (auto* log = std::get_if<CommitLog>(&action)) {
    context_.stats.add(Count::kLogCommits);
    if (log->regions.size() > context_.parameters.file.log_regions)
      return context_.violate("bounds", "n{}: {} regions in the log", index_, log->regions.size());
    store_queue_.emplace_back(std::move(*log));
  } else {
    context_.stats.add(Count::kPageSaves);
    store_queue_.emplace_back(std::move(std::get<SavePages>(action)));
  }
  if (store_queue_.size() == 1) begin_store();
}

void SimNode::begin_store() {
  context_.scheduler.after(context_.random.between(10, context_.parameters.store_time), mine(Kind::kStoreDone));
}

void SimNode::end_store() {
  auto op = std::move(store_queue_.front());
  store_queue_.pop_front();
  const auto performed = store_->perform(op);
  if (!performed) return context_.violate("store", "n{}: {}", index_, performed.error().message());
  const auto number = std::visit([](const auto& each) { return each.op; }, op);
  if (!store_queue_.empty()) begin_store();
  post(StoreDone{number, true});
}

void SimNode::begin_disk(const DiskOp& op) {
  const auto& range = op.range;
  if (range.end() > context_.parameters.file.volume_bytes || range.offset_bytes % kSectorBytes != 0 ||
      range.length_bytes % kSectorBytes != 0 || (op.kind != DiskKind::kFlush && range.length_bytes == 0)) {
    return context_.violate("disk", "n{}: disk op {} at {}+{} bytes", index_, op.op, range.offset_bytes,
                            range.length_bytes);
  }
  DiskJob job{op, {}, false};
  switch (op.kind) {
    case DiskKind::kWrite: {
      const auto bytes = payloads_.find(op.payload);
      if (!bytes || bytes->size() != sector_count(range))
        return context_.violate("payload", "n{}: writes payload {}, which is not that", index_, op.payload);
      disk_.start_write(op.op, first_sector(range), *bytes);
      break;
    }
    case DiskKind::kZero:
      disk_.start_write(op.op, first_sector(range), Tags(sector_count(range)));
      break;
    case DiskKind::kFlush:
      disk_.start_flush(op.op);
      break;
    default:  // a read sees what is there at some instant until it is done
      if (context_.random.percent(50)) {
        job.sample = disk_.read(first_sector(range), sector_count(range));
        job.sampled = true;
      }
  }
  if (!disk_jobs_.emplace(op.op, std::move(job)).second)
    return context_.violate("disk", "n{}: disk op {} is under way already", index_, op.op);
  const auto most = context_.parameters.disk_time * disk_slow;
  context_.scheduler.after(context_.random.between(10, most), mine(Kind::kDiskDone, op.op));
}

void SimNode::end_disk(std::uint64_t number) {
  const auto found = disk_jobs_.find(number);
  auto job = std::move(found->second);
  disk_jobs_.erase(found);
  const auto& op = job.op;
  DiskDone done;
  done.op = number;
  switch (op.kind) {
    case DiskKind::kWrite:
    case DiskKind::kZero:
      done.ok = !disk_fails;
      if (done.ok) disk_.end_write(number);
      break;
    case DiskKind::kFlush:
      done.ok = !disk_fails;
      if (done.ok) disk_.end_flush(number);
      break;
    default:
      done.ok = !disk_fails;
      if (!done.ok) break;
      if (!job.sampled) job.sample = disk_.read(first_sector(op.range), sector_count(op.range));
      done.all_zero = std::all_of(job.sample.begin(), job.sample.end(), [](auto tag) { return tag == 0; });
      if (op.kind == DiskKind::kHash) done.hash = hash_of(job.sample);
      if (op.kind == DiskKind::kRead) {
        for (auto& tag : job.sample) tag = without_rot(tag);  // applications judge the replicator, not the medium
      }
      if (op.kind == DiskKind::kRead) outside_.has_read(*this, op.request, first_sector(op.range), job.sample);
      if (op.kind == DiskKind::kReadForPeer)
        done.payload = payloads_.add(std::make_shared<const Tags>(std::move(job.sample)));
  }
  post(std::move(done));
}

}  // namespace drseed::sim
