#pragma once
// A node's bitmap file on a disk that can lose power: its record, slots and activity log. One operation at a time.

#include <optional>
#include <variant>

#include "bitmap/bitmap_file.h"
#include "replicator/core/events.h"
#include "tests/sim/crash_store.h"
#include "tests/sim/random.h"

namespace drseed::sim {

using StoreOp = std::variant<replicator::CommitState, replicator::CommitLog, replicator::SavePages>;

class NodeStore {
 public:
  using RecordPointer = std::shared_ptr<const replicator::NodeRecord>;

  NodeStore(const bitmap::FileInfo& info, const replicator::NodeRecord& record);
  // "What if": the same disk, not opened.
  NodeStore(const NodeStore& other) : disk_(other.disk_), records_(other.records_) {}
  NodeStore& operator=(const NodeStore&) = delete;

  // Reads what the disk says now. False: the file does not open.
  bool open();
  Result<> perform(const StoreOp& op);
  // The power or the daemon fails, in the midst of `under_way` if there is one; then opens. False as open().
  bool crash(Random& random, const StoreOp* under_way, bool power_lost);

  // Blocks of a slot, durably. Precondition: open.
  Result<> set_blocks(replicator::NodeIndex peer, const std::vector<std::uint64_t>& blocks);
  // Every copy of every log record becomes rubbish; then open again. Precondition: the node is down.
  bool lose_log(Random& random);

  bitmap::BitmapFile& file() { return *file_; }
  const RecordPointer& record() const;
  // The slot with the log's regions: what the file says may differ.
  bitmap::DirtyBitmap map_of(replicator::NodeIndex peer);
  bool torn() const { return torn_; }  // the last crash was in the midst of an operation

 private:
  bitmap::StateRecord state_with(const RecordPointer& record);

  CrashDisk disk_;
  std::vector<RecordPointer> records_;  // those that ever were committed; the file holds an index
  std::optional<bitmap::BitmapFile> file_;
  bool torn_ = false;
};

}  // namespace drseed::sim
