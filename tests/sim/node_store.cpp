#include "tests/sim/node_store.h"

#include <cassert>
#include <cstring>

namespace drseed::sim {

NodeStore::NodeStore(const bitmap::FileInfo& info, const replicator::NodeRecord& record)
    : disk_(bitmap::Layout(info).file_bytes()) {
  CrashStore store(disk_);
  const auto state = state_with(std::make_shared<const replicator::NodeRecord>(record));
  const auto formatted = bitmap::BitmapFile::format(store, info, state);
  assert(formatted);
}

bitmap::StateRecord NodeStore::state_with(const RecordPointer& record) {
  bitmap::StateRecord state;
  const std::uint64_t index = records_.size();
  records_.push_back(record);
  state.engine.resize(sizeof index);
  std::memcpy(state.engine.data(), &index, sizeof index);
  for (std::size_t i = 0; i < replicator::kNodesMax + replicator::kSeedsMax; ++i)
    state.slots[i].kind = i < replicator::kNodesMax ? bitmap::SlotKind::kPeer : bitmap::SlotKind::kSeed;
  return state;
}

bool NodeStore::open() {
  // What is read is acted on, so it must not be lost again: a daemon that died may have left unsynced writes.
  disk_.sync();
  auto opened = bitmap::BitmapFile::open(std::make_unique<CrashStore>(disk_));
  if (!opened) return false;
  file_.emplace(std::move(*opened));
  return true;
}

Result<> NodeStore::perform(const StoreOp& op) {
  if (const auto* state = std::get_if<replicator::CommitState>(&op))
    return file_->commit_state(state_with(state->record));
  if (const auto* log = std::get_if<replicator::CommitLog>(&op)) return file_->commit_log(log->regions);
  const auto& pages = std::get<replicator::SavePages>(op);
  return file_->save(pages.slot, pages.pages);
}

bool NodeStore::crash(Random& random, const StoreOp* under_way, bool power_lost) {
  torn_ = under_way != nullptr;
  if (under_way != nullptr) {
    if (!file_ && !open()) return false;
    disk_.fail_after(random.below(8));
    const auto performed = perform(*under_way);
    if (performed) torn_ = false;
  }
  if (power_lost) disk_.crash(random);
  disk_.fail_after(~std::uint64_t{0});
  return open();
}

Result<> NodeStore::set_blocks(replicator::NodeIndex peer, const std::vector<std::uint64_t>& blocks) {
  auto slot = file_->load(bitmap::SlotId(peer));
  for (const auto block : blocks) slot.set({block, 1});
  return file_->save(bitmap::SlotId(peer), slot.take_changed());
}

bool NodeStore::lose_log(Random& random) {
  const bitmap::Layout layout(file_->info());
  std::vector<std::uint8_t> rubbish(layout.log_copy_bytes());
  for (auto& byte : rubbish) byte = static_cast<std::uint8_t>(random());
  for (unsigned which = 0; which < 2; ++which) {
    for (unsigned copy = 0; copy < 2; ++copy) disk_.write(layout.log(which, copy), rubbish);
  }
  return open();
}

const NodeStore::RecordPointer& NodeStore::record() const {
  std::uint64_t index = 0;
  const auto& bytes = file_->state().engine;
  assert(bytes.size() == sizeof index);
  std::memcpy(&index, bytes.data(), sizeof index);
  return records_.at(index);
}

bitmap::DirtyBitmap NodeStore::map_of(replicator::NodeIndex peer) {
  auto map = file_->load(bitmap::SlotId(peer));
  file_->add_logged(map);
  return map;
}

}  // namespace drseed::sim
